"""Measure what a unit of work costs, uacproxy and its peers in the same run.

The system under test has core 0, SIPp (caller and callee) core 1. CPU is what /proc says
all its processes used between two of SIPp's statistics lines after a warm-up, divided by
the units completed in between. The systems take turns round by round, because the speed
of a virtual machine changes within minutes; medians over the rounds are printed, and the
ratio within this run is the figure to quote.

    make bench                                     # the usual ones, three rounds
    make bench BENCH_ARGS="--quick"                # a short look at them
    make bench BENCH_ARGS="w1 --rates 200 --rounds 1 --secs 5"
    make bench BENCH_ARGS="w1d --standing 50000"   # beside so many standing dialogs
    make bench-compare BASE=build/before.json      # what a change did

A new measurement is a ``Measurement`` in a module of its own and a place in ``ALL``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from rich.console import Console

from bench.flatness import FLAT
from bench.latency import LATENCY
from bench.leak import LEAK
from bench.machine import describe_machine
from bench.memory import MEMORY
from bench.options import WHOLE, read_options
from bench.overload import OVERLOAD
from bench.registrations import W3
from bench.report import compare
from bench.session import Measurement, Session, minutes
from bench.turns import measurement_of
from bench.workloads import WORKLOADS

ALL: dict[str, Measurement] = {
    one.name: one
    for one in (
        *(measurement_of(each) for each in WORKLOADS.values()),
        LATENCY,
        FLAT,
        LEAK,
        MEMORY,
        W3,
        *OVERLOAD,
    )
}


def main() -> int:
    """Run, print, write ``build/bench.json``."""
    usual = [one.name for one in ALL.values() if one.is_usual]
    options = read_options(list(ALL), usual, (__doc__ or "").split("\n\n")[0])
    console = Console(width=130)
    if options.base is not None:
        return compare(console, options.base, options.results)
    if shutil.which("sipp") is None:
        console.print("make bench needs SIPp (Debian package sip-tester)")
        return 1
    for name, value in describe_machine().items():
        console.print(f"{name}: {value}", markup=False, highlight=False)
    plan = [ALL[name] for name in options.names]
    durations = [one.lasts(options) for one in plan]
    for one, seconds in zip(plan, durations, strict=True):
        console.print(f"{one.name:10s} {minutes(seconds):>6s}  {one.title}", highlight=False)
    console.print(f"{minutes(sum(durations))} altogether, {options.rounds} rounds")
    if sum(durations) > WHOLE:
        console.print(f"(more than {minutes(WHOLE)}: name fewer, or --rounds 1, or --quick)")
    session = Session(options, console)
    for number, one in enumerate(plan):
        session.begin(one.name, sum(durations[number:]))
        one.run(session)
    console.print(f"written to {options.results}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, subprocess.CalledProcessError) as stopped:
        sys.exit(f"stopped: {stopped!r}")
