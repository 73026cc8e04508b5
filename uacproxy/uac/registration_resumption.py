"""Going on from what the store knows: after a restart, and for what another instance had.

Nothing is sent for a binding that is still valid. What is read is what was written after
the last exchange; see ``registration_store``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, final

from uacproxy.ports import Clock, Random, Store
from uacproxy.uac.account_index import AccountIndex
from uacproxy.uac.account_requests import AccountRequests
from uacproxy.uac.registration import Registration
from uacproxy.uac.registration_history import SharedWords
from uacproxy.uac.registration_schedule import Schedule
from uacproxy.uac.registration_states import RegistrationState
from uacproxy.uac.registration_store import (
    Recollection,
    RegistrationStore,
    place_of,
    with_renewal,
)
from uacproxy.uac.renewal_log import LONGEST_GRANT, RECORD_AGAIN, Renewal, RenewalLog

LATE_WITHIN: Final = 5.0  # s, for refreshes that came due while nobody was here


@final
class Resumption:
    """Reads, applies and writes the records of accounts; without a store there are none."""

    def __init__(
        self,
        *,
        store: Store | None,
        index: AccountIndex,
        requests: AccountRequests,
        schedule: Schedule,
        words: SharedWords,
        disabled: set[str],
        contact_addr: str,
        is_shared: bool,
        gathers: bool,
        now_utc: Callable[[], float],
        clock: Clock,
        random: Random,
    ) -> None:
        """Begin with nothing read.

        Args:
            store: of what outlives a restart; None: nothing does.
            index: of the accounts; of others nothing is written.
            requests: makes REGISTERs.
            schedule: hears of deadlines that are gone on with.
            words: of the table.
            disabled: l_uuids of those an operator has disabled.
            contact_addr: reg_contact_addr.
            is_shared: other instances read what is written.
            gathers: renewals are written side by side, see ``RenewalLog``.
            now_utc: s of the epoch.
            clock: of what is gathered before it is written.
            random: of refreshes that came due while nobody was here.
        """
        self._store = None if store is None else RegistrationStore(store, now_utc)
        self._index = index
        self._requests = requests
        self._schedule = schedule
        self._words = words
        self._disabled = disabled
        self._contact_addr = contact_addr
        self._is_shared = is_shared
        self._now_utc = now_utc
        self._random = random
        self._remembered: dict[str, bytes] = {}  # records of accounts not added yet
        self._renewed: dict[str, Renewal] = {}  # and what came behind them
        self._renewals: RenewalLog | None = None
        if store is not None and gathers and not is_shared:
            self._renewals = RenewalLog(store, clock, random)

    def read(self, then: Callable[[], None]) -> None:
        """Read all records, then call ``then``."""

        def found(remembered: dict[str, bytes]) -> None:
            self._remembered = remembered
            if self._renewals is None:
                then()
            else:
                self._renewals.load(found_renewed)

        def found_renewed(renewed: dict[str, Renewal]) -> None:
            self._renewed = renewed
            then()

        if self._store is None:
            then()
        else:
            self._store.load_all(found)

    def known_of(self, l_uuid: str) -> Recollection | None:
        """Return what ``read`` has found for an account, once."""
        if self._store is None:
            return None
        known = self._store.decode(self._remembered.pop(l_uuid, None))
        renewal = self._renewed.pop(l_uuid, None)
        if known is not None and renewal is not None:
            known = with_renewal(known, renewal)
        return known

    def drop(self) -> None:
        """Let go of what was read for accounts that are not there."""
        self._remembered = {}
        self._renewed = {}

    def beat(self) -> None:
        """Write renewals that were kept back long enough."""
        if self._renewals is not None:
            self._renewals.beat()

    def close(self) -> None:
        """Keep nothing back any more that is to be written."""
        if self._renewals is not None:
            self._renewals.close()

    def forget(self, l_uuid: str) -> None:
        """Delete the record of an account that is gone."""
        if self._store is not None:
            self._store.forget(l_uuid)

    def resume(self, registration: Registration, known: Recollection) -> bool:
        """Go on where a record ends; False where a REGISTER has to be sent."""
        now_utc = self._now_utc()
        elapsed = now_utc - known.written_at_utc
        known.series.resume(elapsed)
        known.series.target = self._words.target(known.series.target)
        registration.series = known.series
        registration.recall(known.failures, known.refusals, known.last)
        account = registration.account
        bound_for = known.bound_until_utc - now_utc
        if known.place != place_of(account, self._contact_addr):
            registration.series.target = None
            return False
        if bound_for <= 0.0 or bound_for > known.granted or account.expires == 0:
            return False  # over, or the system's time was set back
        refresh_in = known.next_at_utc - now_utc
        if not 0.0 < refresh_in <= bound_for:
            refresh_in = self._random.uniform(0.0, min(LATE_WITHIN, bound_for)) + 0.001
        registration.resume(known.granted, bound_for, refresh_in)
        self._schedule.resumed(registration)
        return True

    def observe(self, registration: Registration, known: Recollection | None) -> None:
        """Note how an account stands that another instance registers.

        None is a record that is not there or could not be read for now: what is known stays,
        and a binding nobody renews runs out by itself.
        """
        if known is None:
            return
        self.note_disabled(registration.account.l_uuid, known)
        registration.recall(known.failures, known.refusals, known.last)
        is_online = known.refusals == 0 and not known.is_off
        bound_for = known.bound_until_utc - self._now_utc()
        registration.observe(known.granted, bound_for if is_online else 0.0)
        target = self._words.target(known.series.target) if registration.is_online else None
        self._index.inbound.place(registration.account.l_uuid, target)

    def note_disabled(self, l_uuid: str, known: Recollection | None) -> None:
        """Take over from a record, where there is one, if an operator has disabled an account."""
        if known is None:
            return
        if known.is_off:
            self._disabled.add(l_uuid)
        else:
            self._disabled.discard(l_uuid)

    def remember(self, registration: Registration, *, may_wait: bool = False) -> None:
        """Write how an account stands, in the store's next batch.

        A renewal ``may_wait``. Who is killed before it is written goes on from the record
        before, whose binding is still valid and whose refresh is late, so it is made within
        ``LATE_WITHIN`` s; CSeq and nonce count are set far enough on for that one request
        (``RegisterSeries.resume``).
        """
        if self._store is None or self._index.get(registration.account.l_uuid) is not registration:
            return
        if may_wait and registration.was_usual and self._is_noted(registration, self._now_utc()):
            return
        registration.noted_at_utc = self._now_utc()
        bound = registration.is_bound
        self._store.save(
            registration.account.l_uuid,
            Recollection(
                registration.series,
                self._now_utc(),
                registration.at_utc(registration.bound_until) if bound else 0.0,
                registration.next_at_utc,
                registration.granted,
                registration.tally.failures,
                registration.tally.refusals,
                registration.last,
                place_of(registration.account, self._contact_addr),
                self._requests.contact_of(registration) if self._is_shared else b"",
                registration.account.l_uuid in self._disabled,
            ),
            may_wait=may_wait,
        )

    def _is_noted(self, registration: Registration, now_utc: float) -> bool:
        """Note a renewal beside the record; False: it has to be written anew."""
        renewals = self._renewals
        granted = registration.granted
        if renewals is None or granted > LONGEST_GRANT:
            return False
        if now_utc - registration.noted_at_utc >= RECORD_AGAIN:
            return False
        series = registration.series
        renewals.add(
            registration.account.l_uuid,
            Renewal(
                granted,
                series.cseq,
                series.nonces[0].nc,
                now_utc,
                registration.at_utc(registration.bound_until),
                registration.next_at_utc,
            ),
        )
        return True

    def written_again(self) -> Iterator[None]:
        """Write everything again, an account a step, to a store that may have lost it."""
        for registration in self._index:
            elsewhere = registration.state is RegistrationState.ELSEWHERE
            if registration.last is not None and not registration.in_flight and not elsewhere:
                self.remember(registration)
            yield
