"""Forks and the one answer they make (RFC 3261 16.5 to 16.7; RFC 5393 5; RFC 3326)."""

from __future__ import annotations

import pytest

from tests.support.calls import RELAY, Provider, last_of, relaying, responses_to, script
from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.ports import HostPort, Target
from uacproxy.proxy.target_set import Destination
from uacproxy.sip.message import Message

THIRD: HostPort = ("192.0.2.4", 5060)
BOTH = relaying("sip:b1@192.0.2.2", "sip:b2@192.0.2.3", parallel=True)
ONE_BY_ONE = relaying("sip:b1@192.0.2.2", "sip:b2@192.0.2.3")
AOR = b"bob@proxy.example"


def invited(world: World, peer: HostPort) -> Message:
    return last_of(world, peer, b"INVITE")


def forked() -> World:
    world = World(BOTH)
    world.receive(invite())
    return world


def final_of(world: World) -> Message:
    return world.last_to(CALLER)


def cancelled(world: World, peer: HostPort) -> None:
    """Let a peer answer the CANCEL it got, and the INVITE with 487."""
    world.receive(answer(last_of(world, peer, b"CANCEL"), 200), peer)
    world.receive(answer(invited(world, peer), 487, b"t487"), peer)


def test_parallel_targets_ring_together() -> None:
    world = forked()
    assert (world.kinds_to(CALLEE), world.kinds_to(OTHER)) == (["INVITE"], ["INVITE"])
    assert invited(world, CALLEE).request_uri == b"sip:b1@192.0.2.2"
    assert invited(world, OTHER).request_uri == b"sip:b2@192.0.2.3"
    assert invited(world, CALLEE).via.branch != invited(world, OTHER).via.branch


def test_each_branch_passes_its_own_ringing_up() -> None:
    world = forked()
    world.receive(answer(invited(world, CALLEE), 180, b"one"), CALLEE)
    world.receive(answer(invited(world, OTHER), 183, b"two"), OTHER)
    tags = [one.to.tag for one in world.sent_to(CALLER) if one.status > 100]
    assert tags == [b"one", b"two"]


def test_a_2xx_ends_the_ringing_of_the_others_which_hear_why() -> None:
    world = forked()
    world.receive(answer(invited(world, CALLEE), 180), CALLEE)
    world.receive(answer(invited(world, OTHER), 200), OTHER)
    cancel = last_of(world, CALLEE, b"CANCEL")
    assert cancel.get(b"reason") == b'SIP;cause=200;text="Call completed elsewhere"'
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 200]
    cancelled(world, CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 200]
    assert last_of(world, CALLEE, b"ACK").to.tag == b"t487"


def test_every_2xx_goes_up_with_the_tag_of_its_own() -> None:
    world = forked()
    world.receive(answer(invited(world, CALLEE), 200, b"one"), CALLEE)
    world.receive(answer(invited(world, OTHER), 200, b"two"), OTHER)
    finals = [one for one in world.sent_to(CALLER) if one.status == 200]
    assert [one.to.tag for one in finals] == [b"one", b"two"]
    world.let(40.0)
    assert (world.table.servers, world.table.clients) == (0, 0)


def test_a_2xx_wins_over_a_6xx_that_came_before_it() -> None:
    world = forked()
    world.receive(answer(invited(world, OTHER), 180), OTHER)
    world.receive(answer(invited(world, CALLEE), 603), CALLEE)
    assert last_of(world, OTHER, b"CANCEL").cseq.number == 1
    world.receive(answer(invited(world, OTHER), 200), OTHER)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 200]


def test_a_6xx_cancels_the_others_and_goes_up_when_they_are_over() -> None:
    world = forked()
    world.receive(answer(invited(world, OTHER), 180), OTHER)
    world.receive(answer(invited(world, CALLEE), 603), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180]
    cancelled(world, OTHER)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 603]


def test_a_6xx_keeps_further_targets_from_being_tried() -> None:
    world = World(ONE_BY_ONE)
    world.receive(invite())
    world.receive(answer(invited(world, CALLEE), 600), CALLEE)
    assert world.sent_to(OTHER) == []
    assert final_of(world).status == 600


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [
        (404, 486, 404),  # of one class the first that came
        (486, 302, 302),  # the lowest class
        (500, 486, 486),
        (486, 603, 603),  # a 6xx is the last word
        (486, 401, 401),  # these say what the caller could do
        (480, 407, 407),
        (404, 415, 415),
        (404, 420, 420),
        (404, 484, 484),
        (503, 502, 502),  # 503 is about that hop alone
        (502, 503, 502),
    ],
)
def test_of_two_failures_the_better_goes_up(first: int, second: int, best: int) -> None:
    world = forked()
    world.receive(answer(invited(world, CALLEE), first), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100]
    world.receive(answer(invited(world, OTHER), second), OTHER)
    assert responses_to(world, CALLER, b"INVITE") == [100, best]


def test_a_503_of_the_only_hop_becomes_a_500_of_ours() -> None:
    world = World(RELAY)
    world.receive(invite())
    world.receive(answer(invited(world, CALLEE), 503, fields=b"Retry-After: 600\r\n"), CALLEE)
    assert final_of(world).status == 500
    assert not final_of(world).has(b"retry-after")
    assert final_of(world).to.tag not in (b"", b"bt1")


def test_the_challenges_of_all_branches_are_gathered_in_the_one_answer() -> None:
    world = forked()
    proxy = Provider(world, b"one.example", 407)
    server = Provider(world, b"two.example", 401)
    world.receive(proxy.challenge(invited(world, CALLEE)), CALLEE)
    world.receive(server.challenge(invited(world, OTHER)), OTHER)
    final = final_of(world)
    assert final.status == 407
    [theirs], [others] = final.fields(b"proxy-authenticate"), final.fields(b"www-authenticate")
    assert b"one.example" in theirs and b"two.example" in others


def test_a_challenge_is_not_mixed_into_another_failure() -> None:
    world = forked()
    world.receive(Provider(world).challenge(invited(world, CALLEE)), CALLEE)
    world.receive(answer(invited(world, OTHER), 603), OTHER)
    assert final_of(world).status == 603
    assert not final_of(world).has(b"proxy-authenticate")


def test_serial_targets_are_tried_one_after_the_other() -> None:
    world = World(ONE_BY_ONE)
    world.receive(invite())
    assert world.sent_to(OTHER) == []
    world.receive(answer(invited(world, CALLEE), 486), CALLEE)
    assert invited(world, OTHER).request_uri == b"sip:b2@192.0.2.3"
    world.receive(answer(invited(world, OTHER), 200), OTHER)
    assert responses_to(world, CALLER, b"INVITE") == [100, 200]


def test_the_best_of_all_targets_tried_goes_up() -> None:
    world = World(ONE_BY_ONE)
    world.receive(invite())
    world.receive(answer(invited(world, CALLEE), 486), CALLEE)
    world.receive(answer(invited(world, OTHER), 500), OTHER)
    assert final_of(world).status == 486


def test_bindings_ring_by_preference_equals_together() -> None:
    world = World(RELAY)
    world.bindings[AOR] = [
        Destination(b"sip:b1@192.0.2.2", q=1.0),
        Destination(b"sip:b2@192.0.2.3", q=1.0),
        Destination(b"sip:b3@192.0.2.4", q=0.5),
    ]
    world.receive(invite(uri=b"sip:bob@proxy.example"))
    assert world.kinds_to(CALLEE) == world.kinds_to(OTHER) == ["INVITE"]
    assert world.kinds_to(THIRD) == []
    world.receive(answer(invited(world, CALLEE), 486), CALLEE)
    assert world.kinds_to(THIRD) == []
    world.receive(answer(invited(world, OTHER), 480), OTHER)
    assert invited(world, THIRD).request_uri == b"sip:b3@192.0.2.4"


def test_a_binding_behind_nat_is_reached_where_it_registered_from() -> None:
    world = World(RELAY)
    known = Target(b"UDP", "192.0.2.4", 40000)
    world.bindings[AOR] = [Destination(b"sip:bob@10.0.0.7", target=known)]
    world.receive(invite(uri=b"sip:bob@proxy.example"))
    assert invited(world, ("192.0.2.4", 40000)).request_uri == b"sip:bob@10.0.0.7"


def test_a_binding_with_a_path_is_reached_along_it() -> None:
    world = World(RELAY)
    path = [b"<sip:192.0.2.3;lr>", b"<sip:far.example;lr>"]
    world.bindings[AOR] = [Destination(b"sip:bob@10.0.0.7", path=path)]
    world.receive(invite(uri=b"sip:bob@proxy.example"))
    assert invited(world, OTHER).fields(b"route") == path


def test_a_local_user_without_bindings_is_not_found() -> None:
    world = World(RELAY)
    world.receive(invite(uri=b"sip:bob@proxy.example"))
    assert world.kinds_to(CALLER) == ["404"]


def test_a_maddr_chosen_by_the_sender_takes_a_request_for_us_nowhere() -> None:
    world = World(RELAY)
    world.bindings[AOR] = [Destination(b"sip:b1@192.0.2.2")]
    world.names[b"proxy.example"] = [OTHER]
    world.receive(invite(uri=b"sip:bob@proxy.example;maddr=192.0.2.3"))
    assert world.sent_to(OTHER) == []
    assert world.kinds_to(CALLER)[-1] == "404"


def test_a_route_chosen_by_the_sender_takes_a_request_for_us_nowhere() -> None:
    world = World(RELAY)
    world.bindings[AOR] = [Destination(b"sip:b1@192.0.2.2")]
    world.receive(invite(uri=b"sip:bob@proxy.example", fields=b"Route: <sip:192.0.2.3;lr>\r\n"))
    assert world.sent_to(OTHER) == []
    assert world.kinds_to(CALLER)[-1] == "404"


def test_a_first_target_that_cannot_be_reached_does_not_answer_for_the_second() -> None:
    world = World(relaying("sip:b1@nowhere.example", "sip:b2@192.0.2.3", parallel=True))
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["100"]
    world.receive(answer(invited(world, OTHER), 200), OTHER)
    assert responses_to(world, CALLER, b"INVITE") == [100, 200]


def test_targets_that_cannot_be_reached_are_passed_over() -> None:
    nowhere = [f"sip:b{number}@nowhere.example" for number in range(3)]
    world = World(relaying(*nowhere, "sip:b2@192.0.2.3"))
    world.receive(invite())
    assert world.kinds_to(OTHER) == ["INVITE"]


def test_nobody_to_be_reached_is_a_500_of_ours() -> None:
    world = World(relaying("sip:b1@nowhere.example", "sip:b2@nowhere.example", parallel=True))
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]
    assert world.last_to(CALLER).to.tag
    assert world.counters.unroutable == 2


def test_any_number_of_unreachable_bindings_is_gone_through() -> None:
    world = World(RELAY)
    world.bindings[AOR] = [
        Destination(b"sip:b%d@nowhere.example" % number, q=1.0 - number / 1000)
        for number in range(1000)
    ]
    world.receive(invite(uri=b"sip:bob@proxy.example"))
    assert world.kinds_to(CALLER) == ["500"]


def test_a_failure_route_that_never_gives_up_is_stopped() -> None:
    world = World(
        script(
            """
@request_route
def main(ctx):
    ctx.on_failure("AGAIN")
    return Relay("sip:b1@nowhere.example")

@failure_route("AGAIN")
def again(ctx):
    ctx.on_failure("AGAIN")
    return Relay("sip:b1@nowhere.example")
"""
        )
    )
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]
    assert any("targets" in line for line in world.log.lines)


def test_all_branches_of_other_methods_run_to_their_end_and_the_first_2xx_counts() -> None:
    world = World(BOTH)
    world.receive(invite(method=b"MESSAGE"))
    world.receive(answer(last_of(world, CALLEE, b"MESSAGE"), 200, b"one"), CALLEE)
    world.receive(answer(last_of(world, OTHER, b"MESSAGE"), 200, b"two"), OTHER)
    assert [one.to.tag for one in world.sent_to(CALLER)] == [b"one"]
    assert world.kinds_to(OTHER) == ["MESSAGE"]


def test_a_request_without_breadth_left_is_not_forked() -> None:
    world = World(BOTH)
    world.receive(invite(fields=b"Max-Breadth: 1\r\n"))
    assert world.kinds_to(CALLER) == ["440"]
    assert world.sent_to(CALLEE) == world.sent_to(OTHER) == []


def test_the_breadth_is_shared_out_among_the_branches() -> None:
    world = World(BOTH)
    world.receive(invite(fields=b"Max-Breadth: 5\r\n"))
    shares = [invited(world, peer).get(b"max-breadth") for peer in (CALLEE, OTHER)]
    assert shares == [b"3", b"2"]


def test_a_fork_without_a_breadth_has_the_usual_one() -> None:
    world = forked()
    shares = [invited(world, peer).get(b"max-breadth") for peer in (CALLEE, OTHER)]
    assert shares == [b"30", b"30"]


def test_one_target_alone_passes_the_breadth_on() -> None:
    world = World(RELAY)
    world.receive(invite(fields=b"Max-Breadth: 1\r\n"))
    assert invited(world, CALLEE).get(b"max-breadth") == b"1"


def test_the_answers_of_ours_name_the_service() -> None:
    world = World(RELAY)
    world.receive(invite(uri=b"sip:bob@proxy.example"))
    assert world.last_to(CALLER).get(b"server") == b"uacproxy"


THINKING = """
from uacproxy.routing import Relay, branch_failure_route, branch_route, request_route

class Thought:
    def __await__(self):
        yield self

@request_route
def main(ctx):
    ctx.on_branch_failure("LATER")
    if ctx.request.get("X-Branch"):
        ctx.on_branch("FIRST")
    return Relay("sip:b1@192.0.2.2", "sip:b2@192.0.2.3", parallel=True)

@branch_route("FIRST")
async def first(ctx):
    if ctx["$rd"] == "192.0.2.2":
        await Thought()
        ctx.log.info("of {call} to {uri}", call=ctx.received.call_id, uri=ctx["$ou"])

@branch_failure_route("LATER")
async def later(ctx):
    await Thought()
    ctx.log.info("of {call} to {uri}", call=ctx.received.call_id, uri=ctx["$ou"])
"""


@pytest.mark.parametrize("fields", [b"", b"X-Branch: 1\r\n"])
def test_a_route_still_thinking_when_another_branch_is_answered_reads_the_whole_request(
    fields: bytes,
) -> None:
    world = World(THINKING)
    world.receive(invite(fields=fields))
    if not fields:
        world.receive(answer(invited(world, CALLEE), 486), CALLEE)
    world.receive(answer(invited(world, OTHER), 200), OTHER)
    world.resume()
    assert world.counters.script_errors == 0
    assert world.log.lines == ["of call-1@a.example to sip:bob@192.0.2.2"]
    assert responses_to(world, CALLER, b"INVITE") == [100, 200]
