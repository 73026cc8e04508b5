"""An anonymous caller through the proxy core: hidden in every message of its dialog."""

from __future__ import annotations

import pytest

from tests.support.world import CALLEE, CALLER, World, answer, invite
from uacproxy.routing.settings import (
    RuleSettings,
    parse_hiding,
    parse_identity,
    parse_relay,
)
from uacproxy.sip.message import Message

NAMING = (
    b"P-Asserted-Identity: <sip:alice@a.example>\r\n"
    b"Organization: Alice Ltd\r\n"
    b"User-Agent: AlicePBX\r\n"
)
ANONYMOUS = b'"Anonymous" <sip:anonymous@anonymous.invalid>;tag=at1'


def world(hiding: str, identity: str = "") -> World:
    rule = RuleSettings(
        name="out",
        assert_identity=parse_identity(identity) if identity else None,
        hide_caller=parse_hiding(hiding),
        relay=parse_relay("sip:192.0.2.2"),
    )
    return World(rules=[rule])


def names_alice(message: Message) -> bool:
    """Tell whether the fields name her; Via, Call-ID and Route name hosts alone."""
    fields = zip(message.names, message.lines, strict=True)
    return any(b"alice" in line.lower() for name, line in fields if name != b"call-id")


def request_of_callee(method: bytes, sent: Message, to: bytes, cseq: int = 1) -> bytes:
    """Return a request back, to the Contact that the callee was shown."""
    return (
        invite(
            method=method,
            uri=sent.addresses(b"contact")[0].uri,
            branch=b"z9hG4bKback" + method,
            cseq=cseq,
            fields=b"".join(b"Route: " + one + b"\r\n" for one in sent.fields(b"record-route")),
            from_=b"<sip:bob@b.example>;tag=bt1",
            to=to,
        )
        .replace(b"192.0.2.1:5060;branch", b"192.0.2.2:5060;branch")
        .replace(b"Contact: <sip:alice@192.0.2.1>", b"Contact: <sip:bob@192.0.2.2>")
    )


def test_an_untrusted_callee_learns_nothing_in_the_whole_dialog() -> None:
    bench = world("untrusted")
    bench.receive(invite(fields=NAMING + b"Privacy: id\r\n"))
    sent = bench.last_to(CALLEE)
    assert sent.from_.raw == ANONYMOUS
    assert b";hide=untrusted>" in sent.need(b"record-route") or b";hide=untrusted;" in sent.need(
        b"record-route"
    )
    assert sent.need(b"contact").startswith(b"<sip:anonymous@192.0.2.1;cuser=")
    assert not names_alice(sent)
    bench.receive(answer(sent, 200), CALLEE)
    final = bench.last_to(CALLER)
    assert final.from_.raw == b'"Alice" <sip:alice@a.example>;tag=at1'
    routes = b"".join(b"Route: " + one + b"\r\n" for one in final.fields(b"record-route"))
    for number, method in ((1, b"ACK"), (2, b"UPDATE")):
        bench.receive(
            invite(method=method, uri=b"sip:bob@192.0.2.2", branch=b"z9hG4bKd" + method,
                   cseq=number, fields=routes + NAMING, to=final.to.raw)
        )  # fmt: skip
        assert bench.last_to(CALLEE).method == method
        assert not names_alice(bench.last_to(CALLEE))
        assert bench.last_to(CALLEE).from_.raw == ANONYMOUS


def test_a_request_of_the_callee_reaches_the_contact_and_its_answer_names_nobody() -> None:
    bench = world("untrusted")
    bench.receive(invite(fields=NAMING + b"Privacy: id\r\n"))
    sent = bench.last_to(CALLEE)
    bench.receive(answer(sent, 200), CALLEE)
    for number, method in enumerate((b"INVITE", b"BYE"), 1):
        bench.receive(request_of_callee(method, sent, ANONYMOUS, number), CALLEE)
        back = bench.last_to(CALLER)
        assert (back.method, back.request_uri) == (method, b"sip:alice@192.0.2.1")
        assert back.to.raw == b'"Alice" <sip:alice@a.example>;tag=at1'
        ok = answer(back, 200, fields=b"Server: AlicePBX\r\n" + NAMING)
        bench.receive(ok.replace(b"<sip:bob@192.0.2.2>", b'"Alice" <sip:alice@192.0.2.1>'), CALLER)
        told = bench.last_to(CALLEE)
        assert told.status == 200
        assert not names_alice(told)
        assert told.need(b"contact").startswith(b"<sip:anonymous@192.0.2.1;cuser=")
    assert bench.counters.restore_failures == 0


def test_an_altered_contact_is_counted_and_the_request_goes_on() -> None:
    bench = world("untrusted")
    bench.receive(invite(fields=b"Privacy: id\r\n"))
    sent = bench.last_to(CALLEE)
    bench.receive(answer(sent, 200), CALLEE)
    bye = request_of_callee(b"BYE", sent, ANONYMOUS).replace(b";cuser=", b";cuser=AAAA")
    bench.receive(bye, CALLEE)
    assert bench.last_to(CALLER).request_uri.startswith(b"sip:anonymous@192.0.2.1;cuser=AAAA")
    assert bench.counters.restore_failures == 1


def test_a_trusted_provider_is_told_who_calls() -> None:
    bench = world("trusted", 'pai "Office" sip:+4930123@p.example')
    bench.receive(invite(fields=NAMING + b"Privacy: id\r\n"))
    sent = bench.last_to(CALLEE)
    assert sent.from_.raw == ANONYMOUS
    assert sent.fields(b"p-asserted-identity") == [b'"Office" <sip:+4930123@p.example>']
    assert sent.fields(b"privacy") == [b"id"]
    assert not sent.has(b"organization") and not sent.has(b"user-agent")


@pytest.mark.parametrize("fields", [NAMING, NAMING + b"Privacy: none\r\n"])
def test_a_caller_who_is_not_anonymous_is_not_hidden(fields: bytes) -> None:
    bench = world("untrusted")
    bench.receive(invite(fields=fields))
    sent = bench.last_to(CALLEE)
    assert sent.from_.raw == b'"Alice" <sip:alice@a.example>;tag=at1'
    assert sent.has(b"p-asserted-identity") and sent.has(b"organization")
    assert b"hide=" not in sent.need(b"record-route")


def test_a_call_without_the_privacy_it_insists_on_is_not_made() -> None:
    bench = world("untrusted")
    bench.receive(invite(fields=b"Privacy: id;header;critical\r\n"))
    assert bench.sent_to(CALLEE) == []
    assert bench.last_to(CALLER).status == 500
    assert bench.last_to(CALLER).reason == b"Privacy not available: header"


def test_an_identity_in_from_is_not_put_there_for_an_anonymous_caller() -> None:
    bench = world("trusted", "from sip:+4930123@p.example")
    bench.receive(invite())
    assert bench.last_to(CALLEE).from_.raw == b"<sip:+4930123@p.example>;tag=at1"
    bench = world("trusted", "from sip:+4930123@p.example")
    bench.receive(invite(fields=b"Privacy: id\r\n"))
    assert bench.last_to(CALLEE).from_.raw == ANONYMOUS
