"""Names looked up for real: the system's resolver, and a small name server on loopback."""

from __future__ import annotations

import socket
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, fail
from twisted.names import dns as typed_dns
from twisted.names import server as typed_server
from twisted.names.authority import FileAuthority
from twisted.names.common import ResolverBase
from twisted.names.error import DNSServerError

from uacproxy.resolve.lookups import DnsLookup, SystemLookup
from uacproxy.settings import Address

reactor: Any = installed_reactor
dns: Any = typed_dns
server: Any = typed_server


class Zone(FileAuthority):
    """What ``ns.example`` knows, without the file."""

    def __init__(self) -> None:
        ResolverBase.__init__(self)  # type: ignore[no-untyped-call]
        authority = dns.Record_SOA(b"ns.example", b"root.example", 1)
        zone = cast(Any, self)
        zone.soa = (b"example", authority)
        zone.records = {
            b"example": [authority],
            b"gw.example": [
                dns.Record_A("192.0.2.1", ttl=60),
                dns.Record_A("192.0.2.2", ttl=30),
                dns.Record_AAAA("2001:db8::1", ttl=90),
            ],
            b"alias.example": [dns.Record_CNAME(b"gw.example", ttl=7)],
            b"text.example": [dns.Record_TXT(b"no address")],
        }


class Silent(ResolverBase):
    """Answers queries of some types, the others never."""

    def __init__(self, *types: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asked: list[int] = []
        self._types = types
        self._zone = cast(Any, Zone())

    def query(self, query: typed_dns.Query, timeout: object = None) -> Deferred[Any]:
        self.asked.append(query.type)
        if query.type in self._types:
            return cast("Deferred[Any]", self._zone.query(query, timeout))
        return Deferred()


class Failing(ResolverBase):
    """Answers SERVFAIL."""

    def query(self, query: typed_dns.Query, timeout: object = None) -> Deferred[Any]:
        return fail(OSError("out of order"))


class NameServer:
    """A name server over UDP and TCP on one port."""

    def __init__(self, answers: Any, host: str = "127.0.0.1") -> None:
        factory = server.DNSServerFactory(clients=[answers])
        factory.noisy = False
        self._udp = reactor.listenUDP(0, dns.DNSDatagramProtocol(factory), host)
        self.address = Address(host, self._udp.getHost().port)
        self._tcp = reactor.listenTCP(self.address.port, factory, interface=host)

    async def __aenter__(self) -> NameServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._udp.stopListening()
        await self._tcp.stopListening()


@pytest_twisted.ensureDeferred
async def test_both_families_are_found_ipv4_first() -> None:
    async with NameServer(Zone()) as names:
        found = await DnsLookup(reactor, [names.address])("gw.example")
    assert found == [("192.0.2.1", 30), ("192.0.2.2", 30), ("2001:db8::1", 90)]


@pytest_twisted.ensureDeferred
async def test_only_families_with_a_listener_are_asked_for() -> None:
    async with NameServer(Silent(dns.AAAA)) as names:
        found = await DnsLookup(reactor, [names.address], [socket.AF_INET6])("gw.example")
    assert found == [("2001:db8::1", 90)]


@pytest_twisted.ensureDeferred
async def test_an_alias_leads_on_and_its_life_counts() -> None:
    async with NameServer(Zone()) as names:
        found = await DnsLookup(reactor, [names.address], [socket.AF_INET])("alias.example")
    assert found == [("192.0.2.1", 7), ("192.0.2.2", 7)]


@pytest.mark.parametrize("name", ["nobody.example", "text.example"])
@pytest_twisted.ensureDeferred
async def test_a_name_without_address_gives_an_empty_list(name: str) -> None:
    async with NameServer(Zone()) as names:
        assert await DnsLookup(reactor, [names.address])(name) == []


@pytest_twisted.ensureDeferred
async def test_a_server_that_fails_is_a_failure() -> None:
    async with NameServer(Failing()) as names:  # type: ignore[no-untyped-call]
        with pytest.raises(DNSServerError):
            await DnsLookup(reactor, [names.address])("gw.example")


@pytest_twisted.ensureDeferred
async def test_a_family_that_is_never_answered_is_not_waited_for() -> None:
    silent = Silent(dns.A)
    async with NameServer(silent) as names:
        found = await DnsLookup(reactor, [names.address])("gw.example")
        assert sorted(silent.asked) == [dns.A, dns.AAAA]  # not asked again meanwhile
        assert found == [("192.0.2.1", 30), ("192.0.2.2", 30)]


@pytest_twisted.ensureDeferred
async def test_a_name_server_may_be_reached_by_ipv6() -> None:
    async with NameServer(Zone(), "::1") as names:
        found = await DnsLookup(reactor, [names.address], [socket.AF_INET])("gw.example")
    assert [address for address, _ in found] == ["192.0.2.1", "192.0.2.2"]


@pytest_twisted.ensureDeferred
async def test_the_system_knows_localhost_and_nobody_invalid() -> None:
    lookup = SystemLookup(reactor, reactor.getThreadPool(), [socket.AF_INET])
    assert await lookup("localhost") == [("127.0.0.1", 30)]
