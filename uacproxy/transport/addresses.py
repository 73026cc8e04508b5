"""What the kernel knows of addresses: which are ours, and which of ours leads to a peer.

Both questions cost a socket of their own, so answers are kept for a short while. No
packet leaves: a datagram socket that connects or binds only asks the routing table.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Final, final

from uacproxy.sip.grammar import COLON

FORGET_AFTER: Final = 30.0  # s; addresses and routes come and go
MOST_KEPT: Final = 4096  # entries; more are asked anew
LONGEST: Final = 48  # octets of an address in a reference; ``inet_ntop`` writes 45 at most

_ANY_PORT: Final = 9  # discard; nothing is sent there


@lru_cache(maxsize=8192)
def canonical_address(host: str) -> str | None:
    """Return an IPv4 or IPv6 address in the kernel's spelling, None for anything else.

    IPv6 without brackets; one with a zone (``%eth0``) is not taken, as no URI or Via can
    carry it.
    """
    family = family_of(host)
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, host))
    except (OSError, ValueError):
        return None


def address_in_reference(host: bytes) -> str | None:
    """Return the canonical address that a ``host`` of a URI or Via is, None for a name."""
    return None if len(host) > LONGEST else address_of_reference(host)


@lru_cache(maxsize=8192)
def address_of_reference(host: bytes) -> str | None:
    """Do the same for what is no longer than ``LONGEST``: answers are kept."""
    bare = host[1:-1] if host[:1] == b"[" and host[-1:] == b"]" else host
    try:
        return canonical_address(bare.decode("ascii"))
    except UnicodeDecodeError:
        return None


def family_of(host: str) -> socket.AddressFamily:
    """Return the family an address is written in."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def reference_of(host: str) -> bytes:
    """Return an address as URI and Via write it: IPv6 in brackets, without a zone."""
    bare = host.partition("%")[0].encode("ascii")
    return b"[" + bare + b"]" if COLON in bare else bare


def is_wildcard(host: str) -> bool:
    """Tell whether a listening address stands for every address of its family."""
    return canonical_address(host) in ("0.0.0.0", "::")


def is_loopback(host: str) -> bool:
    """Tell whether an address never leaves the machine."""
    return host.startswith("127.") or host == "::1"


@final
class LocalAddresses:
    """Answers about our own addresses, each asked of the kernel at most twice a minute."""

    def __init__(
        self,
        seconds: Callable[[], float],
        *,
        source_toward: Callable[[str], str] | None = None,
        can_bind: Callable[[str], bool] | None = None,
    ) -> None:
        """Know nothing yet.

        Args:
            seconds: the time, s.
            source_toward: asks the kernel for the way to an address; absent: by a socket.
            can_bind: asks the kernel whether an address is local; absent: by a socket.
        """
        self.seconds = seconds
        self._source_toward = source_toward or _source_toward
        self._can_bind = can_bind or _can_bind
        self._toward: dict[str, str] = {}
        self._local: dict[str, bool] = {}
        self._since = seconds()

    def toward(self, host: str) -> str:
        """Return the address the kernel would send from to ``host``, empty without a route."""
        self._forget_old()
        found = self._toward.get(host)
        if found is None:
            found = self._source_toward(host)
            if len(self._toward) < MOST_KEPT:
                self._toward[host] = found
        return found

    def is_local(self, host: str) -> bool:
        """Tell whether ``host``, a canonical address, is one of this machine."""
        self._forget_old()
        found = self._local.get(host)
        if found is None:
            found = self._can_bind(host)
            if len(self._local) < MOST_KEPT:
                self._local[host] = found
        return found

    def _forget_old(self) -> None:
        now = self.seconds()
        if now - self._since > FORGET_AFTER:
            self._since = now
            self._toward.clear()
            self._local.clear()


def _source_toward(host: str) -> str:
    with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, _ANY_PORT))
        except OSError:
            return ""
        source: str = probe.getsockname()[0]
        return source


def _can_bind(host: str) -> bool:
    if is_wildcard(host):
        return False
    with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
        return True
