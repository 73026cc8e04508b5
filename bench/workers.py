"""One worker and two, in turn: ``python -m bench.workers``, prints the ratio and how it came about.

W1 by Record-Route, state in SQLite for both. One worker is pinned to core 0, two share both
cores; SIPp runs on both cores in either case, at ``nice -n 19``, so it gets what the workers
leave. Two ways to look at it:

- capacity: CPU a call of the busiest process, which is the one whose core is full first; 1 over
  that is what the cores could do if nobody else used them. This counts all that workers cost
  (hand-over, wake-ups, an uneven share), and not the load. Two are measured at the same rate
  as the one, where each has half as much to do and so less at a time for one wake-up, and at
  twice the rate, where each has as much.
- highest rate (``--highest``): the rate is raised until a call in a thousand fails or SIPp
  falls behind. On a machine of two cores SIPp has to live on what two workers leave, so
  this says less than the workers could do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import load, systems
from bench.processes import cpu, family
from bench.workloads import CALLS, USUAL, WORKLOADS

BOTH_CORES = "0,1"
WARM, SECS = 3.0, 8.0
STEP = 1.15  # from one rate to the next
FAILS_AT = 0.1  # percent of the calls

Result = dict[str, float]


def command_of(run: Path, workers: int) -> list[str]:
    """Return the command of a service with so many workers."""
    command = systems.uacproxy_command(run, CALLS / "uacproxy.ini", **USUAL)
    ini = Path(command[-1])
    text = ini.read_text().replace("[sip]\n", f"[sip]\nworkers = {workers}\n", 1)
    ini.write_text(text.replace("url = memory:", f"url = sqlite:///{run}/state.db"))
    return command


def measure_one(workers: int, rate: int) -> Result:
    """Start a service and measure it; this process and the load are niced from then on."""
    systems.SUT_CORE = "0" if workers == 1 else BOTH_CORES
    load.LOAD_CORE = BOTH_CORES
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        with systems.running(command_of(run, workers), run / "log") as pid:
            os.nice(19)
            pids = family(pid)
            before = {one: cpu([one])[2] for one in pids}
            found = load.measure(pid, WORKLOADS["w1"], rate, WARM, SECS)
            used = {one: cpu([one])[2] - before[one] for one in pids}
            stats = counters(run)
    handed = 100 * stats["transport.handed"] / stats["transport.received"]
    busiest = max(used.values()) / sum(used.values())
    shares = {"busiest": busiest, "us_busiest": found["us_per_call"] * busiest}
    return {**found, **shares, "handed_percent": handed}


def counters(run: Path) -> Result:
    """Ask a running service for its counters."""
    door = ["--connect", f"unix:{run}/uacproxy.sock", "--json", "stats"]
    words = [sys.executable, "-m", "uacproxy.uacctl", *door]
    done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=systems.ROOT)
    result: Result = json.loads(done.stdout)
    return result


def measured(workers: int, rate: int) -> Result:
    """Measure in a process of its own: what is niced stays so."""
    words = [sys.executable, "-m", "bench.workers", "--one", str(workers), "--rate", str(rate)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def compare_capacity(rate: int, rounds: int) -> None:
    """Print CPU a call of one worker and of two, and the ratio of what they could do."""
    ratios, evenly = [], []
    for number in range(1, rounds + 1):
        one, two, full = measured(1, rate), measured(2, rate), measured(2, 2 * rate)
        ratios.append(one["us_busiest"] / two["us_busiest"])
        evenly.append(one["us_busiest"] / full["us_busiest"])
        print(
            f"round {number}, {rate} calls/s: one {one['us_per_call']:.0f} us a call, "
            f"two {two['us_per_call']:.0f} us, of which the busier {two['us_busiest']:.0f}: "
            f"{ratios[-1]:.2f} (failed {one['failed_percent']:.2f} and "
            f"{two['failed_percent']:.2f} %, handed over {two['handed_percent']:.2f} of 100); "
            f"two at {2 * rate} calls/s {full['us_per_call']:.0f} us, of which the busier "
            f"{full['us_busiest']:.0f}: {evenly[-1]:.2f} (failed {full['failed_percent']:.2f} %)",
            flush=True,
        )
    print(
        f"two workers could do {statistics.median(ratios):.2f} times what one could, "
        f"{statistics.median(evenly):.2f} times where each has as much to do as the one"
    )


def highest(workers: int, rate: int) -> float:
    """Raise the rate until calls fail; return the last calls/s that was well."""
    best = 0.0
    while True:
        found = measured(workers, rate)
        is_well = found["failed_percent"] < FAILS_AT and found["calls_per_s"] > 0.95 * rate
        print(f"{workers} at {rate}/s: {found['calls_per_s']:.0f}/s, {is_well}", flush=True)
        if not is_well:
            return best
        best = found["calls_per_s"]
        rate = int(rate * STEP)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=1000, help="calls/s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--highest", action="store_true", help="find the highest rates as well")
    parser.add_argument("--one", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_one(options.one, options.rate)))
        return
    compare_capacity(options.rate, options.rounds)
    if options.highest:
        one, two = highest(1, 2 * options.rate), highest(2, 2 * options.rate)
        print(f"highest: {one:.0f} and {two:.0f} calls/s, {two / one if one else 0:.2f} times")


if __name__ == "__main__":
    main()
