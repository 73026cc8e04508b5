"""The ACK of one 2xx of a callee: a request without transaction or answer (RFC 3261 13.2.2.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from uacproxy.ports import Flow
from uacproxy.settings import ListenAddress
from uacproxy.sip.message import Message
from uacproxy.sip.uri import Uri
from uacproxy.uac.target_walk import TargetWalk

if TYPE_CHECKING:
    from uacproxy.uac.invite import InviteSender


@final
class AckOut:
    """To be sent as often as the 2xx comes; its first way is resolved and then kept."""

    __slots__ = ("_flow", "_octets", "_walk")

    def __init__(
        self, sender: InviteSender, ack: Message, next_hop: Uri, socket: ListenAddress | None
    ) -> None:
        self._octets = b""
        self._flow: Flow | None = None
        self._walk = TargetWalk(
            self,
            ack,
            next_hop,
            transports=sender.transports,
            resolver=sender.resolver,
            branches=sender.table,
            udp_limit=sender.udp_limit,
            socket=socket,
        )

    def start(self) -> None:
        """Send it for the first time, when the next hop is resolved."""
        self._walk.go_on()

    def ready(self, request: Message, flow: Flow) -> None:
        """Send it."""
        self._octets = request.encode()
        self._flow = flow
        self._walk.stop()  # the flow is all that a further 2xx needs
        flow.send(self._octets, None)

    def no_target_left(self) -> None:
        """Do nothing: the callee will miss its ACK and end the call (13.3.1.4)."""

    def send_again(self) -> None:
        """Send it once more: the 2xx came again."""
        if self._flow is not None:
            self._flow.send(self._octets, None)
