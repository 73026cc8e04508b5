"""Sippy B2BUA, the peer in Python: installed from PyPI into ``build/sippy``, for itself.

Its own ``b2bua_simple`` bridges a call and writes no identity anew, which is less work than
ours; its log is off.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

from bench.systems import ROOT, SUT

VERSION = "2.5.0"
HOME = ROOT / "build" / "sippy"
INSTALL_WITHIN = 180  # s


@functools.cache
def why_missing() -> str:
    """Install it if it is not there; return why it cannot be, or nothing."""
    program = HOME / "bin" / "b2bua_simple"
    if program.exists():
        return ""
    try:
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(HOME)],
            check=True,
            capture_output=True,
            text=True,
        )
        subprocess.run(
            [HOME / "bin" / "pip", "install", "-qq", f"sippy=={VERSION}"],
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_WITHIN,
        )
    except subprocess.CalledProcessError as failed:
        said = str(failed.stderr or failed.stdout or failed)
        return said.strip().splitlines()[-1]
    except (OSError, subprocess.TimeoutExpired) as failed:
        return str(failed)
    return ""


def sippy_command(_run: Path) -> list[str] | None:
    """Return the command that bridges calls to the callee; None: it cannot be installed."""
    if why_missing():
        return None
    program = str(HOME / "bin" / "b2bua_simple")
    where = ["-f", "-l", SUT[0], "-p", str(SUT[1]), "-n", "127.7.0.2:5070"]
    return ["env", "SIPLOG_BEND=none", program, *where]
