"""Calls through two workers: nobody outside can tell, and one that is killed takes few along."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.sipp.test_failures import INI as FAILURES
from tests.support.sipp_scenarios import as_played
from tests.support.sipp_traffic import (
    CHALLENGED,
    INI,
    SCENARIOS,
    SOCKETS,
    Start,
    StartSipp,
    Traffic,
)
from uacproxy.sip.owner import owner_of_token


def shared(ini: str) -> str:
    """Return a configuration with two workers in place of one process."""
    return ini.replace("[sip]\n", "[sip]\nworkers = 2\n", 1)


@pytest.mark.parametrize(
    ("transport", "how"), [("udp", "relay"), ("tcp", "relay"), ("udp", "bridge")]
)
def test_both_sides_see_their_own_identities_whichever_worker_hears_them(
    start_uacproxy: Start, start_sipp: StartSipp, tmp_path: Path, transport: str, how: str
) -> None:
    traffic = Traffic(
        start_uacproxy,
        start_sipp,
        tmp_path,
        transport,
        rate=15,
        seconds=2,
        how=how,
        ini=shared(INI),
    )
    before = traffic.service.stats()["transport.handed"]
    traffic.check()
    handed = traffic.service.stats()["transport.handed"] - before
    if transport == "tcp":
        assert handed > 0
    else:
        assert handed < 30  # a call; word of what could not be reached is counted too


def test_a_challenge_is_answered_by_the_worker_that_has_the_call(
    start_uacproxy: Start, start_sipp: StartSipp, tmp_path: Path
) -> None:
    traffic = Traffic(
        start_uacproxy,
        start_sipp,
        tmp_path,
        "udp",
        rate=10,
        seconds=2,
        ini=shared(CHALLENGED),
        callee="callee_challenges.xml",
    )
    traffic.check()
    assert traffic.service.stats()["proxy.authenticated"] == 20


def test_a_cancel_finds_the_invite_it_is_for(
    start_uacproxy: Start, start_sipp: StartSipp, tmp_path: Path
) -> None:
    few = ["-t", SOCKETS["udp"], "-m", "10", "-cid_str", "%u-%p-%s"]
    ringing = as_played(SCENARIOS / "callee_is_cancelled.xml", "relay", tmp_path)
    called = start_sipp(ringing, "", *few)
    called.wait_until_listening()
    service = start_uacproxy(shared(FAILURES), callee=called.uri_host, transport="udp", how="relay")
    gives_up = as_played(SCENARIOS / "caller_cancels.xml", "relay", tmp_path)
    start_sipp(gives_up, service.address, *few, "-r", "10").finish().check()
    called.finish().check()
    stats = service.stats()
    assert (stats["transaction.sent_again"], stats["transaction.timeouts"]) == (0, 0)


@pytest.mark.slow
def test_a_killed_worker_under_load_costs_no_call_of_the_other(
    start_uacproxy: Start, start_sipp: StartSipp, tmp_path: Path
) -> None:
    who = tmp_path / "who.csv"
    who.write_text("SEQUENTIAL\ncaller;\ncallee;\n")
    many = ["-t", "u1", "-m", "100", "-cid_str", "%u-%p-%s", "-timeout", "60"]
    callee = start_sipp(SCENARIOS / "callee.xml", "", *many)
    callee.wait_until_listening()
    service = start_uacproxy(shared(INI), callee=callee.uri_host, transport="udp", how="relay")
    caller = start_sipp(
        SCENARIOS / "caller.xml", service.address, *many, *["-inf", str(who), "-r", "20"]
    )
    service.server.wait_until(lambda: service.stats()["proxy.requests"] > 40)
    os.kill(int(service.stats()["worker.1.pid"]), signal.SIGKILL)
    errors = caller.finish(90.0).errors + callee.stop().errors
    failed = set(re.findall(r"Call-I[dD]:? '?(\d+-\d+-[\d.]+)", errors))
    assert {owner_of_token(call_id.encode(), 2) for call_id in failed} <= {0}, errors
    assert len(failed) < 40  # those that were being set up, not those that stood or came later
    stats = service.stats()
    assert (stats["worker.1.restarts"], stats["worker.2.restarts"]) == (1, 0)
