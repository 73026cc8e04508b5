"""What single steps cost, measured by pyperf: mean and deviation over processes of their own.

python -m bench.micro.steps                    # or `make bench-micro`, interpreted and compiled
python -m bench.micro.steps -o FILE            # for `python -m pyperf compare_to BEFORE FILE`
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator

import pyperf

from bench.messages import SDP
from bench.micro.core import kind_of_core
from uacproxy.counters import TransactionCounters
from uacproxy.flow import Flow
from uacproxy.sip.build import build_response
from uacproxy.sip.digest import read_challenges
from uacproxy.sip.message import Message
from uacproxy.sip.names import FROM, MAX_FORWARDS, VIA
from uacproxy.sip.parse import check_required, parse_message
from uacproxy.sip.uri import Uri, parse_uri
from uacproxy.transaction.table import TransactionTable
from uacproxy.transaction.timers import BeatClock
from uacproxy.transaction.tokens import SystemRandom
from uacproxy.uac.credentials import Credential
from uacproxy.uac.digest_client import answer
from uacproxy.uac.replace import Identities
from uacproxy.uac.rr_param import SealedCodec

AT_ONCE = 500  # of a step, before transactions end
UNREMEMBERED = 5000  # more than a codec remembers
URI = b"sip:+4930555@provider.example.net"


def invite(number: int, method: bytes = b"INVITE") -> bytes:
    """Return a request as a phone sends it."""
    return (
        method + b" sip:+4930555%d@provider.example.net SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.1:5061;branch=z9hG4bK-4242-%d;rport\r\n"
        b"Max-Forwards: 70\r\n"
        b'From: "Alice Example" <sip:alice@pbx.example.com>;tag=4242a%d\r\n'
        b"To: <sip:+4930555%d@provider.example.net>\r\n"
        b"Call-ID: %d-4242@192.0.2.1\r\nCSeq: 1 "
        % ((number,) * 5)
        + method
        + b"\r\nContact: <sip:alice@192.0.2.1:5061;transport=udp>\r\n"
        b"Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO\r\n"
        b"User-Agent: ExamplePBX/20.5.0\r\nContent-Type: application/sdp\r\n"
        b"Content-Length: %d\r\n\r\n" % len(SDP) + SDP
    )


class Nowhere(Flow):
    """A way nobody is at the end of."""

    sent_by = b"192.0.2.100:5060"

    def __init__(self) -> None:
        super().__init__(b"UDP", ("192.0.2.1", 5061), ("192.0.2.100", 5060), reliable=False)

    def send(self, octets: bytes, failed: object) -> None:
        """Send nothing."""

    def answering(self, via: object) -> Flow:
        """Return itself."""
        return self


class User:
    """A transaction user that leaves everything to the benchmark."""

    def request_received(self, server: object, request: object, flow: object) -> None:
        """Keep the server transaction."""
        self.server = server

    def ack_received(self, ack: object, flow: object) -> None:
        """Hear nothing."""

    cancel_received = response_unmatched = ack_received


class Transactions:
    """A table and time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.number = 0
        self.clock = BeatClock(lambda: self.now, print)
        self.user = User()
        drawn = open("/dev/urandom", "rb")  # noqa: SIM115  for as long as the process lives
        self.table = TransactionTable(
            clock=self.clock,
            random=SystemRandom(drawn.read, lambda low, _high: low),
            counters=TransactionCounters(),
            user=self.user,
            max_transactions=10_000_000,
        )
        self.flow = Nowhere()

    def pass_by(self) -> None:
        """Let every transaction end."""
        for _ in range(4):
            self.now += 33.0
            self.clock.beat()

    def server(self, method: bytes) -> Callable[[int], None]:
        """Return what makes server transactions with one answer each."""

        def step(count: int) -> None:
            for _ in range(count):
                self.number += 1
                request = parse_message(invite(self.number, method))
                self.table.request_received(request, self.flow)
                self.user.server.respond(build_response(request, 200, b"", b"t"))  # type: ignore[attr-defined]
            self.pass_by()

        return step

    def client(self, method: bytes) -> Callable[[int], None]:
        """Return what makes client transactions with one answer each."""

        def step(count: int) -> None:
            for _ in range(count):
                self.number += 1
                request = parse_message(invite(self.number, method))
                answer = build_response(request, 200, b"", b"t")
                self.table.start_client(request, self.flow, ignore)
                self.table.response_received(answer, self.flow)
            self.pass_by()

        return step

    def timers(self, count: int) -> None:
        """Set timers and cancel them."""
        for _ in range(count):
            self.clock.callLater(32.0, ignore).cancel()


def ignore(*_: object) -> None:
    """Take anything."""


def parse(count: int) -> None:
    """Read a request and check it."""
    octets = invite(1)
    for _ in range(count):
        check_required(parse_message(octets))


def edit(count: int) -> None:
    """Copy, edit and write a request."""
    message: Message = parse_message(invite(1))
    for _ in range(count):
        copy = message.branch_copy()
        copy.set(MAX_FORWARDS, b"69")
        copy.push(VIA, b"SIP/2.0/UDP 192.0.2.100:5060;rport;branch=z9hG4bKa")
        copy.encode()


def seal(count: int) -> None:
    """Seal an identity."""
    codec = SealedCodec(b"vsf", b"vst", [bytes(range(32))])
    one = Identities(b'"Alice" <sip:alice@pbx.example.com>', b"<sip:trunk@provider.example.net>")
    for _ in range(count):
        codec.params(one, b"1-4242@192.0.2.1", b"4242a1")


def challenge(count: int) -> None:
    """Read a digest challenge."""
    for _ in range(count):
        read_challenges(b'Digest realm="provider", nonce="5f2a8c", qop="auth", algorithm=MD5')


def answer_challenge(count: int) -> None:
    """Answer a digest challenge."""
    (one,) = read_challenges(b'Digest realm="provider", nonce="5f2a8c", qop="auth", algorithm=MD5')
    credential = Credential(b"trunk01", b"provider", b"s3cret01")
    for number in range(count):
        answer(one, credential, method=b"INVITE", uri=URI, nc=number + 1, cnonce=b"c0ffee")


def encode(count: int) -> None:
    """Write a message down."""
    message = parse_message(invite(1))
    for _ in range(count):
        message.encode()


@functools.cache
def sealed() -> tuple[SealedCodec, Iterator[tuple[Message, Uri]]]:
    """Return a codec, and requests with routes that it has not opened of late."""
    codec = SealedCodec(b"vsf", b"vst", [bytes(range(32))])
    found = []
    for number in range(UNREMEMBERED):
        request = parse_message(invite(number))
        one = Identities(request.from_.head, b"<sip:trunk@provider.example.net>")
        params = codec.params(one, request.call_id, request.from_.tag)
        words = b"".join(b";" + name + b"=" + value for name, value in params)
        found.append((request, parse_uri(b"sip:192.0.2.100;lr" + words)))
    return codec, itertools.cycle(found)


def unseal(count: int) -> None:
    """Open a sealed identity."""
    codec, found = sealed()
    for _ in range(count):
        request, route = next(found)
        codec.head(FROM, request, route, True)


def timed(step: Callable[[int], None]) -> Callable[[int], float]:
    """Return a step as pyperf calls it: so many times, and returns s."""

    def run(loops: int) -> float:
        step(1)  # what is made once
        began = time.perf_counter()
        for done in range(0, loops, AT_ONCE):
            step(min(AT_ONCE, loops - done))
        return time.perf_counter() - began

    return run


def main() -> None:
    """Run and print."""
    runner = pyperf.Runner(
        values=3, warmups=1, processes=5, program_args=("-m", "bench.micro.steps")
    )
    transactions = Transactions()
    steps: dict[str, Callable[[int], None]] = {
        "parse and check an INVITE": parse,
        "copy, edit, encode": edit,
        "encode": encode,
        "seal an identity": seal,
        "open a sealed identity": unseal,
        "INVITE server, with its message": transactions.server(b"INVITE"),
        "INVITE client, with its message": transactions.client(b"INVITE"),
        "other server, with its message": transactions.server(b"BYE"),
        "other client, with its message": transactions.client(b"BYE"),
        "set and cancel a timer": transactions.timers,
        "read a digest challenge": challenge,
        "answer a digest challenge": answer_challenge,
    }
    for name, step in steps.items():
        runner.bench_time_func(f"{name} ({kind_of_core()})", timed(step))


if __name__ == "__main__":
    main()
