"""The number that a Call-ID or a token is spread by: FNV-1a, then the last steps of MurmurHash3.

It has to be the same here, in ``_scan.c`` and in the program that the kernel runs for each
datagram (``transport.steering``), whose language has 32-bit arithmetic and no tables. FNV-1a
alone would not do: its lowest bit tells only whether the sum of the octets is odd.
"""

from __future__ import annotations

from typing import Final

BASIS: Final = 0x811C9DC5
PRIME: Final = 0x01000193
STEPS: Final = ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1))
"""Of the end: the number is combined with itself shifted right, then multiplied."""

_ALL: Final = 0xFFFFFFFF


def hash_of(token: bytes) -> int:
    """Return a number of 32 bits."""
    number = BASIS
    for octet in token:
        number = (number ^ octet) * PRIME & _ALL
    for shift, factor in STEPS:
        number = (number ^ number >> shift) * factor & _ALL
    return number
