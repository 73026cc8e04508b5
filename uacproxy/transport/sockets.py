"""All sockets of the service behind one door."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from typing import final

from twisted.internet.defer import Deferred, fail, succeed

from uacproxy.counters import TransportCounters
from uacproxy.errors import ConfigError
from uacproxy.ports import Log, Target
from uacproxy.settings import Address, ListenAddress
from uacproxy.sip.limits import LimitSettings
from uacproxy.transport.addresses import LocalAddresses
from uacproxy.transport.admission import Admission, Transactions
from uacproxy.transport.bind import bind_all
from uacproxy.transport.inbound import Deliver, Inbound, Reject
from uacproxy.transport.inbox import InboxDescriptor
from uacproxy.transport.letters import Kind, Letter
from uacproxy.transport.linger import Linger
from uacproxy.transport.overload import Overload
from uacproxy.transport.own_names import OwnNames
from uacproxy.transport.place import WorkerPlace
from uacproxy.transport.post import Post
from uacproxy.transport.reactor import SocketReactor, descriptor_of_all
from uacproxy.transport.remote_flow import SharedStreams
from uacproxy.transport.shared_wire import SharedWire
from uacproxy.transport.streams import MESSAGE_TIMEOUT, Streams
from uacproxy.transport.udp import UdpListener
from uacproxy.transport.way_out import WayOut
from uacproxy.transport.wire import open_wire


@final
class SocketSet:
    """The listeners and connections of one service, between ``open`` and ``close``."""

    def __init__(
        self,
        *,
        reactor: SocketReactor,
        listen: Sequence[ListenAddress],
        advertise: Address | None,
        limits: LimitSettings,
        counters: TransportCounters,
        deliver: Deliver,
        reject: Reject,
        log: Log,
        tcp_idle: float,
        tcp_connect_timeout: float,
        tcp_message_timeout: float = MESSAGE_TIMEOUT,
        connection_lost: Callable[[Target], None] | None = None,
        overload: Overload,
        transactions: Transactions,
        place: WorkerPlace | None = None,
    ) -> None:
        """Prepare; no socket is made yet.

        Args:
            reactor: Twisted's.
            listen: in the order of the setting, which also is the order of preference.
            advertise: host and port peers are told instead of the bound ones; port 0
                takes each listener's own.
            limits: of messages and connections.
            counters: of all sockets together.
            deliver: hears of each sound message; see ``Inbound``.
            reject: hears of each broken request that can be answered.
            log: hears of our own mistakes.
            tcp_idle: s without traffic before a connection is closed.
            tcp_connect_timeout: s to connect.
            tcp_message_timeout: s from the first octet of a message to its last.
            connection_lost: hears of each connection we opened that others ended.
            overload: says which new requests are refused; its ``seen`` hears of what waits.
            transactions: the table of them.
            place: among the workers that share the listeners; None: there is one process.
        """
        self.turn = overload.queue()
        """What waits for the reactor's turn."""
        self._overload = overload
        self._place = place
        self.post: Post | None = None  # to the other workers, once open
        self._inbox: InboxDescriptor | None = None
        self._reactor = reactor
        self._listen = listen
        self._counters = counters
        self._addresses = LocalAddresses(reactor.seconds)
        self.names = OwnNames(advertise, self._addresses)
        self._inbound = Inbound(
            limits=limits,
            counters=counters,
            is_ours=self.names.is_ours,
            deliver=deliver,
            reject=reject,
            clock=reactor,
            log=log,
            queue=self.turn,
            admission=Admission(overload, transactions),
        )
        self._streams = Streams(
            reactor=reactor,
            inbound=self._inbound,
            names=self.names,
            limits=limits,
            counters=counters,
            idle=tcp_idle,
            connect_timeout=tcp_connect_timeout,
            message_timeout=tcp_message_timeout,
            connection_lost=connection_lost,
        )
        self._linger = Linger(descriptor_of_all(reactor))
        self._udp: dict[ListenAddress, UdpListener] = {}
        self._tcp: list[ListenAddress] = []
        self.way_out = WayOut(
            udp=self._udp,
            tcp=self._tcp,
            udp_flow=lambda listening, host, port: self._udp[listening].flow(host, port),
            tcp_flow=self._streams.flow,
            addresses=self._addresses,
            names=self.names,
        )
        """By which of them a message leaves."""

    @property
    def local_addresses(self) -> list[ListenAddress]:
        """Return what is bound, with real ports: UDP first, each in the order of the setting."""
        return [*self._udp, *self._tcp]

    def open(self) -> Deferred[None]:
        """Bind everything, or nothing.

        Fails with ConfigError, naming the first word that could not be bound and why.
        """
        if self._place is not None:
            self._open_shared(self._place)
            return succeed(None)
        try:
            bound = bind_all(self._listen)
        except ConfigError as error:
            return fail(error)
        for listening, (made,) in bound:
            self._open(listening, made, 0)
        return succeed(None)

    def _open(self, listening: ListenAddress, made: socket.socket, index: int) -> None:
        self.names.add(listening)
        if listening.transport == b"UDP":
            wire = open_wire(made)
            if self.post is not None:
                wire = SharedWire(wire, self.post, index)
            self._udp[listening] = UdpListener(
                made,
                wire,
                listening,
                reactor=self._reactor,
                inbound=self._inbound,
                names=self.names,
                counters=self._counters,
                queue=self._overload.queue(),
                linger=self._linger,
                post=self.post,
                index=index,
            )
        else:
            self._streams.listen(made, listening)
            self._tcp.append(listening)

    # -- shared with other workers ---------------------------------------------------------

    def _open_shared(self, place: WorkerPlace) -> None:
        """Begin to read; each message goes to whom it belongs."""
        post = Post(
            place.number,
            place.inbox,
            place.outboxes,
            counters=self._counters,
            later=self._reactor.callLater,
        )
        self.post = post
        listening = [address for address, _ in place.sockets]
        self._streams.hand_to(
            SharedStreams(
                self._inbound,
                post,
                listening=listening,
                sent_by=self.names.sent_by,
                new_flow=self._streams.flow,
                fail=self._streams.fail,
                first_number=time.time_ns(),
            )
        )
        post.take(Kind.DATAGRAM, lambda letters: self._take_datagrams(listening, letters))
        post.take(Kind.UNREACHABLE, lambda letters: self._take_errors(listening, letters))
        for index, (address, made) in enumerate(place.sockets):
            self._open(address, made, index)
        self._inbox = InboxDescriptor(place.inbox, post)
        self._linger.add(place.inbox.fileno(), post.read)
        self._reactor.addReader(self._inbox)

    def _take_datagrams(self, listening: list[ListenAddress], letters: list[Letter]) -> None:
        for index, address in enumerate(listening):
            some = [letter for letter in letters if letter.listener == index]
            listener = self._udp.get(address)
            if some and listener is not None:
                listener.take_letters(some)

    def _take_errors(self, listening: list[ListenAddress], letters: list[Letter]) -> None:
        for letter in letters:
            listener = self._udp.get(listening[letter.listener])
            if listener is not None:
                listener.unreachable(letter.place)

    def close(self) -> Deferred[None]:
        """Close everything; fires when the last connection is gone, within two seconds or so."""
        self.way_out.forget()
        if self._inbox is not None:
            self._reactor.removeReader(self._inbox)
            self._linger.remove(self._inbox.fileno())
        for listener in self._udp.values():
            listener.close()
        return self._streams.close()

    def together(self, work: Callable[[], object]) -> None:
        """Do what may send many datagrams: they leave when it is done, in few calls."""
        listeners = list(self._udp.values())
        for listener in listeners:
            listener.gather()
        try:
            work()
        finally:
            for listener in listeners:
                listener.flush()
