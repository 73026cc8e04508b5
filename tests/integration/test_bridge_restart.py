"""Bridged calls over real sockets: killed in the middle, and at another instance on one Redis."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import services
from tests.support.dialog_stores import VIEWS, Instance, StartInstance, instances
from tests.support.free_ports import LOOPBACK
from tests.support.identity_peers import Endpoint, first_request, heads, phones
from uacproxy.bridge.calls import SPACE
from uacproxy.ports import HostPort
from uacproxy.sip.message import Message
from uacproxy.sip.names import USER_AGENT
from uacproxy.sip.parse import parse_message
from uacproxy.sip.uri import parse_uri
from uacproxy.testing.call_end import CallEnd

INI = """\
[sip]
listen = udp:@HERE@

[store]
url = @STORE@
redis_prefix = @PREFIX@

[rule:out]
replace_from = "Trunk 7" sip:7@trunk.example
replace_to = "Desk" <sip:desk@z.example;user=phone>
bridge = yes
"""


class BridgedPhones:
    """A call between two phones, each with a dialog of its own to us."""

    def __init__(self, caller: Endpoint, callee: Endpoint, hop: HostPort) -> None:
        self.caller, self.callee, self.hop = caller, callee, hop
        agent = (USER_AGENT, b"Phone of one side")
        invite = first_request(b"INVITE", caller, callee.contact, VIEWS, agent)
        caller.send(invite, hop)
        invited = callee.hears_request(b"INVITE")
        assert heads(invited) == VIEWS.at_callee
        tag = secrets.token_hex(4).encode()
        callee.answer(invited, 180, tag=tag)
        assert heads(caller.hears_response(b"INVITE", 180)) == VIEWS.at_caller
        ok = callee.answer(invited, 200, tag=tag)
        final = caller.hears_response(b"INVITE", 200)
        callee.hears_request(b"ACK")
        self.caller_end = CallEnd.of_caller(invite, final)
        self.callee_end = CallEnd.of_callee(invited, ok, 100)
        caller.send(self.caller_end.request(b"ACK"), hop)
        self._own_words = [invite.call_id, invite.from_.tag, *agent[1:], _address(caller)]
        self._their_words = [invited.call_id, invited.from_.tag, tag, _address(callee)]

    def from_caller(self, method: bytes) -> Message:
        """Let the caller send and the callee answer; return what the callee got."""
        return self._exchange(self.caller, self.caller_end, self.callee, method)

    def from_callee(self, method: bytes) -> Message:
        """Do the same the other way."""
        return self._exchange(self.callee, self.callee_end, self.caller, method)

    def _exchange(self, one: Endpoint, end: CallEnd, other: Endpoint, method: bytes) -> Message:
        one.send(end.request(method, one.contact), self.hop)
        if method == b"BYE":
            one.hears_response(b"BYE", 200)
            heard = other.hears_request(b"BYE")
            other.answer(heard, 200)
            return heard
        heard = other.hears_request(method)
        other.answer(heard, 200)
        one.hears_response(method, 200)
        if method == b"INVITE":
            one.send(end.request(b"ACK"), self.hop)
            other.hears_request(b"ACK")
        return heard

    def numbers_rise(self) -> None:
        """Check that no peer has got a CSeq number twice, or a lower one, from a new process."""
        for phone in (self.caller, self.callee):
            last, invites = 0, set[int]()
            for heard in map(parse_message, dict.fromkeys(phone.heard)):
                if not heard.is_request:
                    continue
                number = heard.cseq.number
                if heard.method == b"ACK":
                    assert number in invites
                    continue
                assert number > last, f"{phone.name} has got {number} after {last}"
                last = number
                if heard.method == b"INVITE":
                    invites.add(number)

    def nothing_crossed(self) -> None:
        """Check that neither side has got an octet of the other's dialog."""
        self.callee.never_heard(*self._own_words)
        self.caller.never_heard(*self._their_words)


def _address(phone: Endpoint) -> bytes:
    return b"@%b:%d" % (LOOPBACK.encode(), phone.port)


@pytest.fixture
def start_instance() -> Iterator[StartInstance]:
    with instances() as start:
        yield start


@pytest.fixture
def instance(start_instance: StartInstance) -> Instance:
    """Give a service on the embedded store."""
    return start_instance("sqlite:///state.db", ini=INI)


def wait_until_written(instance: Instance, redis: int = 0, prefix: str = "") -> None:
    """Wait until the store has both records of the call."""

    def in_sqlite() -> bool:
        with closing(sqlite3.connect(f"file:{instance.folder}/state.db?mode=ro", uri=True)) as file:
            (found,) = file.execute("SELECT count(*) FROM state WHERE space = ?", (SPACE,))
        return bool(found[0] == 2)

    def in_redis() -> bool:
        with closing(socket.create_connection((LOOPBACK, redis), timeout=10.0)) as connection:
            pattern = f"{prefix}{SPACE}:*".encode()
            connection.sendall(b"*2\r\n$4\r\nKEYS\r\n$%d\r\n%b\r\n" % (len(pattern), pattern))
            return connection.recv(65536).startswith(b"*2\r\n")

    instance.service.server.wait_until(in_redis if redis else in_sqlite)


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def kept(
    request: pytest.FixtureRequest, start_instance: StartInstance, tmp_path: Path
) -> tuple[Instance, int, str]:
    """Give a service on either kind of store, the port of its Redis, and the prefix there."""
    if request.param == "sqlite":
        return start_instance("sqlite:///state.db", ini=INI), 0, ""
    redis: services.Redis = request.getfixturevalue("redis_server")
    prefix = f"{tmp_path.name}:"
    return start_instance(redis.url, prefix, ini=INI), redis.port, prefix


@pytest.mark.parametrize("hangs_up", ["caller", "callee"])
def test_a_killed_service_goes_on_with_the_call(
    kept: tuple[Instance, int, str], hangs_up: str
) -> None:
    instance = kept[0]
    with phones("one", "two") as (caller, callee):
        call = BridgedPhones(caller, callee, instance.address)
        call.from_caller(b"INVITE")
        wait_until_written(*kept)
        for _ in range(3):  # of which the store need not know
            call.from_caller(b"INFO")
            call.from_callee(b"INFO")
        instance.kill()
        instance.start()
        assert heads(call.from_callee(b"INVITE")) == VIEWS.at_caller[::-1]
        assert heads(call.from_caller(b"INVITE")) == VIEWS.at_callee
        if hangs_up == "caller":
            call.from_caller(b"BYE")
        else:
            call.from_callee(b"BYE")
        call.nothing_crossed()
        call.numbers_rise()
        stats = instance.service.stats()
    assert stats["bridge.taken_over"] == 1
    assert (stats["bridge.calls"], stats["bridge.ended"]) == (0, 1)


def test_killed_workers_go_on_with_the_call(
    start_instance: StartInstance, redis_server: services.Redis, tmp_path: Path
) -> None:
    prefix = f"{tmp_path.name}:"
    ini = INI.replace("[sip]\n", "[sip]\nworkers = 2\n")
    instance = start_instance(redis_server.url, prefix, ini=ini)
    with phones("one", "two") as (caller, callee):
        call = BridgedPhones(caller, callee, instance.address)
        wait_until_written(instance, redis_server.port, prefix)
        before = instance.service.stats()
        for number in (1, 2):
            os.kill(int(before[f"worker.{number}.pid"]), signal.SIGKILL)
        call.from_callee(b"INFO")  # it has waited for the one that has the call to be back
        assert heads(call.from_caller(b"INVITE")) == VIEWS.at_callee
        call.from_callee(b"BYE")
        call.nothing_crossed()
        call.numbers_rise()
        stats = instance.service.stats()
    assert (stats["bridge.taken_over"], stats["bridge.calls"], stats["bridge.ended"]) == (1, 0, 1)
    assert (stats["worker.1.restarts"], stats["worker.2.restarts"]) == (1, 1)


@pytest.mark.parametrize("hangs_up", ["caller", "callee"])
def test_the_first_thing_after_a_kill_may_be_the_bye(instance: Instance, hangs_up: str) -> None:
    with phones("one", "two") as (caller, callee):
        call = BridgedPhones(caller, callee, instance.address)
        wait_until_written(instance)
        instance.kill()
        instance.start()
        if hangs_up == "caller":
            call.from_caller(b"BYE")
        else:
            call.from_callee(b"BYE")
        call.nothing_crossed()
        call.numbers_rise()


def test_nothing_is_left_of_a_call_that_is_over(instance: Instance) -> None:
    with phones("one", "two") as (caller, callee):
        call = BridgedPhones(caller, callee, instance.address)
        assert instance.service.stats()["bridge.calls"] == 1
        call.from_callee(b"INFO")
        call.from_caller(b"BYE")
        call.nothing_crossed()
        stats = instance.service.stats()
    assert (stats["bridge.calls"], stats["bridge.legs"]) == (0, 0)


@pytest.mark.redis
@pytest.mark.parametrize("hangs_up", ["caller", "callee"])
def test_another_instance_on_the_same_redis_goes_on(
    redis_server: services.Redis, start_instance: StartInstance, tmp_path: Path, hangs_up: str
) -> None:
    prefix = f"{tmp_path.name}:"
    first = start_instance(redis_server.url, prefix, ini=INI)
    second = start_instance(redis_server.url, prefix, ini=INI)
    with phones("one", "two") as (caller, callee):
        call = BridgedPhones(caller, callee, first.address)
        wait_until_written(first, redis_server.port, prefix)
        first.kill()
        host, port = second.address
        here = b"%b:%d" % (host.encode(), port)
        for end in (call.caller_end, call.callee_end):  # as DNS or a balancer would lead them
            user = parse_uri(end._target).user
            end._target = b"sip:" + user + b"@" + here
        call.hop = second.address
        call.from_callee(b"INVITE")
        call.from_caller(b"INVITE")
        if hangs_up == "caller":
            call.from_caller(b"BYE")
        else:
            call.from_callee(b"BYE")
        call.nothing_crossed()
        call.numbers_rise()
        stats = second.service.stats()
    first.start()
    assert (stats["bridge.taken_over"], stats["bridge.calls"]) == (1, 0)
