"""A bound socket of one of several workers: it keeps what is its own and hands over the rest.

The kernel gives it what is its own (``steering``) and what it cannot tell. All messages of a
call that look alike take one way, so none overtakes another: straight, or through the worker
that their addresses lead to and the post, both of which keep the order.
"""

from __future__ import annotations

from typing import final

from uacproxy.sip.owner import NOBODY, owner_of
from uacproxy.transport.letters import MOST_HANDED, Kind
from uacproxy.transport.post import Post
from uacproxy.transport.wire import READ_AT_ONCE, Address, Wire


@final
class SharedWire:
    """Fits ``Wire``."""

    def __init__(self, wire: Wire, post: Post, listener: int) -> None:
        """Stand between a listener and its wire.

        Args:
            wire: of the socket.
            post: to the other workers.
            listener: index of the address, the same at every worker.
        """
        self._wire = wire
        self._post = post
        self._listener = listener

    def receive(self, octets: list[bytes], wheres: list[object]) -> int:
        """Read until nothing waits or this worker has a full burst; append what is its own."""
        self._post.gather()
        try:
            return self._sort_all(octets, wheres)
        finally:
            self._post.flush()

    def _sort_all(self, octets: list[bytes], wheres: list[object]) -> int:
        missed = -1
        is_first = True
        while True:
            read: list[bytes] = []
            read_from: list[object] = []
            try:
                seen = self._wire.receive(read, read_from)
            except OSError:
                if is_first:
                    raise
                return missed  # the reactor is told of it again
            is_first = False
            missed = max(missed, seen)
            self._sort(read, read_from, octets, wheres)
            if len(read) < READ_AT_ONCE or len(octets) >= READ_AT_ONCE:
                return missed

    def _sort(
        self,
        read: list[bytes],
        read_from: list[object],
        octets: list[bytes],
        wheres: list[object],
    ) -> None:
        post = self._post
        number = post.number
        workers = post.workers
        for index, one in enumerate(read):
            owner = owner_of(one, workers)
            if owner == number or owner == NOBODY or len(one) > MOST_HANDED:
                octets.append(one)
                wheres.append(read_from[index])
            else:
                place = self._wire.packed(read_from[index])
                post.put(owner, Kind.DATAGRAM, listener=self._listener, place=place, octets=one)

    def send(self, octets: list[bytes], wheres: list[object], begin: int) -> int:
        """Send as far as it goes."""
        return self._wire.send(octets, wheres, begin)

    def where(self, address: Address) -> object:
        """Return how an address is written here."""
        return self._wire.where(address)

    def address(self, where: object) -> Address:
        """Return the address again."""
        return self._wire.address(where)

    def packed(self, where: object) -> bytes:
        """Return a where as octets."""
        return self._wire.packed(where)

    def unpacked(self, octets: bytes) -> object:
        """Return the where again."""
        return self._wire.unpacked(octets)
