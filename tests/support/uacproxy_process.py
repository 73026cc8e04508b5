"""The service itself for tests: ``twistd uacproxy`` as a child process in a folder of its own.

``tests/conftest.py`` makes the fixture ``start_uacproxy`` of it. What a test writes as
ini text may hold marks, filled as those of ``services.kamailio`` are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import amp_door, services
from tests.support.free_ports import LOOPBACK, free_port

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}
UACCTL = [sys.executable, "-m", "uacproxy.uacctl"]
SETTLES_WITHIN = 30.0  # s, for what an operator has asked for to become true


def twistd(config: Path) -> list[str]:
    """Return the command line of the service in the foreground."""
    program = str(Path(sys.executable).with_name("twistd"))
    return [sys.executable, program, "-n", "--pidfile=", "uacproxy", "--config", str(config)]


class UacproxyProcess:
    """One running service; its working directory is ``folder``, and its ini file is in it."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        """Start it on an ``uacproxy.ini`` that is in ``folder`` already."""
        self.folder = folder
        self.host = host
        self.port = port
        self.config = folder / "uacproxy.ini"
        self.server = services.Server(
            twistd(self.config), log=folder / "output", cwd=folder, env=ENVIRONMENT
        )

    @property
    def address(self) -> str:
        """Return HOST:PORT that it listens on."""
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self.server.pid

    @property
    def output(self) -> str:
        """Return all it has printed, the log included unless that goes to a file."""
        return self.server.output

    def run_uacctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``uacctl --json`` to its end, whatever that is."""
        return subprocess.run(
            [*UACCTL, "--connect", "unix:uacproxy.sock", "--json", *words],
            cwd=self.folder,
            env={**os.environ, **ENVIRONMENT},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def uacctl(self, *words: str) -> Any:
        """Run one verb of ``uacctl`` and return its answer; fail the test on a fault."""
        done = self.run_uacctl(*words)
        if done.returncode != 0:
            pytest.fail(f"uacctl {' '.join(words)}: {done.returncode} {done.stderr}")
        return json.loads(done.stdout)

    def ask(self, verb: str, *arguments: str) -> Any:
        """Run one verb without ``uacctl``, whose start takes most of a second."""
        return amp_door.ask(self.folder / "uacproxy.sock", verb, *arguments)

    def stats(self) -> dict[str, float]:
        """Return every counter and gauge."""
        found: dict[str, float] = self.ask("stats")
        return found

    def wait_for(self, **gauges: float) -> dict[str, float]:
        """Wait until gauges have these values; ``dialog_active`` stands for ``dialog.active``."""
        wanted = {name.replace("_", ".", 1): value for name, value in gauges.items()}
        seen: dict[str, float] = {}

        def settled() -> bool:
            seen.update(self.stats())
            return all(seen[name] == value for name, value in wanted.items())

        try:
            self.server.wait_until(settled, SETTLES_WITHIN)
        except services.DidNotStart as error:
            shown = {name: seen.get(name) for name in wanted}
            pytest.fail(f"{shown} instead of {wanted}: {error}")
        return seen

    def wait_for_log(self, words: str, times: int = 1) -> None:
        """Wait until ``words`` have been printed so often."""
        try:
            self.server.wait_until(lambda: self.output.count(words) >= times, SETTLES_WITHIN)
        except services.DidNotStart as error:
            pytest.fail(f"never said {words!r}: {error}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.server.process.send_signal(number)

    def stop(self) -> int:
        """Stop it by SIGTERM, if it still runs, and return its exit status."""
        return self.server.stop(within=30.0)


def write_files(
    folder: Path, ini: str, files: Mapping[str, str], marks: Mapping[str, object]
) -> None:
    """Write ``uacproxy.ini`` and what belongs to it, all ``marks`` filled in."""
    for name, text in {"uacproxy.ini": ini, **files}.items():
        for mark, value in marks.items():
            text = text.replace(f"@{mark.upper()}@", str(value))
        (folder / name).write_text(text)


@contextmanager
def uacproxy(
    ini: str, *, files: Mapping[str, str] | None = None, port: int = 0, **values: object
) -> Iterator[UacproxyProcess]:
    """Run the service until the block ends; then it has to end with 0 and without a traceback.

    Args:
        ini: its configuration. ``@HERE@`` becomes the HOST:PORT it is asked to listen on,
            ``@FOLDER@`` its folder, and each of ``values`` fills the mark of its own name.
        files: name to text of what stands beside the ini file, such as a route script.
        port: to listen on; 0 for any free one.
        values: of marks, in ``ini`` and ``files``.
    """
    port = port or free_port()
    # Not below pytest's own folder: the path of a UNIX socket ends at 107 octets.
    with tempfile.TemporaryDirectory(prefix="uacproxy-") as name:
        folder = Path(name)
        marks = {"here": f"{LOOPBACK}:{port}", "folder": folder, **values}
        write_files(folder, ini, files or {}, marks)
        service = UacproxyProcess(folder, LOOPBACK, port)
        try:
            service.server.wait_until(lambda: services.answers_options(LOOPBACK, port))
            yield service
        finally:
            status = service.stop()
        assert (status, service.output.count("Traceback")) == (0, 0), service.output[-4000:]
