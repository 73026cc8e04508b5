"""A SIP endpoint that follows a script: it says what it is told and knows what must come next.

No transactions, no timers: on loopback nothing is lost. A message that comes again is
answered again and otherwise overlooked; any other message than the one a script waits
for ends the script. Every octet that passes the socket is kept in a ``Record``.
"""

from __future__ import annotations

import secrets
from typing import Any, Final, NamedTuple, cast

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedInVain
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import DatagramProtocol

from uacproxy.errors import ParseError
from uacproxy.ports import HostPort
from uacproxy.sip.build import build_response
from uacproxy.sip.grammar import text
from uacproxy.sip.message import Message
from uacproxy.sip.names import CONTACT, ROUTE, VIA
from uacproxy.sip.parse import parse_message
from uacproxy.sip.uri import Uri

LOOPBACK: Final = "127.0.0.1"
PATIENCE: Final = 5.0  # s for the next message of a script

_MAX_DATAGRAM: Final = 65535  # octets


class OffScript(Exception):
    """Something else happened than a script says; ``expected`` and ``seen`` are in words."""

    def __init__(self, who: str, expected: str, seen: str) -> None:
        super().__init__(f"{who}: {expected} was to come, and there was {seen}")
        self.who = who
        self.expected = expected
        self.seen = seen


class Sighting(NamedTuple):
    """One message as it passed a peer's socket."""

    peer: str
    sent: bool  # by the peer; else it came in
    octets: bytes
    message: Message  # the octets, parsed


Record = list[Sighting]  # of all peers, in the order of passing


class Peer(DatagramProtocol):
    """One endpoint on a UDP socket of its own."""

    def __init__(self, name: str, record: Record, reactor: Any, patience: float = PATIENCE) -> None:
        """Take a free port of 127.0.0.1.

        Args:
            name: as people call it.
            record: shared by all peers.
            reactor: Twisted's.
            patience: s to wait for each message.
        """
        self.name = name
        self._record = record
        self._reactor = reactor
        self._patience = patience
        self._inbox: list[Message] = []
        self._awaiting: Deferred[None] | None = None
        self._answers: dict[bytes, bytes] = {}  # octets of a request to those of its last answer
        self._seen: set[bytes] = set()
        self._port: IListeningPort = reactor.listenUDP(0, self, LOOPBACK, _MAX_DATAGRAM)
        self.address: HostPort = (LOOPBACK, cast(Any, self._port.getHost()).port)

    @property
    def host_port(self) -> bytes:
        """Return HOST:PORT, for a Via or a URI."""
        return b"%b:%d" % (self.address[0].encode(), self.address[1])

    async def close(self) -> None:
        """Close the socket."""
        closed = self._port.stopListening()
        if isinstance(closed, Deferred):
            await closed

    # -- what a script says ----------------------------------------------------------------

    def send_request(self, request: Message, next_hop: HostPort | None = None) -> Message:
        """Send with a Via of our own: to the first Route, the Request-URI, or where told."""
        branch = b"z9hG4bK" + secrets.token_hex(6).encode()
        request.push(VIA, b"SIP/2.0/UDP " + self.host_port + b";rport;branch=" + branch)
        if next_hop is None:
            routes = request.addresses(ROUTE)
            next_hop = _address_of(routes[0].address if routes else request.uri)
        self._send(request.encode(), next_hop)
        return request

    def answer(
        self,
        request: Message,
        status: int,
        *fields: tuple[bytes, bytes],
        tag: bytes = b"",
        contact: bytes = b"",
    ) -> Message:
        """Answer a request; the response goes where its top Via says (18.2.2)."""
        response = build_response(request, status, to_tag=tag)
        if contact:
            response.append(CONTACT, b"<" + contact + b">")
        for name, value in fields:
            response.append(name, value)
        octets = response.encode()
        self._answers[request.encode()] = octets
        self._send(octets, (text(request.via.host), request.via.port))
        return response

    def _send(self, octets: bytes, to: HostPort) -> None:
        self._record.append(Sighting(self.name, True, octets, parse_message(octets)))
        cast(Any, self.transport).write(octets, to)

    # -- what a script waits for -----------------------------------------------------------

    async def hears_request(self, method: bytes) -> Message:
        """Return the next message, which has to be this request.

        Raises:
            OffScript: it is another one, or none comes.
        """
        message = await self._next(text(method))
        if message.method != method:
            raise OffScript(self.name, text(method), in_words(message))
        return message

    async def hears_response(self, method: bytes, status: int) -> Message:
        """Return the next response but 100, which has to have this status, to such a request.

        Raises:
            OffScript: it is another message, or none comes.
        """
        expected = f"{status} to {text(method)}"
        message = await self._next(expected)
        while message.status == 100:
            message = await self._next(expected)
        if message.status != status or message.cseq.method != method:
            raise OffScript(self.name, expected, in_words(message))
        return message

    async def _next(self, expected: str) -> Message:
        if not self._inbox:
            self._awaiting = Deferred()
            self._awaiting.addTimeout(self._patience, self._reactor)
            try:
                await self._awaiting
            except WaitedInVain:
                seen = f"nothing within {self._patience:g} s"
                raise OffScript(self.name, expected, seen) from None
            finally:
                self._awaiting = None
        return self._inbox.pop(0)

    # -- what comes ------------------------------------------------------------------------

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:  # noqa: N802  (Twisted's name)
        """Keep what came, and wake the script."""
        if datagram in self._seen:
            self._answer_again(datagram)
            return
        self._seen.add(datagram)
        try:
            message = parse_message(datagram)
        except ParseError:  # keep-alives, and what the script will miss
            return
        self._record.append(Sighting(self.name, False, datagram, message))
        self.received(message)

    def _answer_again(self, datagram: bytes) -> None:
        octets = self._answers.get(datagram)
        if octets is not None:
            via = parse_message(datagram).via
            cast(Any, self.transport).write(octets, (text(via.host), via.port))

    def received(self, message: Message) -> None:
        """Hand a message to the script; subclasses keep back what they answer by themselves."""
        self._inbox.append(message)
        if self._awaiting is not None and not self._awaiting.called:
            self._awaiting.callback(None)


def in_words(message: Message) -> str:
    """Return method or status of a message, for people."""
    if message.status:
        reason = f"{message.status} {text(message.reason)}".rstrip()
        return f"{reason} to {text(message.cseq.method)}"
    return text(message.method)


def _address_of(uri: Uri) -> HostPort:
    return text(uri.host), uri.port or 5060
