"""W3: accounts of one table kept registered at one registrar, uacproxy and Kamailio.

Three measurements, the registrar (``registrar.py``) on the load's core:

- cold start: N accounts from SQLite, nothing in the store; how long until all are
  registered, CPU of it per account, the most REGISTERs in a tenth of a second, what was
  resent, and how much memory an account holds that is registered and idle;
- steady state: bindings of a short interval, over several refreshes; CPU for an account kept
  registered for an hour (of such grants), the requests that takes, the CPU of each, the most
  of them in a second over the mean, and how many bindings had run out when they were renewed;
- restart (ours): killed with everything registered; REGISTERs sent after the new start.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from rich.console import Console
from rich.table import Table

from bench.account_row import PASSWORD, account_row
from bench.load import LOAD_CORE
from bench.options import Options
from bench.processes import cpu, family, resident
from bench.session import Measurement, Session
from bench.systems import HERE, kamailio_command, running, uacproxy_command
from uacproxy.accounts.schema import make_tables, uacreg_table, version_table

FOLDER = HERE / "registrations"
REGISTRAR = ("127.7.0.4", 5080)
ACCOUNTS = 20_000
ROUNDS = 1  # at most: a round takes ten minutes
KAMAILIO_VERSION = 5  # of the table, that Debian's Kamailio reads; we read it too
GIVE_UP = 180.0  # s, for all accounts to be registered
IDLE = 12.0  # s, after which memory is looked at: transactions have ended by then
STEADY_ACCOUNTS = 5000
STEADY_EXPIRES = 60  # s
STEADY_SETTLES = 2  # grants: a crowd has dispersed after three refreshes
STEADY_LASTS = 2  # grants, a whole number: Kamailio's refreshes come all at once

Figures = dict[str, float]


def make_table(file: Path, accounts: int, expires: int) -> None:
    """Make the table ``uacreg`` both read."""
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    rows = [account_row(number, REGISTRAR, expires) for number in range(accounts)]
    with engine.begin() as connection:
        make_tables(connection)
        version = version_table()
        connection.execute(sqlalchemy.update(version).values(table_version=KAMAILIO_VERSION))
        if rows:
            connection.execute(sqlalchemy.insert(uacreg_table()), rows)
    engine.dispose()


class Registrar:
    """The registrar's process, asked by datagram."""

    def __init__(self) -> None:
        self._asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._asking.bind((REGISTRAR[0], 0))
        self._asking.settimeout(0.5)

    def ask(self, what: bytes) -> dict[str, Any]:
        """Return the answer to STATS or FORGET; a busy registrar is asked again."""
        for _ in range(60):
            self._asking.sendto(what, REGISTRAR)
            try:
                found: dict[str, Any] = json.loads(self._asking.recv(65535))
            except (TimeoutError, ConnectionError):
                continue
            return found
        sys.exit("the registrar does not answer")


@contextmanager
def registering(expires: int) -> Iterator[Registrar]:
    """Run the registrar until the block ends."""
    listen = f"{REGISTRAR[0]}:{REGISTRAR[1]}"
    words = ["--listen", listen, "--password", PASSWORD, "--expires", str(expires)]
    process = subprocess.Popen(
        ["taskset", "-c", LOAD_CORE, sys.executable, str(HERE / "registrar.py"), *words]
    )
    try:
        yield Registrar()
    finally:
        process.terminate()
        process.wait()


def command_of(system: str, run: Path, database: Path, rate: int) -> list[str] | None:
    """Return the command of one system; None: not installed."""
    words = {"DATABASE": str(database), "RATE": str(rate)}
    if system == "uacproxy":
        return uacproxy_command(run, FOLDER / "uacproxy.ini", **words)
    return kamailio_command(run, FOLDER / "kamailio.cfg", **words)


def wait_for_all(registrar: Registrar, accounts: int) -> dict[str, Any]:
    """Return the registrar's counts once all are registered, or when that lasts too long."""
    until = time.monotonic() + GIVE_UP
    while True:
        seen = registrar.ask(b"STATS")
        if seen["users"] >= accounts or time.monotonic() > until:
            return seen
        time.sleep(0.1)


def most_within(slots: list[float], span: int) -> float:
    """Return the most REGISTERs in ``span`` tenths of a second."""
    counts = slots[1:]
    return max((sum(counts[at : at + span]) for at in range(len(counts))), default=0)


def empty_memory(system: str) -> float:
    """Return the memory of a system without accounts, MB."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        make_table(run / "accounts.db", 0, 3600)
        command = command_of(system, run, run / "accounts.db", 0)
        assert command is not None
        with running(command, run / "log") as pid:
            time.sleep(IDLE)
            return resident(family(pid))


def cold_start(system: str, accounts: int, rate: int) -> Figures | None:
    """Measure the cold start, and for ours the restart; None: not installed."""
    with tempfile.TemporaryDirectory() as folder, registering(3600) as registrar:
        run = Path(folder)
        make_table(run / "accounts.db", accounts, 3600)
        command = command_of(system, run, run / "accounts.db", rate)
        if command is None:
            return None
        began = time.monotonic()
        with running(command, run / "log") as pid:
            seen = wait_for_all(registrar, accounts)
            full = time.monotonic() - began
            time.sleep(IDLE)
            seen = registrar.ask(b"STATS")
            pids = family(pid)
            used, memory = cpu(pids)[2], resident(pids)
            registrar.ask(b"FORGET")
            if system == "uacproxy":
                os.kill(pid, signal.SIGKILL)
        got = {
            "accounts": float(accounts),
            "registered": float(seen["users"]),
            "s_to_full": full,
            "us_per_account": used / accounts * 1e6,
            "kb_per_account": (memory - empty_memory(system)) * 1024 / accounts,
            "registers": float(seen["registers"]),
            "resent": float(seen["resent"]),
            "most_in_100_ms": float(most_within(seen["slots"], 1)),
            "most_in_1_s": float(most_within(seen["slots"], 10)),
        }
        if system == "uacproxy":
            with running(command, run / "log"):
                time.sleep(IDLE)
                got["after_restart"] = float(registrar.ask(b"STATS")["registers"])
        return got


def steady_state(system: str, accounts: int, granted: int) -> Figures | None:
    """Measure what it takes to keep accounts registered, and how evenly; None: not installed."""
    with tempfile.TemporaryDirectory() as folder, registering(granted) as registrar:
        run = Path(folder)
        make_table(run / "accounts.db", accounts, granted)
        command = command_of(system, run, run / "accounts.db", 0)
        if command is None:
            return None
        with running(command, run / "log") as pid:
            wait_for_all(registrar, accounts)
            time.sleep(STEADY_SETTLES * granted)
            registrar.ask(b"FORGET")
            before, began = cpu(family(pid))[2], time.monotonic()
            time.sleep(STEADY_LASTS * granted)
            seen = registrar.ask(b"STATS")
            used, lasted = cpu(family(pid))[2] - before, time.monotonic() - began
        mean = seen["registers"] / lasted
        hours = accounts * lasted / 3600
        return {
            "ms_per_account_hour": used / hours * 1e3,
            "registers_per_account_hour": seen["registers"] / hours,
            "grants_per_account_hour": seen["granted"] / hours,
            "registers_per_s": mean,
            "peak_over_mean": most_within(seen["slots"], 10) / mean if mean else float("nan"),
            "lapsed": float(seen["lapsed"]),
            "us_per_register": used / max(seen["registers"], 1) * 1e6,
        }


def steady_of(options: Options) -> tuple[int, int]:
    """Return how many accounts the steady state has, and for how many s they are granted."""
    accounts = options.accounts if options.steady and options.accounts else STEADY_ACCOUNTS
    return accounts, options.granted or STEADY_EXPIRES


def lasts(options: Options) -> float:
    """Return how many s W3 takes, about."""
    one = 2 * ((STEADY_SETTLES + STEADY_LASTS) * steady_of(options)[1] + 10.0)
    if not options.steady:
        accounts = options.accounts or ACCOUNTS
        one += 2.3 * accounts / options.reg_rate if options.reg_rate else 10.0
        one += 6 * IDLE + 15
    return min(options.rounds, ROUNDS) * one / (2 if options.only else 1)


def measure_cold(session: Session, system: str, name: str) -> Figures | None:
    """Measure the cold start and tell of it."""
    arguments = session.options
    got = cold_start(system, arguments.accounts or ACCOUNTS, arguments.reg_rate)
    if got is not None:
        session.tell(
            f"{name}: {got['registered']:.0f} registered in "
            f"{got['s_to_full']:.1f} s, {got['us_per_account']:.0f} us and "
            f"{got['kb_per_account']:.1f} kB each, "
            f"at most {got['most_in_100_ms']:.0f} in 100 ms"
        )
    return got


def measure_steady(session: Session, system: str, name: str) -> Figures | None:
    """Measure the steady state and tell of it."""
    accounts, granted = steady_of(session.options)
    got = steady_state(system, accounts, granted)
    if got is not None:
        session.tell(
            f"{name}: an hour of {granted} s grants: "
            f"{got['ms_per_account_hour']:.1f} ms of CPU an account, "
            f"{got['registers_per_account_hour']:.0f} requests of {got['us_per_register']:.0f} us, "
            f"peak over mean {got['peak_over_mean']:.2f}, {got['lapsed']:.0f} lapsed"
        )
    return got


def measure(session: Session) -> None:
    """Run W3, print it and keep it."""
    result: dict[str, Any] = {}
    options = session.options
    for system in ("uacproxy", "kamailio"):
        if options.only not in (None, system):
            continue
        rounds: list[Figures] = []
        for turn in range(min(options.rounds, ROUNDS)):
            name = f"w3 round {turn + 1} {system:9s}"
            cold: Figures | None = {}
            if not options.steady:
                cold = measure_cold(session, system, name)
            steady = None if cold is None else measure_steady(session, system, name)
            if cold is None or steady is None:
                session.tell(f"{system} is not installed: not measured")
                break
            rounds.append({**cold, **steady})
            keys = rounds[0].keys()
            result[system] = {key: statistics.median(one[key] for one in rounds) for key in keys}
            session.keep(result)
    show(session.console, result)


W3 = Measurement("w3", "accounts kept registered", measure, lasts, is_usual=False)


def show(console: Console, result: dict[str, Any]) -> None:
    """Print what was measured, a figure a line."""
    table = Table(title="W3, accounts kept registered: medians")
    table.add_column("figure")
    for system in result:
        table.add_column(system, justify="right")
    keys = dict.fromkeys(key for figures in result.values() for key in figures)
    for key in keys:
        shown = [result[system].get(key) for system in result]
        table.add_row(
            key.replace("_", " "), *("-" if one is None else f"{one:,.2f}" for one in shown)
        )
    console.print(table)
