"""What the command line of ``make bench`` says."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.systems import ROOT

WHOLE = 30 * 60  # s, that everything together may take at three rounds


@dataclass(frozen=True)
class Options:
    """The words after ``python -m bench``; 0 rates or accounts stand for a measurement's own."""

    names: tuple[str, ...]
    rates: tuple[int, ...]  # units/s
    rounds: int
    warm: float  # s before a measurement begins
    secs: float  # s that are measured
    only: str | None
    highest: bool
    standing: int
    accounts: int
    reg_rate: int
    steady: bool
    granted: int
    quick: bool
    results: Path
    base: Path | None  # to compare the results with


def read_options(names: Sequence[str], usual: Sequence[str], about: str) -> Options:
    """Read the command line.

    Args:
        names: of all measurements.
        usual: those that run when none is named.
        about: the text above ``--help``.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=about)
    parser.add_argument(
        "names", nargs="*", help=f"of {' '.join(names)}, or 'all'; none: {' '.join(usual)}"
    )
    parser.add_argument("--rates", default="", help="units/s, comma separated")
    parser.add_argument("--rounds", type=int, help="3, of which medians are taken; quick: 1")
    parser.add_argument("--warm", type=float, default=3, help="s")
    parser.add_argument("--secs", type=float, help="s measured: 6; quick: 3")
    parser.add_argument("--quick", action="store_true", help="a short look: one round, shortened")
    parser.add_argument("--only", help="measure this system alone")
    parser.add_argument("--highest", action="store_true", help="search the highest rate too")
    parser.add_argument("--standing", type=int, default=0, help="calls set up before, never ended")
    parser.add_argument("--accounts", type=int, default=0, help="of W3")
    parser.add_argument("--reg-rate", type=int, default=1000, help="REGISTERs/s of W3; 0: no limit")
    parser.add_argument("--steady", action="store_true", help="of W3 the steady state alone")
    parser.add_argument("--granted", type=int, default=0, help="s, in the steady state of W3; 60")
    parser.add_argument("--json", default=str(ROOT / "build" / "bench.json"))
    parser.add_argument("--compare", help="an earlier bench.json to compare the last one with")
    given = parser.parse_args()
    wanted = list(names) if "all" in given.names else given.names or list(usual)
    unknown = [name for name in wanted if name not in names]
    if unknown:
        parser.error(f"no measurement {', '.join(unknown)}; there are {', '.join(names)}")
    return Options(
        names=tuple(dict.fromkeys(wanted)),
        rates=tuple(int(word) for word in given.rates.split(",") if word),
        rounds=given.rounds or (1 if given.quick else 3),
        warm=given.warm,
        secs=given.secs or (3 if given.quick else 6),
        only=given.only,
        highest=given.highest,
        standing=given.standing,
        accounts=given.accounts,
        reg_rate=given.reg_rate,
        steady=given.steady,
        granted=given.granted,
        quick=given.quick,
        results=Path(given.json),
        base=Path(given.compare) if given.compare else None,
    )
