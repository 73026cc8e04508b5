"""Provisional responses that the caller acknowledges, passed from leg to leg (RFC 3262).

The callee's numbers stay on its side. Each response has one of ours on this side, is
repeated until the PRACK comes, and says then which of the callee's was meant.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.ports import Clock, Timer
from uacproxy.sip.grammar import is_digits
from uacproxy.sip.message import Message
from uacproxy.sip.names import REQUIRE
from uacproxy.transaction.server import ServerTransaction

RSEQ: Final = b"rseq"
RELIABLE: Final = b"100rel"
LONGEST_START: Final = 2**31 - 1  # 3
MOST_PENDING: Final = 16  # of one INVITE; a callee that does not wait for PRACK is not heard


def rseq_of(response: Message) -> int:
    """Return the RSeq of a response, 0 where there is none that can be read."""
    value = response.get(RSEQ)
    if value is None or not is_digits(value) or len(value) > 10:
        return 0
    return int(value)


@final
class Pending:
    """One response that waits for its PRACK."""

    __slots__ = ("again_in", "ours", "response", "theirs", "timer")

    def __init__(self, response: Message, ours: int, theirs: bytes, again_in: float) -> None:
        self.response = response
        self.ours = ours
        self.theirs = theirs  # of RAck toward the callee: RSeq, CSeq number, method
        self.again_in = again_in  # s
        self.timer: Timer | None = None


@final
class ReliableResponses:
    """Those to one INVITE in one dialog, numbered from ``first``."""

    __slots__ = ("_clock", "_cseq", "_heard", "_next", "_pending", "_server", "_t1")

    def __init__(self, server: ServerTransaction, clock: Clock, t1: float, first: int) -> None:
        self._server = server
        self._cseq = b"%d" % server.request.cseq.number  # the request goes with its final response
        self._clock = clock
        self._t1 = t1
        self._next = first
        self._heard = 0  # the callee's last RSeq
        self._pending: list[Pending] = []

    def is_new(self, response: Message) -> bool:
        """Tell a response that comes next from one that comes again or too early (4)."""
        number = rseq_of(response)
        if len(self._pending) >= MOST_PENDING:
            return False
        return number > 0 and (self._heard == 0 or number == self._heard + 1)

    def send(self, passed: Message, heard: Message) -> None:
        """Send a response, and again until its PRACK comes.

        Args:
            passed: for the caller.
            heard: what the callee sent.
        """
        number = rseq_of(heard)
        self._heard = number
        ours = self._next
        self._next += 1
        passed.append(REQUIRE, RELIABLE)
        passed.append(RSEQ, b"%d" % ours)
        theirs = b"%d %d INVITE" % (number, heard.cseq.number)
        pending = Pending(passed, ours, theirs, self._t1)
        self._pending.append(pending)
        self._send(pending)

    def acknowledged(self, rack: bytes) -> bytes:
        """Take a PRACK; return the RAck for the callee, b"" where it matches nothing: 481."""
        words = rack.split()
        if len(words) != 3 or words[2] != b"INVITE":
            return b""
        if words[1] != self._cseq or not is_digits(words[0]) or len(words[0]) > 10:
            return b""
        ours = int(words[0])
        for at, pending in enumerate(self._pending):
            if pending.ours == ours:
                del self._pending[at]
                _stop(pending)
                return pending.theirs
        return b""

    def stop(self) -> None:
        """Send nothing more: the INVITE has its final response, which a PRACK may cross."""
        for pending in self._pending:
            _stop(pending)

    def _send(self, pending: Pending) -> None:
        if pending.again_in <= 32 * self._t1:  # then 64*T1 are over; the callee gives up too
            pending.timer = self._clock.callLater(pending.again_in, self._due, pending)
        self._server.respond(pending.response)

    def _due(self, pending: Pending) -> None:
        pending.timer = None
        pending.again_in *= 2
        self._send(pending)


def _stop(pending: Pending) -> None:
    if pending.timer is not None:
        pending.timer.cancel()
        pending.timer = None
