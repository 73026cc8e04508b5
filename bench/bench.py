"""Measure what one call costs: workload W1, uacproxy and Kamailio in the same run.

The system under test has core 0, SIPp (caller and callee) core 1. CPU is what /proc says
all its processes used between two of SIPp's statistics lines after a warm-up, divided by
the calls completed in between. The systems take turns round by round, because the speed
of a virtual machine changes within minutes; medians over the rounds are printed, and the
ratio within this run is the figure to quote.

    make bench                              # all systems, three rounds at 500 and 1,000 calls/s
    make bench BENCH_ARGS="--rates 200 --rounds 1 --secs 5"
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TICKS = os.sysconf("SC_CLK_TCK")
SUT = ("127.7.0.1", 5060)
CALLEE = ("127.7.0.2", 5070)
CALLER = ("127.7.0.3", 5061)
SUT_CORE = "0"
LOAD_CORE = "1"

Figures = dict[str, float]


# -- systems under test ------------------------------------------------------------------


def fill(template: Path, run: Path, **words: str) -> Path:
    """Copy a template into the run directory with its @WORDS@ filled in."""
    text = template.read_text()
    for word, value in {"RUN": str(run), **words}.items():
        text = text.replace(f"@{word}@", value)
    filled = run / template.name
    filled.write_text(text)
    return filled


def uacproxy_command(run: Path) -> list[str]:
    """Return the command that runs uacproxy for W1."""
    ini = fill(HERE / "w1" / "uacproxy.ini", run)
    twistd = str(Path(sys.executable).with_name("twistd"))
    return [twistd, "-n", "--pidfile=", "uacproxy", "--config", str(ini)]


def kamailio_command(run: Path) -> list[str] | None:
    """Return the command that runs Kamailio with its best memory manager; None: not there."""
    program = shutil.which("kamailio", path=os.environ["PATH"] + ":/usr/sbin")
    modules = glob("/usr/lib/*/kamailio/modules")
    if program is None or not modules:
        return None
    cfg = fill(HERE / "w1" / "kamailio.cfg", run, MODULES=modules[0])
    memory = ["-m", "1024", "-M", "16", "-x", "tlsf", "-X", "tlsf", "-b", "4194304"]
    return [program, "-f", str(cfg), "-P", str(run / "pid"), "-Y", str(run), "-DD", "-E", *memory]


SYSTEMS = {"uacproxy": uacproxy_command, "kamailio": kamailio_command}


@contextmanager
def running(command: list[str], log: Path) -> Iterator[int]:
    """Run a system on its core until the block ends; gives its pid."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["taskset", "-c", SUT_CORE, *command],
            stdout=out,
            stderr=out,
            cwd=log.parent,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        wait_for_answer(process, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_answer(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the system answers anything at all."""
    probe = (
        b"OPTIONS sip:127.7.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.7.0.4:5099;rport;"
        b"branch=z9hG4bKprobe%d\r\nMax-Forwards: 0\r\nFrom: <sip:probe@127.7.0.4>;tag=p\r\n"
        b"To: <sip:127.7.0.1>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind(("127.7.0.4", 0))
        asking.settimeout(0.2)
        for attempt in range(100):
            if process.poll() is not None:
                sys.exit(f"the system ended at once:\n{log.read_text(errors='replace')}")
            asking.sendto(probe % attempt, SUT)
            try:
                asking.recv(4096)
            except (TimeoutError, ConnectionError):
                continue
            return
    sys.exit(f"no answer from the system:\n{log.read_text(errors='replace')}")


# -- what /proc knows ----------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            parent = int(stat[stat.rindex(")") + 2 :].split()[1])
            children.setdefault(parent, []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one, [])
    return found


def cpu(pids: list[int]) -> tuple[float, float, float]:
    """Return user, system and exact CPU time (s) of all threads of these processes."""
    user = system = exact = 0.0
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            words = stat[stat.rindex(")") + 2 :].split()
            for thread in os.listdir(f"/proc/{pid}/task"):
                schedule = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text()
                exact += int(schedule.split()[0]) / 1e9
        except OSError:
            continue
        user += int(words[11]) / TICKS
        system += int(words[12]) / TICKS
    return user, system, exact


def resident(pids: list[int]) -> float:
    """Return the proportional memory of these processes, MB."""
    kilobytes = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
        except OSError:
            continue
    return kilobytes / 1024


class Sampler(threading.Thread):
    """CPU of some processes at every quarter of a second; ``at`` interpolates."""

    def __init__(self, pids: list[int]) -> None:
        super().__init__(daemon=True)
        self._pids = pids
        self._samples: list[tuple[float, tuple[float, float, float]]] = []
        self._ended = threading.Event()

    def run(self) -> None:
        """Sample until ``end``."""
        while not self._ended.wait(0.25):
            self._samples.append((time.time(), cpu(self._pids)))

    def end(self) -> None:
        """Stop sampling."""
        self._ended.set()
        self.join()

    def at(self, when: float) -> tuple[float, float, float]:
        """Return user, system and exact CPU time (s) used up to ``when``."""
        before = max((s for s in self._samples if s[0] <= when), default=self._samples[0])
        after = min((s for s in self._samples if s[0] >= when), default=self._samples[-1])
        span = after[0] - before[0]
        share = (when - before[0]) / span if span > 0 else 0.0
        first, last = before[1], after[1]
        return (
            first[0] + (last[0] - first[0]) * share,
            first[1] + (last[1] - first[1]) * share,
            first[2] + (last[2] - first[2]) * share,
        )


# -- one measurement -------------------------------------------------------------------------


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


def measure(pid: int, rate: int, warm: float, secs: float) -> Figures:
    """Run W1 at one rate and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        callee = sipp(
            run, "callee", "-sf", str(HERE / "w1/callee.xml"), "-i", CALLEE[0], "-p", str(CALLEE[1])
        )
        time.sleep(0.6)
        pids = family(pid)
        sampler = Sampler(pids)
        sampler.start()
        calls = int(rate * (warm + secs + 1))
        caller = sipp(
            run,
            "caller",
            *(f"{SUT[0]}:{SUT[1]}", "-sf", str(HERE / "w1/caller.xml")),
            *("-s", "provider.example.net", "-i", CALLER[0], "-p", str(CALLER[1])),
            *("-r", str(rate), "-m", str(calls), "-l", str(max(400, rate))),
            *("-recv_timeout", "8000", "-timeout", str(int(warm + secs + 14))),
        )
        try:
            caller.wait(warm + secs + 30)
        except subprocess.TimeoutExpired:
            caller.kill()
            caller.wait()
        sampler.end()
        memory = resident(pids)
        callee.send_signal(signal.SIGUSR1)
        try:
            callee.wait(3)
        except subprocess.TimeoutExpired:
            callee.kill()
            callee.wait()
        return figures(statistics_of(run / "caller.csv"), sampler, warm, secs, memory)


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
    rows: list[dict[str, Any]], sampler: Sampler, warm: float, secs: float, memory: float
) -> Figures:
    """Work out one measurement between the warm-up's end and ``secs`` later."""
    began = rows[0]["at"]
    first = next((row for row in rows if row["at"] - began >= warm), rows[-2])
    last = next((row for row in rows if row["at"] - began >= warm + secs - 0.5), rows[-1])
    done = int(last["SuccessfulCall(C)"]) - int(first["SuccessfulCall(C)"])
    before, after = sampler.at(first["at"]), sampler.at(last["at"])
    created = int(rows[-1]["TotalCallCreated"])
    return {
        "us_per_call": (after[2] - before[2]) / done * 1e6 if done else float("nan"),
        "us_user": (after[0] - before[0]) / done * 1e6 if done else float("nan"),
        "us_system": (after[1] - before[1]) / done * 1e6 if done else float("nan"),
        "calls_per_s": done / (last["at"] - first["at"]),
        "failed_percent": 100.0 * (created - int(rows[-1]["SuccessfulCall(C)"])) / max(created, 1),
        "retransmissions_percent": 100.0 * int(rows[-1]["Retransmissions(C)"]) / max(created, 1),
        "resident_mb": memory,
    }


# -- all of it ---------------------------------------------------------------------------------


def main() -> int:
    """Run, print, write ``build/bench.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", default="500,1000", help="calls/s, comma separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=float, default=4, help="s")
    parser.add_argument("--secs", type=float, default=8, help="s measured")
    parser.add_argument("--only", choices=tuple(SYSTEMS), help="measure this system alone")
    parser.add_argument("--json", default=str(ROOT / "build" / "bench.json"))
    arguments = parser.parse_args()
    console = Console()
    if shutil.which("sipp") is None:
        console.print("make bench needs SIPp (Debian package sip-tester)")
        return 1
    rates = [int(word) for word in arguments.rates.split(",")]
    kept: dict[str, dict[int, list[Figures]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(arguments.rounds):
            for name, command_of in SYSTEMS.items():
                if arguments.only not in (None, name):
                    continue
                run = Path(folder, name)
                run.mkdir(exist_ok=True)
                command = command_of(run)
                if command is None:
                    if turn == 0:
                        console.print(f"{name} is not installed: not measured")
                    continue
                with running(command, run / "log") as pid:
                    for rate in rates:
                        got = measure(pid, rate, arguments.warm, arguments.secs)
                        kept.setdefault(name, {}).setdefault(rate, []).append(got)
                        console.print(
                            f"round {turn + 1} {name:9s} {rate:5d} calls/s: "
                            f"{got['us_per_call']:7.1f} us/call, "
                            f"{got['failed_percent']:.3f} % failed"
                        )
    report(console, kept, rates, Path(arguments.json))
    return 0


def report(
    console: Console, kept: dict[str, dict[int, list[Figures]]], rates: list[int], file: Path
) -> None:
    """Print medians and ratio; write them."""
    medians = {
        name: {
            rate: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            for rate, runs in by_rate.items()
        }
        for name, by_rate in kept.items()
    }
    table = Table(title="W1: CPU microseconds per call, median")
    columns = (
        "calls/s",
        "system",
        "us/call",
        "user",
        "system",
        "failed %",
        "resent %",
        "MB",
        "ratio",
    )
    for heading in columns:
        table.add_column(heading, justify="right")
    result: dict[str, Any] = {}
    for rate in rates:
        peer = medians.get("kamailio", {}).get(rate)
        for name, by_rate in medians.items():
            one = by_rate[rate]
            ratio = one["us_per_call"] / peer["us_per_call"] if peer else None
            table.add_row(
                str(rate),
                name,
                *(f"{one[key]:.1f}" for key in ("us_per_call", "us_user", "us_system")),
                *(f"{one[key]:.3f}" for key in ("failed_percent", "retransmissions_percent")),
                f"{one['resident_mb']:.0f}",
                "-" if ratio is None else f"{ratio:.2f}",
            )
            entry = result.setdefault(name, {"rates": {}})
            entry["rates"][str(rate)] = {**one, "ratio": ratio}
            entry.update({**one, "ratio": ratio, "rate": rate})  # the highest rate stands for all
    console.print(table)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"w1": result}, indent=1) + "\n")
    console.print(f"written to {os.path.relpath(file)}")


if __name__ == "__main__":
    sys.exit(main())
