"""All that is known of one request while it is routed: what came, what goes, what was asked.

One ``Scope`` lives as long as its server transaction. The core makes it, the handlers
edit it through a ``RouteContext``, the response context reads it.
"""

from __future__ import annotations

from typing import final

from uacproxy.dialog.cseq import Shifts
from uacproxy.dialog.dialog import Dialog
from uacproxy.ports import Flow
from uacproxy.routing.own_dialog import OwnDialog
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

    __slots__ = ("attempts", "credentials", "dialog_source")

    def __init__(self, credentials: list[Authorized], attempts: Attempts) -> None:
        self.credentials = credentials  # one for each realm so far
        self.attempts = attempts  # so far: the loop is bounded
        self.dialog_source = ""  # answers later challenges of the dialog, should one begin


@final
class Failure:
    """A failed branch: the one whose response was picked, or that of a branch failure route."""

    __slots__ = ("ahead", "attempts", "credentials", "peer", "request", "response")

    def __init__(
        self,
        request: Message,
        response: Message,
        credentials: list[Authorized],
        ahead: list[Authorized],
        attempts: Attempts | None,
        peer: bytes,
    ) -> None:
        self.request = request  # as sent
        self.response = response  # best so far; one of our own after a time-out
        self.credentials = credentials  # in answer to challenges
        self.ahead = ahead  # sent before anybody asked
        self.attempts = attempts  # challenges answered so far
        self.peer = peer  # whom it was sent to, as ``NonceBook`` knows it


@final
class Scope:
    """State of one request; see the module."""

    __slots__ = (
        "account",
        "auth_source",
        "auth_to_caller",
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
        "on_branch_failure",
        "on_failure",
        "on_reply",
        "own_dialog",
        "own_route",
        "received",
        "request",
        "response",
        "retry",
        "shift",
        "shifts",
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
        self.shift = 0  # CSeq as it goes out minus CSeq as it came
        self.shifts: Shifts | None = None  # inside a dialog that may be raised
        self.dialog: Dialog | None = None
        self.untracked = False  # the dialog was to be tracked, and there are too many
        self.on_failure = ""
        self.on_reply = ""
        self.on_branch = ""
        self.account = ""  # l_uuid of the account whose call this is: it goes the account's way
        self.on_branch_failure = ""
        self.auth_source = ""  # answers challenges by itself; see ``uac.credential_sources``
        self.auth_to_caller = ""  # the same for later requests of the callee
        self.failure: Failure | None = None
        self.retry: Retry | None = None
        self.response: Message | None = None  # in onreply and failure routes
        self.is_canceled = False
        self.branch_index = 0
        self.own_dialog: OwnDialog | None = None  # of a call we made, in an event route
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
        scope.on_branch_failure = self.on_branch_failure
        scope.account = self.account
        scope.auth_source = self.auth_source
        scope.auth_to_caller = self.auth_to_caller
        scope.shifts = self.shifts
        scope.branch_index = index
        scope.is_canceled = self.is_canceled
        if self.avps is None:
            self.avps = {}
        if self.variables is None:
            self.variables = {}
        scope.avps = self.avps
        scope.variables = self.variables
        return scope
