"""The part of Twisted's reactor that the sockets use."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IProducer,
    IProtocolFactory,
    IReadDescriptor,
    IWriteDescriptor,
)


class SocketReactor(Protocol):
    """``IReactorTime``, ``IReactorFDSet`` and ``IReactorSocket``, as far as used."""

    def seconds(self) -> float:
        """Return the time, s."""

    def callLater(  # noqa: N802  (Twisted's name)
        self, delay: float, callable: Callable[..., object], *args: object
    ) -> IDelayedCall:
        """Run ``callable(*args)`` after ``delay`` seconds."""

    def addReader(self, reader: IReadDescriptor) -> None:  # noqa: N802
        """Call ``reader.doRead`` whenever there is something to read."""

    def removeReader(self, reader: IReadDescriptor) -> None:  # noqa: N802
        """Do so no longer."""

    def addWriter(self, writer: IWriteDescriptor) -> None:  # noqa: N802
        """Call ``writer.doWrite`` whenever there is room to write."""

    def removeWriter(self, writer: IWriteDescriptor) -> None:  # noqa: N802
        """Do so no longer."""

    def adoptStreamPort(  # noqa: N802
        self, descriptor: int, family: socket.AddressFamily, factory: IProtocolFactory, /
    ) -> IListeningPort:
        """Accept on a copy of a listening socket."""


class Stream(Protocol):
    """``ITCPTransport`` and ``IConsumer``, as far as used."""

    def write(self, octets: bytes, /) -> None:
        """Send in this turn's end, together with what else is written."""

    def loseConnection(self) -> None:  # noqa: N802
        """Close when everything has left."""

    def loseWriteConnection(self) -> None:  # noqa: N802
        """Say that nothing more comes, when everything has left."""

    def abortConnection(self) -> None:  # noqa: N802
        """Close now."""

    def setTcpNoDelay(self, enabled: bool, /) -> None:  # noqa: N802
        """Have small segments leave at once."""

    def setTcpKeepAlive(self, enabled: bool, /) -> None:  # noqa: N802
        """Have the kernel look after a silent peer."""

    def registerProducer(self, producer: IProducer, streaming: bool, /) -> None:  # noqa: N802
        """Tell ``producer`` when everything has left."""

    def unregisterProducer(self) -> None:  # noqa: N802
        """Do so no longer."""


def epoll_of(reactor: SocketReactor) -> select.epoll | None:
    """Return what the reactor waits on, if it is epoll; Twisted has no public name for it."""
    poller = getattr(reactor, "_poller", None)
    return poller if isinstance(poller, select.epoll) else None


def descriptor_of_all(reactor: SocketReactor) -> int:
    """Return a descriptor that is ready to read when anything the reactor watches is; -1: none."""
    poller = epoll_of(reactor)
    return -1 if poller is None else poller.fileno()


def add_shared_reader(reactor: SocketReactor, reader: IReadDescriptor) -> None:
    """Do ``addReader``, but have the kernel wake one of the processes that share a socket.

    Such a reader has to be removed before it is added as a writer: what the kernel watches
    in this way cannot be changed.
    """
    reactor.addReader(reader)
    poller = epoll_of(reactor)
    if poller is not None:
        poller.unregister(reader.fileno())
        poller.register(reader.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE)
