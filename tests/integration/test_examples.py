"""What docs/examples.md shows, run as it stands there: each example between peers of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.endpoint import Caller, Endpoint, Heard
from tests.support.uacproxy_process import UacproxyProcess

PAGE = Path(__file__).resolve().parents[2] / "docs" / "examples.md"

Start = Callable[..., UacproxyProcess]


def examples() -> dict[str, dict[str, str]]:
    """Return the blocks of each example by language, the examples by their heading."""
    found: dict[str, dict[str, str]] = {}
    for section in PAGE.read_text().split("\n## ")[1:]:
        heading, _, rest = section.partition("\n")
        found[heading] = dict(re.findall(r"```(\w+)\n(.*?)```", rest, re.DOTALL))
    return found


def run(start: Start, heading: str, gateway: str = "", **swaps: str) -> UacproxyProcess:
    """Run an example; ``swaps`` are further words of its script and what stands for them."""
    blocks = dict(examples()[heading])
    for language, text in blocks.items():
        text = text.replace("192.0.2.10:5060", "@HERE@").replace("sip:gw.trunk.example", gateway)
        for old, new in swaps.items():
            assert old in blocks["python"], old
            text = text.replace(old, new)
        blocks[language] = text
    files = {"route.py": blocks["python"]} if "python" in blocks else {}
    return start(blocks["ini"], files=files)


@pytest.fixture
def alice() -> Endpoint:
    return Endpoint("alice")


@pytest.fixture
def peer() -> Endpoint:
    return Endpoint("peer")


def test_every_example_has_a_test() -> None:
    tested = {
        "A trunk that asks for credentials",
        "Hide the caller",
        "Click to call",
        "Is the gateway alive",
    }
    assert set(examples()) == tested


def test_a_trunk_that_asks_for_credentials(
    start_uacproxy: Start, alice: Endpoint, peer: Endpoint
) -> None:
    service = run(start_uacproxy, "A trunk that asks for credentials", f"sip:{peer.address}")
    with alice, peer:
        call = Caller(alice, service.address)
        call.invite()
        challenge = 'Proxy-Authenticate: Digest realm="trunk.example", nonce="n1", qop="auth"\r\n'
        first = peer.hears("INVITE")
        peer.answers(first, "407 Proxy Authentication Required", service.address, tag="b",
                     more=challenge)  # fmt: skip
        peer.hears("ACK")
        second = peer.hears("INVITE")
        assert second.get("from").startswith('"Trunk 7" <sip:7@trunk.example>')
        assert 'username="trunk7"' in second.get("proxy-authorization")
        assert (first.get("cseq"), second.get("cseq")) == ("1 INVITE", "2 INVITE")
        peer.answers(second, "200 OK", service.address, tag="b", more=peer.contact)
        final = alice.hears_final("200")
        assert (final.get("cseq"), final.get("from")) == ("1 INVITE", call.from_)
        call.in_dialog("ACK", final, 1)
        assert peer.hears("ACK").get("cseq") == "2 ACK"


def test_hide_the_caller(start_uacproxy: Start, alice: Endpoint, peer: Endpoint) -> None:
    service = run(start_uacproxy, "Hide the caller", f"sip:{peer.address}")
    with alice, peer:
        call = Caller(alice, service.address)
        call.from_ = '"Alice" <sip:alice@a.example>;tag=hidden'
        for private, shown in ((True, "anonymous.invalid"), (False, "office@trunk.example")):
            call.call_id = f"{private}-{alice.address}"
            invite_with(call, "Privacy: id;user\r\n" if private else "")
            invite = peer.hears("INVITE")
            assert shown in invite.get("from")
            assert ("alice@" in invite.octets.decode()) == (not private)
            peer.answers(invite, "486 Busy Here", service.address, tag="b")
            busy = alice.hears_final("486")
            assert busy.get("from") == call.from_
            call.acknowledge_failure(busy)
            peer.hears("ACK")


def invite_with(call: Caller, more: str) -> None:
    """Send an INVITE with further fields, by an endpoint that has its fields from ``Caller``."""
    text = (
        "INVITE sip:bob@b.example SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {call.endpoint.address};branch=z9hG4bK-invite-{call.call_id}\r\n"
        f"Max-Forwards: 70\r\nFrom: {call.from_}\r\nTo: {call.to}\r\n"
        f"Call-ID: {call.call_id}\r\nCSeq: 1 INVITE\r\n"
        f"{call.endpoint.contact}{more}Content-Length: 0\r\n\r\n"
    )
    call.endpoint.send(text, call.service)


def test_click_to_call(start_uacproxy: Start, alice: Endpoint, peer: Endpoint) -> None:
    service = run(start_uacproxy, "Click to call")
    with alice, peer:
        body = f"sip:phone@{peer.address} sip:carol@c.example"
        alice.send(
            f"MESSAGE sip:click@{service.address} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {alice.address};branch=z9hG4bKclick\r\nMax-Forwards: 70\r\n"
            f"From: <sip:app@a.example>;tag=1\r\nTo: <sip:click@b.example>\r\nCall-ID: click\r\n"
            f"CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
            f"{body}",
            service.address,
        )
        invite = peer.hears("INVITE")
        assert invite.get("from").startswith('"Call to sip:carol@c.example" <sip:click@')
        peer.answers(invite, "180 Ringing", service.address, tag="b", more=peer.contact)
        peer.answers(invite, "200 OK", service.address, tag="b", more=peer.contact)
        assert peer.hears("ACK").get("cseq") == "10 ACK"
        refer = peer.hears("REFER")
        assert refer.get("refer-to") == "<sip:carol@c.example>"
        peer.answers(refer, "202 Accepted", service.address)
        bye = peer.hears("BYE")
        peer.answers(bye, "200 OK", service.address)
        assert alice.hears("202").get("cseq") == "1 MESSAGE"
        service.wait_for(uac_calls=0, uac_requests=0)


def test_is_the_gateway_alive(start_uacproxy: Start, alice: Endpoint, peer: Endpoint) -> None:
    service = run(
        start_uacproxy,
        "Is the gateway alive",
        f"sip:{peer.address}",
        **{"sleep(30)": "sleep(0.1)"},
    )
    with alice, peer:
        options: Heard = peer.hears("OPTIONS")
        assert options.get("from").startswith("<sip:ping@trunk.example>;tag=")
        peer.answers(options, "200 OK", service.address, tag="b")
        service.wait_for_log("gateway is up")
        service.wait_for_log("gateway is down")  # the next one is not answered
        Caller(alice, service.address).invite()
        alice.hears_final("503")
