"""A request that the service sends to itself goes through its own routing, as any other."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.endpoint import Endpoint
from tests.support.uacproxy_process import UacproxyProcess

INI = """\
[sip]
listen = udp:@HERE@

[routing]
script = route.py
"""

SCRIPT = """\
from uacproxy.routing import Relay, Reply, event_route, request_route


@event_route("core:started")
async def started(ctx):
    alive = await ctx.uac.req_send(method="OPTIONS", ruri="sip:@HERE@")
    call = await ctx.uac.req_send(method="INVITE", ruri="sip:loop@@HERE@")
    info = await call.dialog.request("INFO")
    bye = await call.dialog.bye()
    ctx.log.info("heard {a} {c} {i} {b}", a=alive.status, c=call.status, i=info.status,
        b=bye.status)


@request_route
def main(ctx):
    return Relay("sip:@CALLEE@") if ctx["$rU"] == "loop" else Reply(404)
"""


def test_a_call_through_our_own_routing(
    start_uacproxy: Callable[..., UacproxyProcess],
) -> None:
    with Endpoint("bob") as bob:
        service = start_uacproxy(INI, files={"route.py": SCRIPT}, callee=bob.address)
        invite = bob.hears("INVITE")
        bob.answers(invite, "200 OK", service.address, tag="b", more=bob.contact)
        assert bob.hears("ACK").get("cseq") == "10 ACK"
        bob.answers(bob.hears("INFO"), "200 OK", service.address)
        bob.answers(bob.hears("BYE"), "200 OK", service.address)
        service.wait_for_log("heard 200 200 200 200")
        service.wait_for(uac_calls=0, uac_requests=0)
