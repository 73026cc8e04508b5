"""Which peer could not be reached: the kernel's queue of ICMP errors (RFC 3261 18.4).

Linux keeps them for an unconnected datagram socket that asks for it (``ip(7)``,
IP_RECVERR). Elsewhere nothing is asked and nothing heard, and timers find out instead.

With the queue come two duties: the next call on the socket fails once with the error of
some other datagram, and pollers see an error condition until the queue is read.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final

from uacproxy.transport.wire import Address

# The numbers are those of linux/in.h, linux/in6.h and linux/errqueue.h; socket lacks them.
_ASK: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
_EXTENDED_ERROR: Final = struct.Struct("=IBBBB")  # errno, origin, type, code, padding
_FRAGMENTATION_NEEDED: Final = (2, 3, 4)  # the kernel has lowered the MTU; a resend passes
_UNREACHABLE: Final = ((2, 3), (3, 1))  # origin ICMP and ICMPv6, destination unreachable

_ROOM: Final = 512  # octets of control messages, and of the datagram that came back
_MOST_AT_ONCE: Final = 256


def ask_for_errors(datagrams: socket.socket) -> None:
    """Have the kernel queue ICMP errors, where it can."""
    if sys.platform == "linux":
        level, option = _ASK[datagrams.family]
        datagrams.setsockopt(level, option, 1)


def read_errors(datagrams: socket.socket) -> Iterator[Address]:
    """Empty the queue; yield each address that was reported as unreachable."""
    if sys.platform != "linux":
        return
    for _ in range(_MOST_AT_ONCE):
        try:
            _, control, _, address = datagrams.recvmsg(_ROOM, _ROOM, socket.MSG_ERRQUEUE)
        except OSError:
            break
        if any(_says_unreachable(value) for _, _, value in control):
            yield address
    # An error whose entry found no room in the queue still marks the socket.
    datagrams.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _says_unreachable(value: bytes) -> bool:
    if len(value) < _EXTENDED_ERROR.size:
        return False
    _, origin, kind, code, _ = _EXTENDED_ERROR.unpack_from(value)
    return (origin, kind) in _UNREACHABLE and (origin, kind, code) != _FRAGMENTATION_NEEDED
