"""Which URIs name this service: addresses of listeners, and domains (RFC 3261 16.4, 16.5)."""

from __future__ import annotations

import pytest

from uacproxy.settings import parse_listen
from uacproxy.sip.uri import parse_uri
from uacproxy.testing.clock import SteppingClock
from uacproxy.transport.addresses import LocalAddresses
from uacproxy.transport.own_names import OwnNames
from uacproxy.transport.own_uris import OwnUris

NAMES = OwnNames(None, LocalAddresses(SteppingClock().seconds))
URIS = OwnUris(NAMES, frozenset((b"example.com",)))
NAMES.add(parse_listen("udp:192.0.2.1:5060"))  # later than the question's answerer was made
NAMES.add(parse_listen("tcp:192.0.2.1:5070"))


@pytest.mark.parametrize(
    ("uri", "ours"),
    [
        (b"sip:192.0.2.1", True),
        (b"sip:bob@192.0.2.1:5060", True),
        (b"sip:192.0.2.1:5070;transport=tcp", True),
        (b"sip:192.0.2.1:5070;transport=udp", True),  # the host is, and the port is some listener's
        (b"sip:192.0.2.1:5080", False),
        (b"sip:192.0.2.2", False),
        (b"sip:bob@Example.COM", True),
        (b"sip:bob@example.com:5060", True),
        (b"sips:bob@example.com:5070", True),
        (b"sip:bob@example.com:5080", False),
        (b"sip:bob@other.example", False),
        (b"tel:+4930", False),
    ],
)
def test_a_uri_is_ours_by_a_listeners_address_or_by_a_domain(uri: bytes, ours: bool) -> None:
    assert URIS.is_ours(parse_uri(uri)) is ours


def test_a_domain_is_ours_and_so_is_a_listeners_address() -> None:
    assert URIS.is_our_domain(b"example.com")
    assert URIS.is_our_domain(b"192.0.2.1")
    assert not URIS.is_our_domain(b"other.example")
