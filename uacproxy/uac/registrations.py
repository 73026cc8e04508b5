"""All accounts to register: loaded, kept registered, looked up, shown, released.

``beat``, called several times a second, does what is due at the pace the settings allow,
so a start with many accounts, or a registrar that comes back, makes no storm; see
``registration_schedule``. What was registered before a restart is read from the store, and
nothing is sent for what is still valid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, final

from uacproxy.counters import RegistrationCounters
from uacproxy.errors import UacproxyError
from uacproxy.ports import Clock, Log, Random, Store, Target
from uacproxy.uac.account import Account, AccountSource, BadRow
from uacproxy.uac.register_exchange import RegisterExchange, RegisterPolicy
from uacproxy.uac.register_request import RegisterRequest
from uacproxy.uac.registration import Registration, RegistrationWiring
from uacproxy.uac.registration_event import RegistrationEvent
from uacproxy.uac.registration_history import SharedWords
from uacproxy.uac.registration_record import explain, record_of
from uacproxy.uac.registration_release import Release
from uacproxy.uac.registration_schedule import Schedule
from uacproxy.uac.registration_states import (
    FLAG_DISABLED,
    FLAG_INITIALISED,
    IN_FLIGHT,
    RegistrationState,
)
from uacproxy.uac.registration_store import Recollection, RegistrationStore, place_of
from uacproxy.uac.send import UNANSWERED, Sender
from uacproxy.uac.settings import UacSettings

MOST_ADDED_AT_ONCE: Final = 500  # accounts; between two handfuls calls go on
LOAD_AGAIN_IN: Final = 30.0  # s, after the accounts could not be read
MOST_SKIPPED_TOLD: Final = 20  # rows in the log, each load
MISTAKEN_FOR: Final = 60.0  # s until one that met a mistake of ours is tried again
LONGEST_RETURN: Final = 30.0  # s, for all whose connection broke
RETURN_PER_ACCOUNT: Final = 0.01  # s
LATE_WITHIN: Final = 5.0  # s, for refreshes that came due while nobody was here

UNKNOWN: Final = -1  # uac_reg_status
ONLINE: Final = 1
ONGOING: Final = -2
DISABLED: Final = -3
OFFLINE: Final = -99


@final
class RegistrationTable:
    """Every account, by l_uuid and by local user."""

    def __init__(
        self,
        *,
        settings: UacSettings,
        source: AccountSource | None,
        sender: Sender,
        clock: Clock,
        now_utc: Callable[[], float],
        random: Random,
        counters: RegistrationCounters,
        log: Log,
        user_agent: bytes = b"",
        store: Store | None = None,
        heard: Callable[[RegistrationEvent], None] | None = None,
    ) -> None:
        """Begin empty.

        Args:
            settings: the ``reg_`` keys.
            source: of the accounts; None where ``reg_db_url`` is not set.
            sender: of REGISTER requests.
            clock: of deadlines.
            now_utc: s of the epoch, for people.
            random: of delays, Call-IDs and tags.
            counters: added to here.
            log: hears of each transition.
            user_agent: of the REGISTER requests; b"" leaves it out.
            store: of what outlives a restart; None: nothing does.
            heard: hears of each transition after the log.
        """
        self.active = settings.reg_active
        self._settings = settings
        self._source = source
        self._clock = clock
        self._now_utc = now_utc
        self._random = random
        self._counters = counters
        self._log = log
        self._user_agent = user_agent
        self._heard = heard
        self._store = None if store is None else RegistrationStore(store, now_utc)
        self._schedule = Schedule(
            settings=settings,
            clock=clock,
            random=random,
            is_active=lambda: self.active and self._release is None,
            settle=self._settle,
            proceed=self._proceed,
        )
        self._policy = RegisterPolicy(
            settings.reg_keep_callid,
            settings.reg_follow_redirect,
            settings.reg_learn_address,
            settings.reg_service_route,
        )
        self.words = SharedWords()
        self._wiring = RegistrationWiring(
            retry_interval=settings.reg_retry_interval,
            clock=clock,
            now_utc=now_utc,
            random=random,
            sender=sender,
            counters=counters,
            words=self.words,
            open_exchange=self._open_exchange,
            pick_refresh=self._schedule.pick_refresh,
            take_turn=self._schedule.take_turn,
            changed=self._changed,
            deadline_set=self._schedule.deadline_set,
        )
        self._registrations: dict[str, Registration] = {}
        self._of_local_user: dict[str, list[Registration]] = {}  # newest last
        self._remembered: dict[str, bytes] = {}  # records of accounts not added yet
        self._load_at: float | None = None
        self._release: Release | None = None  # once the service stops

    # -- loading -------------------------------------------------------------------------

    @property
    def enabled(self) -> bool:
        """Tell whether there is a source of accounts."""
        return self._source is not None

    def __len__(self) -> int:
        """Return how many accounts there are."""
        return len(self._registrations)

    def start(self) -> None:
        """Load the accounts; those here already are left alone. Failing that, try again."""
        self._load_at = None
        if self._source is None or self._release is not None:
            return
        if self._store is None:
            self._load({})
        else:
            self._store.load_all(self._load)

    def _load(self, remembered: dict[str, bytes]) -> None:
        self._remembered = remembered
        if self._source is not None and self._release is None:
            self._source.load(self._loaded, self._load_failed)

    def _loaded(self, accounts: list[Account], skipped: list[BadRow]) -> None:
        if self._release is not None:
            return
        for why in skipped[:MOST_SKIPPED_TOLD]:
            self._log.warn("{why}; it is not registered", why=str(why))
        if len(skipped) > MOST_SKIPPED_TOLD:
            more = len(skipped) - MOST_SKIPPED_TOLD
            self._log.warn("{more} more accounts are not registered", more=more)
        self._counters.bad_rows += len(skipped)
        self._add_some(accounts, 0)

    def _add_some(self, accounts: list[Account], at: int) -> None:
        """Add a handful of accounts, and the others in later turns."""
        if self._release is not None:
            return
        for account in accounts[at : at + MOST_ADDED_AT_ONCE]:
            if account.l_uuid not in self._registrations:
                self._add(account)
        at += MOST_ADDED_AT_ONCE
        if at < len(accounts):
            self._clock.callLater(0.0, self._add_some, accounts, at)
        else:
            self._remembered = {}
            self._log.info("{count} accounts to register", count=len(self._registrations))
        self._schedule.send_due()

    def _load_failed(self, error: UacproxyError) -> None:
        self._counters.load_failures += 1
        self._log.error(
            "accounts could not be read, next try in {seconds:g} s: {why}",
            why=str(error),
            seconds=LOAD_AGAIN_IN,
        )
        self._load_at = self._clock.seconds() + LOAD_AGAIN_IN

    def _add(self, account: Account) -> None:
        fault = ""
        try:
            self._request_of(account)
        except BadRow as error:
            self._counters.bad_rows += 1
            fault = error.why
        registration = Registration(account, self._wiring, can_register=not fault)
        self._registrations[account.l_uuid] = registration
        self._of_local_user.setdefault(account.l_username, []).append(registration)
        if fault:
            registration.start_disabled(fault)
            return
        known = None
        if self._store is not None:
            known = self._store.decode(self._remembered.pop(account.l_uuid, None))
        if account.flags & FLAG_DISABLED:
            registration.start_disabled("disabled in the table")
        elif known is None or not self._resume(registration, known):
            registration.start(self._first_delay(account))

    def _resume(self, registration: Registration, known: Recollection) -> bool:
        """Go on where a record ends; False where a REGISTER has to be sent."""
        now_utc = self._now_utc()
        elapsed = now_utc - known.written_at_utc
        known.series.resume(elapsed)
        known.series.target = self.words.target(known.series.target)
        registration.series = known.series
        registration.recall(known.failures, known.refusals, known.last)
        account = registration.account
        bound_for = known.bound_until_utc - now_utc
        if known.place != place_of(account, self._settings.reg_contact_addr):
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

    def _remember(self, registration: Registration) -> None:
        if self._store is None:
            return
        bound = registration.is_bound
        self._store.save(
            registration.account.l_uuid,
            Recollection(
                registration.series,
                self._now_utc(),
                registration.at_utc(registration.bound_until) if bound else 0.0,
                registration.next_at_utc,
                registration.granted,
                registration.failures,
                registration.refusals,
                registration.last,
                place_of(registration.account, self._settings.reg_contact_addr),
            ),
        )

    def written_again(self) -> Iterator[None]:
        """Write everything again, an account a step, to a store that may have lost it."""
        for registration in list(self._registrations.values()):
            if registration.last is not None and not registration.in_flight:
                self._remember(registration)
            yield

    def _request_of(self, account: Account, public: bytes = b"") -> RegisterRequest:
        settings = self._settings
        return RegisterRequest(
            account,
            settings.reg_contact_addr,
            self._user_agent,
            public=public,
            outbound=settings.reg_outbound,
            path=settings.reg_path,
        )

    def _open_exchange(self, registration: Registration) -> RegisterExchange:
        account = registration.account
        series = registration.series
        request = self._request_of(account, series.public if self._policy.learn_address else b"")
        return RegisterExchange(account, request, series, self._random, self._policy)

    def _first_delay(self, account: Account) -> float:
        """Return s before the first REGISTER; accounts flagged as initialised do not wait."""
        if account.flags & FLAG_INITIALISED:
            return 0.0
        if account.reg_delay:
            return float(account.reg_delay)
        return self._random.uniform(0.0, float(self._settings.reg_random_delay))

    # -- time ----------------------------------------------------------------------------

    def beat(self) -> None:
        """Do what is due; one account that fails stops no other."""
        now = self._clock.seconds()
        if self._load_at is not None and self._load_at <= now:
            self.start()
        self._schedule.beat()

    def plan(self) -> None:
        """Plan what is due within the reg_timer_interval that begins."""
        self._schedule.plan()

    def connection_lost(self, target: Target) -> None:
        """Register again whoever is registered over a connection that broke (RFC 5626 4.3).

        Calls would come over it, or not at all. Where many shared it they come back over a
        while, at the pace of the registrar in any case.
        """
        lost = [
            registration
            for registration in self._registrations.values()
            if registration.state is RegistrationState.REGISTERED
            and registration.series.target is not None
            and registration.series.target[:3] == target[:3]
        ]
        within = min(LONGEST_RETURN, RETURN_PER_ACCOUNT * (len(lost) - 1))
        for registration in lost:
            self._counters.connections_lost += 1
            delay = self._random.uniform(0.0, within)
            registration.bring_forward(self._clock.seconds() + delay)

    def _settle(self, registration: Registration) -> None:
        """Do what is due for one; what it met must not stop the others."""
        try:
            registration.due()
        except Exception as error:  # noqa: BLE001  (a mistake of ours, in one account of many)
            self._mistaken(registration, error)
            registration.postpone(MISTAKEN_FOR)

    def _mistaken(self, registration: Registration, error: Exception) -> None:
        self._counters.own_mistakes += 1
        self._log.error(
            "account {l_uuid}: {kind}: {error}",
            l_uuid=registration.account.l_uuid,
            kind=type(error).__name__,
            error=str(error),
        )

    def _proceed(self, registration: Registration) -> None:
        try:
            registration.proceed()
        except Exception as error:  # noqa: BLE001  (a mistake of ours, in one account of many)
            self._mistaken(registration, error)

    def _changed(self, registration: Registration, event: RegistrationEvent) -> None:
        self._counters.transitions += 1
        self._schedule.changed(registration)
        if event.before in IN_FLIGHT and event.after not in IN_FLIGHT:
            last = registration.last
            if last is not None and last.status == UNANSWERED:
                self._schedule.silent(registration)
            self._remember(registration)
        self._tell_log(event)
        if self._heard is not None:
            try:
                self._heard(event)
            except Exception as error:  # noqa: BLE001  (whoever listens must not stop a machine)
                self._mistaken(registration, error)
        if self._release is not None:
            self._release.changed(registration)

    def _tell_log(self, event: RegistrationEvent) -> None:
        tell = self._log.info
        if event.after is RegistrationState.REJECTED:
            tell = self._log.warn
        elif event.after is RegistrationState.DISABLED and event.status:
            tell = self._log.warn  # by a failure, for good
        elif event.after in IN_FLIGHT or event.after is RegistrationState.DELAYED:
            tell = self._log.debug
        wait = event.next_at_utc - event.at_utc
        tell(
            "account {l_uuid}: {before} -> {after}: {status} {why}; {next}",
            l_uuid=event.account.l_uuid,
            before=event.before.word,
            after=event.after.word,
            status=event.status or "-",
            why=event.why,
            next=f"next action in {wait:.0f} s" if event.next_at_utc else "nothing more is due",
        )

    # -- lookups, for routes ---------------------------------------------------------------

    def account(self, l_uuid: str) -> Account | None:
        """Return the account, whatever its state."""
        registration = self._registrations.get(l_uuid)
        return None if registration is None else registration.account

    def account_of_local_user(self, user: str, domain: str) -> Account | None:
        """Return the account of a local user, the newest first; ``domain`` may not count.

        It counts where reg_use_domain is set, and then without case, as hosts do.
        """
        known = self._of_local_user.get(user)
        if known is None:
            return None
        if not self._settings.reg_use_domain:
            return known[-1].account
        wanted = domain.lower()
        for registration in reversed(known):
            if registration.account.l_domain.lower() == wanted:
                return registration.account
        return None

    def status(self, l_uuid: str) -> int:
        """Return 1 online, -1 unknown, -2 in progress, -3 disabled, -99 not registered.

        An account stays online while it is refreshed, as long as its binding lives.
        """
        registration = self._registrations.get(l_uuid)
        if registration is None:
            return UNKNOWN
        if registration.state is RegistrationState.DISABLED:
            return DISABLED
        if registration.is_online:
            return ONLINE
        return ONGOING if registration.in_flight else OFFLINE

    def registration(self, l_uuid: str) -> Registration | None:
        """Return an account with all that is known of its binding."""
        return self._registrations.get(l_uuid)

    # -- for operators -----------------------------------------------------------------------

    def dump(self) -> Iterator[dict[str, object]]:
        """Yield the record struct of every account there is when the first one is asked for."""
        for registration in list(self._registrations.values()):
            yield record_of(registration, self._now_utc())

    def find(self, attr: str, value: str) -> dict[str, object] | None:
        """Return the record of the first account whose ``attr`` is ``value``.

        Raises:
            KeyError: no such attribute.
        """
        registration = self._first(attr, value)
        return None if registration is None else record_of(registration, self._now_utc())

    def explain(self, l_uuid: str) -> str | None:
        """Return state, last exchange and next action in words; None: unknown."""
        registration = self._registrations.get(l_uuid)
        return None if registration is None else explain(registration, self._now_utc())

    def enable(self, attr: str, value: str) -> bool:
        """Undo ``disable``; False, here and below: no account has this ``attr``."""
        registration = self._first(attr, value)
        if registration is None:
            return False
        registration.enable()
        return True

    def disable(self, attr: str, value: str) -> bool:
        """Stop registering an account; its binding is taken back."""
        registration = self._first(attr, value)
        if registration is None:
            return False
        registration.disable()
        return True

    def register(self, attr: str, value: str) -> bool:
        """Send a REGISTER at once, whatever is due, and even to a disabled account's registrar."""
        registration = self._first(attr, value)
        if registration is None:
            return False
        registration.register()
        return True

    def unregister(self, attr: str, value: str) -> bool:
        """Take an account's binding back; it rests until it is registered or enabled again."""
        registration = self._first(attr, value)
        if registration is None:
            return False
        registration.unregister()
        return True

    def _first(self, attr: str, value: str) -> Registration | None:
        if attr == "l_uuid":
            return self._registrations.get(value)
        if attr == "l_username":
            known = self._of_local_user.get(value)
            return None if known is None else known[0]
        if attr == "r_username":
            for registration in self._registrations.values():
                if registration.account.r_username == value:
                    return registration
            return None
        if attr == "auth_username":
            for registration in self._registrations.values():
                if registration.account.auth_username == value:
                    return registration
            return None
        raise KeyError(attr)

    def gauges(self) -> dict[str, int]:
        """Return the module's three statistics, counted from where the accounts stand."""
        online = 0
        disabled = 0
        for registration in self._registrations.values():
            online += registration.is_online
            disabled += registration.state is RegistrationState.DISABLED
        return {
            "uac.regtotal": len(self._registrations),
            "uac.regactive": online,
            "uac.regdisabled": disabled,
        }

    # -- stopping ----------------------------------------------------------------------------

    def shutdown(self, then: Callable[[], None], bound_s: float) -> None:
        """Take every binding back, then call ``then``, after ``bound_s`` s at the latest.

        Nothing is registered any more. What no registrar has confirmed until the end is
        left to expire.
        """

        def released(unconfirmed: int) -> None:
            if unconfirmed:
                self._log.info("{count} bindings were left to expire", count=unconfirmed)
            then()

        self._release = Release(
            list(self._registrations.values()), self._clock, bound_s, self._mistaken, released
        )
        self._release.start()
