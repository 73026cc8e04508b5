"""A re-INVITE on its way from one leg to the other and back (RFC 3261 14, RFC 6141)."""

from __future__ import annotations

from typing import final

from uacproxy.bridge.leg import Leg
from uacproxy.bridge.provisional import pass_provisional
from uacproxy.bridge.session_timer import MOST_LONGER, min_se, told_status
from uacproxy.sip.build import build_response
from uacproxy.sip.message import Message
from uacproxy.sip.names import REASON, RETRY_AFTER
from uacproxy.transaction.server import ServerTransaction
from uacproxy.uac.invite import SentInvite
from uacproxy.uac.send import SendOutcome

LOST = (408, 481)
"""What ends the dialog an INVITE or UPDATE was sent in (12.2.1.2, RFC 4028 10)."""


def reinvite_received(leg: Leg, server: ServerTransaction, request: Message) -> None:
    """Take a re-INVITE of the peer of ``leg``: refuse what crosses another, pass on the rest."""
    other = leg.other
    wiring = leg.wiring
    if leg.server is not None:  # its own last one is still open (14.2)
        response = leg.answer(request, 500)
        response.append(RETRY_AFTER, b"%d" % int(wiring.random.uniform(0, 10)))
        server.respond(response)
        return
    open_here = leg.client is not None or leg.owed is not None or leg.success is not None
    offered = leg.offering or leg.updating  # by UPDATE (RFC 3311 5.2)
    if open_here or offered or other.client is not None or other.owed is not None:
        wiring.counters.glares += 1
        leg.refuse(server, 491)
        return
    settings = wiring.settings
    if settings.session_expires and leg.timer.too_short(request, settings.min_se):
        response = leg.answer(request, 422)
        response.append(b"min-se", b"%d" % settings.min_se)
        server.respond(response)
        return
    Reoffer(leg, server, request).start()


@final
class Reoffer:
    """One re-INVITE from ``leg`` to its other."""

    __slots__ = ("_leg", "_longer", "_other", "_request", "_server", "_shortest")

    def __init__(self, leg: Leg, server: ServerTransaction, request: Message) -> None:
        self._leg = leg
        self._other = leg.other
        self._server = server
        self._request = request
        self._shortest = leg.wiring.settings.min_se
        self._longer = 0  # 422s followed

    def start(self) -> None:
        """Send it on, after the ACK of our last 2xx there: a callee may be that quick (14.1)."""
        leg = self._leg
        leg.server = self._server
        leg.reliable = None
        leg.heard(self._request)
        self._server.context = self
        self._server.respond(build_response(self._request, 100))
        if self._other.success is None:
            self._send()
        else:
            self._other.waiting = self._acknowledged_there

    def _acknowledged_there(self) -> None:
        if self._leg.server is self._server:
            self._send()

    def _send(self) -> None:
        other = self._other
        wiring = other.wiring
        request = other.request(b"INVITE", self._request)
        other.timer.ask(request, wiring.settings.session_expires, self._shortest)
        other.keep_body(request)
        other.offering = bool(request.body)
        invite = wiring.invites.send(
            request,
            other.dialog.next_hop(),
            self,
            credentials=other.credentials,
            next_cseq=other.dialog.next_cseq,
        )
        if not invite.over:
            other.client = invite

    def cancel_received(self, cancel: Message) -> None:
        """Pass a CANCEL on; the answer to the INVITE waits for what becomes of it there."""
        leg = self._leg
        if self._other.client is not None:
            self._other.client.cancel(cancel.fields(REASON))
        elif leg.server is self._server:  # nobody there has heard of it yet
            leg.server = None
            leg.refuse(self._server, 487)

    # -- from the other leg's INVITE ---------------------------------------------------

    def invite_rings(self, invite: SentInvite, response: Message) -> None:
        """Pass a provisional response on."""
        if self._leg.server is self._server:
            pass_provisional(self._leg, self._server, self._request, response)

    def invite_accepted(self, invite: SentInvite, response: Message) -> None:
        """Pass a 2xx on; its ACK goes out at once, unless it is to carry an answer."""
        leg = self._leg
        other = self._other
        other.client = None
        other.offering = False
        other.heard(response)
        other.move_target(response)
        other.timer.agreed(response)
        if leg.server is not self._server:  # the call is over
            other.acknowledge(invite, response, None)
            return
        leg.move_target(self._request)
        if self._request.body or not response.body or leg.reliable is not None:
            other.acknowledge(invite, response, None)
        else:
            other.owed = (invite, response)
        answer = leg.answer(self._request, response.status, response)
        settings = leg.wiring.settings
        leg.timer.accept(
            self._request, answer, settings.session_expires, settings.refresher == "us"
        )
        leg.succeed(self._server, answer, self._acknowledged)
        leg.owner.changed()

    def invite_failed(self, invite: SentInvite, outcome: SendOutcome) -> None:
        """Pass a failure on; one that ends the dialog ends the call."""
        leg = self._leg
        other = self._other
        other.client = None
        other.offering = False
        response = outcome.response
        if (
            outcome.status == 422
            and response is not None
            and min_se(response) > self._shortest
            and self._longer < MOST_LONGER
        ):
            self._longer += 1
            self._shortest = min_se(response)
            if leg.server is self._server:
                self._send()
                return
        if leg.server is self._server:
            leg.server = None
            if leg.reliable is not None:
                leg.reliable.stop()
            status = told_status(outcome.status)
            self._server.respond(leg.answer(self._request, status, response))
        if outcome.status in LOST:
            leg.owner.lost(other)

    def _acknowledged(self, ack: Message | None) -> None:
        leg = self._leg
        other = self._other
        if other.owed is not None:
            other.acknowledge(other.owed[0], other.owed[1], ack)
        if ack is None:
            leg.wiring.counters.unacknowledged += 1
            leg.owner.lost(leg)
