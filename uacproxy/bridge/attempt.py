"""One target of a bridged call: the INVITE to it, a dialog of its own (RFC 3261 13.2).

Nothing of the caller's INVITE is in it but what ``policy`` passes; Call-ID, tag, CSeq,
Contact and Via are ours.
"""

from __future__ import annotations

from typing import Protocol, final

from uacproxy.bridge.policy import TIMER, allowed, copy_edited, passed_tags
from uacproxy.bridge.session_timer import (
    MIN_SE,
    MOST_LONGER,
    SESSION_EXPIRES,
    SHORTEST,
    min_se,
)
from uacproxy.bridge.wiring import BridgeWiring
from uacproxy.dialog.ua_dialog import tagged
from uacproxy.ports import Target
from uacproxy.settings import ListenAddress
from uacproxy.sip.build import build_request
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    ALLOW,
    CALL_ID,
    CSEQ,
    FROM,
    MAX_FORWARDS,
    REQUIRE,
    ROUTE,
    SUPPORTED,
    TO,
    USER_AGENT,
)
from uacproxy.sip.uri import Uri
from uacproxy.uac.auth import Attempts, Authorized
from uacproxy.uac.credentials import CredentialList
from uacproxy.uac.invite import SentInvite
from uacproxy.uac.send import SendOutcome


@final
class OuterTarget:
    """Where to call, and as whom."""

    __slots__ = (
        "credentials",
        "from_head",
        "next_hop",
        "replaces",
        "request_uri",
        "ring_for",
        "routes",
        "socket",
        "targets",
        "to_head",
    )

    def __init__(
        self,
        request_uri: bytes,
        next_hop: Uri,
        from_head: bytes,
        to_head: bytes,
        *,
        targets: list[Target],
        routes: list[bytes],
        ring_for: float,
        socket: ListenAddress | None = None,
        replaces: bytes = b"",
        credentials: CredentialList | None = None,
    ) -> None:
        self.request_uri = request_uri
        self.next_hop = next_hop
        self.from_head = from_head  # display name and address
        self.to_head = to_head
        self.targets = targets  # known without asking
        self.routes = routes  # values of Route
        self.ring_for = ring_for  # s, 0: for ever
        self.socket = socket  # to leave from; None: the nearest
        self.replaces = replaces  # mapped; b"" for none
        self.credentials = credentials  # of the dialog to be replaced, for its peer alone


class Placer(Protocol):
    """The call an attempt belongs to."""

    def attempt_rings(self, attempt: Attempt, response: Message) -> None:
        """Hear a 101 to 199."""

    def attempt_accepted(self, attempt: Attempt, invite: SentInvite, response: Message) -> None:
        """Hear the first 2xx of a callee; it waits for its ACK."""

    def attempt_failed(self, attempt: Attempt, outcome: SendOutcome) -> None:
        """Hear that there will be no 2xx."""


@final
class Attempt:
    """One target on its way."""

    __slots__ = (
        "_longer",
        "_received",
        "_shortest",
        "_wiring",
        "attempts",
        "call_id",
        "credentials",
        "cseq",
        "given",
        "invite",
        "outcome",
        "over",
        "placer",
        "request",
        "tag",
        "target",
    )

    def __init__(
        self,
        wiring: BridgeWiring,
        placer: Placer,
        target: OuterTarget,
        received: Message,
        request: Message,
        credentials: CredentialList | None,
    ) -> None:
        """Prepare.

        Args:
            wiring: of the bridge.
            placer: the call.
            target: where to.
            received: the caller's INVITE as it came.
            request: the same, as handlers edited it.
            credentials: to answer challenges by ourselves with.
        """
        self._wiring = wiring
        self.placer = placer
        self.target = target
        self._received = received
        self.request = request
        self.credentials = credentials
        self.given: list[Authorized] = []  # by a failure route
        self.attempts: Attempts | None = None  # likewise
        self.call_id = wiring.random.token()
        self.tag = wiring.random.token()
        self.cseq = 1
        self.invite: SentInvite | None = None
        self.outcome: SendOutcome | None = None  # how it failed
        self.over = False  # no more is heard of it
        self._shortest = wiring.settings.min_se
        self._longer = 0  # 422s followed

    def start(self) -> None:
        """Call; a second time after a failure route has found credentials."""
        self.over = False
        self.outcome = None
        target = self.target
        invite = self._wiring.invites.send(
            self._build(),
            target.next_hop,
            self,
            targets=target.targets,
            contact_user=self.tag,
            credentials=self.credentials,
            next_cseq=self._next_cseq,
            ring_for=target.ring_for,
            socket=target.socket,
            answers=self.given,
            attempts=self.attempts,
        )
        if self.outcome is None:
            self.invite = invite

    def start_again(self, given: list[Authorized], attempts: Attempts) -> None:
        """Call who asked once more, with the answers that a failure route found."""
        invite = self.invite
        if invite is not None and invite.target is not None:
            self.target.targets = [invite.target]
        self.given = given
        self.attempts = attempts
        self.cseq += 1
        self.start()

    def cancel(self, reasons: list[bytes]) -> None:
        """Call off."""
        if self.invite is not None and not self.over:
            self.invite.cancel(reasons)

    def _next_cseq(self) -> int:
        self.cseq += 1
        return self.cseq

    def _build(self) -> Message:
        wiring = self._wiring
        target = self.target
        source = self.request
        hops = self._received.max_forwards
        limit = wiring.max_forwards
        left = limit if hops is None else min(limit, hops - 1)  # RFC 7332: a loop ends
        fields = [(ROUTE, route) for route in target.routes]
        fields.append((MAX_FORWARDS, b"%d" % left))
        fields.append((FROM, tagged(target.from_head, self.tag)))
        fields.append((TO, target.to_head))
        fields.append((CALL_ID, self.call_id))
        fields.append((CSEQ, b"%d INVITE" % self.cseq))
        if target.replaces:
            fields.append((b"replaces", target.replaces))
        fields.append((ALLOW, allowed(source, wiring.methods)))
        tags = passed_tags(source, SUPPORTED)
        interval = wiring.settings.session_expires
        if interval:
            tags.append(TIMER)
            fields.append((SESSION_EXPIRES, b"%d" % max(interval, self._shortest)))
            if self._shortest > SHORTEST:
                fields.append((MIN_SE, b"%d" % self._shortest))
        if tags:
            fields.append((SUPPORTED, b", ".join(tags)))
        required = passed_tags(source, REQUIRE)
        if required:
            fields.append((REQUIRE, b", ".join(required)))
        if wiring.server_name:
            fields.append((USER_AGENT, wiring.server_name))
        invite = build_request(b"INVITE", target.request_uri, fields)
        copy_edited(self._received, source, invite, wiring.passed_in_requests)
        return invite

    # -- from the INVITE ---------------------------------------------------------------

    def invite_rings(self, invite: SentInvite, response: Message) -> None:
        """Tell the call."""
        self.placer.attempt_rings(self, response)

    def invite_accepted(self, invite: SentInvite, response: Message) -> None:
        """Tell the call, also of a 2xx that comes after it is over."""
        self.over = True
        self.placer.attempt_accepted(self, invite, response)

    def invite_failed(self, invite: SentInvite, outcome: SendOutcome) -> None:
        """Tell the call, unless the callee only wants a longer session interval (RFC 4028 7.3)."""
        response = outcome.response
        self.invite = invite
        if (
            outcome.status == 422
            and response is not None
            and min_se(response) > self._shortest
            and self._longer < MOST_LONGER
        ):
            self._longer += 1
            self._shortest = min_se(response)
            self.cseq += 1
            if not invite.cancelled:
                self.start()
                return
        self.over = True
        self.outcome = outcome
        self.placer.attempt_failed(self, outcome)
