"""The verb about the workers; only the process that starts them has any."""

from __future__ import annotations

from typing import Final

from uacproxy.manage.verb import Fault, Rows, Verb, Views


def _workers(_views: Views) -> Rows:
    raise Fault(500, "Not enabled: [sip] workers is 1")


WORKER_VERBS: Final = (
    Verb(
        "workers",
        "The workers: process, state, how often each was started again, and since when it is up.",
        _workers,
        columns=("worker", "pid", "state", "restarts", "uptime"),
    ),
)
