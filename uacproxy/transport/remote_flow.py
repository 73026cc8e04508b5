"""Streams of other workers: what comes on a connection there, and goes back over it.

A connection lives in the worker that accepted or opened it. A message that belongs to
another is handed over with a reference of its flow; what is sent on that flow there comes
back as a letter and is written here. A connection that is gone, also because its worker has
been started anew, fails like one of one's own, and answers then go over a new connection
(RFC 3261 18.2.2).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Final, final

from uacproxy.ports import Flow, HostPort
from uacproxy.settings import ListenAddress
from uacproxy.sip.framing import StreamBroken
from uacproxy.sip.owner import NOBODY, owner_of
from uacproxy.sip.via import Via
from uacproxy.transport.inbound import Inbound
from uacproxy.transport.letters import (
    MOST_HANDED,
    Kind,
    Letter,
    address_of_stream,
    stream_place,
)
from uacproxy.transport.post import Post
from uacproxy.transport.tcp import ConnectionFlow

MAX_FLOWS: Final = 8192  # of others, remembered; a forgotten one is made anew
FORGET_AT: Final = 4096  # numbered connections, when those that have closed are looked for

Failed = Callable[[], None] | None


@final
class RemoteFlow(Flow):
    """A connection of another worker; with ``port``, the way for answers to what came on it."""

    __slots__ = ("_connection", "_listener", "_owner", "_port", "_streams")

    def __init__(
        self, streams: SharedStreams, owner: int, connection: int, listener: int, remote: HostPort
    ) -> None:
        listening = streams.listening[listener]
        super().__init__(b"TCP", remote, (listening.host, listening.port), reliable=True)
        self._streams = streams
        self._owner = owner
        self._connection = connection
        self._listener = listener
        self._port = 0

    @property
    def sent_by(self) -> bytes:
        """Return HOST:PORT of the listener as this peer reaches it."""
        return self._streams.sent_by(self._streams.listening[self._listener], self.remote[0])

    def send(self, octets: bytes, failed: Failed) -> None:
        """Have the other worker send; ``failed`` hears of what it could not."""
        self._streams.write(
            self._owner, self._connection, self._listener, self.remote, self._port, octets, failed
        )

    def answering(self, via: Via) -> Flow:
        """Return the flow for responses: this connection, or a new one to the port of sent-by."""
        if self._port:
            return self
        answers = RemoteFlow(
            self._streams, self._owner, self._connection, self._listener, self.remote
        )
        answers._port = via.port
        return answers


@final
class SharedStreams:
    """Between our streams, the inbound side and the other workers; fits both of their sides."""

    def __init__(
        self,
        inbound: Inbound,
        post: Post,
        *,
        listening: list[ListenAddress],
        sent_by: Callable[[ListenAddress, str], bytes],
        new_flow: Callable[[ListenAddress, str, int], Flow],
        fail: Callable[[Failed], None],
        first_number: int,
    ) -> None:
        """Begin without connections.

        Args:
            inbound: takes what is this worker's own.
            post: to the others.
            listening: every listener, the same list at every worker.
            sent_by: tells how a peer is told to reach a listener.
            new_flow: makes a flow to an address, from a listener.
            fail: tells of a failure in a later turn.
            first_number: of our connections; no worker before us has used it or a later one.
        """
        self.listening = listening
        self.sent_by = sent_by
        self._inbound = inbound
        self._post = post
        self._new_flow = new_flow
        self._fail = fail
        self._index = {address: index for index, address in enumerate(listening)}
        self._next_number = count(first_number)
        self._numbers: dict[ConnectionFlow, int] = {}
        self._by_number: dict[int, ConnectionFlow] = {}
        self._forget_at = FORGET_AT
        self._flows: dict[tuple[int, int], RemoteFlow] = {}
        post.take(Kind.FRAME, self._frames_received)
        post.take(Kind.WRITE, self._writes_received)

    # -- as the inbound side of our own connections -------------------------------------------

    def octets_received(self, octets: bytes, flow: Flow) -> None:
        """Take a message, or hand it over."""
        post = self._post
        owner = owner_of(octets, post.workers)
        if (
            owner in (post.number, NOBODY)
            or len(octets) > MOST_HANDED
            or not isinstance(flow, ConnectionFlow)
        ):
            self._inbound.octets_received(octets, flow)
            return
        post.put(
            owner,
            Kind.FRAME,
            listener=self._index[flow.listening],
            connection=self._number(flow),
            place=stream_place(*flow.remote),
            octets=octets,
        )

    def stream_broken(self, error: StreamBroken, flow: Flow) -> None:
        """Answer what a stream could not be cut at; that needs no owner."""
        self._inbound.stream_broken(error, flow)

    def _number(self, flow: ConnectionFlow) -> int:
        number = self._numbers.get(flow)
        if number is None:
            if len(self._numbers) >= self._forget_at:
                self._forget_closed()
            number = next(self._next_number)
            self._numbers[flow] = number
            self._by_number[number] = flow
        return number

    def _forget_closed(self) -> None:
        for flow, number in list(self._numbers.items()):
            if not flow.is_open:
                del self._numbers[flow], self._by_number[number]
        self._forget_at = max(FORGET_AT, 2 * len(self._numbers))

    # -- for what others have handed over -------------------------------------------------------

    def _frames_received(self, letters: list[Letter]) -> None:
        for letter in letters:
            key = (letter.sender, letter.connection)
            flow = self._flows.get(key)
            if flow is None:
                if len(self._flows) >= MAX_FLOWS:
                    del self._flows[next(iter(self._flows))]
                remote = address_of_stream(letter.place)
                flow = RemoteFlow(self, letter.sender, letter.connection, letter.listener, remote)
                self._flows[key] = flow
            self._inbound.octets_received(letter.octets, flow)

    def write(
        self,
        owner: int,
        connection: int,
        listener: int,
        remote: HostPort,
        port: int,
        octets: bytes,
        failed: Failed,
    ) -> None:
        """Have a message written by the worker that has the connection.

        Args:
            owner: that worker.
            connection: its number there.
            listener: that it belongs to.
            remote: the peer.
            port: of the peer, for a new connection where the old is gone; 0: none.
            octets: of the message.
            failed: hears that it did not leave.
        """
        post = self._post
        ticket = post.ticket(failed)
        was_put = post.put(
            owner,
            Kind.WRITE,
            listener=listener,
            connection=connection,
            ticket=ticket,
            place=stream_place(remote[0], port),
            octets=octets,
        )
        if not was_put:
            self._fail(failed)

    def _writes_received(self, letters: list[Letter]) -> None:
        for letter in letters:
            self._write(letter)

    def _write(self, letter: Letter) -> None:
        def failed() -> None:
            self._post.put(letter.sender, Kind.FAILED, ticket=letter.ticket)

        flow = self._by_number.get(letter.connection)
        host, port = address_of_stream(letter.place)
        told = failed if letter.ticket else None
        if flow is not None and flow.is_open:
            flow.send(letter.octets, told)
        elif port:
            self._new_flow(self.listening[letter.listener], host, port).send(letter.octets, told)
        elif told is not None:
            told()
