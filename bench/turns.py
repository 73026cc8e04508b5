"""A workload on all its systems in turn, round by round, and the highest rate of each."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.load import HOLD_RATE, HOLD_WAITS, Figures, hold_calls, lasts, measure
from bench.options import Options
from bench.report import Kept, medians_of, show
from bench.session import Measurement, Session
from bench.sippy import why_missing
from bench.systems import running
from bench.workloads import Workload

START = 2.5  # s, that a system takes to start and stop
FIRST_RATE = 2000  # calls/s at which the search for the highest begins
STEPS = 9  # of the search, about
FAILED_MOST = 0.1  # %
KEEPS_UP = 0.95  # of the rate asked for
SEARCH = (3.0, 5.0)  # s, to warm up and measured


def measurement_of(workload: Workload) -> Measurement:
    """Return a workload as ``make bench`` lists it."""

    def duration(options: Options) -> float:
        systems = 1 if options.only else len(workload.systems)
        rates = len(options.rates or workload.rates)
        one = lasts(workload, options.warm, options.secs)
        holds = options.standing / HOLD_RATE + HOLD_WAITS if options.standing else 0.0
        found = options.rounds * systems * (rates * one + START + holds)
        if _searches(options, workload):
            found += systems * STEPS * (lasts(workload, *SEARCH) + START)
        return found

    def run(session: Session) -> None:
        take_turns(session, workload)

    return Measurement(workload.name, workload.title, run, duration)


def take_turns(session: Session, workload: Workload) -> None:
    """Measure one workload on every system, turn by turn."""
    kept: Kept = {}
    highest: dict[str, Figures] = {}
    options = session.options
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds):
            for name, command_of in workload.systems.items():
                if options.only not in (None, name):
                    continue
                run_folder = Path(folder, name.replace(" ", "-"))
                run_folder.mkdir(exist_ok=True)
                command = command_of(run_folder)
                if command is None:
                    if turn == 0:
                        why = why_missing() if name == "sippy" else "no such program"
                        session.tell(f"{name} is not measured: {why}")
                    continue
                with running(command, run_folder / "log") as pid:
                    if options.standing:
                        hold_calls(workload, options.standing)
                    for rate in options.rates or workload.rates:
                        got = measure(pid, workload, rate, options.warm, options.secs)
                        kept.setdefault(name, {}).setdefault(rate, []).append(got)
                        tell(session, workload, f"round {turn + 1} {name}", rate, got)
                        session.keep(medians_of(workload, kept, highest))
                if turn == 0 and _searches(options, workload):
                    highest[name] = search(session, workload, name, command, run_folder)
                    session.keep(medians_of(workload, kept, highest))
    show(session.console, workload, medians_of(workload, kept, highest))


def _searches(options: Options, workload: Workload) -> bool:
    return options.highest or (workload.searches and not options.quick and not options.rates)


def tell(session: Session, workload: Workload, who: str, rate: int, got: Figures) -> None:
    """Print one measurement."""
    session.tell(
        f"{workload.name} {who:20s} {rate:5d}/s: {got['us_per_call']:7.1f} us/{workload.unit}, "
        f"{got['core_percent']:.0f} % of the core, p99 {got['p99_ms']:.1f} ms, "
        f"{got['failed_percent']:.3f} % failed"
    )


def search(
    session: Session, workload: Workload, name: str, command: list[str], folder: Path
) -> Figures:
    """Return the figures of the highest rate that the system keeps up with."""
    best: Figures = {}
    rate, step = FIRST_RATE, 1.5
    while step > 1.06 and rate > 20:
        with running(command, folder / "log") as pid:
            got = measure(pid, workload, rate, *SEARCH)
        tell(session, workload, f"highest? {name}", rate, got)
        is_good = got["failed_percent"] < FAILED_MOST and got["calls_per_s"] >= KEEPS_UP * rate
        if is_good:
            best = {**got, "rate": rate}
        else:
            step **= 0.5
            rate = int(best["rate"] if best else rate / 2)
        rate = int(rate * step)
    return best
