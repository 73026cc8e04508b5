"""One way to a peer, as everything above the transport sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from mypy_extensions import mypyc_attr

from uacproxy.sip.via import Via

HostPort = tuple[str, int]


@mypyc_attr(allow_interpreted_subclasses=True)
class Flow(ABC):
    """One way to a peer: a listening socket and a remote address, or a connection (RFC 5626).

    A class, not a Protocol: compiled code calls it without looking names up.
    """

    def __init__(
        self, transport: bytes, remote: HostPort, local: HostPort, *, reliable: bool
    ) -> None:
        """Begin.

        Args:
            transport: the word of the Via, b"UDP" or b"TCP".
            remote: the peer's address and port.
            local: the address and port the listener is bound to.
            reliable: the transport resends by itself.
        """
        self.transport = transport
        self.remote = remote
        self.local = local
        self.reliable = reliable

    @property
    @abstractmethod
    def sent_by(self) -> bytes:
        """Return HOST[:PORT] for Via, Record-Route and Contact on this flow."""

    @abstractmethod
    def send(self, octets: bytes, failed: Callable[[], None] | None) -> None:
        """Send one message.

        Neither raises nor calls back before it returns: when the octets cannot leave,
        ``failed`` is called in a later turn.
        """

    @abstractmethod
    def answering(self, via: Via) -> Flow:
        """Return the way back for a request with this top Via (RFC 3261 18.2.2, RFC 3581 4)."""
