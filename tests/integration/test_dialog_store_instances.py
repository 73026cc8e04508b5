"""Two services on one Redis: a call set up through one is changed and ended through the other.

They share no address, so a phone that goes over to the other writes that one's into its
Route: what follows the address, the name of the dialog among it, stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.support import services
from tests.support.dialog_stores import (
    VIEWS,
    Instance,
    RedisKeys,
    ident_in,
    instances,
)
from tests.support.identity_peers import ANY_SIDE, Call, Endpoint, heads, phones
from uacproxy.dialog.dialog import DialogState
from uacproxy.sip.message import Message
from uacproxy.testing.call_end import CallEnd
from uacproxy.uac.restore import ANONYMOUS

CONFIRMED = DialogState.CONFIRMED


class Farm:
    """Two services on one Redis, and what their counters have shown so far."""

    def __init__(self, one: Instance, other: Instance, redis: RedisKeys) -> None:
        self.one = one
        self.other = other
        self._redis = redis
        self._seen: dict[str, float] = {}

    def set_up(self, caller: Endpoint, callee: Endpoint) -> Call:
        """Place a call through one instance and wait until the store has it."""
        call = Call(caller, callee, self.one.address, VIEWS)
        call.ack(self.one.address)
        self.one.wait_until_kept(ident_in(call.route), self._redis.get, state=CONFIRMED)
        return call

    def counted(self, *names: str) -> list[float]:
        """Return by how much counters of the other instance rose since the last look."""
        before, self._seen = self._seen, self.other.service.stats()
        return [self._seen[name] - before.get(name, 0) for name in names]


@pytest.fixture(scope="module")
def farm_of_all(
    redis_server: services.Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Farm]:
    prefix = f"{tmp_path_factory.mktemp('farm').name}:"
    with instances() as start:
        one, other = (start(redis_server.url, prefix) for _ in range(2))
        yield Farm(one, other, RedisKeys(redis_server.port, prefix))


@pytest.fixture
def farm(farm_of_all: Farm) -> Farm:
    farm_of_all.counted()
    return farm_of_all


def moved(end: CallEnd, peer: Message, route: bytes) -> CallEnd:
    """Return one end of a call with another route; ``peer`` has the Contact it knows."""
    made = CallEnd(end.local, end.remote, peer, [route])
    made.cseq = end.cseq
    return made


def move(call: Call, to: Instance, route: bytes) -> None:
    """Let both ends of a call go through ``to`` from here on, by ``route`` at its address."""
    here = re.sub(rb"(?<=<sip:)[^;>]+", b"%b:%d" % (to.address[0].encode(), to.address[1]), route)
    call.caller_end = moved(call.caller_end, call.final, here)
    call.callee_end = moved(call.callee_end, call.invited, here)


@pytest.mark.parametrize("hangs_up", ANY_SIDE)
@pytest.mark.parametrize("changes", ANY_SIDE)
def test_the_other_instance_restores_both_sides(farm: Farm, changes: str, hangs_up: str) -> None:
    with phones("one", "two") as (caller, callee):
        call = farm.set_up(caller, callee)
        move(call, farm.other, call.route)
        change = call.from_caller if changes == "caller" else call.from_callee
        change(b"INVITE", farm.other.address)
        ANY_SIDE[hangs_up](call, farm.other.address)
        VIEWS.nobody_knows_more(caller, callee)
        callee.never_heard(b"Alice")
        caller.never_heard(b"Trunk", b"Desk")
    of_dialogs, of_the_proxy = "dialog.taken_over", "proxy.restore_failures"
    assert farm.counted(of_dialogs, "dialog.ended", "proxy.restored", of_the_proxy) == [1, 1, 3, 0]


def test_a_call_may_go_from_one_instance_to_the_other_and_back(farm: Farm) -> None:
    with phones("one", "two") as (caller, callee):
        call = farm.set_up(caller, callee)
        for instance in (farm.other, farm.one, farm.other):
            move(call, instance, call.route)
            call.from_caller(b"INVITE", instance.address)
            call.from_callee(b"INVITE", instance.address)
        call.from_callee(b"BYE", farm.other.address)
        VIEWS.nobody_knows_more(caller, callee)


def test_an_instance_goes_on_with_what_is_left_when_the_other_is_killed(farm: Farm) -> None:
    with phones("one", "two") as (caller, callee):
        call = farm.set_up(caller, callee)
        farm.one.kill()
        move(call, farm.other, call.route)
        call.from_callee(b"BYE", farm.other.address)
        VIEWS.nobody_knows_more(caller, callee)
        farm.one.start()


DID = rb";did=[^;>]*"

FORGED: dict[str, Callable[[bytes, Call], bytes]] = {
    "unknown": lambda route, _: re.sub(rb";did=[0-9a-f]+", b";did=0123456789abcdef", route),
    "another call's": lambda route, other: re.sub(
        DID, b";did=" + ident_in(other.route) + b"-ft", route
    ),
    "truncated": lambda route, _: re.sub(rb"(;did=[0-9a-f]{8})[0-9a-f]*", rb"\1", route),
    "emptied": lambda route, _: re.sub(rb";did=[0-9a-f]+", b";did=", route),
    "a glob": lambda route, _: re.sub(rb";did=[0-9a-f]+", b";did=*", route),
    "line ends": lambda route, _: re.sub(rb";did=[0-9a-f]+", b";did=%0D%0ADEL%0D%0A", route),
    "another kind's": lambda route, _: re.sub(rb";did=[0-9a-f]+", b";did=restore_key", route),
}


@pytest.mark.parametrize("sender", ["caller", "callee"])
@pytest.mark.parametrize("forgery", FORGED)
def test_a_forged_dialog_makes_nobody_known_and_harms_no_other_call(
    farm: Farm, forgery: str, sender: str
) -> None:
    with phones("one", "two") as (caller, callee):
        call, other = farm.set_up(caller, callee), farm.set_up(caller, callee)
        move(call, farm.other, FORGED[forgery](call.route, other))
        if sender == "caller":
            caller.send(call.caller_end.request(b"BYE"), farm.other.address)
            assert heads(callee.hears_request(b"BYE")) == (ANONYMOUS, ANONYMOUS)
        else:
            callee.send(call.callee_end.request(b"BYE"), farm.other.address)
            assert heads(caller.hears_request(b"BYE")) == (ANONYMOUS, VIEWS.from_shown)
        callee.never_heard(b"Alice", b"alice@a.example")
        caller.never_heard(b"desk@z.example")
        assert farm.counted("proxy.restore_failures", "dialog.taken_over") == [1, 0]
        move(other, farm.other, other.route)
        other.from_callee(b"BYE", farm.other.address)


@pytest.mark.parametrize("ftag", ["absent", "forged", "the other's"])
@pytest.mark.parametrize("sender", ["caller", "callee"])
def test_who_pretends_to_be_the_other_side_makes_nobody_known(
    farm: Farm, sender: str, ftag: str
) -> None:
    with phones("one", "two") as (caller, callee):
        call = farm.set_up(caller, callee)
        tag = {"absent": b"", "forged": b";ftag=forged"}.get(ftag, b";ftag=" + call.final.to.tag)
        move(call, farm.other, re.sub(rb";ftag=[^;>]*", tag, call.route))
        if sender == "caller":
            caller.send(call.caller_end.request(b"BYE"), farm.other.address)
            callee.hears_request(b"BYE")
        else:
            callee.send(call.callee_end.request(b"BYE"), farm.other.address)
            caller.hears_request(b"BYE")
        callee.never_heard(b"Alice", b"alice@a.example")
