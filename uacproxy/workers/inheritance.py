"""What a worker is born with: its settings and its sockets, by their numbers.

The settings are those the starting process has read: a file that was edited since does not
make one worker another than its siblings. They go through a file without a name, because a
pipe could be too small for them.
"""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from uacproxy.config.schema import Config
from uacproxy.settings import ListenAddress
from uacproxy.transport.place import WorkerPlace


@final
@dataclass(frozen=True, slots=True)
class Inheritance:
    """Of one worker; sockets are numbers of descriptors, the same in both processes."""

    config: Config
    number: int
    workers: int
    is_first: bool
    sockets: Sequence[tuple[ListenAddress, int]]
    inbox: int
    outboxes: Sequence[int]
    door: int

    @property
    def descriptors(self) -> list[int]:
        """Return the number of every socket."""
        bound = [number for _, number in self.sockets]
        return [*bound, self.inbox, *self.outboxes, self.door]

    def write(self) -> int:
        """Return the number of a file that has it, to be read from its beginning."""
        file = os.memfd_create("uacproxy-worker")
        with os.fdopen(os.dup(file), "wb") as out:
            pickle.dump(self, out)
        os.lseek(file, 0, os.SEEK_SET)
        return file


def read_inheritance(file: int) -> Inheritance:
    """Read what ``write`` has written, and close the file."""
    with os.fdopen(file, "rb") as written:
        found = pickle.load(written)
    assert isinstance(found, Inheritance)
    return found


def take_place(inheritance: Inheritance) -> WorkerPlace:
    """Make sockets of the numbers."""
    return WorkerPlace(
        number=inheritance.number,
        workers=inheritance.workers,
        is_first=inheritance.is_first,
        sockets=[(address, socket.socket(fileno=fd)) for address, fd in inheritance.sockets],
        inbox=socket.socket(fileno=inheritance.inbox),
        outboxes=[socket.socket(fileno=fd) for fd in inheritance.outboxes],
        door=socket.socket(fileno=inheritance.door),
    )
