"""Answers that come late, or again, show each side what it wrote (RFC 6026 7.2, RFC 3261 13.3.1.4).

A UAS sends its 2xx again until the ACK comes, for 64*T1 at most; the proxy passes each on
as long as the transaction is in Accepted. What comes later is dropped, and so tells nothing.
"""

from __future__ import annotations

import pytest

from tests.support.calls import ALICE, BOB, HIDE, Call, last_of
from tests.support.world import CALLEE, CALLER, World, answer, invite
from uacproxy.ports import HostPort
from uacproxy.sip.message import Message

TRUNK = b'"Trunk 7" <sip:7@trunk.example>'
OUTSIDE = b"<sip:b@z.cc>"

# when a 2xx goes out again (s): the interval doubles from T1 to T2
AGAIN_AT = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 20.0, 23.5, 27.5, 31.5]


def heads(message: Message) -> tuple[bytes, bytes]:
    return message.from_.head, message.to.head


def successes(world: World, peer: HostPort) -> list[Message]:
    return [one for one in world.sent_to(peer) if one.status == 200]


@pytest.mark.parametrize("later", AGAIN_AT)
def test_a_200_that_comes_again_is_restored_however_late(later: float) -> None:
    world = World(HIDE)
    world.receive(invite())
    ok = answer(last_of(world, CALLEE, b"INVITE"), 200)
    world.receive(ok, CALLEE)
    world.let(later)
    world.receive(ok, CALLEE)
    first, again = successes(world, CALLER)
    assert heads(again) == heads(first) == (ALICE, BOB)
    assert again.encode() == first.encode()


def test_every_one_of_a_series_of_200s_is_restored() -> None:
    world = World(HIDE)
    world.receive(invite())
    ok = answer(last_of(world, CALLEE, b"INVITE"), 200)
    for at in [0.0, *AGAIN_AT]:
        world.let(at - world.clock.seconds())
        world.receive(ok, CALLEE)
    assert [heads(one) for one in successes(world, CALLER)] == [(ALICE, BOB)] * 12
    for _, peer, _, octets in world.sent:
        if peer == CALLEE:
            assert b"Alice" not in octets and b"alice@a.example" not in octets


def test_a_200_after_its_time_reaches_nobody() -> None:
    world = World(HIDE)
    world.receive(invite())
    ok = answer(last_of(world, CALLEE, b"INVITE"), 200)
    world.receive(ok, CALLEE)
    world.let(40.0)
    sent = len(world.sent)
    world.receive(ok, CALLEE)
    assert len(world.sent) == sent
    assert world.counters.stray_responses == 1


def test_a_200_of_another_callee_20_s_after_the_first_is_restored() -> None:
    world = World(HIDE)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(sent, 200, b"one"), CALLEE)
    world.let(20.0)
    world.receive(answer(sent, 200, b"two"), CALLEE)
    late = world.last_to(CALLER)
    assert (late.status, late.to.tag) == (200, b"two")
    assert heads(late) == (ALICE, BOB)


def test_a_200_to_a_call_that_rang_for_minutes_is_restored() -> None:
    world = World(HIDE)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    for _ in range(5):
        world.receive(answer(sent, 180), CALLEE)
        world.let(170.0)
    world.receive(answer(sent, 200), CALLEE)
    final = world.last_to(CALLER)
    assert (final.status, *heads(final)) == (200, ALICE, BOB)


@pytest.mark.parametrize("later", [0.0, 20.0])
def test_a_200_that_crossed_a_cancel_is_restored(later: float) -> None:
    world = World(HIDE)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(sent, 180), CALLEE)
    world.receive(invite(method=b"CANCEL"))
    cancel = last_of(world, CALLEE, b"CANCEL")
    assert heads(cancel) == (TRUNK, OUTSIDE)
    world.receive(answer(cancel, 200), CALLEE)
    world.let(later)
    world.receive(answer(sent, 200), CALLEE)
    final = world.last_to(CALLER)
    assert (final.status, final.cseq.method) == (200, b"INVITE")
    assert heads(final) == (ALICE, BOB)


def test_a_200_to_a_re_invite_of_either_side_is_restored_20_s_later_too() -> None:
    call = Call(World(HIDE))
    world = call.world
    call.from_caller(b"ACK", 1)
    there = answer(call.from_caller(b"INVITE"), 200)
    here = answer(call.from_callee(b"INVITE"), 200)
    for _ in range(2):
        world.receive(there, CALLEE)
        world.receive(here, CALLER)
        assert heads(world.last_to(CALLER)) == (ALICE, BOB)
        assert heads(world.last_to(CALLEE)) == (OUTSIDE, TRUNK)
        world.let(20.0)


def test_a_bye_answered_late_or_again_is_restored() -> None:
    call = Call(World(HIDE))
    world = call.world
    bye = call.from_caller(b"BYE")
    world.let(20.0)
    world.receive(answer(bye, 200), CALLEE)
    assert heads(world.last_to(CALLER)) == (ALICE, BOB)
    assert [heads(one) for one in world.sent_to(CALLEE) if one.method == b"BYE"] == (
        [(TRUNK, OUTSIDE)] * world.kinds_to(CALLEE).count("BYE")
    )
    assert world.kinds_to(CALLEE).count("BYE") > 5
