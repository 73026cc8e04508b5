"""One transaction, or a table of them, with every port held in the hand."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.clock import SteppingClock
from uacproxy.counters import TransactionCounters
from uacproxy.ports import Flow
from uacproxy.sip.build import build_response
from uacproxy.sip.message import Message
from uacproxy.sip.parse import check_required, parse_message
from uacproxy.sip.via import Via

BRANCH = b"z9hG4bK776asdhds"
LOST = "the transport failed"
AGAIN = "the request came again"
ACK = "the ACK came"
Event = int | float | str  # a status code, seconds that pass, or one of the words above


def request(
    method: bytes,
    *,
    branch: bytes = BRANCH,
    sent_by: bytes = b"pc33.atlanta.example",
    uri: bytes = b"sip:bob@biloxi.example",
    to_tag: bytes = b"",
    from_tag: bytes = b"1928301774",
    call_id: bytes = b"a84b4c76e66710",
    cseq: int = 314159,
) -> Message:
    """Return a sound request as received; an empty ``branch`` leaves the parameter out."""
    message = parse_message(
        method + b" " + uri + b" SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP " + sent_by + (b";branch=" + branch if branch else b"") + b"\r\n"
        b"Max-Forwards: 70\r\n"
        b"To: <sip:bob@biloxi.example>" + (b";tag=" + to_tag if to_tag else b"") + b"\r\n"
        b"From: <sip:alice@atlanta.example>;tag=" + from_tag + b"\r\n"
        b"Call-ID: " + call_id + b"\r\n"
        b"CSeq: %d " % cseq + method + b"\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    check_required(message)
    return message


def answer(to: Message, status: int, to_tag: bytes = b"b1") -> Message:
    """Return a response to ``to`` as it comes from the network."""
    return parse_message(build_response(to, status, to_tag=to_tag).encode())


class RecordingFlow(Flow):
    """A flow that keeps what was sent, and when; ``fail`` says that nothing left."""

    sent_by = b"p1.example"

    def __init__(self, clock: SteppingClock, *, reliable: bool = False) -> None:
        transport = b"TCP" if reliable else b"UDP"
        super().__init__(transport, ("192.0.2.1", 5060), ("192.0.2.2", 5060), reliable=reliable)
        self.sent: list[tuple[float, bytes]] = []
        self._clock = clock
        self._failed: Callable[[], None] | None = None

    def send(self, octets: bytes, failed: Callable[[], None] | None) -> None:
        self.sent.append((self._clock.seconds(), octets))
        self._failed = failed

    def answering(self, _via: Via) -> Flow:
        return self

    def fail(self) -> None:
        """Report the octets sent last as lost."""
        if self._failed is not None:
            self._failed()

    @property
    def shown(self) -> list[str]:
        """Return a word for each message sent: its method or status."""
        first = [octets.split(b"\r\n", 1)[0].split(b" ") for _, octets in self.sent]
        return [(words[1] if words[0] == b"SIP/2.0" else words[0]).decode() for words in first]


class Ports:
    """A clock, a flow and counters."""

    def __init__(self, *, reliable: bool = False) -> None:
        self.clock = SteppingClock()
        self.flow = RecordingFlow(self.clock, reliable=reliable)
        self.counters = TransactionCounters()

    def wait(self, seconds: float) -> None:
        self.clock.run_until(self.clock.seconds() + seconds)

    @property
    def timers(self) -> int:
        """Return how many calls are pending."""
        return len(self.clock.getDelayedCalls())


class CountedRandom:
    """Tokens that count up."""

    def __init__(self) -> None:
        self.count = 0

    def token(self) -> bytes:
        self.count += 1
        return b"%016x" % self.count

    def uniform(self, low: float, _high: float) -> float:
        return low
