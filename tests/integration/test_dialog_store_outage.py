"""Redis goes away under load and comes back: calls go on, and the store has all that live.

An outage is a Redis that is stopped and keeps its data, one that comes back empty, or one
that hangs with its connections open.
"""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.dialog_stores import VIEWS, Instance, RedisKeys, ident_in, instances
from tests.support.free_ports import LOOPBACK, free_port
from tests.support.identity_peers import Endpoint, first_request, heads
from tests.support.services import Server, accepts, needs
from uacproxy.dialog.dialog import DialogState
from uacproxy.ports import HostPort
from uacproxy.sip.message import Message
from uacproxy.sip.names import RECORD_ROUTE
from uacproxy.sip.parse import parse_message
from uacproxy.testing.call_end import CallEnd
from uacproxy.uac.dialog_variables import identities_of

pytestmark = pytest.mark.redis

LOOK = 0.2  # s, between looks of a socket's thread at whether it is to end
RESEND_AFTER = 1.0  # s, for what the kernel dropped on a busy machine
SETTLES_WITHIN = 30.0  # s
PREFIX = "farm:"


class Redis:
    """A Redis that goes away and comes back on its port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.keys = RedisKeys(self.port, PREFIX)
        self._folder = folder
        self._server = self._start()

    def _start(self) -> Server:
        argv = [needs("redis-server"), "--bind", LOOPBACK, "--port", str(self.port)]
        argv += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        log = self._folder / "redis.log"
        server = Server([*argv, "--dir", str(self._folder)], log=log)
        server.wait_until(lambda: accepts(LOOPBACK, self.port))
        return server

    def stop(self) -> None:
        self._server.stop()

    def hang(self) -> None:
        os.kill(self._server.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._server.pid, signal.SIGCONT)

    def start(self) -> None:
        self._server = self._start()

    def start_empty(self) -> None:
        for file in self._folder.glob("appendonlydir/*"):
            file.unlink()
        self._server = self._start()


OUTAGES: dict[str, tuple[Callable[[Redis], None], Callable[[Redis], None]]] = {
    "stopped": (Redis.stop, Redis.start),
    "emptied": (Redis.stop, Redis.start_empty),
    "hanging": (Redis.hang, Redis.go_on),
}


class Phone(Endpoint):
    """A phone with a thread that hears; what should not have come is in ``faults``."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.faults: list[str] = []
        self._socket.settimeout(LOOK)
        self._known: set[bytes] = set()
        self._is_open = True
        self._thread = threading.Thread(target=self._listen, name=name)
        self._thread.start()

    def close(self) -> None:
        """End the thread, then close the socket."""
        self._is_open = False
        self._thread.join()
        super().close()

    def _listen(self) -> None:
        while self._is_open:
            try:
                octets, source = self._socket.recvfrom(65535)
            except TimeoutError:
                continue
            self.heard.append(octets)
            message = parse_message(octets)
            if message.is_request:
                self._sources[message.encode()] = source
            if octets not in self._known:
                self._known.add(octets)
                self.take(message)
            elif octets in self._answers:
                self._socket.sendto(self._answers[octets], source)

    def take(self, message: Message) -> None:
        """Take a message that is no retransmission."""
        raise NotImplementedError

    def expect(self, message: Message, wanted: tuple[bytes, bytes]) -> None:
        """Note a fault unless From and To are these."""
        if heads(message) != wanted:
            self.faults.append(f"{message.start!r} has {heads(message)}")


class Callee(Phone):
    """Answers everything with 200."""

    def take(self, message: Message) -> None:
        self.expect(message, VIEWS.at_callee)
        if message.method in (b"INVITE", b"BYE", b"INFO"):
            tag = b"" if message.to.tag else secrets.token_hex(4).encode()
            self.answer(message, 200, tag=tag)
        elif message.method != b"ACK":
            self.faults.append(f"the callee heard {message.start!r}")


class Caller(Phone):
    """Calls, and hangs up at once unless the call is to be held."""

    def __init__(self, hop: HostPort, callee: Callee) -> None:
        self._hop = hop
        self._callee = callee
        self._ends: dict[bytes, CallEnd] = {}  # by Call-ID, from the 200 on
        self._invites: dict[bytes, Message] = {}
        self._open: dict[tuple[bytes, bytes, int], tuple[float, Message]] = {}  # without an answer
        self._hold: set[bytes] = set()
        self.held: dict[bytes, bytes] = {}  # ident of the dialog by Call-ID
        self.answered = 0
        self.ended = 0
        self._lock = threading.RLock()
        super().__init__("one")

    def call(self, *, hold: bool) -> None:
        """Place a call."""
        invite = first_request(b"INVITE", self, self._callee.contact, VIEWS)
        with self._lock:
            self._invites[invite.call_id] = invite
            if hold:
                self._hold.add(invite.call_id)
            self._ask(invite)

    def within_each(self, method: bytes) -> None:
        """Send a request inside each call that is held."""
        with self._lock:
            for call_id in list(self.held):
                self._ask(self._ends[call_id].request(method))

    def load(self, rate: int, seconds: float, hold_each: int) -> int:
        """Place so many calls a second, and hold each so-many-th; return how many it placed."""
        begun = time.monotonic()
        placed = 0
        while placed < rate * seconds:
            due = min(int((time.monotonic() - begun) * rate) + 1, int(rate * seconds))
            for number in range(placed, due):
                self.call(hold=number % hold_each == 0)
            placed = due
            self._resend()
            time.sleep(1 / rate)
        return placed

    def settle(self) -> None:
        """Wait until nothing is without its answer."""
        deadline = time.monotonic() + SETTLES_WITHIN
        while self._open:
            assert time.monotonic() < deadline, f"no answer to {len(self._open)} requests"
            self._resend()
            time.sleep(LOOK)

    def _resend(self) -> None:
        now = time.monotonic()
        with self._lock:
            for where, (sent_at, request) in list(self._open.items()):
                if now - sent_at > RESEND_AFTER:
                    self._open[where] = now, request
                    self.send_again(request, self._hop)

    def _ask(self, request: Message) -> None:
        self._open[_asked(request)] = time.monotonic(), request
        self.send(request, self._hop)

    def take(self, message: Message) -> None:
        if message.status == 100:
            return
        with self._lock:
            self.expect(message, VIEWS.at_caller)
            self._open.pop(_asked(message), None)
            if message.status != 200:
                self.faults.append(f"the caller heard {message.start!r}")
            elif message.cseq.method == b"INVITE":
                self._answered(message)
            elif message.cseq.method == b"BYE":
                self.ended += 1

    def _answered(self, final: Message) -> None:
        call_id = final.call_id
        end = CallEnd.of_caller(self._invites.pop(call_id), final)
        self._ends[call_id] = end
        self.answered += 1
        self.send(end.request(b"ACK"), self._hop)
        if call_id in self._hold:
            (route,) = final.values(RECORD_ROUTE)
            self.held[call_id] = ident_in(route)
        else:
            self._ask(end.request(b"BYE"))

    def hang_up_all(self) -> None:
        """End every call that is held."""
        self.within_each(b"BYE")
        self.settle()
        self.held.clear()


def _asked(message: Message) -> tuple[bytes, bytes, int]:
    """Return what a request has in common with its responses."""
    return message.call_id, message.cseq.method, message.cseq.number


class Bench:
    """A Redis, a service on it, and two phones."""

    def __init__(self, redis: Redis, instance: Instance, caller: Caller, callee: Callee) -> None:
        self.redis = redis
        self.instance = instance
        self.caller = caller
        self.callee = callee

    def kept(self) -> int:
        """Return how many of the held calls Redis has, confirmed and with their identities."""
        dialogs = self.redis.keys.dialogs(list(self.caller.held.values()))
        for dialog in dialogs.values():
            identities = identities_of(dialog.variables)
            assert identities is not None
            assert (identities.from_original, identities.to_original) == VIEWS.at_caller
            assert (identities.from_shown, identities.to_shown) == VIEWS.at_callee
        return sum(one.state is DialogState.CONFIRMED for one in dialogs.values())

    def wait_until_all_are_kept(self) -> None:
        """Wait until Redis has every call that is held."""
        wait = self.instance.service.server.wait_until
        wait(lambda: self.kept() == len(self.caller.held), SETTLES_WITHIN)

    def check_that_all_went_well(self) -> None:
        """Check that no call failed and that nobody has learned anything."""
        assert (self.caller.faults, self.callee.faults) == ([], [])
        learned = b"".join(self.callee.heard).lower()
        assert [word for word in (b"alice", b"a.example", b"bob@") if word in learned] == []
        learned = b"".join(self.caller.heard).lower()
        assert [word for word in (b"trunk", b"desk", b"z.example") if word in learned] == []


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        redis = Redis(tmp_path)
        stack.callback(redis.stop)
        start = stack.enter_context(instances())
        instance = start(f"redis://{LOOPBACK}:{redis.port}/0", PREFIX)
        callee = Callee("two")
        stack.callback(callee.close)
        caller = Caller(instance.address, callee)
        stack.callback(caller.close)
        yield Bench(redis, instance, caller, callee)


def goes_through(
    bench: Bench, outage: str, *, rate: int, before: float, seconds: float, hold: int, tries: int
) -> None:
    """Load the service before, through and after an outage, and check all there is to see.

    Args:
        bench: of the test.
        outage: of ``OUTAGES``.
        rate: calls in a second.
        before: s of load before the outage.
        seconds: s of load through it.
        hold: one in so many calls is held.
        tries: bound of the failures of Redis that are counted, which backoff keeps few.
    """
    begin, end = OUTAGES[outage]
    caller, instance = bench.caller, bench.instance
    placed = caller.load(rate, before, hold)
    caller.settle()
    bench.wait_until_all_are_kept()
    early = len(caller.held)
    assert early > 0
    begin(bench.redis)
    placed += caller.load(rate, seconds, hold)
    caller.within_each(b"INFO")
    caller.settle()
    counted = instance.service.stats()["store.store-unavailable"]
    assert 0 < counted < tries
    end(bench.redis)
    placed += caller.load(rate, before, hold)
    caller.settle()
    assert (caller.answered, len(caller.held) + caller.ended) == (placed, placed)
    assert len(caller.held) > 2 * early
    instance.service.wait_for_log("works again")
    bench.wait_until_all_are_kept()
    live = {text["did"].encode() for text in instance.service.uacctl("dialogs")}
    assert live == set(caller.held.values())
    instance.kill()
    instance.start()  # nothing is in its memory now
    caller.hang_up_all()
    bench.check_that_all_went_well()
    assert instance.service.stats()["proxy.restore_failures"] == 0


@pytest.mark.parametrize("outage", OUTAGES)
def test_calls_go_on_while_redis_is_away_and_it_has_them_afterwards(
    bench: Bench, outage: str
) -> None:
    goes_through(bench, outage, rate=20, before=1, seconds=4, hold=4, tries=25)


@pytest.mark.slow
@pytest.mark.parametrize("outage", OUTAGES)
def test_half_a_minute_without_redis_under_fifty_calls_a_second_costs_nothing(
    bench: Bench, outage: str
) -> None:
    goes_through(bench, outage, rate=50, before=3, seconds=30, hold=5, tries=60)
