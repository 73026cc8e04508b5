"""Requests that are octets already: sent to the target that answered the last one.

The same request goes on like any other (``send``) where that target is silent, cannot be
reached or says 503: to the next, with a branch of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from uacproxy.ports import Flow, Target
from uacproxy.settings import ListenAddress
from uacproxy.sip.message import Message
from uacproxy.sip.names import VIA
from uacproxy.sip.parse import parse_message
from uacproxy.sip.uri import Uri
from uacproxy.transaction.vocabulary import Notice
from uacproxy.uac.send import UNREACHED, RequestSender, SendOutcome, SentRequest, Transaction

KEPT_FOR: Final = 0.2  # s that a way is used again without a look at the listeners


class Way(NamedTuple):
    """How requests go to a target."""

    flow: Flow
    via: bytes  # the field up to its branch


@final
class WrittenSender:
    """Sends them; what the requests to one target have in common is looked up once a while."""

    def __init__(self, sender: RequestSender, seconds: Callable[[], float]) -> None:
        """Begin with nothing known; ``seconds`` is the clock's."""
        self._sender = sender
        self._seconds = seconds
        self._ways: dict[tuple[Target, ListenAddress | None], Way] = {}
        self._known_at = 0.0  # s

    def way_to(self, target: Target, socket: ListenAddress | None) -> Way | None:
        """Return the way to a target from a listener; None: the request is to be resolved anew."""
        now = self._seconds()
        if not 0.0 <= now - self._known_at <= KEPT_FOR:
            self._ways.clear()
            self._known_at = now
        key = (target, socket)
        way = self._ways.get(key)
        if way is None:
            flow = self._sender.flow_to(target, socket)
            if flow is None or flow.transport != b"UDP":
                return None
            via = b"Via: SIP/2.0/%b %b;rport;branch=" % (flow.transport, flow.sent_by)
            way = Way(flow, via)
            self._ways[key] = way
        silent = self._sender.silent
        if silent is not None and silent.is_passed_over(target):
            return None
        return way

    def new_branch(self) -> bytes:
        """Return a branch nobody has used."""
        return self._sender.table.new_branch()

    def is_too_long(self, octets: bytes, target: Target) -> bool:
        """Tell whether TCP is to be tried first (18.1.1)."""
        limit = self._sender.udp_limit
        return not target.chosen and 0 < limit < len(octets)

    def send(
        self,
        octets: bytes,
        branch: bytes,
        method: bytes,
        target: Target,
        way: Way,
        next_hop: Callable[[], Uri],
        socket: ListenAddress | None,
        notify: Callable[[SendOutcome], None],
    ) -> WrittenRequest:
        """Send a request that is written for this way; see ``RequestSender.send``.

        Args:
            octets: of the request.
            branch: of its Via.
            method: neither INVITE nor ACK.
            target: where ``way`` leads.
            way: as ``way_to`` told it.
            next_hop: tells what is resolved once the target has failed.
            socket: the listener to leave from, also to every further target.
            notify: hears how it ended, exactly once, in a later turn.
        """
        request = WrittenRequest(self._sender, octets, target, way.flow, next_hop, socket, notify)
        request.start(branch, method)
        return request


@final
class WrittenRequest:
    """One on its way; fits ``Sending``."""

    __slots__ = (
        "_flow",
        "_next_hop",
        "_notify",
        "_octets",
        "_rest",
        "_sender",
        "_sent_at",
        "_socket",
        "_target",
        "_transaction",
    )

    def __init__(
        self,
        sender: RequestSender,
        octets: bytes,
        target: Target,
        flow: Flow,
        next_hop: Callable[[], Uri],
        socket: ListenAddress | None,
        notify: Callable[[SendOutcome], None],
    ) -> None:
        self._sender = sender
        self._octets = octets
        self._target = target
        self._flow = flow
        self._next_hop = next_hop
        self._socket = socket
        self._notify: Callable[[SendOutcome], None] | None = notify
        self._sent_at = 0.0  # s
        self._transaction: Transaction | None = None
        self._rest: SentRequest | None = None  # once the target has failed

    def start(self, branch: bytes, method: bytes) -> None:
        """Send it."""
        silent = self._sender.silent
        if silent is not None:
            self._sent_at = silent.now()
        self._transaction = self._sender.table.start_written(
            self._octets, branch, method, self._flow, self._heard
        )

    def abandon(self) -> None:
        """Forget it: nothing more is sent, and nobody is told how it ends."""
        self._notify = None
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.stop()
        if self._rest is not None:
            self._rest.abandon()

    @property
    def request(self) -> Message:
        """Return it as a message, without Via."""
        request = parse_message(self._octets)
        request.pop(VIA)
        return request

    def _heard(self, notice: Notice, response: Message | None) -> None:
        notify = self._notify
        if notify is None:
            return
        if response is not None and response.status != UNREACHED:
            silent = self._sender.silent
            if silent is not None:
                silent.heard(self._target)
            if response.status >= 200:
                self._notify = None
                self._transaction = None  # it absorbs retransmissions by itself
                notify(SendOutcome(response.status, response, self._target, self._flow, ""))
            return
        self._notify = None
        self._transaction = None
        rest = self._sender.take_up(
            self.request, self._next_hop(), notify, self._target, self._flow, self._socket
        )
        self._rest = rest
        rest.failed_at(self._sent_at, notice, response)
