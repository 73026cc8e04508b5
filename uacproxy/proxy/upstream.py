"""The way of a response to whoever sent the request (RFC 3261 16.7 steps 3 and 9)."""

from __future__ import annotations

from typing import final

from uacproxy.dialog.cseq import restore_cseq
from uacproxy.proxy.branch import Branch
from uacproxy.proxy.onreply import OnReplyQueue
from uacproxy.proxy.record_route import keep_record_route
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.scope import Scope
from uacproxy.sip.message import Message
from uacproxy.sip.names import CONTENT_LENGTH
from uacproxy.transaction.server import ServerTransaction
from uacproxy.uac.hiding import hide_caller
from uacproxy.uac.restore import restore_response


@final
class Upstream:
    """One per request: shows its sender what that wrote, has the onreply route see it, sends."""

    __slots__ = ("_onreply", "_scope", "_server", "_wiring")

    def __init__(self, wiring: Wiring, server: ServerTransaction, scope: Scope) -> None:
        self._wiring = wiring
        self._server = server
        self._scope = scope
        self._onreply: OnReplyQueue | None = None

    @property
    def has_route(self) -> bool:
        """Tell whether an onreply route reads the request for each response."""
        return self._onreply is not None

    def pass_up(self, branch: Branch, response: Message) -> None:
        """Pass a response of a branch on."""
        wiring = self._wiring
        scope = self._scope
        received = scope.received
        hides = branch.scope.identities is not None or branch.scope.hide is not None
        if hides and not scope.in_dialog and response.status < 300:
            keep_record_route(response, branch.request, wiring.is_ours)
        if scope.from_changed or scope.to_changed:
            restore_response(
                response,
                received,
                scope.from_changed,
                scope.to_changed,
                scope.original_head(wiring.features.restore_from_avp),
                scope.original_head(wiring.features.restore_to_avp),
            )
        if scope.hide is not None and _is_from_caller(scope):
            hide_caller(response, scope.hide, wiring.features.contact_seal)
        if branch.shift:
            restore_cseq(response, received)
        if self._server.flow.reliable and not response.has(CONTENT_LENGTH):
            response.append(CONTENT_LENGTH, b"%d" % len(response.body))  # 20.14
        if scope.dialog is not None and not scope.in_dialog:
            wiring.tracker.response_passed(scope.dialog, response)
        if self._onreply is None and scope.on_reply:
            self._onreply = OnReplyQueue(wiring, scope, self._respond)
        if self._onreply is None:
            self._respond(response)
        else:
            self._onreply.add(response)

    def _respond(self, response: Message) -> None:
        self._wiring.counters.responses += 1
        self._server.respond(response)


def _is_from_caller(scope: Scope) -> bool:
    """Tell whether a response may be the caller's; a callee that took its tag cannot be told."""
    if not scope.toward_callee:
        return True
    received = scope.received
    return scope.in_dialog and received.from_.tag == received.to.tag
