"""The service that cannot start says why in one line; asked to stop, it ends with 0."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest
import pytest_twisted

from tests.support.child import Run, spawn
from tests.support.free_ports import LOOPBACK, free_port

RULES = "[store]\nurl = memory:\n[rule:all]\nreply = 404\n"


def started(folder: Path, listen: str, more: str = "") -> Run:
    """Run ``twistd uacproxy`` in the foreground of a folder of its own."""
    (folder / "uacproxy.ini").write_text(f"[sip]\nlisten = {listen}\n{RULES}{more}")
    twistd = str(Path(sys.executable).with_name("twistd"))
    return spawn([sys.executable, twistd, "-n", "--pidfile=", "uacproxy"], cwd=folder)


@pytest_twisted.ensureDeferred
async def test_an_address_in_use_is_told_without_a_traceback(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((LOOPBACK, 0))
        address = f"udp:{LOOPBACK}:{other.getsockname()[1]}"
        status, out, err = await started(tmp_path, address).ended
    assert status == 1
    told = f"cannot start: [sip] listen: cannot listen on {address}: address already in use"
    assert (out + err).count(told) == 1
    assert "Traceback" not in out + err


@pytest_twisted.ensureDeferred
async def test_a_log_file_that_cannot_be_opened_is_told_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "log"
    run = started(tmp_path, f"udp:{LOOPBACK}:{free_port()}", f"[log]\nfile = {file}\n")
    status, out, err = await run.ended
    assert status == 1
    assert f"cannot start: [log] file: cannot open {file}: No such file or directory" in out + err
    assert "Traceback" not in out + err


@pytest_twisted.ensureDeferred
async def test_whoever_started_it_is_told_though_the_log_goes_to_a_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((LOOPBACK, 0))
        address = f"udp:{LOOPBACK}:{other.getsockname()[1]}"
        status, out, err = await started(tmp_path, address, "[log]\nfile = service.log\n").ended
    assert status == 1
    assert f"uacproxy: cannot start: [sip] listen: cannot listen on {address}" in out + err
    assert f"cannot listen on {address}" in (tmp_path / "service.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest_twisted.ensureDeferred
async def test_a_service_asked_to_stop_ends_with_0(number: signal.Signals, tmp_path: Path) -> None:
    run = started(tmp_path, f"udp:{LOOPBACK}:{free_port()}")
    await run.saying(b"listens on")
    os.kill(run.transport.pid, number)
    status, out, err = await run.ended
    assert status == 0
    assert "Traceback" not in out + err
