"""What was measured, as a table and as JSON; and what a change did to it."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.load import Figures
from bench.workloads import Workload

Kept = dict[str, dict[int, list[Figures]]]
"""Figures by system and rate, one of each round."""

_SHOWN = {
    "us_per_call": ("CPU us", 1),
    "us_user": ("user", 1),
    "us_system": ("kernel", 1),
    "p50_ms": ("p50 ms", 2),
    "p99_ms": ("p99 ms", 2),
    "p999_ms": ("p99.9 ms", 2),
    "failed_percent": ("failed %", 3),
    "retransmissions_percent": ("resent %", 3),
    "resident_mb": ("MB", 0),
}


def medians_of(workload: Workload, kept: Kept, highest: dict[str, Figures]) -> dict[str, Any]:
    """Return a system's medians by rate, each with its ratio to the peer of the same rate."""
    names = list(workload.systems)
    medians = {
        name: {
            rate: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            for rate, runs in by_rate.items()
        }
        for name, by_rate in kept.items()
    }
    peers = medians.get(names[1], {}) if len(names) > 1 else {}
    result: dict[str, Any] = {}
    for name, by_rate in medians.items():
        entry: dict[str, Any] = {"rates": {}}
        for rate, one in by_rate.items():
            peer = peers.get(rate)
            ratio = one["us_per_call"] / peer["us_per_call"] if peer else None
            entry["rates"][str(rate)] = {**one, "ratio": ratio}
            entry.update({**one, "ratio": ratio, "rate": rate})  # the highest rate stands for all
        if name in highest:
            entry["highest"] = highest[name]
        result[name] = entry
    return result


def show(console: Console, workload: Workload, result: dict[str, Any]) -> None:
    """Print the table of one workload."""
    title = f"{workload.name.upper()}, {workload.title}: per {workload.unit}, medians"
    table = Table(title=title)
    for heading in ("/s", "system", *(words[0] for words in _SHOWN.values()), "ratio"):
        table.add_column(heading, justify="right")
    rates = {rate for entry in result.values() for rate in entry["rates"]}
    for rate in sorted(rates, key=int):
        for name, entry in result.items():
            one = entry["rates"].get(rate)
            if one is None:
                continue
            ratio = one["ratio"]
            table.add_row(
                rate,
                name,
                *(f"{one[key]:.{digits}f}" for key, (_, digits) in _SHOWN.items()),
                "-" if ratio is None else f"{ratio:.3g}",
            )
    console.print(table)
    for name, entry in result.items():
        if entry.get("highest"):
            best = entry["highest"]
            console.print(
                f"{name}: at most {best['rate']:.0f}/s, {best['us_per_call']:.0f} us each"
            )


def compare(console: Console, before: Path, after: Path) -> int:
    """Print what changed between two runs: by the ratio to the peer where there is one."""
    old, new = json.loads(before.read_text()), json.loads(after.read_text())
    table = Table(title=f"{before.name} -> {after.name}")
    for heading in ("workload", "system", "/s", "before", "after", "change", "ratio before, after"):
        table.add_column(heading, justify="right")
    for name in (each for each in new if each in old and each != "machine"):
        for system, entry in new[name].items():
            if not isinstance(entry, dict):
                continue
            for rate, one in entry.get("rates", {}).items():
                was = old[name].get(system, {}).get("rates", {}).get(rate)
                if was is None:
                    continue
                change = 100.0 * (one["us_per_call"] / was["us_per_call"] - 1.0)
                ratios = [each["ratio"] for each in (was, one)]
                table.add_row(
                    name,
                    system,
                    rate,
                    f"{was['us_per_call']:.1f}",
                    f"{one['us_per_call']:.1f}",
                    f"{change:+.1f} %",
                    ", ".join("-" if each is None else f"{each:.2f}" for each in ratios),
                )
    console.print(table)
    return 0
