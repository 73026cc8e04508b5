"""The last transitions of an account, in few octets: there may be very many accounts.

An entry is when, from where to where, by which status and why; the whys are words of a
book that all accounts share.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, final

from uacproxy.ports import Target
from uacproxy.uac.registration_states import RegistrationState

MOST_ENTRIES: Final = 16  # of one account
MOST_PHRASES: Final = 4000  # of all accounts; a further one is not kept in histories
MOST_TARGETS: Final = 10_000

_ENTRY: Final = struct.Struct("!IBBHH")  # s of the epoch, before, after, status, phrase


class Past(NamedTuple):
    """One transition that was."""

    at_utc: float  # s of the epoch
    before: RegistrationState
    after: RegistrationState
    status: int  # 0: no response
    why: str  # empty where the book of phrases was full


@final
class SharedWords:
    """Texts and targets that many accounts have alike, each kept once."""

    def __init__(self) -> None:
        self._phrases: list[str] = [""]
        self._numbers: dict[str, int] = {"": 0}
        self._targets: dict[Target, Target] = {}

    def number_of(self, phrase: str) -> int:
        """Return the number of a phrase, 0 where the book is full."""
        number = self._numbers.get(phrase)
        if number is None:
            number = len(self._phrases)
            if number >= MOST_PHRASES:
                return 0
            self._phrases.append(phrase)
            self._numbers[phrase] = number
        return number

    def phrase(self, number: int) -> str:
        """Return the phrase of a number."""
        return self._phrases[number] if number < len(self._phrases) else ""

    def shared(self, phrase: str) -> str:
        """Return an equal text that others hold too, where there is one."""
        return self._phrases[self.number_of(phrase)] or phrase

    def target(self, target: Target | None) -> Target | None:
        """Return an equal target that others hold too."""
        if target is None:
            return None
        known = self._targets.get(target)
        if known is None:
            if len(self._targets) >= MOST_TARGETS:
                self._targets.clear()
            self._targets[target] = target
            known = target
        return known


def noted(
    history: bytes,
    at_utc: float,
    before: RegistrationState,
    after: RegistrationState,
    status: int,
    phrase: int,
) -> bytes:
    """Return a history with one more entry, the oldest left out where there are too many."""
    kept = history[-_ENTRY.size * (MOST_ENTRIES - 1) :]
    return kept + _ENTRY.pack(int(at_utc) & 0xFFFFFFFF, before, after, status & 0xFFFF, phrase)


def read_history(history: bytes, words: SharedWords) -> list[Past]:
    """Return the entries, oldest first."""
    found: list[Past] = []
    for at in range(0, len(history), _ENTRY.size):
        at_utc, before, after, status, phrase = _ENTRY.unpack_from(history, at)
        found.append(
            Past(
                float(at_utc),
                RegistrationState(before),
                RegistrationState(after),
                status,
                words.phrase(phrase),
            )
        )
    return found
