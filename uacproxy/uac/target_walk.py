"""A request of ours on its way from target to target (RFC 3263 4.3, RFC 3261 18.1.1).

Whoever sends asks for the next way and hears of it, or that none is left: which flow,
and the request ready for it with our Via on top. What is then sent, and when the next
target's turn comes, is the sender's business.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from uacproxy.dialog.ua_dialog import contact_for
from uacproxy.ports import Flow, Resolver, Target, Transports
from uacproxy.settings import ListenAddress
from uacproxy.sip.message import Message
from uacproxy.sip.names import CONTACT, VIA
from uacproxy.sip.uri import Uri
from uacproxy.uac.silent_targets import SilentTargets

MOST_TARGETS: Final = 8  # of one request; each may take 64*T1


class Branches(Protocol):
    """Who makes branches: the transaction table."""

    def new_branch(self) -> bytes:
        """Return a branch nobody has used."""


class Walker(Protocol):
    """Who sends the request."""

    def ready(self, request: Message, flow: Flow) -> None:
        """Send ``request``, a copy of what was given, with our Via on top."""

    def no_target_left(self) -> None:
        """Hear that there is nobody else to send to; ``TargetWalk.why`` says why."""


@final
class TargetWalk:
    """The targets of one request, each taken once; ``target`` and ``flow`` are the last taken."""

    __slots__ = (
        "_branches",
        "_next_hop",
        "_resolved",
        "_resolver",
        "_silent",
        "_socket",
        "_targets",
        "_transports",
        "_tried",
        "_udp_limit",
        "_walker",
        "contact_user",
        "flow",
        "over",
        "request",
        "target",
        "why",
    )

    def __init__(
        self,
        walker: Walker,
        request: Message,
        next_hop: Uri,
        *,
        transports: Transports,
        resolver: Resolver,
        branches: Branches,
        udp_limit: int,
        socket: ListenAddress | None,
        contact_user: bytes = b"",
        silent: SilentTargets | None = None,
    ) -> None:
        """Prepare; nothing is resolved yet.

        Args:
            walker: hears of each way.
            request: without a Via of ours; copied for each target. May be replaced, after
                a challenge.
            next_hop: resolved once the targets given beforehand have failed, or at once.
            transports: for flows.
            resolver: for targets.
            branches: for the Via.
            udp_limit: octets above which TCP goes first where the next hop left the choice
                open; 0 never switches.
            socket: the listener to leave from; None takes the one nearest to the target.
            contact_user: the user of a Contact on the flow in use; b"" adds none.
            silent: those to be asked last; None: nobody is.
        """
        self._walker = walker
        self.request = request
        self._next_hop = next_hop
        self._transports = transports
        self._resolver = resolver
        self._branches = branches
        self._udp_limit = udp_limit
        self._socket = socket
        self.contact_user = contact_user
        self._silent = silent
        self._resolved = False
        self._targets: list[Target] = []  # still to be tried
        self._tried: list[Target] = []
        self.target: Target | None = None
        self.flow: Flow | None = None
        self.over = False
        self.why = ""  # why the last target could not be used, in an operator's words

    @property
    def has_more(self) -> bool:
        """Tell whether another target is known, or may be found."""
        return bool(self._targets) or not self._resolved

    def put_first(self, target: Target) -> None:
        """Take this target next, perhaps once more; one that was silent of late has no right."""
        if self._silent is None or not self._silent.is_passed_over(target):
            self._targets.insert(0, target)

    def taken(self, target: Target, flow: Flow) -> None:
        """Note that the request has gone to this target already."""
        self._tried.append(target)
        self.target = target
        self.flow = flow

    def stop(self) -> None:
        """Ask nobody else, and let go of the sender."""
        self.over = True
        self._targets.clear()
        self._walker = _NOBODY

    def go_on(self) -> None:
        """Take the first target we have a flow for, resolve if none is left, or give up.

        Calls:
            ready or no_target_left: at once, or in a later turn when the next hop had to
                be resolved first.
        """
        while self._targets:
            target = self._targets.pop(0)
            self._tried.append(target)
            socket = self._socket
            if socket is not None and not target.chosen:
                target = target._replace(transport=socket.transport, chosen=True)
            flow = self._transports.flow_to(target, socket)
            if flow is None:
                self.why = self._why_no_flow()
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
            self.target = target
            self.flow = flow
            self._walker.ready(request, flow)
            return
        if self._resolved:
            walker = self._walker
            self.stop()
            walker.no_target_left()
        else:
            self._resolved = True
            self._resolver.resolve(self._next_hop, self._targets_found)

    def _targets_found(self, targets: list[Target]) -> None:
        if self.over:
            return
        tried = [_address(target) for target in self._tried]
        in_turn = targets if self._silent is None else self._silent.last(targets)
        for target in in_turn:
            if _address(target) not in tried and len(self._targets) < MOST_TARGETS:
                self._targets.append(target)
        if not targets and not self.why:
            self.why = "the name of the next hop has no address"
        self.go_on()

    def _why_no_flow(self) -> str:
        socket = self._socket
        if socket is None:
            return "no listener of ours fits the next hop's transport and address"
        if self._transports.listens_on(socket):
            return f"{socket} does not fit the next hop's transport and address"
        return f"{socket} is no listener of ours"

    def _request_for(self, flow: Flow) -> Message:
        request = self.request.branch_copy()
        if self.contact_user:
            secure = request.request_uri[:5].lower() == b"sips:"
            request.set(CONTACT, contact_for(flow, self.contact_user, secure=secure))
        branch = self._branches.new_branch()
        request.push(
            VIA,
            b"SIP/2.0/%b %b;rport;branch=%b" % (flow.transport, flow.sent_by, branch),
        )
        return request

    def _is_too_long(self, request: Message) -> bool:
        if self._udp_limit <= 0:
            return False
        return request.length > self._udp_limit


@final
class _Nobody:
    """The walker of a request that is over."""

    def ready(self, request: Message, flow: Flow) -> None:
        """Send nothing."""

    def no_target_left(self) -> None:
        """Miss nothing."""


_NOBODY: Final = _Nobody()


def _address(target: Target) -> tuple[bytes, str, int]:
    return (target.transport, target.host, target.port)
