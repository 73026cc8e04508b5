"""One share of the shards each: starts, deaths, cuts, pauses, and handing over.

``Farm.run`` asserts on every step that no shard has two owners.
"""

from __future__ import annotations

from tests.support.shard_farm import Farm
from uacproxy.uac.shard_lease import LeaseState


def test_one_alone_has_all_shards_at_once() -> None:
    farm = Farm()
    one = farm.start("one")
    farm.run(1.0)
    assert len(one.held) == farm.count
    assert one.shards.held == farm.count


def test_each_shard_has_one_owner_where_two_start_together() -> None:
    farm = Farm(count=64)
    one, two = farm.start("one"), farm.start("two")
    farm.run(5.0)
    assert farm.orphans == 0
    assert 16 < len(one.held) < 48
    assert one.shards.owner_of(min(two.held)) == "two"


def test_one_that_comes_later_gets_its_share_after_a_lease_time_and_not_before() -> None:
    farm = Farm()
    one = farm.start("one")
    farm.run(30.0)
    two = farm.start("two")
    farm.run(9.0)
    assert not two.held
    farm.run(6.0)
    assert two.held and farm.orphans == 0
    assert sorted(one.lost) == sorted(two.held)


def test_a_dead_ones_shards_have_an_owner_within_a_lease_time_and_a_little() -> None:
    farm = Farm(count=64)
    one, two, three = (farm.start(name) for name in ("one", "two", "three"))
    farm.run(30.0)
    kept = one.held
    three.kill()
    farm.run(11.0)
    assert farm.orphans == 0
    assert kept <= one.held and len(one.held | two.held) == 64


def test_nothing_moves_between_those_that_live_when_one_dies() -> None:
    farm = Farm(count=64)
    one, two, three = (farm.start(name) for name in ("one", "two", "three"))
    farm.run(30.0)
    lost = len(one.lost), len(two.lost)
    three.kill()
    farm.run(30.0)
    assert (len(one.lost), len(two.lost)) == lost


def test_one_that_comes_back_gets_what_it_had() -> None:
    farm = Farm(count=64)
    farm.start("one")
    two = farm.start("two")
    farm.run(30.0)
    had = two.held
    two.kill()
    farm.run(15.0)
    again = farm.start("two")
    farm.run(15.0)
    assert again.held == had


def test_one_that_falls_over_again_and_again_moves_no_shards() -> None:
    farm = Farm()
    one = farm.start("one")
    farm.run(30.0)
    for _ in range(5):
        other = farm.start("other")
        farm.run(6.0)
        other.kill()
        farm.run(2.0)
    assert len(one.held) == farm.count and not one.lost


def test_a_shard_is_given_back_when_what_was_begun_on_it_has_ended() -> None:
    farm = Farm()
    one = farm.start("one", work=2.0)
    farm.run(30.0)
    two = farm.start("two")
    while not any(one.shards.state_of(n) is LeaseState.CLOSING for n in range(farm.count)):
        farm.run(0.25)
    closing = {n for n in range(farm.count) if one.shards.state_of(n) is LeaseState.CLOSING}
    assert not two.held
    assert all(one.shards.holds(n) and not one.shards.may_begin(n) for n in closing)
    farm.run(3.5)
    assert two.held == closing


def test_work_that_does_not_end_holds_a_shard_up_for_half_a_lease_time() -> None:
    farm = Farm()
    farm.start("one", work=1000.0)
    farm.run(30.0)
    two = farm.start("two")
    farm.run(20.0)
    assert two.held and farm.orphans == 0


def test_one_that_cannot_hear_the_keeper_stops_before_another_may_begin() -> None:
    farm = Farm()
    one, two = farm.start("one"), farm.start("two")
    farm.run(30.0)
    one.line.loses_questions = True
    farm.run(9.5)
    assert not one.held and one.shards.is_cut_off
    assert one.working == set()
    farm.run(4.0)
    assert len(two.held) == farm.count
    one.line.loses_questions = False
    farm.run(25.0)
    assert one.held and farm.orphans == 0


def test_one_whose_answers_are_lost_takes_nothing_it_does_not_know_of() -> None:
    farm = Farm()
    one, two = farm.start("one"), farm.start("two")
    farm.run(30.0)
    one.line.loses_answers = True
    farm.run(60.0)
    assert not one.held
    one.line.loses_answers = False
    farm.run(20.0)
    assert one.held and two.held and farm.orphans == 0


def test_while_the_keeper_is_away_each_keeps_what_it_has_for_a_lease_time() -> None:
    farm = Farm()
    one, two = farm.start("one"), farm.start("two")
    farm.run(30.0)
    had = one.held
    farm.keeper.is_away = True
    farm.run(5.0)
    assert one.held == had and not one.lost[len(two.acquired) :]
    farm.keeper.is_away = False
    farm.run(5.0)
    assert one.held == had and farm.orphans == 0
    farm.keeper.is_away = True
    farm.run(10.0)
    assert farm.orphans == farm.count
    farm.keeper.is_away = False
    farm.run(3.0)
    assert farm.orphans == 0


def test_a_keeper_that_forgets_everything_costs_nobody_a_shard() -> None:
    farm = Farm()
    one, two = farm.start("one"), farm.start("two")
    farm.run(30.0)
    had, lost = one.held, len(one.lost)
    farm.keeper.forget()
    farm.run(40.0)
    assert (one.held, len(one.lost)) == (had, lost)
    assert farm.orphans == 0 and two.held


def test_a_keeper_that_forgets_gives_no_second_lease_on_a_shard_still_worked_on() -> None:
    farm = Farm()
    one = farm.start("one")
    farm.run(30.0)
    one.line.loses_questions = True
    farm.keeper.forget()
    two = farm.start("two")
    farm.run(9.5)
    assert not two.held
    farm.run(10.0)
    assert len(two.held) == farm.count


def test_a_process_that_was_stopped_longer_than_its_lease_wakes_without_shards() -> None:
    farm = Farm()
    one, two = farm.start("one"), farm.start("two")
    farm.run(30.0)
    one.line.is_asleep = True
    farm.run(30.0)
    assert not one.held and len(two.held) == farm.count
    assert one.working  # it has had no moment to notice
    one.line.wake()
    one.shards.beat()
    assert one.working == set()
    farm.run(30.0)
    assert one.held and farm.orphans == 0


def test_the_token_of_a_shard_rises_from_owner_to_owner_even_if_the_keeper_forgets() -> None:
    farm = Farm(count=1)
    tokens = []
    for _ in range(4):
        one = farm.start("one")
        farm.run(25.0)
        tokens.append(one.shards.token_of(0))
        onlooker = farm.start("onlooker")
        onlooker.shards.drain()
        farm.run(5.0)
        one.kill()
        farm.keeper.forget()
        farm.run(1.0)
    assert tokens == sorted(set(tokens))


def test_one_that_is_drained_gives_all_back_and_stays_there() -> None:
    farm = Farm()
    one, two = farm.start("one"), farm.start("two")
    farm.run(30.0)
    assert one.shards.has_heirs
    one.shards.drain()
    farm.run(2.0)
    assert not one.held and len(two.held) == farm.count
    assert not two.shards.has_heirs
    one.shards.take_part()
    farm.run(15.0)
    assert one.held


def test_one_that_leaves_is_gone_at_once() -> None:
    farm = Farm()
    one, two = farm.start("one"), farm.start("two")
    farm.run(30.0)
    left: list[float] = []
    one.shards.leave(lambda: left.append(farm.clock.seconds()))
    farm.run(2.0)
    assert left and len(two.held) == farm.count
    assert list(two.shards.members) == ["two#2"]


def test_one_that_leaves_while_the_keeper_is_away_leaves_all_the_same() -> None:
    farm = Farm()
    one = farm.start("one")
    farm.run(30.0)
    farm.keeper.is_away = True
    left: list[float] = []
    one.shards.leave(lambda: left.append(farm.clock.seconds()))
    farm.run(6.0)
    assert len(left) == 1


def test_two_that_are_called_alike_share_nothing_and_are_told() -> None:
    farm = Farm()
    first, second = farm.start("one"), farm.start("one")
    farm.run(30.0)
    assert len(first.held) == farm.count and not second.held
    assert any("another instance is called one" in line for line in second.log.lines)


def test_an_idle_farm_asks_three_times_in_a_lease_time() -> None:
    farm = Farm()
    one, _ = farm.start("one"), farm.start("two")
    farm.run(30.0)
    before = one.line.rounds
    farm.run(100.0)
    assert one.line.rounds - before <= 34
