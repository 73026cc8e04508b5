"""What /proc knows of a system under test: its processes, their CPU and memory."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

Cpu = tuple[float, float, float]
"""User, system and exact CPU time, s."""


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


def cpu(pids: list[int]) -> Cpu:
    """Return the CPU time of all threads of these processes."""
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
        self._samples: list[tuple[float, Cpu]] = []
        self._ended = threading.Event()

    def run(self) -> None:
        """Sample until ``end``."""
        while not self._ended.wait(0.25):
            self._samples.append((time.time(), cpu(self._pids)))

    def end(self) -> None:
        """Stop sampling."""
        self._ended.set()
        self.join()

    def at(self, when: float) -> Cpu:
        """Return the CPU time used up to ``when``, s of the epoch."""
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
