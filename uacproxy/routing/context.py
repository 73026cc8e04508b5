"""What a route handler gets in its hand: one request, and what may be done with it."""

from __future__ import annotations

from typing import Final, final

from uacproxy.dialog.dialog import FORMS_DIALOG
from uacproxy.errors import ParseError, ScriptError
from uacproxy.ports import Flow, Log
from uacproxy.routing import pseudo
from uacproxy.routing.functions import Features, UacFunctions, keep_identities
from uacproxy.routing.scope import Scope, Value
from uacproxy.sip.grammar import is_token, octets_of, text
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import NameAddr
from uacproxy.sip.names import CALL_ID, CONTENT_LENGTH, CSEQ, FROM, TO, VIA, canonical
from uacproxy.sip.uri import parse_uri

_KEPT: Final = frozenset((VIA, FROM, TO, CALL_ID, CSEQ, CONTENT_LENGTH))


@final
class RequestView:
    """A message in characters, for scripts; ``octets`` gives the message itself."""

    __slots__ = ("octets",)

    def __init__(self, message: Message) -> None:
        self.octets = message

    @property
    def method(self) -> str:
        """Return the method; of a response, that of its request."""
        message = self.octets
        return text(message.method if message.is_request else message.cseq.method)

    @property
    def status(self) -> int:
        """Return the status of a response, 0 for a request."""
        return self.octets.status

    @property
    def uri(self) -> str:
        """Return the Request-URI."""
        return text(self.octets.request_uri)

    @property
    def call_id(self) -> str:
        """Return the Call-ID."""
        return text(self.octets.call_id)

    @property
    def from_(self) -> NameAddr:
        """Return From."""
        return self.octets.from_

    @property
    def to(self) -> NameAddr:
        """Return To."""
        return self.octets.to

    @property
    def body(self) -> bytes:
        """Return the body."""
        return self.octets.body

    def get(self, name: str) -> str | None:
        """Return the first field of that name, long or compact, in any case of letters."""
        value = self.octets.get(canonical(octets_of(name)))
        return None if value is None else text(value)

    def fields(self, name: str) -> list[str]:
        """Return every field of that name."""
        return [text(value) for value in self.octets.fields(canonical(octets_of(name)))]

    def set(self, name: str, value: str) -> None:
        """Give the first field of that name a value, or add one."""
        self.octets.set(_editable(name), _field_value(value))

    def append(self, name: str, value: str) -> None:
        """Add a field behind all others."""
        self.octets.append(_editable(name), _field_value(value))

    def remove(self, name: str) -> None:
        """Remove every field of that name."""
        self.octets.remove(_editable(name))


def _editable(name: str) -> bytes:
    octets = octets_of(name)
    if not is_token(octets):
        raise ScriptError(f"{name!r} is no field name")
    wanted = canonical(octets)
    if wanted in _KEPT:
        way = "; use ctx.uac.replace_from or replace_to" if wanted in (FROM, TO) else ""
        raise ScriptError(f"{name} is not for scripts to edit{way}")
    return wanted


def _field_value(value: str) -> bytes:
    octets = octets_of(value)
    if b"\r" in octets or b"\n" in octets:
        raise ScriptError("a field value holds no line ends")
    return octets


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

    def on_reply(self, name: str) -> None:
        """Run this onreply route for each response (t_on_reply)."""
        self.scope.on_reply = name

    def on_branch(self, name: str) -> None:
        """Run this branch route for each branch before it is sent (t_on_branch)."""
        self.scope.on_branch = name

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
