"""A refresh written as the last one was: on the wire and to operators like any other."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.registrar import (
    Reply,
    account,
    challenge,
    credentials_of,
    ok,
    proves,
    proxy_challenge,
    redirect,
    silence,
    status,
    with_field,
)
from tests.support.registrar_pool import FIRST, SECOND, Pool
from uacproxy.sip.build import build_response
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    AUTHENTICATION_INFO,
    AUTHORIZATION,
    CONTACT,
    EXPIRES,
    PROXY_AUTHENTICATION_INFO,
)
from uacproxy.uac.registration_states import RegistrationState as State
from uacproxy.uac.usual_register import UsualRegister

# A REGISTER that was given up has used its nonce; the long way forgets that.
COUNTS = re.compile(rb"nc=[0-9a-f]{8}")
TOKENS = re.compile(rb"[0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{16}")


def granted(expires: int = 600, *more: bytes) -> Reply:
    """Answer 200 with our Contact and its expiry, as registrars ought to."""

    def reply(request: Message) -> Message:
        response = build_response(request, 200, to_tag=b"r1")
        ours = request.get(CONTACT) or b""
        response.append(CONTACT, b", ".join([ours + b";expires=%d" % expires, *more]))
        return response

    return reply


def once_challenged(more: Reply) -> Reply:
    """Challenge what carries no credentials, and answer the rest like ``more``."""

    def reply(request: Message) -> Message | None:
        return more(request) if request.has(AUTHORIZATION) else challenge(b"n1")(request)

    return reply


def in_turn(*replies: Reply) -> Reply:
    """Answer each CSeq by one of these; the last is repeated."""
    numbers: list[int] = []

    def reply(request: Message) -> Message | None:
        number = request.cseq.number
        if number not in numbers:
            numbers.append(number)
        return replies[min(numbers.index(number), len(replies) - 1)](request)

    return reply


def usual_of(pool: Pool) -> UsualRegister | None:
    registration = pool.table.registration("u1")
    assert registration is not None
    return registration.series.usual


def state_of(pool: Pool) -> State:
    registration = pool.table.registration("u1")
    assert registration is not None
    return registration.state


def told(pool: Pool, *, with_counts: bool = True) -> list[object]:
    """Return all a registrar and an operator may have seen, tokens masked."""
    counts = {name: getattr(pool.counters, name) for name in dir(pool.counters) if name[:1] != "_"}
    heard = [(target, TOKENS.sub(b"*", request.encode())) for target, request in pool.heard]
    if not with_counts:
        heard = [(target, COUNTS.sub(b"nc", octets)) for target, octets in heard]
    events = [event._replace(account=account()) for event in pool.events]
    return [*heard, *events, counts, pool.table.explain("u1"), *pool.table.dump()]


def test_a_refresh_is_written_as_the_last_one_was() -> None:
    pool = Pool({FIRST: once_challenged(granted())})
    pool.let(5.0)
    usual = usual_of(pool)
    pool.let(2000.0)
    assert usual is not None
    assert usual_of(pool) is usual
    assert pool.counters.granted == 6


@pytest.mark.parametrize("name", [CONTACT, AUTHENTICATION_INFO, PROXY_AUTHENTICATION_INFO])
def test_an_answer_with_more_to_heed_is_not_as_usual(name: bytes) -> None:
    pool = Pool({FIRST: once_challenged(granted())})
    pool.let(5.0)
    usual = usual_of(pool)
    response = granted()(pool.heard[-1][1])
    assert usual is not None
    assert response is not None
    assert usual.is_answer(response)
    response.append(name, b"<sip:other@192.0.2.9>")
    assert not usual.is_answer(response)


def test_it_proves_the_password_with_a_count_and_a_cnonce_of_its_own() -> None:
    pool = Pool({FIRST: once_challenged(granted())})
    pool.let(2000.0)
    requests = [request for _, request in pool.heard[1:]]
    given = [credentials_of(request) for request in requests]
    assert all(proves(request, b"hunter2") for request in requests)
    assert [one and one.nc for one in given] == [b"%08x" % nc for nc in range(1, len(given) + 1)]
    assert len({one.cnonce for one in given if one}) == len(given)
    assert len({request.via.branch for request in requests}) == len(requests)


AFTER: dict[str, Reply] = {
    "as usual": granted(),
    "another expiry": granted(120),
    "no time": granted(0),
    "a Contact of others": granted(600, b"<sip:other@192.0.2.9>;expires=60"),
    "no Contact": ok(b"<sip:other@192.0.2.9>;expires=60"),
    "a Contact without expiry": ok(expires=300),
    "a second Contact field": with_field(b"contact", b"<sip:u1@192.0.2.9>;expires=9", granted()),
    "nextnonce": with_field(b"authentication-info", b'nextnonce="n9"', granted()),
    "a stale nonce": challenge(b"n2", stale=True),
    "another nonce": challenge(b"n2"),
    "the same nonce": challenge(b"n1"),
    "a proxy asks too": proxy_challenge(b"p1", b"proxy"),
    "403": status(403),
    "404": status(404, retry_after=b"77"),
    "423": status(423, min_expires=b"7200"),
    "439": status(439),
    "500": status(500),
    "503": status(503, retry_after=b"99"),
    "302": redirect(302, b"<sip:192.0.2.12>"),
    "600": status(600),
    "silence": silence,
}


@pytest.mark.parametrize("reply", AFTER.values(), ids=AFTER.keys())
@pytest.mark.parametrize("others", [status(503), granted()], ids=["503", "granted"])
def test_any_answer_leads_where_it_leads_for_any_other_refresh(reply: Reply, others: Reply) -> None:
    usual = granted()
    replies = (challenge(b"n1"), usual, usual, reply, usual)
    pools = []
    for always_long in (False, True):
        pool = Pool({FIRST: in_turn(*replies), SECOND: others}, always_long=always_long)
        pool.let(1500.0)
        pools.append(pool)
    assert told(pools[0]) == told(pools[1])


def test_a_silent_target_costs_it_no_more_than_any_other() -> None:
    pool = Pool({FIRST: once_challenged(granted()), SECOND: once_challenged(granted())})
    pool.let(5.0)
    pool.replies[FIRST] = silence
    pool.let(480.0 + 33.0)
    assert pool.asked() == [FIRST, FIRST, FIRST, SECOND]
    numbers = {request.cseq.number for _, request in pool.heard[2:]}
    assert (len(numbers), pool.table.status("u1")) == (1, 1)
    resent = [request for target, request in pool.heard[2:] if target == FIRST]
    assert len({request.encode() for request in resent}) == 1
    assert len(resent) == 11  # RFC 3261 17.1.2.2: timer E doubles to T2, until timer F


CHANGES: dict[str, Callable[[Pool], object]] = {
    "unregister": lambda pool: pool.table.unregister("l_uuid", "u1"),
    "disable": lambda pool: pool.table.disable("l_uuid", "u1"),
    "remove": lambda pool: pool.table.remove("u1"),
    "register": lambda pool: pool.table.register("l_uuid", "u1"),
    "another row": lambda pool: pool.table.put(account(contact_user="desk")),
    "another password": lambda pool: pool.table.put(account(auth_password="hunter3")),
    "another expiry": lambda pool: pool.table.put(account(expires=1800)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("passed", [5.0, 390.3], ids=["between", "under way"])
def test_what_operators_do_meanwhile_is_done(
    change: Callable[[Pool], object], passed: float
) -> None:
    pools = []
    for always_long in (False, True):
        pool = Pool({FIRST: once_challenged(granted())}, always_long=always_long)
        pool.let(5.0)
        pool.replies[FIRST] = silence if passed > 5.0 else pool.replies[FIRST]
        pool.let(passed)
        change(pool)
        pool.let(10.0)
        pool.replies[FIRST] = once_challenged(granted())
        pool.let(900.0)
        pools.append(pool)
    assert told(pools[0], with_counts=False) == told(pools[1], with_counts=False)


def test_what_a_423_asks_of_another_account_is_asked_for_by_the_next() -> None:
    ours, other = account(expires=600), account("u2", r_username="trunk8", expires=600)
    brief = in_turn(challenge(b"n1"), status(423, min_expires=b"900"), granted(900))

    def reply(request: Message) -> Message | None:
        return (
            brief(request) if b"trunk8" in request.to.uri else once_challenged(granted())(request)
        )

    pool = Pool({FIRST: reply}, [ours])
    pool.let(100.0)
    pool.table.add(other)
    pool.let(600.0)
    asked = [request.get(EXPIRES) for _, request in pool.heard if b"trunk7" in request.to.uri]
    assert asked == [b"600", b"600", b"900"]


def test_a_retransmitted_answer_to_it_is_absorbed() -> None:
    pool = Pool({FIRST: once_challenged(granted())})
    pool.let(450.0)
    assert pool.transactions._counters.unmatched_responses == 0
    assert state_of(pool) is State.REGISTERED
