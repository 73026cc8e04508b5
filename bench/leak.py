"""A hundred thousand calls through a service, and what memory is left of them: ``leak``.

Resident memory before, after each tenth of the calls, and once the timers of the last call
have run out. What stands between the half and the end is growth; the first half warms up.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from bench.load import HOLD_WAITS, load, statistics_of
from bench.options import Options
from bench.processes import family, resident
from bench.session import Measurement, Session
from bench.systems import running
from bench.workloads import WORKLOADS

CALLS = 100_000
QUICK_CALLS = 10_000
RATE = 1000  # calls/s
LOOKS = 10
NAMES = ("w1", "w1d", "w4")
SWEEPS = 12  # s more, until a quiet look at memory


def lasts(options: Options) -> float:
    """Return how many s it takes, about."""
    names = [name for name in NAMES if options.only in (None, name)]
    return len(names) * (_calls(options) / _rate(options) + HOLD_WAITS + SWEEPS + 10)


def _calls(options: Options) -> int:
    return QUICK_CALLS if options.quick else CALLS


def _rate(options: Options) -> int:
    return options.rates[0] if options.rates else RATE


def run(session: Session) -> None:
    """Make the calls of each workload, tell memory as they go."""
    options = session.options
    result: dict[str, Any] = {}
    for name in NAMES:
        if options.only in (None, name):
            result[name] = one(session, name, _calls(options), _rate(options))
            session.keep(result)


def one(session: Session, name: str, calls: int, rate: int) -> dict[str, Any]:
    """Make so many calls; return memory (MB) at each look, and the growth (kB a thousand calls)."""
    workload = WORKLOADS[name]
    with tempfile.TemporaryDirectory() as folder:
        run_folder = Path(folder)
        command = workload.systems["uacproxy"](run_folder)
        assert command is not None
        with running(command, run_folder / "log") as pid:
            pids = family(pid)
            looks = [(0, resident(pids))]
            session.tell(f"leak {name}: {looks[0][1]:.1f} MB before")
            step = calls // LOOKS
            with load(run_folder, workload, rate, calls) as caller:
                while caller.poll() is None:
                    time.sleep(0.5)
                    done = _done(run_folder)
                    if done >= looks[-1][0] + step:
                        looks.append((done, resident(pids)))
                        session.tell(f"leak {name}: {looks[-1][1]:.1f} MB after {done} calls")
            rows = statistics_of(run_folder / "caller.csv")
            done = int(rows[-1]["SuccessfulCall(C)"])
            time.sleep(HOLD_WAITS + SWEEPS)
            end = resident(pids)
    half = looks[len(looks) // 2 :]
    made = (half[-1][0] - half[0][0]) / 1000
    growth = (half[-1][1] - half[0][1]) * 1024 / made if made else float("nan")
    session.tell(
        f"leak {name}: {end:.1f} MB after {done} calls of {calls} and their timers; "
        f"in the second half {growth:+.2f} kB a thousand calls"
    )
    return {
        "calls": calls,
        "answered": done,
        "looks_mb": looks,
        "end_mb": end,
        "growth_kb_per_1000_calls": growth,
    }


def _done(folder: Path) -> int:
    try:
        last = (folder / "caller.csv").read_text().rstrip("\n").rsplit("\n", 1)[-1]
        head = (folder / "caller.csv").open().readline().split(";")
        return int(last.split(";")[head.index("SuccessfulCall(C)")])
    except (OSError, ValueError, IndexError):
        return 0


LEAK = Measurement("leak", "memory over a hundred thousand calls", run, lasts, is_usual=False)
