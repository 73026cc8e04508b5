"""One INVITE of our own, from its targets to its last 2xx (RFC 3261 13.2, 8.1, RFC 6026).

Knows no dialog: who calls is told of responses and makes dialogs of them. What takes
care of itself here: targets and fail-over, CANCEL (9.1), challenges (22.2), the ACK of
each 2xx and its repetition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, final

from uacproxy.errors import OwnMistake
from uacproxy.ports import Clock, Flow, Resolver, Target, Timer, Transports
from uacproxy.settings import ListenAddress
from uacproxy.sip.build import build_cancel
from uacproxy.sip.message import Message
from uacproxy.sip.names import CSEQ
from uacproxy.sip.uri import Uri
from uacproxy.transaction.client import ClientTransaction
from uacproxy.transaction.table import TransactionTable
from uacproxy.transaction.vocabulary import Notice
from uacproxy.uac.ack import AckOut
from uacproxy.uac.answers import RequestAnswers
from uacproxy.uac.auth import Attempts, Authorized
from uacproxy.uac.credentials import CredentialList
from uacproxy.uac.nonces import NonceBook
from uacproxy.uac.send import UNANSWERED, UNREACHED, SendOutcome
from uacproxy.uac.target_walk import TargetWalk

CANCELLED: Final = 487
MOST_CALLEES: Final = 32  # tags of one INVITE; what a 2xx of a further one asks for is not heard


class InviteUser(Protocol):
    """Who calls."""

    def invite_rings(self, invite: SentInvite, response: Message) -> None:
        """Hear a 101 to 199, from whichever callee; not once the INVITE was cancelled."""

    def invite_accepted(self, invite: SentInvite, response: Message) -> None:
        """Hear the first 2xx of a callee, which waits for ``invite.acknowledge``.

        Also after ``cancel``, which came too late then, and after another callee's.
        """

    def invite_failed(self, invite: SentInvite, outcome: SendOutcome) -> None:
        """Hear that there will be no 2xx; nothing follows.

        A 487 without a response says that the CANCEL was not answered in 64*T1, or
        that nothing had been sent yet.
        """


@final
class InviteSender:
    """Sends INVITEs; one for the service.

    Args:
        transports: for flows.
        resolver: for targets.
        table: of the transactions.
        clock: for the waits of a caller.
        nonces: of all peers, for credentials that are sent before they are asked for.
        udp_limit: octets above which TCP goes first; 0 never switches.
        t1: s.
        default_socket: the listener to leave from where none is named.
    """

    __slots__ = (
        "clock",
        "default_socket",
        "nonces",
        "resolver",
        "t1",
        "table",
        "transports",
        "udp_limit",
    )

    def __init__(
        self,
        *,
        transports: Transports,
        resolver: Resolver,
        table: TransactionTable,
        clock: Clock,
        nonces: NonceBook,
        udp_limit: int = 1300,
        t1: float = 0.5,
        default_socket: ListenAddress | None = None,
    ) -> None:
        self.transports = transports
        self.resolver = resolver
        self.table = table
        self.clock = clock
        self.nonces = nonces
        self.udp_limit = udp_limit
        self.t1 = t1
        self.default_socket = default_socket

    def send(
        self,
        request: Message,
        next_hop: Uri,
        user: InviteUser,
        *,
        targets: list[Target] | None = None,
        contact_user: bytes = b"",
        credentials: CredentialList | None = None,
        next_cseq: Callable[[], int] | None = None,
        ring_for: float = 0.0,
        socket: ListenAddress | None = None,
        answers: list[Authorized] | None = None,
        attempts: Attempts | None = None,
    ) -> SentInvite:
        """Send an INVITE until somebody accepts, or nobody is left to ask.

        Args:
            request: without a Via of ours; copied, never edited.
            next_hop: where to, resolved when ``targets`` have failed.
            user: hears everything, perhaps before this returns where nothing can be sent.
            targets: tried first, in order, as of a binding.
            contact_user: user of the Contact to put in; b"" leaves the request's own.
            credentials: to answer challenges with; None or none that fits: the 401 or 407
                is a failure like any other.
            next_cseq: takes a number for the retry after a challenge, as of the dialog the
                INVITE belongs to; None counts on from the request's own.
            ring_for: s without a final response until it is cancelled, and has failed with
                408 then; 0 waits for ever.
            socket: the listener to leave from.
            answers: to a challenge of an INVITE before this one.
            attempts: that they were counted in.
        """
        given = RequestAnswers(credentials, self.nonces, next_hop.raw, answers, attempts)
        invite = SentInvite(self, request, next_hop, user, given, next_cseq, socket)
        invite.begin(targets, contact_user, ring_for)
        return invite


@final
class SentInvite:
    """One INVITE on its way; ``request`` is what was sent last, Via and Contact with it."""

    __slots__ = (
        "_acks",
        "_cancel_reasons",
        "_client",
        "_gave_up",
        "_next_cseq",
        "_plain",
        "_ringing",
        "_sender",
        "_socket",
        "_timer",
        "_told",
        "_user",
        "_walk",
        "accepted",
        "answers",
        "cancelled",
        "over",
        "request",
    )

    def __init__(
        self,
        sender: InviteSender,
        request: Message,
        next_hop: Uri,
        user: InviteUser,
        answers: RequestAnswers,
        next_cseq: Callable[[], int] | None,
        socket: ListenAddress | None,
    ) -> None:
        if request.method != b"INVITE":
            raise OwnMistake("this is the way of an INVITE")
        self._sender = sender
        self._user: InviteUser = user
        self._plain = request  # without credentials
        self._next_cseq = next_cseq
        self._socket = sender.default_socket if socket is None else socket
        self._client: ClientTransaction | None = None
        self._timer: Timer | None = None  # the caller's patience, or the end of a cancelled INVITE
        self._ringing = False  # a provisional response came: CANCEL may be sent
        self._gave_up = False  # cancelled by our own clock
        self._cancel_reasons: list[bytes] = []
        self._acks: dict[bytes, AckOut | None] = {}  # by To tag; None: not acknowledged yet
        self._told: SendOutcome | None = None  # the failure of the target tried last
        self._walk = TargetWalk(
            self,
            request,
            next_hop,
            transports=sender.transports,
            resolver=sender.resolver,
            branches=sender.table,
            udp_limit=sender.udp_limit,
            socket=self._socket,
        )
        self.request = request
        self.answers = answers
        self.accepted = False  # a 2xx came
        self.cancelled = False
        self.over = False  # a final response came, or none will

    def begin(
        self,
        targets: list[Target] | None,
        contact_user: bytes,
        ring_for: float,
    ) -> None:
        """Send to the first target; for ``InviteSender`` alone."""
        walk = self._walk
        walk.contact_user = contact_user
        if targets:
            for target in reversed(targets):
                walk.put_first(target)
        answers = self.answers
        answers.look_ahead(self._plain)
        if answers.given:
            walk.request = self._plain.branch_copy()
            answers.write(walk.request)
        if ring_for > 0.0:
            self._timer = self._sender.clock.callLater(ring_for, self._lose_patience)
        walk.go_on()

    @property
    def flow(self) -> Flow | None:
        """Return the flow to the target tried last."""
        return self._walk.flow

    @property
    def target(self) -> Target | None:
        """Return the target tried last."""
        return self._walk.target

    # -- what the caller does ----------------------------------------------------------

    def cancel(self, reasons: list[bytes] | None = None) -> None:
        """Cancel, as soon as a provisional response has come; a 2xx may still cross (9.1).

        Args:
            reasons: values of Reason to carry along (RFC 3326).
        """
        if self.over or self.cancelled:
            return
        self.cancelled = True
        if reasons is not None:
            self._cancel_reasons = reasons
        if self._client is None:
            self._fail(SendOutcome(CANCELLED, None, None, None, "cancelled before it was sent"))
        elif self._ringing:
            self._send_cancel()

    @property
    def is_proceeding(self) -> bool:
        """Tell whether the target tried last has sent a provisional response, 100 included."""
        return self._ringing

    def give_up(self) -> None:
        """Cancel for want of a final response; it has failed with 408 then."""
        if not self.over and not self.cancelled:
            self._stop_timer()
            self._lose_patience()

    def acknowledge(self, response: Message, ack: Message, next_hop: Uri) -> None:
        """Send the ACK of a 2xx; it is sent again whenever that 2xx comes again (13.2.2.4).

        It does not repeat the INVITE's credentials: docs/decisions/0010 says why.

        Args:
            response: the 2xx.
            ack: of its dialog, with the number of ``request``, without Via.
            next_hop: of its dialog.
        """
        out = AckOut(self._sender, ack, next_hop, self._socket)
        self._acks[response.to.tag] = out
        out.start()

    def abandon(self) -> None:
        """Forget it: nothing more is sent and nobody is told."""
        self.over = True
        self._walk.stop()
        self._stop_timer()
        if self._client is not None:
            self._client.stop()

    # -- from the walk -----------------------------------------------------------------

    def ready(self, request: Message, flow: Flow) -> None:
        """Send to the next target."""
        self.request = request
        self._ringing = False
        self._client = self._sender.table.start_client(request, flow, self._heard)

    def no_target_left(self) -> None:
        """Fail with what the last target said, or for want of one."""
        outcome = self._told
        if outcome is None:
            outcome = SendOutcome(UNREACHED, None, None, None, self._walk.why)
        self._fail(outcome)

    # -- from the transaction ----------------------------------------------------------

    def _heard(self, notice: Notice, response: Message | None) -> None:
        if response is None:
            self._heard_nothing(notice == Notice.TRANSPORT_ERROR)
            return
        status = response.status
        if status < 200:
            self._provisional(response)
        elif status < 300:
            self._accepted(response)
        elif not self.over:
            self._refused(response)

    def _provisional(self, response: Message) -> None:
        if self.over:
            return
        first = not self._ringing
        self._ringing = True
        if self.cancelled:
            if first:
                self._send_cancel()
        elif response.status > 100:
            self._user.invite_rings(self, response)

    def _accepted(self, response: Message) -> None:
        tag = response.to.tag
        if tag in self._acks:
            known = self._acks[tag]
            if known is not None:
                known.send_again()
            return
        if len(self._acks) >= MOST_CALLEES:
            return
        self._acks[tag] = None
        self.accepted = True
        self.over = True
        self._walk.stop()
        self._stop_timer()
        self.answers.accepted()
        self._user.invite_accepted(self, response)

    def _refused(self, response: Message) -> None:
        status = response.status
        walk = self._walk
        outcome = SendOutcome(status, response, walk.target, walk.flow, "")
        if self._gave_up and status == CANCELLED:
            outcome = SendOutcome(UNANSWERED, None, walk.target, walk.flow, "nobody answered")
        elif not self.cancelled:
            if self._answer_challenge(response):
                return
            if status == UNREACHED and walk.has_more:
                self._told = outcome
                self._next_target()
                return
        self._fail(outcome)

    def _heard_nothing(self, transport_failed: bool) -> None:
        if self.over:
            return  # an ACK that did not leave
        walk = self._walk
        if self.cancelled:
            status = UNANSWERED if self._gave_up else CANCELLED
            self._fail(SendOutcome(status, None, walk.target, walk.flow, "no answer in time"))
            return
        if transport_failed:
            walk.why = "the transport failed"
            self._told = SendOutcome(UNREACHED, None, walk.target, walk.flow, walk.why)
        else:
            walk.why = "no answer in time"
            self._told = SendOutcome(UNANSWERED, None, walk.target, walk.flow, walk.why)
        self._next_target()

    def _next_target(self) -> None:
        if self._client is not None:
            self._client.release()  # what it hears from now on is not about us
        self._walk.go_on()

    def _answer_challenge(self, response: Message) -> bool:
        """Send once more with credentials, to who asked; False where there are none."""
        walk = self._walk
        target = walk.target
        if target is None or not self.answers.answer(self.request, response):
            return False
        again = self._plain.branch_copy()
        number = self.request.cseq.number + 1 if self._next_cseq is None else self._next_cseq()
        again.set(CSEQ, b"%d INVITE" % number)
        self.answers.write(again)
        walk.request = again
        walk.put_first(target)
        self._next_target()
        return True

    # -- the caller's patience, and CANCEL ---------------------------------------------

    def _lose_patience(self) -> None:
        self._timer = None
        self._gave_up = True
        if self._client is not None and not self._ringing:
            walk = self._walk
            self._client.stop()
            self._fail(SendOutcome(UNANSWERED, None, walk.target, walk.flow, "no answer in time"))
        else:
            self.cancel()

    def _send_cancel(self) -> None:
        client = self._client
        if client is None:
            return
        self._stop_timer()
        sender = self._sender
        cancel = build_cancel(self.request, self._cancel_reasons)
        sender.table.start_client(cancel, client.flow, _nobody_listens)
        self._timer = sender.clock.callLater(64 * sender.t1, self._cancel_unheard)  # 9.1

    def _cancel_unheard(self) -> None:
        self._timer = None
        walk = self._walk
        if self._client is not None:
            self._client.stop()
        status = UNANSWERED if self._gave_up else CANCELLED
        self._fail(SendOutcome(status, None, walk.target, walk.flow, "no answer to CANCEL"))

    def _fail(self, outcome: SendOutcome) -> None:
        if self.over:
            return
        self.over = True
        self._walk.stop()
        self._stop_timer()
        if self._gave_up and outcome.status == CANCELLED and outcome.response is None:
            outcome = outcome._replace(status=UNANSWERED)
        user = self._user
        self._user = _NOBODY
        user.invite_failed(self, outcome)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@final
class _Nobody:
    """The user of an INVITE that has failed: nothing follows, and no cycle is left."""

    def invite_rings(self, invite: SentInvite, response: Message) -> None:
        """Hear nothing."""

    def invite_accepted(self, invite: SentInvite, response: Message) -> None:
        """Hear nothing."""

    def invite_failed(self, invite: SentInvite, outcome: SendOutcome) -> None:
        """Hear nothing."""


_NOBODY: Final = _Nobody()


def _nobody_listens(_notice: Notice, _response: Message | None) -> None:
    """Answers to a CANCEL change nothing: the INVITE's final response decides (9.1)."""
