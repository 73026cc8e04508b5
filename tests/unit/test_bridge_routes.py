"""Bridge in scripts and rules: failure routes, credentials, stores, limits."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.support.bridge import ANSWER, SDP, BridgedCall, octets_at
from tests.support.world import CALLEE, CALLER, OTHER, World, invite
from uacproxy.bridge.calls import SKIPPED
from uacproxy.bridge.record import decode_call
from uacproxy.errors import StoreCorrupt
from uacproxy.routing.settings import RuleSettings, parse_auth, parse_relay, parse_replacement
from uacproxy.sip.names import AUTHORIZATION, PROXY_AUTHORIZATION
from uacproxy.store.memory import MemoryStore
from uacproxy.uac.credentials import Credential, CredentialList

CHALLENGE = b'WWW-Authenticate: Digest realm="b.example",nonce="%b",qop="auth"\r\n'
CREDENTIALS = CredentialList([Credential(b"alice", b"b.example", b"secret")])

NOT_FOUND = """
from uacproxy.routing import *
@request_route
def main(ctx):
    return Reply(404)
"""
FAILING = """
from uacproxy.routing import *
@request_route
def main(ctx):
    ctx.on_failure("F")
    return Bridge("sip:bob@192.0.2.2")
@failure_route("F")
def failed(ctx):
%s
"""


def failing(body: str, **world: Any) -> BridgedCall:
    return BridgedCall(script=FAILING % body, **world)


# -- failure routes --------------------------------------------------------------------


def test_a_failure_route_sees_the_response_and_bridges_elsewhere() -> None:
    call = failing("    assert ctx.check_status('486')\n    return Bridge('sip:carol@192.0.2.3')\n")
    call.invite()
    call.callee_says(180)
    call.callee_says(486)
    assert call.world.kinds_to(CALLER) == ["100", "180"]
    call.callee_says(200, peer=OTHER, body=ANSWER)
    assert call.world.kinds_to(CALLER) == ["100", "180", "200"]
    rang = [one.to.tag for one in call.world.sent_to(CALLER) if one.status > 100]
    call.caller_acks()
    assert rang[0] != b""
    call.caller_sends(b"BYE")
    call.callee_says(200, peer=OTHER)
    call.is_gone()


HIDING = """
from uacproxy.routing import *
@request_route
def main(ctx):
    ctx.on_failure("F")
    return Bridge(
        "sip:bob@192.0.2.2", from_='"Office" <sip:1@b.example>', to="sip:$rU@b.example",
        auth="user:alice",
    )
@failure_route("F")
def failed(ctx):
    ctx.on_failure("F")
    return Bridge("sip:carol@192.0.2.3"%s)
"""


def test_a_target_of_a_failure_route_sees_no_more_of_the_caller_than_the_first_did() -> None:
    call = BridgedCall(script=HIDING % "", credentials=CREDENTIALS)
    call.invite()
    hidden = call.callee_got(b"INVITE")
    for _ in range(2):  # what the third Bridge does not say, the first has said
        call.callee_says(486, peer=CALLEE if call.world.sent_to(OTHER) == [] else OTHER)
        sent = call.callee_got(b"INVITE", OTHER)
        assert (sent.from_.head, sent.to.head) == (hidden.from_.head, hidden.to.head)
        assert sent.from_.head == b'"Office" <sip:1@b.example>'
        assert b"a.example" not in octets_at(call.world, OTHER)
    call.callee_says(401, peer=OTHER, fields=CHALLENGE % b"n1")
    assert call.callee_got(b"INVITE", OTHER).has(AUTHORIZATION)


def test_a_failure_route_may_say_another_identity() -> None:
    call = BridgedCall(script=HIDING % ", from_='sip:2@b.example'")
    call.invite()
    call.callee_says(486)
    sent = call.callee_got(b"INVITE", OTHER)
    assert sent.from_.head == b"<sip:2@b.example>"
    assert sent.to.head == call.world.sent_to(CALLEE)[0].to.head


def test_the_script_of_the_page_about_bridges_does_what_the_page_says() -> None:
    page = Path("docs/b2bua.md").read_text()
    script = page[page.index("    from uacproxy.routing") : page.index("Targets go out")]
    script = script.replace("gw1.trunk.example", "192.0.2.2").replace(
        "gw2.trunk.example", "192.0.2.3"
    )
    call = BridgedCall(script=dedent(script).replace("account:trunk7", "user:alice"))
    call.invite()
    first = call.callee_got(b"INVITE")
    call.callee_says(503)
    second = call.callee_got(b"INVITE", OTHER)
    assert first.request_uri.replace(b"192.0.2.2", b"192.0.2.3") == second.request_uri
    assert b"$" not in first.request_uri
    assert first.from_.head == second.from_.head == b'"Example Ltd" <sip:+4930123456@trunk.example>'


def test_a_failure_route_answers() -> None:
    call = failing("    return Reply(480, 'Later')\n")
    call.invite()
    call.callee_says(486)
    assert call.world.last_to(CALLER).start == b"SIP/2.0 480 Later"
    call.is_gone()


def test_a_failure_route_relays() -> None:
    call = failing("    return Relay('sip:192.0.2.3')\n")
    call.invite()
    call.callee_says(486)
    sent = call.callee_got(b"INVITE", OTHER)
    assert len(sent.fields(b"via")) == 2
    assert sent.call_id == b"call-1@a.example"
    call.callee_says(200, peer=OTHER)
    assert call.world.last_to(CALLER).status == 200


def test_a_cancel_after_a_relay_has_followed_reaches_its_branch() -> None:
    call = failing("    return Relay('sip:192.0.2.3')\n")
    call.invite()
    call.callee_says(486)
    call.callee_says(180, peer=OTHER)
    call.caller_cancels()
    assert call.world.last_to(OTHER).method == b"CANCEL"
    call.callee_says(487, peer=OTHER, method=b"INVITE")
    assert call.world.last_to(CALLER).status == 487


def test_a_failure_route_that_decides_nothing_passes_the_failure_on() -> None:
    call = failing("    return None\n")
    call.invite()
    call.callee_says(486)
    assert call.world.last_to(CALLER).status == 486
    call.is_gone()


def test_a_failure_route_that_raises_passes_the_failure_on() -> None:
    call = failing("    1 / 0\n")
    call.invite()
    call.callee_says(486)
    assert call.world.last_to(CALLER).status == 486
    assert call.world.counters.script_errors == 1
    call.is_gone()


def test_a_route_that_never_gives_up_does() -> None:
    call = failing("    ctx.on_failure('F')\n    return Bridge('sip:bob@192.0.2.2')\n")
    call.invite()
    for _ in range(40):
        if call.world.last_to(CALLEE).method == b"ACK" and call.world.last_to(CALLER).status >= 200:
            break
        call.callee_says(486)
    assert call.world.last_to(CALLER).status == 500
    call.is_gone()


def test_a_cancel_while_the_failure_route_thinks_ends_the_call() -> None:
    script = FAILING.replace("def failed", "async def failed") % (
        "    import types\n    await _wait()\n    return Bridge('sip:carol@192.0.2.3')\n"
    )
    script += "import types\n@types.coroutine\ndef _wait():\n    yield\n"
    call = BridgedCall(script=script)
    call.invite()
    call.callee_says(486)
    call.caller_cancels()
    assert call.world.kinds_to(CALLER)[-1] == "487"
    call.world.resume()
    assert call.world.sent_to(OTHER) == []
    call.is_gone()


def test_a_bridge_may_follow_a_relay_that_failed() -> None:
    call = BridgedCall(
        script=(FAILING % "    return Bridge('sip:carol@192.0.2.3')\n").replace(
            'return Bridge("sip:bob@192.0.2.2")', 'return Relay("sip:192.0.2.2")'
        )
    )
    call.invite()
    call.callee_says(486)
    sent = call.callee_got(b"INVITE", OTHER)
    assert len(sent.fields(b"via")) == 1
    call.callee_says(200, peer=OTHER, body=ANSWER)
    call.caller_acks()
    call.caller_sends(b"BYE")
    call.callee_says(200, peer=OTHER)
    call.is_gone()


# -- credentials -----------------------------------------------------------------------


def test_every_request_of_the_outer_side_answers_challenges() -> None:
    call = BridgedCall("'sip:bob@192.0.2.2', auth='realm'", credentials=CREDENTIALS)
    call.invite()
    call.callee_says(401, fields=CHALLENGE % b"n1")
    second = call.callee_got(b"INVITE")
    assert (second.cseq.number, call.world.kinds_to(CALLER)) == (2, ["100"])
    assert b'nonce="n1"' in second.need(AUTHORIZATION)
    call.callee_says(200, body=ANSWER)
    assert call.callee_got(b"ACK").cseq.number == 2
    call.caller_acks()
    call.caller_sends(b"INVITE", body=SDP)
    third = call.callee_got(b"INVITE")
    assert not third.has(AUTHORIZATION)  # inside the dialog nobody has asked yet
    call.callee_says(401, fields=CHALLENGE % b"n2")
    fourth = call.callee_got(b"INVITE")
    assert (third.cseq.number, fourth.cseq.number) == (3, 4)
    call.callee_says(200, body=ANSWER)
    call.caller_acks()
    call.caller_sends(b"INVITE", body=SDP)
    fifth = call.callee_got(b"INVITE")
    assert b"nc=00000002" in fifth.need(AUTHORIZATION)  # before it is asked
    call.callee_says(200, body=ANSWER)
    call.caller_acks()
    call.caller_sends(b"BYE")
    assert not call.callee_got(b"BYE").has(AUTHORIZATION)  # it would go on to the far end
    call.callee_says(401, fields=CHALLENGE % b"n3")
    bye = call.callee_got(b"BYE")
    assert bye.cseq.number == 7
    assert b'nonce="n3"' in bye.need(AUTHORIZATION)
    call.callee_says(200)
    assert b"Authorization" not in b"".join(
        octets for _, to, _, octets in call.world.sent if to == CALLER
    )
    call.is_gone()


def test_challenges_of_the_callers_side_are_answered_where_a_script_says_so() -> None:
    script = NOT_FOUND.replace(
        "return Reply(404)",
        "ctx.uac.auth_as('yes', 'caller')\n    return Bridge('sip:bob@192.0.2.2')",
    )
    call = BridgedCall(script=script, credentials=CREDENTIALS).answered()
    call.callee_sends(b"BYE")
    bye = call.world.last_to(CALLER)
    challenge = (CHALLENGE % b"n1").replace(b"WWW-", b"Proxy-")
    call.caller_says(407, fields=challenge)
    again = call.world.last_to(CALLER)
    assert again.cseq.number == bye.cseq.number + 1
    assert again.has(PROXY_AUTHORIZATION)
    call.caller_says(200)
    call.is_gone()


def test_wrong_credentials_are_a_403() -> None:
    call = BridgedCall("'sip:bob@192.0.2.2', auth='realm'", credentials=CREDENTIALS)
    call.invite()
    call.callee_says(401, fields=CHALLENGE % b"n1")
    call.callee_says(401, fields=CHALLENGE % b"n1")
    assert call.world.last_to(CALLER).status == 403
    call.is_gone()


def test_auth_in_a_failure_route_sends_once_more_and_answers_the_bye_too() -> None:
    call = failing(
        "    if ctx.uac.auth():\n        ctx.on_failure('F')\n        return Bridge()\n",
        credentials=CREDENTIALS,
    )
    call.invite()
    call.callee_says(401, fields=CHALLENGE % b"n1")
    second = call.callee_got(b"INVITE")
    assert second.cseq.number == 2
    assert len(second.fields(AUTHORIZATION)) == 1
    call.callee_says(200, body=ANSWER)
    call.caller_acks()
    call.caller_sends(b"BYE")
    call.callee_says(401, fields=CHALLENGE % b"n2")
    assert b'nonce="n2"' in call.callee_got(b"BYE").need(AUTHORIZATION)
    call.callee_says(200)
    call.is_gone()


# -- rules -----------------------------------------------------------------------------


def test_a_rule_bridges_invites_and_nothing_else() -> None:
    rules = [
        RuleSettings(
            name="out",
            bridge=parse_relay("sip:$rU@192.0.2.2"),
            replace_from=parse_replacement('"Trunk" sip:7@trunk.example'),
            auth=parse_auth("yes"),
        )
    ]
    world = World(rules=rules, credentials=CREDENTIALS)
    world.receive(invite(uri=b"sip:bob@proxy.example"))
    sent = world.last_to(CALLEE)
    assert sent.request_uri == b"sip:bob@192.0.2.2"
    assert sent.from_.head == b'"Trunk" <sip:7@trunk.example>'
    assert len(sent.fields(b"via")) == 1
    world.receive(invite(uri=b"sip:bob@proxy.example", method=b"MESSAGE", branch=b"z9hG4bKm"))
    assert world.last_to(CALLER).status == 404


# -- stores ----------------------------------------------------------------------------


def restarted(call: BridgedCall) -> None:
    """Give the call another process on the same store."""
    old = call.world
    new = World(
        NOT_FOUND,
        store=old.store,
        credentials=CREDENTIALS,
    )
    new.clock.advance(old.clock.seconds())
    new.sent = list(old.sent)
    call.world = new


@pytest.fixture
def stored() -> BridgedCall:
    clock: list[World] = []
    store = MemoryStore(lambda: clock[0].clock.seconds() if clock else 0.0)
    call = BridgedCall("'sip:bob@192.0.2.2', auth='realm'", store=store, credentials=CREDENTIALS)
    clock.append(call.world)
    call.answered()
    restarted(call)
    return call


def test_after_a_restart_the_caller_hangs_up(stored: BridgedCall) -> None:
    stored.caller_sends(b"BYE")
    world = stored.world
    assert world.kinds_to(CALLER)[-1] == "200"
    bye = world.last_to(CALLEE)
    assert bye.method == b"BYE"
    assert bye.cseq.number > SKIPPED  # what the dead process sent last may not be written
    assert world.bridge_counters.taken_over == 1
    stored.callee_says(401, fields=CHALLENGE % b"n9")
    assert b'nonce="n9"' in world.last_to(CALLEE).need(AUTHORIZATION)
    stored.callee_says(200)
    stored.is_gone()


def test_after_a_restart_the_callee_hangs_up(stored: BridgedCall) -> None:
    stored.callee_sends(b"BYE")
    assert stored.world.kinds_to(CALLEE)[-1] == "200"
    assert stored.world.last_to(CALLER).method == b"BYE"
    stored.caller_says(200)
    stored.is_gone()


def test_after_a_restart_offers_still_pass(stored: BridgedCall) -> None:
    stored.callee_sends(b"INVITE", body=SDP)
    assert stored.world.last_to(CALLER).body == SDP
    stored.caller_says(200, body=ANSWER)
    assert stored.world.last_to(CALLEE).body == ANSWER


def test_a_store_of_one_process_is_loaded_at_its_start(stored: BridgedCall) -> None:
    done: list[bool] = []
    stored.world.calls.load(lambda: done.append(True))
    assert done == [True]
    assert len(stored.world.calls) == 1
    assert next(stored.world.calls.rows())["state"] == "bridged"
    stored.world.let(43300.0)  # max_call_time goes on
    kinds = stored.world.kinds_to(CALLER)
    assert "BYE" in kinds


def test_the_store_forgets_a_call_that_is_over() -> None:
    call = BridgedCall()
    call.answered()
    kept: list[bytes] = []
    call.world.store.scan("calls", lambda key, value, at: kept.append(key), lambda: None)
    assert len(kept) == 2
    call.caller_sends(b"BYE")
    kept.clear()
    call.world.store.scan("calls", lambda key, value, at: kept.append(key), lambda: None)
    assert kept == []


def test_a_request_to_our_contact_that_nobody_knows_is_a_481() -> None:
    world = World(NOT_FOUND)
    world.receive(
        invite(method=b"BYE", uri=b"sip:abc@192.0.2.100", to=b"<sip:bob@b.example>;tag=abc")
    )
    assert world.last_to(CALLER).status == 481


def test_a_broken_record_is_counted_and_is_no_call(stored: BridgedCall) -> None:
    tag = stored.caller_got(200).to.tag
    stored.world.store.put("calls", tag, b'[1,"nonsense"]', 1e9)
    stored.caller_sends(b"BYE")
    assert stored.world.last_to(CALLER).status == 481
    assert stored.world.bridge_counters.corrupt == 1


@pytest.mark.parametrize(
    "value", [b"", b"[]", b"{}", b"[2,1,2,3,4,5,6]", b"[1,1,2,3,4,5,6]", b"\xff", b"null"]
)
def test_a_record_of_nonsense_is_said_to_be_one(value: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        decode_call(value)


PLACE = {
    "started": (3,),
    "ends": (4,),
    "interval": (1, 2),
    "line": (1, 4, 0, 0),
    "call-id": (1, 0, 1),
    "head": (2, 0, 4),
    "tag": (2, 0, 5),
    "target": (2, 0, 6),
    "routes": (2, 0, 7),
    "contact": (1, 0, 8),
    "local_cseq": (1, 0, 9),
    "remote_cseq": (1, 0, 10),
}


def changed(call: BridgedCall, what: str, value: object) -> bytes:
    """Return the record of a call with one value changed."""
    kept: list[bytes] = []
    call.world.store.scan("calls", lambda key, value, at: kept.append(value), lambda: None)
    record = next(json.loads(one) for one in kept if one.startswith(b"["))
    *way, last = PLACE[what]
    part = record
    for step in way:
        part = part[step]
    part[last] = value
    return json.dumps(record).encode()


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("started", float("nan")),
        ("started", 10**400),
        ("ends", float("inf")),
        ("interval", -1),
        ("interval", 2**32),
        ("local_cseq", -1),
        ("local_cseq", 2**31 - 2**16),
        ("local_cseq", float("nan")),
        ("remote_cseq", float("inf")),
        ("call-id", "a\r\nX: y"),
        ("head", "<sip:a@b>\nX: y"),
        ("tag", "a\rb"),
        ("target", "sip:a@b\r\n"),
        ("routes", ["<sip:r;lr>\r\n Z"]),
        ("contact", "<sip:a@b>\n"),
        ("line", "Content-Type: a/b\r\nX: y"),
    ],
)
def test_a_record_with_a_value_that_nobody_wrote_is_refused(
    stored: BridgedCall, what: str, value: object
) -> None:
    with pytest.raises(StoreCorrupt):
        decode_call(changed(stored, what, value))


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("interval", 2**32 - 1),
        ("local_cseq", 2**31 - 1 - 2**16),
        ("line", "Content-Type: a/b;\r\n c=d"),
    ],
)
def test_a_record_at_its_limits_is_read(stored: BridgedCall, what: str, value: object) -> None:
    decode_call(changed(stored, what, value))


def test_a_record_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(StoreCorrupt):
        decode_call(b"[" * 200_000)
