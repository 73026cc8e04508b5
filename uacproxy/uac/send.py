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
from uacproxy.sip.names import VIA
from uacproxy.sip.uri import Uri
from uacproxy.transaction.vocabulary import Notice

UNANSWERED: Final = 408  # RFC 3261 8.1.3.1
UNREACHED: Final = 503
MOST_TARGETS: Final = 8  # of one request; each may take 64*T1

_CLOSING: Final = 4  # octets: the line ends behind the last field and its empty line


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
    """

    def __init__(
        self,
        *,
        transports: Transports,
        resolver: Resolver,
        table: ClientTransactions,
        udp_limit: int = 1300,
        default_socket: ListenAddress | None = None,
    ) -> None:
        self._transports = transports
        self._resolver = resolver
        self._table = table
        self._udp_limit = udp_limit
        self._default_socket = default_socket

    def send(
        self,
        request: Message,
        next_hop: Uri,
        notify: Callable[[SendOutcome], None],
        *,
        target: Target | None = None,
        socket: ListenAddress | None = None,
    ) -> Sending:
        """Send a request until somebody answers, or nobody is left to ask.

        Args:
            request: without a Via of ours; it is copied for each target, never edited.
            next_hop: resolved once ``target`` has failed, or at once.
            notify: hears how it ended, exactly once. It is called before ``send`` returns
                where that is known at once: no target, no listener for one.
            target: goes first, as one that has answered before.
            socket: the listener to leave from, also to every further target; its
                transport is taken where the next hop names none.

        Raises:
            OwnMistake: an INVITE, which may have more than one answer, or an ACK.
        """
        if request.method == b"INVITE" or request.method == b"ACK":
            raise OwnMistake("an INVITE or ACK is not sent this way")
        under_way = SentRequest(
            self._transports,
            self._resolver,
            self._table,
            self._udp_limit,
            request,
            next_hop,
            notify,
            self._default_socket if socket is None else socket,
        )
        under_way.start(target)
        return under_way


@final
class SentRequest:
    """One request on its way through its targets."""

    __slots__ = (
        "_answered",
        "_flow",
        "_next_hop",
        "_notify",
        "_request",
        "_resolved",
        "_resolver",
        "_socket",
        "_table",
        "_target",
        "_targets",
        "_transaction",
        "_transports",
        "_tried",
        "_udp_limit",
        "_why",
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
    ) -> None:
        self.over = False
        self._transports = transports
        self._resolver = resolver
        self._table = table
        self._udp_limit = udp_limit
        self._request = request
        self._next_hop = next_hop
        self._notify = notify
        self._socket = socket
        self._resolved = False
        self._targets: list[Target] = []  # still to be tried
        self._tried: list[Target] = []
        self._transaction: Transaction | None = None
        self._target: Target | None = None
        self._flow: Flow | None = None
        self._answered: SendOutcome | None = None  # a 503, unless somebody says better
        self._why = ""

    def start(self, first: Target | None) -> None:
        """Send to ``first``, or resolve."""
        if first is not None:
            self._targets.append(first)
        self._send_to_next()

    def abandon(self) -> None:
        """Forget it: nothing more is sent, and nobody is told how it ends."""
        self.over = True
        self._targets.clear()
        if self._transaction is not None:
            self._transaction.stop()
            self._transaction = None

    def _targets_found(self, targets: list[Target]) -> None:
        if self.over:
            return
        tried = [_address(target) for target in self._tried]
        for target in targets:
            if _address(target) not in tried and len(self._targets) < MOST_TARGETS:
                self._targets.append(target)
        if not targets and not self._why:
            self._why = "the name of the next hop has no address"
        self._send_to_next()

    def _send_to_next(self) -> None:
        """Send to the first target we have a flow for, resolve if none is left, or give up."""
        while self._targets:
            target = self._targets.pop(0)
            self._tried.append(target)
            socket = self._socket
            if socket is not None and not target.chosen:
                target = target._replace(transport=socket.transport, chosen=True)
            flow = self._transports.flow_to(target, socket)
            if flow is None:
                self._why = self._why_no_flow()
                continue
            request = self._request_for(flow)
            if not target.chosen and flow.transport == b"UDP" and self._is_too_long(request):
                larger = target._replace(transport=b"TCP", chosen=True)
                other = self._transports.flow_to(larger)
                if other is not None:
                    self._targets.insert(0, target._replace(chosen=True))  # should TCP fail
                    target = larger
                    flow = other
                    request = self._request_for(flow)
            self._target = target
            self._flow = flow
            self._transaction = self._table.start_client(request, flow, self._heard)
            return
        if self._resolved:
            self._give_up()
        else:
            self._resolved = True
            self._resolver.resolve(self._next_hop, self._targets_found)

    def _why_no_flow(self) -> str:
        socket = self._socket
        if socket is None:
            return "no listener of ours fits the next hop's transport and address"
        if self._transports.listens_on(socket):
            return f"{socket} does not fit the next hop's transport and address"
        return f"{socket} is no listener of ours"

    def _request_for(self, flow: Flow) -> Message:
        request = self._request.branch_copy()
        branch = self._table.new_branch()
        request.push(
            VIA,
            b"SIP/2.0/%b %b;rport;branch=%b" % (flow.transport, flow.sent_by, branch),
        )
        return request

    def _is_too_long(self, request: Message) -> bool:
        if self._udp_limit <= 0:
            return False
        length = len(request.start) + len(request.body) + _CLOSING
        for line in request.lines:
            length += len(line) + 2
        return length > self._udp_limit

    def _heard(self, notice: Notice, response: Message | None) -> None:
        if self.over:
            return
        if response is None:
            silent = notice == Notice.TIMEOUT
            self._transaction = None
            self._why = "no answer in time" if silent else "the transport failed"
            if self._answered is None or self._answered.response is None:
                status = UNANSWERED if silent else UNREACHED
                self._answered = SendOutcome(status, None, self._target, self._flow, self._why)
            self._send_to_next()
            return
        if response.status < 200:
            return
        outcome = SendOutcome(response.status, response, self._target, self._flow, "")
        self._transaction = None  # it absorbs retransmissions by itself
        if response.status == UNREACHED:
            self._answered = outcome
            self._send_to_next()
        else:
            self._tell(outcome)

    def _give_up(self) -> None:
        known = self._answered
        if known is None:
            known = SendOutcome(UNREACHED, None, self._target, self._flow, self._why)
        self._tell(known)

    def _tell(self, outcome: SendOutcome) -> None:
        self.over = True
        self._notify(outcome)


def _address(target: Target) -> tuple[bytes, str, int]:
    return (target.transport, target.host, target.port)
