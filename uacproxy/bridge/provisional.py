"""Passing 101 to 199 from one leg to the other, reliable ones reliably (RFC 3262)."""

from __future__ import annotations

from uacproxy.bridge.leg import Leg
from uacproxy.bridge.policy import has_tag
from uacproxy.bridge.reliable import LONGEST_START, RELIABLE, ReliableResponses, rseq_of
from uacproxy.sip.message import Message
from uacproxy.sip.names import REQUIRE, SUPPORTED
from uacproxy.transaction.server import ServerTransaction


def pass_provisional(
    leg: Leg, server: ServerTransaction, request: Message, response: Message
) -> None:
    """Pass a provisional response to the peer of ``leg``, whose INVITE ``request`` is."""
    other = leg.other
    other.heard(response)
    asked = has_tag(request, SUPPORTED, RELIABLE) or has_tag(request, REQUIRE, RELIABLE)
    if not asked or not has_tag(response, REQUIRE, RELIABLE) or rseq_of(response) == 0:
        server.respond(leg.answer(request, response.status, response))
        return
    reliable = leg.reliable
    if reliable is None:
        wiring = leg.wiring
        first = 1 + int(wiring.random.uniform(0, LONGEST_START // 2))
        reliable = ReliableResponses(server, wiring.clock, wiring.t1, first)
        leg.reliable = reliable
    if reliable.is_new(response):
        if response.body:
            other.offering = False  # answered, or an offer of the peer's own
        reliable.send(leg.answer(request, response.status, response), response)
