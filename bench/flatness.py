"""Whether a call costs the same beside few and many dialogs that stand, and idle accounts.

Dialogs are kept where they take most: tracked (W1D) and bridged (W4), set up by SIPp and never
ended. Accounts are rows of ``uacreg`` that the registrar of W3 has granted an hour. The few and
the many stand in two services at the same time, and calls are made at one and the other by turns:
setting many up takes minutes, in which the machine becomes another. The ratio of the medians is
the figure.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from bench.load import HOLD_RATE, HOLD_WAITS, Figures, hold_calls, measure
from bench.options import Options
from bench.registrations import IDLE, Registrar, make_table, registering, wait_for_all
from bench.session import Measurement, Session
from bench.systems import SECOND_SUT, SUT, Address, running
from bench.workloads import BY_DIALOG, WORKLOADS, uacproxy

FEW, MANY = 100, 50_000  # dialogs
MANY_ACCOUNTS = 100_000
RATE = 500  # calls/s
GRANTED = 3600  # s
TURNS, QUICK_TURNS = 5, 2  # of each
WARM = 1.5  # s before each is measured

_ACCOUNTS = {
    "UAC": "reg_db_url = sqlite:///accounts.db\nreg_contact_addr = 127.7.0.1:5060\n"
    "reg_rate = 0\nreg_rate_per_registrar = 0",
    "TAIL": "[limits]\nmax_transactions = 1000000",
}


class Standing(NamedTuple):
    """What stands beside the calls."""

    title: str
    workload: str
    words: dict[str, str]  # of calls/uacproxy.ini
    few: int
    many: int
    has_accounts: bool = False


CASES = {
    "dialogs": Standing(
        "tracked dialogs", "w1d", {**BY_DIALOG, "TAIL": "[limits]\nmax_dialogs = 200000"},
        FEW, MANY,
    ),
    "bridged": Standing(
        "bridged calls", "w4",
        {"TARGET": "bridge = sip:127.7.0.2:5070", "TAIL": "[limits]\nmax_dialogs = 200000"},
        FEW, MANY,
    ),
    "accounts": Standing(
        "accounts", "w1", _ACCOUNTS, FEW, MANY_ACCOUNTS, has_accounts=True
    ),
}  # fmt: skip


def lasts(options: Options) -> float:
    """Return how many s it takes, about."""
    cases = [case for name, case in CASES.items() if options.only in (None, name)]
    found = 0.0
    for case in cases:
        for count in (case.few, many(options, case)):
            found += 15 + count / 2000 if case.has_accounts else count / HOLD_RATE + HOLD_WAITS
        found += 5 + 2 * _turns(options) * (WARM + options.secs + 2)
    return found


def _turns(options: Options) -> int:
    return QUICK_TURNS if options.quick else TURNS


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
        workload, rate = WORKLOADS[case.workload], options.rates[0] if options.rates else RATE
        with ExitStack() as stack:
            asked = stack.enter_context(registering(GRANTED)) if case.has_accounts else None
            stand: dict[int, tuple[int, Address]] = {}
            for count, sut in ((case.few, SUT), (many(options, case), SECOND_SUT)):
                stand[count] = (start(stack, case, count, sut, asked), sut)
            for turn in range(_turns(options)):
                for count, (pid, sut) in stand.items():
                    got = measure(pid, workload, rate, WARM, options.secs, sut)
                    kept.setdefault(count, []).append(got)
                    session.tell(
                        f"flat turn {turn + 1}: beside {count} {case.title} "
                        f"{got['us_per_call']:.1f} us/call at {got['calls_per_s']:.0f}/s, "
                        f"{got['failed_percent']:.3f} % failed, {got['resident_mb']:.0f} MB"
                    )
                result[name] = of_medians(kept)
                session.keep(result)
        session.tell(f"flat: {case.title}: {result[name]['ratio']:.3f} times (goal: within 1.15)")


def start(
    stack: ExitStack, case: Standing, count: int, sut: Address, asked: Registrar | None
) -> int:
    """Start a service and let ``count`` of what stands begin; return its pid."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    listen = f"{sut[0]}:{sut[1]}"
    command = uacproxy(**case.words, LISTEN=listen)(folder)
    assert command is not None
    if asked is not None:
        make_table(folder / "accounts.db", count, GRANTED)
    pid = stack.enter_context(running(command, folder / "log", sut))
    if asked is None:
        hold_calls(WORKLOADS[case.workload], count, sut)
        return pid
    seen = wait_for_all(asked, count)
    if seen["users"] < count:
        sys.exit(f"only {seen['users']} of {count} accounts got registered")
    time.sleep(IDLE)
    return pid


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
