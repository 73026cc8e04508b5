"""Calls through a network that loses, doubles and disorders datagrams on both sides of the service.

Relays stand before the service and before the callee; both name them as their addresses, so
every datagram of a call passes bad weather. The two endpoints resend as RFC 3261 17 and
13.3.1.4 say, and nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, DeferredQueue, DeferredSemaphore, gatherResults
from twisted.internet.defer import TimeoutError as WaitedInVain
from twisted.internet.threads import deferToThread

from tests.support.endpoint import Heard
from tests.support.free_ports import LOOPBACK, free_port
from tests.support.sip_sockets import UdpPeer, reactor
from tests.support.uacproxy_process import UacproxyProcess
from uacproxy.ports import HostPort
from uacproxy.testing.loopback import Weather
from uacproxy.testing.relay import Relay

INI = """\
[sip]
listen = udp:@HERE@
advertise = @SEEN_AT@
t1 = 100ms
t2 = 400ms
t4 = 500ms

[rule:out]
method = INVITE
replace_from = "Trunk 7" sip:7@trunk.example
track = yes
@HOW@ = sip:bob@@CALLEE@
"""

FOUL = Weather(loss=0.05, duplication=0.05, reordering=0.1, delay=0.005)
T1, T2 = 0.1, 0.4  # s, of the endpoints too
PATIENCE = 20.0  # s, for what the service itself sees to
CALLS, AT_ONCE = 100, 20
SHOWN = '"Trunk 7" <sip:7@trunk.example>'

Start = Callable[..., UacproxyProcess]
Inbox = DeferredQueue[tuple[Heard, HostPort]]


class Phone:
    """A socket with an inbox for each Call-ID; ``faults`` has what should not have come."""

    def __init__(self, peer: UdpPeer) -> None:
        self.peer = peer
        self.faults: list[str] = []
        self.called: Callable[[Inbox], None] | None = None  # a call that is not ours begins
        self._inboxes: dict[str, Inbox] = {}
        self._listen()

    def _listen(self) -> None:
        waiting: Any = self.peer.heard.get()
        waiting.addCallback(self._arrived)

    def _arrived(self, datagram: tuple[bytes, HostPort]) -> None:
        heard = Heard(datagram[0])
        call_id = heard.get("call-id")
        if call_id not in self._inboxes and self.called is not None:
            self.called(self.inbox(call_id))
        self._inboxes[call_id].put((heard, datagram[1]))
        self._listen()

    def inbox(self, call_id: str) -> Inbox:
        """Open the inbox of a new call."""
        self._inboxes[call_id] = DeferredQueue()
        return self._inboxes[call_id]


async def take(inbox: Inbox, seconds: float) -> tuple[Heard, HostPort] | None:
    """Return the next message, None when none comes in time."""
    waiting: Deferred[tuple[Heard, HostPort]] = inbox.get()
    waiting.addTimeout(seconds, reactor)
    try:
        return await waiting
    except WaitedInVain:
        return None


class Call:
    """The caller's side of one call."""

    def __init__(self, phone: Phone, number: int, service: HostPort) -> None:
        self._phone = phone
        self._service = service
        self._call_id = f"weather-{number}"
        self._from = f'"Alice" <sip:alice@a.example>;tag=a{number}'
        self._inbox = phone.inbox(self._call_id)
        self._ack: bytes = b""

    async def run(self) -> None:
        """Call, hang up; raises where that does not come about."""
        invite = self._request("INVITE", "sip:bob@b.example", 1, "<sip:bob@b.example>", [])
        answer = await self._final(invite, "1 INVITE")
        to, routes = answer.get("to"), answer.all("record-route")
        self._ack = self._request("ACK", answer.contact, 1, to, routes)
        self._send(self._ack)
        await self._final(self._request("BYE", answer.contact, 2, to, routes), "2 BYE")

    async def _final(self, request: bytes, cseq: str) -> Heard:
        """Send until a response comes, then wait for the final one (17.1.1.2, 17.1.2.2)."""
        pause = T1
        self._send(request)
        while True:
            arrived = await take(self._inbox, pause)
            if arrived is None:
                assert pause < PATIENCE, f"{self._call_id}: no answer to {cseq}"
                self._send(request)
                pause = pause * 2
                continue
            heard = arrived[0]
            if heard.get("from") != self._from:
                self._phone.faults.append(f"the caller heard From {heard.get('from')}")
            if heard.get("cseq") == "1 INVITE" and self._ack:
                self._send(self._ack)  # the 200 came again (13.2.2.4)
            elif heard.get("cseq") == cseq and heard.kind.startswith("2"):
                return heard
            elif heard.get("cseq") == cseq and heard.kind.startswith("1"):
                pause = max(pause, PATIENCE) if cseq.endswith("INVITE") else max(pause, T2)
            else:
                self._phone.faults.append(f"the caller heard {heard.start} to {cseq}")

    def _send(self, octets: bytes) -> None:
        self._phone.peer.send(octets, self._service)

    def _request(self, method: str, uri: str, cseq: int, to: str, routes: list[str]) -> bytes:
        return (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self._phone.peer.sent_by};rport"
            f";branch=z9hG4bK{method}{self._call_id}\r\n"
            + "".join(f"Route: {route}\r\n" for route in reversed(routes))
            + f"Max-Forwards: 70\r\nFrom: {self._from}\r\nTo: {to}\r\n"
            f"Call-ID: {self._call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:alice@{self._phone.peer.sent_by}>\r\nContent-Length: 0\r\n\r\n"
        ).encode()


async def answer_call(phone: Phone, inbox: Inbox, contact: HostPort) -> None:
    """Ring, answer, and repeat the 200 until the ACK or BYE is there (13.3.1.4)."""
    answer: tuple[bytes, HostPort] | None = None
    pause = T1
    while True:
        arrived = await (inbox.get() if answer is None else take(inbox, pause))
        if arrived is None:
            assert answer is not None
            phone.peer.send(*answer)
            pause = min(pause * 2, T2)
            continue
        heard, source = arrived
        if not heard.get("from").startswith(SHOWN):
            phone.faults.append(f"the callee heard From {heard.get('from')}")
        if heard.kind == "INVITE" and not heard.to_tag and pause == T1:
            phone.peer.send(response(heard, "180 Ringing", contact), source)
            answer = response(heard, "200 OK", contact), source
            phone.peer.send(*answer)
        elif heard.kind == "BYE":
            answer = None
            phone.peer.send(response(heard, "200 OK", contact), source)
        elif heard.kind == "ACK":
            answer = None
            pause = T2  # an INVITE that comes yet is an old one
        elif heard.kind != "INVITE":
            phone.faults.append(f"the callee heard {heard.start}")


def response(request: Heard, line: str, contact: HostPort) -> bytes:
    """Return an answer with the callee's tag."""
    copied = ("via", "record-route", "from", "call-id", "cseq")
    lines = [f"{name}: {value}" for name, value in request.fields if name in copied]
    to = request.get("to") + ("" if request.to_tag else f";tag=b-{request.get('call-id')}")
    lines += [f"To: {to}", "Contact: <sip:bob@{}:{}>".format(*contact), "Content-Length: 0"]
    return "\r\n".join([f"SIP/2.0 {line}", *lines, "", ""]).encode()


@pytest.mark.parametrize("how", ["relay", "bridge"])
@pytest_twisted.ensureDeferred
async def test_a_hundred_calls_come_about_in_foul_weather_and_leave_nothing_behind(
    start_uacproxy: Start, how: str
) -> None:
    here = (LOOPBACK, free_port())
    before_service = Relay(reactor, here, weather=FOUL, seed=1)
    async with UdpPeer() as calling, UdpPeer() as called:
        before_callee = Relay(reactor, called.address, weather=FOUL, seed=2)
        marks = {
            "seen_at": "{}:{}".format(*before_service.address),
            "callee": "{}:{}".format(*before_callee.address),
            "how": how,
        }
        service = start_uacproxy(INI, port=here[1], **marks)
        caller, callee = Phone(calling), Phone(called)

        def begin(inbox: Inbox) -> None:
            Deferred.fromCoroutine(answer_call(callee, inbox, before_callee.address))

        callee.called = begin
        turns = DeferredSemaphore(AT_ONCE)

        def run(number: int) -> Deferred[None]:
            return Deferred.fromCoroutine(Call(caller, number, before_service.address).run())

        await gatherResults([turns.run(run, n) for n in range(CALLS)], consumeErrors=True)
        assert (caller.faults, callee.faults) == ([], [])
        assert min(each.lost for each in (before_service, before_callee)) > 0
        assert min(each.doubled for each in (before_service, before_callee)) > 0
        idle = {"transaction_servers": 0, "transaction_clients": 0}
        idle |= {"dialog_active": 0} if how == "relay" else {"bridge_calls": 0, "bridge_legs": 0}
        stats = await deferToThread(service.wait_for, **idle)
        assert stats["transaction.sent_again"] > 0  # or the weather was fair
        assert stats["dialog.ended" if how == "relay" else "bridge.ended"] == CALLS
        await before_service.close()
        await before_callee.close()
