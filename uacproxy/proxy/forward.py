"""Making a request ready to leave on one flow: RFC 3261 16.6 steps 2 to 10.

``prepare`` does what does not depend on the way, ``finish`` what does: Via and
Record-Route name the listener it leaves by, and the size decides between UDP and TCP.
"""

from __future__ import annotations

from typing import Final

from uacproxy.dialog.cseq import shift_cseq
from uacproxy.dialog.dialog import FORMS_DIALOG
from uacproxy.errors import OwnMistake, TooManyHops
from uacproxy.ports import Flow, Target
from uacproxy.proxy.record_route import (
    DID,
    RouteParams,
    next_hop_of,
    next_strict_router,
    param,
    record_again,
    record_route,
)
from uacproxy.proxy.route_mark import PARAM as MARK_PARAM
from uacproxy.proxy.validate import loop_hash
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.scope import Scope
from uacproxy.sip.message import Message
from uacproxy.sip.names import CONTENT_LENGTH, MAX_FORWARDS, VIA
from uacproxy.sip.uri import Uri, parse_uri
from uacproxy.uac.auth_param import PARAM as AUTH_PARAM
from uacproxy.uac.hiding import PARAM as HIDE_PARAM
from uacproxy.uac.hiding import route_value

_VIA_PROTOCOL: Final = b"SIP/2.0/"


def prepare(wiring: Wiring, request: Message, shift: int, chosen: bytes) -> Uri:
    """Edit the copy of one branch: Max-Forwards, CSeq, strict routers, Content-Length.

    Args:
        wiring: the core's.
        request: the branch's own copy, Request-URI already that of its target.
        shift: to raise CSeq by.
        chosen: URI to send to in place of the one the Route or Request-URI names; b"" for
            none.

    Returns:
        The URI to send to; not always one that can be resolved.

    Raises:
        TooManyHops: (483) this is as far as it may go.
        ParseError: (400) a malformed Route.
    """
    hops = request.max_forwards
    if hops == 0:
        raise TooManyHops("Max-Forwards is zero")
    request.set(MAX_FORWARDS, b"%d" % (wiring.max_forwards if hops is None else hops - 1))
    if shift:
        shift_cseq(request, shift)
    if not request.present & 32 and not request.has(CONTENT_LENGTH):
        request.append(CONTENT_LENGTH, b"%d" % len(request.body))
    if chosen:
        return parse_uri(chosen)
    if next_strict_router(request):
        return request.uri
    return next_hop_of(request)


def finish(
    wiring: Wiring,
    request: Message,
    scope: Scope,
    goes_on: Flow,
    branch: bytes,
    shift: int,
    auth: bytes = b"",
) -> RouteParams | None:
    """Push Record-Route, where the request may begin a dialog, and our Via.

    Args:
        wiring: the core's.
        request: prepared.
        scope: of the request or the branch.
        goes_on: the flow it leaves by.
        branch: for our Via.
        shift: what its CSeq was raised by.
        auth: sealed, whose credentials answer challenges inside the dialog.

    Returns:
        What our Record-Route says, None where there is none of ours.
    """
    params: RouteParams | None = None
    if wiring.record_route and not scope.in_dialog and request.method in FORMS_DIALOG:
        params = _params(wiring, scope, shift, auth)
        record_route(request, scope.flow, goes_on, params)
    request.push(VIA, _via(goes_on, branch))
    return params


def finish_again(
    request: Message,
    scope: Scope,
    goes_on: Flow,
    branch: bytes,
    params: RouteParams | None,
    raised: int,
    shift: int,
) -> RouteParams | None:
    """Make of a copy of what was sent what goes the same way once more, by a number of its own.

    Args:
        request: the copy.
        scope: of the request.
        goes_on: the flow it left by.
        branch: for our Via.
        params: what our Record-Route says; None where there is none of ours.
        raised: what its CSeq is raised by as it stands.
        shift: what it is to be raised by.

    Returns:
        What our Record-Route says now.

    Raises:
        OwnMistake: it says something else than ``params``.
    """
    if shift != raised:
        shift_cseq(request, shift - raised)
        if params is not None:
            params = record_again(request, scope.flow, goes_on, params, shift)
            if params is None:
                raise OwnMistake("our Record-Route was changed behind us")
    request.set(VIA, _via(goes_on, branch))
    return params


def _via(goes_on: Flow, branch: bytes) -> bytes:
    return _VIA_PROTOCOL + goes_on.transport + b" " + goes_on.sent_by + b";rport;branch=" + branch


def most_added(scope: Scope) -> int:
    """Return how many octets ``finish`` adds at most; a little too many is no harm."""
    most = 1024 + 6 * len(scope.received.from_.tag)  # the tag escaped, in two entries
    identities = scope.identities
    if identities is not None:  # sealed, in base64, perhaps in two entries
        most += 3 * (len(identities.from_original) + len(identities.from_shown))
        most += 3 * (len(identities.to_original) + len(identities.to_shown))
    if scope.hide is not None:
        most += 2 * len(route_value(scope.hide))
    return most


def _params(wiring: Wiring, scope: Scope, shift: int, auth: bytes) -> RouteParams:
    before = b""
    if wiring.route_mark is not None:
        hidden = b"" if scope.hide is None else route_value(scope.hide)
        mark = wiring.route_mark.mark(scope.received.call_id, scope.received.from_.tag, hidden)
        before = param(MARK_PARAM, mark)
    identities = scope.identities
    if identities is not None and wiring.stores and not scope.is_kept and not identities.is_empty:
        received = scope.received
        for name, value in wiring.codec.params(identities, received.call_id, received.from_.tag):
            before += param(name, value)
    if scope.hide is not None:
        before += param(HIDE_PARAM, route_value(scope.hide))
    behind = param(AUTH_PARAM, auth) if auth else b""
    if scope.dialog is not None:
        behind += param(DID, scope.dialog.ident + _hidden(scope))
    return RouteParams(before, shift, behind)


def _hidden(scope: Scope) -> bytes:
    """Return the marks behind a ``did`` that say what only the dialog can restore."""
    identities = scope.identities
    if not scope.is_kept or identities is None or identities.is_empty:
        return b""
    return (
        b"-"
        + (b"f" if identities.from_original else b"")
        + (b"t" if identities.to_original else b"")
    )


def end_of_branch(wiring: Wiring, scope: Scope) -> bytes:
    """Return what a branch for our Via ends with: the loop hash of the request as it came."""
    return loop_hash(scope.received) if wiring.loop_detection else b""


def over_tcp(target: Target) -> Target:
    """Return the same address on TCP (18.1.1)."""
    return Target(b"TCP", target.host, target.port, True)
