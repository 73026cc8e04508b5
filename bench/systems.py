"""The systems under test: how each is started for a workload, on a core of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
Address = tuple[str, int]

SUT: Address = ("127.7.0.1", 5060)
SECOND_SUT: Address = ("127.7.0.9", 5060)  # where two are to be compared at the same time
SUT_CORE = "0"


def fill(template: Path, run: Path, **words: str) -> Path:
    """Copy a template into the run directory with its @WORDS@ filled in."""
    text = template.read_text()
    for word, value in {"RUN": str(run), **words}.items():
        text = text.replace(f"@{word}@", value)
    filled = run / template.name
    filled.write_text(text)
    return filled


def uacproxy_command(run: Path, template: Path, **words: str) -> list[str]:
    """Return the command that runs uacproxy on an ini template."""
    ini = fill(template, run, **words)
    twistd = str(Path(sys.executable).with_name("twistd"))
    return [sys.executable, twistd, "-n", "--pidfile=", "uacproxy", "--config", str(ini)]


def interpreted_command(run: Path, template: Path, **words: str) -> list[str]:
    """Return the command that runs uacproxy as it is where there is no compiler."""
    tree = ROOT / "build" / "interpreted"
    shutil.rmtree(tree, ignore_errors=True)
    leave_out = shutil.ignore_patterns("*.so", "__pycache__", "dropin.cache")
    for package in ("uacproxy", "twisted"):
        shutil.copytree(ROOT / package, tree / package, ignore=leave_out)
    return ["env", f"PYTHONPATH={tree}", *uacproxy_command(run, template, **words)]


def kamailio_shm() -> str:
    """Return how many MiB of shared memory Kamailio gets."""
    return os.environ.get("KAMAILIO_SHM", "4096")


def kamailio_command(run: Path, template: Path, **words: str) -> list[str] | None:
    """Return the command that runs Kamailio with its best memory manager; None: not there.

    Its shared memory is ``KAMAILIO_SHM`` MiB of the environment: 4096, which 5,400 calls a
    second need. With 1024 it is dearer, and fails beyond some 2,000.
    """
    program = shutil.which("kamailio", path=os.environ["PATH"] + ":/usr/sbin")
    modules = glob("/usr/lib/*/kamailio/modules")
    if program is None or not modules:
        return None
    cfg = fill(template, run, MODULES=modules[0], **words)
    memory = ["-m", kamailio_shm(), "-M", "64", "-x", "tlsf", "-X", "tlsf", "-b", "4194304"]
    return [program, "-f", str(cfg), "-P", str(run / "pid"), "-Y", str(run), "-DD", "-E", *memory]


@contextmanager
def running(command: list[str], log: Path, sut: Address = SUT) -> Iterator[int]:
    """Run a system on its core until the block ends; gives its pid."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["taskset", "-c", SUT_CORE, *command],
            stdout=out,
            stderr=out,
            cwd=log.parent,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        wait_for_answer(process, log, sut)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_answer(process: subprocess.Popen[bytes], log: Path, sut: Address) -> None:
    """Wait until the system answers anything at all."""
    probe = (
        b"OPTIONS sip:127.7.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.7.0.4:5099;rport;"
        b"branch=z9hG4bKprobe%d\r\nMax-Forwards: 0\r\nFrom: <sip:probe@127.7.0.4>;tag=p\r\n"
        b"To: <sip:127.7.0.1>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind(("127.7.0.4", 0))
        asking.settimeout(0.2)
        for attempt in range(100):
            if process.poll() is not None:
                sys.exit(f"the system ended at once:\n{log.read_text(errors='replace')}")
            asking.sendto(probe % attempt, sut)
            try:
                asking.recv(4096)
            except (TimeoutError, ConnectionError):
                continue
            return
    sys.exit(f"no answer from the system:\n{log.read_text(errors='replace')}")
