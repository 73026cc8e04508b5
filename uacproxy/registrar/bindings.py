"""The location table: address of record to bindings (RFC 3261 10.3 steps 6 and 7).

All bindings are in memory; every change is written through to the store, and read from
there once, at start. A REGISTER changes all it names or nothing. The registrar reads
the request and decides how long is granted; here is what may replace what.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final, final

from uacproxy.errors import StoreCorrupt
from uacproxy.ports import Store
from uacproxy.registrar.binding import Binding
from uacproxy.registrar.binding_record import decode_bindings, encode_bindings
from uacproxy.sip.uri import parse_uri

SPACE: Final = "bindings"
MAX_ADDRESSES: Final = 1000000  # addresses of record


class Outcome(IntEnum):
    """How an update ended."""

    DONE = 0
    OUT_OF_ORDER = 1  # an older CSeq of the same Call-ID
    TOO_MANY = 2  # contacts of this address, or addresses


@final
class BindingTable:
    """Bindings by canonical address of record; those that expired are not there for anybody."""

    def __init__(
        self,
        now_utc: Callable[[], float],
        store: Store,
        max_contacts: int,
        *,
        max_addresses: int = MAX_ADDRESSES,
    ) -> None:
        self._now_utc = now_utc
        self._store = store
        self._max_contacts = max_contacts
        self._max_addresses = max_addresses
        self._by_aor: dict[bytes, list[Binding]] = {}
        self._due: list[tuple[float, bytes]] = []  # heap, with an entry for each address
        self._queued: set[bytes] = set()  # addresses in it
        self.unreadable = 0  # stored records that were passed over

    def __len__(self) -> int:
        """Return how many addresses of record there are, expired ones included until seen."""
        return len(self._by_aor)

    def load(self, done: Callable[[], None]) -> None:
        """Read the store, then call ``done``; what was registered meanwhile stays."""
        self._store.scan(SPACE, self._adopt, done)

    def _adopt(self, aor: bytes, octets: bytes, _expires_at_utc: float) -> None:
        if aor in self._by_aor:
            return
        try:
            bindings = decode_bindings(octets)
        except StoreCorrupt:
            self.unreadable += 1  # left as it is: another version may read it
            return
        now = self._now_utc()
        self._keep(aor, [binding for binding in bindings if binding.expires_at_utc > now])

    def heard(self, aor: bytes, octets: bytes | None) -> None:
        """Take over what another worker has written of an address; None: it has none left."""
        try:
            bindings = [] if octets is None else decode_bindings(octets)
        except StoreCorrupt:
            self.unreadable += 1
            return
        now = self._now_utc()
        self._keep(aor, [binding for binding in bindings if binding.expires_at_utc > now])

    def lookup(self, aor: bytes) -> list[Binding]:
        """Return the bindings of ``canonical_aor(uri)``, highest q first, newest last among equals.

        A contact need not be a SIP URI; whoever routes leaves out what cannot be reached.
        """
        bindings = self._by_aor.get(aor)
        if bindings is None:
            return []
        now = self._now_utc()
        live = [binding for binding in bindings if binding.expires_at_utc > now]
        if len(live) != len(bindings):
            self._commit(aor, live)
        return sorted(live, key=_preference)

    def addresses(self) -> list[bytes]:
        """Return every address of record, in the order of first registration."""
        return list(self._by_aor)

    def update(self, aor: bytes, wanted: list[Binding]) -> Outcome:
        """Add, replace and remove bindings, all of them or none.

        Args:
            aor: canonical.
            wanted: one for each Contact of the REGISTER, in order; one that has expired
                already is to be removed. Of two for the same URI the later counts.
        """
        current = self.lookup(aor)
        kept = current.copy()
        for binding in wanted:
            former = _same_contact(current, binding)
            if former is not None and _is_older(binding.call_id, binding.cseq, former):
                return Outcome.OUT_OF_ORDER
            same = _same_contact(kept, binding)
            if same is not None:
                kept.remove(same)
            kept.append(binding)
        now = self._now_utc()
        kept = [binding for binding in kept if binding.expires_at_utc > now]
        if len(kept) > self._max_contacts and len(kept) > len(current):
            return Outcome.TOO_MANY
        if kept and not current and len(self._by_aor) >= self._max_addresses:
            return Outcome.TOO_MANY
        self._commit(aor, kept)
        return Outcome.DONE

    def clear(self, aor: bytes, call_id: bytes, cseq: int) -> Outcome:
        """Remove all bindings: ``Contact: *`` with ``Expires: 0``."""
        for binding in self.lookup(aor):
            if _is_older(call_id, cseq, binding):
                return Outcome.OUT_OF_ORDER
        self._commit(aor, [])
        return Outcome.DONE

    def written_again(self) -> Iterator[None]:
        """Write everything again, an address a step, to a store that may have lost it."""
        for aor in self.addresses():
            bindings = self._by_aor.get(aor)
            if bindings:
                self._write(aor, bindings)
            yield

    def expire_due(self) -> int:
        """Drop what has expired; return how many bindings that were."""
        now = self._now_utc()
        dropped = 0
        while self._due and self._due[0][0] <= now:
            aor = heapq.heappop(self._due)[1]
            self._queued.discard(aor)
            bindings = self._by_aor.get(aor)
            if bindings is not None:
                dropped += len(bindings) - len(self.lookup(aor))
                self._queue(aor)
        return dropped

    def _commit(self, aor: bytes, bindings: list[Binding]) -> None:
        if aor not in self._by_aor and not bindings:
            return
        self._keep(aor, bindings)
        if bindings:
            self._write(aor, bindings)
        else:
            self._store.delete(SPACE, aor)

    def _write(self, aor: bytes, bindings: list[Binding]) -> None:
        last = max(binding.expires_at_utc for binding in bindings)
        self._store.put(SPACE, aor, encode_bindings(bindings), last)

    def _keep(self, aor: bytes, bindings: list[Binding]) -> None:
        if not bindings:
            self._by_aor.pop(aor, None)
            return
        self._by_aor[aor] = bindings
        self._queue(aor)

    def _queue(self, aor: bytes) -> None:
        """Look at an address again when its first binding ends; one renewed is found there."""
        bindings = self._by_aor.get(aor)
        if bindings and aor not in self._queued:
            first = min(binding.expires_at_utc for binding in bindings)
            heapq.heappush(self._due, (first, aor))
            self._queued.add(aor)


def _preference(binding: Binding) -> float:
    return -binding.q


def _same_contact(bindings: list[Binding], wanted: Binding) -> Binding | None:
    """Find the binding that a Contact means, by the comparison of RFC 3261 19.1.4."""
    uri = parse_uri(wanted.contact)
    for binding in bindings:
        if uri.equals(parse_uri(binding.contact)):
            return binding
    return None


def _is_older(call_id: bytes, cseq: int, binding: Binding) -> bool:
    return binding.call_id == call_id and cseq <= binding.cseq
