"""Requests of our own: from a URI to a final response (RFC 3261 8.1, RFC 3263 4).

``RequestSender`` resolves the next hop, pushes our Via, runs one client transaction at a
time and goes to the next target where one is silent, unreachable or says 503 (RFC 3263
4.3). What a response means is for who sent: registration, and ``uac_req_send``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, final

from uacproxy.errors import OwnMistake
from uacproxy.ports import Flow, Resolver, Target, Transports
from uacproxy.settings import ListenAddress
from uacproxy.sip.message import Message
from uacproxy.sip.uri import Uri
from uacproxy.transaction.vocabulary import Notice
from uacproxy.uac.silent_targets import SilentTargets
from uacproxy.uac.target_walk import TargetWalk

UNANSWERED: Final = 408  # RFC 3261 8.1.3.1
UNREACHED: Final = 503


class Transaction(Protocol):
    """A client transaction that was started."""

    def stop(self) -> None:
        """End it; nobody is told."""


class ClientTransactions(Protocol):
    """The part of the transaction table a client needs."""

    def start_client(
        self, request: Message, flow: Flow, notify: Callable[[Notice, Message | None], None]
    ) -> Transaction:
        """Send a request; ``notify`` is called in a later turn."""

    def start_written(
        self,
        octets: bytes,
        branch: bytes,
        method: bytes,
        flow: Flow,
        notify: Callable[[Notice, Message | None], None],
    ) -> Transaction:
        """Send a request that is written already; ``notify`` is called in a later turn."""

    def new_branch(self) -> bytes:
        """Return a branch nobody has used."""

    def new_tag(self) -> bytes:
        """Return a tag nobody has used."""


class SendOutcome(NamedTuple):
    """How a request ended: a final response, or why there is none."""

    status: int  # of the response; 408 or 503 where none came
    response: Message | None  # as received, our Via still on top
    target: Target | None  # that answered, or was tried last
    flow: Flow | None  # to it
    why: str  # without a response: in an operator's words; else empty


class Sending(Protocol):
    """A request under way."""

    def abandon(self) -> None:
        """Forget it: nothing more is sent, and nobody is told how it ends."""


class Sender(Protocol):
    """What ``RequestSender`` is to those who send."""

    def send(
        self,
        request: Message,
        next_hop: Uri,
        notify: Callable[[SendOutcome], None],
        *,
        target: Target | None = None,
        socket: ListenAddress | None = None,
        contact_user: bytes = b"",
    ) -> Sending:
        """Send a request; see ``RequestSender``."""


@final
class RequestSender:
    """Sends requests other than INVITE.

    Args:
        transports: for flows.
        resolver: for targets.
        table: of the transactions.
        udp_limit: octets above which TCP is tried first where the next hop left the choice
            open (18.1.1); 0 never switches.
        default_socket: the listener a request leaves from that names none; None takes
            the one nearest to the target.
        silent: the targets that have been silent, of all requests; None: none is remembered.
    """

    def __init__(
        self,
        *,
        transports: Transports,
        resolver: Resolver,
        table: ClientTransactions,
        udp_limit: int = 1300,
        default_socket: ListenAddress | None = None,
        silent: SilentTargets | None = None,
    ) -> None:
        self._transports = transports
        self._resolver = resolver
        self.table = table
        self.udp_limit = udp_limit
        self._default_socket = default_socket
        self.silent = silent

    def flow_to(self, target: Target, socket: ListenAddress | None) -> Flow | None:
        """Return the flow a request takes to a target; None: there is none to take at sight."""
        wanted = self._default_socket if socket is None else socket
        if wanted is not None and not target.chosen:
            return None
        return self._transports.flow_to(target, wanted)

    def take_up(
        self,
        request: Message,
        next_hop: Uri,
        notify: Callable[[SendOutcome], None],
        target: Target,
        flow: Flow,
        socket: ListenAddress | None,
    ) -> SentRequest:
        """Go on with a request that another has sent to its first target; it hears how it went."""
        under_way = self._request(request, next_hop, notify, socket, b"")
        under_way.sent_already(target, flow)
        return under_way

    def send(
        self,
        request: Message,
        next_hop: Uri,
        notify: Callable[[SendOutcome], None],
        *,
        target: Target | None = None,
        socket: ListenAddress | None = None,
        contact_user: bytes = b"",
    ) -> Sending:
        """Send a request until somebody answers, or nobody is left to ask.

        Args:
            request: without a Via of ours; it is copied for each target, never edited.
            next_hop: resolved once ``target`` has failed, or at once.
            notify: hears how it ended, exactly once. It is called before ``send`` returns
                where that is known at once: no target, no listener for one.
            target: goes first, as one that has answered before, unless it was silent of late.
            socket: the listener to leave from, also to every further target; its
                transport is taken where the next hop names none.
            contact_user: the user of a Contact on the flow in use; b"" adds none.

        Raises:
            OwnMistake: an INVITE, which may have more than one answer, or an ACK.
        """
        if request.method == b"INVITE" or request.method == b"ACK":
            raise OwnMistake("an INVITE or ACK is not sent this way")
        under_way = self._request(request, next_hop, notify, socket, contact_user)
        under_way.start(target)
        return under_way

    def _request(
        self,
        request: Message,
        next_hop: Uri,
        notify: Callable[[SendOutcome], None],
        socket: ListenAddress | None,
        contact_user: bytes,
    ) -> SentRequest:
        return SentRequest(
            self._transports,
            self._resolver,
            self.table,
            self.udp_limit,
            request,
            next_hop,
            notify,
            self._default_socket if socket is None else socket,
            contact_user,
            self.silent,
        )


@final
class SentRequest:
    """One request on its way through its targets."""

    __slots__ = (
        "_answered",
        "_notify",
        "_sent_at",
        "_silent",
        "_table",
        "_transaction",
        "_walk",
        "over",
    )

    def __init__(
        self,
        transports: Transports,
        resolver: Resolver,
        table: ClientTransactions,
        udp_limit: int,
        request: Message,
        next_hop: Uri,
        notify: Callable[[SendOutcome], None],
        socket: ListenAddress | None,
        contact_user: bytes,
        silent: SilentTargets | None,
    ) -> None:
        self.over = False
        self._silent = silent
        self._sent_at = 0.0  # s, to the target in use
        self._table = table
        self._notify = notify
        self._walk = TargetWalk(
            self,
            request,
            next_hop,
            transports=transports,
            resolver=resolver,
            branches=table,
            udp_limit=udp_limit,
            socket=socket,
            contact_user=contact_user,
            silent=silent,
        )
        self._transaction: Transaction | None = None
        self._answered: SendOutcome | None = None  # a 503, unless somebody says better

    def start(self, first: Target | None) -> None:
        """Send to ``first``, or resolve."""
        if first is not None:
            self._walk.put_first(first)
        self._walk.go_on()

    def sent_already(self, target: Target, flow: Flow) -> None:
        """Note the target that another has asked."""
        self._walk.taken(target, flow)

    def failed_at(self, sent_at: float, notice: Notice, response: Message | None) -> None:
        """Hear how that went: no answer to what left at ``sent_at``, s, or a 503."""
        self._sent_at = sent_at
        self._heard(notice, response)

    def abandon(self) -> None:
        """Forget it: nothing more is sent, and nobody is told how it ends."""
        self.over = True
        self._walk.stop()
        if self._transaction is not None:
            self._transaction.stop()
            self._transaction = None

    def ready(self, request: Message, flow: Flow) -> None:
        """Send to the next target."""
        if self._silent is not None:
            self._sent_at = self._silent.now()
        self._transaction = self._table.start_client(request, flow, self._heard)

    def _heard(self, notice: Notice, response: Message | None) -> None:
        if self.over:
            return
        walk = self._walk
        if response is None:
            timed_out = notice == Notice.TIMEOUT
            if timed_out and self._silent is not None and walk.target is not None:
                self._silent.timed_out(walk.target, self._sent_at)
            self._transaction = None
            walk.why = "no answer in time" if timed_out else "the transport failed"
            if self._answered is None or self._answered.response is None:
                status = UNANSWERED if timed_out else UNREACHED
                self._answered = SendOutcome(status, None, walk.target, walk.flow, walk.why)
            walk.go_on()
            return
        if self._silent is not None and walk.target is not None:
            self._silent.heard(walk.target)
        if response.status < 200:
            return
        outcome = SendOutcome(response.status, response, walk.target, walk.flow, "")
        self._transaction = None  # it absorbs retransmissions by itself
        if response.status == UNREACHED:
            self._answered = outcome
            walk.go_on()
        else:
            self._tell(outcome)

    def no_target_left(self) -> None:
        """Tell the best answer there was, or why there was none."""
        known = self._answered
        if known is None:
            walk = self._walk
            known = SendOutcome(UNREACHED, None, walk.target, walk.flow, walk.why)
        self._tell(known)

    def _tell(self, outcome: SendOutcome) -> None:
        self.over = True
        self._walk.stop()
        self._notify(outcome)
