"""Two phones on either side of a bridge, each at an address of its own, and a call between them.

A phone keeps what it says and hears, and knows what in it tells of its side. It speaks
through a proxy of its own, whose Via and Record-Route are in what it sends.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.support.identity_peers import PATIENCE, Endpoint, Field, Views, first_request, heads
from uacproxy.ports import HostPort
from uacproxy.sip.message import Message
from uacproxy.sip.names import RECORD_ROUTE, SERVER, USER_AGENT, VIA
from uacproxy.testing.call_end import CallEnd

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

    def be_patient(self, seconds: float) -> None:
        """Wait so long for each message from now on."""
        self._socket.settimeout(seconds)

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

    def answer(
        self, request: Message, status: int, *fields: Field, tag: bytes = b"", body: bytes = b""
    ) -> Message:
        agent = (SERVER, self.name.encode() + b"phone/1.0")
        given = (*fields, OFFER) if body else fields
        response = super().answer(request, status, agent, *given, tag=tag, body=body)
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


def put_session(message: Message, body: bytes) -> None:
    """Give a message a session, b"" for none."""
    if body:
        message.append(*OFFER)
        message.set_body(body)


class Line:
    """A caller and a callee on either side of the service."""

    def __init__(self, caller: Phone, callee: Phone, hop: HostPort) -> None:
        self.caller, self.callee, self.hop = caller, callee, hop
        self.tag = secrets.token_hex(6).encode()

    def invite(self, *fields: Field, body: bytes = SDP, uri: bytes = b"") -> Message:
        """Let the caller call; return what the callee hears."""
        route = self.caller.route
        uri = uri or self.callee.contact
        self.sent = first_request(b"INVITE", self.caller, uri, VIEWS, route, *fields)
        put_session(self.sent, body)
        self.caller.send(self.sent, self.hop)
        self.heard = self.callee.hears_request(b"INVITE")
        assert heads(self.heard) == VIEWS.at_callee
        return self.heard

    def pick_up(self, *fields: Field, body: bytes = b"") -> None:
        """Let the callee answer, and the caller acknowledge."""
        ok = self.callee.answer(
            self.heard, 200, self.callee.route, *fields, tag=self.tag, body=body
        )
        final = self.caller.hears_response(b"INVITE", 200)
        assert final.body == body
        self.callee.hears_request(b"ACK")
        self.answered(ok, final)
        self.caller.send(self.ends[self.caller].request(b"ACK"), self.hop)

    def answered(self, ok: Message, final: Message) -> None:
        """Take both ends of the dialogs from a 200 as it was sent and as it came."""
        self.ends = {
            self.caller: CallEnd.of_caller(self.sent, final),
            self.callee: CallEnd.of_callee(self.heard, ok, 100),
        }

    def other(self, one: Phone) -> Phone:
        """Return who is at the far side."""
        return self.callee if one is self.caller else self.caller

    def asks(self, one: Phone, method: bytes, *fields: Field, body: bytes = b"") -> Message:
        """Let one side send a request inside the dialog; return it."""
        request = self.ends[one].request(method, one.contact)
        for name, value in fields:
            request.append(name, value)
        put_session(request, body)
        return one.send(request, self.hop)

    def offers(self, one: Phone, offer: bytes, answer: bytes) -> None:
        """Let one side change the session; offer and answer come through as they were."""
        other = self.other(one)
        self.asks(one, b"INVITE", body=offer)
        heard = other.hears_request(b"INVITE")
        assert heard.body == offer
        other.answer(heard, 200, body=answer)
        assert one.hears_response(b"INVITE", 200).body == answer
        one.send(self.ends[one].request(b"ACK"), self.hop)
        other.hears_request(b"ACK")

    def says(
        self, one: Phone, method: bytes, *fields: Field, status: int = 200, body: bytes = b""
    ) -> None:
        """Let one side send a request inside the dialog, and the other answer it."""
        other = self.other(one)
        self.asks(one, method, *fields, body=body)
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


@contextmanager
def line(hop: HostPort) -> Iterator[Line]:
    """Give a caller and a callee, closed at the end."""
    with phone("kilo", "127.0.21.1") as caller, phone("lima", "127.0.22.1") as callee:
        yield Line(caller, callee, hop)


@contextmanager
def phone(name: str, host: str) -> Iterator[Phone]:
    """Give one phone, closed at the end."""
    made = Phone(name, host)
    try:
        yield made
    finally:
        made.close()
