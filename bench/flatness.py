"""Whether a call costs the same beside few and many dialogs that stand, and idle accounts.

Dialogs are kept where they take most: tracked (W1D) and bridged (W4), set up by SIPp and never
ended. Accounts are rows of ``uacreg`` that the registrar of W3 has granted an hour. The few and
the many take turns round by round; the ratio of their medians is the figure.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from bench.load import HOLD_RATE, HOLD_WAITS, Figures, hold_calls, measure
from bench.options import Options
from bench.registrations import IDLE, Registrar, make_table, registering, wait_for_all
from bench.session import Measurement, Session
from bench.systems import running
from bench.workloads import BY_DIALOG, WORKLOADS, Command, uacproxy

FEW, MANY = 100, 50_000  # dialogs
MANY_ACCOUNTS = 100_000
RATE = 500  # calls/s
GRANTED = 3600  # s
ROUNDS = 1  # at most: the dialogs alone take a minute and a half to set up

_ACCOUNTS = {
    "UAC": "reg_db_url = sqlite:///accounts.db\nreg_contact_addr = 127.7.0.1:5060\n"
    "reg_rate = 0\nreg_rate_per_registrar = 0",
    "TAIL": "[limits]\nmax_transactions = 1000000",
}


class Standing(NamedTuple):
    """What stands beside the calls."""

    title: str
    workload: str
    command: Command
    few: int
    many: int
    has_accounts: bool = False


CASES = {
    "dialogs": Standing(
        "tracked dialogs", "w1d", uacproxy(**BY_DIALOG, TAIL="[limits]\nmax_dialogs = 200000"),
        FEW, MANY,
    ),
    "bridged": Standing(
        "bridged calls", "w4",
        uacproxy(TARGET="bridge = sip:127.7.0.2:5070", TAIL="[limits]\nmax_dialogs = 200000"),
        FEW, MANY,
    ),
    "accounts": Standing(
        "accounts", "w1", uacproxy(**_ACCOUNTS), FEW, MANY_ACCOUNTS, has_accounts=True
    ),
}  # fmt: skip


def lasts(options: Options) -> float:
    """Return how many s it takes, about."""
    cases = [case for name, case in CASES.items() if options.only in (None, name)]
    found = 0.0
    for case in cases:
        for count in (case.few, many(options, case)):
            waits = 15 + count / 2000 if case.has_accounts else count / HOLD_RATE + HOLD_WAITS
            found += waits + options.warm + options.secs + 6
    return found * min(options.rounds, ROUNDS)


def many(options: Options, case: Standing) -> int:
    """Return how many stand in the second measurement."""
    return case.many // 10 if options.quick else case.many


def run(session: Session) -> None:
    """Measure each case with few and with many, print the ratio."""
    options = session.options
    result: dict[str, Any] = {}
    for name, case in CASES.items():
        if options.only not in (None, name):
            continue
        kept: dict[int, list[Figures]] = {}
        for turn in range(min(options.rounds, ROUNDS)):
            for count in (case.few, many(options, case)):
                got = measure_beside(case, count, options)
                kept.setdefault(count, []).append(got)
                session.tell(
                    f"flat round {turn + 1}: beside {count} {case.title} {got['us_per_call']:.1f} "
                    f"us/call at {got['calls_per_s']:.0f}/s, {got['failed_percent']:.3f} % failed, "
                    f"{got['resident_mb']:.0f} MB"
                )
                result[name] = of_medians(kept)
                session.keep(result)
        session.tell(f"flat: {case.title}: {result[name]['ratio']:.3f} times (goal: within 1.15)")


def measure_beside(case: Standing, count: int, options: Options) -> Figures:
    """Measure calls beside ``count`` of what stands."""
    workload = WORKLOADS[case.workload]
    rate = options.rates[0] if options.rates else RATE
    with tempfile.TemporaryDirectory() as folder:
        run_folder = Path(folder)
        command = case.command(run_folder)
        assert command is not None
        registrar: AbstractContextManager[Registrar | None] = nullcontext()
        if case.has_accounts:
            make_table(run_folder / "accounts.db", count, GRANTED)
            registrar = registering(GRANTED)
        with registrar as asked, running(command, run_folder / "log") as pid:
            if asked is None:
                hold_calls(workload, count)
            else:
                seen = wait_for_all(asked, count)
                if seen["users"] < count:
                    sys.exit(f"only {seen['users']} of {count} accounts got registered")
                time.sleep(IDLE)
            return measure(pid, workload, rate, options.warm, options.secs)


def of_medians(kept: dict[int, list[Figures]]) -> dict[str, Any]:
    """Return the medians by count, and how many times the many cost of the few."""
    us = {
        count: statistics.median(one["us_per_call"] for one in runs) for count, runs in kept.items()
    }
    costs = list(us.values())
    return {
        "us_per_call": {str(count): each for count, each in us.items()},
        "ratio": costs[-1] / costs[0],
    }


FLAT = Measurement("flat", "calls beside few and many dialogs and accounts", run, lasts, False)
