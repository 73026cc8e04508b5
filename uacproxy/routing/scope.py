"""All that is known of one request while it is routed: what came, what goes, what was asked.

One ``Scope`` lives as long as its server transaction. The core makes it, the handlers
edit it through a ``RouteContext``, the response context reads it.
"""

from __future__ import annotations

from typing import final

from uacproxy.dialog.dialog import Dialog
from uacproxy.ports import Flow
from uacproxy.routing.uac_req import UacReq, Value
from uacproxy.sip.grammar import octets_of
from uacproxy.sip.message import Message
from uacproxy.sip.uri import Uri
from uacproxy.uac.auth import Attempts, Authorized
from uacproxy.uac.hiding import HidePolicy
from uacproxy.uac.replace import Identities


@final
class Retry:
    """What the challenged branch is to be sent again with (RFC 3261 22.3)."""

    __slots__ = ("credentials", "shift")

    def __init__(self, credentials: list[Authorized], shift: int) -> None:
        self.credentials = credentials  # one for each realm so far
        self.shift = shift  # CSeq of the branch minus CSeq of the caller


@final
class Failure:
    """The branch whose response was picked, as a failure route sees it."""

    __slots__ = ("credentials", "request", "response", "shift")

    def __init__(
        self, request: Message, response: Message, credentials: list[Authorized], shift: int
    ) -> None:
        self.request = request  # as sent
        self.response = response  # best so far; one of our own after a time-out
        self.credentials = credentials
        self.shift = shift


@final
class Scope:
    """State of one request; see the module."""

    __slots__ = (
        "attempts",
        "auth_source",
        "avps",
        "branch_index",
        "dialog",
        "failure",
        "flow",
        "from_changed",
        "hide",
        "identities",
        "in_dialog",
        "is_branch",
        "is_canceled",
        "is_kept",
        "next_hop",
        "on_branch",
        "on_failure",
        "on_reply",
        "own_route",
        "received",
        "request",
        "response",
        "retry",
        "shift",
        "to_changed",
        "toward_callee",
        "uac_req",
        "untracked",
        "variables",
    )

    def __init__(self, received: Message, request: Message, flow: Flow, in_dialog: bool) -> None:
        self.received = received  # never edited: replies are restored from it
        self.request = request  # what request_route edits and every branch starts from
        self.flow = flow  # the request came on it
        self.in_dialog = in_dialog  # the To had a tag
        self.toward_callee = True
        self.next_hop = b""  # $du: a URI, b"" for none
        self.from_changed = False  # some branch carries another From: restore it in replies
        self.to_changed = False
        self.identities: Identities | None = None
        self.is_kept = False  # the identities are with the dialog, not in Record-Route
        self.is_branch = False  # a branch route's own
        self.own_route: Uri | None = None  # taken off the top, inside a dialog
        self.hide: HidePolicy | None = None  # what the callee must not learn of the caller
        self.shift = 0  # CSeq toward the callee minus CSeq from the caller
        self.dialog: Dialog | None = None
        self.untracked = False  # the dialog was to be tracked, and there are too many
        self.on_failure = ""
        self.on_reply = ""
        self.on_branch = ""
        self.auth_source = ""  # of a rule: "realm", "user:NAME" or "account:L_UUID"
        self.attempts: Attempts | None = None  # challenges answered so far: the loop is bounded
        self.failure: Failure | None = None
        self.retry: Retry | None = None
        self.response: Message | None = None  # in onreply and failure routes
        self.is_canceled = False
        self.branch_index = 0
        self.uac_req: UacReq | None = None  # a request to be sent: this handler's own
        self.avps: dict[str, Value] | None = None
        self.variables: dict[str, Value] | None = None

    def original_head(self, avp: str) -> bytes:
        """Return what ``restore_from_avp`` or ``restore_to_avp`` holds, b"" where unset."""
        if not avp or self.avps is None:
            return b""
        value = self.avps.get(avp[5:-1])  # of "$avp(name)"
        return b"" if value is None else octets_of(str(value))

    def branch_scope(self, request: Message, index: int) -> Scope:
        """Return the scope of one branch: edits there stay there, variables are shared."""
        scope = self._copy(request, index)
        scope.is_branch = True
        return scope

    def reply_scope(self, response: Message) -> Scope:
        """Return the scope of an onreply route: another handler may run beside it."""
        scope = self._copy(self.request, self.branch_index)
        scope.response = response
        return scope

    def _copy(self, request: Message, index: int) -> Scope:
        scope = Scope(self.received, request, self.flow, self.in_dialog)
        scope.toward_callee = self.toward_callee
        scope.next_hop = self.next_hop
        scope.from_changed = self.from_changed
        scope.to_changed = self.to_changed
        scope.identities = None if self.identities is None else self.identities.copy()
        scope.is_kept = self.is_kept
        scope.own_route = self.own_route
        scope.hide = self.hide
        scope.shift = self.shift
        scope.dialog = self.dialog
        scope.on_failure = self.on_failure
        scope.on_reply = self.on_reply
        scope.auth_source = self.auth_source
        scope.branch_index = index
        scope.is_canceled = self.is_canceled
        if self.avps is None:
            self.avps = {}
        if self.variables is None:
            self.variables = {}
        scope.avps = self.avps
        scope.variables = self.variables
        return scope
