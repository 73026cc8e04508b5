"""Accounts of several instances, whole tables of them, on one clock, store and registrar."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.clock import SteppingClock
from tests.support.lease_keeper import Keeper, Line
from tests.support.registrar import (
    EPOCH,
    CountingRandom,
    ListedAccounts,
    ScriptedRegistrar,
    account,
    challenge,
    ok,
    silence,
)
from tests.support.world import SilentLog
from uacproxy.counters import RegistrationCounters
from uacproxy.sip.message import Message
from uacproxy.sip.names import CALL_ID, CONTACT, CSEQ, EXPIRES
from uacproxy.store.memory import MemoryStore
from uacproxy.uac.account import Account
from uacproxy.uac.registration_lookup import DISABLED, OFFLINE, ONLINE
from uacproxy.uac.registration_shards import RegistrationShards
from uacproxy.uac.registration_states import RegistrationState
from uacproxy.uac.registrations import RegistrationTable
from uacproxy.uac.settings import UacSettings
from uacproxy.uac.shard_set import ShardSet

BEAT = 0.25  # s
SHARDS = 8


class Shared:
    """A store that notes what is written; fits ``Store`` and ``ChangeFeed``."""

    def __init__(self, clock: SteppingClock) -> None:
        self._store = MemoryStore(lambda: clock.seconds() + EPOCH)
        self._clock = clock
        self._written: list[tuple[str, bytes]] = []
        self.is_away = False  # reads answer None, as those of a Redis without a connection
        self.scan = self._store.scan

    def get(self, space: str, key: bytes, then: Callable[[bytes | None], None]) -> None:
        if self.is_away:
            then(None)
        else:
            self._store.get(space, key, then)

    def put(
        self,
        space: str,
        key: bytes,
        value: bytes,
        expires_at_utc: float,
        *,
        may_wait: bool = False,
    ) -> None:
        self._store.put(space, key, value, expires_at_utc)
        self._written.append((space, key))

    def delete(self, space: str, key: bytes) -> None:
        self._store.delete(space, key)
        self._written.append((space, key))

    def since(
        self, space: str, cursor: float, then: Callable[[float, list[bytes] | None], None]
    ) -> None:
        new = self._written[max(0, int(cursor) - 1) :]
        keys = [key for of_space, key in new if of_space == space]
        at = float(len(self._written) + 1)
        self._clock.callLater(0.01, then, at, keys if cursor else None)


class Instance:
    """One table, its part of the shards, and the registrar as it hears this instance."""

    def __init__(self, farm: Farm, name: str, contact: str) -> None:
        self._farm = farm
        self.is_dead = False
        clock = farm.clock
        self.registrar = ScriptedRegistrar(clock, farm.reply)
        sharing = RegistrationShards(
            shards=SHARDS,
            store=farm.store,
            feed=farm.store,
            seconds=clock.seconds,
            now_utc=lambda: clock.seconds() + EPOCH,
            follow_every=1.0,
        )
        self.log = SilentLog()
        self.source = ListedAccounts(clock, farm.accounts)
        self.table = RegistrationTable(
            settings=UacSettings(reg_contact_addr=contact, reg_slow_start=0),
            source=self.source,
            sender=self.registrar,
            clock=clock,
            now_utc=lambda: clock.seconds() + EPOCH,
            random=CountingRandom(),
            counters=RegistrationCounters(),
            log=self.log,
            store=farm.store,
            shards=sharing,
        )
        self.line = Line(farm.keeper, f"{name}#{len(farm.instances)}")
        self.shards = ShardSet(
            member=self.line.member,
            shards=SHARDS,
            lease_time=farm.keeper.lease_time,
            leases=self.line,
            user=sharing,
            seconds=clock.seconds,
            log=self.log,
        )
        sharing.share(self.table, self.shards)
        self.table.start()
        self._beat()

    def _beat(self) -> None:
        if not self.is_dead:
            self.shards.beat()
            self.table.beat()
            self._farm.clock.callLater(BEAT, self._beat)

    def wake(self) -> None:
        """Beat again."""
        self.is_dead = False
        self._beat()

    def owned(self) -> set[str]:
        """Return the accounts this instance registers."""
        return {
            one.l_uuid
            for one in self._farm.accounts
            if self.state(one.l_uuid) is not RegistrationState.ELSEWHERE
        }

    def state(self, l_uuid: str) -> RegistrationState:
        registration = self.table.registration(l_uuid)
        assert registration is not None
        return registration.state


class Farm:
    """The instances by name."""

    def __init__(self, count: int = 12) -> None:
        self.clock = SteppingClock()
        self.clock.advance(1000.0)
        self.keeper = Keeper(self.clock)
        self.store = Shared(self.clock)
        self.reply = ok()
        self.accounts: list[Account] = [
            account(f"u{n}", l_username=f"local{n}", r_username=f"trunk{n}") for n in range(count)
        ]
        self.instances: dict[str, Instance] = {}

    def start(self, name: str, contact: str = "192.0.2.80:5060") -> Instance:
        self.instances[name] = Instance(self, name, contact)
        return self.instances[name]

    def run(self, seconds: float) -> None:
        self.clock.run_until(self.clock.seconds() + seconds)

    def sent(self) -> int:
        return sum(len(one.registrar.requests) for one in self.instances.values())


def two(farm: Farm) -> tuple[Instance, Instance]:
    one, other = farm.start("one"), farm.start("two")
    farm.run(30.0)
    return one, other


def all_of(farm: Farm) -> set[str]:
    return {one.l_uuid for one in farm.accounts}


def test_each_account_is_registered_by_one_of_two_and_known_to_both() -> None:
    farm = Farm()
    one, other = two(farm)
    assert one.owned() | other.owned() == all_of(farm)
    assert not one.owned() & other.owned()
    assert one.owned() and other.owned()
    assert farm.sent() == len(farm.accounts)
    for l_uuid in all_of(farm):
        assert one.table.status(l_uuid) == other.table.status(l_uuid) == ONLINE
    assert one.table.gauges() == other.table.gauges()


def test_explain_names_the_instance_that_has_an_account() -> None:
    farm = Farm()
    one, other = two(farm)
    l_uuid = min(other.owned())
    assert "instance: two (shard" in (one.table.explain(l_uuid) or "")
    assert "instance: two (shard" in (other.table.explain(l_uuid) or "")
    assert "elsewhere" in (one.table.explain(l_uuid) or "")


def test_the_accounts_of_a_dead_one_are_taken_up_and_nothing_is_sent_for_them() -> None:
    farm = Farm()
    one, other = two(farm)
    sent = farm.sent()
    other.is_dead = True
    farm.run(15.0)
    assert one.owned() == all_of(farm)
    assert farm.sent() == sent
    assert all(one.table.status(l_uuid) == ONLINE for l_uuid in all_of(farm))


def test_the_next_owner_goes_on_in_the_same_call_with_a_higher_cseq() -> None:
    farm = Farm()
    one, other = two(farm)
    before = {_who(request): request for request in other.registrar.requests}
    other.is_dead = True
    farm.run(3600.0)
    after = {_who(request): request for request in one.registrar.requests}
    assert before
    for who, request in before.items():
        assert after[who].get(CALL_ID) == request.get(CALL_ID)
        assert _cseq(after[who]) > _cseq(request) + 50


def test_one_with_another_contact_registers_at_once_and_takes_the_old_one_back() -> None:
    farm = Farm()
    one, other = farm.start("one", "192.0.2.81"), farm.start("two", "192.0.2.82")
    farm.run(30.0)
    theirs = len(other.owned())
    before = len(one.registrar.requests)
    other.is_dead = True
    farm.run(20.0)
    requests = one.registrar.requests[before:]
    assert len(requests) == theirs > 0
    for request in requests:
        contacts = request.values(CONTACT)
        assert b"192.0.2.81" in contacts[0]
        assert b"192.0.2.82" in contacts[1] and contacts[1].endswith(b";expires=0")


def test_one_that_is_cut_off_gives_up_what_is_under_way_and_sends_no_more() -> None:
    farm = Farm()
    one, other = two(farm)
    for each in (one, other):
        each.registrar.script = [silence]
        for l_uuid in each.owned():
            each.table.register("l_uuid", l_uuid)
    one.line.loses_questions = True
    farm.run(9.5)
    sent = len(one.registrar.requests)
    assert one.owned() == set() and not any(one.registrar.under_way.values())
    farm.run(600.0)
    assert len(one.registrar.requests) == sent
    assert other.owned() == all_of(farm)


def test_a_stopped_process_that_wakes_begins_nothing_that_came_due_meanwhile() -> None:
    farm = Farm()
    one, other = two(farm)
    sent = len(one.registrar.requests)
    one.line.is_asleep = True
    one.is_dead = True  # no beat of its own
    farm.run(3600.0)
    assert other.owned() == all_of(farm)
    one.table.beat()  # before it looks at its leases
    farm.run(1.0)
    assert len(one.registrar.requests) == sent


def test_what_came_due_while_a_lease_was_late_is_done_when_it_is_there() -> None:
    farm = Farm()
    one = farm.start("one")
    farm.run(30.0)
    sent = len(one.registrar.requests)
    registration = one.table.registration("u0")
    assert registration is not None
    registration.bring_forward(farm.clock.seconds() + 6.0)
    one.is_dead = True  # no beat of its own
    farm.run(5.2)
    one.shards.beat()  # asks for the lease, and hears of it after it has run out
    farm.clock.callLater(0.0, one.table.beat)
    farm.clock.advance(4.0)
    farm.run(0.1)
    assert len(one.registrar.requests) == sent
    one.wake()
    farm.run(3.0)
    assert len(one.registrar.requests) == sent + 1


def test_a_stopped_process_that_wakes_does_not_answer_a_challenge_it_finds() -> None:
    farm = Farm()
    one, _ = two(farm)
    l_uuid = min(one.owned())
    one.registrar.script = [challenge(b"n1"), ok()]
    one.table.register("l_uuid", l_uuid)
    sent = len(one.registrar.requests)
    farm.clock.advance(20.0)  # at once: the answer is heard when the lease has run out
    assert len(one.registrar.requests) == sent
    assert one.table.status(l_uuid) == ONLINE


def test_what_an_operator_asks_at_the_wrong_instance_the_right_one_does() -> None:
    farm = Farm()
    one, other = two(farm)
    l_uuid = min(other.owned())
    assert one.table.disable("l_uuid", l_uuid)
    farm.run(5.0)
    assert other.state(l_uuid) is RegistrationState.DISABLED
    assert one.table.status(l_uuid) == DISABLED
    assert other.registrar.requests[-1].get(EXPIRES) == b"0"
    assert one.table.enable("l_uuid", l_uuid)
    farm.run(5.0)
    assert other.state(l_uuid) is RegistrationState.REGISTERED
    assert one.table.status(l_uuid) == ONLINE


def test_a_disabled_account_stays_so_when_another_instance_takes_over() -> None:
    farm = Farm()
    one, other = two(farm)
    l_uuid = min(other.owned())
    at_rest = max(other.owned())
    other.table.unregister("l_uuid", at_rest)
    other.table.disable("l_uuid", l_uuid)
    farm.run(5.0)
    other.table.disable("l_uuid", at_rest)  # nothing has to be sent for that
    farm.run(5.0)
    other.is_dead = True
    farm.run(20.0)
    assert at_rest != l_uuid
    assert one.state(l_uuid) is one.state(at_rest) is RegistrationState.DISABLED


def test_what_its_row_forbids_is_not_registered_once_its_shard_was_lost_and_came_back() -> None:
    farm = Farm()
    farm.accounts += [account("off", flags=1), account("faulty", auth_proxy="tel:+1")]
    one = farm.start("one")
    farm.run(30.0)
    one.line.loses_questions = True
    farm.run(15.0)
    assert one.state("off") is one.state("faulty") is RegistrationState.ELSEWHERE
    one.line.loses_questions = False
    farm.run(30.0)
    assert one.state("off") is one.state("faulty") is RegistrationState.DISABLED
    assert len({_who(request) for request in one.registrar.requests}) == 12


def test_a_store_that_is_away_makes_nobody_forget_what_is_registered_or_disabled() -> None:
    farm = Farm()
    one, other = two(farm)
    disabled, lost = sorted(one.owned())[:2]
    one.table.disable("l_uuid", disabled)
    farm.run(5.0)
    farm.store.is_away = True
    one.line.loses_questions = other.line.loses_questions = True
    farm.run(15.0)
    assert one.state(lost) is RegistrationState.ELSEWHERE
    assert one.table.status(lost) == other.table.status(lost) == ONLINE
    assert one.table.status(disabled) == other.table.status(disabled) == DISABLED
    one.line.loses_questions = False  # the leases are back before the records can be read
    farm.run(15.0)
    assert one.state(disabled) is RegistrationState.DISABLED


def test_an_account_whose_owner_lost_it_at_the_registrar_is_offline_everywhere() -> None:
    farm = Farm()
    one, other = two(farm)
    l_uuid = min(other.owned())
    other.table.unregister("l_uuid", l_uuid)
    farm.run(5.0)
    assert one.table.status(l_uuid) == other.table.status(l_uuid) == OFFLINE


def test_a_changed_account_is_registered_anew_by_its_owner_alone() -> None:
    farm = Farm()
    one, other = two(farm)
    l_uuid = min(other.owned())
    changed = [
        account(each.l_uuid, l_username=each.l_username, r_username=each.r_username)
        if each.l_uuid != l_uuid
        else account(l_uuid, l_username="local", r_username="another")
        for each in farm.accounts
    ]
    sent = len(one.registrar.requests)
    for instance in (one, other):
        instance.table.put(next(each for each in changed if each.l_uuid == l_uuid))
    farm.run(10.0)
    assert len(one.registrar.requests) == sent
    assert _who(other.registrar.requests[-2]) != _who(other.registrar.requests[-1])
    assert one.table.status(l_uuid) == ONLINE


def test_one_that_is_alone_takes_its_bindings_back_when_it_stops() -> None:
    farm = Farm()
    one = farm.start("one")
    farm.run(5.0)
    ended: list[bool] = []
    one.table.shutdown(lambda: ended.append(True), 5.0)
    farm.run(6.0)
    assert ended == [True]
    assert [request.get(EXPIRES) for request in one.registrar.requests].count(b"0") == 12


def test_one_of_two_that_stops_takes_back_no_binding_of_the_other() -> None:
    farm = Farm()
    one, _ = two(farm)
    mine = len(one.owned())
    ended: list[float] = []
    began = farm.clock.seconds()
    one.table.shutdown(lambda: ended.append(farm.clock.seconds()), 5.0)
    farm.run(6.0)
    assert [request.get(EXPIRES) for request in one.registrar.requests].count(b"0") == mine
    assert ended and ended[0] - began < 5.0


def _who(request: Message) -> bytes:
    return request.to.uri


def _cseq(request: Message) -> int:
    return int((request.get(CSEQ) or b"0").split()[0])
