"""Requests other than INVITE, BYE and ACK inside a bridged call: from leg to leg."""

from __future__ import annotations

from typing import Final, final

from uacproxy.bridge.leg import Leg
from uacproxy.bridge.reoffer import LOST
from uacproxy.bridge.session_timer import told_status
from uacproxy.sip.message import Message
from uacproxy.sip.names import RACK, RETRY_AFTER
from uacproxy.transaction.server import ServerTransaction
from uacproxy.uac.send import SendOutcome

DIALOG_UNKNOWN: Final = 481

OUTLIVED: Final = frozenset((b"PRACK", b"NOTIFY", b"SUBSCRIBE", b"REFER"))
"""Methods whose 481 is about a response or a subscription, not the call (RFC 3262 3, RFC 5057)."""


def pass_request(
    leg: Leg,
    server: ServerTransaction,
    request: Message,
    fields: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """Pass a request of the peer of ``leg`` on, and the answer back.

    Args:
        leg: it came in.
        server: answers it.
        request: as received.
        fields: mapped ones, for the other side.
    """
    Passed(leg, server, request).start(fields)


def prack_received(leg: Leg, server: ServerTransaction, request: Message) -> None:
    """Pass a PRACK on, with the numbers that the callee gave (RFC 3262 3)."""
    reliable = leg.reliable
    theirs = b""
    if reliable is not None:
        theirs = reliable.acknowledged(request.get(RACK) or b"")
    if not theirs:
        leg.refuse(server, DIALOG_UNKNOWN)
        return
    Passed(leg, server, request).start([(RACK, theirs)])


def update_received(leg: Leg, server: ServerTransaction, request: Message) -> None:
    """Take an UPDATE: one without a body is between the peer and us (RFC 3311, RFC 4028)."""
    wiring = leg.wiring
    settings = wiring.settings
    if leg.updating:
        response = leg.answer(request, 500)
        response.append(RETRY_AFTER, b"%d" % int(wiring.random.uniform(0, 10)))
        server.respond(response)
    elif request.body and leg.offering:
        wiring.counters.glares += 1
        leg.refuse(server, 491)
    elif settings.session_expires and leg.timer.too_short(request, settings.min_se):
        response = leg.answer(request, 422)
        response.append(b"min-se", b"%d" % settings.min_se)
        server.respond(response)
    elif request.body:
        leg.updating = True
        leg.heard(request)
        Passed(leg, server, request).start(None)
    else:
        leg.heard(request)
        leg.move_target(request)
        response = leg.answer(request, 200)
        leg.timer.accept(request, response, settings.session_expires, settings.refresher == "us")
        server.respond(response)
        leg.owner.changed()


@final
class Passed:
    """One request on its way."""

    __slots__ = ("_leg", "_other", "_request", "_server")

    def __init__(self, leg: Leg, server: ServerTransaction, request: Message) -> None:
        self._leg = leg
        self._other = leg.other  # an answer may come when the two have parted
        self._server = server
        self._request = request

    def start(self, fields: list[tuple[bytes, bytes]] | None) -> None:
        """Send it on."""
        other = self._other
        method = self._request.method
        request = other.request(method, self._request)
        if fields is not None:
            for name, value in fields:
                request.append(name, value)
        if method == b"UPDATE":
            settings = other.wiring.settings
            other.timer.ask(request, settings.session_expires, settings.min_se)
            other.offering = True
            other.keep_body(request)
        other.send(request, self._ended)

    def _ended(self, outcome: SendOutcome) -> None:
        leg = self._leg
        other = self._other
        request = self._request
        response = outcome.response
        answer = leg.answer(request, told_status(outcome.status), response)
        if request.method == b"UPDATE":
            leg.updating = False
            other.offering = False
            if outcome.status < 300 and response is not None:
                self._updated(response, answer)
        self._server.respond(answer)
        if (outcome.status == DIALOG_UNKNOWN and request.method not in OUTLIVED) or (
            request.method == b"UPDATE" and outcome.status in LOST
        ):
            leg.owner.lost(other)
        else:
            leg.owner.changed()

    def _updated(self, response: Message, answer: Message) -> None:
        leg = self._leg
        settings = leg.wiring.settings
        leg.move_target(self._request)
        other = self._other
        other.move_target(response)
        other.heard(response)
        other.timer.agreed(response)
        leg.keep_body(answer)
        leg.timer.accept(
            self._request, answer, settings.session_expires, settings.refresher == "us"
        )
