"""Programs for the kernel's packet filter in its classic form, put together from words.

The machine (``Documentation/networking/filter.rst`` of Linux) has an accumulator A, an index
X and sixteen cells M, all of 32 bits. Jumps lead forward only, so every program ends; a load
beyond the end of the packet ends it too, with 0. ``Assembler`` knows labels, and refuses what
the kernel would refuse.
"""

from __future__ import annotations

import struct
from typing import Final, final

from uacproxy.errors import OwnMistake

MOST: Final = 4096  # instructions, BPF_MAXINSNS
_FARTHEST: Final = 255  # instructions passed over by a conditional jump
_INSTRUCTION: Final = struct.Struct("=HBBI")  # code, to pass over if true, if false, k

OPERATIONS: Final = {
    "A = packet[k:4]": 0x20,
    "A = packet[k:1]": 0x30,
    "A = packet[X+k:4]": 0x40,
    "A = packet[X+k:2]": 0x48,
    "A = packet[X+k:1]": 0x50,
    "A = k": 0x00,
    "A = M[k]": 0x60,
    "X = k": 0x01,
    "X = M[k]": 0x61,
    "M[k] = A": 0x02,
    "M[k] = X": 0x03,
    "A += k": 0x04,
    "A += X": 0x0C,
    "A -= X": 0x1C,
    "A *= k": 0x24,
    "A %= k": 0x94,
    "A >>= k": 0x74,
    "A ^= X": 0xAC,
    "X = A": 0x07,
    "A = X": 0x87,
    "return k": 0x06,
    "return A": 0x16,
}
CONDITIONS: Final = {"A == k": 0x15, "A > k": 0x25}
_GO: Final = 0x05


@final
class Assembler:
    """A program as far as it is written; ``octets`` when it is whole."""

    def __init__(self) -> None:
        self._written: list[tuple[int, int, str, str]] = []  # code, k, if true, if false
        self._labels: dict[str, int] = {}

    def __len__(self) -> int:
        """Return the number of instructions."""
        return len(self._written)

    def do(self, operation: str, k: int = 0) -> None:
        """Write one of ``OPERATIONS``."""
        self._written.append((OPERATIONS[operation], k, "", ""))

    def when(self, condition: str, k: int, then: str = "", otherwise: str = "") -> None:
        """Write one of ``CONDITIONS``; without a label the next instruction follows."""
        self._written.append((CONDITIONS[condition], k, then, otherwise))

    def go(self, label: str) -> None:
        """Write a jump, of any distance."""
        self._written.append((_GO, 0, label, ""))

    def label(self, name: str) -> None:
        """Give the next instruction a name.

        Raises:
            OwnMistake: another has it.
        """
        if name in self._labels:
            raise OwnMistake(f"two labels {name}")
        self._labels[name] = len(self._written)

    def octets(self) -> bytes:
        """Return the program as an array of ``struct sock_filter``.

        Raises:
            OwnMistake: it is too long, or a jump leads nowhere, back or too far.
        """
        if not 0 < len(self._written) <= MOST:
            raise OwnMistake(f"{len(self._written)} instructions")
        found = bytearray()
        for at, (code, k, then, otherwise) in enumerate(self._written):
            if code == _GO:
                found += _INSTRUCTION.pack(code, 0, 0, self._distance(at, then))
                continue
            passes = self._distance(at, then), self._distance(at, otherwise)
            if max(passes) > _FARTHEST:
                raise OwnMistake(f"{then or otherwise} is {max(passes)} instructions away")
            found += _INSTRUCTION.pack(code, *passes, k)
        return bytes(found)

    def _distance(self, at: int, label: str) -> int:
        if not label:
            return 0
        target = self._labels.get(label, -1)
        if not at < target < len(self._written):
            raise OwnMistake(f"{label} does not follow")
        return target - at - 1
