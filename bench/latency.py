"""Added latency at 80 % of the highest rate, and which work of ours its tail coincides with.

SIPp makes the load and ``bench.prober`` times its own calls beside it; ``bench.watched`` says
when the collector of cycles, the store and the timers were at work. A message that was on its way
while one of them ran is counted as theirs. Measured once transactions end as fast as they begin:
more of them than ``max_transactions`` allows by itself, so that is raised.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.histogram import buckets, lines, percentiles
from bench.load import LOAD_CORE, measure
from bench.options import Options
from bench.session import Measurement, Session
from bench.systems import ROOT, running
from bench.workloads import BY_DIALOG, WORKLOADS, Command, kamailio, uacproxy

PROBES = 50  # calls/s
SHARE = 0.8  # of the highest rate
FALLBACK = 2000  # calls/s, as highest rate where none was measured
SETTLES = 35.0  # s: timer K and the 32 s of timers B, F, H, I are behind us
SECS = 20.0  # s, of probing
TAIL = 0.99  # from this share on, it is the tail
WATCHED = ("collections", "flushes", "beats", "sweeps")

_PROBE = {
    "TAIL": "[limits]\nmax_transactions = 4000000",
    "PROBE": "[rule:probe]\nrequest_uri = sip:probe@*\n"
    "replace_from = sip:trunk01@provider.example.net\nrelay = sip:127.7.0.6:5072\n",
}
_STORED = {**BY_DIALOG, "STORE": "sqlite:///state.db"}

SYSTEMS: dict[str, Command] = {
    "w1": uacproxy(**_PROBE),
    "w1d, sqlite": uacproxy(**_PROBE, **_STORED),
    "kamailio": kamailio("WITH_UAC", "WITH_PROBE"),
}


def lasts(options: Options) -> float:
    """Return how many s it takes, about."""
    settles, secs = _times(options)
    return (1 if options.only else len(SYSTEMS)) * (settles + secs + 8)


def _times(options: Options) -> tuple[float, float]:
    return (4.0, 6.0) if options.quick else (SETTLES, SECS)


def run(session: Session) -> None:
    """Measure every system, print its histogram, keep the figures."""
    options = session.options
    result: dict[str, Any] = {}
    for name, command_of in SYSTEMS.items():
        if options.only not in (None, name):
            continue
        rate = options.rates[0] if options.rates else int(SHARE * highest(options, name))
        with tempfile.TemporaryDirectory() as folder:
            run_folder = Path(folder)
            command = command_of(run_folder)
            if command is None:
                session.tell(f"{name} is not installed: not measured")
                continue
            found = probe(command, run_folder, rate, *_times(options))
        result[name] = {"rate": rate, **found}
        session.keep(result)
        show(session, name, result[name])


def highest(options: Options, name: str) -> float:
    """Return the highest rate of W1 as last measured."""
    system = "kamailio" if name == "kamailio" else "uacproxy"
    if options.results.exists():
        kept = json.loads(options.results.read_text()).get("w1", {}).get(system, {})
        if kept.get("highest"):
            return float(kept["highest"]["rate"])
    return FALLBACK


def probe(
    command: list[str], folder: Path, rate: int, settles: float, secs: float
) -> dict[str, Any]:
    """Probe one system under load; return its figures."""
    watch, probes = folder / "watch.json", folder / "probes.json"
    if command[0] == sys.executable:  # ours: the same by way of bench.watched
        command = [sys.executable, "-m", "bench.watched", str(watch), *command[2:]]
    with running(command, folder / "log") as pid:
        prober = subprocess.Popen(
            [
                *("taskset", "-c", LOAD_CORE, sys.executable, "-m", "bench.prober"),
                *("--rate", str(PROBES), "--after", str(settles), "--secs", str(secs)),
                *("--json", str(probes)),
            ],
            cwd=ROOT,
        )
        try:
            load = measure(pid, WORKLOADS["w1"], rate, settles, secs + 2)
            prober.wait(settles + secs + 20)
        finally:
            if prober.poll() is None:
                prober.kill()
                prober.wait()
    seen = json.loads(probes.read_text())
    messages = [(began, took) for _, began, took in seen["messages"]]
    found: dict[str, Any] = {
        "calls": seen["calls"],
        "answered": seen["answered"],
        "left_out": seen["left_out"],
        "refused": seen["refused"],
        "messages": len(messages),
        "load_failed_percent": load["failed_percent"],
        "us_per_call": load["us_per_call"],
        **{f"{name}_ms": us / 1000 for name, us in percentiles(_us(messages)).items()},
        "by_kind_p99_ms": by_kind(seen["messages"]),
        "histogram_us": buckets(_us(messages)),
    }
    if watch.exists():
        watched = json.loads(watch.read_text())
        for what in WATCHED:
            spans = [tuple(span) for span in watched[what]]
            found[what] = share_of(messages, spans)
    return found


def _us(messages: Sequence[tuple[int, int]]) -> list[float]:
    return [took / 1000 for _, took in messages]


def by_kind(messages: Sequence[tuple[str, int, int]]) -> dict[str, float]:
    """Return p99 of each kind of message, ms."""
    kinds = dict.fromkeys(kind for kind, _, _ in messages)
    return {
        kind: percentiles([took / 1e6 for one, _, took in messages if one == kind])["p99"]
        for kind in kinds
    }


def share_of(
    messages: Sequence[tuple[int, int]], spans: Sequence[tuple[int, ...]]
) -> dict[str, float]:
    """Return what some spans of work have to do with the slowest messages.

    Args:
        messages: when each was sent (ns of the epoch), and how many ns it took.
        spans: begin, end (ns of the epoch) and generation.
    """
    first = min(began for began, _ in messages)
    last = max(began + took for began, took in messages)
    within = [span for span in spans if span[1] >= first and span[0] <= last]
    edge = sorted(took for _, took in messages)[int(TAIL * len(messages))]
    hit = [any(s[0] < b + t and s[1] > b for s in within) for b, t in messages]
    tail = [is_hit for is_hit, (_, took) in zip(hit, messages, strict=True) if took >= edge]
    spared = [took / 1e6 for is_hit, (_, took) in zip(hit, messages, strict=True) if not is_hit]
    pauses = [(end - began) / 1e6 for began, end, _ in within]
    return {
        "times": float(len(within)),
        "longest_ms": max(pauses, default=0.0),
        "percent_of_time": 1e8 * sum(pauses) / max(1, last - first),
        "of_generation_2": float(sum(1 for span in within if span[2] == 2)),
        "messages_hit": float(sum(hit)),
        "tail_hit_percent": 100.0 * sum(tail) / max(1, len(tail)),
        "p99_without_ms": percentiles(spared)["p99"] if spared else float("nan"),
        "max_without_ms": max(spared, default=float("nan")),
    }


def show(session: Session, name: str, found: dict[str, Any]) -> None:
    """Print the histogram and what the tail is made of."""
    session.tell(
        f"latency {name} beside {found['rate']} calls/s: {found['answered']} of {found['calls']} "
        f"calls, {sum(found['refused'].values())} refused, {found['messages']} messages, "
        f"p50 {found['p50_ms']:.2f}, p90 {found['p90_ms']:.2f}, p99 {found['p99_ms']:.2f}, "
        f"p99.9 {found['p999_ms']:.2f}, max {found['max_ms']:.2f} ms"
    )
    for line in lines(found["histogram_us"]):
        session.console.print(f"  {line}", markup=False, highlight=False)
    for what in WATCHED:
        if what in found:
            one = found[what]
            session.console.print(
                f"  {what}: {one['times']:.0f}, {one['of_generation_2']:.0f} of them full, the "
                f"longest {one['longest_ms']:.2f} ms; {one['messages_hit']:.0f} messages met one, "
                f"{one['tail_hit_percent']:.1f} % of the slowest 1 %; without those p99 is "
                f"{one['p99_without_ms']:.2f} ms, the longest {one['max_without_ms']:.2f} ms",
                highlight=False,
            )


LATENCY = Measurement("latency", "added latency at 80 % of the highest rate", run, lasts)
