"""No octet of one side's topology reaches the other side of a bridge, whatever the call does.

Every datagram that a phone sends or hears is kept. All that tells where one side is, or
which dialog it has, is looked for in all that the other side has heard: hosts and ports,
Via and branches, routes, Contacts, Call-IDs, tags, User-Agent and Server. The phones have
addresses of their own, and routes that lead through what only their side knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.support.bridge_line import SDP, Line, line
from tests.support.uacproxy_process import UacproxyProcess, uacproxy
from uacproxy.sip.build import build_ack, build_cancel
from uacproxy.sip.names import RACK
from uacproxy.testing.call_end import CallEnd

INI: Final = """\
[sip]
listen = udp:@HERE@
t1 = 100ms
t4 = 100ms

[rule:out]
method = INVITE
replace_from = "Trunk 7" sip:7@trunk.example
replace_to = "Desk" <sip:desk@z.example;user=phone>
bridge = yes
"""


def talks_in_every_method(line: Line) -> None:
    line.invite()
    line.callee.answer(line.heard, 180, line.callee.route, tag=line.tag)
    line.caller.hears_response(b"INVITE", 180)
    line.pick_up()
    for one in (line.caller, line.callee):
        line.says(one, b"INVITE", body=SDP)
        line.says(one, b"INFO", (b"info-package", b"dtmf"))
        line.says(one, b"MESSAGE")
        line.says(one, b"OPTIONS")
        line.says(one, b"UPDATE", body=SDP)
        line.says(one, b"INFO", status=415)
    line.says(line.callee, b"REFER", (b"refer-to", b"<sip:carol@c.example>"), status=202)
    state = (b"subscription-state", b"terminated;reason=noresource")
    line.says(line.caller, b"NOTIFY", (b"event", b"refer"), state)
    line.says(line.caller, b"BYE")


def rings_reliably_and_is_ended_by_its_callee(line: Line) -> None:
    line.invite((b"supported", b"100rel"))
    reliable = (b"require", b"100rel"), (b"rseq", b"4711")
    line.callee.answer(line.heard, 183, *reliable, line.callee.route, tag=line.tag)
    rung = line.caller.hears_response(b"INVITE", 183)
    prack = CallEnd.of_caller(line.sent, rung).request(b"PRACK", line.caller.contact)
    prack.append(RACK, b"%b %d INVITE" % (rung.need(b"rseq"), line.sent.cseq.number))
    line.caller.send(prack, line.hop)
    line.callee.answer(line.callee.hears_request(b"PRACK"), 200)
    line.caller.hears_response(b"PRACK", 200)
    line.pick_up()
    line.ends[line.caller].cseq += 1  # the PRACK's
    line.says(line.callee, b"BYE")


def is_cancelled(line: Line) -> None:
    line.invite()
    line.callee.answer(line.heard, 180, line.callee.route, tag=line.tag)
    line.caller.hears_response(b"INVITE", 180)
    line.caller.send_again(build_cancel(line.sent, [b"SIP;cause=487"]), line.hop)
    line.caller.hears_response(b"CANCEL", 200)
    final = line.caller.hears_response(b"INVITE", 487)
    line.caller.send_again(build_ack(line.sent, final), line.hop)
    line.callee.answer(line.callee.hears_request(b"CANCEL"), 200)
    line.callee.answer(line.heard, 487, tag=line.tag)
    line.callee.hears_request(b"ACK")


GIVEN: Final = {302: 480, 407: 403, 503: 500}  # for what a bridge does not hand on


def fails(status: int) -> Callable[[Line], None]:
    """Return a call that the callee refuses."""

    def refused(line: Line) -> None:
        line.invite()
        here = b"%b:%d" % (line.callee.host.encode(), line.callee.port)
        warning = (b"warning", b'399 %b "gone"' % here)
        moved = (b"contact", b"<sip:elsewhere@%b>" % here)
        line.callee.answer(line.heard, status, warning, moved, tag=line.tag)
        line.callee.hears_request(b"ACK")
        final = line.caller.hears_response(b"INVITE", GIVEN.get(status, status))
        line.caller.send_again(build_ack(line.sent, final), line.hop)

    return refused


CALLS: Final[dict[str, Callable[[Line], None]]] = {
    "talks in every method": talks_in_every_method,
    "rings reliably": rings_reliably_and_is_ended_by_its_callee,
    "is cancelled": is_cancelled,
    **{f"ends in {status}": fails(status) for status in (302, 407, 484, 486, 503, 603)},
}


@pytest.fixture(scope="module")
def service() -> Iterator[UacproxyProcess]:
    """Give the one service of all calls here."""
    with uacproxy(INI) as running:
        yield running


@pytest.mark.parametrize("what", CALLS)
def test_nothing_that_tells_of_one_side_reaches_the_other(
    service: UacproxyProcess, what: str
) -> None:
    hop = (service.host, service.port)
    with line(hop) as between:
        CALLS[what](between)
        caller, callee = between.caller, between.callee
        for one, other in ((caller, callee), (callee, caller)):
            tokens = one.tokens(hop)
            assert len(tokens) > 6
            other.never_heard(*tokens)
