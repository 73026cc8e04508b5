"""Route fields: taking our own off, putting our Record-Route on (RFC 3261 16.4, 16.6; RFC 5658).

Our Record-Route parameters are ``lr``, ``ftag`` (the tag of who began the dialog), ``cs``
(dialog.cseq), ``did`` (dialog.tracker), ``hide`` (uac.hiding), ``au`` (uac.auth_param), and
those of uac.rr_param: ``vsf``, ``vst`` and ``hid``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.dialog.cseq import PARAM as CSEQ_PARAM
from uacproxy.errors import ParseError
from uacproxy.ports import Flow
from uacproxy.sip.grammar import COMMA, escape_parameter
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import parse_name_addr
from uacproxy.sip.names import RECORD_ROUTE, ROUTE
from uacproxy.sip.uri import Uri, parse_uri

IsOurs = Callable[[Uri], bool]

DID: Final = b"did"
_DOUBLE: Final = b"r2"
_DOUBLE_ON: Final = b";r2=on"
_LR: Final = b";lr"
_RAISED: Final = b";" + CSEQ_PARAM + b"="


def take_own_route(request: Message, is_ours: IsOurs) -> Uri | None:
    """Take our own entry off the top of the route set, both where we recorded two.

    A strict router (RFC 2543) has put our entry into the Request-URI and the real one
    behind the last Route: that is undone first.

    Returns:
        Our entry, with its parameters; None when the top Route is somebody else's.

    Raises:
        ParseError: (400) a malformed Route.
    """
    if not request.has(ROUTE):
        return None
    own: Uri | None = request.uri
    if own is not None and own.param(b"lr") is not None and is_ours(own):
        _undo_strict_routing(request)
    else:
        own = _top_route(request)
        if own is None or not is_ours(own):
            return None
        request.pop(ROUTE)
    if own.param(_DOUBLE) is not None:
        second = _top_route(request)
        if second is not None and second.param(_DOUBLE) is not None and is_ours(second):
            request.pop(ROUTE)
    return own


def _undo_strict_routing(request: Message) -> None:
    routes = [address.raw for address in request.addresses(ROUTE)]
    request.set_request_uri(parse_name_addr(routes.pop()).uri)
    request.remove(ROUTE)
    for route in reversed(routes):
        request.push(ROUTE, route)


def take_own_maddr(request: Message, came_on: Flow, is_ours: IsOurs) -> None:
    """Take a maddr off the Request-URI that names the very listener it came in by (16.4)."""
    uri = request.uri
    maddr = uri.param(b"maddr")
    if maddr is None or not uri.is_sip:
        return
    port = 5060 if uri.port is None else uri.port
    if port != came_on.local[1] or (uri.transport or b"UDP") != came_on.transport:
        return
    if not is_ours(parse_uri(b"sip:" + maddr)):
        return
    kept = uri.user + b"@" + uri.host if uri.user else uri.host
    for name, value in uri.params:
        if name not in (b"maddr", b"transport"):
            kept += b";" + name + (b"=" + value if value else b"")
    request.set_request_uri(uri.scheme + b":" + kept)


def _top_route(request: Message) -> Uri | None:
    value = request.get(ROUTE)
    if value is None:
        return None
    if COMMA in value:
        return request.addresses(ROUTE)[0].address
    address = parse_name_addr(value)
    if not address.bracketed:
        raise ParseError("Route without brackets", field=ROUTE)
    return address.address


def next_strict_router(request: Message) -> bool:
    """Prepare for a next hop that knows no loose routing (16.6 step 6).

    Where the top Route lacks ``lr``, it goes into the Request-URI and the Request-URI
    behind the last Route.
    """
    top = _top_route(request)
    if top is None or not top.is_sip or top.param(b"lr") is not None:
        return False
    routes = [address.raw for address in request.addresses(ROUTE)][1:]
    routes.append(b"<" + request.request_uri + b">")
    request.remove(ROUTE)
    for route in reversed(routes):
        request.push(ROUTE, route)
    request.set_request_uri(top.raw)
    return True


@final
class RouteParams:
    """The parameters of our entry: those before ``cs``, by what CSeq is raised, and the others."""

    __slots__ = ("before", "behind", "octets")

    def __init__(self, before: bytes, shift: int, behind: bytes) -> None:
        self.before = before
        self.behind = behind
        self.octets = before + _RAISED + b"%d" % shift + behind if shift else before + behind


def param(name: bytes, value: bytes) -> bytes:
    """Return a parameter as it stands in an entry."""
    return b";" + name + b"=" + value if value else b";" + name


def record_route(request: Message, came_on: Flow, goes_on: Flow, params: RouteParams) -> None:
    """Put ourselves into the route set of the dialog that the request may begin.

    Where it leaves by another listener than it came by, both are recorded with ``r2``
    (RFC 5658): each side then routes to the listener it knows.
    """
    tail = _LR
    if request.from_.tag:
        tail += b";ftag=" + escape_parameter(request.from_.tag)
    tail += params.octets
    if _is_same(came_on, goes_on):
        request.push(RECORD_ROUTE, _entry(goes_on, tail))
        return
    tail = _DOUBLE_ON + tail
    request.push(RECORD_ROUTE, _entry(came_on, tail))
    request.push(RECORD_ROUTE, _entry(goes_on, tail))


def record_again(
    request: Message, came_on: Flow, goes_on: Flow, was: RouteParams, shift: int
) -> RouteParams | None:
    """Change what our entries say CSeq is raised by.

    Args:
        request: copy of one that ``record_route`` has been at.
        came_on: as then.
        goes_on: as then.
        was: as then.
        shift: to be said now.

    Returns:
        What they say now; None where they are not as they were left.
    """
    now = RouteParams(was.before, shift, was.behind)
    old = was.octets + b">"
    value = request.need(RECORD_ROUTE)
    if not value.endswith(old):
        return None
    changed = value[: len(value) - len(old)] + now.octets + b">"
    if _is_same(came_on, goes_on):
        request.set(RECORD_ROUTE, changed)
        return now
    request.pop(RECORD_ROUTE)
    value = request.need(RECORD_ROUTE)
    if not value.endswith(old):
        return None
    request.set(RECORD_ROUTE, value[: len(value) - len(old)] + now.octets + b">")
    request.push(RECORD_ROUTE, changed)
    return now


def _is_same(came_on: Flow, goes_on: Flow) -> bool:
    return came_on.sent_by == goes_on.sent_by and came_on.transport == goes_on.transport


def keep_record_route(response: Message, sent: Message, is_ours: IsOurs) -> None:
    """Put back what the callee left out of the Record-Route it got, or changed in it (12.1.1).

    Our entry holds what hides the caller in every later request, so its way back is not
    left to the one it hides the caller from.

    Args:
        response: 101 to 299, to a request that may begin a dialog.
        sent: that request, as it went to the callee.
        is_ours: tells our own entries, however they look.
    """
    wanted = sent.fields(RECORD_ROUTE)
    values = response.fields(RECORD_ROUTE)
    for value in wanted:
        for given in values:
            if given == value or given.find(value) >= 0:
                break
        else:
            break
    else:
        return
    beyond: list[bytes] = []
    try:
        values = response.values(RECORD_ROUTE)
    except ParseError:
        values = []  # of no use to anybody: ours alone goes on
    for value in values:
        try:
            foreign = value not in wanted and not is_ours(parse_name_addr(value).address)
        except ParseError:
            continue
        if foreign:
            beyond.append(value)
    response.remove(RECORD_ROUTE)
    for value in reversed(beyond + wanted):
        response.push(RECORD_ROUTE, value)


def _entry(flow: Flow, tail: bytes) -> bytes:
    if flow.transport == b"UDP":
        return b"<sip:" + flow.sent_by + tail + b">"
    return b"<sip:" + flow.sent_by + b";transport=" + flow.transport.lower() + tail + b">"


def next_hop_of(request: Message) -> Uri:
    """Return the URI to resolve (16.6 step 7): the top Route, else the Request-URI.

    Raises:
        ParseError: (400) it is malformed.
    """
    if request.has(ROUTE):
        top = _top_route(request)
        if top is not None:
            return top
    return request.uri
