"""Accounts kept registered, on a stepping clock, by a registrar that follows a script."""

from __future__ import annotations

import random as chance
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import SteppingClock
from tests.support.log import KeptLog
from tests.support.registrar import (
    EPOCH,
    HERE,
    CountingRandom,
    ListedAccounts,
    Reply,
    ScriptedRegistrar,
    account,
    challenge,
    credentials_of,
    ok,
    proves,
    proxy_challenge,
    silence,
    status,
)
from uacproxy.counters import RegistrationCounters
from uacproxy.errors import StoreUnavailable
from uacproxy.manage.records import RECORD_FIELDS
from uacproxy.ports import Random, Store
from uacproxy.sip.build import build_response
from uacproxy.sip.message import Message
from uacproxy.sip.names import AUTHORIZATION, CONTACT, EXPIRES, PROXY_AUTHORIZATION
from uacproxy.uac.account import Account
from uacproxy.uac.registration import Registration
from uacproxy.uac.registration_event import RegistrationEvent
from uacproxy.uac.registration_history import MOST_ENTRIES
from uacproxy.uac.registration_schedule import BUSY_BEAT, LONGEST_BEAT, QUIET_BEAT
from uacproxy.uac.registration_states import RegistrationState as State
from uacproxy.uac.registrations import RegistrationTable
from uacproxy.uac.settings import UacSettings

BEAT = 1.0  # s


class SeededRandom:
    """Real jitter, the same each time."""

    def __init__(self, seed: int = 7) -> None:
        self._chance = chance.Random(seed)

    def token(self) -> bytes:
        return b"%016x" % self._chance.getrandbits(64)

    def uniform(self, low: float, high: float) -> float:
        return self._chance.uniform(low, high)


class Bench:
    """A table, its accounts and their registrar; time passes in beats."""

    def __init__(
        self,
        *script: Reply,
        accounts: Sequence[Account] | None = None,
        random: Random | None = None,
        user_agent: bytes = b"",
        store: Store | None = None,
        beat: float = BEAT,
        clock: SteppingClock | None = None,
        **settings: object,
    ) -> None:
        self.clock = clock or SteppingClock()
        self.beat = beat
        self.registrar = ScriptedRegistrar(self.clock, *script)
        self.source = ListedAccounts(self.clock, [account()] if accounts is None else accounts)
        self.counters = RegistrationCounters()
        self.log = KeptLog()
        self.events: list[RegistrationEvent] = []
        self.table = RegistrationTable(
            settings=UacSettings(
                **{"reg_contact_addr": "192.0.2.100:5060", **settings}  # type: ignore[arg-type]
            ),
            source=self.source,
            sender=self.registrar,
            clock=self.clock,
            now_utc=lambda: self.clock.seconds() + EPOCH,
            random=random or CountingRandom(),
            counters=self.counters,
            log=self.log,
            user_agent=user_agent,
            store=store,
            heard=self.events.append,
        )
        self.table.start()
        self.clock.advance(0)

    def let(self, seconds: float) -> None:
        until = self.clock.seconds() + seconds
        while self.clock.seconds() < until:
            self.clock.run_until(min(self.clock.seconds() + self.beat, until))
            self.table.beat()

    @property
    def requests(self) -> list[bytes]:
        return [request.encode() for request in self.registrar.requests]

    def state(self, l_uuid: str = "u1") -> State:
        return self.registration(l_uuid).state

    def registration(self, l_uuid: str = "u1") -> Registration:
        found = self.table.registration(l_uuid)
        assert found is not None
        return found

    def numbers(self) -> list[int]:
        return [request.cseq.number for request in self.registrar.requests]

    def asked(self) -> list[bytes | None]:
        return [request.get(EXPIRES) for request in self.registrar.requests]


# -- what is sent ------------------------------------------------------------------------


def test_the_first_register_is_that_of_the_module() -> None:
    bench = Bench(ok(), user_agent=b"uacproxy")
    bench.let(1.0)
    assert bench.requests == [
        b"REGISTER sip:provider.example SIP/2.0\r\n"
        b"To: <sip:trunk7@provider.example>\r\n"
        b"From: <sip:trunk7@provider.example>;tag=0000000000000002\r\n"
        b"CSeq: 10 REGISTER\r\n"
        b"Call-ID: 0000000000000001\r\n"
        b"Max-Forwards: 70\r\n"
        b"Content-Length: 0\r\n"
        b"User-Agent: uacproxy\r\n"
        b"Contact: <sip:u1@192.0.2.100:5060>\r\n"
        b"Expires: 3600\r\n"
        b"\r\n"
    ]
    assert bench.registrar.next_hops == [b"sip:proxy.provider.example"]


def test_without_auth_proxy_the_domain_is_the_next_hop() -> None:
    bench = Bench(ok(), accounts=[account(auth_proxy="", r_domain="provider.example:5070")])
    bench.let(1.0)
    assert bench.registrar.next_hops == [b"sip:provider.example:5070"]


def test_a_contact_user_puts_the_l_uuid_into_the_line_parameter() -> None:
    own = account(contact_user="trunk", contact_addr="c.example:5070;transport=tcp")
    bench = Bench(ok(), accounts=[own])
    bench.let(1.0)
    contact = b"<sip:trunk@c.example:5070;transport=tcp;line=u1>"
    assert bench.registrar.requests[0].get(CONTACT) == contact
    assert bench.table.status("u1") == 1


# -- authentication ------------------------------------------------------------------------


def test_a_challenge_is_answered_with_the_next_cseq_of_the_same_call() -> None:
    bench = Bench(challenge(b"n1"), ok())
    bench.let(1.0)
    first, second = bench.registrar.requests
    assert bench.numbers() == [10, 11]
    assert first.call_id == second.call_id
    assert first.from_.tag == second.from_.tag
    assert proves(second, b"hunter2")
    assert bench.table.status("u1") == 1


def test_a_refresh_brings_credentials_along_and_is_one_transaction() -> None:
    bench = Bench(challenge(b"n1"), ok())
    bench.let(2400.0)
    assert bench.numbers() == [10, 11, 12]
    given = credentials_of(bench.registrar.requests[2])
    assert given is not None
    assert (given.nonce, given.nc) == (b"n1", b"00000002")
    assert proves(bench.registrar.requests[2], b"hunter2")
    assert len({request.call_id for request in bench.registrar.requests}) == 1


def test_a_stale_nonce_is_answered_once_more() -> None:
    bench = Bench(challenge(b"n1"), ok(), challenge(b"n2", stale=True), ok())
    bench.let(2400.0)
    nonces = [one and one.nonce for one in map(credentials_of, bench.registrar.requests)]
    assert nonces == [None, b"n1", b"n1", b"n2"]
    assert bench.state() is State.REGISTERED


def test_another_nonce_without_a_word_of_stale_is_answered_once_more() -> None:
    bench = Bench(challenge(b"n1"), challenge(b"n2"), ok())
    bench.let(1.0)
    assert bench.table.status("u1") == 1


def test_the_same_nonce_again_is_a_wrong_password() -> None:
    bench = Bench(challenge(b"n1"))
    bench.let(200.0)
    assert len(bench.requests) == 2
    assert bench.state() is State.REJECTED
    assert bench.counters.refused == 1


def test_new_nonces_for_ever_are_a_wrong_password() -> None:
    bench = Bench(*[challenge(b"n%d" % number) for number in range(20)])
    bench.let(200.0)
    assert len(bench.requests) == 3
    assert bench.state() is State.REJECTED


def test_a_wrong_password_for_a_day_stays_within_the_budget() -> None:
    bench = Bench(challenge(b"n1"), random=SeededRandom())
    bench.let(86400.0)
    assert 10 <= len(bench.requests) <= 30  # two each at 0, 5, 15, 35 min, ... then every 6 h


def test_another_realm_than_the_accounts_is_not_answered() -> None:
    bench = Bench(challenge(b"n1"), accounts=[account(realm="elsewhere.example")])
    bench.let(10.0)
    assert len(bench.requests) == 1
    assert bench.state() is State.REJECTED


def test_a_proxy_and_a_registrar_both_get_their_answers() -> None:
    bench = Bench(proxy_challenge(b"p1", b"proxy"), challenge(b"n1"), ok())
    bench.let(1.0)
    last = bench.registrar.requests[-1]
    assert proves(last, b"hunter2")
    assert proves(last, b"hunter2", PROXY_AUTHORIZATION)
    to_proxy = credentials_of(last, PROXY_AUTHORIZATION)
    assert to_proxy is not None and to_proxy.nc == b"00000002"
    assert bench.table.status("u1") == 1


def test_a_403_to_credentials_sent_ahead_is_doubted_once() -> None:
    bench = Bench(challenge(b"n1"), ok(), status(403), challenge(b"n2"), ok())
    bench.let(2400.0)
    assert [request.has(AUTHORIZATION) for request in bench.registrar.requests] == [
        False,
        True,
        True,
        False,
        True,
    ]
    assert bench.state() is State.REGISTERED


def test_a_403_to_the_first_register_is_of_the_slow_class() -> None:
    bench = Bench(status(403), ok())
    bench.let(250.0)
    assert (len(bench.requests), bench.state()) == (1, State.REJECTED)
    bench.let(60.0)
    assert (len(bench.requests), bench.state()) == (2, State.REGISTERED)


# -- refresh ---------------------------------------------------------------------------------


def test_a_refresh_is_due_between_half_and_four_fifths_of_the_grant() -> None:
    accounts = [account(f"u{number}", r_username=f"t{number}") for number in range(50)]
    bench = Bench(ok(expires=1000), accounts=accounts, random=SeededRandom())
    bench.let(499.0)
    assert len(bench.requests) == 50
    bench.let(305.0)
    assert len(bench.requests) == 100
    assert len({int(at) for at in bench.registrar.at[50:]}) > 30


def test_the_status_is_online_while_a_refresh_is_under_way() -> None:
    bench = Bench(ok(), silence)
    bench.let(2345.0)
    assert (bench.state(), bench.table.status("u1")) == (State.REFRESHING, 1)


def test_an_account_is_offline_once_its_binding_has_run_out() -> None:
    bench = Bench(ok(expires=60), silence)
    bench.let(100.0)
    assert bench.table.status("u1") < 0


def test_without_keep_callid_each_refresh_is_a_call_of_its_own() -> None:
    bench = Bench(challenge(b"n1"), ok(), reg_keep_callid=False)
    bench.let(2400.0)
    calls = [request.call_id for request in bench.registrar.requests]
    assert bench.numbers() == [10, 11, 10]
    assert calls[0] == calls[1] != calls[2]


def test_a_423_is_followed_at_once_and_remembered() -> None:
    bench = Bench(status(423, min_expires=b"7200"), ok(expires=7200))
    bench.let(1.0)
    assert bench.asked() == [b"3600", b"7200"]
    bench.let(5000.0)
    assert bench.asked() == [b"3600", b"7200", b"7200"]


def test_a_423_without_an_interval_doubles_ours_but_not_for_ever() -> None:
    bench = Bench(status(423))
    bench.let(1.0)
    assert bench.asked() == [b"3600", b"7200", b"14400"]
    assert bench.state() is State.BACKING_OFF


def test_an_interval_is_doubled_to_a_day_at_most() -> None:
    bench = Bench(status(423), random=SeededRandom())
    bench.let(4 * 3600.0)
    assert max(int(asked or 0) for asked in bench.asked()) == 86400
    assert bench.asked()[-1] == b"86400"


def test_a_shorter_grant_than_asked_for_counts() -> None:
    bench = Bench(ok(b"<sip:u1@192.0.2.100:5060>;expires=120"))
    bench.let(100.0)
    assert len(bench.requests) == 2


# -- whose Contact ---------------------------------------------------------------------------

FOREIGN = b"<sip:other@203.0.113.9>;expires=10"


def test_our_contact_is_found_among_others_and_its_expiry_counts() -> None:
    bench = Bench(ok(FOREIGN + b", <sip:u1@192.0.2.100:5060>;expires=600", expires=20))
    bench.let(200.0)
    assert len(bench.requests) == 1
    assert "granted for 600 s" in (bench.table.explain("u1") or "")


def test_a_contact_with_another_host_is_ours_by_its_user() -> None:
    """The match had to be exact (kamailio #4653, OpenSIPS #2557)."""
    bench = Bench(ok(FOREIGN, b"<sip:u1@198.51.100.1:1024>;expires=600"))
    bench.let(1.0)
    assert bench.table.status("u1") == 1


def test_of_two_with_our_user_the_very_contact_counts() -> None:
    old = b"<sip:u1@198.51.100.1:1024>;expires=9"
    bench = Bench(ok(old, b"<sip:u1@192.0.2.100:5060>;expires=600"))
    bench.let(60.0)
    assert len(bench.requests) == 1


def test_of_two_that_match_alike_the_first_counts() -> None:
    new = b"<sip:u1@198.51.100.1:1024>;expires=600"
    bench = Bench(ok(new, b"<sip:u1@198.51.100.1:99>;expires=9"))
    bench.let(60.0)
    assert len(bench.requests) == 1


def test_a_rewritten_contact_is_ours_by_its_line() -> None:
    mine = b"<sip:x@198.51.100.1;line=u1>;expires=600"
    foreign = b"<sip:trunk@198.51.100.1;line=u2>;expires=5"
    bench = Bench(ok(foreign, mine), accounts=[account(contact_user="trunk")])
    bench.let(60.0)
    assert (len(bench.requests), bench.table.status("u1")) == (1, 1)


def test_only_foreign_contacts_are_a_mismatch_retried_with_backoff() -> None:
    bench = Bench(ok(FOREIGN), random=SeededRandom())
    bench.let(600.0)
    assert bench.table.status("u1") < 0
    assert bench.counters.mismatches == len(bench.requests)
    assert 3 <= len(bench.requests) <= 20
    assert "sip:other@203.0.113.9" in (bench.table.explain("u1") or "")


@pytest.mark.parametrize(
    "reply",
    [
        ok(b"*"),
        ok(b'"', b"<sip:u1@["),
        ok(b"<sip:u1@192.0.2.100:5060>;expires=0"),
        status(200),
    ],
)
def test_a_200_without_our_binding_is_no_registration(reply: Reply) -> None:
    bench = Bench(reply)
    bench.let(1.0)
    assert bench.state() is State.BACKING_OFF


# -- failures ----------------------------------------------------------------------------------


def test_a_silent_registrar_has_one_register_at_a_time_and_is_back_within_one_step() -> None:
    bench = Bench(silence, random=SeededRandom())
    bench.let(3600.0)
    assert bench.registrar.most_under_way == 1
    assert 8 <= len(bench.requests) <= 60
    bench.registrar.script = [ok()]
    bench.let(340.0)
    assert bench.table.status("u1") == 1


def test_retry_after_is_not_undercut() -> None:
    bench = Bench(status(503, retry_after=b"120"), ok())
    bench.let(119.0)
    assert len(bench.requests) == 1
    bench.let(20.0)
    assert bench.table.status("u1") == 1


def test_retry_after_is_bounded() -> None:
    bench = Bench(status(503, retry_after=b"4000000000"), ok())
    bench.let(4000.0)
    assert bench.table.status("u1") == 1


def test_the_pause_grows_and_stays_bounded() -> None:
    bench = Bench(status(500))
    bench.let(3600.0)
    pauses = [b - a for a, b in zip(bench.registrar.at, bench.registrar.at[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 31 and 100 < pauses[-1] < 301


def test_a_success_makes_the_next_pause_a_first_one_again() -> None:
    bench = Bench(*[status(500)] * 5, ok(expires=100), status(500), ok())
    bench.let(1000.0)
    last_pause = bench.registrar.at[7] - bench.registrar.at[6]
    assert last_pause < 31


def test_without_a_retry_interval_the_first_failure_disables() -> None:
    bench = Bench(status(500), reg_retry_interval=0)
    bench.let(86400.0)
    assert len(bench.requests) == 1
    assert bench.table.status("u1") == -3
    assert bench.log.told("warn") == [
        "account u1: registering -> disabled: 500 Server Internal Error; nothing more is due"
    ]


def test_the_target_that_answered_is_asked_again_until_it_is_silent() -> None:
    bench = Bench(challenge(b"n1"), ok(expires=100), silence, ok())
    bench.let(300.0)
    assert bench.registrar.targets[:4] == [None, HERE, HERE, None]


def test_a_503_lets_the_next_try_resolve_anew() -> None:
    bench = Bench(challenge(b"n1"), status(503), ok())
    bench.let(300.0)
    assert bench.registrar.targets == [None, HERE, None]


def test_a_sender_that_never_tells_is_given_up() -> None:
    bench = Bench(ok(), accounts=[account(reg_delay=5)])
    bench.registrar.loses_answers = True
    bench.let(299.0)
    assert bench.state() is State.REGISTERING
    bench.registrar.loses_answers = False
    bench.let(60.0)
    assert (bench.state(), bench.registrar.most_under_way) == (State.REGISTERED, 1)


# -- start ---------------------------------------------------------------------------------------


def test_an_account_that_expires_at_once_is_never_registered() -> None:
    bench = Bench(ok(), accounts=[account(expires=0)])
    bench.let(7200.0)
    assert (bench.requests, bench.table.status("u1")) == ([], -99)


def test_flag_1_starts_disabled_until_somebody_enables() -> None:
    bench = Bench(ok(), accounts=[account(flags=1)])
    bench.let(7200.0)
    assert (bench.requests, bench.table.status("u1")) == ([], -3)
    assert bench.table.enable("l_uuid", "u1")
    bench.let(2.0)
    assert bench.table.status("u1") == 1


def test_reg_delay_is_waited_for() -> None:
    bench = Bench(ok(), accounts=[account(reg_delay=5)])
    bench.let(4.0)
    assert bench.requests == []
    bench.let(2.0)
    assert len(bench.requests) == 1


def test_flag_16_waits_for_nothing() -> None:
    bench = Bench(ok(), accounts=[account(reg_delay=500, flags=16)])
    bench.let(2.0)
    assert len(bench.requests) == 1


def challenged_or_ok(request: Message) -> Message | None:
    return (ok() if request.has(AUTHORIZATION) else challenge(b"n1"))(request)


def most_within(at: Sequence[float], span: float) -> int:
    """Return the most of these times that lie within any ``span`` seconds."""
    return max(sum(1 for one in at if since <= one < since + span) for since in at)


def test_a_start_with_many_accounts_is_no_storm() -> None:
    accounts = [account(f"u{number}", r_username=f"t{number}") for number in range(95)]
    bench = Bench(challenged_or_ok, accounts=accounts, beat=0.05, reg_rate_per_registrar=20)
    bench.let(25.0)
    assert bench.table.gauges()["uac.regactive"] == 95
    assert len(bench.requests) == 190
    assert most_within(bench.registrar.at, 1.0) <= 22
    assert len([at for at in bench.registrar.at if at < 2.0]) < 15  # slow start


@pytest.mark.slow
def test_fifty_thousand_accounts_on_an_empty_store_are_online_by_the_computed_time() -> None:
    """All of them went out at once (docs/registrations.md: 2 N / R s, and half of the slow start).

    lessons: 50,000 accounts loaded on an empty store, the rate never above the limit.
    """
    count, rate = 50_000, 2000
    accounts = [account(f"u{number}", r_username=f"t{number}") for number in range(count)]
    bench = Bench(
        challenged_or_ok,
        accounts=accounts,
        random=SeededRandom(),
        beat=0.05,
        reg_rate=rate,
        reg_rate_per_registrar=rate,
    )
    computed = 2 * count / rate + 10.0 / 2
    while bench.clock.seconds() < computed + 1.0:
        bench.let(1.0)
        bench.registrar.requests.clear()  # they would take half a gigabyte
    assert bench.table.gauges()["uac.regactive"] == count
    at = bench.registrar.at
    assert len(at) == 2 * count
    most = int(rate * 1.1)  # in a second, a burst of a tenth included
    assert all(later - one >= 1.0 for one, later in zip(at, at[most:], strict=False))


def test_beats_are_wanted_sooner_while_a_rate_holds_something_up() -> None:
    accounts = [account(f"u{n}", r_username=f"t{n}") for n in range(20)]
    bench = Bench(ok(), accounts=accounts, beat=0.05, reg_rate=10, reg_slow_start=0)
    bench.let(0.1)
    assert bench.table.next_beat_in() == BUSY_BEAT
    bench.let(5.0)
    assert QUIET_BEAT < bench.table.next_beat_in() <= LONGEST_BEAT


def test_whoever_beats_is_told_of_a_deadline_before_the_next_beat() -> None:
    bench = Bench(ok(), beat=0.05)
    bench.let(1.1)  # a third of a second before the next
    wanted: list[float] = []
    bench.table.tell_earlier(wanted.append)
    assert QUIET_BEAT < bench.table.next_beat_in() <= LONGEST_BEAT
    bench.table.put(account("u2"))
    assert wanted == [pytest.approx(QUIET_BEAT)]


def beats_of(bench: Bench, seconds: float) -> list[float]:
    """Let time pass as the table wants to be beaten; return when that was."""
    beats: list[float] = []
    until = bench.clock.seconds() + seconds
    while bench.clock.seconds() < until:
        bench.clock.run_until(bench.clock.seconds() + bench.table.next_beat_in())
        bench.table.beat()
        beats.append(bench.clock.seconds())
    return beats


@pytest.mark.parametrize(
    ("rate", "least", "most"),
    [
        (0, 2.7, 3.1),  # beats a second
        (70, 4, 9.0),
        (30, 10, 16.0),  # what a beat may not send, the next one does
    ],
)
def test_refreshes_that_may_wait_leave_together_if_they_are_few(
    rate: int, least: float, most: float
) -> None:
    """Three hundred, some twenty a second."""
    accounts = [account(f"u{n}", r_username=f"t{n}") for n in range(300)]
    bench = Bench(
        ok(expires=23),
        accounts=accounts,
        random=SeededRandom(),
        beat=0.25,
        reg_rate_per_registrar=rate,
    )
    bench.let(60.0)
    beats = beats_of(bench, 10.0)
    assert least * 9.9 < len(beats) < most * 10.0
    assert bench.table.gauges()["uac.regactive"] == 300


def test_no_second_has_a_beat_more_than_its_share() -> None:
    accounts = [account(f"u{n}", r_username=f"t{n}") for n in range(300)]
    bench = Bench(ok(expires=23), accounts=accounts, random=SeededRandom(), beat=0.25)
    bench.let(60.0)
    beats = beats_of(bench, 10.0)
    assert most_within(beats, 1.02) <= 1.1 * len(beats) / 10.0


def test_a_refresh_that_has_little_time_left_does_not_wait() -> None:
    bench = Bench(ok(expires=4), beat=0.01)
    bench.let(1.0)
    for _ in range(5):
        sent = len(bench.requests)
        deadline = bench.registration().deadline
        assert deadline is not None
        while len(bench.requests) == sent:
            bench.clock.run_until(bench.clock.seconds() + bench.table.next_beat_in())
            bench.table.beat()
        assert bench.clock.seconds() - deadline <= QUIET_BEAT + 1e-6
        bench.let(0.05)


def test_the_rate_in_all_is_shared_by_registrars_in_turn() -> None:
    accounts = [account(f"a{n}", r_username=f"a{n}", auth_proxy="sip:a.example") for n in range(90)]
    accounts += [account(f"b{n}", r_username=f"b{n}", auth_proxy="sip:b.example") for n in range(9)]
    bench = Bench(ok(), accounts=accounts, beat=0.05, reg_rate=10, reg_slow_start=0)
    bench.let(2.2)
    assert most_within(bench.registrar.at, 1.0) <= 11
    assert bench.registrar.next_hops.count(b"sip:b.example") == 9


def test_renewals_go_before_first_registrations() -> None:
    accounts = [account("u0", r_username="t0", flags=16)]
    accounts += [account(f"u{n}", r_username=f"t{n}", reg_delay=60) for n in range(1, 200)]
    bench = Bench(ok(expires=120), accounts=accounts, reg_rate=1)
    bench.let(119.0)
    renewed = [
        at
        for one, at in zip(bench.registrar.requests, bench.registrar.at, strict=True)
        if one.to.uri == b"sip:t0@provider.example"
    ]
    assert len(renewed) == 2


def test_nothing_expires_while_the_rate_permits() -> None:
    """100 bindings of 60 s at 2 REGISTER requests a second: each has its turn every 50 s."""
    accounts = [account(f"u{number}", r_username=f"t{number}") for number in range(100)]
    bench = Bench(
        ok(expires=60),
        accounts=accounts,
        random=SeededRandom(),
        beat=0.1,
        reg_rate=2,
        reg_slow_start=0,
    )
    bench.let(120.0)
    for _ in range(60):
        bench.let(5.0)
        assert bench.table.gauges()["uac.regactive"] == 100


def test_accounts_granted_together_are_renewed_apart() -> None:
    """A crowd has dispersed one refresh later: no second has much more than its share."""
    accounts = [account(f"u{number}", r_username=f"t{number}") for number in range(1000)]
    bench = Bench(ok(expires=200), accounts=accounts, random=SeededRandom(), beat=0.1)
    bench.let(1200.0)
    seconds = [int(at) for at in bench.registrar.at if 900.0 <= at < 1200.0]
    mean = len(seconds) / 300
    assert max(seconds.count(second) for second in set(seconds)) < 1.5 * mean


def test_what_reg_timer_interval_plans_is_never_put_off() -> None:
    accounts = [account(f"u{n}", r_username=f"t{n}", expires=1000) for n in range(40)]
    bench = Bench(
        ok(expires=1000),
        accounts=accounts,
        beat=0.1,
        reg_timer_interval=50,
        reg_rate=2,
        reg_refresh_from=60,
        reg_refresh_until=60,
        reg_slow_start=0,
    )
    bench.let(650.0)
    refreshes = sorted(bench.registrar.at[40:])
    assert len(refreshes) == 40
    firsts = sorted(bench.registrar.at[:40])
    late = [b - a - 600.0 for a, b in zip(firsts, refreshes, strict=True)]
    assert max(late) < 0.3


def test_reg_active_off_sends_nothing_and_on_again_catches_up() -> None:
    bench = Bench(ok(), reg_active=False)
    bench.let(100.0)
    assert bench.requests == []
    bench.table.active = True
    bench.let(2.0)
    assert bench.table.status("u1") == 1


def test_accounts_that_cannot_be_read_are_read_later() -> None:
    bench = Bench(ok(), accounts=[])
    bench.source.error = StoreUnavailable("the database is away")
    bench.table.start()
    bench.let(1.0)
    bench.source.error = None
    bench.source.accounts = [account()]
    bench.let(60.0)
    assert bench.table.status("u1") == 1
    assert "the database is away" in bench.log.told("error")[0]


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"r_domain": "no host"}, "r_domain"),
        ({"auth_proxy": "tel:+1"}, "auth_proxy"),
        ({"auth_proxy": "proxy.example"}, "auth_proxy"),
        ({"contact_addr": "x;line=1", "contact_user": "t"}, "contact_addr"),
        ({"l_uuid": "a@b"}, "l_uuid"),
        ({"l_uuid": "a;b", "contact_user": "t"}, "l_uuid"),
        ({"contact_user": "a b"}, "contact_user"),
    ],
)
def test_an_account_no_register_can_be_made_of_is_disabled_and_says_why(
    columns: dict[str, str], named: str
) -> None:
    wrong = account(**{"l_uuid": "wrong", **columns})
    bench = Bench(ok(), accounts=[wrong, account()])
    bench.let(3.0)
    assert bench.table.status(wrong.l_uuid) == -3
    assert named in (bench.table.explain(wrong.l_uuid) or "")
    assert bench.table.status("u1") == 1
    assert bench.table.enable("l_uuid", wrong.l_uuid)
    bench.let(3.0)
    assert bench.table.status(wrong.l_uuid) == -3


def test_a_mistake_of_ours_in_one_account_stops_no_other() -> None:
    accounts = [account("u1", reg_delay=1), account("u2", r_username="t2", reg_delay=1)]
    bench = Bench(ok(), accounts=accounts)
    bench.registrar.script = [_mistake_for(b"sip:trunk7@provider.example")]
    bench.let(3.0)
    assert bench.table.status("u2") == 1
    assert bench.counters.own_mistakes == 1
    bench.registrar.script = [ok()]
    bench.let(700.0)
    assert bench.table.status("u1") == 1


def _mistake_for(who: bytes) -> Reply:
    def reply(request: Message) -> Message | None:
        if request.to.uri == who:
            raise ZeroDivisionError("a mistake")
        return ok()(request)

    return reply


# -- operators -----------------------------------------------------------------------------------


def test_unregister_takes_the_binding_back_and_rests() -> None:
    """Now, and without the database (kamailio #2766, OpenSIPS PR 3783)."""
    bench = Bench(challenge(b"n1"), ok(), status(200))
    bench.let(1.0)
    assert bench.table.unregister("l_uuid", "u1")
    bench.let(86400.0)
    assert bench.asked() == [b"3600", b"3600", b"0"]
    assert bench.registrar.requests[2].get(CONTACT) == b"<sip:u1@192.0.2.100:5060>"
    assert bench.table.status("u1") == -99
    bench.registrar.script = [ok()]
    assert bench.table.register("l_uuid", "u1")
    bench.let(2.0)
    assert bench.table.status("u1") == 1


def test_unregister_that_is_challenged_is_answered() -> None:
    bench = Bench(ok(), challenge(b"n1"), status(200))
    bench.let(1.0)
    bench.table.unregister("l_uuid", "u1")
    bench.let(1.0)
    assert bench.asked() == [b"3600", b"0", b"0"]
    assert bench.counters.unregistered == 1


def test_disable_while_registering_takes_back_what_was_granted() -> None:
    bench = Bench(ok(), status(200))
    assert bench.state() is State.REGISTERING
    bench.table.disable("l_uuid", "u1")
    bench.let(1.0)
    assert (bench.asked(), bench.table.status("u1")) == ([b"3600", b"0"], -3)
    assert bench.registrar.most_under_way == 1


def test_enable_while_unregistering_registers_again() -> None:
    bench = Bench(ok())
    bench.let(1.0)
    bench.table.disable("l_uuid", "u1")
    bench.table.enable("l_uuid", "u1")
    bench.let(3.0)
    assert (bench.asked(), bench.table.status("u1")) == ([b"3600", b"0", b"3600"], 1)
    assert bench.registrar.most_under_way == 1


def test_the_record_has_the_fields_of_the_module_and_no_secret() -> None:
    bench = Bench(ok(expires=600))
    bench.let(10.0)
    (record,) = list(bench.table.dump())
    assert tuple(record) == RECORD_FIELDS
    assert record == bench.table.find("auth_username", "auth7")
    assert "hunter2" not in repr(record)
    assert (record["auth_password"], record["auth_ha1"]) == ("***", "none")
    assert (record["flags"], record["expires"]) == (4 | 16, 3600)
    assert record["diff_expires"] in (589, 590)
    assert record["timer_expires"] in (int(EPOCH) + 599, int(EPOCH) + 600)


def test_flags_tell_that_credentials_are_under_way() -> None:
    bench = Bench(challenge(b"n1"), silence)
    bench.let(1.0)
    record = bench.table.find("l_uuid", "u1")
    assert record is not None and record["flags"] == 2 | 8 | 16


def test_find_takes_the_attributes_of_the_module_only() -> None:
    bench = Bench(ok())
    found = [
        bench.table.find(attr, value)
        for attr, value in [
            ("l_uuid", "u1"),
            ("l_username", "alice"),
            ("r_username", "trunk7"),
            ("auth_username", "auth7"),
        ]
    ]
    assert all(found)
    assert bench.table.find("r_username", "nobody") is None
    with pytest.raises(KeyError):
        bench.table.find("realm", "")


def test_explain_tells_state_exchange_binding_and_what_comes_next() -> None:
    bench = Bench(challenge(b"n1"), ok(expires=600))
    bench.let(10.0)
    assert (bench.table.explain("u1") or "").splitlines() == [
        "account u1 (trunk7@provider.example)",
        "state: registered since 2027-01-15 08:00:00 UTC (OK)",
        "last exchange: 200 OK at 2027-01-15 08:00:00 UTC, with udp:192.0.2.7:5060",
        "binding: granted for 600 s, until 2027-01-15 08:10:00 UTC (in 590 s)",
        "next: refresh at 2027-01-15 08:06:30 UTC (in 380 s)",
        "history:",
        "  2027-01-15 08:00:00 UTC idle -> delayed: to be registered",
        "  2027-01-15 08:00:00 UTC delayed -> registering: due",
        "  2027-01-15 08:00:00 UTC registering -> challenged: 401 Unauthorized",
        "  2027-01-15 08:00:00 UTC challenged -> registered: 200 OK",
    ]
    assert bench.table.explain("u2") is None


def test_the_history_of_an_account_is_bounded() -> None:
    bench = Bench(status(500))
    bench.let(86400.0)
    past = bench.registration().past()
    assert len(past) == MOST_ENTRIES
    assert past[-1].after in (State.BACKING_OFF, State.REGISTERING)
    assert len(bench.registration().history) <= 16 * 10


def test_what_a_peer_writes_is_shown_on_one_line_of_bounded_length() -> None:
    def rude(request: Message) -> Message | None:
        response = build_response(request, 480)
        response.reason = b"go\x1b[2J\xff away " + b"x" * 9999
        return response

    bench = Bench(rude)
    bench.let(1.0)
    words = bench.table.explain("u1") or ""
    assert "\x1b" not in words and len(words) < 1000
    words.encode()  # no lone surrogate


def test_each_transition_is_told_once_in_order() -> None:
    """Nobody was told of a change of state (OpenSIPS #168, kamailio #3707)."""
    bench = Bench(challenge(b"n1"), ok())
    bench.let(1.0)
    steps = [(event.before, event.after, event.status) for event in bench.events]
    assert steps == [
        (State.IDLE, State.DELAYED, 0),
        (State.DELAYED, State.REGISTERING, 0),
        (State.REGISTERING, State.CHALLENGED, 401),
        (State.CHALLENGED, State.REGISTERED, 200),
    ]
    assert bench.events[-1].next_at_utc == pytest.approx(EPOCH + 2340, abs=1)
    assert "hunter2" not in repr(bench.events)


def test_gauges_count_where_the_accounts_stand() -> None:
    accounts = [account("a", flags=1), account("b"), account("c", expires=0)]
    bench = Bench(ok(), accounts=accounts)
    bench.let(5.0)
    assert bench.table.gauges() == {
        "uac.regtotal": 3,
        "uac.regactive": 1,
        "uac.regdisabled": 1,
    }


def test_a_local_user_is_found_the_newest_account_first() -> None:
    accounts = [account("old", l_domain="a.example"), account("new", l_domain="b.example")]
    plain = Bench(ok(), accounts=accounts).table
    strict = Bench(ok(), accounts=accounts, reg_use_domain=True).table
    asked = [("alice", "A.example"), ("alice", "c.example"), ("bob", "a.example")]
    assert [_uuid(plain.account_of_local_user(*one)) for one in asked] == ["new", "new", None]
    assert [_uuid(strict.account_of_local_user(*one)) for one in asked] == ["old", None, None]


def _uuid(found: Account | None) -> str | None:
    return None if found is None else found.l_uuid


def test_status_of_an_unknown_account() -> None:
    bench = Bench(ok())
    assert (bench.table.status("u2"), bench.table.account("u2")) == (-1, None)


# -- stopping ------------------------------------------------------------------------------------


def test_shutdown_takes_every_binding_back_and_then_tells() -> None:
    """Bindings were left when the service stopped (asterisk #167, siphon PR 434, re PR 49)."""
    accounts = [account(f"u{number}", r_username=f"t{number}") for number in range(30)]
    bench = Bench(ok(), accounts=accounts)
    bench.let(3.0)
    told: list[float] = []
    bench.table.shutdown(lambda: told.append(bench.clock.seconds()), 5.0)
    bench.let(10.0)
    assert bench.asked()[30:] == [b"0"] * 30
    assert len(told) == 1 and told[0] < 3.0 + 4.0
    bench.let(86400.0)
    assert len(bench.requests) == 60


def test_shutdown_does_not_wait_for_a_silent_registrar_beyond_its_bound() -> None:
    bench = Bench(ok(), silence)
    bench.let(3.0)
    told: list[float] = []
    bench.table.shutdown(lambda: told.append(bench.clock.seconds()), 5.0)
    bench.let(100.0)
    assert told == [8.0]


def test_shutdown_keeps_the_bindings_where_that_is_asked_for() -> None:
    """For another instance, or for the next start (lessons: keep for several, release for one)."""
    ended: list[None] = []
    bench = Bench(ok(), reg_release="keep")
    bench.let(2.0)
    bench.table.shutdown(lambda: ended.append(None), 5.0)
    bench.let(3600.0)
    assert len(ended) == 1
    assert bench.asked() == [b"3600"]


def test_shutdown_takes_back_what_no_row_has_any_more_even_where_bindings_are_kept() -> None:
    bench = Bench(ok(), accounts=[account(), account("u2", r_username="t2")], reg_release="keep")
    bench.let(2.0)
    bench.table.remove("u2")
    bench.table.shutdown(lambda: None, 5.0)
    bench.let(10.0)
    assert bench.asked() == [b"3600", b"3600", b"0"]
    assert b"sip:t2@" in bench.registrar.requests[-1].to.uri


def test_shutdown_with_nothing_to_take_back_tells_at_once() -> None:
    bench = Bench(status(500), accounts=[account(), account("u2", flags=1)])
    bench.let(3.0)
    told: list[bool] = []
    bench.table.shutdown(lambda: told.append(True), 5.0)
    assert told == [True]
    bench.let(1000.0)
    assert len(bench.requests) == 1


# -- whatever happens ------------------------------------------------------------------------------

ANSWERS = st.sampled_from(
    [
        ok(),
        ok(expires=1),
        ok(FOREIGN),
        challenge(b"n1"),
        challenge(b"n2"),
        challenge(b"n3", stale=True),
        proxy_challenge(b"p1", b"proxy"),
        status(100 + 100),
        status(302),
        status(401),
        status(403),
        status(423),
        status(423, min_expires=b"9000"),
        status(423, min_expires=b"what"),
        status(500, retry_after=b"77 (soon)"),
        status(503),
        silence,
    ]
)
STEPS = st.one_of(
    st.sampled_from(["enable", "disable", "register", "unregister"]), st.floats(0.5, 4000.0)
)
RESTS = (State.IDLE, State.DISABLED)


@given(st.lists(ANSWERS, min_size=1, max_size=12), st.lists(STEPS, max_size=10), st.integers(0, 99))
def test_whatever_comes_there_is_one_register_at_a_time_and_always_a_deadline(
    answers: list[Reply], steps: list[str | float], seed: int
) -> None:
    bench = Bench(*answers, random=SeededRandom(seed))
    for step in steps:
        if isinstance(step, str):
            getattr(bench.table, step)("l_uuid", "u1")
        else:
            bench.let(min(step, 40.0))
            bench.clock.run_until(bench.clock.seconds() + max(0.0, step - 40.0))
            bench.table.beat()
        assert bench.registrar.most_under_way <= 1
        registration = bench.registration()
        assert (registration.deadline is None) == (registration.state in RESTS)
    assert bench.counters.own_mistakes == 0
    numbers = [(one.call_id, one.cseq.number) for one in bench.registrar.requests]
    assert numbers == sorted(set(numbers))
    bench.registrar.script = [ok()]
    bench.let(40.0)  # what is under way ends
    bench.table.register("l_uuid", "u1")
    bench.let(5.0)
    assert bench.table.status("u1") == 1
