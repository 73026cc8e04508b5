"""One side of a bridged call: its dialog, and what is under way in it.

A leg is told what its peer sends and tells the call of what ends it; what is passed on
goes to ``other``. Offers are not read, but counted: who has sent one that waits for its
answer decides between 491 and passing on (RFC 3264, RFC 3311 5.2, RFC 6141).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, final

from uacproxy.bridge.policy import (
    TIMER,
    allowed,
    copy_passed,
    listed,
    passed_tags,
)
from uacproxy.bridge.reliable import ReliableResponses
from uacproxy.bridge.session_timer import SessionTimer
from uacproxy.bridge.wiring import BridgeWiring
from uacproxy.dialog.ua_dialog import REFRESHES_TARGET, UaDialog
from uacproxy.errors import ParseError
from uacproxy.sip.build import build_response
from uacproxy.sip.message import Message
from uacproxy.sip.names import ALLOW, CONTACT, REQUIRE, SERVER, SUPPORTED, USER_AGENT
from uacproxy.transaction.server import ServerTransaction
from uacproxy.uac.client_request import Ended
from uacproxy.uac.credentials import CredentialList
from uacproxy.uac.invite import SentInvite
from uacproxy.uac.send import SendOutcome
from uacproxy.uac.success import Acknowledged, Success

PARTS_AFTER: Final = 66  # times T1


class Owner(Protocol):
    """The call; ``hidden`` are the fields of the caller's that the callee must not see."""

    hidden: frozenset[bytes]

    def hung_up(self, leg: Leg, bye: Message) -> None:
        """Hear that the peer ended its dialog; its BYE has been answered."""

    def lost(self, leg: Leg) -> None:
        """Hear that the peer knows the dialog no more, or does not answer in it."""

    def refresh_due(self, leg: Leg) -> None:
        """Hear that the session is ours to refresh."""

    def session_expired(self, leg: Leg) -> None:
        """Hear that nobody refreshed the session."""

    def gone(self, leg: Leg) -> None:
        """Hear that our BYE has its answer, or will get none."""

    def changed(self) -> None:
        """Hear that the store's copy is out of date."""


@final
class Leg:
    """One dialog of a call; ``other`` is set before anything happens, until ``part_later``."""

    __deletable__ = ("other",)
    __slots__ = (
        "_goodbye",
        "client",
        "credentials",
        "dialog",
        "hidden",
        "is_outer",
        "last_body",
        "offering",
        "other",
        "over",
        "owed",
        "owner",
        "peer_allow",
        "reliable",
        "server",
        "success",
        "timer",
        "updating",
        "waiting",
        "wiring",
    )

    def __init__(
        self, wiring: BridgeWiring, owner: Owner, dialog: UaDialog, *, is_outer: bool
    ) -> None:
        self.wiring = wiring
        self.owner = owner
        self.dialog = dialog
        self.is_outer = is_outer
        self.other: Leg = self
        self.credentials: CredentialList | None = None
        self.hidden: frozenset[bytes] = frozenset()  # fields of the other's that end here
        self.server: ServerTransaction | None = None  # an INVITE of the peer's, not yet answered
        self.client: SentInvite | None = None  # an INVITE of ours, not yet finally answered
        self.success: Success | None = None  # a 2xx of ours that waits for its ACK
        self.waiting: Callable[[], None] | None = None  # goes on when that has come
        self.reliable: ReliableResponses | None = None  # to the peer's INVITE
        self.offering = False  # an offer of ours waits for its answer
        self.updating = False  # an UPDATE of the peer's is not answered yet
        self.over = False  # the dialog ends or has ended
        self._goodbye: Message | None = None  # a BYE that waits for an ACK
        self.peer_allow: list[bytes] = []  # methods; empty where the peer did not say
        self.last_body: tuple[list[bytes], bytes] | None = None  # lines and body sent last
        self.timer = SessionTimer(wiring.clock, self._refresh_due, self._session_expired)
        self.owed: tuple[SentInvite, Message] | None = (
            None  # a 2xx of theirs that waits for our ACK
        )

    @property
    def key(self) -> bytes:
        """Return the tags by which requests of the peer find the leg."""
        return self.dialog.local_tag + b" " + self.dialog.remote_tag

    # -- messages ----------------------------------------------------------------------

    def heard(self, message: Message) -> None:
        """Note what the peer says it can."""
        if message.has(ALLOW):
            self.peer_allow = listed(message, ALLOW)

    def move_target(self, message: Message) -> None:
        """Take the Contact of a target refresh; one that cannot be read moves nothing."""
        with suppress(ParseError):
            self.dialog.refresh_target(message)

    def answer(self, request: Message, status: int, source: Message | None = None) -> Message:
        """Make a response to the peer, with what is passed of the other side's ``source``."""
        wiring = self.wiring
        dialog = self.dialog
        response = build_response(request, status, b"", dialog.local_tag)
        if status > 100 and status < 300 and request.method in REFRESHES_TARGET:
            response.append(CONTACT, dialog.contact)
        if source is not None:
            if status < 300 and request.method == b"INVITE":
                response.append(ALLOW, allowed(source, wiring.methods))
                self.write_supported(response, source)
            copy_passed(source, response, self._shown(wiring.passed_in_responses))
        if wiring.server_name:
            response.append(SERVER, wiring.server_name)
        return response

    def request(self, method: bytes, source: Message | None = None) -> Message:
        """Make a request to the peer, with what is passed of the other side's ``source``."""
        wiring = self.wiring
        request = self.dialog.build(method)
        if wiring.server_name:
            request.append(USER_AGENT, wiring.server_name)
        if source is not None:
            if method == b"INVITE" or method == b"UPDATE":
                request.append(ALLOW, allowed(source, wiring.methods))
                self.write_supported(request, source)
            required = passed_tags(source, REQUIRE)
            if required:
                request.append(REQUIRE, b", ".join(required))
            copy_passed(source, request, self._shown(wiring.passed_in_requests))
        return request

    def _shown(self, passed: frozenset[bytes]) -> frozenset[bytes]:
        """Return what of the other side's fields this peer may see: nothing of a hidden caller."""
        return passed - self.hidden if self.hidden else passed

    def write_supported(self, message: Message, source: Message) -> None:
        """Write the extensions that the other side has, and the timer of our own."""
        tags = passed_tags(source, SUPPORTED)
        if self.wiring.settings.session_expires:
            tags.append(TIMER)
        if tags:
            message.append(SUPPORTED, b", ".join(tags))

    def keep_body(self, message: Message) -> None:
        """Remember the session as the peer was told it, to refresh with a re-INVITE."""
        if not message.body:
            return
        lines = [
            line
            for name, line in zip(message.names, message.lines, strict=True)
            if name.startswith(b"content-") and name != b"content-length"
        ]
        self.last_body = (lines, message.body)

    # -- sending -----------------------------------------------------------------------

    def refuse(self, server: ServerTransaction, status: int) -> None:
        """Answer a request of the peer's ourselves."""
        server.respond(self.answer(server.request, status))

    def send(self, request: Message, ended: Ended) -> None:
        """Send a request other than INVITE to the peer."""
        self.wiring.requests.send(self.dialog, request, ended, self.credentials)

    def succeed(self, server: ServerTransaction, response: Message, then: Acknowledged) -> None:
        """Send a 2xx to an INVITE of the peer's, again until its ACK comes."""
        wiring = self.wiring
        if self.success is not None:
            self.success.stop()
        if self.reliable is not None:
            self.reliable.stop()
        self.server = None
        self.keep_body(response)
        success = Success(server, response, then, wiring.clock, wiring.t1, wiring.t2)
        self.success = success
        success.start()

    def ack_received(self, ack: Message) -> None:
        """Take the ACK of our 2xx; a second one, or one of another INVITE, says nothing."""
        success = self.success
        if success is not None and ack.cseq.number == success.cseq:
            self.success = None
            waiting = self.waiting
            self.waiting = None
            success.ack_received(ack)
            if waiting is not None:
                waiting()

    def acknowledge(self, invite: SentInvite, response: Message, source: Message | None) -> None:
        """Acknowledge a 2xx of the peer's.

        Args:
            invite: of ours.
            response: its 2xx.
            source: the ACK of the other side, whose body is an answer; None for none.
        """
        self.owed = None
        dialog = self.dialog
        ack = dialog.build(b"ACK", cseq=invite.request.cseq.number)
        if source is not None:
            copy_passed(source, ack, self._shown(self.wiring.passed_in_requests))
            self.keep_body(ack)
        invite.acknowledge(response, ack, dialog.next_hop())

    # -- the end -----------------------------------------------------------------------

    def close(self) -> None:
        """Stop what runs; what the peer is still owed is answered (15.1.2)."""
        self.over = True
        self.waiting = None
        self.timer.end()
        if self.success is not None:
            self.success.stop()
            self.success = None
        if self.reliable is not None:
            self.reliable.stop()
            self.reliable = None
        server = self.server
        if server is not None:
            self.server = None
            self.refuse(server, 487)
        if self.owed is not None:
            self.acknowledge(self.owed[0], self.owed[1], None)
        if self.client is not None:
            self.client.cancel()

    def say_goodbye(self, source: Message | None) -> None:
        """End the dialog with a BYE, once a 2xx of ours has its ACK or will get none (15).

        Args:
            source: the BYE of the other side; None for none.
        """
        success = self.success
        if success is not None and success.over:
            success = None
        self.success = None
        self.close()
        self._goodbye = self.request(b"BYE", source)
        if success is None:
            self._send_goodbye(None)
        else:
            self.success = success
            success.tell(self._send_goodbye)

    def _send_goodbye(self, _ack: Message | None) -> None:
        bye = self._goodbye
        self._goodbye = None
        self.success = None
        if bye is not None:
            self.send(bye, self.said_goodbye)

    def part_later(self) -> None:
        """Let go of the other leg, and it of this one, once the last transaction of both is over.

        Until then what was under way when the call ended may look for it.
        """
        wiring = self.wiring
        wiring.clock.callLater(PARTS_AFTER * wiring.t1, self._part)

    def _part(self) -> None:
        del self.other.other
        del self.other

    def said_goodbye(self, _outcome: SendOutcome) -> None:
        """Hear the answer to our BYE."""
        self.owner.gone(self)

    def _refresh_due(self) -> None:
        self.owner.refresh_due(self)

    def _session_expired(self) -> None:
        self.owner.session_expired(self)
