"""Which accounts this instance registers: those of the shards it holds.

The accounts of other instances are here as well, in the state ``elsewhere``: looked up,
shown and known to be registered or not, as their owner has written it down. A shard that is
acquired is gone on with from there, so nothing is sent for what is still valid; one that is
lost is put down in silence, and its bindings stay.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Protocol, final

from uacproxy.ports import ChangeFeed, Store
from uacproxy.sip.grammar import text
from uacproxy.uac import owner_wishes
from uacproxy.uac.owner_wishes import OwnerWishes
from uacproxy.uac.registration import Registration
from uacproxy.uac.registration_states import RegistrationState
from uacproxy.uac.registration_store import SPACE, Recollection, RegistrationStore
from uacproxy.uac.shard_set import ShardSet
from uacproxy.uac.shards import shard_of

SPACES: Final = (SPACE, owner_wishes.SPACE)
MOST_READ_AT_ONCE: Final = 200  # records, in a beat: what the store has to answer at once


class SharedAccounts(Protocol):
    """The table, to those that share it out."""

    def registration(self, l_uuid: str) -> Registration | None:
        """Return an account."""

    def take_up(self, registration: Registration, known: Recollection | None) -> None:
        """Register an account from here on, from where its last owner has left it."""

    def observe(self, registration: Registration, known: Recollection | None) -> None:
        """Note how an account stands that another instance registers."""

    def ask(self, l_uuid: str, what: str) -> None:
        """Do what an operator asked another instance for."""


@final
class RegistrationShards:
    """Fits ``ShardUser``; ``beat`` reads what is to be taken up and what others have changed."""

    def __init__(
        self,
        *,
        shards: int,
        store: Store,
        feed: ChangeFeed,
        seconds: Callable[[], float],
        now_utc: Callable[[], float],
        follow_every: float,
    ) -> None:
        """Begin without accounts; ``share`` has to follow.

        Args:
            shards: how many there are.
            store: of all instances; it notes what is written in ``SPACES``.
            feed: tells which of them were written.
            seconds: a clock, s.
            now_utc: s of the epoch.
            follow_every: s between two questions to the feed.
        """
        self._store = RegistrationStore(store, now_utc)
        self._feed = feed
        self._seconds = seconds
        self._follow_every = follow_every
        self._of_shard: list[dict[str, None]] = [{} for _ in range(shards)]
        self._to_take_up: deque[str] = deque()
        self._to_observe: deque[str] = deque()
        self._cursor = 0.0
        self._follow_at = 0.0
        self._is_following = False  # a question is under way
        self._table: SharedAccounts | None = None
        self._set: ShardSet | None = None
        self._is_loaded = False
        self._wishes = OwnerWishes(store, feed, now_utc, self.may_begin, self._wished)

    def share(self, table: SharedAccounts, shard_set: ShardSet) -> None:
        """Be told whose accounts these are and which shards are held."""
        self._table = table
        self._set = shard_set

    # -- what the table asks ---------------------------------------------------------------

    def loaded(self) -> None:
        """Hear that the accounts are there; from the first time on this instance takes its part."""
        if self._set is not None and not self._is_loaded:
            self._is_loaded = True
            self._set.take_part()

    def ask_owner(self, l_uuid: str, what: str) -> None:
        """Leave a word for whoever registers an account; it finds it within ``follow_every``."""
        self._wishes.leave(l_uuid, what)

    def add(self, l_uuid: str) -> None:
        """Note an account."""
        self._of_shard[self._shard(l_uuid)][l_uuid] = None

    def remove(self, l_uuid: str) -> None:
        """Forget an account."""
        self._of_shard[self._shard(l_uuid)].pop(l_uuid, None)

    def again(self, l_uuid: str) -> None:
        """Read once more an account that was replaced while it was elsewhere."""
        self._to_take_up.append(l_uuid)

    def may_begin(self, l_uuid: str) -> bool:
        """Tell whether something new may be begun for an account here."""
        return self._set is not None and self._set.may_begin(self._shard(l_uuid))

    def may_send(self, l_uuid: str) -> bool:
        """Tell whether a REGISTER of an account may leave here at this very moment."""
        return self._set is not None and self._set.holds(self._shard(l_uuid))

    def told(self, l_uuid: str) -> str:
        """Return in words which instance has an account."""
        shard = self._shard(l_uuid)
        owner = "" if self._set is None else self._set.owner_of(shard)
        return f"instance: {owner or 'none for now'} (shard {shard})"

    def owner_of(self, l_uuid: str) -> str:
        """Return the name of the instance that has an account, "" for none."""
        return "" if self._set is None else self._set.owner_of(self._shard(l_uuid))

    # -- what the shards tell ----------------------------------------------------------------

    def shard_acquired(self, shard: int) -> None:
        """Take up the accounts of a shard in the beats to come."""
        self._to_take_up.extend(self._of_shard[shard])

    def shard_closing(self, shard: int) -> None:
        """Begin nothing new; ``may_begin`` says so already."""

    def shard_lost(self, shard: int) -> None:
        """Put the accounts of a shard down."""
        for registration in self._registrations(shard):
            registration.hand_over()
            self._to_observe.append(registration.account.l_uuid)

    def is_quiet(self, shard: int) -> bool:
        """Tell whether no REGISTER of a shard is under way."""
        return not [one for one in self._registrations(shard) if one.in_flight]

    @property
    def is_waiting(self) -> bool:
        """Tell whether records are still to be read."""
        return bool(self._to_take_up) or bool(self._to_observe)

    # -- time ------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Read a handful of records that are wanted; ask now and then what others have changed."""
        for _ in range(min(MOST_READ_AT_ONCE, len(self._to_take_up))):
            self._read(self._to_take_up.popleft())
        for _ in range(min(MOST_READ_AT_ONCE, len(self._to_observe))):
            self._read(self._to_observe.popleft())
        now = self._seconds()
        if not self._is_following and now >= self._follow_at:
            self._is_following = True
            self._follow_at = now + self._follow_every
            self._feed.since(SPACE, self._cursor, self._changed)
            self._wishes.look()

    def _changed(self, cursor: float, keys: list[bytes] | None) -> None:
        self._is_following = False
        self._cursor = cursor
        if keys is None:  # it cannot tell: any
            for of_shard in self._of_shard:
                self._to_observe.extend(of_shard)
        else:
            self._to_observe.extend(text(key) for key in keys)

    def _read(self, l_uuid: str) -> None:
        registration = self._find(l_uuid)
        if registration is not None and registration.state is RegistrationState.ELSEWHERE:
            self._store.load(l_uuid, partial(self._known, registration))

    def _known(self, registration: Registration, known: Recollection | None) -> None:
        """Hear what the owner, or the last one, has written; the shard may have come meanwhile."""
        table = self._table
        if table is None or registration.state is not RegistrationState.ELSEWHERE:
            return
        l_uuid = registration.account.l_uuid
        if self._find(l_uuid) is not registration:
            return
        if self.may_begin(l_uuid):
            table.take_up(registration, known)
        else:
            table.observe(registration, known)

    def _wished(self, l_uuid: str, what: str) -> None:
        if self._table is not None:
            self._table.ask(l_uuid, what)

    def _registrations(self, shard: int) -> Iterator[Registration]:
        for l_uuid in self._of_shard[shard]:
            registration = self._find(l_uuid)
            if registration is not None:
                yield registration

    def _find(self, l_uuid: str) -> Registration | None:
        return None if self._table is None else self._table.registration(l_uuid)

    def _shard(self, l_uuid: str) -> int:
        return shard_of(l_uuid, len(self._of_shard))
