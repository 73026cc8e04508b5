"""A service under a flood of calls: what it refuses, what still passes, and that it recovers.

The wait that counts as overload is set short, so that any machine is slow enough.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable

from tests.support.free_ports import LOOPBACK
from tests.support.uacproxy_process import UacproxyProcess

INI = """
[sip]
listen = udp:@HERE@
[store]
url = memory:
[limits]
overload_delay = 0.01
overload_retry_after = 4
[management]
amp = unix:uacproxy.sock:mode=600
[rule:all]
relay = sip:@CALLEE@
"""
PATIENCE = 30.0  # s
WINDOW = 1000  # calls


class Peer:
    """One socket that calls or is called."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((LOOPBACK, 0))
        self.socket.settimeout(0.5)
        self.port: int = self.socket.getsockname()[1]

    def request(self, method: str, number: str, uri: str = "", **fields: str) -> bytes:
        """Return a request, outside a dialog unless ``to`` and ``route`` say otherwise."""
        uri = uri or "sip:bob@callee.example"
        route = fields.get("route", "")
        return (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {LOOPBACK}:{self.port};branch=z9hG4bK{number}{method};rport\r\n"
            f"{route}Max-Forwards: 70\r\nFrom: <sip:alice@caller.example>;tag=a{number}\r\n"
            f"To: {fields.get('to', '<sip:bob@callee.example>')}\r\nCall-ID: {number}\r\n"
            f"CSeq: {2 if method == 'BYE' else 1} {method}\r\n"
            f"Contact: <sip:alice@{LOOPBACK}:{self.port}>\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    def hears(self, words: str, again: Callable[[], object]) -> str:
        """Return the next message that has these words, sending ``again`` until it comes."""
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            again()
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                try:
                    text = self.socket.recv(65535).decode()
                except TimeoutError:
                    break
                if re.search(words, text):
                    return text
        raise AssertionError(f"never heard {words!r}")


class Callee(Peer):
    """It answers whatever it is asked 200, until the test is over."""

    def __init__(self) -> None:
        super().__init__()
        self.methods: dict[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        while not self._over.is_set():
            try:
                octets, source = self.socket.recvfrom(65535)
            except TimeoutError:
                continue
            lines = octets.decode().split("\r\n")
            method = lines[0].split()[0]
            self.methods[method] = self.methods.get(method, 0) + 1
            if method == "ACK":
                continue
            kept = ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq")
            fields = [line for line in lines[1:] if line.partition(":")[0] in kept]
            fields = [
                f"{line};tag=b" if line.startswith("To:") and ";tag=" not in line else line
                for line in fields
            ]
            answer = ["SIP/2.0 200 OK", *fields, f"Contact: <sip:bob@{LOOPBACK}:{self.port}>"]
            answer += ["Content-Length: 0", "", ""]
            self.socket.sendto("\r\n".join(answer).encode(), source)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self.socket.close()


class Flood(Peer):
    """It makes new calls as fast as they are answered, ``WINDOW`` of them at a time.

    So there is always more than can be done, and never more than the kernel keeps.
    """

    def __init__(self, service: UacproxyProcess) -> None:
        super().__init__()
        self.socket.settimeout(0.2)
        self.refusals: list[str] = []
        self._there = (service.host, service.port)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._pour, daemon=True)
        self._thread.start()

    def _pour(self) -> None:
        invite = self.request("INVITE", "NUMBER")
        number = unanswered = 0
        while not self._over.is_set():
            while unanswered < WINDOW:
                number += 1
                unanswered += 1
                self.socket.sendto(invite.replace(b"NUMBER", b"%d" % number), self._there)
            try:
                octets = self.socket.recv(65535)
            except TimeoutError:
                unanswered = 0  # they were lost
                continue
            if not octets.startswith(b"SIP/2.0 1"):
                unanswered -= 1
            if octets.startswith(b"SIP/2.0 503"):
                self.refusals.append(octets.decode())

    def refusal(self) -> str:
        """Return a refusal, when there has been one."""
        ends = time.monotonic() + PATIENCE
        while not self.refusals and time.monotonic() < ends:
            time.sleep(0.05)
        return self.refusals[-1] if self.refusals else ""

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self.socket.close()


def field(text: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)\r$", text, re.MULTILINE)
    assert found, f"no {name} in {text}"
    return found[1]


def test_a_flood_gets_503_a_call_in_progress_ends_well_and_then_all_is_as_before(
    start_uacproxy: Callable[..., UacproxyProcess],
) -> None:
    callee = Callee()
    caller = Peer()
    service = start_uacproxy(INI, callee=f"{LOOPBACK}:{callee.port}")

    def send(octets: bytes) -> Callable[[], object]:
        return lambda: caller.socket.sendto(octets, (service.host, service.port))

    answer = caller.hears("^SIP/2.0 200", send(caller.request("INVITE", "1")))
    inside = {
        "uri": f"sip:bob@{LOOPBACK}:{callee.port}",
        "to": field(answer, "To"),
        "route": f"Route: {field(answer, 'Record-Route')}\r\n",
    }
    send(caller.request("ACK", "1", **inside))()
    flood = Flood(service)
    refusal = flood.refusal()
    assert 2 <= int(field(refusal, "Retry-After")) <= 6
    assert ";tag=" in field(refusal, "To")
    bye = caller.request("BYE", "1", **inside)
    caller.hears(r"^SIP/2.0 200[\s\S]*CSeq: 2 BYE", send(bye))
    flood.close()
    number = 100

    def call() -> None:
        nonlocal number
        number += 1
        send(caller.request("INVITE", str(number)))()

    caller.hears("^SIP/2.0 200", call)
    service.wait_for(overload_active=0)
    stats = service.stats()
    assert stats["overload.refused"] > 0
    assert stats["overload.begun"] >= 1
    assert "overload: messages wait" in service.output
    assert callee.methods["BYE"] >= 1
    callee.close()
    caller.socket.close()
