"""Where one worker stands among several: its number, and what it has inherited."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final, final

from uacproxy.settings import ListenAddress

WORKER: Final = "worker"


@final
@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """What the process that started a worker has given it; every socket is open."""

    number: int  # from 0
    workers: int
    is_first: bool  # this worker has not been there before
    sockets: list[tuple[ListenAddress, socket.socket]]  # bound, with real ports; UDP: its own
    inbox: socket.socket
    outboxes: list[socket.socket]  # by number
    door: socket.socket  # a stream: verbs come in, and its end is ours

    @property
    def name(self) -> str:
        """Return what operators call it."""
        return f"{WORKER} {self.number + 1}"
