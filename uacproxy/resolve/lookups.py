"""Where addresses come from: the system's resolver in threads, or name servers of our own.

Both fit ``resolver.Lookup``.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Final, cast, final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime, IResolver
from twisted.internet.threads import deferToThreadPool
from twisted.names import dns
from twisted.names.client import Resolver
from twisted.names.error import DNSNameError
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from uacproxy.settings import Address

Addresses = list[tuple[str, int]]
"""Addresses, best first, each with its time to live (s)."""

BOTH: Final = (socket.AF_INET, socket.AF_INET6)
SYSTEM_TTL: Final = 30  # s; getaddrinfo does not tell
RESEND_AFTER: Final = (1, 2)  # s for each name server in turn, then once more
OTHER_FAMILY_WITHIN: Final = 0.05  # s after the first answer with addresses (RFC 8305 3)

_RECORDS: Final[dict[int, int]] = {socket.AF_INET: dns.A, socket.AF_INET6: dns.AAAA}


@final
class SystemLookup:
    """``getaddrinfo`` in the reactor's threads: hosts file, mDNS, whatever the system does."""

    def __init__(
        self, reactor: IReactorFromThreads, pool: ThreadPool, families: Sequence[int] = BOTH
    ) -> None:
        """Ask nothing yet.

        Args:
            reactor: takes the answer.
            pool: its threads block for as long as the system's resolver does.
            families: those we have listeners for.
        """
        self._reactor = reactor
        self._pool = pool
        self._families = families

    def __call__(self, name: str) -> Deferred[Addresses]:
        """Look up one name; the system's order is kept."""
        return deferToThreadPool(self._reactor, self._pool, self._ask, name)

    def _ask(self, name: str) -> Addresses:
        try:
            # As octets, so that no internationalised-name rules are applied to it.
            rows = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_DGRAM)
        except socket.gaierror as error:
            if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
                return []
            raise
        hosts = [str(address[0]) for family, _, _, _, address in rows if family in self._families]
        return [(host, SYSTEM_TTL) for host in dict.fromkeys(hosts)]


@final
class DnsLookup:
    """A and AAAA records of configured name servers, asked in parallel, IPv4 first."""

    def __init__(
        self, reactor: IReactorTime, servers: Sequence[Address], families: Sequence[int] = BOTH
    ) -> None:
        """Ask nothing yet.

        Args:
            reactor: Twisted's; it opens a socket with a random port for each query.
            servers: recursive, asked in this order.
            families: those we have listeners for.
        """
        self._reactor = reactor
        self._families = families
        self._resolver: IResolver = Resolver(  # type: ignore[no-untyped-call]
            servers=[(server.host, server.port) for server in servers],
            timeout=RESEND_AFTER,
            reactor=reactor,
        )

    def __call__(self, name: str) -> Deferred[Addresses]:
        """Look up one name; a CNAME is followed as far as the server did."""
        return _Question(self._reactor, self._resolver, name, self._families).answered


@final
class _Question:
    """One name in all families; a family that does not answer is not waited for long."""

    def __init__(
        self, reactor: IReactorTime, resolver: IResolver, name: str, families: Sequence[int]
    ) -> None:
        self.answered: Deferred[Addresses] = Deferred()
        self._reactor = reactor
        self._open = len(families)
        self._found: dict[int, Addresses] = {}
        self._failure: Failure | None = None
        for family in families:
            query = dns.Query(name.encode("ascii"), _RECORDS[family], dns.IN)
            asked = resolver.query(query, RESEND_AFTER)
            asked.addCallbacks(self._answer_came, self._failed, callbackArgs=(family,))

    def _answer_came(
        self,
        sections: tuple[list[dns.RRHeader], list[dns.RRHeader], list[dns.RRHeader]],
        family: int,
    ) -> None:
        answers = sections[0]
        ttl = min((int(record.ttl) for record in answers), default=0)
        self._found[family] = [
            (socket.inet_ntop(family, _octets_of(record)), ttl)
            for record in answers
            if record.type == _RECORDS[family]
        ]
        self._one_less()
        if self._found[family] and not self.answered.called:
            self._reactor.callLater(OTHER_FAMILY_WITHIN, self._tell)

    def _failed(self, why: Failure) -> None:
        if not isinstance(why.value, DNSNameError):
            self._failure = why
        self._one_less()

    def _one_less(self) -> None:
        self._open -= 1
        if not self._open:
            self._tell()

    def _tell(self) -> None:
        if self.answered.called:
            return
        addresses = [each for family in sorted(self._found) for each in self._found[family]]
        if self._failure is not None and not addresses:
            self.answered.errback(self._failure)
        else:
            self.answered.callback(addresses)


def _octets_of(record: dns.RRHeader) -> bytes:
    return cast(bytes, cast("dns.Record_A | dns.Record_AAAA", record.payload).address)
