"""The settings of the proxy core: section ``[sip]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from uacproxy.settings import (
    Address,
    ListenAddress,
    parse_address,
    parse_host,
    parse_listen,
    setting,
)

__all__ = ["ListenAddress", "SipSettings"]

_LISTEN = (ListenAddress(b"UDP", "127.0.0.1", 5060), ListenAddress(b"TCP", "127.0.0.1", 5060))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SipSettings:
    """Where the service listens, which names it answers to, and the timers of RFC 3261."""

    listen: tuple[ListenAddress, ...] = setting(
        _LISTEN,
        many="words",
        parse=parse_listen,
        doc="Sockets to listen on, `udp:HOST:PORT` or `tcp:HOST:PORT`, separated by spaces or "
        "new lines. HOST is an address, IPv6 in brackets; PORT is 5060 where left out.",
    )
    advertise: Address | None = setting(
        None,
        parse=parse_address,
        doc="HOST[:PORT] for Via, Record-Route and Contact when peers reach the service under "
        "another address than the one it listens on, as behind NAT. Empty: the listening address.",
    )
    domains: tuple[str, ...] = setting(
        (),
        many="words",
        parse=parse_host,
        doc="Host names that are ours when they stand in a Request-URI or Route, beside the "
        "listening and advertised addresses.",
    )
    server_name: str = setting(
        "uacproxy",
        doc="Value of Server in responses and User-Agent in requests that the service makes "
        "itself. Empty: neither field is sent.",
    )
    udp_limit: int = setting(
        1300,
        unit="octets",
        low=0,
        high=65535,
        doc="A request longer than this goes out over TCP instead of UDP where the next hop left "
        "the choice open (RFC 3261 18.1.1). 0: never switch.",
    )
    t1: float = setting(
        0.5,
        unit="s",
        low=0.01,
        high=60,
        doc="Timer T1, the estimate of a round trip: the first retransmission comes after this, "
        "and a transaction gives up after 64 times this.",
    )
    t2: float = setting(
        4.0,
        unit="s",
        low=0.01,
        high=60,
        doc="Timer T2, the longest pause between retransmissions of requests other than INVITE "
        "and of final responses to INVITE.",
    )
    t4: float = setting(
        5.0,
        unit="s",
        low=0.01,
        high=60,
        doc="Timer T4, the longest time a message is taken to stay in the network.",
    )
    timer_c: float = setting(
        181.0,
        unit="s",
        low=1,
        high=86400,
        doc="Timer C, how long a branch may ring without a further provisional response before "
        "it is cancelled. RFC 3261 16.6 wants more than 180 s; less is for tests.",
    )
    max_forwards: int = setting(
        70,
        low=1,
        high=255,
        doc="Max-Forwards put into a request that came without one, and into our own.",
    )
    record_route: bool = setting(
        True,
        doc="Stay in the path of every dialog by a Record-Route field. Restoring identities and "
        "CSeq in later requests needs it.",
    )
    loop_detection: bool = setting(
        True,
        doc="Answer 482 to a request that comes by a second time unchanged (RFC 3261 16.3).",
    )
    workers: int = setting(
        1,
        low=1,
        high=64,
        doc="Processes that serve the same addresses; about as many as there are processors "
        "for them. Each call is in one of them. 1: a single process. More need a `[store]` that "
        "they can share.",
    )
    tcp_idle: float = setting(
        900.0,
        unit="s",
        low=1,
        high=86400,
        doc="A TCP connection on which nothing was sent or received for this long is closed.",
    )
    tcp_connect_timeout: float = setting(
        5.0,
        unit="s",
        low=0.1,
        high=60,
        doc="How long an outgoing TCP connection may take to open before the next target is tried.",
    )
