"""A thousand bridged calls at once, twice: nothing is left of them, and memory does not grow."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.services import Sipp
from tests.support.uacproxy_process import UacproxyProcess
from uacproxy.bridge.calls import SPACE

SCENARIOS = Path(__file__).parent / "scenarios"

INI = """\
[sip]
listen = udp:@HERE@
t1 = 100ms
t2 = 400ms
t4 = 500ms

[store]
url = sqlite:///state.db

[rule:out]
replace_from = "Trunk 7" sip:7@trunk.example
bridge = sip:@CALLEE@
"""

CALLS, RATE, HOLD = 1000, 70, 30  # calls a second; s, twice as long as it takes to call
ROUNDS = 2
GROWTH = 1.1  # of memory from one round to the next

Start = Callable[..., UacproxyProcess]
StartSipp = Callable[..., Sipp]


def resident(pid: int) -> float:
    """Return the memory a process has now, MB."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


@pytest.mark.slow
def test_of_a_thousand_calls_at_once_nothing_is_left_and_a_second_round_takes_no_more(
    start_uacproxy: Start, start_sipp: StartSipp
) -> None:
    callee = start_sipp("uas", "", "-t", "u1", "-m", str(ROUNDS * CALLS))
    callee.wait_until_listening()
    service = start_uacproxy(INI, callee=callee.uri_host)
    memory = [resident(service.pid)]
    for _ in range(ROUNDS):
        many = ["-t", "u1", "-m", str(CALLS), "-l", str(CALLS), "-r", str(RATE)]
        scenario = SCENARIOS / "caller_holds.xml"
        caller = start_sipp(scenario, service.address, *many, "-d", str(1000 * HOLD))
        service.wait_for(bridge_calls=CALLS, bridge_legs=2 * CALLS)
        assert service.stats()["timers.pending"] >= 2 * CALLS  # each side's session
        caller.finish(HOLD + 120.0).check()
        service.wait_for(
            bridge_calls=0,
            bridge_legs=0,
            transaction_servers=0,
            transaction_clients=0,
            timers_pending=0,
        )
        memory.append(resident(service.pid))
    callee.finish().check()
    logging.info("resident before, after one and two rounds, MB: %s", memory)
    stats = service.stats()
    assert stats["bridge.ended"] == ROUNDS * CALLS
    assert (stats["bridge.expired"], stats["bridge.unacknowledged"]) == (0, 0)
    assert kept(service) == 0
    assert memory[2] <= GROWTH * memory[1], memory


def kept(service: UacproxyProcess) -> int:
    """Count what the store has of bridged calls."""
    with closing(sqlite3.connect(f"file:{service.folder}/state.db?mode=ro", uri=True)) as file:
        (found,) = file.execute("SELECT count(*) FROM state WHERE space = ?", (SPACE,))
    return int(found[0])
