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


def descriptor_of_all(reactor: SocketReactor) -> int:
    """Return a descriptor that is ready to read when anything the reactor watches is.

    The epoll descriptor itself is one; Twisted has no public name for it. Other reactors
    have none: -1.
    """
    poller = getattr(reactor, "_poller", None)
    return poller.fileno() if isinstance(poller, select.epoll) else -1
