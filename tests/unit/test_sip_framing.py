"""Cutting a stream into messages (RFC 3261 18.3, RFC 5626 3.5.1)."""

from __future__ import annotations

import pytest

from uacproxy.sip.framing import PING, Framer, StreamBroken
from uacproxy.sip.limits import LimitSettings

HEAD = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\n"
EMPTY = HEAD + b"Content-Length: 0\r\n\r\n"
BODIED = HEAD + b"l : 9\r\n\r\n\r\n\r\nab\0\r\n"
FOLDED = HEAD + b"CONTENT-LENGTH:\r\n  4\r\nX: y\r\n\r\n1234"


def frames_of(*chunks: bytes, limits: LimitSettings | None = None) -> list[bytes]:
    framer = Framer(limits or LimitSettings())
    frames: list[bytes] = []
    for chunk in chunks:
        framer.feed(chunk, frames)
    return frames


def octet_by_octet(octets: bytes) -> list[bytes]:
    return frames_of(*[octets[at : at + 1] for at in range(len(octets))])


def broken_by(octets: bytes, limits: LimitSettings | None = None) -> StreamBroken:
    with pytest.raises(StreamBroken) as caught:
        frames_of(octets, limits=limits)
    return caught.value


STREAM = EMPTY + BODIED + b"\r\n" + PING + FOLDED + PING + EMPTY
FRAMES = [EMPTY, BODIED, PING, FOLDED, PING, EMPTY]


@pytest.mark.parametrize(
    ("octets", "frames"),
    [
        (EMPTY * 3, [EMPTY] * 3),
        (BODIED + FOLDED, [BODIED, FOLDED]),
        (PING + EMPTY, [PING, EMPTY]),
        (PING * 3, [PING] * 3),
        (b"\r\n" + EMPTY, [EMPTY]),
        (PING + b"\r\n" + EMPTY, [PING, EMPTY]),
        (EMPTY[:-1], []),
        (BODIED[:-1], []),
        (b"", []),
    ],
)
def test_a_stream_is_cut_the_same_whole_and_octet_by_octet(
    octets: bytes, frames: list[bytes]
) -> None:
    assert frames_of(octets) == frames
    assert octet_by_octet(octets) == frames


def test_a_stream_is_cut_the_same_wherever_a_chunk_ends() -> None:
    expected = frames_of(STREAM)
    assert [frame for frame in expected if frame != PING] == [EMPTY, BODIED, FOLDED, EMPTY]
    for at in range(len(STREAM)):
        assert frames_of(STREAM[:at], STREAM[at:]) == expected


def test_half_a_keep_alive_waits_for_the_other_half() -> None:
    framer = Framer()
    frames: list[bytes] = []
    for chunk in (b"\r", b"\n", b"\r"):
        framer.feed(chunk, frames)
        assert frames == []
    assert framer.pending == 3
    framer.feed(b"\n", frames)
    assert (frames, framer.pending) == ([PING], 0)


def test_what_waits_is_counted() -> None:
    framer = Framer()
    frames: list[bytes] = []
    framer.feed(EMPTY + HEAD, frames)
    assert (frames, framer.pending) == ([EMPTY], len(HEAD))


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"Content-Length:\r\n",
        b"Content-Length: -999\r\n",
        b"Content-Length: 1x\r\n",
        b"Content-Length: 5\r\nl: 13\r\n",
        b"Content-Length: " + b"9" * 30 + b"\r\n",
        b"Content-Length: \xb2\r\n",
        b"X: y\r\n Content-Length: 0\r\n",
        b"X: y\nContent-Length: 0\r\n",
        b"XContent-Length: 0\r\n",
    ],
)
def test_without_one_sound_length_a_stream_is_broken(fields: bytes) -> None:
    error = broken_by(HEAD + fields + b"\r\n")
    assert (error.status, error.head) == (400, HEAD + fields + b"\r\n")


def test_what_came_before_the_break_is_handed_on() -> None:
    frames: list[bytes] = []
    with pytest.raises(StreamBroken):
        Framer().feed(EMPTY + HEAD + b"\r\n" + EMPTY, frames)
    assert frames == [EMPTY]


def test_the_same_length_twice_breaks_nothing() -> None:
    twice = HEAD + b"l: 2\r\nContent-Length: 2\r\n\r\nab"
    assert frames_of(twice + EMPTY) == [twice, EMPTY]


def test_leading_zeros_are_part_of_a_length() -> None:
    zeros = HEAD + b"l: 000000000000002\r\n\r\nab"
    assert frames_of(zeros) == [zeros]


def test_a_head_without_end_breaks_the_stream_at_the_limit() -> None:
    limits = LimitSettings(max_message=1300)
    framer = Framer(limits)
    framer.feed(b"x" * 1300, [])
    with pytest.raises(StreamBroken) as caught:
        framer.feed(b"x", [])
    assert (caught.value.status, caught.value.head) == (513, b"")


def test_a_body_over_the_limit_is_refused_before_it_comes() -> None:
    limits = LimitSettings(max_message=1300)
    head = HEAD + b"l: %d\r\n\r\n"
    fits = 1300 - len(head % 1000)
    assert len(frames_of(head % fits + b"x" * fits, limits=limits)) == (len(head % fits) <= 1300)
    assert broken_by(head % 1300, limits).status == 513
