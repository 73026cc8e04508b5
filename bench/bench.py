"""Measure what a unit of work costs, uacproxy and its peers in the same run.

The system under test has core 0, SIPp (caller and callee) core 1. CPU is what /proc says
all its processes used between two of SIPp's statistics lines after a warm-up, divided by
the units completed in between. The systems take turns round by round, because the speed
of a virtual machine changes within minutes; medians over the rounds are printed, and the
ratio within this run is the figure to quote.

    make bench                                     # W1 to W6 at their usual rates, three rounds
    make bench BENCH_ARGS="w1 --rates 200 --rounds 1 --secs 5"
    make bench BENCH_ARGS="w1 --highest"           # the highest rate with under 0.1 % failures
    make bench BENCH_ARGS="w1d --standing 50000"   # beside so many standing dialogs
    make bench-compare BASE=build/before.json      # what a change did
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import registrations
from load import Figures, hold_calls, measure
from report import Kept, compare, medians_of, show, write
from rich.console import Console
from systems import ROOT, running
from workloads import WORKLOADS, Workload

FIRST_RATE = 500  # calls/s at which the search for the highest begins
FAILED_MOST = 0.1  # %
KEEPS_UP = 0.95  # of the rate asked for


def main() -> int:
    """Run, print, write ``build/bench.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", help=f"of {' '.join(WORKLOADS)} w3; all if none")
    parser.add_argument("--rates", default="500,1000", help="units/s, comma separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=float, default=4, help="s")
    parser.add_argument("--secs", type=float, default=8, help="s measured")
    parser.add_argument("--only", help="measure this system alone")
    parser.add_argument("--highest", action="store_true", help="search the highest rate too")
    parser.add_argument("--standing", type=int, default=0, help="calls set up before, never ended")
    parser.add_argument("--accounts", type=int, default=20000, help="of W3")
    parser.add_argument("--reg-rate", type=int, default=1000, help="REGISTERs/s of W3; 0: no limit")
    parser.add_argument("--json", default=str(ROOT / "build" / "bench.json"))
    parser.add_argument("--compare", help="an earlier bench.json to compare the last one with")
    arguments = parser.parse_args()
    console = Console(width=118)
    if arguments.compare:
        return compare(console, Path(arguments.compare), Path(arguments.json))
    if shutil.which("sipp") is None:
        console.print("make bench needs SIPp (Debian package sip-tester)")
        return 1
    names = [*WORKLOADS, "w3"]
    unknown = set(arguments.workloads) - set(names)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    results = {}
    for name in arguments.workloads or names:
        if name == "w3":
            results[name] = registrations.measure(console, arguments)
            continue
        workload = WORKLOADS[name]
        kept, highest = run(console, workload, arguments)
        results[name] = medians_of(workload, kept, highest)
        show(console, workload, results[name])
    write(console, results, Path(arguments.json))
    return 0


def run(
    console: Console, workload: Workload, arguments: argparse.Namespace
) -> tuple[Kept, dict[str, Figures]]:
    """Measure one workload on every system, turn by turn; return figures and highest rates."""
    kept: Kept = {}
    highest: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(arguments.rounds):
            for name, command_of in workload.systems.items():
                if arguments.only not in (None, name):
                    continue
                run_folder = Path(folder, name.replace(" ", "-"))
                run_folder.mkdir(exist_ok=True)
                command = command_of(run_folder)
                if command is None:
                    if turn == 0:
                        console.print(f"{name} is not installed: not measured")
                    continue
                with running(command, run_folder / "log") as pid:
                    if arguments.standing:
                        hold_calls(workload, arguments.standing)
                    for rate in [int(word) for word in arguments.rates.split(",")]:
                        got = measure(pid, workload, rate, arguments.warm, arguments.secs)
                        kept.setdefault(name, {}).setdefault(rate, []).append(got)
                        tell(console, workload, f"round {turn + 1} {name}", rate, got)
                if arguments.highest and turn == 0:
                    highest[name] = search(console, workload, name, command, run_folder)
    return kept, highest


def tell(console: Console, workload: Workload, who: str, rate: int, got: Figures) -> None:
    """Print one measurement."""
    console.print(
        f"{workload.name} {who:20s} {rate:5d}/s: {got['us_per_call']:7.1f} us/{workload.unit}, "
        f"{got['core_percent']:.0f} % of the core, p99 {got['p99_ms']:.1f} ms, "
        f"{got['failed_percent']:.3f} % failed"
    )


def search(
    console: Console, workload: Workload, name: str, command: list[str], folder: Path
) -> Figures:
    """Return the figures of the highest rate that the system keeps up with."""
    best: Figures = {}
    rate, step = FIRST_RATE, 1.35
    while step > 1.04:
        with running(command, folder / "log") as pid:
            got = measure(pid, workload, rate, 4, 8)
        tell(console, workload, f"highest? {name}", rate, got)
        is_good = got["failed_percent"] < FAILED_MOST and got["calls_per_s"] >= KEEPS_UP * rate
        if is_good:
            best = {**got, "rate": rate}
        else:
            step **= 0.5
            rate = int(best["rate"] if best else rate / 2)
        rate = int(rate * step)
    return best


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, subprocess.CalledProcessError) as stopped:
        sys.exit(f"stopped: {stopped!r}")
