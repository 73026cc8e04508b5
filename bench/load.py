"""One measurement of a workload: SIPp on both sides, CPU per unit of work in between."""

from __future__ import annotations

import csv
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.processes import Sampler, family, resident
from bench.systems import SUT, Address
from bench.workloads import CALLS, Workload

CALLEE = ("127.7.0.2", 5070)
CALLER = ("127.7.0.3", 5061)
LOAD_CORE = "1"
HOLD_RATE = 1000  # standing calls/s that are set up
HOLD_WAITS = 35  # s, until their transactions are gone
PACE = 10  # s, in which standing calls begin, and between two requests of each

Figures = dict[str, float]


def sipp(run: Path, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start one side of the load on the load's core."""
    return subprocess.Popen(
        [
            *("taskset", "-c", LOAD_CORE, "sipp", *arguments),
            *("-bind_local", "-nostdin", "-timer_resol", "1", "-buff_size", "4194304"),
            *("-trace_stat", "-stf", str(run / f"{name}.csv"), "-fd", "1"),
            *("-watchdog_minor_maxtriggers", "100000", "-watchdog_major_maxtriggers", "100000"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=(run / f"{name}.err").open("wb"),
        cwd=run,
    )


def lasts(workload: Workload, warm: float, secs: float) -> float:
    """Return how many s one measurement takes, about."""
    return 2.0 + (6.0 * PACE if workload.stands else warm + secs + 1.0)


def measure(
    pid: int, workload: Workload, rate: int, warm: float, secs: float, sut: Address = SUT
) -> Figures:
    """Run a workload at one rate of its units and return its figures.

    Args:
        pid: of the system under test.
        workload: what to run.
        rate: calls/s, or units/s where calls stand.
        warm: s before the measurement begins.
        secs: s that are measured.
        sut: where the system listens.
    """
    if workload.stands:
        calls, most, until = rate * PACE, rate * PACE, 6.0 * PACE
    else:
        calls, most, until = int(rate * (warm + secs + 1)), max(400, rate), warm + secs
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        pids = family(pid)
        sampler = Sampler(pids)
        with load(run, workload, rate, calls, most, timeout=until + 14, sut=sut) as caller:
            sampler.start()
            try:
                caller.wait(until + 30)
            except subprocess.TimeoutExpired:
                caller.kill()
                caller.wait()
            sampler.end()
            memory = resident(pids)
        rows = statistics_of(run / "caller.csv")
        found = figures(rows, sampler, workload, warm, secs)
        return {**found, **latencies(run, warm), "resident_mb": memory}


@contextmanager
def load(
    run: Path,
    workload: Workload,
    rate: int,
    calls: int,
    most: int = 0,
    *,
    timeout: float = 0,
    sut: Address = SUT,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run both sides of a workload until the block ends; gives the caller.

    Args:
        run: where its files go, ``caller.csv`` among them.
        workload: what to run.
        rate: calls/s.
        calls: altogether.
        most: calls at a time; 0: as many as begin in a second.
        timeout: s, after which the caller ends whatever is left; 0: never.
        sut: where the system listens.
    """
    callee = None
    if workload.callee:
        where = ("-i", CALLEE[0], "-p", str(CALLEE[1]))
        callee = sipp(run, "callee", "-sf", str(CALLS / workload.callee), *where)
    time.sleep(0.6)
    caller = sipp(
        run,
        "caller",
        *(f"{sut[0]}:{sut[1]}", "-sf", str(CALLS / workload.caller)),
        *("-s", "provider.example.net", "-i", CALLER[0], "-p", str(CALLER[1])),
        *("-r", str(rate), "-m", str(calls), "-l", str(most or max(400, rate))),
        *("-recv_timeout", "8000", "-trace_rtt", "-rtt_freq", "500"),
        *(("-timeout", str(int(timeout))) if timeout else ()),
    )
    try:
        yield caller
    finally:
        if caller.poll() is None:
            caller.kill()
            caller.wait()
        if callee is not None:
            callee.send_signal(signal.SIGUSR1)
            try:
                callee.wait(3)
            except subprocess.TimeoutExpired:
                callee.kill()
                callee.wait()


def statistics_of(file: Path) -> list[dict[str, Any]]:
    """Read SIPp's statistics lines, each with its time as ``at`` (s of the epoch)."""
    rows: list[dict[str, Any]] = []
    if file.exists():
        with file.open(newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter=";"))
    if len(rows) < 3:
        why = file.with_suffix(".err").read_text(errors="replace").strip()
        sys.exit(f"SIPp ended at once: {why or 'no calls were made'}")
    for row in rows:
        row["at"] = float(row["CurrentTime"].split("\t")[-1])
    return rows


def figures(
    rows: list[dict[str, Any]], sampler: Sampler, workload: Workload, warm: float, secs: float
) -> Figures:
    """Work out one measurement between the warm-up's end and ``secs`` later.

    Where calls stand, it is measured while all do and each sends at its pace.
    """
    began = rows[0]["at"]
    last_row = rows[-1]
    created = int(last_row["TotalCallCreated"])
    if workload.stands:
        warm, secs = PACE + 2.0, 4.0 * PACE - 4.0
    first = next((row for row in rows if row["at"] - began >= warm), rows[-2])
    last = next((row for row in rows if row["at"] - began >= warm + secs - 0.5), last_row)
    span = last["at"] - first["at"]
    if workload.stands:
        done = int(created / PACE * span)
    else:
        done = int(last["SuccessfulCall(C)"]) - int(first["SuccessfulCall(C)"])
    before, after = sampler.at(first["at"]), sampler.at(last["at"])
    return {
        "us_per_call": (after[2] - before[2]) / done * 1e6 if done else float("nan"),
        "us_user": (after[0] - before[0]) / done * 1e6 if done else float("nan"),
        "us_system": (after[1] - before[1]) / done * 1e6 if done else float("nan"),
        "calls_per_s": done / span,
        "core_percent": 100.0 * (after[2] - before[2]) / span,
        "failed_percent": 100.0 * (created - int(last_row["SuccessfulCall(C)"])) / max(created, 1),
        "retransmissions_percent": 100.0 * int(last_row["Retransmissions(C)"]) / max(created, 1),
    }


def latencies(run: Path, warm: float) -> Figures:
    """Return p50, p99 and p99.9 of the first response time of the scenario, ms."""
    found: list[float] = []
    began = None
    for file in run.glob("caller_*_rtt.csv"):
        with file.open() as lines:
            next(lines, None)
            for line in lines:
                words = line.strip().split(";")
                if len(words) < 3 or not words[2].endswith("1"):
                    continue
                at = float(words[0]) / 1000
                began = at if began is None else began
                if at - began >= warm:
                    found.append(float(words[1]))
    if len(found) < 100:
        return {"p50_ms": float("nan"), "p99_ms": float("nan"), "p999_ms": float("nan")}
    cuts = statistics.quantiles(found, n=1000)
    return {"p50_ms": cuts[499], "p99_ms": cuts[989], "p999_ms": cuts[998]}


def hold_calls(workload: Workload, calls: int, sut: Address = SUT) -> None:
    """Set calls up that nobody ends: their dialogs stand."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        for name in ("caller", "callee"):  # the scenario up to the ACK
            text = (CALLS / getattr(workload, name)).read_text()
            mark = (
                '<send retrans="500" start_rtd="2">' if name == "caller" else '<recv request="BYE">'
            )
            (run / f"{name}.xml").write_text(text[: text.index(mark)] + "</scenario>\n")
        where = ("-i", CALLEE[0], "-p", str(CALLEE[1]))
        callee = sipp(run, "callee", "-sf", str(run / "callee.xml"), *where)
        time.sleep(0.6)
        caller = sipp(
            run,
            "caller",
            *(f"{sut[0]}:{sut[1]}", "-sf", str(run / "caller.xml"), "-s", "provider.example.net"),
            *(
                "-i",
                CALLER[0],
                "-p",
                str(CALLER[1]),
                "-r",
                str(HOLD_RATE),
                "-m",
                str(calls),
                "-l",
                str(calls),
            ),
        )
        caller.wait(calls / HOLD_RATE + 60)
        time.sleep(HOLD_WAITS)
        callee.kill()
        callee.wait()
