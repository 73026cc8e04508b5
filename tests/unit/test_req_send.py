"""``ctx.uac.req_send()``: awaited or not, its keywords, its errors, and what is left behind."""

from __future__ import annotations

import pytest

from tests.support.world import CALLEE, HERE, World, answer, invite
from uacproxy.settings import ListenAddress
from uacproxy.sip.grammar import text
from uacproxy.sip.names import AUTHORIZATION

START = """
from uacproxy.routing import Drop, Reply, event_route, request_route
"""


def run(body: str, kind: str = "async def", **options: object) -> World:
    """Return a world that has had one request for a handler of this body."""
    source = START + f"@request_route\n{kind} main(ctx):\n" + body
    world = World(source, **options)  # type: ignore[arg-type]
    world.receive(invite(method=b"MESSAGE"))
    return world


PING = """
    reply = await ctx.uac.req_send(method="OPTIONS", ruri="sip:192.0.2.2", hdrs="X-Call: $ci")
    ctx.log.info("{s} {r} {ok} {local} {x}", s=reply.status, r=reply.reason, ok=reply.is_success,
        local=reply.is_local, x=reply.fields("x-one"))
    return Reply(reply.status)
"""


def test_a_handler_awaits_the_reply() -> None:
    world = run(PING)
    (request,) = world.sent_to(CALLEE)
    assert b"X-Call: call-1@a.example" in request.lines
    world.receive(answer(request, 200, fields=b"X-One: 1\r\nX-One: 2\r\n"), CALLEE)
    assert world.log.lines == ["200 Whatever True False ['1', '2']"]
    assert world.kinds_to(("192.0.2.1", 5060)) == ["200"]


def test_a_handler_awaits_silence() -> None:
    world = run(PING)
    world.let(40.0)
    assert world.log.lines == ["408 no answer in time False True []"]


def test_a_handler_awaits_what_cannot_be_reached() -> None:
    world = run(PING.replace("sip:192.0.2.2", "sip:nowhere.example"))
    world.let(1.0)
    assert world.log.lines == ["503 the name of the next hop has no address False True []"]


def test_fr_timeout_bounds_the_wait_and_nothing_is_sent_afterwards() -> None:
    world = run(PING.replace("hdrs=", "fr_timeout=700, hdrs="))
    world.let(0.9)
    assert world.log.lines == ["408 no answer within fr_timeout False True []"]
    before = len(world.sent)
    world.let(60.0)
    assert world.kinds_to(CALLEE) == ["OPTIONS", "OPTIONS"] and len(world.sent) == before


def test_the_view_of_the_response_and_the_request_are_there() -> None:
    world = run(
        """
    sent = ctx.uac.req_send(method="INFO", ruri="sip:192.0.2.2")
    reply = await sent
    again = await sent
    ctx.log.info("{a} {b} {c} {d}", a=reply.response.get("cseq"), b=reply.request.method,
        c=reply is again, d=sent.reply.body)
    return Drop()
"""
    )
    world.receive(answer(world.last_to(CALLEE), 200, body=b"hello"), CALLEE)
    assert world.log.lines == ["10 INFO True b'hello'".replace("INFO True", "INFO INFO True")]


def test_nobody_has_to_wait() -> None:
    world = run(
        """
    if ctx.uac.req_send(method="OPTIONS", ruri="sip:192.0.2.2"):
        return Reply(200)
""",
        "def",
    )
    assert world.kinds_to(("192.0.2.1", 5060)) == ["200"]
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    assert world.counters.script_errors == 0


def test_keywords_stand_alone_and_leave_uac_req_as_it_was() -> None:
    world = run(
        """
    ctx["$uac_req(hdrs)"] = "X-Left: behind"
    ctx["$uac_req(method)"] = "INFO"
    ctx.uac.req_send(method="OPTIONS", ruri="sip:192.0.2.2", body="$ru costs 5$", callid="$ci-2")
    ctx.log.info(ctx["$uac_req(method)"])
    return Drop()
""",
        "def",
    )
    (request,) = world.sent_to(CALLEE)
    assert (request.method, request.body) == (b"OPTIONS", b"$ru costs 5$")
    assert request.call_id == b"call-1@a.example-2"
    assert b"X-Left: behind" not in request.lines
    assert world.log.lines == ["INFO"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ctx.uac.req_send()", "$uac_req(method) is not set"),
        ('ctx.uac.req_send(method="OPTIONS")', "$uac_req(ruri) is not set"),
        ("ctx.uac.req_send(metod=1)", "there is no pseudo-variable $uac_req(metod)"),
        ("ctx.uac.req_send(evcode=1)", "req_send() takes no evcode"),
        ("ctx.uac.req_send(method=7)", "$uac_req(method) takes a text, not int"),
        ("ctx.uac.req_send(method=[])", "$uac_req(method) takes a text, not list"),
        ("ctx.uac.req_send('OPTIONS')", "TypeError"),
        ("ctx['$uac_req(cseqno)'] = 'one'", "$uac_req(cseqno) takes a number, not str"),
        ("ctx['$uac_req(cseqno)'] = -1", "$uac_req(cseqno) is not between 0 and"),
        ("ctx['$uac_req(evroute)'] = 3", "$uac_req(evroute) is 0, 1 or 2"),
        ("ctx['$uac_req(all)'] = 1", "$uac_req(all) takes None alone"),
        ("ctx['$uac_req(onreply)'] = 'X'", "there is no pseudo-variable $uac_req(onreply)"),
        ("ctx['$uac_req']", "there is no pseudo-variable $uac_req"),
        ("ctx['$uac_req(body)'] = 'x' * 70000", "$uac_req(body) is longer than"),
        (
            "ctx.uac.req_send(method='OPTIONS', ruri='sip:192.0.2.2', sock='udp:192.0.2.9:5060')",
            "$uac_req(sock): udp:192.0.2.9:5060 is no listener of ours",
        ),
        ("ctx.uac.req_send(method='OPTIONS', ruri='sip:a b')", "$uac_req(ruri) is no URI"),
    ],
)
def test_a_mistake_is_told_with_file_and_line_and_nothing_is_sent(line: str, why: str) -> None:
    world = run(f"    {line}\n    return Drop()\n", "def")
    (told,) = world.log.lines
    assert told.startswith("route script failed: route.py:5: ")
    assert why in told
    assert world.sent_to(CALLEE) == []
    assert world.kinds_to(("192.0.2.1", 5060)) == ["500"]
    assert len(world.requests) == 0


def test_the_same_mistake_in_an_async_handler_too() -> None:
    world = run("    await ctx.uac.req_send(method='?')\n")
    assert world.log.lines[0].startswith("route script failed: route.py:5: $uac_req(ruri)") or (
        world.log.lines[0].startswith("route script failed: route.py:5: $uac_req(method)")
    )


def test_an_event_route_that_fails_is_told_with_its_line_and_spoils_nothing() -> None:
    world = World(
        START
        + """
@event_route("uac:reply")
def heard(ctx):
    raise KeyError("oops")
@request_route
def main(ctx):
    ctx.uac.req_send(method="OPTIONS", ruri="sip:192.0.2.2", evroute=1)
    return Drop()
"""
    )
    world.receive(invite(method=b"MESSAGE"))
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    assert world.log.lines == ["route script failed: route.py:6: KeyError: 'oops'"]
    assert len(world.requests) == 0


OUR_SOCKET = ListenAddress(b"UDP", *HERE)
OUR_STREAM = ListenAddress(b"TCP", *HERE)
LOGIN = ', auser="alice", apasswd="secret"'


@pytest.mark.parametrize("where", ["default", "sock"])
def test_sock_and_default_socket_hold_for_the_authenticated_retry_too(where: str) -> None:
    """The module forgets default_socket there."""
    more = LOGIN + (', sock="tcp:192.0.2.100:5060"' if where == "sock" else "")
    world = run(
        f"""
    ctx.uac.req_send(method="OPTIONS", ruri="sip:192.0.2.2"{more})
    return Drop()
""",
        "def",
        default_socket=OUR_SOCKET if where == "sock" else OUR_STREAM,
    )
    challenge = b'Proxy-Authenticate: Digest realm="r", nonce="n", qop="auth"\r\n'
    world.receive(answer(world.last_to(CALLEE), 407, fields=challenge), CALLEE, b"TCP")
    assert [transport for _, peer, transport, _ in world.sent if peer == CALLEE] == [b"TCP"] * 2


def test_two_realms_are_both_satisfied() -> None:
    world = run(
        f"""
    reply = await ctx.uac.req_send(method="MESSAGE", ruri="sip:192.0.2.2"{LOGIN})
    return Reply(reply.status)
"""
    )
    for status, fields in (
        (407, b'Proxy-Authenticate: Digest realm="hop", nonce="n1", qop="auth"\r\n'),
        (401, b'WWW-Authenticate: Digest realm="end", nonce="n2", qop="auth"\r\n'),
        (200, b""),
    ):
        world.receive(answer(world.last_to(CALLEE), status, fields=fields), CALLEE)
    third = world.last_to(CALLEE)
    assert third.cseq.number == 12
    assert [text(name) for name in third.names][-2:] == ["proxy-authorization", "authorization"]
    assert world.kinds_to(("192.0.2.1", 5060)) == ["200"]


TWICE = f"""
    for _ in range(2):
        reply = await ctx.uac.req_send(method="MESSAGE", ruri="sip:192.0.2.2"{LOGIN})
    return Reply(reply.status)
"""
ASKED = b'WWW-Authenticate: Digest realm="end", nonce="n1", qop="auth"\r\n'


def test_the_next_request_to_who_challenged_brings_its_answer_along() -> None:
    """RFC 7616 3.4: the same nonce, with a count of its own."""
    world = run(TWICE)
    world.receive(answer(world.last_to(CALLEE), 401, fields=ASKED), CALLEE)
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    counts = [one.get(AUTHORIZATION) for one in world.sent_to(CALLEE)]
    assert counts[0] is None and len(counts) == 3
    assert b"nc=00000001" in (counts[1] or b"") and b"nc=00000002" in (counts[2] or b"")
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    assert world.kinds_to(("192.0.2.1", 5060)) == ["200"]


def test_who_refused_a_password_is_not_sent_it_unasked() -> None:
    world = run(TWICE)
    for _ in range(2):
        world.receive(answer(world.last_to(CALLEE), 401, fields=ASKED), CALLEE)
    assert [one.has(AUTHORIZATION) for one in world.sent_to(CALLEE)] == [False, True, False]


@pytest.mark.parametrize(
    "ruri",
    ["sip:192.0.2.2", "sip:nowhere.example", "sip:192.0.2.9", "sip:192.0.2.2;transport=sctp"],
)
def test_a_hundred_requests_that_fail_leave_nothing_behind(ruri: str) -> None:
    """Memory that grew with failing requests: kamailio #3065, #3522 and #4210."""
    world = World(
        START
        + f"""
@event_route("uac:reply")
def heard(ctx):
    ctx.log.info("{{c}}", c=ctx["$uac_req(evcode)"])
@request_route
def main(ctx):
    for _ in range(100):
        ctx.uac.req_send(method="OPTIONS", ruri="{ruri}", evroute=2, fr_timeout=45000)
    return Drop()
"""
    )
    world.unreachable.add(("192.0.2.9", 5060))
    world.receive(invite(method=b"MESSAGE"))
    world.let(100.0)
    assert len(world.log.lines) == 100
    assert (len(world.requests), world.table.clients) == (0, 0)
    assert world.clock.calls == []


def test_more_requests_than_can_be_under_way_are_refused() -> None:
    world = World(
        START
        + """
@request_route
async def main(ctx):
    for _ in range(10):
        ctx.uac.req_send(method="OPTIONS", ruri="sip:192.0.2.2")
    reply = await ctx.uac.req_send(method="OPTIONS", ruri="sip:192.0.2.2")
    ctx.log.info("{s} {r}", s=reply.status, r=reply.reason)
    return Drop()
""",
        max_requests=10,
    )
    world.receive(invite(method=b"MESSAGE"))
    world.let(0.1)
    assert world.log.lines == ["503 too many requests of our own under way"]
    assert len(world.requests) == 10


def test_a_handler_sleeps_while_the_rest_goes_on() -> None:
    world = run("    await ctx.sleep(1.5)\n    return Reply(480)\n")
    world.let(1.4)
    assert world.kinds_to(("192.0.2.1", 5060)) == []
    world.let(0.2)
    assert world.kinds_to(("192.0.2.1", 5060)) == ["480"]


@pytest.mark.parametrize("seconds", ["-1", "float('nan')", "1e9", "'x'"])
def test_nobody_sleeps_for_ever(seconds: str) -> None:
    world = run(f"    await ctx.sleep({seconds})\n")
    assert "route.py:5" in world.log.lines[0]


def test_a_subscription_has_a_contact_of_the_flow_it_leaves_by() -> None:
    world = run("    ctx.uac.req_send(method='SUBSCRIBE', ruri='sip:192.0.2.2')\n", "def")
    contact = world.last_to(CALLEE).need(b"contact")
    assert contact.startswith(b"<sip:") and contact.endswith(b"@192.0.2.100:5060>")
