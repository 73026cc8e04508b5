"""From a URI to targets (RFC 3263 4): transport and port are its own or the defaults.

Most often the host is an address, and then there is nobody to ask. NAPTR and SRV records,
which could name others, would be asked for here, before the address look-up, where a name
comes without a port.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.errors import ParseError
from uacproxy.ports import Target
from uacproxy.settings import SIP_PORT, is_ip_address
from uacproxy.sip.uri import LONGEST_KEPT, SIP, Uri, parse_host_port

Then = Callable[[list[Target]], None]

LookUp = Callable[[str, bytes, int, bool, Then], None]
"""From a name, a transport, a port and whether the transport was chosen to targets."""

_TRANSPORTS: Final = (None, b"UDP", b"TCP")


@final
class UriResolver:
    """Answers what needs no look-up at once (``ports.Resolver``)."""

    def __init__(self, look_up: LookUp, most_kept: int) -> None:
        """Begin with nothing known.

        Args:
            look_up: hears of names in lower case, without their last dot.
            most_kept: URIs remembered whose host is an address.
        """
        self._look_up = look_up
        self._most_kept = most_kept
        self._literals: dict[bytes, Target] = {}  # by URI

    def resolve(self, uri: Uri, then: Then) -> None:
        """Find where a request for ``uri`` may go, for ``then``.

        ``maddr`` is looked up in place of the host. Without a transport parameter it is
        UDP, ``chosen`` False. No target: another scheme than ``sip``, a transport we do
        not have, a name without address or not answered in time.
        """
        literal = self._literals.get(uri.raw)
        if literal is not None:
            then([literal])
            return
        transport = uri.transport
        host, port = _host_and_port(uri)
        if uri.scheme != SIP or transport not in _TRANSPORTS or not port:
            then([])
            return
        chosen = transport is not None
        name = host.decode("ascii").strip("[]").rstrip(".")
        if not is_ip_address(name):
            self._look_up(name, transport or b"UDP", port, chosen, then)
            return
        literal = Target(transport or b"UDP", name, port, chosen)
        if len(uri.raw) <= LONGEST_KEPT:
            if len(self._literals) >= self._most_kept:
                self._literals.clear()
            self._literals[uri.raw] = literal
        then([literal])


def _host_and_port(uri: Uri) -> tuple[bytes, int]:
    """Return whom to ask for, and the port; port 0 where there is nobody."""
    port = SIP_PORT if uri.port is None else uri.port
    maddr = uri.param(b"maddr")
    if maddr is None:
        return uri.host, port
    try:
        host, extra = parse_host_port(maddr)
    except ParseError:
        return b"", 0
    return (host, port) if extra is None else (b"", 0)
