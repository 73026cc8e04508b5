"""Ten million fuzzed octets through the border of the sockets and through the framer.

The torture messages and some ordinary ones are broken at random, always in the same way.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.support.log import KeptLog
from tests.support.world import HERE, answer, invite
from tests.unit.test_sip_property import look_everywhere
from uacproxy.counters import TransportCounters
from uacproxy.errors import ParseError
from uacproxy.sip.framing import PING, Framer, StreamBroken
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.message import Message
from uacproxy.sip.parse import MalformedMessage, check_required, parse_message
from uacproxy.testing.clock import SteppingClock
from uacproxy.testing.loopback import Network
from uacproxy.transport.inbound import Inbound

OCTETS = 10_000_000
FOLDER = Path(__file__).parents[1] / "data" / "torture"

ORDINARY = [
    invite(),
    invite(method=b"REGISTER", fields=b'Authorization: Digest realm="a", nonce="b"\r\n'),
    invite(method=b"MESSAGE", body=b"Content-Length: 9\r\n\r\n\0\r\n\r\n"),
    answer(parse_message(invite()), 200, body=b"v=0\r\n"),
    answer(parse_message(invite()), 407, fields=b'Proxy-Authenticate: Digest realm="a,b"\r\n'),
]
TELLING = [
    *(bytes([octet]) for octet in b'\r\n\t\0 "\\<>,;:=@%[]()/?*&'),
    b"\r\n",
    b"\r\n ",
    b"\r\n\r\n",
    b"\xff",
    b"\xc3\xa9",
    b"SIP/2.0",
    b"sip:",
    b"tel:+1",
    b"[::1]",
    b"z9hG4bK",
    b";branch=",
    b";tag=",
    b";rport",
    b"Via: ",
    b"v:",
    b"\r\nl: 5\r\n",
    b"\r\nContent-Length: 5\r\n",
    b"%00",
    b"4294967296",
    b"-1",
    b"(" * 40,
    b"\r\n x" * 40,
    b"," * 200,
]


def seeds() -> list[bytes]:
    """Return what is to be broken."""
    return ORDINARY * 4 + [path.read_bytes() for path in sorted(FOLDER.glob("*.dat"))]


def broken(random: Random, whole: list[bytes]) -> bytes:
    """Return one message with up to four faults, or with none."""
    octets = random.choice(whole)
    for _ in range(random.randrange(5)):
        at = random.randrange(len(octets) + 1)
        end = min(len(octets), at + random.choice((1, 1, 2, 8, 40)))
        match random.randrange(7):
            case 0:
                octets = octets[:at] + random.randbytes(end - at) + octets[end:]
            case 1:
                octets = octets[:at] + octets[end:]
            case 2:
                octets = octets[:end] + octets[at:]
            case 3:
                octets = octets[:at]
            case 4:
                other = random.choice(whole)
                octets = octets[:at] + other[random.randrange(len(other)) :]
            case _:
                octets = octets[:at] + random.choice(TELLING) + octets[random.choice((at, end)) :]
    return octets


def batches(seed: int, messages: int) -> Iterator[list[bytes]]:
    """Yield broken messages until there were ten million octets."""
    random = Random(seed)
    whole = seeds()
    left = OCTETS
    while left > 0:
        batch = [broken(random, whole) for _ in range(messages)]
        left -= sum(map(len, batch))
        yield batch


@pytest.mark.slow
def test_ten_million_fuzzed_octets_are_messages_or_counted() -> None:
    clock = SteppingClock()
    log = KeptLog()
    counters = TransportCounters()
    heard: list[Message] = []
    rejected: list[MalformedMessage] = []
    inbound = Inbound(
        limits=LimitSettings(),
        counters=counters,
        is_ours=lambda _host, _port, _transport: True,
        deliver=lambda message, _flow: heard.append(message),
        reject=lambda error, _flow: rejected.append(error),
        clock=clock,
        log=log,
    )
    network = Network(clock)
    endpoint = network.endpoint(*HERE, deliver=lambda _message, _flow: None, log=log)
    flow = endpoint.flow(("192.0.2.1", 5060))
    delivered = 0
    for batch in batches(4475, 200):
        for octets in batch:
            inbound.datagram_received(octets, flow)
        for message in heard:
            look_everywhere(message)
            parse_message(message.encode())
        for error in rejected:
            assert error.status in (400, 414, 505, 513)
            assert error.message is not None
            look_everywhere(error.message)
        delivered += len(heard)
        heard.clear()
        rejected.clear()
    assert counters.received == delivered + counters.malformed
    assert min(delivered, counters.malformed) > 3000
    assert (counters.own_mistakes, log.lines) == (0, [])


def cut(stream: bytes, size: int) -> tuple[list[bytes], int]:
    """Return the frames of a stream that comes in chunks, and the status where it broke."""
    framer = Framer()
    frames: list[bytes] = []
    try:
        for at in range(0, len(stream), size):
            framer.feed(stream[at : at + size], frames)
    except StreamBroken as error:
        return frames, error.status
    return frames, -framer.pending


@pytest.mark.slow
def test_ten_million_fuzzed_octets_are_cut_alike_in_one_chunk_and_octet_by_octet() -> None:
    messages = keep_alives = breaks = 0
    for number, batch in enumerate(batches(5118, 6)):
        stream = b"".join(batch[:3]) + PING + b"".join(batch[3:])
        whole = cut(stream, len(stream))
        assert cut(stream, 1 + number % 700) == whole
        if number % 8 == 0:
            assert cut(stream, 1) == whole
        frames, end = whole
        breaks += end > 0
        keep_alives += frames.count(PING)
        for frame in frames:
            try:
                parse_message(frame)
            except MalformedMessage as error:
                look_everywhere(error.message or parse_message(invite()))
            messages += frame != PING
    assert min(messages, keep_alives, breaks) > 500


def test_no_broken_message_is_left_to_the_collector_which_never_comes_under_load() -> None:
    no_lengths = [
        invite().replace(b"Content-Length: 0", b"Content-Length: " + length)
        for length in (b"-1", b"", b"x", b"99999999999", b"1, 2")
    ]
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for octets in [*no_lengths, *seeds()]:
            with suppress(ParseError):
                check_required(parse_message(octets))
            assert gc.collect() == 0, octets
    finally:
        gc.enable()
        gc.unfreeze()
