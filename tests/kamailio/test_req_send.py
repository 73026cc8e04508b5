"""Requests of our own through a real Kamailio that asks for credentials at every one of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.services import Kamailio
from tests.support.uacproxy_process import UacproxyProcess

TEMPLATE = Path(__file__).with_name("provider_auth.cfg")

PASSWORD = "Watzmann-2713"

INI = """\
[sip]
listen = udp:@HERE@ udp:@SECOND@
t1 = 4s

[uac]
default_socket = udp:@SECOND@

[routing]
script = route.py
"""

SCRIPT = """\
from uacproxy.routing import Reply, event_route, request_route

COMMON = {
    "ruri": "sip:anybody@@PROVIDER@",
    "furi": '"Trunk 7" <sip:7@trunk.example>',
    "auser": "trunk7",
    "apasswd": "@PASSWORD@",
    "evroute": 1,
}


@event_route("uac:reply")
def heard(ctx):
    code, method = ctx["$uac_req(evcode)"], ctx["$uac_req(method)"]
    ctx.log.info("heard {code} of {method} from {rs}", code=code, method=method, rs=ctx["$rs"])


@request_route
async def main(ctx):
    said = await ctx.uac.req_send(
        method="MESSAGE", hdrs="Content-Type: text/plain\\r\\nX-One: 1", body="hello", **COMMON
    )
    called = await ctx.uac.req_send(method="INVITE", **COMMON)
    bye = await called.dialog.bye()
    return Reply(200, f"{said.status} {called.status} {bye.status}")
"""

Start = Callable[..., UacproxyProcess]
StartKamailio = Callable[..., Kamailio]

SAID = re.compile(r"(asked|took) (\w+) (\d+)")


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_message_and_a_call_are_authenticated_from_the_default_socket(
    start_uacproxy: Start, start_kamailio: StartKamailio, algorithm: str
) -> None:
    with Endpoint("tester") as tester, Endpoint("extension") as extension:
        provider = start_kamailio(
            TEMPLATE,
            password=PASSWORD,
            algorithm=algorithm,
            nonces="one_time_nonce",
            callee=extension.address,
        )
        at = f"{provider.host}:{provider.port}"
        with Endpoint("second") as free:
            second = free.address  # which nobody else has now
        service = start_uacproxy(
            INI, files={"route.py": SCRIPT}, second=second, provider=at, password=PASSWORD
        )
        tester.send(
            f"INFO sip:go@{service.address} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {tester.address};branch=z9hG4bKgo\r\nMax-Forwards: 70\r\n"
            "From: <sip:t@a.example>;tag=1\r\nTo: <sip:go@b.example>\r\nCall-ID: go\r\n"
            "CSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n",
            service.address,
        )
        message = extension.hears("MESSAGE")
        assert message.get("from").startswith('"Trunk 7" <sip:7@trunk.example>;tag=')
        assert (message.body, message.get("x-one")) == ("hello", "1")
        assert f"UDP {second}" in message.all("via")[1]
        extension.answers(message, "200 OK", at, tag="e")
        invite = extension.hears("INVITE")
        assert f"@{second}" in invite.get("contact")
        extension.answers(invite, "200 OK", at, tag="e", more=extension.contact)
        assert extension.hears("ACK").get("cseq") == "11 ACK"
        bye = extension.hears("BYE")
        extension.answers(bye, "200 OK", at)
        final = tester.hears_final("200")
        assert final.start == "SIP/2.0 200 200 200 200"
        said = SAID.findall((provider.folder / "kamailio.log").read_text())
        assert [" ".join(words) for words in said] == [
            "asked MESSAGE 10", "took MESSAGE 11", "asked INVITE 10", "took INVITE 11",
            "asked BYE 12", "took BYE 13",
        ]  # fmt: skip
        assert re.findall(r"heard \d+ of \w+ from \d+", service.output) == [
            "heard 407 of MESSAGE from 407",
            "heard 200 of MESSAGE from 200",
            "heard 200 of INVITE from 200",
        ]
        assert PASSWORD not in service.output
        service.wait_for(uac_calls=0, uac_requests=0)
