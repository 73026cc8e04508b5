"""Reading the accounts: at the start, on request, as a row changes, and every so often.

A source that cannot be read changes nothing: what is registered stays so, and whoever
asked is told which source it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, final

from uacproxy.counters import RegistrationCounters
from uacproxy.errors import FeatureError, UacproxyError
from uacproxy.ports import Clock, Log
from uacproxy.uac.account import Account, AccountSource, BadRow
from uacproxy.uac.reconcile import Changes

LOAD_AGAIN_IN: Final = 30.0  # s, after the accounts could not be read at the start
MOST_SKIPPED_TOLD: Final = 20  # rows in the log, each load


class TooSoon(FeatureError):
    """A reload within ``reload_delta`` of the last one."""


class Reloaded(NamedTuple):
    """What a reload came to, in numbers of accounts."""

    added: int
    changed: int
    removed: int
    unchanged: int
    skipped: int  # rows that are no accounts

    def __str__(self) -> str:
        """Return it in words."""
        words = (
            f"{self.added} added, {self.changed} changed, {self.removed} removed,"
            f" {self.unchanged} unchanged"
        )
        return f"{words}, {self.skipped} skipped" if self.skipped else words


class AccountTable(Protocol):
    """Who has the accounts."""

    def __len__(self) -> int:
        """Return how many there are."""

    def difference(self, accounts: list[Account], unreadable: set[str]) -> Changes:
        """Say what has to happen for these to be the accounts; those unreadable stay."""

    def apply(self, changes: Changes, then: Callable[[], None]) -> None:
        """Make them so, a handful a turn, then call ``then``."""

    def put(self, account: Account, *, anew: bool) -> None:
        """Add an account or change it; ``anew`` starts one that is at rest."""

    def remove(self, l_uuid: str) -> bool:
        """Forget an account and take its binding back; False: there is none of this l_uuid."""


Then = Callable[[Reloaded], None]
Failed = Callable[[UacproxyError], None]


@final
class AccountLoader:
    """One source, read by one at a time."""

    def __init__(
        self,
        source: AccountSource,
        table: AccountTable,
        *,
        reload_delta: int,
        poll_interval: int,
        clock: Clock,
        counters: RegistrationCounters,
        log: Log,
    ) -> None:
        """Read nothing yet.

        Args:
            source: of the accounts.
            table: that they go to.
            reload_delta: s between two reloads asked for.
            poll_interval: s between two reloads nobody asks for; 0: there are none.
            clock: of both.
            counters: added to here.
            log: hears of each load, and of rows that are skipped.
        """
        self._source = source
        self._table = table
        self._reload_delta = reload_delta
        self._poll_interval = poll_interval
        self._clock = clock
        self._counters = counters
        self._log = log
        self._load_at: float | None = None  # s on the clock's time
        self._asked_at: float | None = None
        self._is_loaded = False  # at least once
        self._is_loading = False
        self._is_closed = False
        self._waiting: list[tuple[Then, Failed]] = []  # for the load that comes next
        self._told: set[str] = set()  # of rows that were skipped

    def start(self, then: Callable[[], None] | None = None) -> None:
        """Load for the first time, and again later where that fails; ``then`` hears of either."""

        def loaded(_what: Reloaded) -> None:
            if then is not None:
                then()

        def failed(error: UacproxyError) -> None:
            self._first_failed(error)
            if then is not None:
                then()

        self._begin(loaded, failed)

    def close(self) -> None:
        """Change nothing any more, whatever is still read."""
        self._is_closed = True

    def beat(self) -> None:
        """Load where it is time to."""
        if self._load_at is not None and self._load_at <= self._clock.seconds():
            self._load_at = None
            if self._is_loaded:
                self._begin(_ignore, self._catching_up_failed)
            else:
                self.start()

    def reload(self, then: Then, failed: Failed) -> None:
        """Load because somebody asks for it.

        Calls:
            failed: with TooSoon within ``reload_delta`` of the last time, with StoreError or
                ConfigError when the source cannot be read.
        """
        now = self._clock.seconds()
        if self._asked_at is not None and now - self._asked_at < self._reload_delta:
            ago = now - self._asked_at
            failed(
                TooSoon(
                    f"reloaded {ago:.0f} s ago, once more in {self._reload_delta - ago:.0f} s"
                    " (reload_delta)"
                )
            )
            return
        self._asked_at = now
        self._begin(then, failed)

    def catch_up(self) -> None:
        """Load because the source has changed, as it told us itself; failing that, later."""
        self._begin(_ignore, self._catching_up_failed)

    def follow(self, l_uuid: str) -> None:
        """Read one row because it has changed, come or gone, as its source told us itself.

        An account that an operator has disabled stays so.
        """

        def loaded(account: Account | None) -> None:
            if self._is_closed:
                return
            if account is None:
                self._table.remove(l_uuid)
            else:
                self._table.put(account, anew=False)

        def failed(error: UacproxyError) -> None:
            if isinstance(error, BadRow):
                self._counters.bad_rows += 1
                self._log.warn("{why}; the row is skipped", why=str(error))
            else:
                self._counters.load_failures += 1
                self._catching_up_failed(error)

        if self._is_loading or not self._is_loaded:
            self.catch_up()  # what is being read may be older
        else:
            self._source.load_one(l_uuid, loaded, failed)

    def refresh(self, l_uuid: str, then: Callable[[bool], None], failed: Failed) -> None:
        """Read one row again; an account at rest is started by it.

        Calls:
            then: with False where no row has this l_uuid; the account stays as it is.
            failed: with BadRow when the row is none, else as ``reload``.
        """

        def loaded(account: Account | None) -> None:
            if account is not None and not self._is_closed:
                self._table.put(account, anew=True)
            then(account is not None)

        self._source.load_one(l_uuid, loaded, failed)

    def _begin(self, then: Then, failed: Failed) -> None:
        self._waiting.append((then, failed))
        if not self._is_loading:
            self._load()

    def _load(self) -> None:
        waiting = self._waiting
        self._waiting = []
        self._is_loading = True

        def loaded(accounts: list[Account], skipped: list[BadRow]) -> None:
            if self._is_closed:
                return
            self._tell_skipped(skipped)
            changes = self._table.difference(accounts, {why.l_uuid for why in skipped})
            unchanged = len(self._table) - len(changes.removed) - len(changes.changed)

            def applied() -> None:
                self._tell(changes)
                result = Reloaded(
                    len(changes.added),
                    len(changes.changed),
                    len(changes.removed),
                    unchanged,
                    len(skipped),
                )
                for then, _ in waiting:
                    then(result)
                self._ended()

            self._table.apply(changes, applied)

        def failed(error: UacproxyError) -> None:
            self._counters.load_failures += 1
            for _, refused in waiting:
                refused(error)
            self._ended()

        self._source.load(loaded, failed)

    def _ended(self) -> None:
        self._is_loading = False
        if self._waiting:  # asked while it was read: what changed meanwhile counts
            self._load()
        elif self._poll_interval and self._is_loaded:
            self._load_at = self._clock.seconds() + self._poll_interval

    def _tell(self, changes: Changes) -> None:
        if not self._is_loaded:
            self._log.info("{count} accounts to register", count=len(self._table))
        elif changes:
            self._log.info(
                "accounts of {source}: {added} added, {changed} changed, {removed} removed",
                source=self._source.name,
                added=len(changes.added),
                changed=len(changes.changed),
                removed=len(changes.removed),
            )
        self._is_loaded = True

    def _tell_skipped(self, skipped: list[BadRow]) -> None:
        """Tell of each row once, not at each poll."""
        told = {str(why) for why in skipped}
        news = [why for why in skipped if str(why) not in self._told]
        self._told = told
        self._counters.bad_rows += len(news)
        for why in news[:MOST_SKIPPED_TOLD]:
            self._log.warn("{why}; the row is skipped", why=str(why))
        if len(news) > MOST_SKIPPED_TOLD:
            more = len(news) - MOST_SKIPPED_TOLD
            self._log.warn("{more} more rows are skipped", more=more)

    def _first_failed(self, error: UacproxyError) -> None:
        self._log.error(
            "accounts could not be read from {source}, next try in {seconds:g} s: {why}",
            source=self._source.name,
            why=str(error),
            seconds=LOAD_AGAIN_IN,
        )
        self._load_at = self._clock.seconds() + LOAD_AGAIN_IN

    def _catching_up_failed(self, error: UacproxyError) -> None:
        """Try again later; with reg_poll_interval it is done at the next poll."""
        self._log.error(
            "accounts could not be read from {source}, nothing changes: {why}",
            source=self._source.name,
            why=str(error),
        )
        self._load_at = self._clock.seconds() + LOAD_AGAIN_IN


def _ignore(_what: Reloaded) -> None:
    """Take what a load came to that nobody asked for."""
