"""When cycles are looked for."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from uacproxy.collector import DAY, QUIET, Collector


class Knot:
    """Something that only the collector lets go of."""

    def __init__(self) -> None:
        self.itself = self


class Service:
    """So many transactions, and a collector."""

    def __init__(self) -> None:
        self.alive = 0
        self.collector = Collector(lambda: self.alive, some=1_000)


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    made.collector.start()
    yield made
    made.collector.stop()


def knots(count: int) -> weakref.ref[Knot]:
    """Leave some behind; gone when the last one is."""
    made = [Knot() for _ in range(count)]
    return weakref.ref(made[-1])


def test_what_has_been_loaded_is_looked_at_once_and_set_aside() -> None:
    last = knots(10)
    made = Collector(lambda: 0)
    made.start()
    set_aside = gc.get_freeze_count()
    made.stop()
    assert last() is None
    assert set_aside > 10_000  # of Python itself


def test_nothing_is_collected_by_itself(service: Service) -> None:
    last = knots(60_000)
    assert last() is not None
    assert not gc.isenabled()


def test_a_quiet_moment_collects_what_is_new(service: Service) -> None:
    last = knots(1_200)
    service.collector.look()
    assert last() is None
    assert service.collector.runs == 1
    assert service.collector.longest > 0


def test_little_is_left_alone(service: Service) -> None:
    last = knots(100)
    service.collector.look()
    assert (last() is None, service.collector.runs) == (False, 0)


def test_calls_are_not_stopped_however_much_is_new(service: Service) -> None:
    service.alive = QUIET
    last = knots(60_000)
    service.collector.look()
    assert last() is not None
    service.alive = QUIET - 1
    service.collector.look()
    assert last() is None


def test_what_was_looked_at_is_set_aside_for_a_day(service: Service) -> None:
    kept = [Knot() for _ in range(1_200)]
    service.collector.look()
    last = weakref.ref(kept[-1])
    kept.clear()
    knots(1_200)
    service.collector.look()
    assert last() is not None
    service.collector._day = 0.0
    service.collector._whole_at -= 1.0
    knots(1_200)
    service.collector.look()
    assert last() is None


def test_two_days_without_a_quiet_moment_are_enough(service: Service) -> None:
    service.alive = QUIET
    last = knots(10)
    service.collector._whole_at -= 1.5 * DAY
    service.collector.look()
    assert last() is not None
    service.collector._whole_at -= 0.6 * DAY
    service.collector.look()
    assert (last() is None, service.collector.runs) == (True, 1)


def test_the_end_leaves_the_collector_as_it_was() -> None:
    made = Collector(lambda: 0)
    made.start()
    made.stop()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
