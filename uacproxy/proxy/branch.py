"""One branch of a request: resolve, send, ring, cancel (RFC 3261 16.6 to 16.10).

A branch tells its response context three things: a provisional response, a 2xx, and that
it is over with a failure of its own or somebody else's making.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from uacproxy.dialog.dialog import FORMS_DIALOG
from uacproxy.errors import PeerError
from uacproxy.ports import Flow, Target, Timer
from uacproxy.proxy.credentials import add_answers, answers_ahead, peer_of, seal_source
from uacproxy.proxy.forward import (
    end_of_branch,
    finish,
    finish_again,
    most_added,
    over_tcp,
    prepare,
)
from uacproxy.proxy.record_route import RouteParams
from uacproxy.proxy.target_set import Destination
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.scope import Failure, Retry, Scope
from uacproxy.settings import ListenAddress
from uacproxy.sip.build import build_cancel, build_response
from uacproxy.sip.message import Message
from uacproxy.sip.names import ROUTE, VIA
from uacproxy.sip.uri import Uri
from uacproxy.transaction.client import ClientTransaction
from uacproxy.transaction.timers import Wakeable, forget, wake_in
from uacproxy.transaction.vocabulary import Notice
from uacproxy.uac.account_way import AccountWay
from uacproxy.uac.auth import Attempts, Authorized

UNREACHED: Final = 503  # no flow, no address, or the transport failed
UNANSWERED: Final = 408  # timers B, C, F
CANCELLED: Final = 487
_TIMER_C: Final = 0  # which timer
_CANCEL_UNHEARD: Final = 1
_UNROUTABLE: Final = 416  # a URI that names no host
_BROKEN: Final = 502  # a response that nobody above could take


class Owner(Protocol):
    """The response context of the branch."""

    def provisional(self, branch: Branch, response: Message) -> None:
        """Hear a 101 to 199."""

    def success(self, branch: Branch, response: Message) -> None:
        """Hear a 2xx; more may follow on an INVITE."""

    def failure(self, branch: Branch, response: Message) -> None:
        """Hear the final failure of the branch, made here after a time-out; nothing follows."""


@final
class Branch(Wakeable):
    """From the copy of the request to its final response.

    ``scope`` is the branch's own, or the request's; ``request`` is what is or was sent.
    ``over`` says that a final response was told, and ``is_local`` that it is one of our own
    making. ``destination`` and ``targets`` say where to go once more after a challenge:
    ``target`` is where it went last. ``credentials`` answer challenges, ``ahead`` was sent
    before anybody asked.
    """

    __slots__ = (
        "_auth",
        "_cancel_reasons",
        "_client",
        "_fallback",
        "_gave_up",
        "_id",
        "_id_end",
        "_method",
        "_owner",
        "_retry",
        "_ringing",
        "_route_params",
        "_socket",
        "_template",
        "_timer",
        "_unresolved",
        "_wiring",
        "ahead",
        "attempts",
        "cancelled",
        "credentials",
        "destination",
        "index",
        "is_local",
        "next_hop",
        "on_failure",
        "over",
        "request",
        "scope",
        "share",
        "shift",
        "target",
        "targets",
    )

    def __init__(
        self,
        wiring: Wiring,
        owner: Owner,
        scope: Scope,
        request: Message,
        destination: Destination,
        shift: int,
        index: int,
        share: bytes,
        retry: Retry | None,
    ) -> None:
        """Prepare a branch.

        Args:
            wiring: the core's.
            owner: hears of it.
            scope: of the request, or of the branch where there is a branch route.
            request: the branch's own copy.
            destination: where it goes.
            shift: what its CSeq is raised by.
            index: among the branches of its group.
            share: of Max-Breadth, b"" where it goes alone.
            retry: what it was challenged for before.
        """
        self._wiring = wiring
        self._owner = owner
        self.scope = scope
        self._template = request
        self.request = request
        self.destination = destination
        self.next_hop = destination.next_hop
        self.shift = shift
        self.index = index
        self.share = share
        self.on_failure = scope.on_branch_failure  # a branch failure route, "" for none
        self.credentials: list[Authorized] = []
        self.ahead: list[Authorized] = []
        self.attempts: Attempts | None = None
        self._auth = b""  # sealed, for our Record-Route
        self._id = b""  # of our Via, as last finished
        self._id_end = b""  # that part of it which is the same for all of a request
        self._route_params: RouteParams | None = None  # of our Record-Route, likewise
        self._retry = retry
        if retry is not None:
            self.credentials = retry.credentials
            self.attempts = retry.attempts
        self.over = False
        self.is_local = False
        self.cancelled = False
        self.target: Target | None = None
        self.targets: list[Target] = destination.targets.copy()  # still to be tried
        self._socket: ListenAddress | None = None  # to leave from; None: the nearest
        self._unresolved: Uri | None = None  # asked once the account's own target has failed
        self._method = request.method
        self._cancel_reasons: list[bytes] = []
        self._client: ClientTransaction | None = None
        self._fallback: Target | None = None  # UDP, where a large request went by TCP
        self._ringing = False  # a provisional response came: CANCEL may be sent
        self._gave_up = False  # cancelled by timer C, not by the caller
        self._timer: Timer | None = None  # C, or the wait for the end of a cancelled INVITE

    def start(self) -> None:
        """Prepare the request and send it to its first target, perhaps in a later turn."""
        if self.over:
            return  # cancelled while its branch route was thinking
        if self.credentials:
            add_answers(self._wiring, self._template, self.credentials)
        if not self.scope.in_dialog and self._method in FORMS_DIALOG:
            self._auth = seal_source(self._wiring, self.scope, self._retry)
        way = self._account_way()
        try:
            next_hop = prepare(self._wiring, self._template, self.shift, self.next_hop)
        except PeerError as error:
            self._wiring.counters.rejected += 1
            self._end(error.status)
            return
        if self.targets:
            self._send_to_next()
        elif next_hop.is_sip:
            target = None if way is None else way.target_for(next_hop)
            if target is None:
                self._wiring.resolver.resolve(next_hop, self._resolved)
            else:
                self.targets = [target]
                self._unresolved = next_hop
                self._send_to_next()
        else:
            self._wiring.counters.unroutable += 1
            self._end(_UNROUTABLE)

    def start_from(self, before: Branch) -> bool:
        """Send what another branch of the same request sent, to where it went, with our answers.

        That differs in nothing but them, CSeq, and what goes with a number: no target is
        looked up and nothing is sealed once more.

        Args:
            before: challenged, by the first to hear it. Nobody has been at its scope since.

        Returns:
            False where more may differ: then nothing has been done, and ``start`` is called for.
        """
        target, client = before.target, before._client
        if target is None or client is None or before.credentials or before.ahead:
            return False
        if before._has_more or before._fallback is not None or client.flow.reliable:
            return False
        wiring = self._wiring
        flow = client.flow
        branch = wiring.table.new_branch() + before._id_end
        request = before.request.branch_copy()
        params = finish_again(
            request, self.scope, flow, branch, before._route_params, before.shift, self.shift
        )
        add_answers(wiring, request, self.credentials)
        if not target.chosen and 0 < wiring.udp_limit < request.length:
            if wiring.transports.flow_to(over_tcp(target), before._socket) is not None:
                return False
        self._id = branch
        self._id_end = before._id_end
        self._route_params = params
        self._auth = before._auth
        self._socket = before._socket
        self.targets = []
        self._send(target, flow, request)
        return True

    def _account_way(self) -> AccountWay | None:
        """Take the way of the account whose call this is (RFC 3608 6.1, RFC 5626 4.3)."""
        scope = self.scope
        if not scope.account or scope.in_dialog:
            return None
        way = self._wiring.account_way(scope.account)
        if way is None:
            return None
        self._socket = way.socket
        if not self._template.has(ROUTE):
            for route in reversed(way.service_route):
                self._template.push(ROUTE, route)
        return way

    @property
    def was_sent(self) -> bool:
        """Tell whether the request has left, be it to the first target only."""
        return self._client is not None

    def send_elsewhere(self, next_hop: bytes) -> None:
        """Hear that a branch route chose another next hop, or edited the Request-URI."""
        self.next_hop = next_hop
        self.targets = []

    def _resolved(self, targets: list[Target]) -> None:
        if self.over:
            return
        tried = self.target
        self.targets = [target for target in targets if tried is None or target[:3] != tried[:3]]
        self._send_to_next()

    @property
    def _has_more(self) -> bool:
        return bool(self.targets) or self._unresolved is not None

    def _send_to_next(self) -> None:
        """Send to the first target that we have a flow for; without any, fail."""
        transports = self._wiring.transports
        self._fallback = None
        while self.targets:
            target = self.targets.pop(0)
            flow = transports.flow_to(target, self._socket)
            if flow is None:
                continue
            self.ahead = self._answers_ahead(target)
            ready: Message | None = None
            if self._may_outgrow(target):
                ready = self._finished(self._template.branch_copy(), flow)
                if ready.length > self._wiring.udp_limit:
                    larger = transports.flow_to(over_tcp(target), self._socket)
                    if larger is not None:
                        self._fallback = target
                        target = over_tcp(target)
                        flow = larger
                        ready = None
            self._send(target, flow, ready)
            return
        unresolved = self._unresolved
        if unresolved is not None:
            self._unresolved = None
            self._wiring.resolver.resolve(unresolved, self._resolved)
            return
        self._wiring.counters.unroutable += 1
        self._end(UNREACHED)

    def _may_outgrow(self, target: Target) -> bool:
        """Tell whether the request may be too large for UDP, and UDP nobody's wish (18.1.1)."""
        limit = self._wiring.udp_limit
        if target.chosen or target.transport != b"UDP" or limit == 0:
            return False
        return self._template.length + most_added(self.scope) > limit

    def _finished(self, request: Message, flow: Flow) -> Message:
        """Finish a copy of the template for one flow, with the answers its target gets ahead."""
        wiring = self._wiring
        if self.ahead:
            add_answers(wiring, request, self.ahead)
        self._id_end = end_of_branch(wiring, self.scope)
        self._id = wiring.table.new_branch() + self._id_end
        self._route_params = finish(
            wiring, request, self.scope, flow, self._id, self.shift, self._auth
        )
        return request

    def _send(self, target: Target, flow: Flow, ready: Message | None = None) -> None:
        """Send on one flow; ``ready`` is what was finished for it to be measured."""
        wiring = self._wiring
        last = not self._has_more and self._fallback is None
        if ready is None:
            request = self._template if last else self._template.branch_copy()
            self._finished(request, flow)
        else:
            request = ready
            if last:
                self._template = request
        self.request = request
        self.target = target
        self._ringing = False
        wiring.counters.relayed += 1
        if self._method == b"INVITE":
            self._timer = wake_in(wiring.clock, wiring.timer_c, self, _TIMER_C)
        self._client = wiring.table.start_client(request, flow, self.heard, self._id)

    def _answers_ahead(self, target: Target) -> list[Authorized]:
        """Answer by the nonces that this very target gave earlier, if it gave any."""
        if not self.scope.auth_source:
            return []
        if self.attempts is None:
            self.attempts = Attempts()
        return answers_ahead(
            self._wiring, self.scope, self._template, target, self.attempts, self.credentials
        )

    def failed_with(self, response: Message) -> Failure:
        """Return the failure as whoever is to answer a challenge sees it."""
        peer = b"" if self.target is None else peer_of(self.target)
        return Failure(self.request, response, self.credentials, self.ahead, self.attempts, peer)

    # -- from the client transaction ---------------------------------------------------

    def heard(self, notice: Notice, response: Message | None) -> None:
        """Hear the client transaction."""
        if response is None:
            self._heard_nothing(notice == Notice.TRANSPORT_ERROR)
            return
        status = response.status
        if status > 100:
            response.pop(VIA)  # ours (16.7 step 3)
            if not response.has(VIA):  # so it is for nobody; the caller is not to wait for it
                if status >= 200 and not self.over:
                    self._end(_BROKEN)
                return
        if status < 200:
            self._provisional(response)
        elif status < 300:
            self.over = True
            self._stop_timer()
            self._owner.success(self, response)
        elif not self.over:
            self._stop_timer()
            if status == 503 and self._has_more and not self.cancelled:
                self._move_on()  # RFC 3263 4.3
            elif status == CANCELLED and self._gave_up:
                self._end(UNANSWERED)  # the caller has not cancelled and would not understand
            else:
                self.over = True
                if self._client is not None:
                    self._client.release()  # it acknowledges by itself
                self._owner.failure(self, response)

    def _heard_nothing(self, transport_failed: bool) -> None:
        if self.over:
            return  # an ACK that did not leave
        self._stop_timer()
        fallback = self._fallback
        if self.cancelled:
            self._end(UNANSWERED if self._gave_up else CANCELLED)
        elif transport_failed and fallback is not None:
            self._fallback = None
            flow = self._wiring.transports.flow_to(fallback, self._socket)
            if flow is None:
                self._send_to_next()
            else:
                self.ahead = self._answers_ahead(fallback)
                self._send(fallback, flow)
        elif self._has_more and (transport_failed or self._method == b"INVITE"):
            self._send_to_next()  # for others it is too late when timer F has fired
        else:
            self._end(UNREACHED if transport_failed else UNANSWERED)

    def _move_on(self) -> None:
        if self._client is not None:
            self._client.release()  # what it hears from now on is not about us
        self._send_to_next()

    def _provisional(self, response: Message) -> None:
        if self.over:
            return
        first = not self._ringing
        self._ringing = True
        if self.cancelled:
            if first:
                self._send_cancel()
            return
        if response.status > 100:
            if self._timer is not None:
                forget(self._timer)
                self._timer = wake_in(self._wiring.clock, self._wiring.timer_c, self, _TIMER_C)
            self._owner.provisional(self, response)

    def wake(self, which: int) -> None:
        """Hear that timer C has fired, or that nobody answered a CANCEL."""
        if which == _TIMER_C:
            self._timer_c_fired()
        else:
            self._cancel_unheard()

    def _timer_c_fired(self) -> None:
        """Give up on a branch that rings for ever (16.8)."""
        self._timer = None
        if self._ringing:
            self._gave_up = True
            self._cancel([])
        else:
            self._abandon(CANCELLED if self.cancelled else UNANSWERED)

    # -- cancelling --------------------------------------------------------------------

    def cancel(self, reasons: list[bytes]) -> None:
        """Cancel an INVITE that has no final response; one not yet sent never will be.

        Args:
            reasons: values of Reason to carry along (RFC 3326).
        """
        self._gave_up = False
        self._cancel(reasons)

    def _cancel(self, reasons: list[bytes]) -> None:
        if self.over or self.cancelled or self._method != b"INVITE":
            return
        self.cancelled = True
        self._cancel_reasons = reasons
        if self._client is None:
            self._end(CANCELLED)
        elif self._ringing:
            self._send_cancel()

    def _send_cancel(self) -> None:
        client = self._client
        assert client is not None
        self._stop_timer()
        cancel = build_cancel(self.request, self._cancel_reasons)
        self._wiring.table.start_client(cancel, client.flow, _nobody_listens)
        # 9.1: without a final response 64*T1 after the CANCEL the INVITE counts as cancelled
        self._timer = wake_in(self._wiring.clock, 64 * self._wiring.t1, self, _CANCEL_UNHEARD)

    def _cancel_unheard(self) -> None:
        self._timer = None
        self._abandon(UNANSWERED if self._gave_up else CANCELLED)

    # -- endings -----------------------------------------------------------------------

    def refuse(self, status: int) -> None:
        """End a branch that was never sent, as if it had been answered so."""
        self._end(status)

    def _abandon(self, status: int) -> None:
        """End without having heard of the end; whatever still comes is for nobody."""
        if self._client is not None:
            self._client.stop()
        self._end(status)

    def _end(self, status: int) -> None:
        """Tell a final response of our own making."""
        if self.over:
            return
        self.over = True
        self.is_local = True
        self._stop_timer()
        self._owner.failure(self, build_response(self.scope.received, status))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            forget(self._timer)
            self._timer = None


def _nobody_listens(notice: Notice, response: Message | None) -> None:
    """Answers to a CANCEL change nothing: the INVITE's final response decides (9.1)."""
