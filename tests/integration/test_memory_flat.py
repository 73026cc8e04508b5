"""Tens of thousands of calls leave nothing behind, and what lives stays within its budget."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from bench.memory import BUDGET, THINGS
from bench.micro.whole_call import Bench, resident

BATCH = 100  # calls side by side
PASSES = 4.0  # s between two batches: the peak of calls that wait for timers is soon reached
WARM = 2_000  # calls
CALLS = 4_000
ROOM = 600  # octets a call that memory may grow by, as the kernel counts it
BLOCKS = 0.5  # a call, as Python counts them: one object that stays is one or more


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    gc.collect()
    yield
    gc.unfreeze()
    gc.collect()


def make_calls(bench: Bench, count: int) -> tuple[int, float]:
    """Make calls, let everything end, return blocks and kB that are in use."""
    for _ in range(count // BATCH):
        bench.batch(BATCH, PASSES)
    bench.let(60.0)
    for _ in range(1 + count // 1000):
        bench.parts.tracker.expire_due()
    gc.collect()
    return sys.getallocatedblocks(), resident()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["w1", "w1d", "w4"])
def test_calls_leave_nothing_behind(kind: str) -> None:
    with Bench(kind) as bench:
        blocks, memory = make_calls(bench, WARM)
        blocks_after, memory_after = make_calls(bench, CALLS)
    assert (blocks_after - blocks) / CALLS < BLOCKS
    assert (memory_after - memory) * 1024 / CALLS < ROOM


@pytest.mark.slow
@pytest.mark.parametrize("thing", THINGS)
def test_what_lives_stays_within_its_budget(thing: str) -> None:
    assert THINGS[thing]() < BUDGET[thing]
