"""Checks before anything else happens to a request (RFC 3261 16.3).

That the message has its required fields, sound, is the transport's check; here come the
scheme, the Max-Forwards, the extensions and the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from uacproxy.errors import BadExtension, LoopDetected, ParseError, TooManyHops, UnsupportedScheme
from uacproxy.sip.fields import option_tags
from uacproxy.sip.grammar import COMMA
from uacproxy.sip.message import Message
from uacproxy.sip.names import PROXY_REQUIRE, ROUTE, VIA
from uacproxy.sip.uri import SCHEMES
from uacproxy.sip.via import Via, parse_via

IsOurVia = Callable[[Via], bool]

_ENDS_HERE: Final = (b"OPTIONS", b"REGISTER")
_LOOP_MARK: Final = b".l"  # stands before the loop hash in a branch of ours


def check_request(request: Message) -> None:
    """Refuse what cannot be routed.

    Raises:
        UnsupportedScheme: (416) neither sip, sips nor tel.
        ParseError: (400) a malformed Request-URI, one with headers in it (25.1 note of
            ``Request-URI``), or a malformed Max-Forwards.
        TooManyHops: (483) Max-Forwards is zero. OPTIONS and REGISTER may be for us, and
            are let through; they meet the same when they are to go on.
        BadExtension: (420) Proxy-Require names anything: we have no such extension.
    """
    raw = request.request_uri
    if not raw.startswith(b"sip:"):
        colon = raw.find(b":")
        if colon > 0 and raw[:colon].lower() not in SCHEMES and raw[:1] != b"<":
            raise UnsupportedScheme("URI scheme not supported")
    uri = request.uri
    if uri.headers:
        raise ParseError("headers in the Request-URI")
    if request.max_forwards == 0 and request.method not in _ENDS_HERE:
        raise TooManyHops("Max-Forwards is zero")
    if request.has(PROXY_REQUIRE) and request.method not in (b"ACK", b"CANCEL"):
        tokens = option_tags(request, PROXY_REQUIRE)
        if tokens:
            raise BadExtension(tokens)


def loop_hash(request: Message) -> bytes:
    """Return what routing of a request depends on, as text for a branch (RFC 5393 4.2).

    A request that comes back with the same hash would take the same way again; with
    another it is a spiral, and goes on.
    """
    routes = request.fields(ROUTE) if request.has(ROUTE) else ()
    seen = hash(
        (
            request.request_uri,
            request.call_id,
            request.from_.tag,
            request.to.tag,
            request.cseq.number,
            tuple(routes),
        )
    )
    return _LOOP_MARK + b"%x" % (seen & 0xFFFFFFFF)


def check_loop(request: Message, is_ours: IsOurVia) -> None:
    """Look for our own Via with the hash that this request would get.

    Raises:
        LoopDetected: (482) the request has been here, unchanged.
    """
    if request.count(VIA) == 1 and COMMA not in request.line_at(request.find(VIA)):
        return
    wanted = b""
    for value in request.values(VIA)[1:]:
        at = value.find(_LOOP_MARK)
        if at < 0:
            continue
        try:
            via = parse_via(value)
        except ParseError:
            continue  # a Via further down is not ours to judge
        if not wanted:
            wanted = loop_hash(request)
        if via.branch.endswith(wanted) and is_ours(via):
            raise LoopDetected("the request has been here")
