"""Refreshing a session that is ours to refresh (RFC 4028 7.4, 10)."""

from __future__ import annotations

from typing import Final, final

from uacproxy.bridge.leg import Leg
from uacproxy.bridge.policy import TIMER
from uacproxy.bridge.reoffer import LOST
from uacproxy.bridge.session_timer import MOST_LONGER, min_se
from uacproxy.sip.message import Message
from uacproxy.sip.names import ALLOW, SUPPORTED, canonical
from uacproxy.uac.invite import SentInvite
from uacproxy.uac.send import SendOutcome

OWN_AGAIN: Final = (2.1, 4.0)  # s, after a refresh that crossed something; the Call-ID is ours
THEIR_AGAIN: Final = (0.0, 2.0)  # s, likewise; it is the peer's (14.1)
FOR_NOW: Final = (491, 500, 503)  # tried again, until the session has expired
NOT_TAKEN: Final = (405, 501)  # to an UPDATE


@final
class Refresh:
    """One refresh of one leg: an UPDATE where the peer takes it, else the session once more."""

    __slots__ = ("_leg", "_longer", "_shortest")

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._shortest = leg.wiring.settings.min_se
        self._longer = 0  # 422s followed

    def start(self) -> None:
        """Send it, where nothing else is under way: that refreshes as well."""
        leg = self._leg
        if leg.over:
            return
        if leg.client is not None or leg.server is not None or leg.success is not None:
            self._later()
        elif b"UPDATE" in leg.peer_allow:
            leg.send(self._request(b"UPDATE"), self._updated)
        elif leg.last_body is not None:
            self._reinvite(leg.last_body)

    def _request(self, method: bytes) -> Message:
        leg = self._leg
        request = leg.request(method)
        request.append(SUPPORTED, TIMER)
        request.append(ALLOW, b", ".join([b"INVITE, ACK, CANCEL, BYE", *leg.wiring.methods]))
        leg.timer.ask(request, leg.wiring.settings.session_expires, self._shortest)
        return request

    def _reinvite(self, session: tuple[list[bytes], bytes]) -> None:
        leg = self._leg
        request = self._request(b"INVITE")
        for line in session[0]:
            request.append_line(canonical(line.partition(b":")[0].strip()), line)
        request.set_body(session[1])
        leg.offering = True
        invite = leg.wiring.invites.send(
            request,
            leg.dialog.next_hop(),
            self,
            credentials=leg.credentials,
            next_cseq=leg.dialog.next_cseq,
        )
        if not invite.over:
            leg.client = invite

    def _updated(self, outcome: SendOutcome) -> None:
        leg = self._leg
        if outcome.status in NOT_TAKEN and leg.last_body is not None:
            leg.peer_allow = [method for method in leg.peer_allow if method != b"UPDATE"]
            self.start()
        else:
            self._ended(outcome)

    def invite_rings(self, invite: SentInvite, response: Message) -> None:
        """Hear nothing of interest."""

    def invite_accepted(self, invite: SentInvite, response: Message) -> None:
        """Acknowledge; the session is as it was."""
        leg = self._leg
        leg.client = None
        leg.offering = False
        leg.acknowledge(invite, response, None)
        self._ended(SendOutcome(response.status, response, None, None, ""))

    def invite_failed(self, invite: SentInvite, outcome: SendOutcome) -> None:
        """Hear that the peer would not."""
        self._leg.client = None
        self._leg.offering = False
        self._ended(outcome)

    def _ended(self, outcome: SendOutcome) -> None:
        leg = self._leg
        response = outcome.response
        if leg.over:
            return
        if outcome.status < 300 and response is not None:
            leg.heard(response)
            leg.move_target(response)
            leg.timer.agreed(response)
            leg.owner.changed()
        elif outcome.status in LOST:
            leg.owner.lost(leg)
        elif (
            outcome.status == 422
            and response is not None
            and min_se(response) > self._shortest
            and self._longer < MOST_LONGER
        ):
            self._longer += 1
            self._shortest = min_se(response)
            leg.timer.interval = self._shortest
            self.start()
        elif outcome.status in FOR_NOW:
            self._later()

    def _later(self) -> None:
        wiring = self._leg.wiring
        low, high = OWN_AGAIN if self._leg.is_outer else THEIR_AGAIN
        wiring.clock.callLater(wiring.random.uniform(low, high), self.start)
