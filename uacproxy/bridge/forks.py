"""The early dialogs of a call that nobody has accepted yet (RFC 3261 12.1, 13.2.2.4).

Whoever rings behind a target has a dialog of its own with us, by its tag; the caller gets
one of ours for each, so that early media, PRACK and UPDATE find the one they are for.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.bridge.attempt import Attempt
from uacproxy.bridge.leg import Leg, Owner
from uacproxy.bridge.legs import LegTable
from uacproxy.bridge.wiring import BridgeWiring
from uacproxy.dialog.ua_dialog import contact_for, uac_dialog, uas_dialog
from uacproxy.errors import ParseError
from uacproxy.sip.message import Message
from uacproxy.transaction.server import ServerTransaction
from uacproxy.uac.invite import SentInvite

MOST_RINGING: Final = 32  # early dialogs of one call; what further callees say is not passed


@final
class Forks:
    """Pairs of legs by our tag toward the target and the callee's; each is known to ``legs``."""

    __slots__ = ("_legs", "_owner", "_pairs", "_received", "_server", "_tag_used", "_wiring")

    def __init__(
        self,
        wiring: BridgeWiring,
        legs: LegTable,
        owner: Owner,
        server: ServerTransaction,
        received: Message,
    ) -> None:
        self._wiring = wiring
        self._legs = legs
        self._owner = owner
        self._server = server
        self._received = received
        self._pairs: dict[tuple[bytes, bytes], Leg] = {}  # outer legs
        self._tag_used = False  # the INVITE's first To tag has its dialog

    def ringing(self, attempt: Attempt, invite: SentInvite, response: Message) -> Leg | None:
        """Return the outer leg of who rings; None where there can be none."""
        outer = self._pairs.get((attempt.tag, response.to.tag))
        if outer is None and len(self._pairs) < MOST_RINGING:
            outer = self._make(attempt, invite, response)
        return outer

    def accepted(self, attempt: Attempt, invite: SentInvite, response: Message) -> Leg | None:
        """Return the outer leg of who accepts, and drop all others; None: it can be none."""
        outer = self._pairs.pop((attempt.tag, response.to.tag), None)
        if outer is None:
            outer = self._make(attempt, invite, response)
            self._pairs.pop((attempt.tag, response.to.tag), None)
        self.drop_all()
        return outer

    def drop(self, attempt: Attempt) -> None:
        """Forget what rang at a target."""
        for key in [key for key in self._pairs if key[0] == attempt.tag]:
            self._drop(self._pairs.pop(key))

    def drop_all(self) -> None:
        """Forget all that rings; a final response tells the caller."""
        for outer in self._pairs.values():
            self._drop(outer)
        self._pairs.clear()

    def _make(self, attempt: Attempt, invite: SentInvite, response: Message) -> Leg | None:
        wiring = self._wiring
        received = self._received
        server = self._server
        # The first is that of a CANCEL's 200; RSeq numbers of a later one start anew.
        tag = wiring.table.new_tag() if self._tag_used else server.local_tag
        secure = received.request_uri[:5].lower() == b"sips:"
        try:
            theirs = uac_dialog(invite.request, response)
            ours = uas_dialog(received, tag, contact_for(server.flow, tag, secure=secure))
        except ParseError:
            return None
        self._tag_used = True
        ours.max_forwards = theirs.max_forwards = wiring.max_forwards
        outer = Leg(wiring, self._owner, theirs, is_outer=True)
        inner = Leg(wiring, self._owner, ours, is_outer=False)
        outer.other = inner
        inner.other = outer
        outer.client = invite
        outer.offering = bool(invite.request.body)
        outer.credentials = attempt.credentials
        outer.hidden = self._owner.hidden
        inner.server = server
        inner.heard(received)
        self._pairs[(attempt.tag, response.to.tag)] = outer
        self._legs.add(outer)
        self._legs.add(inner)
        return outer

    def _drop(self, outer: Leg) -> None:
        for leg in (outer, outer.other):
            leg.server = None
            leg.client = None
            leg.close()
            self._legs.remove(leg)
        outer.part_later()
