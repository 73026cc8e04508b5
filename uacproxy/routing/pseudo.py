"""Pseudo-variables: ``$fu``, ``$hdr(X)``, ``$avp(x)`` and their like, read and written.

The names and what they mean are Kamailio's. Values are ``str`` or ``int``; ``None`` is
``$null``. ``expand`` puts values into a text, ``read`` and ``write`` work on one variable.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from uacproxy.errors import ParseError, ScriptError
from uacproxy.routing.scope import Scope
from uacproxy.routing.uac_req import UacReq, Value
from uacproxy.sip.grammar import octets_of, text
from uacproxy.sip.message import Message
from uacproxy.sip.names import CALL_ID, CONTACT, USER_AGENT, canonical
from uacproxy.sip.uri import Uri, parse_uri, with_host, with_user

_VARIABLE: Final = re.compile(
    r"\$\$|\$(?P<open>\()?(?P<name>[A-Za-z_][A-Za-z_0-9]*)(?:\((?P<key>[^()]*)\))?(?(open)\))"
)

SetVariable = Callable[[Scope, str, str | None], None]


def expand(template: str, scope: Scope) -> str:
    """Return ``template`` with every variable replaced; ``$$`` is a dollar, null is nothing.

    Raises:
        ScriptError: a variable that does not exist.
    """
    if "$" not in template:
        return template

    def value_of(found: re.Match[str]) -> str:
        if found.group() == "$$":
            return "$"
        value = _read(scope, found["name"], found["key"])
        return "" if value is None else str(value)

    return _VARIABLE.sub(value_of, template)


def is_variable(word: str) -> bool:
    """Tell whether ``word`` is exactly one variable, as ``$ru`` or ``$avp(x)``."""
    return word != "$$" and _VARIABLE.fullmatch(word) is not None


def read(word: str, scope: Scope) -> Value:
    """Return the value of one variable, None for null.

    Raises:
        ScriptError: ``word`` is no variable, or none that exists.
    """
    name, key = _parts(word)
    return _read(scope, name, key)


def write(word: str, value: Value, scope: Scope, set_dialog_variable: SetVariable) -> None:
    """Give one variable a value; None empties it.

    Raises:
        ScriptError: ``word`` is no variable, or one that is read only, or the value does
            not fit.
    """
    name, key = _parts(word)
    if name == "avp" and key:
        if scope.avps is None:
            scope.avps = {}
        scope.avps[key] = value
        return
    if name == "var" and key:
        if scope.variables is None:
            scope.variables = {}
        scope.variables[key] = value
        return
    if name == "uac_req" and key:
        if scope.uac_req is None:
            scope.uac_req = UacReq()
        scope.uac_req.write(key, value)
        return
    if name == "dlg_var" and key:
        set_dialog_variable(scope, key, None if value is None else str(value))
        return
    writer = _WRITERS.get(name)
    if writer is None or key is not None:
        raise ScriptError(f"{word} cannot be written")
    writer(scope, "" if value is None else str(value))


def _parts(word: str) -> tuple[str, str | None]:
    found = _VARIABLE.fullmatch(word)
    if found is None or word == "$$":
        raise ScriptError(f"{word!r} is no pseudo-variable")
    key: str | None = found["key"]
    return found["name"], key


def _read(scope: Scope, name: str, key: str | None) -> Value:
    if key is not None:
        keyed = _KEYED.get(name)
        if keyed is None:
            raise ScriptError(f"there is no pseudo-variable ${name}({key})")
        return keyed(scope, key)
    reader = _READERS.get(name)
    if reader is None:
        raise ScriptError(f"there is no pseudo-variable ${name}")
    try:
        return reader(scope)
    except ParseError:
        return None  # the peer's URI makes no sense: null, as for a missing one


def _message(scope: Scope) -> Message:
    """Return the message a handler looks at: in onreply routes the response.

    A failure route looks at the request, as in Kamailio; the response is beside it.
    """
    response = scope.response
    return scope.request if response is None or scope.failure is not None else response


def _request_uri(scope: Scope) -> Uri:
    return parse_uri(scope.request.request_uri)


def _from_uri(scope: Scope) -> Uri:
    return parse_uri(_message(scope).from_.uri)


def _to_uri(scope: Scope) -> Uri:
    return parse_uri(_message(scope).to.uri)


def _host_port(uri: Uri) -> str:
    return text(uri.host)


def _port(uri: Uri) -> int:
    return 5060 if uri.port is None else uri.port


def _or_none(octets: bytes | None) -> Value:
    return None if octets is None else text(octets)


def _field(scope: Scope, name: str) -> Value:
    return _or_none(_message(scope).get(canonical(octets_of(name))))


def _avp(scope: Scope, name: str) -> Value:
    return None if scope.avps is None else scope.avps.get(name)


def _var(scope: Scope, name: str) -> Value:
    return None if scope.variables is None else scope.variables.get(name)


def _dialog_variable(scope: Scope, name: str) -> Value:
    return None if scope.dialog is None else scope.dialog.variables.get(name)


def _uac_req(scope: Scope, key: str) -> Value:
    return (scope.uac_req or UacReq()).read(key)


def _status(scope: Scope) -> Value:
    return None if scope.response is None else scope.response.status


def _reason(scope: Scope) -> Value:
    return None if scope.response is None else text(scope.response.reason)


def _contact(scope: Scope) -> Value:
    contacts = _message(scope).addresses(CONTACT)
    return text(contacts[0].uri) if contacts else None


def _set_request_uri(scope: Scope, value: str) -> None:
    octets = octets_of(value)
    try:
        parse_uri(octets)
    except ParseError as error:
        raise ScriptError(f"$ru cannot be {value!r}: {error.why}") from error
    scope.request.set_request_uri(octets)


def _set_request_user(scope: Scope, value: str) -> None:
    scope.request.set_request_uri(with_user(_request_uri(scope), octets_of(value)))


def _set_request_host(scope: Scope, value: str) -> None:
    uri = _request_uri(scope)
    host = octets_of(value)
    if uri.port is not None:
        host += b":%d" % uri.port
    scope.request.set_request_uri(with_host(uri, host))


def _set_next_hop(scope: Scope, value: str) -> None:
    octets = octets_of(value)
    if octets:
        try:
            parse_uri(octets)
        except ParseError as error:
            raise ScriptError(f"$du cannot be {value!r}: {error.why}") from error
    scope.next_hop = octets


_READERS: Final[dict[str, Callable[[Scope], Value]]] = {
    "ru": lambda scope: text(scope.request.request_uri),
    "rU": lambda scope: text(_request_uri(scope).user) or None,
    "rd": lambda scope: _host_port(_request_uri(scope)),
    "rp": lambda scope: _port(_request_uri(scope)),
    "rm": lambda scope: text(scope.request.method),
    "ou": lambda scope: text(scope.received.request_uri),
    "oU": lambda scope: text(parse_uri(scope.received.request_uri).user) or None,
    "od": lambda scope: _host_port(parse_uri(scope.received.request_uri)),
    "fu": lambda scope: text(_message(scope).from_.uri),
    "fU": lambda scope: text(_from_uri(scope).user) or None,
    "fd": lambda scope: _host_port(_from_uri(scope)),
    "fn": lambda scope: text(_message(scope).from_.display) or None,
    "ft": lambda scope: text(_message(scope).from_.tag) or None,
    "tu": lambda scope: text(_message(scope).to.uri),
    "tU": lambda scope: text(_to_uri(scope).user) or None,
    "td": lambda scope: _host_port(_to_uri(scope)),
    "tn": lambda scope: text(_message(scope).to.display) or None,
    "tt": lambda scope: text(_message(scope).to.tag) or None,
    "ci": lambda scope: _or_none(_message(scope).get(CALL_ID)),
    "cs": lambda scope: _message(scope).cseq.number,
    "ct": _contact,
    "ua": lambda scope: _or_none(_message(scope).get(USER_AGENT)),
    "si": lambda scope: scope.flow.remote[0],
    "sp": lambda scope: scope.flow.remote[1],
    "Ri": lambda scope: scope.flow.local[0],
    "Rp": lambda scope: scope.flow.local[1],
    "pr": lambda scope: text(scope.flow.transport).lower(),
    "du": lambda scope: text(scope.next_hop) or None,
    "rs": _status,
    "rr": _reason,
    "rb": lambda scope: text(_message(scope).body) or None,
    "T_reply_code": _status,
    "T_branch_idx": lambda scope: scope.branch_index,
    "null": lambda scope: None,
}

_KEYED: Final[dict[str, Callable[[Scope, str], Value]]] = {
    "hdr": _field,
    "avp": _avp,
    "var": _var,
    "dlg_var": _dialog_variable,
    "uac_req": _uac_req,
}

_WRITERS: Final[dict[str, Callable[[Scope, str], None]]] = {
    "ru": _set_request_uri,
    "rU": _set_request_user,
    "rd": _set_request_host,
    "du": _set_next_hop,
}
