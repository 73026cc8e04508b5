"""One branch of a request: resolve, send, ring, cancel (RFC 3261 16.6 to 16.10).

A branch tells its response context three things: a provisional response, a 2xx, and that
it is over with a failure of its own or somebody else's making.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from uacproxy.errors import ParseError
from uacproxy.ports import Flow, Target, Timer
from uacproxy.proxy.forward import finish, new_branch, over_tcp, prepare
from uacproxy.proxy.record_route import next_hop_of
from uacproxy.proxy.target_set import Destination
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.scope import Scope
from uacproxy.sip.build import build_cancel, build_response
from uacproxy.sip.message import Message
from uacproxy.sip.names import VIA
from uacproxy.transaction.client import ClientTransaction
from uacproxy.transaction.vocabulary import Notice
from uacproxy.uac.auth import Authorized

UNREACHED: Final = 503  # no flow, no address, or the transport failed
UNANSWERED: Final = 408  # timers B, C, F
_GROWTH: Final = 512  # octets; at most about so much is pushed by ``finish``


class Owner(Protocol):
    """The response context of the branch."""

    def provisional(self, branch: Branch, response: Message) -> None:
        """Hear a 101 to 199."""

    def success(self, branch: Branch, response: Message) -> None:
        """Hear a 2xx; more may follow on an INVITE."""

    def failure(self, branch: Branch, response: Message) -> None:
        """Hear the final failure of the branch, made here after a time-out; nothing follows."""


@final
class Branch:
    """From the copy of the request to its final response.

    ``request`` is what is or was sent; ``over`` says that a final response was told.
    """

    __slots__ = (
        "_cancel_reasons",
        "_client",
        "_method",
        "_owner",
        "_ringing",
        "_scope",
        "_targets",
        "_template",
        "_timer_c",
        "_wiring",
        "cancelled",
        "credentials",
        "next_hop",
        "over",
        "request",
        "shift",
    )

    def __init__(
        self,
        wiring: Wiring,
        owner: Owner,
        scope: Scope,
        request: Message,
        destination: Destination,
        credentials: list[Authorized],
        shift: int,
    ) -> None:
        self._wiring = wiring
        self._owner = owner
        self._scope = scope
        self._template = request
        self.request = request
        self.next_hop = destination.next_hop
        self.credentials = credentials
        self.shift = shift
        self.over = False
        self.cancelled = False
        self._method = request.method
        self._cancel_reasons: list[bytes] = []
        self._client: ClientTransaction | None = None
        self._ringing = False  # a provisional response came: CANCEL may be sent
        self._timer_c: Timer | None = None
        self._targets: list[Target] = [] if destination.target is None else [destination.target]

    def start(self) -> None:
        """Prepare the request and send it to its first target, perhaps in a later turn."""
        for answer in self.credentials:
            self._template.append(answer.name, answer.value)
        try:
            prepare(self._wiring, self._template, self.shift, not self.next_hop)
            next_hop = next_hop_of(self._template, self.next_hop)
        except ParseError as error:
            self._fail(error.status)
            return
        if self._targets:
            self._send_to_next()
        else:
            self._wiring.resolver.resolve(next_hop, self._resolved)

    def _resolved(self, targets: list[Target]) -> None:
        if self.over:
            return
        self._targets = targets.copy()
        self._send_to_next()

    def _send_to_next(self) -> None:
        """Send to the first target that we have a flow for; without any, fail."""
        wiring = self._wiring
        while self._targets:
            target = self._targets.pop(0)
            flow = wiring.transports.flow_to(target)
            if flow is None:
                continue
            may_switch = not target.chosen and target.transport == b"UDP" and wiring.udp_limit > 0
            if may_switch and self._length(self._template) + _GROWTH > wiring.udp_limit:
                # measured with Via and Record-Route on; UDP stays behind as second choice
                measured = self._template.branch_copy()
                identifier = new_branch(wiring, self._scope)
                finish(wiring, measured, self._scope, flow, identifier, self.shift)
                if self._length(measured) > wiring.udp_limit:
                    larger = wiring.transports.flow_to(over_tcp(target))
                    if larger is not None:
                        self._targets.insert(0, target._replace(chosen=True))
                        flow = larger
            request = self._template.branch_copy() if self._targets else self._template
            identifier = new_branch(wiring, self._scope)
            finish(wiring, request, self._scope, flow, identifier, self.shift)
            self._send(request, flow)
            return
        wiring.counters.unroutable += 1
        self._fail(UNREACHED)

    def _send(self, request: Message, flow: Flow) -> None:
        wiring = self._wiring
        self.request = request
        wiring.counters.relayed += 1
        if self._method == b"INVITE":
            self._timer_c = wiring.clock.callLater(wiring.timer_c, self._timer_c_fired)
        self._client = wiring.table.start_client(request, flow, self.heard)

    # -- from the client transaction ---------------------------------------------------

    def heard(self, notice: Notice, response: Message | None) -> None:
        """Hear the client transaction."""
        if response is None:
            if notice == Notice.TRANSPORT_ERROR and not self.cancelled and self._targets:
                self._stop_timer()
                self._send_to_next()
                return
            self._fail(UNREACHED if notice == Notice.TRANSPORT_ERROR else UNANSWERED)
            return
        status = response.status
        if status > 100:
            response.pop(VIA)  # ours (16.7 step 3)
        if status < 200:
            self._provisional(response)
        elif status < 300:
            self.over = True
            self._stop_timer()
            self._owner.success(self, response)
        elif not self.over:
            self._stop_timer()
            if status == 503 and self._targets and not self.cancelled:
                self._send_to_next()  # RFC 3263 4.3
                return
            self.over = True
            self._owner.failure(self, response)

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
            if self._timer_c is not None:
                self._timer_c.cancel()
                self._timer_c = self._wiring.clock.callLater(
                    self._wiring.timer_c, self._timer_c_fired
                )
            self._owner.provisional(self, response)

    def _timer_c_fired(self) -> None:
        """Give up on a branch that rings for ever (16.8)."""
        if self._ringing:
            self.cancel([])
        else:
            self._fail(UNANSWERED)

    # -- cancelling --------------------------------------------------------------------

    def cancel(self, reasons: list[bytes]) -> None:
        """Cancel an INVITE that has no final response; one not yet sent never will be.

        Args:
            reasons: values of Reason to carry along (RFC 3326).
        """
        if self.over or self.cancelled or self._method != b"INVITE":
            return
        self.cancelled = True
        self._cancel_reasons = reasons
        if self._client is None:
            self._fail(487)
        elif self._ringing:
            self._send_cancel()

    def _send_cancel(self) -> None:
        client = self._client
        assert client is not None
        self._stop_timer()
        cancel = build_cancel(self.request, self._cancel_reasons)
        self._wiring.table.start_client(cancel, client.flow, _nobody_listens)
        # 9.1: without a final response 64*T1 after the CANCEL the INVITE counts as cancelled
        self._timer_c = self._wiring.clock.callLater(64 * self._wiring.t1, self._cancel_unheard)

    def _cancel_unheard(self) -> None:
        self._fail(487)

    # -- endings -----------------------------------------------------------------------

    def refuse(self, status: int) -> None:
        """End a branch that was never sent, as if it had been answered so."""
        self._fail(status)

    def _fail(self, status: int) -> None:
        if self.over:
            return
        self.over = True
        self._stop_timer()
        client = self._client
        if client is not None:
            client.stop()
        self._owner.failure(self, build_response(self._scope.received, status))

    def _stop_timer(self) -> None:
        if self._timer_c is not None:
            self._timer_c.cancel()
            self._timer_c = None

    def _length(self, request: Message) -> int:
        lines = request.lines
        return sum(map(len, lines)) + 2 * len(lines) + len(request.start) + len(request.body) + 4


def _nobody_listens(notice: Notice, response: Message | None) -> None:
    """Answers to a CANCEL change nothing: the INVITE's final response decides (9.1)."""
