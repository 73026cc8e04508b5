"""A SIP endpoint on a plain UDP socket that does exactly what a test tells it, step by step.

It resends nothing and answers nothing by itself, and it reads messages with a few lines of
its own, so that it does not share a misreading with the service under test.
"""

from __future__ import annotations

import itertools
import socket
from typing import Self

import pytest

from tests.support.free_ports import LOOPBACK

PATIENCE = 30.0  # s, for a message that has to come

_numbers = itertools.count(1)


class Heard:
    """One message as it came: the start line, the fields in their order, names in lower case."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        head, _, self.body = octets.decode().partition("\r\n\r\n")
        self.start, *lines = head.split("\r\n")
        self.fields = [(name.lower(), value.strip()) for name, _, value in map(_split, lines)]

    @property
    def kind(self) -> str:
        """Return the method of a request, the status code of a response."""
        first, second, *_ = self.start.split(" ")
        return second if first == "SIP/2.0" else first

    @property
    def request_uri(self) -> str:
        """Return the Request-URI."""
        return self.start.split(" ")[1]

    def all(self, name: str) -> list[str]:
        """Return the values of every field of a name."""
        return [value for each, value in self.fields if each == name]

    def get(self, name: str) -> str:
        """Return the value of the first field of a name, which has to be there."""
        return self.all(name)[0]

    @property
    def to_tag(self) -> str:
        """Return the tag of To, "" for none."""
        return self.get("to").partition(";tag=")[2]

    @property
    def contact(self) -> str:
        """Return the URI of Contact."""
        return self.get("contact").strip("<>")


def _split(line: str) -> tuple[str, str, str]:
    return line.partition(":")


class Endpoint:
    """One socket; ``address`` is its HOST:PORT."""

    def __init__(self, name: str) -> None:
        """Take a free port; ``name`` is the user part of its Contact and shows in failures."""
        self.name = name
        self._heard: set[bytes] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self._socket.settimeout(PATIENCE)
        self.address = "{}:{}".format(*self._socket.getsockname())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def contact(self) -> str:
        """Return a Contact field, its line end with it."""
        return f"Contact: <sip:{self.name}@{self.address}>\r\n"

    # -- hearing ---------------------------------------------------------------------------

    def hears(self, kind: str) -> Heard:
        """Wait for the next message that is new, which has to be of this method or status code."""
        return self.hears_any(kind)

    def hears_any(self, *kinds: str) -> Heard:
        """Wait for the next message that is new, which has to be one of these.

        A message that came before is overlooked: a slow machine makes peers resend.
        """
        heard = self._next(kinds)
        while heard.octets in self._heard:
            heard = self._next(kinds)
        assert heard.kind in kinds, f"{self.name} heard {heard.octets.decode()}"
        self._heard.add(heard.octets)
        return heard

    def _next(self, kinds: tuple[str, ...]) -> Heard:
        try:
            return Heard(self._socket.recv(65535))
        except TimeoutError:
            pytest.fail(f"{self.name} waited for {' or '.join(kinds)} in vain")

    def hears_final(self, kind: str) -> Heard:
        """Wait for a final response; a 100 may come before it."""
        heard = self.hears_any("100", kind)
        return heard if heard.kind == kind else self.hears_any(kind)

    def hears_again(self, earlier: Heard) -> None:
        """Wait for the same octets once more; copies of others it has heard may come before."""
        heard = self._next((f"another {earlier.kind}",))
        while heard.octets != earlier.octets and heard.octets in self._heard:
            heard = self._next((f"another {earlier.kind}",))
        assert heard.octets == earlier.octets, f"{self.name} heard {heard.octets.decode()}"

    # -- saying ----------------------------------------------------------------------------

    def send(self, text: str, to: str) -> None:
        """Send one message to HOST:PORT."""
        host, _, port = to.rpartition(":")
        self._socket.sendto(text.encode(), (host, int(port)))

    def answers(self, request: Heard, line: str, to: str, *, tag: str = "", more: str = "") -> str:
        """Answer a request with a status line's end, such as ``200 OK``; return what was sent.

        Args:
            request: its Via, Record-Route, From, To, Call-ID and CSeq are taken.
            line: code and reason.
            to: HOST:PORT of the hop before.
            tag: to put into To.
            more: further fields, each with its line end.
        """
        copied = ("via", "record-route", "from", "to", "call-id", "cseq")
        lines = [f"SIP/2.0 {line}"]
        for name, value in request.fields:
            if name in copied:
                lines.append(f"{name}: {value}" + (f";tag={tag}" if tag and name == "to" else ""))
        text = "\r\n".join(lines) + f"\r\n{more}Content-Length: 0\r\n\r\n"
        self.send(text, to)
        return text


class Caller:
    """A caller's view of one call: what it writes into every request of it."""

    def __init__(self, endpoint: Endpoint, service: str, callee: str = "sip:bob@b.example") -> None:
        """Prepare; ``service`` is the HOST:PORT that everything is sent to."""
        number = next(_numbers)
        self.endpoint = endpoint
        self.service = service
        self.from_ = f'"Alice" <sip:alice@a.example>;tag=a{number}'
        self.to = "<sip:bob@b.example>"
        self.call_id = f"call-{number}-{endpoint.address}"
        self._callee = callee
        self._branches = itertools.count(1)

    def invite(self) -> str:
        """Send the INVITE, and return it."""
        return self._send("INVITE", self._callee, 1, "z9hG4bK-invite-" + self.call_id, self.to, [])

    def cancel(self) -> str:
        """Send the CANCEL of the INVITE, and return it."""
        return self._send("CANCEL", self._callee, 1, "z9hG4bK-invite-" + self.call_id, self.to, [])

    def acknowledge_failure(self, final: Heard) -> str:
        """Send the ACK that ends the INVITE's transaction, and return it."""
        branch = "z9hG4bK-invite-" + self.call_id
        return self._send("ACK", self._callee, 1, branch, final.get("to"), [])

    def in_dialog(self, method: str, answer: Heard, cseq: int) -> str:
        """Send a request of the dialog that a 2xx made, and return it; an ACK's CSeq is 1."""
        branch = f"z9hG4bK-{next(self._branches)}-{self.call_id}"
        routes = list(reversed(answer.all("record-route")))
        return self._send(method, answer.contact, cseq, branch, answer.get("to"), routes)

    def _send(
        self, method: str, uri: str, cseq: int, branch: str, to: str, routes: list[str]
    ) -> str:
        text = (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.endpoint.address};branch={branch}\r\n"
            + "".join(f"Route: {route}\r\n" for route in routes)
            + "Max-Forwards: 70\r\n"
            f"From: {self.from_}\r\nTo: {to}\r\n"
            f"Call-ID: {self.call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"{self.endpoint.contact}Content-Length: 0\r\n\r\n"
        )
        self.endpoint.send(text, self.service)
        return text
