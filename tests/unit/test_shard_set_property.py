"""Whatever happens to instances and to what lies between: no shard has two owners at once.

``Farm.run`` looks at every step. Lease clocks run up to 2 % too fast or too slow. When
trouble has ended, every shard has an owner soon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.shard_farm import Farm, Instance

NAMES = ["one", "two", "three", "four"]
CALM = 45.0  # s: a lease time for each thing that can follow from another, and a little


class Event(NamedTuple):
    """Something that happens to the instance of a name, and what time passes then."""

    what: str
    name: str
    then: float  # s


def kill(farm: Farm, one: Instance) -> None:
    one.kill()


def restart(farm: Farm, one: Instance) -> None:
    one.kill()
    farm.start(one.name, rate=one.rate, work=one.work)


def stop_hearing(farm: Farm, one: Instance) -> None:
    one.line.loses_answers = True


def stop_being_heard(farm: Farm, one: Instance) -> None:
    one.line.loses_questions = True


def be_connected(farm: Farm, one: Instance) -> None:
    one.line.loses_answers = one.line.loses_questions = False


def sleep(farm: Farm, one: Instance) -> None:
    one.line.is_asleep = True


def wake(farm: Farm, one: Instance) -> None:
    one.line.wake()


def drain(farm: Farm, one: Instance) -> None:
    one.shards.drain()


def take_part(farm: Farm, one: Instance) -> None:
    one.shards.take_part()


def leave(farm: Farm, one: Instance) -> None:
    one.shards.leave(one.kill)


def lose_keeper(farm: Farm, one: Instance) -> None:
    farm.keeper.is_away = True


def find_keeper(farm: Farm, one: Instance) -> None:
    farm.keeper.is_away = False


def empty_keeper(farm: Farm, one: Instance) -> None:
    farm.keeper.forget()


HAPPENS: dict[str, Callable[[Farm, Instance], None]] = {
    happens.__name__: happens
    for happens in (
        *(kill, restart, stop_hearing, stop_being_heard, be_connected, sleep, wake),
        *(drain, take_part, leave, lose_keeper, find_keeper, empty_keeper),
    )
}

EVENTS = st.builds(
    Event,
    st.sampled_from(list(HAPPENS)),
    st.sampled_from(NAMES),
    st.sampled_from([0.0, 0.1, 0.4, 1.0, 3.0, 4.9, 9.0, 10.1, 25.0]),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(EVENTS, max_size=12),
    st.lists(st.sampled_from([0.98, 1.0, 1.02]), min_size=4, max_size=4),
    st.sampled_from([0.0, 0.7, 100.0]),
)
def test_no_shard_has_two_owners_and_in_the_end_each_has_one(
    events: list[Event], rates: list[float], work: float
) -> None:
    farm = Farm(count=8)
    for name, rate in zip(NAMES[:3], rates, strict=False):
        farm.start(name, rate=rate, work=work)
    farm.run(2.0)
    for event in events:
        named = [one for one in farm.alive if one.name == event.name]
        if named:
            HAPPENS[event.what](farm, named[-1])
        elif event.what == "restart":
            farm.start(event.name, rate=rates[3], work=work)
        farm.run(event.then)
    farm.keeper.is_away = False
    for one in farm.alive:
        be_connected(farm, one)
        one.line.wake()
        one.shards.take_part()
    farm.run(10.0)  # who was about to leave leaves
    if not farm.alive:
        farm.start("last")
    farm.run(CALM)
    assert farm.orphans == 0
    assert all(one.working == one.held for one in farm.alive)
