"""Refreshes of registrations in this process: real parts and real sockets, a clock of our own.

Accounts are kept registered at the registrar of W3 (``bench/registrar.py``), whose work is
not in the figures: only the beats and ``doRead`` of the listener are timed. What comes due
between two beats leaves together, as in service.

    python -m bench.micro.whole_refresh               # microseconds a refresh, best of many
    valgrind --tool=callgrind --toggle-collect=functools_reduce \
        python -m bench.micro.whole_refresh --minutes 1   # instructions, see CONTRIBUTING.md
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.account_row import PASSWORD, account_row
from bench.micro.whole_call import KEY, Reactor, peer
from bench.registrar import Registrar
from uacproxy.collector import Collector
from uacproxy.config.ini import read_config
from uacproxy.config.script import read_script
from uacproxy.parts import Parts
from uacproxy.transaction.timers import BeatClock
from uacproxy.uac.account import check_row

BEAT = 0.1  # s
GRANTED = 60  # s

INI = """\
[sip]
listen = udp:127.0.0.1:0
[store]
url = memory:
[uac]
reg_contact_addr = 192.0.2.1:5060
reg_rate = 0
reg_rate_per_registrar = 0
[log]
level = warn
[management]
amp =
"""


class Bench:
    """A service with accounts, and their registrar."""

    def __init__(self, accounts: int) -> None:
        self.peer = peer()
        self.registrar = Registrar(PASSWORD, GRANTED)
        self.now = 1000.0
        self.spent = 0  # ns
        self.is_warm = False
        with tempfile.TemporaryDirectory() as folder:
            ini = Path(folder, "uacproxy.ini")
            ini.write_text(INI)
            config = read_config(str(ini))
            script = read_script(config)
        self.parts = Parts(config, Reactor())
        self.parts.clock = BeatClock(lambda: self.now, self._failed)
        self.parts.open_store()
        self.parts.build(script, [KEY])
        self.parts.transports.open()
        (self.listener,) = self.parts.transports._udp.values()
        host, port = self.peer.getsockname()
        for number in range(accounts):
            row = account_row(number, (host, port), GRANTED)
            self.parts.registrations.add(check_row(row))

    def _failed(self, error: Exception) -> None:
        raise error

    def timed(self, call: Callable[[], Any], times: int = 1) -> None:
        """Do what is measured; callgrind counts what happens in ``reduce``."""
        if not self.is_warm:
            for _ in range(times):
                call()
            return
        began = time.perf_counter_ns()
        functools.reduce(lambda _, __: call(), range(times), None)
        self.spent += time.perf_counter_ns() - began

    def pass_on(self) -> int:
        """Let ``BEAT`` pass and everything be answered; return how many REGISTERs that were."""
        self.now += BEAT
        parts = self.parts
        before = parts.transport_counters.sent
        self.timed(lambda: parts.transports.together(parts.clock.beat))
        self.timed(lambda: parts.transports.together(parts.registrations.beat))
        sent = 0
        while parts.transport_counters.sent - before > sent:
            count = parts.transport_counters.sent - before - sent
            for _ in range(count):
                datagram, address = self.peer.recvfrom(65535)
                self.peer.sendto(self.registrar.answer(datagram, self.now), address)
            sent += count
            self.timed(self.listener.doRead, 1 + (count - 1) // 64)
        return sent

    def span(self, seconds: float) -> float:
        """Let time pass; return microseconds a REGISTER."""
        self.spent = 0
        until = self.now + seconds
        sent = 0
        while self.now < until:
            sent += self.pass_on()
        return self.spent / max(1, sent) / 1000


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accounts", type=int, default=5000)
    parser.add_argument("--warm", type=float, default=3, help="minutes of the simulated clock")
    parser.add_argument("--minutes", type=float, default=10, help="of the simulated clock")
    arguments = parser.parse_args()
    bench = Bench(arguments.accounts)
    Collector(lambda: 0).start()
    bench.span(60 * arguments.warm)
    bench.is_warm = True
    counters = bench.parts.registration_counters
    granted, began = counters.granted, bench.now
    figures = sorted(bench.span(5.0) for _ in range(int(12 * arguments.minutes)))
    refreshes = counters.granted - granted
    kind = (
        "compiled" if str(sys.modules["uacproxy.sip.message"].__file__).endswith(".so") else "plain"
    )
    print(
        f"whole refresh, {kind}: best {figures[0]:.1f}, median {figures[len(figures) // 2]:.1f} us;"
        f" {refreshes} refreshes, {refreshes / (bench.now - began):.0f} a second;"
        f" {counters.challenged} challenged and {counters.failed} failed in all"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
