"""One call that a script makes: its INVITE, its dialog, its end (RFC 3261 13, 12, 15).

The first callee that accepts has the call; every other 2xx of a fork is acknowledged
and ended. What comes inside the dialog is answered here, since there is nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from uacproxy.dialog.ua_dialog import UaDialog, uac_dialog
from uacproxy.errors import OwnMistake, ParseError
from uacproxy.ports import Timer
from uacproxy.sip.build import build_response
from uacproxy.sip.fields import option_tags
from uacproxy.sip.message import Message
from uacproxy.sip.names import ALLOW, CONTACT, CONTENT_TYPE, REQUIRE, RETRY_AFTER, UNSUPPORTED
from uacproxy.transaction.server import ServerTransaction
from uacproxy.uac.invite import CANCELLED, SentInvite
from uacproxy.uac.own_request import BadKey, OwnRequest, parse_headers
from uacproxy.uac.request_exchange import Answer, Heard
from uacproxy.uac.send import UNANSWERED, UNREACHED, SendOutcome
from uacproxy.uac.silent_sdp import SDP, SilentSession
from uacproxy.uac.success import Success

if TYPE_CHECKING:
    from uacproxy.uac.own_calls import OwnCalls

RING: Final = 180.0  # s without an answer, where fr_inv_timeout says nothing else

_ALLOWED: Final = b"INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, MESSAGE, NOTIFY"
_TOLD: Final = frozenset((b"INFO", b"MESSAGE", b"NOTIFY"))
_DEAD: Final = frozenset((408, 481))  # 12.2.1.2: the dialog is no more


@final
class OwnCall:
    """See the module; ``dialog`` is there once the call is answered.

    ``ended_by`` says who ended it then: ``us``, ``them``, ``lost``; empty while it stands.
    """

    __slots__ = (
        "_calls",
        "_end",
        "_gave_up",
        "_heard",
        "_invite",
        "_own",
        "_ring",
        "_session",
        "_success",
        "_told",
        "_wait",
        "call_id",
        "came",
        "dialog",
        "ended_by",
        "local_tag",
        "on_end",
    )

    def __init__(self, calls: OwnCalls, own: OwnRequest, heard: Heard) -> None:
        self._calls = calls
        self._own = own
        self._heard = heard
        self._invite: SentInvite | None = None
        self._wait: Timer | None = None
        self._ring: Timer | None = None
        self._end: Timer | None = None  # of the longest a call may last
        self._session = SilentSession(own.message.body)
        self._success: Success | None = None  # our 2xx that waits for its ACK
        self._told = False
        self._gave_up = False
        self.call_id = own.message.call_id
        self.local_tag = own.message.from_.tag
        self.dialog: UaDialog | None = None
        self.ended_by = ""
        self.on_end: list[Callable[[], None]] = []
        self.came: Callable[[Message], None] | None = None  # hears INFO, MESSAGE and NOTIFY

    # -- the INVITE --------------------------------------------------------------------

    def start(self) -> None:
        """Send the INVITE."""
        calls = self._calls
        own = self._own
        wait = own.wait_for or 64 * calls.t1
        self._wait = calls.clock.callLater(wait, self._waited)
        invite = calls.invites.send(
            own.message,
            own.next_hop,
            self,
            contact_user=own.contact_user,
            credentials=own.credentials,
            socket=own.socket,
        )
        self._invite = invite

    def cancel(self) -> None:
        """Cancel the INVITE while nobody has answered it."""
        if self._invite is not None and not self._told:
            self._invite.cancel()

    def _waited(self) -> None:
        self._wait = None
        invite = self._invite
        if invite is None:
            return
        if invite.is_proceeding:
            self._let_ring()
        elif self._own.wait_for > 0:
            self._give_up(invite)

    def _let_ring(self) -> None:
        if self._ring is None and not self._told:
            wait = self._own.ring_within or RING
            self._ring = self._calls.clock.callLater(wait, self._rang)

    def _rang(self) -> None:
        self._ring = None
        if self._invite is not None:
            self._give_up(self._invite)

    def _give_up(self, invite: SentInvite) -> None:
        self._gave_up = True
        invite.give_up()

    def invite_rings(self, invite: SentInvite, response: Message) -> None:
        """Give the callee as long as it may ring."""
        self._let_ring()

    def invite_accepted(self, invite: SentInvite, response: Message) -> None:
        """Acknowledge a 2xx; end at once what nobody waits for any more."""
        self._stop_timers()
        try:
            dialog = uac_dialog(invite.request, response)
            self._acknowledge(invite, response, dialog)
        except ParseError as error:
            self._tell(UNREACHED, None, f"a 2xx that makes no dialog: {error.why}")
            return
        if self._told:
            self._bye(dialog)
        elif invite.cancelled:
            self._bye(dialog)
            status = UNANSWERED if self._gave_up else CANCELLED
            self._tell(status, None, "the answer came after we had given up")
        else:
            self.dialog = dialog
            self._end = self._calls.clock.callLater(self._calls.lifetime, self._lasted)
            self._tell(response.status, response, "")

    def _acknowledge(self, invite: SentInvite, response: Message, dialog: UaDialog) -> None:
        fields: list[tuple[bytes, bytes]] = []
        body = b""
        if response.body and not invite.request.body:  # the offer came in the 2xx (13.2.2.4)
            body = self._session.answer(response.body)
            fields.append((CONTENT_TYPE, SDP))
        ack = dialog.build(b"ACK", fields, body, cseq=invite.request.cseq.number)
        invite.acknowledge(response, ack, dialog.next_hop())

    def invite_failed(self, invite: SentInvite, outcome: SendOutcome) -> None:
        """Hear that nobody accepts."""
        self._stop_timers()
        self._tell(outcome.status, outcome.response, outcome.why)

    def _tell(self, status: int, response: Message | None, why: str) -> None:
        if self._told:
            return
        self._told = True
        invite = self._invite
        request = self._own.message if invite is None else invite.request
        flow = None if invite is None else invite.flow
        if self.dialog is None:
            self._calls.forget(self)
        answer = Answer(status, response, request, flow, why, True)
        if invite is None:  # nobody who calls is told before that has returned
            self._calls.clock.callLater(0, self._heard, answer)
        else:
            self._heard(answer)

    def _stop_timers(self) -> None:
        for timer in (self._wait, self._ring):
            if timer is not None and timer.active():
                timer.cancel()
        self._wait = None
        self._ring = None

    # -- what the script does ----------------------------------------------------------

    def send(self, method: str, hdrs: str, body: str, heard: Heard) -> None:
        """Send a request inside the dialog; BYE ends it.

        Raises:
            BadKey: no request can be made of it.
            OwnMistake: the call has ended.
        """
        dialog = self.dialog
        if dialog is None or self.ended_by:
            raise OwnMistake("the call has ended")
        octets = self._calls.method_of(method)
        fields = [(field.name, field.value) for field in parse_headers("hdrs", hdrs)]
        content = body.encode("utf-8", "surrogateescape")
        if content and CONTENT_TYPE not in [name for name, _ in fields]:
            raise BadKey("body", "needs a Content-Type in hdrs")
        request = dialog.build(octets, fields, content)
        if octets == b"BYE":
            self._ended("us")

        def answered(answer: Answer) -> None:
            if answer.is_last and answer.status in _DEAD:
                self._ended("lost")
            if answer.is_last and self.ended_by:
                self._calls.forget(self)
            heard(answer)

        self._calls.send(self._inside(dialog, request), answered)

    def _inside(self, dialog: UaDialog, request: Message) -> OwnRequest:
        own = self._own
        inside = OwnRequest(
            request, dialog.next_hop(), own.socket, own.credentials, own.wait_for, 0.0
        )
        inside.next_cseq = dialog.next_cseq
        return inside

    def hang_up(self) -> None:
        """End it in whatever state it is; nobody is told how that goes."""
        dialog = self.dialog
        if dialog is None:
            self.cancel()
        elif not self.ended_by:
            self._ended("us")
            self._bye(dialog)

    def _bye(self, dialog: UaDialog) -> None:
        def answered(answer: Answer) -> None:
            if answer.is_last and dialog is self.dialog:
                self._calls.forget(self)

        self._calls.send(self._inside(dialog, dialog.build(b"BYE")), answered)

    def _lasted(self) -> None:
        self._end = None
        self.hang_up()

    def _ended(self, by: str) -> None:
        if self.ended_by:
            return
        self.ended_by = by
        if self._end is not None and self._end.active():
            self._end.cancel()
        if self._success is not None:
            self._success.stop()
            self._success = None
        if by != "us":  # else their BYE may cross ours, and is answered
            self._calls.forget(self)
        listening = self.on_end
        self.on_end = []
        for each in listening:
            each()

    # -- what the far end does ---------------------------------------------------------

    def request_received(self, server: ServerTransaction, request: Message) -> None:
        """Answer a request inside the dialog."""
        dialog = self.dialog
        is_bye = request.method == b"BYE"
        if dialog is None or not dialog.fits(request) or (self.ended_by and not is_bye):
            server.respond(build_response(request, 481))
            return
        if not dialog.take_cseq(request):
            server.respond(build_response(request, 500))
            return
        unknown = option_tags(request, REQUIRE)
        method = request.method
        if unknown:
            refused = build_response(request, 420)
            refused.append(UNSUPPORTED, b", ".join(unknown))
            server.respond(refused)
        elif method == b"BYE":
            server.respond(build_response(request, 200))
            self._ended("them")
        elif method == b"INVITE":
            self._invited_again(server, request, dialog)
        elif method == b"UPDATE":
            dialog.refresh_target(request)
            server.respond(self._with_session(request, dialog))
        elif method == b"OPTIONS" or method in _TOLD:
            server.respond(self._accepting(request))
            if method in _TOLD and self.came is not None:
                self.came(request)
        else:
            refused = build_response(request, 405)
            refused.append(ALLOW, _ALLOWED)
            server.respond(refused)

    def ack_received(self, ack: Message) -> None:
        """Hear the ACK of our 2xx."""
        success = self._success
        if success is not None and success.cseq == ack.cseq.number:
            success.ack_received(ack)

    def _invited_again(self, server: ServerTransaction, request: Message, dialog: UaDialog) -> None:
        if self._success is not None:  # 14.2
            refused = build_response(request, 500)
            refused.append(RETRY_AFTER, b"1")
            server.respond(refused)
            return
        dialog.refresh_target(request)
        response = self._with_session(request, dialog)
        calls = self._calls
        success = Success(server, response, self._acknowledged, calls.clock, calls.t1, calls.t2)
        self._success = success
        success.start()

    def _acknowledged(self, ack: Message | None) -> None:
        self._success = None
        if ack is None:  # 13.3.1.4
            self.hang_up()

    def _with_session(self, request: Message, dialog: UaDialog) -> Message:
        """Accept an offer silently; a re-INVITE without one gets what we said last."""
        response = self._accepting(request)
        response.append(CONTACT, dialog.contact)
        body = b""
        if request.body:
            body = self._session.answer(request.body)
        elif request.method == b"INVITE":
            body = self._session.said
        if body:
            response.append(CONTENT_TYPE, SDP)
            response.set_body(body)
        return response

    def _accepting(self, request: Message) -> Message:
        response = build_response(request, 200)
        response.append(ALLOW, _ALLOWED)
        return response
