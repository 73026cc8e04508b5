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
from uacproxy.errors import ParseError
from uacproxy.ports import Clock, HostPort, Log, Random, Store, Target
from uacproxy.sip.grammar import text
from uacproxy.sip.message import Message
from uacproxy.uac.account import Account, AccountSource, BadRow
from uacproxy.uac.account_index import AccountIndex
from uacproxy.uac.account_loader import AccountLoader, Failed, Reloaded
from uacproxy.uac.account_way import AccountWay, way_of
from uacproxy.uac.inbound_match import (
    BY_ADDRESS,
    BY_CONTACT_USER,
    BY_LINE,
    BY_USER,
    InboundMatch,
    line_of,
)
from uacproxy.uac.reconcile import Changes, is_same_on_the_wire, reconcile
from uacproxy.uac.register_exchange import RegisterExchange, RegisterPolicy
from uacproxy.uac.register_request import RegisterRequest
from uacproxy.uac.registration import Registration, RegistrationWiring
from uacproxy.uac.registration_event import RegistrationEvent
from uacproxy.uac.registration_history import SharedWords
from uacproxy.uac.registration_leaving import LeavingBindings
from uacproxy.uac.registration_record import explain, record_of
from uacproxy.uac.registration_release import Release
from uacproxy.uac.registration_schedule import Schedule
from uacproxy.uac.registration_shards import RegistrationShards
from uacproxy.uac.registration_states import (
    FLAG_DISABLED,
    FLAG_INITIALISED,
    IN_FLIGHT,
    RegistrationState,
)
from uacproxy.uac.registration_store import Recollection, RegistrationStore, place_of
from uacproxy.uac.send import UNANSWERED, Sender
from uacproxy.uac.settings import UacSettings

MOST_CHANGED_AT_ONCE: Final = 500  # accounts; between two handfuls calls go on
MOST_LEAVING_AT_ONCE: Final = 50  # bindings that a beat begins to take back
TAKEN_BACK_WITHIN: Final = 35.0  # s; a REGISTER without an answer ends after 32
MISTAKEN_FOR: Final = 60.0  # s until one that met a mistake of ours is tried again
LONGEST_RETURN: Final = 30.0  # s, for all whose connection broke
RETURN_PER_ACCOUNT: Final = 0.01  # s
QUIETLY: Final = (RegistrationState.DELAYED, RegistrationState.ELSEWHERE)  # in the log
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
        shards: RegistrationShards | None = None,
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
        """
        self.active = settings.reg_active
        self._settings = settings
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
            take_turn=self._take_turn,
            changed=self._changed,
            deadline_set=self._schedule.deadline_set,
        )
        self._shards = shards
        self._index = AccountIndex()
        self._remembered: dict[str, bytes] = {}  # records of accounts not added yet
        self._leaving = LeavingBindings(self._is_same_binding)
        self._by_hand: set[str] = set()  # l_uuids of accounts that have no row
        self._disabled: set[str] = set()  # l_uuids of those an operator has disabled
        self._release: Release | None = None  # once the service stops
        self.loader: AccountLoader | None = None
        if source is not None:
            self.loader = AccountLoader(
                source,
                self,
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

    def __len__(self) -> int:
        """Return how many accounts there are."""
        return len(self._index)

    def start(self) -> None:
        """Load the accounts and go on where a restart ended; failing that, try again later."""
        if self.loader is None or self._release is not None:
            return
        if self._store is None:
            self.loader.start()
        else:
            self._store.load_all(self._start_from)

    def _start_from(self, remembered: dict[str, bytes]) -> None:
        self._remembered = remembered
        if self.loader is not None:
            self.loader.start()

    def difference(self, accounts: list[Account], unreadable: set[str]) -> Changes:
        """Say what has to happen for these to be the accounts; those unreadable stay."""
        return reconcile(self._index.accounts(), accounts, unreadable | self._by_hand)

    def apply(self, changes: Changes, then: Callable[[], None]) -> None:
        """Add, change and remove, a handful a turn, then call ``then``."""
        self._apply_some([*changes.added, *changes.changed], changes.removed, 0, then)

    def _apply_some(
        self, accounts: list[Account], removed: list[str], at: int, then: Callable[[], None]
    ) -> None:
        if self._release is not None:
            then()
            return
        until = at + MOST_CHANGED_AT_ONCE
        for account in accounts[at:until]:
            self.put(account)
        for l_uuid in removed[at:until]:
            self.remove(l_uuid)
        self._schedule.send_due()
        if until < max(len(accounts), len(removed)):
            self._clock.callLater(0.0, self._apply_some, accounts, removed, until, then)
        else:
            self._remembered = {}
            if self._shards is not None:
                self._shards.loaded()
            then()

    def put(self, account: Account, *, anew: bool = False) -> None:
        """Add an account, or let it be as it is now said to be.

        The binding of a changed one is kept until the new one is there. One that an
        operator has disabled stays so.

        Args:
            account: as its row says.
            anew: start it where it is at rest, whatever an operator had asked for.
        """
        l_uuid = account.l_uuid
        self._by_hand.discard(l_uuid)
        if anew:
            self._disabled.discard(l_uuid)
        old = self._index.get(l_uuid)
        if old is None:
            self._add(account)
            return
        before = old.account
        if not is_same_on_the_wire(before, account) or _is_off(before) is not _is_off(account):
            self._replace(old, account)
            return
        self._index.rewrite(old, account)
        if anew and old.state in (RegistrationState.IDLE, RegistrationState.DISABLED):
            self._replace(old, account)

    def add(self, account: Account) -> bool:
        """Add an account that has no row; False: there is one of this l_uuid."""
        if self._index.get(account.l_uuid) is not None:
            return False
        self._add(account)
        self._by_hand.add(account.l_uuid)
        return True

    def remove(self, l_uuid: str) -> bool:
        """Forget an account and take its binding back; False: there is none of this l_uuid."""
        registration = self._index.remove(l_uuid)
        if registration is None:
            return False
        if self._store is not None:
            self._store.forget(l_uuid)
        self._by_hand.discard(l_uuid)
        self._disabled.discard(l_uuid)
        if self._shards is not None:
            self._shards.remove(l_uuid)
        self._leaving.leave(registration)
        return True

    def _add(self, account: Account) -> None:
        registration, fault = self._make(account)
        self._index.add(registration)
        if self._shards is not None:
            self._shards.add(account.l_uuid)
        old = None if fault else self._leaving.take_over(account)
        if old is not None:
            registration.take_over(old)
        self._begin(registration, fault, self._first_delay(account) if old is None else 0.0)

    def _replace(self, old: Registration, account: Account) -> None:
        registration, fault = self._make(account)
        self._index.replace(old, registration)
        registration.history = old.history
        if self._shards is not None and old.state is RegistrationState.ELSEWHERE and not fault:
            self._replace_elsewhere(old, registration, self._shards)
            return
        if _is_off(account) or account.expires == 0 or account.l_uuid in self._disabled:
            self._leaving.leave(old)
        elif not fault and self._is_same_binding(old.account, account):
            registration.take_over(old)
        else:
            self._leaving.keep(old)
            again = self._leaving.take_over(account)  # changed back, before it had changed
            if again is not None:
                registration.take_over(again)
        self._begin(registration, fault, 0.0)

    def _make(self, account: Account) -> tuple[Registration, str]:
        """Return the machine of an account, and why none of its requests can be made."""
        fault = ""
        try:
            self._request_of(account)
        except BadRow as error:
            self._counters.bad_rows += 1
            fault = error.why
        return Registration(account, self._wiring, can_register=not fault), fault

    def _begin(self, registration: Registration, fault: str, delay: float) -> None:
        account = registration.account
        known = None
        if self._store is not None and not fault:
            known = self._store.decode(self._remembered.pop(account.l_uuid, None))
        if fault:
            registration.start_disabled(fault)
        elif _is_off(account):
            registration.start_disabled("disabled in the table")
        elif not self._may_begin(registration):
            registration.hand_over()
            if known is not None:
                self.observe(registration, known)
        elif account.l_uuid in self._disabled:
            registration.start_disabled("disabled by an operator")
        elif self._leaving.is_being_taken_back(account):
            registration.start(TAKEN_BACK_WITHIN)  # at the latest; see ``_changed``
        elif known is None or not self._resume(registration, known):
            registration.start(delay)

    def _replace_elsewhere(
        self, old: Registration, registration: Registration, shards: RegistrationShards
    ) -> None:
        """Know a changed account as its owner has it until that has registered it anew."""
        if _is_off(registration.account):
            registration.start_disabled("disabled in the table")
            return
        registration.hand_over()
        registration.observe(old.granted, old.bound_until - self._clock.seconds())
        shards.again(registration.account.l_uuid)

    # -- several instances -----------------------------------------------------------------

    def take_up(self, registration: Registration, known: Recollection | None) -> None:
        """Register an account from here on, from where its last owner has left it."""
        account = registration.account
        self._note_disabled(account.l_uuid, known)
        if account.l_uuid in self._disabled:
            registration.start_disabled("disabled by an operator")
        elif known is None or not self._resume(registration, known):
            if known is not None and known.bound_until_utc > self._now_utc():
                registration.series.old_contact = known.contact  # the last owner's
            registration.start(self._first_delay(account))

    def observe(self, registration: Registration, known: Recollection | None) -> None:
        """Note how an account stands that another instance registers."""
        self._note_disabled(registration.account.l_uuid, known)
        if known is None:
            registration.observe(0, 0.0)
            return
        registration.recall(known.failures, known.refusals, known.last)
        is_online = known.refusals == 0 and not known.is_off
        bound_for = known.bound_until_utc - self._now_utc()
        registration.observe(known.granted, bound_for if is_online else 0.0)
        target = self.words.target(known.series.target) if registration.is_online else None
        self._index.inbound.place(registration.account.l_uuid, target)

    def ask(self, l_uuid: str, what: str) -> None:
        """Do what an operator asked another instance for; see ``RegistrationShards``."""
        act = {
            "enable": self.enable,
            "disable": self.disable,
            "register": self.register,
            "unregister": self.unregister,
        }.get(what)
        if act is not None:
            act("l_uuid", l_uuid)

    def _note_disabled(self, l_uuid: str, known: Recollection | None) -> None:
        if known is not None and known.is_off:
            self._disabled.add(l_uuid)
        else:
            self._disabled.discard(l_uuid)

    def _may_begin(self, registration: Registration) -> bool:
        return self._shards is None or self._shards.may_begin(registration.account.l_uuid)

    def _may_send(self, registration: Registration) -> bool:
        return self._shards is None or self._shards.may_send(registration.account.l_uuid)

    def _take_turn(self, registration: Registration) -> bool:
        """Tell whether a REGISTER may leave now; for an account just lost it never does."""
        return self._may_send(registration) and self._schedule.take_turn(registration)

    def _is_elsewhere(self, registration: Registration, what: str) -> bool:
        """Hand what an operator asks for to the instance that registers the account."""
        if self._shards is None or registration.state is not RegistrationState.ELSEWHERE:
            return False
        self._shards.ask_owner(registration.account.l_uuid, what)
        return True

    def _is_same_binding(self, one: Account, other: Account) -> bool:
        try:
            first = self._request_of(one)
            second = self._request_of(other)
        except BadRow:
            return False
        return first.address_of_record == second.address_of_record and first.contact.equals(
            second.contact
        )

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
        if self._store is None or self._index.get(registration.account.l_uuid) is not registration:
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
                self._contact_of(registration) if self._shards is not None else b"",
                registration.account.l_uuid in self._disabled,
            ),
        )

    def _contact_of(self, registration: Registration) -> bytes:
        try:
            return self._request_of(registration.account, registration.series.public).contact.raw
        except BadRow:
            return b""

    def written_again(self) -> Iterator[None]:
        """Write everything again, an account a step, to a store that may have lost it."""
        for registration in self._index:
            elsewhere = registration.state is RegistrationState.ELSEWHERE
            if registration.last is not None and not registration.in_flight and not elsewhere:
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
        if self.loader is not None:
            self.loader.beat()
        if self._release is None:
            self._leaving.release_some(MOST_LEAVING_AT_ONCE)
        self._schedule.beat()
        if self._shards is not None:
            self._shards.beat()

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
            for registration in self._index
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
        if not registration.in_flight and not self._may_begin(registration):
            return  # whoever acquires its shard goes on from the store
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
            last = registration.last
            if last is not None and last.status == UNANSWERED and last.target is not None:
                self._schedule.silent(registration)
            if event.after is not RegistrationState.ELSEWHERE:
                self._remember(registration)
        if self._index.get(registration.account.l_uuid) is registration:
            target = registration.series.target if registration.is_online else None
            self._index.inbound.place(registration.account.l_uuid, target)
        self._tell_log(event)
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

    def _tell_log(self, event: RegistrationEvent) -> None:
        tell = self._log.info
        if event.after is RegistrationState.REJECTED:
            tell = self._log.warn
        elif event.after is RegistrationState.DISABLED and event.status:
            tell = self._log.warn  # by a failure, for good
        elif event.after in IN_FLIGHT or event.after in QUIETLY:
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
        registration = self._index.get(l_uuid)
        return None if registration is None else registration.account

    def account_of_local_user(self, user: str, domain: str) -> Account | None:
        """Return the account of a local user, the newest first; ``domain`` may not count.

        It counts where reg_use_domain is set, and then without case, as hosts do.
        """
        known = self._index.of_local_user(user)
        if not self._settings.reg_use_domain:
            return known[-1].account if known else None
        wanted = domain.lower()
        for registration in reversed(known):
            if registration.account.l_domain.lower() == wanted:
                return registration.account
        return None

    def match(self, request: Message, remote: HostPort) -> InboundMatch | None:
        """Return the account that a request from outside is for, and by what it is; None: none.

        By ``line``, then by the user of the Request-URI (l_uuid, contact_user), then by the
        number in a field that the account's did_source names, then by the address the one
        account is registered at.

        Args:
            request: whose Request-URI may be any.
            remote: address and port it came from.
        """
        inbound = self._index.inbound
        try:
            uri = request.uri
        except ParseError:
            uri = None
        if uri is not None and uri.is_sip:
            line = line_of(uri)
            if line and self._index.get(line) is not None:
                return InboundMatch(line, BY_LINE)
            user = text(uri.user)
            if user and self._index.get(user) is not None:
                return InboundMatch(user, BY_USER)
            l_uuid = inbound.by_contact_user(user, remote) if user else ""
            if l_uuid:
                return InboundMatch(l_uuid, BY_CONTACT_USER)
        found = inbound.by_number(request, remote)
        if found is not None:
            return found
        l_uuid = inbound.by_address(remote)
        return InboundMatch(l_uuid, BY_ADDRESS) if l_uuid else None

    def status(self, l_uuid: str) -> int:
        """Return 1 online, -1 unknown, -2 in progress, -3 disabled, -99 not registered.

        An account stays online while it is refreshed, as long as its binding lives.
        """
        registration = self._index.get(l_uuid)
        if registration is None:
            return UNKNOWN
        elsewhere = registration.state is RegistrationState.ELSEWHERE
        if registration.state is RegistrationState.DISABLED or (
            elsewhere and l_uuid in self._disabled
        ):
            return DISABLED
        if registration.is_online or self._leaving.is_online(l_uuid):
            return ONLINE
        return ONGOING if registration.in_flight else OFFLINE

    def way(self, l_uuid: str) -> AccountWay | None:
        """Return the way an account's calls go; None: unknown, or no REGISTER can be made."""
        registration = self._index.get(l_uuid)
        if registration is None or not registration.can_register:
            return None
        return way_of(self._request_of(registration.account), registration.series)

    def registration(self, l_uuid: str) -> Registration | None:
        """Return an account with all that is known of its binding."""
        return self._index.get(l_uuid)

    # -- for operators -----------------------------------------------------------------------

    def dump(self) -> Iterator[dict[str, object]]:
        """Yield the record struct of every account there is when the first one is asked for."""
        for registration in self._index:
            yield record_of(registration, self._now_utc())

    def find(self, attr: str, value: str) -> dict[str, object] | None:
        """Return the record of the first account whose ``attr`` is ``value``.

        Raises:
            KeyError: no such attribute.
        """
        registration = self._index.first(attr, value)
        return None if registration is None else record_of(registration, self._now_utc())

    def explain(self, l_uuid: str) -> str | None:
        """Return state, last exchange and next action in words; None: unknown."""
        registration = self._index.get(l_uuid)
        if registration is None:
            return None
        words = explain(registration, self._now_utc())
        return words if self._shards is None else f"{words}\n{self._shards.told(l_uuid)}"

    def reload(self, then: Callable[[Reloaded], None], failed: Failed) -> None:
        """Read all rows again; see ``AccountLoader.reload``."""
        if self.loader is not None:
            self.loader.reload(then, failed)

    def catch_up(self) -> None:
        """Read all rows again, because they have changed; see ``AccountLoader.catch_up``."""
        if self.loader is not None:
            self.loader.catch_up()

    def refresh(self, l_uuid: str, then: Callable[[bool], None], failed: Failed) -> None:
        """Read one row again; see ``AccountLoader.refresh``."""
        if self.loader is not None:
            self.loader.refresh(l_uuid, then, failed)

    def enable(self, attr: str, value: str) -> bool:
        """Undo ``disable``; False, here and below: no account has this ``attr``."""
        registration = self._index.first(attr, value)
        if registration is None:
            return False
        if not self._is_elsewhere(registration, "enable"):
            self._disabled.discard(registration.account.l_uuid)
            registration.enable()
            self._remember_wish(registration)
        return True

    def disable(self, attr: str, value: str) -> bool:
        """Stop registering an account; its binding is taken back."""
        registration = self._index.first(attr, value)
        if registration is None:
            return False
        if not self._is_elsewhere(registration, "disable"):
            self._disabled.add(registration.account.l_uuid)
            registration.disable()
            self._remember_wish(registration)
        return True

    def register(self, attr: str, value: str) -> bool:
        """Send a REGISTER at once, whatever is due, and even to a disabled account's registrar."""
        registration = self._index.first(attr, value)
        if registration is None:
            return False
        if not self._is_elsewhere(registration, "register"):
            self._disabled.discard(registration.account.l_uuid)
            registration.register()
        return True

    def unregister(self, attr: str, value: str) -> bool:
        """Take an account's binding back; it rests until it is registered or enabled again."""
        registration = self._index.first(attr, value)
        if registration is None:
            return False
        if not self._is_elsewhere(registration, "unregister"):
            registration.unregister()
        return True

    def _remember_wish(self, registration: Registration) -> None:
        """Write at once what other instances have to know; what is under way writes at its end."""
        if self._shards is not None and not registration.in_flight:
            self._remember(registration)

    def gauges(self) -> dict[str, int]:
        """Return the module's three statistics, counted from where the accounts stand."""
        online = 0
        disabled = 0
        for registration in self._index:
            online += registration.is_online
            disabled += registration.state is RegistrationState.DISABLED
        return {
            "uac.regtotal": len(self._index),
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

        if self.loader is not None:
            self.loader.close()
        mine = [
            one
            for one in (*self._index, *self._leaving)
            if one.state is not RegistrationState.ELSEWHERE
        ]
        self._release = Release(
            mine,
            self._clock,
            bound_s,
            self._mistaken,
            released,
        )
        self._release.start()


def _is_off(account: Account) -> bool:
    """Tell whether the row itself says that the account is disabled."""
    return account.flags & FLAG_DISABLED != 0
