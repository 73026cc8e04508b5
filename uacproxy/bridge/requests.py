"""Requests that come inside a dialog of a bridged call (RFC 3261 12.2.2, 15.1.2)."""

from __future__ import annotations

from uacproxy.bridge.dialog_ids import REFER_TO, map_refer_to
from uacproxy.bridge.leg import Leg
from uacproxy.bridge.legs import LegTable
from uacproxy.bridge.passing import pass_request, prack_received, update_received
from uacproxy.bridge.policy import ALWAYS_ALLOWED, unknown_tags
from uacproxy.bridge.reoffer import reinvite_received
from uacproxy.errors import ParseError
from uacproxy.sip.message import Message
from uacproxy.sip.names import ALLOW, UNSUPPORTED
from uacproxy.transaction.server import ServerTransaction


def take_request(leg: Leg, server: ServerTransaction, request: Message, legs: LegTable) -> None:
    """Take a request of the peer of ``leg``: answer it, or pass it on to the other."""
    method = request.method
    if method == b"CANCEL":
        leg.refuse(server, 481)  # of an INVITE that is not under way
        return
    if not leg.dialog.take_cseq(request):
        leg.refuse(server, 500)  # out of order
        return
    if leg.over:  # by a BYE of ours that is on its way; theirs may cross it
        leg.refuse(server, 200 if method == b"BYE" else 481)
        return
    if method != b"BYE" and leg.other.over:
        leg.refuse(server, 481)  # there is nobody to pass it to any more
        return
    try:
        unknown = unknown_tags(request)
        if unknown:
            response = leg.answer(request, 420)
            response.append(UNSUPPORTED, b", ".join(unknown))
            server.respond(response)
            return
        _dispatch(leg, server, request, legs)
    except ParseError:
        leg.refuse(server, 400)


def _dispatch(leg: Leg, server: ServerTransaction, request: Message, legs: LegTable) -> None:
    method = request.method
    wiring = leg.wiring
    if method == b"BYE":
        leg.refuse(server, 200)
        leg.owner.hung_up(leg, request)
    elif method == b"INVITE":
        reinvite_received(leg, server, request)
    elif method == b"REFER" and wiring.settings.refer == "refuse":
        leg.refuse(server, 603)
    elif method not in wiring.methods and method not in ALWAYS_ALLOWED:
        response = leg.answer(request, 405)
        response.append(ALLOW, b", ".join([*ALWAYS_ALLOWED, *wiring.methods]))
        server.respond(response)
    elif method == b"PRACK":
        prack_received(leg, server, request)
    elif method == b"UPDATE":
        update_received(leg, server, request)
    elif method == b"REFER":
        value = map_refer_to(request.need(REFER_TO), leg.other, legs)
        pass_request(leg, server, request, [(REFER_TO, value)])
    else:
        pass_request(leg, server, request)
