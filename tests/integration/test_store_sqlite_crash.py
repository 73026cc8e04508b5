"""The state file after the service was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from uacproxy.store.sqlite_file import SqliteFile

# Writes every 10 ms and, once another finds some of it in the file, says so; then it only
# waits to be killed.
WRITER = """
import sqlite3, sys, time
from twisted.internet import reactor
from twisted.logger import Logger
from uacproxy.store.open import open_store

store = open_store(sys.argv[1], flush_interval_s=0.02, redis_prefix="", now_utc=time.time,
                   reactor=reactor, log=Logger(), count=print)
store.put("dialog", b"key", b"value", time.time() + 3600)
def others_find():
    with sqlite3.connect(f"file:{sys.argv[2]}?mode=ro", uri=True) as file:
        return file.execute("SELECT count(*) FROM state").fetchone()[0]
def more(number):
    store.put("binding", b"%d" % number, b"x" * 500, time.time() + 3600)
    if number % 10 == 9 and others_find() > 10:
        print("written", flush=True)
    reactor.callLater(0.01, more, number + 1)
reactor.callWhenRunning(more, 0)
reactor.run()
"""


def test_what_was_flushed_survives_kill_minus_nine(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, f"sqlite:///{path}", str(path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.kill()
    state = SqliteFile(str(path))
    assert state.read("dialog", b"key", 0.0) == b"value"
    assert len(state.page("binding", None, 0.0, 100)) >= 10
    state.close()
