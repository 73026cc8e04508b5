"""The settings of name resolution: section ``[dns]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from uacproxy.settings import Address, is_ip_address, parse_address, setting


def parse_server(word: str) -> Address:
    """Parse ``ADDRESS[:PORT]`` of a name server, port 53 where none is given."""
    address = Address(word, 0) if is_ip_address(word) else parse_address(word)
    if not is_ip_address(address.host):
        raise ValueError(f"'{address.host}' is no IP address")
    return Address(address.host, address.port or 53)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSettings:
    """How host names become addresses."""

    servers: tuple[Address, ...] = setting(
        (),
        many="words",
        parse=parse_server,
        doc="Name servers to ask, `ADDRESS[:PORT]`, in this order. Empty: those of the system.",
    )
    timeout: float = setting(
        3.0,
        unit="s",
        low=0.1,
        high=60,
        doc="A name that is not resolved after this counts as without address.",
    )
    cache_max: int = setting(
        10000,
        unit="entries",
        low=0,
        high=10000000,
        doc="Most answers kept. 0: none.",
    )
    min_ttl: float = setting(
        1.0,
        unit="s",
        low=0,
        high=86400,
        doc="An answer is kept at least this long, even where its own time is shorter.",
    )
    negative_ttl: float = setting(
        5.0,
        unit="s",
        low=0,
        high=86400,
        doc="How long a failed look-up is remembered.",
    )
