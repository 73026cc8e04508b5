"""What one of each thing that lives holds in memory: ``memory``.

Counted by ``tracemalloc`` in this process through real parts and sockets, so nothing of the
kernel's, of allocators' slack or of other things is in it. ``BUDGET`` is what each may take;
a test holds it to that.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.messages import build_register
from bench.micro.core import kind_of_core
from bench.micro.whole_call import Bench, expect
from bench.micro.whole_refresh import Bench as Refreshes
from bench.options import Options
from bench.session import Measurement, Session

COUNT: Final = 200  # of each

BUDGET: Final = {  # octets
    "call being set up": 14_000,
    "call that ended, 32 s": 10_000,
    "tracked dialog": 5_500,
    "bridged call": 9_000,
    "binding of a phone": 3_200,
    "account kept registered": 4_600,
}
"""What each may take, a quarter and more above what was measured."""


def held_by(make: Callable[[], object], count: int = COUNT) -> float:
    """Return how many octets more are in use for each of what ``make`` made ``count`` of."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = make()
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        del kept
    finally:
        tracemalloc.stop()
    return (after - before) / count


def being_set_up() -> float:
    """Return what an INVITE holds that rings nowhere yet: two transactions and what joins them."""
    with Bench() as bench:
        bench.batch(20, 60.0)
        return held_by(lambda: bench.invite(bench.numbers(COUNT)) and None)


def ended() -> float:
    """Return what an answered and ended call holds until its timers have run out."""
    with Bench() as bench:
        bench.batch(20, 60.0)
        return held_by(lambda: bench.batch(COUNT, 1.0))


def standing(kind: str) -> float:
    """Return what an answered call holds once its transactions are gone."""
    with Bench(kind) as bench:
        bench.batch(20, 60.0)

        def stand() -> None:
            bench.stand(COUNT)
            bench.let(60.0)

        return held_by(stand)


def binding() -> float:
    """Return what a phone's binding at the local registrar holds."""
    with Bench("w6") as bench:

        def register(first: int) -> None:
            where = bench.caller.getsockname()
            for number in range(first, first + COUNT):
                bench.caller.sendto(build_register(number, where, bench.proxy), bench.proxy)
            bench.read(1 + COUNT // 64)
            expect(bench.caller, b"SIP/2.0 200", COUNT)
            bench.let(60.0)

        register(0)
        return held_by(lambda: register(COUNT))


def account() -> float:
    """Return what an account holds that is registered and idle."""
    Refreshes(20).span(20.0)
    made: list[Refreshes] = []

    def register() -> None:
        made.append(Refreshes(10 * COUNT))
        made[0].span(30.0)

    return held_by(register, 10 * COUNT)


THINGS: Final[dict[str, Callable[[], float]]] = {
    "call being set up": being_set_up,
    "call that ended, 32 s": ended,
    "tracked dialog": lambda: standing("w1d"),
    "bridged call": lambda: standing("w4"),
    "binding of a phone": binding,
    "account kept registered": account,
}


def lasts(_options: Options) -> float:
    """Return how many s it takes, about."""
    return 20.0


def run(session: Session) -> None:
    """Measure each, print the table."""
    found = {}
    for name, octets in THINGS.items():
        found[name] = octets()
        session.keep({"octets": found, "budget": BUDGET, "core": kind_of_core()})
    show(session.console, found)


def show(console: Console, found: dict[str, float]) -> None:
    """Print what each holds beside what it may."""
    table = Table(title=f"memory of one, {kind_of_core()} core")
    for heading in ("thing", "octets", "budget"):
        table.add_column(heading, justify="left" if heading == "thing" else "right")
    for name, octets in found.items():
        table.add_row(name, f"{octets:,.0f}", f"{BUDGET[name]:,}")
    console.print(table)


MEMORY = Measurement("memory", "octets of one of each thing that lives", run, lasts, False)
