"""The program that has the kernel put each datagram into the socket of the worker it belongs to.

It finds what ``sip.owner`` finds, in messages as they usually look: the Call-ID of a request,
the user of To of a REGISTER, the branch of the first Via of a response that has one of ours, and
returns the number of the worker. What is folded, in compact form, oddly spaced or longer than the
program looks, it leaves to the kernel, which chooses by addresses and ports, so that one peer's go
one way; that worker hands it over. So the program only saves work, and may be wrong.

There are no loops in it: what looks like one here is written out. A needle is found by loads
of four octets, ``stride`` apart, each compared with as many windows of the needle.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from uacproxy.sip.token_hash import BASIS, PRIME, STEPS
from uacproxy.transport.bpf import Assembler

ATTACH: Final = 51  # SO_ATTACH_REUSEPORT_CBPF of asm-generic/socket.h; socket lacks it
ANY: Final = 0xFFFFFFFF  # no number of a socket: the kernel chooses
_FPROG: Final = struct.Struct("@HP")  # instructions, where they are
_PLACE, _HASH, _OFFSET = range(3)  # cells
_BLOCKS: Final = 8  # loads between two places where a mistaken find goes on
_GROUP: Final = 16  # octets of a token between two jumps to its end
_BLANK: Final = 0x20  # and what is below ends each token
_FIRST: Final = 12  # octets that no needle begins in


class Reach(NamedTuple):
    """How far the program looks, octets."""

    call_id: int  # from the beginning of the message to the end of the field's name
    branch: int
    to: int
    uri: int  # from the field's name
    longest_call_id: int
    longest_token: int
    longest_user: int


FAR: Final = Reach(704, 288, 400, 40, 95, 24, 32)
NEAR: Final = Reach(280, 130, 0, 0, 32, 17, 0)
"""For where ``net.core.optmem_max`` is 20 KiB, as before Linux 6.8; FAR takes four times that."""


def steer(
    bound: socket.socket, workers: int, reaches: Sequence[Reach] = (FAR, NEAR)
) -> Reach | None:
    """Have the kernel choose among the sockets of a group, in the order of their binding.

    Args:
        bound: any of them; SO_REUSEPORT is set.
        workers: how many there are.
        reaches: how far it is to look, the best first.

    Returns:
        The first of them that the kernel takes, or None: it chooses by addresses and ports.
    """
    for reach in reaches:
        octets = program_for(workers, reach)
        kept = ctypes.create_string_buffer(octets, len(octets))
        option = _FPROG.pack(len(octets) // 8, ctypes.addressof(kept))
        try:
            bound.setsockopt(socket.SOL_SOCKET, ATTACH, option)
        except OSError:
            continue  # too long for this kernel, or it has no such option
        return reach
    return None


def program_for(workers: int, reach: Reach) -> bytes:
    """Return the program for so many workers."""
    program = Assembler()
    program.do("A = packet[k:4]", 0)
    program.when("A == k", _word(b"SIP/"), otherwise="request")
    program.go("response")
    program.label("request")
    if reach.to:
        program.when("A == k", _word(b"REGI"), otherwise="call")
        program.go("register")
    program.label("call")
    _find(program, b"\nCall-ID: ", 7, reach.call_id)
    _hash(program, "Call-ID", reach.longest_call_id, b"")
    program.label("response")
    _find(program, b"branch=z9hG4bK", 11, reach.branch)
    _hash(program, "token", reach.longest_token, b".;,")
    if reach.to:
        program.label("register")
        _find(program, b"\r\nTo: ", 3, reach.to)
        _find_scheme(program, reach.uri)
        _hash(program, "user", reach.longest_user, b"@")
    program.label("end")
    for shift, factor in STEPS:
        program.do("A = M[k]", _HASH)
        program.do("A >>= k", shift)
        program.do("X = A")
        program.do("A = M[k]", _HASH)
        program.do("A ^= X")
        program.do("A *= k", factor)
        program.do("M[k] = A", _HASH)
    program.do("A %= k", workers)
    program.do("return A")
    return program.octets()


def _word(octets: bytes) -> int:
    return int.from_bytes(octets, "big")


def _find(program: Assembler, needle: bytes, stride: int, reach: int) -> None:
    """Set M[PLACE] to what follows the first ``needle``."""
    name = needle.decode().strip()
    last = len(needle) - 4
    windows = range(last, last - stride, -1)
    loads = range(_FIRST + windows[-1], reach, stride)
    for first in range(0, len(loads), _BLOCKS):
        on = f"{name} beyond {first}"
        for place in loads[first : first + _BLOCKS]:
            program.do("X = k", place)
            program.do("A = packet[k:4]", place)
            for window in windows:
                found = f"{name} {first}+{window}"
                program.when("A == k", _word(needle[window : window + 4]), then=found)
        program.go(on)
        for window in windows:
            program.label(f"{name} {first}+{window}")
            program.do("A = k", window)
            if window != windows[-1]:
                program.go(f"{name} {first}")
        program.label(f"{name} {first}")
        program.do("M[k] = A", _OFFSET)
        program.do("A = X")
        program.do("X = M[k]", _OFFSET)
        program.do("A -= X")
        program.do("X = A")
        for at in range(0, len(needle), 4):
            part = needle[at : at + 4]
            program.do(f"A = packet[X+k:{len(part)}]", at)
            program.when("A == k", _word(part), otherwise=on)
        program.go(f"{name} found")
        program.label(on)
    program.do("return k", ANY)
    program.label(f"{name} found")
    program.do("A = X")
    program.do("A += k", len(needle))
    program.do("M[k] = A", _PLACE)


def _find_scheme(program: Assembler, within: int) -> None:
    """Move M[PLACE] behind the first ``sip:``, octet by octet."""
    program.do("X = M[k]", _PLACE)
    for at in range(within):
        program.do("A = packet[X+k:4]", at)
        program.when("A == k", _word(b"sip:"), otherwise=f"scheme {at}")
        program.do("A = k", at + 4)
        program.go("scheme found")
        program.label(f"scheme {at}")
    program.do("return k", ANY)
    program.label("scheme found")
    program.do("A += X")
    program.do("M[k] = A", _PLACE)


def _hash(program: Assembler, name: str, longest: int, ends: bytes) -> None:
    """Set M[HASH] to the hash of what is at M[PLACE], see ``token_hash``, and go to the end."""
    program.do("A = k", BASIS)
    program.do("M[k] = A", _HASH)
    for first in range(0, longest + 1, _GROUP):
        for at in range(first, min(first + _GROUP, longest + 1)):
            program.do("X = M[k]", _PLACE)
            program.do("A = packet[X+k:1]", at)
            for end in ends:
                program.when("A == k", end, then=f"{name} ends {first}")
            program.when("A > k", _BLANK, otherwise=f"{name} ends {first}")
            program.do("X = M[k]", _HASH)
            program.do("A ^= X")
            program.do("A *= k", PRIME)
            program.do("M[k] = A", _HASH)
        program.go(f"{name} goes on {first}")
        program.label(f"{name} ends {first}")
        program.go("end")
        program.label(f"{name} goes on {first}")
    program.do("return k", ANY)
