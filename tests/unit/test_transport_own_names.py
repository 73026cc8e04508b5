"""By which host and port we are known (RFC 3261 18.1.1, 18.1.2, 16.4)."""

from __future__ import annotations

import pytest

from uacproxy.settings import Address, parse_listen
from uacproxy.testing.clock import SteppingClock
from uacproxy.transport.addresses import (
    LocalAddresses,
    address_in_reference,
    address_of_reference,
    canonical_address,
)
from uacproxy.transport.own_names import OwnNames


def names(*words: str, advertise: Address | None = None) -> OwnNames:
    made = OwnNames(advertise, LocalAddresses(SteppingClock().seconds))
    for word in words:
        made.add(parse_listen(word))
    return made


EXACT = names("udp:192.0.2.1:5060", "tcp:192.0.2.1:5070", "udp:[2001:DB8:0::1]:5080")
WILD = names("udp:0.0.0.0:5060", "tcp:[::]:5060")
BEHIND_NAT = names("udp:10.0.0.1:5070", advertise=Address("Trunk.Example", 0))

OURS = [
    (EXACT, b"192.0.2.1", 5060, b"UDP", True),
    (EXACT, b"192.0.2.1", None, b"UDP", True),
    (EXACT, b"192.0.2.1", None, None, True),
    (EXACT, b"192.0.2.1", 5070, None, True),
    (EXACT, b"192.0.2.1", 5070, b"TCP", True),
    (EXACT, b"192.0.2.1", 5070, b"UDP", False),
    (EXACT, b"192.0.2.1", None, b"TCP", False),
    (EXACT, b"192.0.2.1", None, b"TLS", False),
    (EXACT, b"192.0.2.2", 5060, b"UDP", False),
    (EXACT, b"[2001:db8::1]", 5080, b"UDP", True),
    (EXACT, b"[2001:0db8:0:0::1]", 5080, b"UDP", True),
    (EXACT, b"[2001:db8::2]", 5080, b"UDP", False),
    (EXACT, b"a.example", 5060, b"UDP", False),
    (WILD, b"127.0.0.1", 5060, b"UDP", True),
    (WILD, b"127.0.0.1", 5060, b"TCP", False),
    (WILD, b"[::1]", 5060, b"TCP", True),
    (WILD, b"192.0.2.1", 5060, b"UDP", False),
    (WILD, b"127.0.0.1", 5061, b"UDP", False),
    (WILD, b"0.0.0.0", 5060, b"UDP", False),
    (BEHIND_NAT, b"trunk.example", 5070, b"UDP", True),
    (BEHIND_NAT, b"trunk.example", None, b"UDP", False),
    (BEHIND_NAT, b"10.0.0.1", 5070, b"UDP", True),
]


@pytest.mark.parametrize(("whose", "host", "port", "transport", "ours"), OURS)
def test_is_ours(
    whose: OwnNames, host: bytes, port: int | None, transport: bytes | None, ours: bool
) -> None:
    assert whose.is_ours(host, port, transport) is ours


SENT_BY = [
    ("udp:192.0.2.1:5060", None, "198.51.100.1", b"192.0.2.1:5060"),
    ("udp:[2001:db8::1]:5060", None, "2001:db8::2", b"[2001:db8::1]:5060"),
    ("udp:0.0.0.0:5060", None, "127.0.0.9", b"127.0.0.1:5060"),
    ("udp:10.0.0.1:5060", Address("Trunk.Example", 0), "198.51.100.1", b"trunk.example:5060"),
    ("udp:10.0.0.1:5060", Address("192.0.2.1", 5090), "198.51.100.1", b"192.0.2.1:5090"),
    ("udp:[fd00::1]:5060", Address("192.0.2.1", 5090), "2001:db8::2", b"[fd00::1]:5060"),
    ("udp:[fd00::1]:5060", Address("2001:DB8::1", 0), "2001:db8::2", b"[2001:db8::1]:5060"),
]


@pytest.mark.parametrize(("word", "advertise", "remote", "sent_by"), SENT_BY)
def test_sent_by(word: str, advertise: Address | None, remote: str, sent_by: bytes) -> None:
    listening = parse_listen(word)
    assert names(word, advertise=advertise).sent_by(listening, remote) == sent_by


def test_what_the_kernel_said_is_asked_again_after_a_while() -> None:
    clock = SteppingClock()
    asked: list[str] = []
    addresses = LocalAddresses(
        clock.seconds,
        source_toward=lambda host: asked.append(host) or "192.0.2.1",  # type: ignore[func-returns-value]
        can_bind=lambda host: not asked.append(host),  # type: ignore[func-returns-value]
    )
    for _ in range(3):
        assert addresses.is_local("192.0.2.1")
        assert addresses.toward("192.0.2.2") == "192.0.2.1"
    assert asked == ["192.0.2.1", "192.0.2.2"]
    clock.run_for(31.0)
    assert addresses.is_local("192.0.2.1")
    assert asked == ["192.0.2.1", "192.0.2.2", "192.0.2.1"]


def test_a_name_too_long_for_any_host_is_not_ours_and_not_kept() -> None:
    exact = names("udp:192.0.2.1:5060")
    before = address_of_reference.cache_info().currsize
    for number in range(9):
        assert not exact.is_ours(b"a" * 300 + b"%d" % number, 5060, b"UDP")
    assert len(exact._answers) == 0
    assert address_of_reference.cache_info().currsize == before


def test_a_wildcard_listener_is_named_by_the_address_of_the_moment() -> None:
    clock = SteppingClock()
    here = ["192.0.2.1"]
    local = LocalAddresses(clock.seconds, source_toward=lambda _: here[0], can_bind=lambda _: True)
    moving = OwnNames(None, local)
    word = parse_listen("udp:0.0.0.0:5060")
    moving.add(word)
    assert not moving.is_fixed(word)
    assert moving.sent_by(word, "192.0.2.9") == b"192.0.2.1:5060"
    here[0] = "192.0.2.2"
    clock.run_for(31.0)
    assert moving.sent_by(word, "192.0.2.9") == b"192.0.2.2:5060"
    assert names("udp:192.0.2.1:5060").is_fixed(parse_listen("udp:192.0.2.1:5060"))


@pytest.mark.parametrize("host", ["", "a.example", "1.2.3", "fe80::1%lo", "::1\0", "1.2.3.4 "])
def test_what_is_no_address_has_no_canonical_form(host: str) -> None:
    assert canonical_address(host) is None


@pytest.mark.parametrize("host", [b"\xff", b"[", b"[]", b"[::1", b"a"])
def test_what_is_no_reference_has_no_address(host: bytes) -> None:
    assert address_in_reference(host) is None
