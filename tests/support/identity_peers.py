"""Phones for proofs of identity: both ends of a call, each message checked where it arrives.

They use blocking sockets, as the servers between them are processes of their own. An
``Endpoint`` keeps every octet that reached it, so that a test can ask what it may have
learned.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest

from tests.support.free_ports import LOOPBACK
from uacproxy.ports import HostPort
from uacproxy.sip.build import build_request, build_response
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import parse_name_addr
from uacproxy.sip.names import (
    CALL_ID,
    CONTACT,
    CSEQ,
    FROM,
    MAX_FORWARDS,
    RECORD_ROUTE,
    TO,
    VIA,
)
from uacproxy.sip.parse import parse_message
from uacproxy.testing.call_end import CallEnd

PATIENCE = 30.0  # s, for the next message
SHORT = 6  # octets, see ``is_told``

Field = tuple[bytes, bytes]


class Endpoint:
    """One phone on a UDP socket, which answers to where a request came from (RFC 3581)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[bytes] = []  # every datagram, in the order of coming
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self._socket.settimeout(PATIENCE)
        self.port: int = self._socket.getsockname()[1]
        self._sources: dict[bytes, HostPort] = {}  # by octets of a request
        self._answers: dict[bytes, bytes] = {}  # the last answer, by octets of the request

    @property
    def contact(self) -> bytes:
        """Return the URI it is reached at; it names nobody."""
        return b"sip:%b@%b:%d" % (self.name.encode(), LOOPBACK.encode(), self.port)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, request: Message, hop: HostPort) -> Message:
        """Send a request by ``hop``, whatever its Route says, with a Via of our own."""
        branch = b"z9hG4bK" + secrets.token_hex(8).encode()
        here = b"%b:%d" % (LOOPBACK.encode(), self.port)
        request.push(VIA, b"SIP/2.0/UDP " + here + b";rport;branch=" + branch)
        self._socket.sendto(request.encode(), hop)
        return request

    def send_again(self, request: Message, hop: HostPort) -> None:
        """Send what has its Via already: a CANCEL, the ACK of a refusal."""
        self._socket.sendto(request.encode(), hop)

    def answer(
        self, request: Message, status: int, *fields: Field, tag: bytes = b"", body: bytes = b""
    ) -> Message:
        """Answer a request that came, with our Contact where it takes one."""
        response = build_response(request, status, to_tag=tag)
        if status < 300:
            response.append(CONTACT, b"<" + self.contact + b">")
        for name, value in fields:
            response.append(name, value)
        if body:
            response.set_body(body)
        octets = request.encode()
        self._answers[octets] = response.encode()
        self._socket.sendto(response.encode(), self._sources[octets])
        return response

    def hears_request(self, method: bytes) -> Message:
        """Return the next message, which has to be this request."""
        message = self._next()
        if message.method != method:
            pytest.fail(f"{self.name} waits for {method!r} and hears {message.start!r}")
        return message

    def hears_response(self, method: bytes, status: int) -> Message:
        """Return the next response but 100; it has to be this one."""
        message = self._next()
        while message.status == 100:
            message = self._next()
        if (message.status, message.cseq.method) != (status, method):
            pytest.fail(f"{self.name} waits for {status} {method!r}, hears {message.start!r}")
        return message

    def _next(self) -> Message:
        """Return the next message that is no retransmission; those are answered again."""
        while True:
            try:
                octets, source = self._socket.recvfrom(65535)
            except TimeoutError:
                pytest.fail(f"{self.name} hears nothing more after {PATIENCE:g} s")
            again = octets in self.heard
            self.heard.append(octets)
            message = parse_message(octets)
            if message.is_request:
                self._sources[message.encode()] = source
            if not again:
                return message
            if octets in self._answers:
                self._socket.sendto(self._answers[octets], source)

    def never_heard(self, *words: bytes) -> None:
        """Check that no octet of ``words`` has reached it, in whatever case."""
        for octets in self.heard:
            for word in words:
                if is_told(word, octets):
                    pytest.fail(f"{self.name} has heard {word!r}:\n{octets.decode()}")


def is_told(word: bytes, octets: bytes) -> bool:
    """Tell whether octets hold a word, in whatever case.

    A short word has to stand by itself: the base64 of a sealed value has any three letters
    once in some 150 messages.
    """
    pattern = re.escape(word)
    if len(word) < SHORT:
        pattern = rb"(?<![a-z0-9])%b(?![a-z0-9])" % pattern
    return re.search(pattern, octets, re.IGNORECASE) is not None


@contextmanager
def phones(*names: str) -> Iterator[list[Endpoint]]:
    """Give endpoints, closed at the end."""
    with ExitStack() as stack:
        made = [Endpoint(name) for name in names]
        for each in made:
            stack.callback(each.close)
        yield made


class Views(NamedTuple):
    """Who is who: heads of From and To of the INVITE at its caller and at its callee."""

    from_original: bytes
    to_original: bytes
    from_shown: bytes
    to_shown: bytes

    @property
    def at_caller(self) -> tuple[bytes, bytes]:
        """Return From and To as the caller writes them."""
        return self.from_original, self.to_original

    @property
    def at_callee(self) -> tuple[bytes, bytes]:
        """Return From and To as the callee reads them."""
        return self.from_shown, self.to_shown

    def nobody_knows_more(self, caller: Endpoint, *callees: Endpoint) -> None:
        """Check that neither side has got an octet of a URI that is the other's alone."""
        for callee in callees:
            callee.never_heard(*map(_address, self.at_caller))
        caller.never_heard(*map(_address, self.at_callee))


def _address(head: bytes) -> bytes:
    """Return a URI without its scheme, as anybody would recognise it."""
    return parse_name_addr(head).uri.partition(b":")[2]


def heads(message: Message) -> tuple[bytes, bytes]:
    """Return From and To without tags and other parameters."""
    return message.from_.head, message.to.head


def check_heads(message: Message, wanted: tuple[bytes, ...]) -> None:
    """Fail the test unless From and To of a message are these, tags aside."""
    if heads(message) != wanted:
        pytest.fail(f"{message.start!r} has {heads(message)} instead of {wanted}")


def first_request(
    method: bytes, caller: Endpoint, callee_uri: bytes, views: Views, *fields: Field
) -> Message:
    """Make a request outside any dialog; Call-ID and tag tell nothing."""
    return build_request(
        method,
        callee_uri,
        [
            (MAX_FORWARDS, b"70"),
            (FROM, views.from_original + b";tag=" + secrets.token_hex(4).encode()),
            (TO, views.to_original),
            (CALL_ID, secrets.token_hex(8).encode()),
            (CSEQ, b"1 " + method),
            (CONTACT, b"<" + caller.contact + b">"),
            *fields,
        ],
    )


class Dialog:
    """A dialog, early or not; each message in it is checked at the end it comes to."""

    def __init__(
        self, caller: Endpoint, callee: Endpoint, ends: tuple[CallEnd, CallEnd], views: Views
    ) -> None:
        """Take both phones, and the dialog as each of them has it."""
        self.views = views
        self._caller, self._callee = caller, callee
        self.caller_end, self.callee_end = ends

    def ack(self, hop: HostPort) -> None:
        """Confirm the first INVITE."""
        ack = self.caller_end.request(b"ACK")
        ack.set(CSEQ, b"1 ACK")  # whatever was sent since
        self._caller.send(ack, hop)
        check_heads(self._callee.hears_request(b"ACK"), self.views.at_callee)

    def from_caller(self, method: bytes, hop: HostPort) -> None:
        """Let the caller send, the callee answer 200, and the caller confirm a re-INVITE."""
        end, views = self.caller_end, self.views
        _exchange(self._caller, end, views.at_caller, self._callee, views.at_callee, method, hop)

    def from_callee(self, method: bytes, hop: HostPort) -> None:
        """Do the same the other way, From and To in each other's place."""
        end, written, read = self.callee_end, self.views.at_callee, self.views.at_caller
        _exchange(self._callee, end, written[::-1], self._caller, read[::-1], method, hop)


class Call(Dialog):
    """A call, from the 200 to its INVITE on."""

    def __init__(
        self,
        caller: Endpoint,
        callee: Endpoint,
        hop: HostPort,
        views: Views,
        fields: Sequence[Field] = (),
    ) -> None:
        """Place the call by ``hop`` and answer it; the ACK is still to be sent."""
        invite = first_request(b"INVITE", caller, callee.contact, views, *fields)
        caller.send(invite, hop)
        self.invited = callee.hears_request(b"INVITE")
        check_heads(self.invited, views.at_callee)
        ok = callee.answer(self.invited, 200, tag=secrets.token_hex(4).encode())
        self.final = caller.hears_response(b"INVITE", 200)
        check_heads(self.final, views.at_caller)
        ends = CallEnd.of_caller(invite, self.final), CallEnd.of_callee(self.invited, ok, 100)
        super().__init__(caller, callee, ends, views)

    @property
    def route(self) -> bytes:
        """Return the one Record-Route value there is, as the caller got it."""
        (value,) = self.final.values(RECORD_ROUTE)
        return value


def _exchange(
    one: Endpoint,
    end: CallEnd,
    written: tuple[bytes, ...],
    other: Endpoint,
    read: tuple[bytes, ...],
    method: bytes,
    hop: HostPort,
) -> None:
    sent = one.send(end.request(method, one.contact), hop)
    check_heads(sent, written)
    heard = other.hears_request(method)
    check_heads(heard, read)
    _check_tails(heard, sent)
    other.answer(heard, 200)
    final = one.hears_response(method, 200)
    check_heads(final, written)
    _check_tails(final, sent)
    if method == b"INVITE":
        one.send(end.request(b"ACK"), hop)
        check_heads(other.hears_request(b"ACK"), read)


def _check_tails(message: Message, sent: Message) -> None:
    """Fail unless tags and other parameters are those of the request as it was sent."""
    found, wanted = [(each.from_.tail, each.to.tail) for each in (message, sent)]
    if found != wanted:
        pytest.fail(f"{message.start!r} has {found} instead of {wanted}")


# Who ends a call, and how.
ANY_SIDE: dict[str, Callable[[Dialog, HostPort], None]] = {
    "caller": lambda call, hop: call.from_caller(b"BYE", hop),
    "callee": lambda call, hop: call.from_callee(b"BYE", hop),
}
