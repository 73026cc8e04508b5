"""How much waits in the buffer of a datagram socket, and for how long (``socket(7)``).

Asked only when a burst was as long as bursts may be, so it costs nothing where nothing
waits. Elsewhere than on Linux nothing is known, and nothing is ever late.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from typing import Final, final

# The numbers are those of asm-generic/socket.h; socket lacks them.
_TIMESTAMPNS: Final = 35
_MEMINFO: Final = 55
_STAMP: Final = struct.Struct("@qq")  # s, ns
_MEMORY: Final = struct.Struct("=9I")  # the first two: octets in the buffer, and its size
_ROOM: Final = 128  # octets of control messages


@final
class Backlog:
    """What waits to be read from one bound socket.

    Args:
        bound: the socket.
        now_utc: wall time, s, which is what the kernel stamps datagrams with.
    """

    def __init__(self, bound: socket.socket, now_utc: Callable[[], float]) -> None:
        self._socket = bound
        self._now_utc = now_utc
        self._has_stamps = False

    def look(self) -> tuple[float, float]:
        """Return for how long the next datagram has waited, s, and how full the buffer is, 0 to 1.

        The first look tells of no wait: only from then on does the kernel note times.

        Raises:
            OSError: the socket reports an error, perhaps that of an earlier datagram.
        """
        if sys.platform != "linux":
            return 0.0, 0.0
        if not self._has_stamps:
            self._has_stamps = True
            self._socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
        flags = socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_TRUNC
        try:
            _, control, _, _ = self._socket.recvmsg(1, _ROOM, flags)
        except BlockingIOError:
            return 0.0, 0.0
        waited = 0.0
        for level, kind, value in control:
            if level == socket.SOL_SOCKET and kind == _TIMESTAMPNS and len(value) == _STAMP.size:
                seconds, nanoseconds = _STAMP.unpack(value)
                waited = max(0.0, self._now_utc() - seconds - nanoseconds * 1e-9)
        memory = self._socket.getsockopt(socket.SOL_SOCKET, _MEMINFO, _MEMORY.size)
        if len(memory) != _MEMORY.size:
            return waited, 0.0
        numbers = _MEMORY.unpack(memory)
        return waited, numbers[0] / max(1, numbers[1])
