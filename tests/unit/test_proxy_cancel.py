"""CANCEL in every moment of an INVITE (RFC 3261 9, 16.10; RFC 3326)."""

from __future__ import annotations

from tests.support.calls import HIDE, RELAY, Call, last_of, relaying, responses_to, script
from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.ports import Target
from uacproxy.proxy.target_set import Destination
from uacproxy.sip.message import Message

THINKING = script(
    """
class Later:
    def __await__(self):
        yield

@request_route
async def main(ctx):
    await Later()
    return Relay()
"""
)


def cancel_of(**changed: bytes) -> bytes:
    """Return the caller's CANCEL of ``invite()``."""
    return invite(method=b"CANCEL", fields=changed.get("fields", b""))


def ringing(script: str = RELAY) -> tuple[World, Message]:
    world = World(script)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(sent, 180), CALLEE)
    return world, sent


def test_a_ringing_call_is_cancelled_and_ends_with_487() -> None:
    world, sent = ringing()
    world.receive(cancel_of())
    assert responses_to(world, CALLER, b"CANCEL") == [200]
    cancel = last_of(world, CALLEE, b"CANCEL")
    assert cancel.via.raw == sent.via.raw
    assert len(cancel.fields(b"via")) == 1
    assert (cancel.request_uri, cancel.cseq.number) == (sent.request_uri, sent.cseq.number)
    assert not cancel.to.tag
    world.receive(answer(cancel, 200), CALLEE)
    world.receive(answer(sent, 487, b"bt1"), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 487]
    assert last_of(world, CALLEE, b"ACK").to.tag == b"bt1"
    world.receive(invite(method=b"ACK", to=b"<sip:bob@b.example>;tag=bt1"))
    world.let(40.0)
    assert (world.table.servers, world.table.clients) == (0, 0)


def test_a_cancel_waits_for_the_first_provisional_response() -> None:
    world = World(RELAY)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(cancel_of())
    assert "CANCEL" not in world.kinds_to(CALLEE)
    world.receive(answer(sent, 100, b""), CALLEE)
    assert world.kinds_to(CALLEE).count("CANCEL") == 1
    world.receive(answer(sent, 180), CALLEE)
    assert world.kinds_to(CALLEE).count("CANCEL") == 1


def test_a_cancelled_call_that_was_never_answered_at_all_ends_with_487() -> None:
    world = World(RELAY)
    world.receive(invite())
    world.receive(cancel_of())
    world.let(33.0)
    assert responses_to(world, CALLER, b"INVITE") == [100, 487]
    world.let(40.0)
    assert (world.table.servers, world.table.clients) == (0, 0)


def test_a_cancelled_call_whose_callee_stays_silent_ends_with_487() -> None:
    world, _ = ringing()
    world.receive(cancel_of())
    world.let(31.0)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180]
    world.let(2.0)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 487]
    world.let(40.0)
    assert (world.table.servers, world.table.clients) == (0, 0)


def test_a_cancel_that_crosses_the_200_loses() -> None:
    world, sent = ringing()
    world.receive(cancel_of())
    world.receive(answer(sent, 200), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 200]
    world.let(40.0)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 200]


def test_a_cancel_after_the_200_is_answered_and_goes_no_further() -> None:
    call = Call(World(RELAY))
    call.world.receive(cancel_of())
    assert responses_to(call.world, CALLER, b"CANCEL") == [200]
    assert "CANCEL" not in call.world.kinds_to(CALLEE)


def test_the_reason_of_a_cancel_is_carried_on() -> None:
    world, _ = ringing()
    reasons = b'Reason: SIP;cause=200;text="Call completed elsewhere"\r\nReason: Q.850;cause=16\r\n'
    world.receive(cancel_of(fields=reasons))
    assert last_of(world, CALLEE, b"CANCEL").fields(b"reason") == [
        b'SIP;cause=200;text="Call completed elsewhere"',
        b"Q.850;cause=16",
    ]


def test_a_cancel_carries_the_identities_of_the_invite_it_cancels() -> None:
    world, sent = ringing(HIDE)
    world.receive(cancel_of())
    cancel = last_of(world, CALLEE, b"CANCEL")
    assert (cancel.from_.raw, cancel.to.raw) == (sent.from_.raw, sent.to.raw)


def test_a_cancel_that_matches_no_invite_is_answered_481() -> None:
    world = World(RELAY)
    world.receive(cancel_of())
    assert world.kinds_to(CALLER) == ["481"]
    assert world.sent_to(CALLEE) == []


def test_a_cancel_inside_a_dialog_that_matches_no_invite_is_answered_481() -> None:
    call = Call(World(RELAY))
    call.from_caller(b"CANCEL")
    assert responses_to(call.world, CALLER, b"CANCEL") == [481]
    assert "CANCEL" not in call.world.kinds_to(CALLEE)


def test_a_call_cancelled_while_the_handler_thinks_is_never_placed() -> None:
    world = World(THINKING)
    world.receive(invite())
    world.receive(cancel_of())
    assert responses_to(world, CALLER, b"INVITE") == [100, 487]
    world.resume()
    assert world.sent_to(CALLEE) == []


def test_a_call_cancelled_while_its_branch_route_thinks_is_never_placed() -> None:
    world = World(
        script(
            """
class Later:
    def __await__(self):
        yield

@request_route
def main(ctx):
    ctx.on_branch("B")
    return Relay()

@branch_route("B")
async def branch(ctx):
    await Later()
"""
        )
    )
    known = Target(b"UDP", "192.0.2.2", 5060)
    world.bindings[b"bob@proxy.example"] = [Destination(b"sip:bob@10.0.0.7", target=known)]
    world.receive(invite(uri=b"sip:bob@proxy.example"))
    world.receive(cancel_of())
    assert responses_to(world, CALLER, b"INVITE") == [100, 487]
    world.resume()
    assert world.sent_to(CALLEE) == []


def test_every_branch_is_cancelled_and_the_next_targets_are_not_tried() -> None:
    world = World(relaying("sip:b1@192.0.2.2", "sip:b2@192.0.2.3"))
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(sent, 180), CALLEE)
    world.receive(cancel_of())
    world.receive(answer(sent, 486), CALLEE)
    assert world.sent_to(OTHER) == []
    assert responses_to(world, CALLER, b"INVITE")[-1] == 486


def test_both_parallel_branches_are_cancelled() -> None:
    world = World(relaying("sip:b1@192.0.2.2", "sip:b2@192.0.2.3", parallel=True))
    world.receive(invite())
    for peer in (CALLEE, OTHER):
        world.receive(answer(last_of(world, peer, b"INVITE"), 180), peer)
    world.receive(cancel_of())
    for peer in (CALLEE, OTHER):
        assert world.kinds_to(peer).count("CANCEL") == 1
        world.receive(answer(last_of(world, peer, b"INVITE"), 487), peer)
    assert responses_to(world, CALLER, b"INVITE")[-1] == 487


def test_what_still_rings_after_a_cancel_is_not_told() -> None:
    world, sent = ringing()
    world.receive(cancel_of())
    world.receive(answer(sent, 183), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180]


def test_a_second_cancel_is_answered_and_sends_nothing_more() -> None:
    world, _ = ringing()
    world.receive(cancel_of())
    world.receive(cancel_of())
    assert responses_to(world, CALLER, b"CANCEL") == [200, 200]
    assert world.kinds_to(CALLEE).count("CANCEL") == 1


def test_a_failure_route_hears_that_the_caller_has_cancelled() -> None:
    world, sent = ringing(
        script(
            """
@request_route
def main(ctx):
    ctx.on_failure("F")
    return Relay()

@failure_route("F")
def failed(ctx):
    ctx.log.info("cancelled {what}", what=ctx.is_canceled)
    return Relay("sip:192.0.2.3")
"""
        )
    )
    world.receive(cancel_of())
    world.receive(answer(sent, 487), CALLEE)
    assert "cancelled True" in world.log.lines
    assert world.sent_to(OTHER) == []
    assert responses_to(world, CALLER, b"INVITE")[-1] == 487


def test_a_call_cancelled_while_its_failure_route_thinks_ends_with_487() -> None:
    world = World(
        script(
            """
class Later:
    def __await__(self):
        yield

@request_route
def main(ctx):
    ctx.on_failure("F")
    return Relay()

@failure_route("F")
async def failed(ctx):
    await Later()
    return Relay("sip:192.0.2.3")
"""
        )
    )
    world.receive(invite())
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 486), CALLEE)
    world.receive(cancel_of())
    world.resume()
    assert responses_to(world, CALLER, b"INVITE") == [100, 487]
    assert world.sent_to(OTHER) == []


def test_a_re_invite_can_be_cancelled() -> None:
    call = Call(World(HIDE))
    sent = call.from_caller(b"INVITE", branch=b"z9hG4bKre")
    call.world.receive(answer(sent, 180), CALLEE)
    call.world.receive(
        invite(
            method=b"CANCEL",
            branch=b"z9hG4bKre",
            cseq=2,
            from_=call.final.from_.raw,
            to=call.final.to.raw,
        )
    )
    cancel = last_of(call.world, CALLEE, b"CANCEL")
    assert (cancel.from_.raw, cancel.to.raw) == (sent.from_.raw, sent.to.raw)


def test_an_answer_to_a_cancel_changes_nothing() -> None:
    world, sent = ringing()
    world.receive(cancel_of())
    world.receive(answer(last_of(world, CALLEE, b"CANCEL"), 481), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180]
    world.receive(answer(sent, 200), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 200]
