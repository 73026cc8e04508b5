"""No octet of one side's topology reaches the other side of a bridge, whatever the call does.

Every datagram that a phone sends or hears is kept. All that tells where one side is, or
which dialog it has, is looked for in all that the other side has heard: hosts and ports,
Via and branches, routes, Contacts, Call-IDs, tags, User-Agent and Server. The phones have
addresses of their own, and routes that lead through what only their side knows.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.support.identity_peers import PATIENCE, Endpoint, Field, Views, first_request, heads
from tests.support.uacproxy_process import UacproxyProcess, uacproxy
from uacproxy.ports import HostPort
from uacproxy.sip.build import build_ack, build_cancel
from uacproxy.sip.message import Message
from uacproxy.sip.names import RACK, RECORD_ROUTE, SERVER, USER_AGENT, VIA
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

VIEWS: Final = Views(
    b'"Alice" <sip:alice@a.example>',
    b"<sip:bob@b.example>",
    b'"Trunk 7" <sip:7@trunk.example>',
    b'"Desk" <sip:desk@z.example;user=phone>',
)
OFFER: Final = (b"content-type", b"application/sdp")
SDP: Final = b"v=0\r\no=- 1 1 IN IP4 192.0.2.77\r\ns=-\r\nt=0 0\r\n"

TELLING: Final = tuple(
    re.compile(pattern, re.MULTILINE | re.IGNORECASE)
    for pattern in (
        rb"^(?:call-id|i) *: *([^\r\n]+)",
        rb";tag=([^;>,\s]+)",
        rb";branch=([^;>,\s]+)",
        rb"^(?:user-agent|server) *: *([^\r\n]+)",
        rb"^(?:contact|m|record-route|route) *:[^\r\n]*?sips?:([^@>;\s]+)@",
        rb"^(?:contact|m|record-route|route|via|v) *:[^\r\n]*?[@ ]([\w.-]+:\d+)",
    )
)


class Phone(Endpoint):
    """An endpoint at an address of its own that also keeps what it says."""

    def __init__(self, name: str, host: str) -> None:
        super().__init__(name)
        self.host = host
        self.said: list[bytes] = []
        self._socket.close()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(PATIENCE)
        self.port = self._socket.getsockname()[1]

    @property
    def contact(self) -> bytes:
        """Return the URI it is reached at."""
        return b"sip:%b@%b:%d" % (self.name.encode(), self.host.encode(), self.port)

    def send(self, request: Message, hop: HostPort) -> Message:
        edge = b"edge.%b.example:5070" % self.name.encode()
        branch = b"z9hG4bK" + secrets.token_hex(8).encode()
        request.append(USER_AGENT, self.name.encode() + b"phone/1.0")
        request.append(VIA, b"SIP/2.0/UDP %b;branch=%b" % (edge, branch))
        sent = super().send(request, hop)
        self.said.append(sent.encode())
        return sent

    def answer(self, request: Message, status: int, *fields: Field, tag: bytes = b"") -> Message:
        agent = (SERVER, self.name.encode() + b"phone/1.0")
        response = super().answer(request, status, agent, *fields, tag=tag)
        self.said.append(response.encode())
        return response

    @property
    def route(self) -> Field:
        """Return a Record-Route of the proxy before it, which is the phone itself."""
        here = b"%b:%d" % (self.host.encode(), self.port)
        return RECORD_ROUTE, b"<sip:edge%b@%b;lr>" % (self.name.encode(), here)

    def tokens(self, service: HostPort) -> set[bytes]:
        """Return all that tells of this side; what tells of the service does not count."""
        found = {self.host.encode(), b":%d" % self.port, self.name.encode()}
        for octets in self.said + self.heard:
            for pattern in TELLING:
                found.update(pattern.findall(octets))
        return found - {b"uacproxy", b"%b:%d" % (service[0].encode(), service[1])}


class Line:
    """A caller and a callee on either side of the service."""

    def __init__(self, caller: Phone, callee: Phone, hop: HostPort) -> None:
        self.caller, self.callee, self.hop = caller, callee, hop
        self.tag = secrets.token_hex(6).encode()

    def invite(self, *fields: Field) -> Message:
        """Let the caller call; return what the callee hears."""
        route = self.caller.route
        uri = self.callee.contact
        self.sent = first_request(b"INVITE", self.caller, uri, VIEWS, route, OFFER, *fields)
        self.sent.set_body(SDP)
        self.caller.send(self.sent, self.hop)
        self.heard = self.callee.hears_request(b"INVITE")
        assert heads(self.heard) == VIEWS.at_callee
        return self.heard

    def pick_up(self) -> None:
        """Let the callee answer, and the caller acknowledge."""
        ok = self.callee.answer(self.heard, 200, self.callee.route, tag=self.tag)
        final = self.caller.hears_response(b"INVITE", 200)
        self.callee.hears_request(b"ACK")
        self.ends = {
            self.caller: CallEnd.of_caller(self.sent, final),
            self.callee: CallEnd.of_callee(self.heard, ok, 100),
        }
        self.caller.send(self.ends[self.caller].request(b"ACK"), self.hop)

    def says(self, one: Phone, method: bytes, *fields: Field, status: int = 200) -> None:
        """Let one side send a request inside the dialog, and the other answer it."""
        other = self.callee if one is self.caller else self.caller
        request = self.ends[one].request(method, one.contact)
        for name, value in fields:
            request.append(name, value)
        if OFFER in fields:
            request.set_body(SDP)
        one.send(request, self.hop)
        if method == b"BYE":
            one.hears_response(method, 200)
        heard = other.hears_request(method)
        other.answer(heard, status)
        if method != b"BYE":
            one.hears_response(method, status)
        if method == b"INVITE" and status < 300:
            one.send(self.ends[one].request(b"ACK"), self.hop)
            other.hears_request(b"ACK")
        elif method == b"INVITE":
            other.hears_request(b"ACK")


def talks_in_every_method(line: Line) -> None:
    line.invite()
    line.callee.answer(line.heard, 180, line.callee.route, tag=line.tag)
    line.caller.hears_response(b"INVITE", 180)
    line.pick_up()
    for one in (line.caller, line.callee):
        line.says(one, b"INVITE", OFFER)
        line.says(one, b"INFO", (b"info-package", b"dtmf"))
        line.says(one, b"MESSAGE")
        line.says(one, b"OPTIONS")
        line.says(one, b"UPDATE", OFFER)
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
    caller, callee = Phone("kilo", "127.0.21.1"), Phone("lima", "127.0.22.1")
    hop = (service.host, service.port)
    try:
        CALLS[what](Line(caller, callee, hop))
        for one, other in ((caller, callee), (callee, caller)):
            tokens = one.tokens(hop)
            assert len(tokens) > 6
            other.never_heard(*tokens)
    finally:
        caller.close()
        callee.close()
