"""Scenarios that broke other registration clients; each docstring names the thread.

Those with a file of their own: a 439 and a moving address in ``test_registration_options``,
a restart in ``test_registration_restart``, calls that follow the REGISTER in
``test_proxy_account_way``, reloads in ``test_registrations_reload``.
"""

from __future__ import annotations

import pytest

from tests.support.registrar import (
    Reply,
    account,
    challenge,
    credentials_of,
    ok,
    proves,
    silence,
    status,
    with_field,
)
from tests.support.registrar_pool import FIRST, SECOND, THIRD, Pool
from tests.unit.test_registrations import Bench, SeededRandom, challenged_or_ok, most_within
from uacproxy.ports import Target
from uacproxy.sip.build import build_response
from uacproxy.sip.message import Message
from uacproxy.sip.names import AUTHORIZATION, CONTACT, EXPIRES, WWW_AUTHENTICATE
from uacproxy.uac.account import Account
from uacproxy.uac.registration_states import RegistrationState as State

# -- never stuck -------------------------------------------------------------------------------


def test_no_answer_at_all_and_then_the_link_returns() -> None:
    """A record stayed in progress for ever (kamailio #124 #149 #255)."""
    bench = Bench(silence, random=SeededRandom())
    bench.let(7200.0)
    bench.registrar.script = [ok()]
    bench.let(300.0 + 32.0)  # one step of the backoff, and a request that is still out
    assert bench.table.status("u1") == 1


def test_the_answer_to_a_challenge_is_lost() -> None:
    """The second REGISTER was lost, and nothing more came (freeswitch #2588, kamailio #140)."""
    bench = Bench(challenge(b"n1"), silence, challenge(b"n2"), ok(), random=SeededRandom())
    bench.let(90.0)
    assert (bench.state(), bench.registrar.most_under_way) == (State.REGISTERED, 1)


def test_nobody_gives_up_for_good() -> None:
    """Ten tries and never again, while the provider was down for hours (futel #514)."""
    bench = Bench(status(503), random=SeededRandom())
    bench.let(12 * 3600.0)
    assert len(bench.requests) > 100
    bench.registrar.script = [ok()]
    bench.let(310.0)
    assert bench.table.status("u1") == 1


def test_every_state_that_waits_has_a_deadline() -> None:
    """Terminal states without an operator's wish (rustpbx #172)."""
    replies: list[Reply] = [silence, status(404), status(480), status(603), challenge(b"n"), ok()]
    for reply in replies:
        bench = Bench(reply, random=SeededRandom())
        bench.let(400.0)
        assert bench.registration().deadline is not None, bench.state()


# -- challenges --------------------------------------------------------------------------------


def test_a_stale_nonce_is_no_wrong_password() -> None:
    """401, 401 stale, 200 (sipgo #329, baresip #717 #786, pyVoIP #86, JsSIP #25)."""
    bench = Bench(challenge(b"n1"), challenge(b"n2", stale=True), ok())
    bench.let(1.0)
    assert [one and one.nonce for one in map(credentials_of, bench.registrar.requests)] == [
        None,
        b"n1",
        b"n2",
    ]
    assert bench.state() is State.REGISTERED


def test_the_same_nonce_again_is_of_the_class_of_wrong_passwords() -> None:
    """401, 401 with the same nonce (pjproject #25, re PR 226)."""
    bench = Bench(challenge(b"n1"), challenge(b"n1"))
    bench.let(200.0)
    assert (len(bench.requests), bench.state()) == (2, State.REJECTED)


def test_the_nonce_a_success_offers_is_the_next_one_used() -> None:
    """RFC 7616 3.5: ``nextnonce``; the refresh then costs one transaction."""
    info = with_field(b"authentication-info", b'nextnonce="n9", qop=auth', ok(expires=600))
    bench = Bench(challenge(b"n1"), info)
    bench.let(590.0)
    given = [credentials_of(one) for one in bench.registrar.requests]
    assert [one and (one.nonce, one.nc) for one in given[:3]] == [
        None,
        (b"n1", b"00000001"),
        (b"n9", b"00000001"),
    ]


def _asks(*values: bytes) -> Reply:
    def reply(request: Message) -> Message:
        if request.has(AUTHORIZATION):
            response = build_response(request, 200, to_tag=b"r1")
            response.append(CONTACT, (request.get(CONTACT) or b"") + b";expires=600")
            return response
        response = build_response(request, 401, to_tag=b"r1")
        for value in values:
            response.append(WWW_AUTHENTICATE, value)
        return response

    return reply


MD5 = b'Digest realm="provider.example", nonce="m", algorithm=MD5'
SHA = b'Digest realm="provider.example", nonce="s", algorithm=SHA-256, qop="auth"'
PLAIN = b'Digest realm="provider.example", nonce="p"'
UNKNOWN = b'Digest realm="provider.example", nonce="u", algorithm=SHA-3'


@pytest.mark.parametrize(
    ("values", "answered"),
    [((UNKNOWN, MD5), b"m"), ((SHA, MD5), b"s"), ((MD5, SHA), b"s"), ((PLAIN,), b"p")],
)
def test_of_several_challenges_one_that_can_be_answered_is(
    values: tuple[bytes, ...], answered: bytes
) -> None:
    """An unknown algorithm first, SHA-256 before MD5, none named (pjproject PR 2408)."""
    bench = Bench(_asks(*values))
    bench.let(1.0)
    given = credentials_of(bench.registrar.requests[1])
    assert given is not None and given.nonce == answered
    assert bench.state() is State.REGISTERED


@pytest.mark.parametrize("each", [2, 3])
def test_a_day_of_wrong_passwords_is_within_the_documented_budget(each: int) -> None:
    """It hammered the provider and tripped its fail2ban (hass-sip PR 57, OpenSIPS PR 3270).

    docs/registrations.md: at most 2 requests in 4.5 min and 20 in a day, or 3 and 30 where
    each nonce lasts for one request.
    """
    for seed in range(20):
        nonces = [challenge(b"n%d" % number) for number in range(1000)]
        replies = [challenge(b"n1")] if each == 2 else nonces
        bench = Bench(*replies, random=SeededRandom(seed))
        bench.let(86400.0)
        assert 7 * each <= len(bench.requests) <= 10 * each
        assert most_within(bench.registrar.at, 269.0) == each


# -- intervals ---------------------------------------------------------------------------------


def test_a_423_with_3600_and_then_a_grant_of_120() -> None:
    """A short grant was refreshed by what had been asked for (asterisk #452 #1859)."""
    bench = Bench(status(423, min_expires=b"3600"), ok(expires=120), accounts=[account(expires=60)])
    bench.let(100.0)
    assert bench.asked() == [b"60", b"3600", b"3600"]
    assert bench.table.status("u1") == 1


def test_the_refresh_is_in_time_for_a_short_grant() -> None:
    """Refreshed on the edge of expiry (OpenSIPS PR 3783, fusionpbx PR 6596)."""
    bench = Bench(ok(expires=30), random=SeededRandom(), beat=0.1)
    bench.let(300.0)
    gaps = [b - a for a, b in zip(bench.registrar.at, bench.registrar.at[1:], strict=False)]
    assert all(14.5 < gap < 25.0 for gap in gaps)


# -- targets -----------------------------------------------------------------------------------


def test_the_first_is_silent_the_second_says_503_the_third_answers_and_is_kept() -> None:
    """SRV fail-over and a refresh that goes elsewhere (pjproject #4477, asterisk #1927)."""
    pool = Pool({FIRST: silence, SECOND: status(503), THIRD: ok(expires=600)})
    pool.let(40.0)
    assert pool.asked() == [FIRST, SECOND, THIRD]
    assert pool.table.status("u1") == 1
    pool.let(500.0)
    assert pool.asked() == [FIRST, SECOND, THIRD, THIRD]
    way = pool.table.way("u1")
    assert way is not None and way.target is not None and way.target[:3] == THIRD[:3]


def test_a_503_with_retry_after_asks_the_next_target_at_once() -> None:
    """503 with Retry-After 120, and a second target that works (siphon)."""
    pool = Pool({FIRST: status(503, retry_after=b"120"), SECOND: ok(), THIRD: silence})
    pool.let(5.0)
    assert pool.asked() == [FIRST, SECOND]
    assert pool.table.status("u1") == 1


def test_a_503_with_retry_after_from_all_of_them_is_waited_for() -> None:
    """Retry-After was ignored (kamailio, OpenSIPS, jambonz)."""
    busy = status(503, retry_after=b"120")
    pool = Pool({FIRST: busy, SECOND: busy, THIRD: busy})
    pool.let(119.0)
    assert pool.asked() == [FIRST, SECOND, THIRD]
    pool.replies[FIRST] = ok()
    pool.let(20.0)
    assert pool.table.status("u1") == 1


def test_the_target_that_fell_silent_is_left_for_the_next_before_any_backoff() -> None:
    """Fail-over of a refresh (kamailio #210, OpenSIPS #140, sippy #40)."""
    pool = Pool({FIRST: ok(expires=100), SECOND: ok(expires=100), THIRD: silence})
    pool.let(10.0)
    pool.replies[FIRST] = silence
    pool.let(65.0 + 33.0)
    assert pool.asked() == [FIRST, FIRST, SECOND]
    assert pool.table.status("u1") == 1


def _trunks(count: int, **columns: object) -> list[Account]:
    return [account(f"u{n}", r_username=f"t{n}", **columns) for n in range(count)]


def _first_tries(pool: Pool, count: int) -> list[Target]:
    return [pool.asked(b"t%d" % n)[0] for n in range(count)]


def test_a_dead_first_target_is_waited_for_once_and_not_by_each_account() -> None:
    """The address that is silent is marked, for all accounts (pjproject #4477, asterisk #1927)."""
    accounts = [account("u0", r_username="t0"), *_trunks(30, reg_delay=40)[1:]]
    pool = Pool({FIRST: silence, SECOND: ok(), THIRD: silence}, accounts)
    pool.let(45.0)
    assert pool.asked(b"t0") == [FIRST, SECOND]
    assert _first_tries(pool, 30) == [FIRST] + [SECOND] * 29
    assert pool.table.gauges()["uac.regactive"] == 30


def test_accounts_registered_at_a_target_that_dies_leave_it_after_the_first_has_waited() -> None:
    """Each of them waited half a minute (kamailio #210, freeswitch #2144)."""
    accounts = [account("u0", r_username="t0", expires=60), *_trunks(30, expires=150)[1:]]

    def grants(request: Message) -> Message | None:
        return ok(expires=int(request.get(EXPIRES) or b"0"))(request)

    pool = Pool({FIRST: grants, SECOND: grants, THIRD: silence}, accounts)
    pool.let(10.0)
    pool.replies[FIRST] = silence
    pool.let(112.0)
    assert pool.asked(b"t0")[:3] == [FIRST, FIRST, SECOND]
    refreshes = [pool.asked(b"t%d" % n)[1] for n in range(1, 30)]
    assert refreshes.count(SECOND) >= 28  # one may have tried whether it is back


def test_after_half_a_minute_one_tries_the_silent_target_and_the_others_go_by() -> None:
    early = [account("u0", r_username="t0")]
    accounts = early + _trunks(20, reg_delay=70)[1:]
    pool = Pool({FIRST: silence, SECOND: ok(), THIRD: silence}, accounts)
    pool.let(75.0)
    tries = _first_tries(pool, 20)[1:]
    assert sorted(tries) == [FIRST] + [SECOND] * 18


def test_a_target_that_is_back_is_the_first_again() -> None:
    accounts = [account("u0", r_username="t0"), account("u1", r_username="t1", reg_delay=70)]
    accounts += [account("u2", r_username="t2", reg_delay=75)]
    pool = Pool({FIRST: silence, SECOND: ok(), THIRD: silence}, accounts)
    pool.let(40.0)
    pool.replies[FIRST] = ok()
    pool.let(40.0)
    assert _first_tries(pool, 3) == [FIRST, FIRST, FIRST]


def test_a_target_that_ignores_one_account_is_not_dead_for_the_others() -> None:
    """One bad trunk must not hurt others (freeswitch #1960)."""
    accounts = [*_trunks(2, expires=30), account("u2", r_username="t2", reg_delay=40)]

    def ignores_one(request: Message) -> Message | None:
        return None if b"sip:t0@" in request.to.uri else ok(expires=30)(request)

    pool = Pool({FIRST: ignores_one, SECOND: ok(), THIRD: ok()}, accounts)
    pool.let(50.0)
    assert pool.asked(b"t0") == [FIRST, SECOND]
    assert pool.asked(b"t2") == [FIRST]


def test_where_all_targets_are_silent_they_are_asked_all_the_same() -> None:
    pool = Pool({FIRST: silence, SECOND: silence, THIRD: silence})
    pool.let(140.0)
    assert pool.asked()[:4] == [FIRST, SECOND, THIRD, FIRST]


def test_what_a_423_asks_for_is_asked_for_by_the_other_accounts_at_once() -> None:
    """Min-Expires was learnt anew by each account (ha-plugins #132)."""
    accounts = [*_trunks(1, expires=60), account("u1", r_username="t1", expires=60, reg_delay=9)]
    accounts.append(
        account("u2", r_username="t2", expires=60, reg_delay=9, auth_proxy="sip:other.example")
    )
    bench = Bench(_at_least(600), accounts=accounts)
    bench.let(20.0)
    asked = [(one.to.uri.partition(b"@")[0], one.get(EXPIRES)) for one in bench.registrar.requests]
    assert asked[:2] == [(b"sip:t0", b"60"), (b"sip:t0", b"600")]
    assert sorted(asked[2:]) == [(b"sip:t1", b"600"), (b"sip:t2", b"60"), (b"sip:t2", b"600")]


def _at_least(seconds: int) -> Reply:
    def reply(request: Message) -> Message | None:
        asked = int(request.get(EXPIRES) or b"0")
        if 0 < asked < seconds:
            return status(423, min_expires=b"%d" % seconds)(request)
        return ok(expires=asked)(request)

    return reply


# -- many accounts -----------------------------------------------------------------------------


def test_one_bad_registrar_holds_up_no_other() -> None:
    """One failing gateway stalled the profile (freeswitch #1960)."""
    accounts = [
        account(f"bad{n}", r_username=f"bad{n}", auth_proxy="sip:bad.example") for n in range(500)
    ]
    accounts += [
        account(f"good{n}", r_username=f"good{n}", auth_proxy="sip:good.example") for n in range(20)
    ]

    def reply(request: Message) -> Message | None:
        return None if request.to.uri.startswith(b"sip:bad") else challenged_or_ok(request)

    bench = Bench(reply, accounts=accounts, random=SeededRandom(), reg_rate=20, beat=0.1)
    bench.let(10.0)
    assert bench.table.gauges()["uac.regactive"] == 20


def test_an_account_changed_while_its_register_is_out_leaves_no_second_one_behind() -> None:
    """Two machines of one account after a change in flight (fspbx #594, newfies #46)."""
    bench = Bench(silence, random=SeededRandom())
    bench.let(1.0)
    bench.table.put(account(auth_password="another"))
    bench.registrar.script = [challenge(b"n1"), ok(expires=600)]
    bench.let(3600.0)
    assert bench.registrar.most_under_way == 1
    assert bench.table.status("u1") == 1
    assert len({request.call_id for request in bench.registrar.requests}) == 1
    assert bench.numbers() == list(range(10, 10 + len(bench.requests)))
    assert len(bench.requests) <= 3 + 3600 / 300


def test_failing_registrations_hold_no_memory() -> None:
    """Memory grew with failing registrations (kamailio #1895 #2076 #3522)."""
    bench = Bench(status(500), random=SeededRandom())
    bench.let(2 * 86400.0)
    one = bench.registration()
    assert (one._exchange, one._sending) == (None, None)
    assert len(one.history) == 160
    assert len(bench.table.words._phrases) < 20


def test_a_registrar_that_comes_back_is_not_stormed() -> None:
    """All of them came back in one burst (OpenSIPS PR 3270)."""
    accounts = [account(f"u{n}", r_username=f"t{n}") for n in range(200)]
    bench = Bench(
        silence, accounts=accounts, random=SeededRandom(), beat=0.1, reg_rate_per_registrar=20
    )
    bench.let(400.0)
    bench.registrar.script = [challenged_or_ok]
    back = bench.clock.seconds()
    bench.let(600.0)
    assert bench.table.gauges()["uac.regactive"] == 200
    assert most_within([at for at in bench.registrar.at if at > back], 1.0) <= 22


def test_the_reason_a_provider_gives_is_shown() -> None:
    """Nobody could see why (phoneblock PR 424, kamailio #2036, flexisip #254)."""
    bench = Bench(status(480))
    bench.let(1.0)
    told = bench.table.explain("u1") or ""
    assert "480 Temporarily Unavailable" in told
    assert "next: try again" in told


def test_a_registrar_that_rewrites_the_contact_is_asked_no_more_often() -> None:
    """Endless REGISTERs where the host was another in the 200 (asterisk #452, OpenSIPS #2557)."""
    bench = Bench(ok(b"<sip:u1@203.0.113.77:61000;transport=udp>;expires=600"))
    bench.let(300.0)
    assert (len(bench.requests), bench.table.status("u1")) == (1, 1)


def test_stale_bindings_of_ours_in_the_answer_are_reported_and_harmless() -> None:
    """Several old bindings listed in the 200 (sipsorcery #1375, Twilio)."""
    stale = b"<sip:old@192.0.2.50>;expires=30, <sip:older@192.0.2.51>;expires=3"
    bench = Bench(ok(stale, b"<sip:u1@192.0.2.100:5060>;expires=600"))
    bench.let(100.0)
    assert len(bench.requests) == 1
    assert "2 Contacts of others" in (bench.table.explain("u1") or "")


def test_a_password_is_proved_and_not_told() -> None:
    """Passwords in clear in dumps (the module's reg_dump)."""
    bench = Bench(challenge(b"n1"), ok())
    bench.let(1.0)
    assert proves(bench.registrar.requests[1], b"hunter2")
    told = repr(list(bench.table.dump())) + (bench.table.explain("u1") or "")
    assert "hunter2" not in told + "".join(bench.log.told("info"))
