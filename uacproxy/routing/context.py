"""What a route handler gets in its hand: one request, and what may be done with it."""

from __future__ import annotations

from typing import Final, final

from uacproxy.dialog.dialog import FORMS_DIALOG
from uacproxy.errors import ParseError, ScriptError
from uacproxy.ports import Flow, Log
from uacproxy.routing import pseudo
from uacproxy.routing.features import Features
from uacproxy.routing.functions import UacFunctions, keep_identities
from uacproxy.routing.message_view import RequestView
from uacproxy.routing.pending_reply import Promise
from uacproxy.routing.scope import Scope
from uacproxy.routing.uac_req import Value
from uacproxy.sip.grammar import octets_of
from uacproxy.sip.uri import parse_uri

LONGEST_SLEEP: Final = 86400  # s


@final
class RouteContext:
    """One request on its way through the handlers.

    ``request`` may be edited in request and branch routes; ``response`` is there in
    onreply and failure routes. ``ctx["$fu"]`` reads a pseudo-variable, assignment writes.
    """

    __slots__ = ("_features", "_uac", "scope")

    def __init__(self, features: Features, scope: Scope) -> None:
        self._features = features
        self._uac: UacFunctions | None = None
        self.scope = scope

    @property
    def request(self) -> RequestView:
        """Return the request as it will go out."""
        return RequestView(self.scope.request)

    @property
    def received(self) -> RequestView:
        """Return the request as it came; edits to it have no effect elsewhere."""
        return RequestView(self.scope.received.branch_copy())

    @property
    def response(self) -> RequestView | None:
        """Return the response at hand in onreply and failure routes, else None."""
        response = self.scope.response
        return None if response is None else RequestView(response)

    @property
    def flow(self) -> Flow:
        """Return the flow that the request came on."""
        return self.scope.flow

    @property
    def in_dialog(self) -> bool:
        """Tell whether the request belongs to a dialog: its To has a tag."""
        return self.scope.in_dialog

    @property
    def is_canceled(self) -> bool:
        """Tell whether the caller has cancelled the request (t_is_canceled)."""
        return self.scope.is_canceled

    @property
    def uac(self) -> UacFunctions:
        """Return the uac functions for this request."""
        uac = self._uac
        if uac is None:
            uac = UacFunctions(self._features, self.scope)
            self._uac = uac
        return uac

    @property
    def log(self) -> Log:
        """Return the log of the route script."""
        return self._features.log

    def __getitem__(self, word: str) -> Value:
        """Return the value of a pseudo-variable, None for null."""
        return pseudo.read(word, self.scope)

    def __setitem__(self, word: str, value: Value) -> None:
        """Give a pseudo-variable a value."""
        pseudo.write(word, value, self.scope, self._features.set_dialog_variable)

    def expand(self, template: str) -> str:
        """Return ``template`` with its pseudo-variables replaced."""
        return pseudo.expand(template, self.scope)

    def is_myself(self, uri: str = "$ru") -> bool:
        """Tell whether a URI names this service, by address or domain; False for no URI."""
        try:
            return self._features.is_ours(parse_uri(octets_of(self.expand(uri))))
        except ParseError:
            return False

    def track_dialog(self) -> bool:
        """Track the dialog that this request begins (dlg_manage).

        False for a request that begins none, and where ``max_dialogs`` are tracked
        already: relayed then, the request is answered 503.
        """
        scope = self.scope
        if scope.dialog is None:
            if scope.in_dialog or scope.request.method not in FORMS_DIALOG:
                return False
            scope.untracked = not self._features.track(scope)
            keep_identities(self._features, scope)
        return scope.dialog is not None

    def on_failure(self, name: str) -> None:
        """Run this failure route when all branches have failed (t_on_failure); "" for none."""
        self.scope.on_failure = name

    def on_branch_failure(self, name: str) -> None:
        """Run this route for each branch that has failed (t_on_branch_failure); "" for none."""
        self.scope.on_branch_failure = name

    def on_reply(self, name: str) -> None:
        """Run this onreply route for each response (t_on_reply)."""
        self.scope.on_reply = name

    def on_branch(self, name: str) -> None:
        """Run this branch route for each branch before it is sent (t_on_branch)."""
        self.scope.on_branch = name

    def sleep(self, seconds: float) -> Promise:
        """Give what ends after so many seconds, 0 to 86400: ``await ctx.sleep(30)``."""
        sending = self._features.requests
        if sending is None or not 0 <= seconds <= LONGEST_SLEEP:
            raise ScriptError(f"sleep() takes 0 to {LONGEST_SLEEP} s")
        return sending.sleep(float(seconds))

    def check_status(self, pattern: str) -> bool:
        """Tell whether the status at hand is one of ``"401|407"`` (t_check_status).

        A dot or ``x`` stands for any digit, as in ``"5xx"``.
        """
        response = self.scope.response
        if response is None:
            return False
        digits = str(response.status)
        for alternative in pattern.split("|"):
            word = alternative.strip()
            if len(word) == 3 and all(
                wanted in (".", "x", "X", digit) for wanted, digit in zip(word, digits, strict=True)
            ):
                return True
        return False
