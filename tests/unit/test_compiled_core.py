"""The modules that mypyc compiles: no Twisted behind them, and compiled when they should be."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def core() -> list[str]:
    paths: list[str] = runpy.run_path(str(ROOT / "setup.py"))["core_modules"]()
    return [path.removesuffix(".py").replace("/", ".") for path in paths]


@pytest.mark.parametrize("outsider", ["twisted", "txredisapi", "sqlalchemy", "logging"])
def test_importing_the_core_imports_no(outsider: str) -> None:
    look = f"import sys, {', '.join(core())}; print({outsider!r} in sys.modules)"
    seen = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True)
    assert (seen.stdout, seen.stderr) == ("False\n", "")


def test_the_core_under_test_is_of_one_kind_and_the_one_asked_for() -> None:
    kinds = {Path(str(import_module(name).__file__)).suffix for name in core()}
    asked = {"0": {".py"}, "1": {".so"}}.get(os.environ.get("UACPROXY_COMPILE", ""), kinds)
    assert kinds == asked
    assert len(kinds) == 1


def test_a_way_to_tune_that_there_is_not_is_refused() -> None:
    command = [sys.executable, "setup.py", "-q", "build_ext"]
    wanted = {**os.environ, "UACPROXY_COMPILE": "1", "UACPROXY_TUNE": "fast"}
    done = subprocess.run(command, cwd=ROOT, env=wanted, capture_output=True, text=True)
    assert done.returncode == 1
    assert "UACPROXY_TUNE=fast: record or use" in done.stderr
