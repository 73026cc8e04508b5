"""The post between workers: an inbox of one's own, and a way into that of each other.

Every inbox is a pair of UNIX sockets made before the workers, so that what is handed to one
that has died waits for the next. The sender never waits: what finds no room is tried again
soon, up to ``MAX_WAITING`` letters, and what comes then is dropped and counted, as a network
would do.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Final, Protocol, final

from uacproxy.counters import TransportCounters
from uacproxy.transport.bind import DATAGRAM_BUFFER, enlarge
from uacproxy.transport.letters import MOST_HANDED, Kind, Letter, read_letter, write_letter
from uacproxy.transport.wire import MAX_DATAGRAM, READ_AT_ONCE, NativeWire

MAX_WAITING: Final = 2048  # letters for one worker, beyond what the kernel holds
GATHERED: Final = 32  # letters sent together
TRY_AGAIN: Final = 0.005  # s
MAX_TICKETS: Final = 8192  # sends whose failure is still told

Taker = Callable[[list[Letter]], None]
"""Takes letters of one kind that came one after another."""


class Pair(Protocol):
    """Ends of pairs of UNIX sockets; ``Wire`` without addresses."""

    def receive(self, octets: list[bytes], wheres: list[object]) -> int:
        """See ``Wire``."""

    def send(self, octets: list[bytes], wheres: list[object], begin: int) -> int:
        """See ``Wire``."""


@final
class PlainPair:
    """One call of the kernel for each letter."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def receive(self, octets: list[bytes], wheres: list[object]) -> int:
        """Read until there is nothing left."""
        for _ in range(READ_AT_ONCE):
            try:
                octets.append(self._end.recv(MAX_DATAGRAM))
            except BlockingIOError:
                break
            wheres.append(b"")
        return -1

    def send(self, octets: list[bytes], wheres: list[object], begin: int) -> int:
        """Send one after another."""
        at = begin
        while at < len(octets):
            try:
                self._end.send(octets[at])
            except OSError:
                if at == begin:
                    raise
                break
            at += 1
        return at


def make_inbox() -> tuple[socket.socket, socket.socket]:
    """Return the end to read and the one to write, non-blocking.

    What SOCK_SEQPACKET holds is bounded by octets; SOCK_DGRAM would hold as many letters as
    ``net.unix.max_dgram_qlen`` says, often 10.
    """
    read, written = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (read, written):
        end.setblocking(False)
        enlarge(end, DATAGRAM_BUFFER)
    return read, written


def open_pair(end: socket.socket) -> Pair:
    """Return the better form that there is."""
    try:
        return NativeWire(end)
    except ImportError:
        return PlainPair(end)


@final
class Post:
    """One worker's; ``gather`` and ``flush`` go around what hands over many at a time."""

    def __init__(
        self,
        number: int,
        inbox: socket.socket,
        outboxes: Sequence[socket.socket],
        *,
        counters: TransportCounters,
        later: Callable[[float, Callable[[], None]], object],
        open_end: Callable[[socket.socket], Pair] = open_pair,
    ) -> None:
        """Begin with nothing to hand over; ``take`` says who takes what.

        Args:
            number: of this worker, from 0.
            inbox: non-blocking, to be read.
            outboxes: of every worker by its number, non-blocking, to be written.
            counters: of all sockets.
            later: calls in a later turn.
            open_end: opens each end.
        """
        self.number = number
        self.workers = len(outboxes)
        self._inbox = open_end(inbox)
        self._outboxes = [open_end(end) for end in outboxes]
        self._waiting: list[list[bytes]] = [[] for _ in outboxes]
        self._is_full = [False for _ in outboxes]
        self._counters = counters
        self._later = later
        self._takers: dict[int, Taker] = {}
        self._gathering = 0
        self._tickets: dict[int, Callable[[], None]] = {}
        self._last_ticket = 0
        self._takers[Kind.FAILED] = self._failures_received

    def take(self, kind: Kind, taker: Taker) -> None:
        """Have letters of a kind taken."""
        self._takers[kind] = taker

    # -- handing over ----------------------------------------------------------------------

    def gather(self) -> None:
        """Hold what is handed over until ``flush``; the two may be nested."""
        self._gathering += 1

    def flush(self) -> None:
        """Send what was held."""
        self._gathering -= 1
        if not self._gathering:
            for worker, waiting in enumerate(self._waiting):
                if waiting and not self._is_full[worker]:
                    self._send(worker)

    def put(
        self,
        worker: int,
        kind: int,
        *,
        listener: int = 0,
        connection: int = 0,
        ticket: int = 0,
        place: bytes = b"",
        octets: bytes = b"",
    ) -> bool:
        """Hand a letter to another worker; False: there is no room for it."""
        waiting = self._waiting[worker]
        if len(waiting) >= MAX_WAITING or len(octets) > MOST_HANDED:
            self._counters.handed_lost += 1
            return False
        letter = Letter(kind, self.number, listener, connection, ticket, place, octets)
        waiting.append(write_letter(letter))
        self._counters.handed += 1
        if self._is_full[worker]:
            return True
        if not self._gathering or len(waiting) >= GATHERED:
            self._send(worker)
        return True

    def put_to_others(
        self, kind: int, *, listener: int = 0, place: bytes = b"", octets: bytes = b""
    ) -> None:
        """Hand a letter to every other worker."""
        for worker in range(self.workers):
            if worker != self.number:
                self.put(worker, kind, listener=listener, place=place, octets=octets)

    def _send(self, worker: int) -> None:
        waiting = self._waiting[worker]
        wheres: list[object] = [b""] * len(waiting)
        at = 0
        while at < len(waiting):
            try:
                at = self._outboxes[worker].send(waiting, wheres, at)
            except BlockingIOError:
                break
            except OSError:  # too long for the kernel, or the pair is gone
                self._counters.handed_lost += 1
                at += 1
        del waiting[:at]
        self._is_full[worker] = bool(waiting)
        if waiting:
            self._later(TRY_AGAIN, lambda: self._send(worker))

    # -- tickets ---------------------------------------------------------------------------

    def ticket(self, failed: Callable[[], None] | None) -> int:
        """Return a number under which ``failed`` is called when a letter FAILED has it."""
        if failed is None:
            return 0
        tickets = self._tickets
        if len(tickets) >= MAX_TICKETS:
            del tickets[next(iter(tickets))]
        self._last_ticket = self._last_ticket % 0xFFFFFFFF + 1
        tickets[self._last_ticket] = failed
        return self._last_ticket

    def _failures_received(self, letters: list[Letter]) -> None:
        for letter in letters:
            failed = self._tickets.pop(letter.ticket, None)
            if failed is not None:
                failed()

    # -- the inbox ---------------------------------------------------------------------------

    def read(self) -> None:
        """Take what others have handed over; what is answered to them leaves together."""
        octets: list[bytes] = []
        self._inbox.receive(octets, [])
        if not octets:
            return
        self.gather()
        some: list[Letter] = []
        for one in octets:
            if not one:
                break  # nobody is left to write: the service ends
            letter = read_letter(one)
            if some and some[0].kind != letter.kind:
                self._hand_on(some)
                some = []
            some.append(letter)
        if some:
            self._hand_on(some)
        self.flush()

    def _hand_on(self, letters: list[Letter]) -> None:
        taker = self._takers.get(letters[0].kind)
        if taker is not None:
            taker(letters)
