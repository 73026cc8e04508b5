"""Renewals in the store: one value for all that came within a second.

A refresh that was as the one before (``usual_register``) changes nothing of an account's
record but counts and times. These are written side by side, some sixty octets each, where
a record of each would be ten times as long and in a place of its own in the file. A
restart reads both; the later of the two counts. What is written here lives as long as the
bindings it tells of; the record itself is written again before it has expired.

This is for one process with a store to itself. Where others read, each has its record;
so it is where a store may be emptied under us, as Redis may.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, final

from uacproxy.ports import Clock, Random, Store
from uacproxy.sip.grammar import octets_of, text

SPACE: Final = "renewals"
GATHERED_FOR: Final = 0.9  # s, until the beat that writes them
MOST_GATHERED: Final = 500  # renewals in one value
LONGEST_GRANT: Final = 7200  # s; bindings that last longer are few a second: each has its record
RECORD_AGAIN: Final = 21600.0  # s, after which the record itself is written again

_VERSION: Final = b"\x01"
_ENTRY: Final = struct.Struct("!HIIIddd")


class Renewal(NamedTuple):
    """What is new of an account."""

    granted: int  # s
    cseq: int
    nc: int  # uses of its nonce
    written_at_utc: float  # s of the epoch, here and below
    bound_until_utc: float
    next_at_utc: float


@final
class RenewalLog:
    """Gathers renewals and writes them."""

    def __init__(self, store: Store, clock: Clock, random: Random) -> None:
        """Begin with none."""
        self._store = store
        self._clock = clock
        self._random = random
        self._entries: list[bytes] = []
        self._until = 0.0  # s of the epoch: the last of their bindings ends
        self._since = 0.0  # s on the clock's time: the first of them
        self._is_closing = False
        self.corrupt = 0  # values that could not be read

    def add(self, l_uuid: str, renewal: Renewal) -> None:
        """Note a renewal."""
        name = octets_of(l_uuid)
        if not self._entries:
            self._since = self._clock.seconds()
        granted, cseq, nc, written, until, due = renewal
        self._entries.append(_ENTRY.pack(len(name), granted, cseq, nc, written, until, due) + name)
        if until > self._until:
            self._until = until
        if self._is_closing or len(self._entries) >= MOST_GATHERED:
            self.flush()

    def beat(self) -> None:
        """Hand over what was gathered long enough; a timer of its own would be one wake-up more."""
        if self._entries and self._clock.seconds() - self._since >= GATHERED_FOR:
            self.flush()

    def close(self) -> None:
        """Keep nothing back any more."""
        self._is_closing = True
        self.flush()

    def flush(self) -> None:
        """Hand over what was gathered."""
        if self._entries:
            value = _VERSION + b"".join(self._entries)
            self._store.put(SPACE, self._random.token(), value, self._until)
            self._entries = []
            self._until = 0.0

    def load(self, then: Callable[[dict[str, Renewal]], None]) -> None:
        """Read the last renewal of each account; a store that is away has none."""
        found: dict[str, Renewal] = {}

        def each(_key: bytes, value: bytes, _expires_at_utc: float) -> None:
            try:
                for l_uuid, renewal in read_renewals(value):
                    known = found.get(l_uuid)
                    if known is None or known.written_at_utc < renewal.written_at_utc:
                        found[l_uuid] = renewal
            except ValueError:
                self.corrupt += 1

        self._store.scan(SPACE, each, lambda: then(found))


def read_renewals(value: bytes) -> Iterator[tuple[str, Renewal]]:
    """Yield l_uuids and renewals of one value.

    Raises:
        ValueError: it is none of ours, or was cut short.
    """
    if value[:1] != _VERSION:
        raise ValueError("renewals of another version")
    at = 1
    while at < len(value):
        begin = at + _ENTRY.size
        if begin > len(value):
            raise ValueError("a renewal that was cut short")
        length, granted, cseq, nc, written, until, due = _ENTRY.unpack_from(value, at)
        at = begin + length
        times = (written, until, due)
        if at > len(value) or not all(0.0 <= one < 1e11 for one in times):
            raise ValueError("a renewal that cannot be read")
        yield text(value[begin:at]), Renewal(granted, cseq, nc, *times)
