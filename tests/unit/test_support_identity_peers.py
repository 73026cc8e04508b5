"""What the phones of the identity tests take for a word that they were told."""

from __future__ import annotations

import pytest

from tests.support.identity_peers import is_told


@pytest.mark.parametrize(
    "octets", [b"<sip:BOB@a>", b"Bob <sip:x@a>", b"user=bob", b"a-bob-1", b"bob"]
)
def test_a_short_word_is_heard_where_it_stands_by_itself(octets: bytes) -> None:
    assert is_told(b"Bob", octets)


def test_a_short_word_is_not_heard_in_what_was_sealed() -> None:
    assert not is_told(b"Bob", b"vsf=V4hYG4XJ6GVPAuEboB0kfEmnPU")


def test_a_long_word_is_heard_anywhere() -> None:
    assert is_told(b"liddell", b"xLiddell9")
