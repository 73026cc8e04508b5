"""The stateful proxy core: from a new request to its routing (RFC 3261 16.3 to 16.6).

The transaction table calls in here. A request inside a dialog that follows our
Record-Route goes on along its route set with identities and CSeq put right; everything
else is put before the route script or the rules. ACKs of 2xx pass without a transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.dialog.cseq import shift_of, shift_rack
from uacproxy.dialog.dialog import Dialog, ident_of_call
from uacproxy.errors import BadExtension, ParseError, PeerError, RestoreFailed, ScriptError
from uacproxy.ports import Flow, Target
from uacproxy.proxy.credentials import dialog_of
from uacproxy.proxy.forward import finish, prepare
from uacproxy.proxy.record_route import DID, take_own_maddr, take_own_route
from uacproxy.proxy.response_context import ResponseContext
from uacproxy.proxy.target_set import Destination
from uacproxy.proxy.validate import check_loop, check_request
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.actions import Relay
from uacproxy.routing.context import RouteContext
from uacproxy.routing.runner import Outcome
from uacproxy.routing.scope import Scope
from uacproxy.sip.build import build_response
from uacproxy.sip.fields import option_tags
from uacproxy.sip.grammar import text
from uacproxy.sip.message import Message
from uacproxy.sip.names import ALLOW, REQUIRE, UNSUPPORTED
from uacproxy.sip.parse import MalformedMessage, describe
from uacproxy.sip.uri import Uri
from uacproxy.sip.via import Via
from uacproxy.transaction.invite_server import InviteServer
from uacproxy.transaction.server import ServerTransaction
from uacproxy.uac.auth_param import PARAM as AUTH_PARAM
from uacproxy.uac.auth_param import DialogAuth
from uacproxy.uac.contact_user import reveal_contact
from uacproxy.uac.dialog_variables import identities_of
from uacproxy.uac.hiding import hide_caller, policy_of_route
from uacproxy.uac.restore import (
    Restored,
    direction,
    hide_identities,
    restore_from_identities,
    restore_request,
)

Register = Callable[[Message, Flow, Callable[[Message], None]], None]

_OUR_METHODS: Final = (
    b"INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, REFER, "
    b"SUBSCRIBE, NOTIFY, MESSAGE, PUBLISH"
)


_FOR_US: Final = frozenset((b"REGISTER", b"OPTIONS"))
_PATH: Final = b"path"  # RFC 3327, which the registrar has


@final
class ProxyCore:
    """The transaction user of every transaction that comes from outside."""

    __slots__ = ("_register", "_wiring")

    def __init__(self, wiring: Wiring, register: Register) -> None:
        self._wiring = wiring
        self._register = register

    # -- from the transaction table ----------------------------------------------------

    def request_received(self, server: ServerTransaction, request: Message, flow: Flow) -> None:
        """Take a new request, sound in its required fields."""
        wiring = self._wiring
        wiring.counters.requests += 1
        if wiring.own_calls.request_received(server, request):
            return
        if wiring.bridge is not None and request.to.tag and self._is_bridged(server, request):
            return
        scope = Scope(request, request.branch_copy(), flow, bool(request.to.tag))
        context = ResponseContext(wiring, server, scope)
        server.context = context
        try:
            check_request(request)
            if wiring.loop_detection:
                check_loop(request, self._is_our_via)
            take_own_maddr(scope.request, flow, wiring.is_ours)
            own = self._take_route(scope)
        except PeerError as error:
            self._refuse(context, error)
            return
        if request.method == b"CANCEL":
            context.answer(481)  # it matches no INVITE of ours
        elif own is not None and scope.in_dialog:
            self._with_dialog(scope, own, lambda: self._relay_in_dialog(context))
        else:
            self._route(context)
        if request.method == b"INVITE" and not context.finished:
            server.respond(build_response(request, 100))

    def _is_bridged(self, server: ServerTransaction, request: Message) -> bool:
        """Hand a request inside a dialog of ours to the bridge; False where it is no such.

        What is not in memory is known by our Contact, whose user is the tag (``bridge.calls``).
        """
        wiring = self._wiring
        bridge = wiring.bridge
        assert bridge is not None
        tag = request.to.tag
        if bridge.knows(tag):
            bridge.request_received(server, request)
            return True
        if request.request_uri.find(tag) < 0 or request.method == b"CANCEL":
            return False
        try:
            uri = request.uri
        except ParseError:
            return False
        if uri.user != tag or not wiring.is_ours(uri):
            return False
        bridge.find_kept(server, request)
        return True

    def ack_received(self, ack: Message, flow: Flow) -> None:
        """Take the ACK of a 2xx: it goes along its route set, without state (16.11)."""
        wiring = self._wiring
        if wiring.own_calls.ack_received(ack):
            return
        if wiring.bridge is not None and wiring.bridge.ack_received(ack):
            return
        try:
            check_request(ack)
            request = ack.branch_copy()
            scope = Scope(ack, request, flow, bool(ack.to.tag))
            own = self._take_route(scope)
        except PeerError:
            wiring.counters.rejected += 1
            return
        if own is None or not scope.in_dialog:
            wiring.counters.unroutable += 1  # of no dialog that we are in the path of
            return
        self._with_dialog(scope, own, lambda: self._forward_ack(scope))

    def _take_route(self, scope: Scope) -> Uri | None:
        """Take our Route entry off; inside a dialog it has to be the one made for it.

        It also says who sent the request.

        Raises:
            ParseError: (400) a malformed Route.
            PeerError: (481) the entry was made for another dialog, or by somebody else.
        """
        wiring = self._wiring
        own = take_own_route(scope.request, wiring.is_ours)
        if own is None:
            return None
        mark = wiring.route_mark
        if mark is None:
            if scope.in_dialog:
                scope.toward_callee = direction(own, scope.received)
            return own
        toward_callee = mark.direction(own, scope.received)
        if not scope.in_dialog:  # unless the callee, of RFC 2543, has no tag (12.1.2)
            scope.in_dialog = toward_callee is True
            return own
        if toward_callee is None:
            wiring.counters.forged_routes += 1
            raise PeerError("of no dialog that began here", status=481)
        scope.toward_callee = toward_callee
        return own

    def cancel_received(self, server: InviteServer, cancel: Message) -> None:
        """Hear that an INVITE was cancelled; the CANCEL has its 200 already."""
        context = server.context
        if isinstance(context, ResponseContext):
            context.cancel(cancel)
        elif self._wiring.bridge is not None:
            self._wiring.bridge.cancel_received(context, cancel)

    def response_unmatched(self, response: Message, flow: Flow) -> None:
        """Drop a response that no transaction waits for (RFC 6026 7.2, 16.7 step 1)."""
        self._wiring.counters.stray_responses += 1

    def malformed(self, error: MalformedMessage, flow: Flow) -> None:
        """Answer octets that are no sound request, where there is enough to answer to."""
        self._wiring.counters.rejected += 1
        request = error.message
        if request is None or not request.is_request or request.method == b"ACK":
            return
        try:
            back = flow.answering(request.via)
            response = build_response(
                request, error.status, describe(error), self._wiring.table.stateless_tag
            )
        except ParseError:
            return  # no way back
        back.send(response.encode(), None)

    # -- requests inside a dialog ------------------------------------------------------

    def _with_dialog(self, scope: Scope, own: Uri, then: Callable[[], None]) -> None:
        """Put CSeq and identities right by what our Route says, find the tracked dialog."""
        wiring = self._wiring
        scope.own_route = own
        self._hide(scope, own)
        auth = self._open_auth(scope, own)
        did = own.param(DID)
        if did is None and auth is None:
            self._restore(scope, own, None, b"")
            self._shift(scope, own)
            then()
            return
        ident = b""
        hidden = b""
        in_store = True
        if did is not None:
            ident, _, hidden = did.partition(b"-")
        elif auth is not None:
            in_store = not auth.is_of_this_run or wiring.tracker.is_shared
            if in_store or not wiring.tracker.is_empty:
                ident = ident_of_call(*dialog_of(scope))

        def found(dialog: Dialog | None) -> None:
            if dialog is not None:  # whose tags are known, whatever the Route came to say
                scope.dialog = dialog
                scope.toward_callee = scope.received.from_.tag == dialog.caller_tag
            if auth is not None:
                source = auth.to_callee if scope.toward_callee else auth.to_caller
                scope.auth_source = text(source)
            if dialog is not None or auth is not None:
                scope.shifts = wiring.tracker.shifts_of(dialog, scope.received, scope.toward_callee)
            self._restore(scope, own, dialog, hidden)
            self._shift(scope, own)
            if dialog is not None:
                wiring.tracker.request_passed(dialog, scope.received)
            then()

        wiring.tracker.find(ident, scope.received, found, in_store=in_store)

    def _open_auth(self, scope: Scope, own: Uri) -> DialogAuth | None:
        """Return whose credentials answer challenges inside the dialog, as our Route says."""
        value = own.param(AUTH_PARAM)
        seal = self._wiring.features.auth_seal
        if value is None or seal is None:
            return None
        call_id, caller_tag = dialog_of(scope)
        try:
            return seal.open(value, call_id, caller_tag)
        except RestoreFailed:
            self._wiring.counters.restore_failures += 1
            return None

    def _shift(self, scope: Scope, own: Uri) -> None:
        """Find by how much CSeq, and the number inside RAck, go out higher than they came."""
        by = shift_of(own) if scope.toward_callee else 0
        shifts = scope.shifts
        raised = None if shifts is None else shifts.toward(scope.toward_callee)
        shift_rack(scope.request, by, raised)
        scope.shift = by
        if raised is not None:
            scope.shift += raised.shift(scope.received.cseq.number)

    def _hide(self, scope: Scope, own: Uri) -> None:
        """Go on hiding the caller, where its first request was to; see ``uac.hiding``."""
        scope.hide = policy_of_route(own)
        seal = self._wiring.features.contact_seal
        if scope.hide is None:
            return
        if scope.toward_callee:
            hide_caller(scope.request, scope.hide, seal)
        elif seal is not None:
            try:
                reveal_contact(scope.request, seal)
            except RestoreFailed:
                self._wiring.counters.restore_failures += 1

    def _restore(self, scope: Scope, own: Uri, dialog: Dialog | None, hidden: bytes) -> None:
        """Restore from our Route, else from the dialog, else make anonymous what was hidden.

        Args:
            scope: of a request that came with our Route.
            own: our Route.
            dialog: tracked, if it is.
            hidden: f and t for what only the dialog could restore.
        """
        wiring = self._wiring
        if not wiring.restores or not scope.in_dialog:
            return
        request = scope.request
        toward = scope.toward_callee
        restored = restore_request(request, own, wiring.codec, toward)
        self._note(scope, restored)
        if not restored.failed and not hidden and (dialog is None or restored.params):
            return
        identities = None if dialog is None else identities_of(dialog.variables)
        if identities is not None:
            self._note(scope, restore_from_identities(request, identities, toward))
        elif hidden:
            self._note(scope, hide_identities(request, b"f" in hidden, b"t" in hidden, toward))

    def _note(self, scope: Scope, restored: Restored) -> None:
        scope.from_changed = scope.from_changed or restored.from_changed
        scope.to_changed = scope.to_changed or restored.to_changed
        counters = self._wiring.counters
        if restored.failed:
            counters.restore_failures += 1
        elif restored.from_changed or restored.to_changed:
            counters.restored += 1

    def _relay_in_dialog(self, context: ResponseContext) -> None:
        if context.finished:
            return
        wiring = self._wiring
        script = wiring.script
        handler = script.dialog
        if handler is None:
            context.relay_to(Destination(context.scope.request.request_uri))
            return

        def decided(outcome: Outcome) -> None:
            if outcome is not None and not (isinstance(outcome, Relay) and not outcome.targets):
                context.perform(outcome)
            elif not context.finished:
                scope = context.scope
                context.relay_to(Destination(scope.request.request_uri, scope.next_hop))

        wiring.runner.run(
            handler,
            RouteContext(wiring.features, context.scope),
            script.file,
            decided,
            context.script_failed,
        )

    def _forward_ack(self, scope: Scope) -> None:
        wiring = self._wiring
        request = scope.request
        try:
            next_hop = prepare(wiring, request, scope.shift, b"")
        except PeerError:
            wiring.counters.rejected += 1
            return

        def resolved(targets: list[Target]) -> None:
            for target in targets:
                flow = wiring.transports.flow_to(target)
                if flow is not None:
                    finish(wiring, request, scope, flow, wiring.table.new_branch(), 0)
                    flow.send(request.encode(), None)
                    return
            wiring.counters.unroutable += 1

        wiring.resolver.resolve(next_hop, resolved)

    # -- requests for the script -------------------------------------------------------

    def _route(self, context: ResponseContext) -> None:
        scope = context.scope
        request = scope.request
        wiring = self._wiring
        uri = request.uri
        if not uri.user and wiring.is_ours(uri) and request.method in _FOR_US:
            try:
                unknown = [tag for tag in option_tags(request, REQUIRE) if tag.lower() != _PATH]
            except ParseError as error:
                self._refuse(context, error)
                return
            if unknown:
                self._refuse(context, BadExtension(unknown))
                return
            if request.method == b"REGISTER":
                self._register(scope.received, scope.flow, context.server.respond)
                context.finished = True
                return
            context.answer(200, b"", [(ALLOW, _OUR_METHODS)])
            return
        script = wiring.script
        handler = script.request
        if handler is None:
            context.script_failed(ScriptError("no request_route", file=script.file))
            return
        wiring.runner.run(
            handler,
            RouteContext(wiring.features, scope),
            script.file,
            context.perform,
            context.script_failed,
        )

    # -- refusals ----------------------------------------------------------------------

    def _refuse(self, context: ResponseContext, error: PeerError) -> None:
        self._wiring.counters.rejected += 1
        fields: list[tuple[bytes, bytes]] = []
        if isinstance(error, BadExtension):
            fields.append((UNSUPPORTED, b", ".join(error.tokens)))
        reason = describe(error) if isinstance(error, ParseError) and error.status == 400 else b""
        context.answer(error.status, reason, fields)

    def _is_our_via(self, via: Via) -> bool:
        return self._wiring.transports.is_ours(via.host, via.port, via.transport)
