"""Tags, branches and cnonces: random octets drawn in bulk, handed out one by one."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable
from typing import Final, final

from uacproxy.ports import Random
from uacproxy.sip.owner import owner_of_token

_TOKEN: Final = 16  # hexadecimal digits: 64 bits, 32 being the least (RFC 3261 19.3)
_DRAWN: Final = 2048  # octets at a time: a call of the system costs more than they do


@final
class SystemRandom:
    """A ``ports.Random``; no token is handed out twice, nor kept once it was.

    Args:
        draw: returns that many octets nobody can guess.
        uniform: returns a number between two others.
    """

    def __init__(
        self, draw: Callable[[int], bytes], uniform: Callable[[float, float], float]
    ) -> None:
        self._draw = draw
        self._uniform = uniform
        self._digits = b""
        self._at = 0

    def token(self) -> bytes:
        """Return 16 fresh hexadecimal digits."""
        at = self._at
        if at >= len(self._digits):
            self._digits = hexlify(self._draw(_DRAWN))
            at = 0
        self._at = at + _TOKEN
        return self._digits[at : at + _TOKEN]

    def uniform(self, low: float, high: float) -> float:
        """Return a number between ``low`` and ``high``."""
        return self._uniform(low, high)


@final
class OwnTokens:
    """A ``Random`` whose tokens all name one worker (see ``sip.owner``).

    Each costs as many of the other's as there are workers, on average.
    """

    def __init__(self, random: Random, number: int, workers: int) -> None:
        self._random = random
        self._number = number
        self._workers = workers

    def token(self) -> bytes:
        """Return 16 fresh hexadecimal digits."""
        while True:
            token = self._random.token()
            if owner_of_token(token, self._workers) == self._number:
                return token

    def uniform(self, low: float, high: float) -> float:
        """Return a number between ``low`` and ``high``."""
        return self._random.uniform(low, high)
