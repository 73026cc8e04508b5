"""Behaviours 41 to 44 of the uac module: requests of our own.

Each is what a peer sees on the wire and what the event route is told, where the module
does it right; where it does not, the test says what we do instead.
"""

from __future__ import annotations

import pytest

from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.sip.digest import parse_credentials
from uacproxy.sip.digest_hash import compute_ha1, compute_response, find_algorithm
from uacproxy.sip.grammar import text
from uacproxy.sip.message import Message
from uacproxy.sip.names import CALL_ID, CONTACT, CSEQ, MAX_FORWARDS

HEAD = """
from uacproxy.routing import Drop, Reply, event_route, request_route
@event_route("uac:reply")
def heard(ctx):
    ctx.log.info("heard {code} {type} {rs} {param} {method}", code=ctx["$uac_req(evcode)"],
        type=ctx["$uac_req(evtype)"], rs=ctx["$rs"], param=ctx["$uac_req(evparam)"],
        method=ctx["$uac_req(method)"])
@request_route
def main(ctx):
    ctx["$uac_req(method)"] = "OPTIONS"
    ctx["$uac_req(ruri)"] = "sip:192.0.2.2"
    ctx["$uac_req(evroute)"] = 1
    ctx["$uac_req(evparam)"] = "mine"
"""
SEND = "    ctx.uac.req_send()\n    return Drop()\n"
LOGIN = """
    ctx["$uac_req(auser)"] = "alice"
    ctx["$uac_req(apasswd)"] = "secret"
"""
CHALLENGE = b'WWW-Authenticate: Digest realm="r1", nonce="n1", algorithm=MD5\r\n'


def run(body: str, **options: object) -> World:
    """Return a world whose script has just sent what ``body`` describes."""
    world = World(HEAD + body + SEND, **options)  # type: ignore[arg-type]
    world.receive(invite(method=b"MESSAGE"))
    assert world.counters.script_errors == 0, world.log.lines
    return world


def heard(world: World) -> list[str]:
    return [line for line in world.log.lines if line.startswith("heard")]


def reply(world: World, status: int, fields: bytes = b"", peer: tuple[str, int] = CALLEE) -> None:
    world.receive(answer(world.last_to(peer), status, fields=fields), peer)


def response_of(request: Message, method: bytes, uri: bytes) -> bytes:
    """Return the digest response that alice's password gives for these credentials."""
    (given,) = parse_credentials(request, b"authorization")
    algorithm = find_algorithm(b"MD5")
    assert algorithm is not None
    return compute_response(
        algorithm,
        ha1=compute_ha1(algorithm, b"alice", b"r1", b"secret"),
        nonce=given.nonce,
        method=method,
        uri=uri,
        qop=b"",
        nc=b"",
        cnonce=b"",
        body=b"",
    )


def test_41_the_defaults_of_a_request() -> None:
    (request,) = run("").sent_to(CALLEE)
    assert (request.method, request.request_uri) == (b"OPTIONS", b"sip:192.0.2.2")
    assert request.get(CSEQ) == b"10 OPTIONS"
    assert request.from_.head == request.to.head == b"<sip:192.0.2.2>"
    assert request.from_.tag and request.get(CALL_ID)
    assert not request.to.tag
    assert request.get(MAX_FORWARDS) == b"70"
    assert not request.has(CONTACT)
    assert [text(name) for name in request.names] == [
        "via", "to", "from", "cseq", "call-id", "max-forwards", "content-length", "user-agent",
    ]  # fmt: skip


def test_42_one_retry_answers_the_challenge_and_both_replies_are_told() -> None:
    """That the second reply has an event too: kamailio #1598."""
    world = run(LOGIN)
    reply(world, 401, CHALLENGE)
    first, second = world.sent_to(CALLEE)
    assert second.get(CSEQ) == b"11 OPTIONS"
    assert second.call_id == first.call_id
    assert second.from_.raw == first.from_.raw
    assert second.to.raw == first.to.raw  # no tag
    assert second.via.branch != first.via.branch
    (given,) = parse_credentials(second, b"authorization")
    assert given.response == response_of(second, b"OPTIONS", b"sip:192.0.2.2")
    reply(world, 200)
    assert heard(world) == ["heard 401 1 401 mine OPTIONS", "heard 200 1 200 mine OPTIONS"]


def test_42_a_second_401_ends_it() -> None:
    world = run(LOGIN)
    reply(world, 401, CHALLENGE)
    reply(world, 401, CHALLENGE)
    assert world.kinds_to(CALLEE) == ["OPTIONS", "OPTIONS"]
    assert [line.split()[1] for line in heard(world)] == ["401", "401"]


def test_42_display_names_and_headers_stay_on_the_retry() -> None:
    world = run(
        LOGIN
        + """
    ctx["$uac_req(furi)"] = '"Our Trunk" <sip:7@here.example;x=1>;y=2'
    ctx["$uac_req(turi)"] = 'Gate <sip:gate@there.example>'
    ctx["$uac_req(hdrs)"] = "X-One: 1\\r\\nSubject: without an end"
"""
    )
    reply(world, 401, CHALLENGE)
    first, second = world.sent_to(CALLEE)
    assert second.from_.raw.startswith(b'"Our Trunk" <sip:7@here.example;x=1>;y=2;tag=')
    assert second.from_.raw == first.from_.raw
    assert second.to.raw == b"Gate <sip:gate@there.example>"
    lines = second.lines
    at = lines.index(b"X-One: 1")
    assert lines[at + 1] == b"Subject: without an end"
    assert lines[at + 2].startswith(b"Authorization: Digest ")
    assert lines[at + 3 :] == []


def test_43_a_time_out_is_told_as_408_of_our_own() -> None:
    """Time-outs of which nobody was told: kamailio #3047."""
    world = run("")
    world.let(40.0)
    assert heard(world) == ["heard 408 2 None mine OPTIONS"]


def test_44_cseqno_is_the_first_number() -> None:
    """Asked for in kamailio #1768."""
    world = run(LOGIN + '    ctx["$uac_req(cseqno)"] = 77\n')
    reply(world, 401, CHALLENGE)
    assert [request.cseq.number for request in world.sent_to(CALLEE)] == [77, 78]


@pytest.mark.parametrize(
    ("key", "value", "field", "shown"),
    [
        ("callid", "fixed@here", "call-id", "fixed@here"),
        ("ftag", "f1", "from", "<sip:192.0.2.2>;tag=f1"),
        ("ttag", "t1", "to", "<sip:192.0.2.2>;tag=t1"),
        ("furi", "sip:us@here.example;x=1", "from", "<sip:us@here.example;x=1>;tag="),
    ],
)
def test_each_key_has_its_effect_on_the_wire(key: str, value: str, field: str, shown: str) -> None:
    (request,) = run(f'    ctx["$uac_req({key})"] = {value!r}\n').sent_to(CALLEE)
    assert text(request.get(field.encode()) or b"").startswith(shown)


def test_ouri_is_the_next_hop_and_nothing_else() -> None:
    world = run('    ctx["$uac_req(ouri)"] = "sip:192.0.2.3"\n')
    (request,) = world.sent_to(OTHER)
    assert request.request_uri == b"sip:192.0.2.2"
    assert world.sent_to(CALLEE) == []


def test_flags_say_that_apasswd_is_ha1() -> None:
    algorithm = find_algorithm(b"MD5")
    assert algorithm is not None
    ha1 = compute_ha1(algorithm, b"alice", b"r1", b"secret")
    world = run(
        f"""
    ctx["$uac_req(auser)"] = "alice"
    ctx["$uac_req(apasswd)"] = {text(ha1)!r}
    ctx["$uac_req(flags)"] = 1
"""
    )
    reply(world, 401, CHALLENGE)
    (given,) = parse_credentials(world.last_to(CALLEE), b"authorization")
    assert given.response == response_of(world.last_to(CALLEE), b"OPTIONS", b"sip:192.0.2.2")


def test_evroute_2_tells_failures_alone_and_challenges_are_answered_all_the_same() -> None:
    for status, told in ((200, 0), (486, 1)):
        world = run(LOGIN + '    ctx["$uac_req(evroute)"] = 2\n')
        reply(world, 401, CHALLENGE)
        reply(world, status)
        assert len(heard(world)) == told
    silent = run('    ctx["$uac_req(evroute)"] = 2\n')
    silent.let(40.0)
    assert heard(silent) == ["heard 408 2 None mine OPTIONS"]


def test_without_evroute_nobody_is_told() -> None:
    world = run('    ctx["$uac_req(evroute)"] = None\n')
    reply(world, 200)
    assert heard(world) == []


def test_all_resets_every_key_the_credentials_too() -> None:
    world = run(
        LOGIN
        + """
    ctx["$uac_req(hdrs)"] = "X-One: 1"
    ctx["$uac_req(all)"] = None
    ctx["$uac_req(method)"] = "INFO"
    ctx["$uac_req(ruri)"] = "sip:192.0.2.2"
"""
    )
    (request,) = world.sent_to(CALLEE)
    assert request.method == b"INFO" and b"X-One: 1" not in request.lines
    reply(world, 401, CHALLENGE)
    assert len(world.sent_to(CALLEE)) == 1


def test_what_one_context_wrote_another_does_not_see() -> None:
    world = World(
        HEAD.replace("    ctx", "    if ctx.request.method == 'MESSAGE': ctx")
        + """
    ctx.log.info("method {m}", m=ctx["$uac_req(method)"])
    return Drop()
"""
    )
    world.receive(invite(method=b"MESSAGE"))
    world.receive(invite(method=b"INFO", branch=b"z9hG4bKother"), CALLER)
    said = [line for line in world.log.lines if line.startswith("method")]
    assert said == ["method OPTIONS", "method None"]


def test_the_event_route_is_a_context_of_its_own_that_may_send_again() -> None:
    world = World(
        """
from uacproxy.routing import Drop, event_route, request_route
@event_route("uac:reply")
def heard(ctx):
    if ctx["$rs"] == 503:
        ctx["$uac_req(ouri)"] = "sip:192.0.2.3"
        ctx["$uac_req(evroute)"] = 0
        ctx.uac.req_send()
    ctx["$uac_req(method)"] = "spoilt"
@request_route
def main(ctx):
    ctx["$uac_req(method)"] = "OPTIONS"
    ctx["$uac_req(ruri)"] = "sip:192.0.2.2"
    ctx["$uac_req(evroute)"] = 1
    ctx.uac.req_send()
    return Drop()
"""
    )
    world.receive(invite(method=b"MESSAGE"))
    reply(world, 503)
    assert world.kinds_to(OTHER) == ["OPTIONS"]
    assert world.counters.script_errors == 0


def test_what_is_written_after_sending_or_in_an_event_does_not_reach_the_next_event() -> None:
    """The module keeps one buffer a process, which every event writes over."""
    source = HEAD.replace(
        "@request_route", '    ctx["$uac_req(evparam)"] = "of an event"\n@request_route'
    )
    after = '    ctx.uac.req_send()\n    ctx["$uac_req(evparam)"] = "later"\n    return Drop()\n'
    world = World(source + LOGIN + after)
    world.receive(invite(method=b"MESSAGE"))
    reply(world, 401, CHALLENGE)
    reply(world, 200)
    assert heard(world) == ["heard 401 1 401 mine OPTIONS", "heard 200 1 200 mine OPTIONS"]
