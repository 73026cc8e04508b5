"""What an operator sees when the service cannot start, and that it leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support import services
from tests.support.free_ports import LOOPBACK, free_port
from tests.support.uacproxy_process import ENVIRONMENT, UacproxyProcess, twistd, write_files

EX_CONFIG = 78

GOOD = """\
[sip]
listen = udp:@HERE@

[routing]
script = route.py
"""

ROUTE = """\
from uacproxy.routing import Reply, request_route


@request_route
def main(ctx):
    return Reply(404)
"""

Start = Callable[..., UacproxyProcess]


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="uacproxy-") as name:
        yield Path(name)


def fails_to_start(
    folder: Path, ini: str, files: Mapping[str, str], port: int = 0
) -> tuple[int, str]:
    """Start the service, wait for its end; return its status and what it printed."""
    here = f"{LOOPBACK}:{port or free_port()}"
    write_files(folder, ini, files, {"here": here, "folder": folder})
    done = subprocess.run(
        twistd(folder / "uacproxy.ini"),
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def left_in(folder: Path) -> set[str]:
    """Return the names in a folder without what Python itself keeps."""
    return {path.name for path in folder.iterdir()} - {"__pycache__"}


def test_a_syntax_error_in_the_route_script_is_told_with_file_and_line(folder: Path) -> None:
    status, said = fails_to_start(folder, GOOD, {"route.py": ROUTE.replace("(ctx):", "(ctx:")})
    assert status == EX_CONFIG
    assert f"{folder}/route.py:5: " in said
    assert "Traceback" not in said
    assert left_in(folder) == {"uacproxy.ini", "route.py"}


def test_an_exception_while_the_route_script_loads_is_told_with_file_and_line(
    folder: Path,
) -> None:
    status, said = fails_to_start(folder, GOOD, {"route.py": ROUTE + "\n\nlimit = 1 / 0\n"})
    assert status == EX_CONFIG
    assert f"{folder}/route.py:9: " in said
    assert "ZeroDivisionError" in said
    assert left_in(folder) == {"uacproxy.ini", "route.py"}


def test_every_error_of_the_ini_file_is_told_with_its_line_section_and_key(folder: Path) -> None:
    wrong = (
        GOOD + "\n[uac]\nrestore_mod = auto\nreg_timer_interval = soon\n\n[logg]\nlevel = info\n"
    )
    status, said = fails_to_start(folder, wrong, {"route.py": ROUTE})
    assert status == EX_CONFIG
    lines = said.splitlines()
    places = [line.removeprefix(f"{folder}/uacproxy.ini:").split(": ")[0] for line in lines]
    assert places == ["8", "9", "11"]
    assert "[uac] restore_mod" in lines[0]
    assert "restore_mode" in lines[0].partition("restore_mod")[2]  # the nearest right name
    assert "[uac] reg_timer_interval" in lines[1]
    assert "[logg]" in lines[2]
    assert left_in(folder) == {"uacproxy.ini", "route.py"}


def test_a_line_that_is_no_ini_is_told_with_its_number(folder: Path) -> None:
    status, said = fails_to_start(folder, "[sip\nlisten = udp:@HERE@\n", {})
    assert status == EX_CONFIG
    assert f"{folder}/uacproxy.ini:1: " in said
    assert left_in(folder) == {"uacproxy.ini"}


def test_a_port_in_use_is_told_by_its_word_and_nothing_stays_open(folder: Path) -> None:
    free, taken = free_port(), free_port()
    ini = GOOD.replace("@HERE@", f"{LOOPBACK}:{free} tcp:{LOOPBACK}:{taken}")
    with socket.create_server((LOOPBACK, taken)):
        status, said = fails_to_start(folder, ini, {"route.py": ROUTE})
    assert status not in (0, None)
    assert f"tcp:{LOOPBACK}:{taken}" in said
    assert f"udp:{LOOPBACK}:{free}" not in said
    assert "Traceback" not in said
    assert not (folder / "uacproxy.sock").exists()
    assert not list(folder.glob("*.pid"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, free))  # nobody has it


def test_the_amp_socket_of_a_service_that_was_killed_is_replaced(folder: Path) -> None:
    marks = {"here": f"{LOOPBACK}:{free_port()}"}
    write_files(folder, GOOD, {"route.py": ROUTE}, marks)
    port = int(marks["here"].rpartition(":")[2])
    killed = UacproxyProcess(folder, LOOPBACK, port)
    killed.server.wait_until(lambda: services.answers_options(LOOPBACK, port))
    killed.server.process.kill()
    killed.server.process.wait()
    assert (folder / "uacproxy.sock").is_socket()  # stale
    service = UacproxyProcess(folder, LOOPBACK, port)
    try:
        service.server.wait_until(lambda: services.answers_options(LOOPBACK, port))
        assert service.uacctl("version")["version"]
    finally:
        assert service.stop() == 0
    assert not (folder / "uacproxy.sock").exists()


def test_a_second_service_does_not_take_the_amp_socket_of_the_first(
    start_uacproxy: Start,
) -> None:
    first = start_uacproxy(GOOD, files={"route.py": ROUTE})
    ini = (first.folder / "uacproxy.ini").read_text().replace(first.address, "127.0.0.1:@PORT@")
    other = first.folder / "second"
    other.mkdir()
    amp = f"[management]\namp = unix:{first.folder}/uacproxy.sock\n"
    ini = ini.replace("@PORT@", str(free_port())) + amp
    status, said = fails_to_start(other, ini, {"route.py": ROUTE})
    assert status == 1
    assert f"[management] amp: cannot listen at unix:{first.folder}/uacproxy.sock" in said
    assert "Traceback" not in said
    assert first.uacctl("version")["version"]
