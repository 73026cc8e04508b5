"""The way an account's requests go: where its REGISTER went, and by its Service-Route.

A registrar behind several addresses, or behind a proxy, knows a client at the one it
registered with; a call that arrives elsewhere is refused there (RFC 3608 1, RFC 5626 4.3).
"""

from __future__ import annotations

from typing import NamedTuple

from uacproxy.ports import Target
from uacproxy.settings import SIP_PORT, ListenAddress
from uacproxy.sip.uri import Uri
from uacproxy.uac.register_request import RegisterRequest
from uacproxy.uac.register_series import RegisterSeries


class AccountWay(NamedTuple):
    """What an account's binding says about its other requests."""

    next_hop: Uri  # of its REGISTER
    target: Target | None  # that answered it; None: none has, or it has failed since
    service_route: tuple[bytes, ...]
    socket: ListenAddress | None  # the listener it leaves from

    def target_for(self, next_hop: Uri) -> Target | None:
        """Return the target of requests for ``next_hop``, None where it is another place."""
        ours = self.next_hop
        if next_hop.host != ours.host or next_hop.transport != ours.transport:
            return None
        is_same_port = (next_hop.port or SIP_PORT) == (ours.port or SIP_PORT)
        return self.target if is_same_port else None


def way_of(request: RegisterRequest, series: RegisterSeries) -> AccountWay:
    """Return the way of an account."""
    return AccountWay(request.next_hop, series.target, series.service_route, request.socket)
