"""Whose turn it is to read a socket that several processes have.

Without it one worker could read a message and be put off by the kernel before it has handed
it over, while the owner reads and works on what came later: a 200 before its 180.
"""

from __future__ import annotations

import fcntl
from typing import final


@final
class ReadTurn:
    """A lock on a file that all have; the kernel takes it back from a process that dies."""

    def __init__(self, file: int) -> None:
        """Begin without the turn.

        Args:
            file: a descriptor, open for writing, of the file that all processes have.
        """
        self._file = file

    def take(self) -> None:
        """Wait for the turn."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)

    def give(self) -> None:
        """Let the next one have it."""
        fcntl.lockf(self._file, fcntl.LOCK_UN)
