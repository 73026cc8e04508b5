"""What the figures were measured on and with."""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from bench.systems import kamailio_shm


@functools.cache
def describe_machine() -> dict[str, str]:
    """Return a name and a value of everything that moves the figures."""
    return {
        "cpu": _first(r"^model name\s*: (.*)$", _text("/proc/cpuinfo")),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "system": _first(r'^PRETTY_NAME="(.*)"$', _text("/etc/os-release")),
        "virtual": _said_by("systemd-detect-virt") or "unknown",
        "python": f"{platform.python_implementation()} {platform.python_version()}, {_built()}",
        "core": _core(),
        "gcc": _first(r"^(.*)$", _said_by("gcc", "--version")),
        "kamailio": _first(r"version: (.*)$", _said_by("kamailio", "-v")),
        "kamailio's memory": f"{kamailio_shm()} MiB",
        "sipp": _first(r"(SIPp v\S+)", _said_by("sipp", "-v")),
        "load": " ".join(_text("/proc/loadavg").split()[:3]),
    }


def _built() -> str:
    if sys.base_prefix == "/usr" and Path("/etc/debian_version").exists():
        return "Debian's build, with PGO and LTO"  # its rules say so, its configuration does not
    words = (sysconfig.get_config_var("CONFIG_ARGS") or "") + " "
    flags = " ".join(str(sysconfig.get_config_var(each)) for each in ("PY_CFLAGS", "PY_LDFLAGS"))
    with_pgo = "--enable-optimizations" in words
    with_lto = "--with-lto" in words or "-flto" in flags
    return f"{'with' if with_pgo else 'without'} PGO, {'with' if with_lto else 'without'} LTO"


def _core() -> str:
    found = importlib.util.find_spec("uacproxy.sip.message")
    is_compiled = found is not None and str(found.origin).endswith(".so")
    if not is_compiled:
        return "interpreted"
    stamp = Path(__file__).parent.parent / "build" / "core.stamp"  # of the Makefile
    return "compiled, tuned" if _text(str(stamp)).strip() == "tuned" else "compiled"


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _said_by(*command: str) -> str:
    program = shutil.which(command[0], path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        return ""
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else "unknown"
