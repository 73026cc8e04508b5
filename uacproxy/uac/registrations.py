"""All accounts to register: loaded, kept registered, looked up, shown, released.

``beat``, called several times a second, does what is due at the pace the settings allow,
so a start with many accounts, or a registrar that comes back, makes no storm; see
``registration_schedule``. What was registered before a restart is read from the store, and
nothing is sent for what is still valid.

This is where the parts meet. Questions are answered by ``registration_lookup``; accounts
come, change and go in ``account_changes``; ``registration_resumption`` goes on from the
store; ``operator_wishes`` has the verbs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, final

from uacproxy.counters import RegistrationCounters
from uacproxy.ports import Clock, Log, Random, Store, Target
from uacproxy.uac.account import Account, AccountSource
from uacproxy.uac.account_changes import AccountChanges
from uacproxy.uac.account_index import AccountIndex
from uacproxy.uac.account_loader import AccountLoader, Failed, Reloaded
from uacproxy.uac.account_requests import AccountRequests
from uacproxy.uac.operator_wishes import OperatorWishes
from uacproxy.uac.registration import Registration
from uacproxy.uac.registration_event import LOUD, RegistrationEvent, tell_log
from uacproxy.uac.registration_history import SharedWords
from uacproxy.uac.registration_leaving import LeavingBindings
from uacproxy.uac.registration_lookup import RegistrationLookup
from uacproxy.uac.registration_release import Release
from uacproxy.uac.registration_resumption import Resumption
from uacproxy.uac.registration_schedule import BUSY_BEAT, QUIET_BEAT, Schedule
from uacproxy.uac.registration_shards import RegistrationShards
from uacproxy.uac.registration_states import IN_FLIGHT, RegistrationState
from uacproxy.uac.registration_store import Recollection
from uacproxy.uac.registration_wiring import RegistrationWiring
from uacproxy.uac.send import Sender
from uacproxy.uac.settings import UacSettings
from uacproxy.uac.usual_refreshes import UsualRefreshes
from uacproxy.uac.written_request import WrittenSender

MOST_LEAVING_AT_ONCE: Final = 50  # bindings that a beat begins to take back
MISTAKEN_FOR: Final = 60.0  # s until one that met a mistake of ours is tried again
LATE_FOR: Final = 1.0  # s until one is due again whose lease was late
LONGEST_RETURN: Final = 30.0  # s, for all whose connection broke
RETURN_PER_ACCOUNT: Final = 0.01  # s
NEXT_RETURN: Final = 30.0  # s from one return of an account to its next (RFC 5626 4.5)


@final
class RegistrationTable(RegistrationLookup):
    """The accounts with what keeps them registered."""

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
        shards: RegistrationShards | None = None,
        written: WrittenSender | None = None,
        gathers: bool = True,
        is_quiet: bool = False,
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
            shards: tells which accounts are registered here; None: all.
            written: sends refreshes that are as the last one was; None: ``sender`` sends all.
            gathers: renewals are written side by side, to a store that nobody else empties.
            is_quiet: of what ``log`` hears, only warnings are written.
        """
        requests = AccountRequests(settings, user_agent, random)
        index = AccountIndex()
        leaving = LeavingBindings(requests.is_same_binding)
        disabled: set[str] = set()  # l_uuids of those an operator has disabled
        super().__init__(
            index=index,
            leaving=leaving,
            requests=requests,
            disabled=disabled,
            shards=shards,
            use_domain=settings.reg_use_domain,
            now_utc=now_utc,
        )
        self.active = settings.reg_active
        self._keeps_bindings = settings.reg_release == "keep"  # at a stop
        self._clock = clock
        self._random = random
        self._counters = counters
        self._log = log
        self._is_quiet = is_quiet
        self._heard = heard
        self._returns: dict[str, float] = {}  # when whose connection broke is registered again
        self._release: Release | None = None  # once the service stops
        self.words = SharedWords()
        self._schedule = Schedule(
            settings=settings,
            clock=clock,
            random=random,
            is_active=lambda: self.active and self._release is None,
            settle=self._settle,
            proceed=self._proceed,
        )
        self._resumption = Resumption(
            store=store,
            index=index,
            requests=requests,
            schedule=self._schedule,
            words=self.words,
            disabled=disabled,
            contact_addr=settings.reg_contact_addr,
            is_shared=shards is not None,
            gathers=gathers,
            now_utc=now_utc,
            clock=clock,
            random=random,
        )
        self._wishes = OperatorWishes(index, disabled, shards, self._resumption.remember)
        self._changes = AccountChanges(
            index=index,
            requests=requests,
            wiring=RegistrationWiring(
                retry_interval=settings.reg_retry_interval,
                clock=clock,
                now_utc=now_utc,
                random=random,
                sender=sender,
                counters=counters,
                words=self.words,
                open_exchange=requests.open_exchange,
                usual=None if written is None else UsualRefreshes(requests, written, random),
                pick_refresh=self._schedule.pick_refresh,
                take_turn=self._take_turn,
                changed=self._changed,
                deadline_set=self._schedule.deadline_set,
            ),
            schedule=self._schedule,
            leaving=leaving,
            resumption=self._resumption,
            disabled=disabled,
            shards=shards,
            counters=counters,
            random_delay=settings.reg_random_delay,
        )
        self.loader: AccountLoader | None = None
        if source is not None:
            self.loader = AccountLoader(
                source,
                self._changes,
                reload_delta=settings.reload_delta,
                poll_interval=settings.reg_poll_interval,
                clock=clock,
                counters=counters,
                log=log,
            )

    # -- loading -------------------------------------------------------------------------

    @property
    def enabled(self) -> bool:
        """Tell whether there is a source of accounts."""
        return self.loader is not None

    def start(self, then: Callable[[], None] | None = None) -> None:
        """Load the accounts and go on where a restart ended; failing that, try again later.

        Args:
            then: hears that they are loaded, or were not at the first try.
        """
        loader = self.loader
        if loader is not None and self._release is None:
            self._resumption.read(lambda: loader.start(then))
        elif then is not None:
            then()

    def reload(self, then: Callable[[Reloaded], None], failed: Failed) -> None:
        """Read all rows again; see ``AccountLoader.reload``."""
        if self.loader is not None:
            self.loader.reload(then, failed)

    def catch_up(self) -> None:
        """Read all rows again, because they have changed; see ``AccountLoader.catch_up``."""
        if self.loader is not None:
            self.loader.catch_up()

    def follow(self, l_uuid: str) -> None:
        """Read one row again, because it has changed; see ``AccountLoader.follow``."""
        if self.loader is not None:
            self.loader.follow(l_uuid)

    def refresh(self, l_uuid: str, then: Callable[[bool], None], failed: Failed) -> None:
        """Read one row again; see ``AccountLoader.refresh``."""
        if self.loader is not None:
            self.loader.refresh(l_uuid, then, failed)

    def put(self, account: Account, *, anew: bool = False) -> None:
        """Add an account or change it; see ``AccountChanges.put``."""
        self._changes.put(account, anew=anew)

    def add(self, account: Account) -> bool:
        """Add an account that has no row; False: there is one of this l_uuid."""
        return self._changes.add(account)

    def remove(self, l_uuid: str) -> bool:
        """Forget an account and take its binding back; False: there is none of this l_uuid."""
        return self._changes.remove(l_uuid)

    def written_again(self) -> Iterator[None]:
        """Write everything again, an account a step, to a store that may have lost it."""
        return self._resumption.written_again()

    # -- what operators and other instances ask for ----------------------------------------

    def enable(self, attr: str, value: str) -> bool:
        """Undo ``disable``; False, here and below: no account has this ``attr``."""
        return self._wishes.enable(attr, value)

    def disable(self, attr: str, value: str) -> bool:
        """Stop registering an account; its binding is taken back."""
        return self._wishes.disable(attr, value)

    def register(self, attr: str, value: str) -> bool:
        """Send a REGISTER at once, whatever is due, and even to a disabled account's registrar."""
        return self._wishes.register(attr, value)

    def unregister(self, attr: str, value: str) -> bool:
        """Take an account's binding back; it rests until it is registered or enabled again."""
        return self._wishes.unregister(attr, value)

    def ask(self, l_uuid: str, what: str) -> None:
        """Do what an operator asked another instance for; see ``RegistrationShards``."""
        self._wishes.ask(l_uuid, what)

    def take_up(self, registration: Registration, known: Recollection | None) -> None:
        """Register an account from here on, from where its last owner has left it."""
        self._changes.take_up(registration, known)

    def observe(self, registration: Registration, known: Recollection | None) -> None:
        """Note how an account stands that another instance registers."""
        self._resumption.observe(registration, known)

    # -- time ----------------------------------------------------------------------------

    def beat(self) -> None:
        """Do what is due; one account that fails stops no other."""
        if self.loader is not None:
            self.loader.beat()
        if self._release is None:
            self._leaving.release_some(MOST_LEAVING_AT_ONCE)
        self._schedule.beat()
        self._resumption.beat()
        if self._shards is not None:
            self._shards.beat()

    def next_beat_in(self) -> float:
        """Return when the next beat is wanted, s."""
        wait = self._schedule.next_beat_in()
        if self._leaving.is_waiting:
            wait = BUSY_BEAT
        if self._shards is not None:
            wait = min(wait, BUSY_BEAT if self._shards.is_waiting else QUIET_BEAT)
        return wait

    def tell_earlier(self, wanted_by: Callable[[float], object]) -> None:
        """Have told in how many s a beat is wanted, where that is before ``next_beat_in``."""
        self._schedule.wanted_by = wanted_by

    def connection_lost(self, target: Target) -> None:
        """Register again whoever is registered over a connection that broke (RFC 5626 4.3).

        Calls would come over it, or not at all. Where many shared it they come back over a
        while, at the pace of the registrar in any case. A registrar that closes after each
        answer is asked no faster than every ``NEXT_RETURN``.
        """
        now = self._clock.seconds()
        lost = [
            registration
            for registration in self._index
            if registration.state is RegistrationState.REGISTERED
            and registration.series.target is not None
            and registration.series.target[:3] == target[:3]
        ]
        within = min(LONGEST_RETURN, RETURN_PER_ACCOUNT * (len(lost) - 1))
        returns = {who: at for who, at in self._returns.items() if at + NEXT_RETURN > now}
        for registration in lost:
            self._counters.connections_lost += 1
            l_uuid = registration.account.l_uuid
            at = returns.get(l_uuid, -NEXT_RETURN)
            if at < now:  # else it is planned already
                at = max(now + self._random.uniform(0.0, within), at + NEXT_RETURN)
                returns[l_uuid] = at
            registration.bring_forward(at)
        self._returns = returns

    def _settle(self, registration: Registration) -> None:
        """Do what is due for one; what it met must not stop the others."""
        if not registration.in_flight and not self._may_begin(registration):
            registration.postpone(LATE_FOR)  # whoever acquires its shard goes on from the store
            return
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
        if not self._may_send(registration):
            return
        try:
            registration.proceed()
        except Exception as error:  # noqa: BLE001  (a mistake of ours, in one account of many)
            self._mistaken(registration, error)

    def _changed(self, registration: Registration, event: RegistrationEvent) -> None:
        self._counters.transitions += 1
        self._schedule.changed(registration)
        if event.before in IN_FLIGHT and event.after not in IN_FLIGHT:
            if registration.tally.is_silent:
                self._schedule.silent(registration)
            if event.after is not RegistrationState.ELSEWHERE:
                renewed = event.after is RegistrationState.REGISTERED and registration.is_renewed
                self._resumption.remember(registration, may_wait=renewed)
        if self._index.get(registration.account.l_uuid) is registration:
            target = registration.series.target if registration.is_online else None
            self._index.inbound.place(registration.account.l_uuid, target)
        if not self._is_quiet or event.after in LOUD:
            tell_log(self._log, event)
        if self._heard is not None:
            try:
                self._heard(event)
            except Exception as error:  # noqa: BLE001  (whoever listens must not stop a machine)
                self._mistaken(registration, error)
        if self._leaving.changed(registration):
            waiting = self._index.get(registration.account.l_uuid)
            if waiting is not None and waiting.state is RegistrationState.DELAYED:
                waiting.start_now()
        if self._release is not None:
            self._release.changed(registration)

    def _may_begin(self, registration: Registration) -> bool:
        return self._shards is None or self._shards.may_begin(registration.account.l_uuid)

    def _may_send(self, registration: Registration) -> bool:
        return self._shards is None or self._shards.may_send(registration.account.l_uuid)

    def _take_turn(self, registration: Registration) -> bool:
        """Tell whether a REGISTER may leave now; for an account just lost it never does."""
        return self._may_send(registration) and self._schedule.take_turn(registration)

    # -- stopping ----------------------------------------------------------------------------

    def shutdown(self, then: Callable[[], None], bound_s: float) -> None:
        """Take every binding back, then call ``then``, after ``bound_s`` s at the latest.

        Nothing is registered any more. What no registrar has confirmed until the end is
        left to expire. With reg_release = keep, only those are taken back that no account
        has any more.
        """

        def released(unconfirmed: int) -> None:
            if unconfirmed:
                self._log.info("{count} bindings were left to expire", count=unconfirmed)
            then()

        if self.loader is not None:
            self.loader.close()
        self._changes.close()
        self._resumption.close()
        kept = () if self._keeps_bindings else self._index
        mine = [
            one for one in (*kept, *self._leaving) if one.state is not RegistrationState.ELSEWHERE
        ]
        self._release = Release(
            mine,
            self._clock,
            bound_s,
            self._mistaken,
            released,
        )
        self._release.start()
