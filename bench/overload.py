"""What the service does when it is asked for twice as much as it can do (W1 calls).

The highest rate R is searched, or given by ``--rates``. Then half of R is offered, twice R
for a minute (``--quick``: 20 s), and half of R again. Told is, second by second, what was
offered, completed, refused and lost, and afterwards when calls were as fast as before.

R is what counts as kept up with elsewhere: less than 0.1 % failures, a 503 being one. Where
SIPp on its core cannot offer twice R the figures say so (``offered_share``): then
``overload-plain`` is the fair form, the same service without its compiled core.

    make bench BENCH_ARGS="overload"
    make bench BENCH_ARGS="overload-plain --quick --rates 300"
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from bench.load import CALLEE, CALLER, sipp, statistics_of
from bench.options import Options
from bench.session import Measurement, Session
from bench.systems import SUT, interpreted_command, running, uacproxy_command
from bench.turns import SEARCH, START, STEPS, search
from bench.workloads import CALLS, USUAL, WORKLOADS

OFFERED = 2.0  # times R
CALM = 0.5  # times R, before and after
SECS, QUICK_SECS = 60, 20  # s of overload
CALM_SECS = 10  # s, before, and so many afterwards
SLOWER = 2.0  # times the p99 of before, plus a beat: as fast as before
BEAT_MS = 20.0
PATIENCE = 40.0  # s, for the last calls to end

WORDS = {**USUAL, "TAIL": "[limits]\nmax_transactions = 4000000"}  # not what is looked at here

Row = dict[str, Any]


class Second(NamedTuple):
    """What was counted in one second of one SIPp."""

    at: float  # s since its start
    offered: int
    completed: int
    refused: int
    failed: int


class Phase:
    """One SIPp that makes calls, and what it saw."""

    def __init__(self, run: Path, name: str, port: int, rate: int, secs: int) -> None:
        self.run = run / name
        self.run.mkdir()
        self.rate = rate
        self.secs = secs
        self.began = time.time()
        self._process = sipp(
            self.run,
            "caller",
            *(f"{SUT[0]}:{SUT[1]}", "-sf", str(CALLS / "caller_overload.xml")),
            *("-s", "provider.example.net", "-i", CALLER[0], "-p", str(port)),
            *("-r", str(rate), "-m", str(rate * secs), "-l", str(rate * 10)),
            *("-recv_timeout", "16000", "-timeout", str(secs + int(PATIENCE) - 5)),
            *("-trace_rtt", "-rtt_freq", "100"),
        )

    def end(self) -> None:
        """Wait until its calls have ended."""
        try:
            self._process.wait(max(1.0, self.began + self.secs + PATIENCE - time.time()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def seconds(self) -> list[Second]:
        """Return what happened while calls were offered, second by second."""
        rows = statistics_of(self.run / "caller.csv")
        found = []
        for before, after in pairwise(rows):
            span = after["at"] - before["at"]
            at = after["at"] - rows[0]["at"]
            if span < 0.5 or at > self.secs + 0.5:
                continue
            counts = [_rise(before, after, name) / span for name in _COLUMNS]
            offered, ended, refused, failed = (round(count) for count in counts)
            found.append(Second(at, offered, ended - refused, refused, failed))
        return found

    def totals(self) -> Second:
        """Return the same of the whole, until its last call had ended."""
        rows = statistics_of(self.run / "caller.csv")
        offered, ended, refused, failed = (int(rows[-1][name]) for name in _COLUMNS)
        return Second(rows[-1]["at"] - rows[0]["at"], offered, ended - refused, refused, failed)

    def p99_by_second(self) -> dict[int, float]:
        """Return the p99 of the time to a 200, ms, by the second in which that came."""
        found: dict[int, list[float]] = defaultdict(list)
        for file in self.run.glob("caller_*_rtt.csv"):
            with file.open() as lines:
                next(lines, None)
                for line in lines:
                    words = line.strip().split(";")
                    if len(words) >= 3 and words[2].endswith("1"):
                        found[int(float(words[0]) / 1000 - self.began)].append(float(words[1]))
        return {
            second: statistics.quantiles(times, n=100)[98]
            for second, times in sorted(found.items())
            if len(times) > 20
        }


_COLUMNS = ("TotalCallCreated", "SuccessfulCall(C)", "refused(C)", "FailedCall(C)")


def _rise(before: Row, after: Row, name: str) -> int:
    return int(after[name]) - int(before[name])


def overload_of(name: str, system: str, make: Callable[..., list[str]]) -> Measurement:
    """Return the measurement of one form of the service."""

    def secs(options: Options) -> int:
        return QUICK_SECS if options.quick else SECS

    def duration(options: Options) -> float:
        found = secs(options) + 2 * CALM_SECS + START + 10.0
        return found if options.rates else found + STEPS * (sum(SEARCH) + START)

    def run(session: Session) -> None:
        with tempfile.TemporaryDirectory() as folder:
            command = make(Path(folder), CALLS / "uacproxy.ini", **WORDS)
            measure_overload(session, system, command, Path(folder))

    return Measurement(name, f"twice the highest rate, {system}", run, duration, is_usual=False)


def measure_overload(session: Session, system: str, command: list[str], run: Path) -> None:
    """Search R, offer twice that, and see what comes of it."""
    secs = QUICK_SECS if session.options.quick else SECS
    if session.options.rates:
        highest = session.options.rates[0]
    else:
        highest = int(search(session, WORKLOADS["w1"], system, command, run).get("rate", 0))
    if not highest:
        session.tell("no rate was kept up with")
        return
    session.tell(f"R is {highest} calls/s")
    where = ("-i", CALLEE[0], "-p", str(CALLEE[1]))
    with running(command, run / "log"):
        callee = sipp(run, "callee", "-sf", str(CALLS / WORKLOADS["w1"].callee), *where)
        time.sleep(0.6)
        try:
            before = Phase(run, "before", CALLER[1], int(CALM * highest), CALM_SECS)
            before.end()
            crowd = Phase(run, "crowd", CALLER[1] + 1, int(OFFERED * highest), secs)
            time.sleep(secs)
            after = Phase(run, "after", CALLER[1] + 2, int(CALM * highest), CALM_SECS)
            after.end()
            crowd.end()
        finally:
            callee.send_signal(signal.SIGKILL)
            callee.wait()
    _tell(session, highest, before, crowd, after)


def _tell(session: Session, highest: int, before: Phase, crowd: Phase, after: Phase) -> None:
    for second in crowd.seconds():
        session.tell(
            f"{second.at:3.0f} s: {second.offered} offered, {second.completed} completed "
            f"({100 * second.completed / highest:.0f} % of R), {second.refused} refused, "
            f"{second.failed} failed"
        )
    whole = crowd.totals()
    steady = [each.completed for each in crowd.seconds()[1:]]  # the first one starts empty
    offered = [each.offered for each in crowd.seconds()]
    usual = statistics.median(before.p99_by_second().values())
    recovered = _recovered(after, usual)
    result = {
        "highest": highest,
        "offered_share": statistics.mean(offered) / highest,
        "share": statistics.mean(steady) / highest,
        "share_least": min(steady) / highest,
        "refused": whole.refused,
        "admitted": whole.completed + whole.failed,
        "failed": whole.failed,
        "p99_before_ms": usual,
        "p99_during_ms": statistics.median(crowd.p99_by_second().values()),
        "recovered_after_s": recovered,
    }
    session.keep({"uacproxy": result})
    session.tell(
        f"offered {result['offered_share']:.2f} R: {100 * result['share']:.0f} % of R completed "
        f"(worst second {100 * result['share_least']:.0f} %), {whole.refused} refused with 503 "
        f"and Retry-After, {whole.failed} of {result['admitted']} admitted calls failed; p99 "
        f"{result['p99_during_ms']:.0f} ms, before {usual:.1f} ms; as before again after "
        f"{recovered} s"
    )


def _recovered(after: Phase, usual: float) -> int:
    """Return from which second on nothing was refused, failed or slow."""
    slowest = SLOWER * usual + BEAT_MS
    bad = [int(each.at) for each in after.seconds() if each.refused or each.failed]
    bad += [second + 1 for second, p99 in after.p99_by_second().items() if p99 > slowest]
    return max(bad, default=0)


OVERLOAD = (
    overload_of("overload", "compiled", uacproxy_command),
    overload_of("overload-plain", "interpreted", interpreted_command),
)
