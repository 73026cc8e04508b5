"""Behaviours of Kamailio's uac module that can be checked on the wire: 45 to 57.

Its remote registrations. Each docstring says where we differ, and why.
"""

from __future__ import annotations

import pytest

from tests.support.registrar import (
    account,
    challenge,
    credentials_of,
    ok,
    proves,
    proxy_challenge,
    redirect,
    silence,
    status,
)
from tests.unit.test_registrations import Bench, SeededRandom
from uacproxy.sip.names import (
    AUTHORIZATION,
    CONTACT,
    EXPIRES,
    FROM,
    PROXY_AUTHORIZATION,
    TO,
)
from uacproxy.uac.registration_states import RegistrationState as State


def test_behaviour_45_the_first_register() -> None:
    bench = Bench(ok(), user_agent=b"uacproxy")
    bench.let(1.0)
    (request,) = bench.registrar.requests
    assert request.request_uri == b"sip:provider.example"
    assert request.names == [
        b"to",
        b"from",
        b"cseq",
        b"call-id",
        b"max-forwards",
        b"content-length",
        b"user-agent",
        b"contact",
        b"expires",
    ]
    assert request.get(TO) == b"<sip:trunk7@provider.example>"
    assert (request.get(FROM) or b"").startswith(b"<sip:trunk7@provider.example>;tag=")
    assert request.cseq.number == 10
    assert request.get(CONTACT) == b"<sip:u1@192.0.2.100:5060>"
    assert request.get(EXPIRES) == b"3600"


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (challenge(b"n1"), AUTHORIZATION),
        (proxy_challenge(b"n1", b"provider.example"), PROXY_AUTHORIZATION),
    ],
)
def test_behaviour_46_a_challenge_is_answered_with_the_next_cseq(
    asked: object, name: bytes
) -> None:
    bench = Bench(asked, ok())  # type: ignore[arg-type]
    bench.let(1.0)
    first, second = bench.registrar.requests
    assert (first.cseq.number, second.cseq.number) == (10, 11)
    assert (first.call_id, first.from_.tag) == (second.call_id, second.from_.tag)
    assert second.names[-1] == name
    assert proves(second, b"hunter2", name)


def test_behaviour_47_the_contacts_own_expiry_counts_and_a_refresh_is_early() -> None:
    """The module refreshes within reg_timer_interval + 3 s of expiry, unauthenticated.

    Here it is between 50 and 80 % of the grant, with the nonce that is known.
    """
    grant = b"<sip:u1@192.0.2.100:5060>;expires=600"
    bench = Bench(challenge(b"n1"), ok(grant, expires=3600), random=SeededRandom())
    bench.let(299.0)
    assert len(bench.requests) == 2
    bench.let(182.0)
    refresh = bench.registrar.requests[2]
    given = credentials_of(refresh)
    assert given is not None and (given.nonce, given.nc) == (b"n1", b"00000002")


def test_behaviour_47_without_reg_keep_callid_a_refresh_has_a_call_id_of_its_own() -> None:
    bench = Bench(ok(expires=60), reg_keep_callid=False)
    bench.let(50.0)
    first, second = bench.registrar.requests
    assert first.call_id != second.call_id
    assert (first.cseq.number, second.cseq.number) == (10, 10)


def test_behaviour_48_with_reg_keep_callid_call_id_tag_and_cseq_go_on() -> None:
    """Also after a failure, where the module begins a new call: RFC 3261 10.2 asks for one."""
    bench = Bench(challenge(b"n1"), ok(expires=60), status(500), ok(expires=60))
    bench.let(200.0)
    requests = bench.registrar.requests
    assert len(requests) > 4
    assert bench.numbers() == list(range(10, 10 + len(requests)))
    assert len({request.call_id for request in requests}) == 1
    assert len({request.from_.tag for request in requests}) == 1


def test_behaviour_49_a_423_raises_the_interval() -> None:
    """At once, where the module waits for its next scan."""
    bench = Bench(status(423, min_expires=b"300"), ok(expires=300), accounts=[account(expires=60)])
    bench.let(1.0)
    assert bench.asked() == [b"60", b"300"]


def test_behaviour_49_without_min_expires_the_interval_is_doubled() -> None:
    bench = Bench(status(423), ok(expires=120), accounts=[account(expires=60)])
    bench.let(1.0)
    assert bench.asked() == [b"60", b"120"]


@pytest.mark.parametrize(
    "reply", [status(403), redirect(302, b"<sip:b.example>"), silence, challenge(b"n1")]
)
def test_behaviour_50_with_reg_retry_interval_0_any_failure_disables(reply: object) -> None:
    bench = Bench(reply, reg_retry_interval=0)  # type: ignore[arg-type]
    bench.let(86400.0)
    sent = len(bench.requests)
    assert sent == (2 if bench.registrar.requests[-1].has(AUTHORIZATION) else 1)
    record = bench.table.find("l_uuid", "u1")
    assert record is not None and record["flags"] == 17
    bench.registrar.script = [ok()]
    assert bench.table.enable("l_uuid", "u1")
    bench.let(2.0)
    assert (len(bench.requests), bench.table.status("u1")) == (sent + 1, 1)


def test_behaviour_51_a_failure_is_retried_within_reg_retry_interval() -> None:
    """The module waits for R - (interval + 3) to R s; here it is random below R, then 2 R..."""
    bench = Bench(status(503), ok(), random=SeededRandom(), reg_retry_interval=20)
    bench.let(21.0)
    assert (len(bench.requests), bench.state()) == (2, State.REGISTERED)


def test_behaviour_52_our_contact_is_found_among_others() -> None:
    foreign = b"<sip:x@203.0.113.1>;expires=5"
    bench = Bench(ok(foreign, b"<sip:u1@192.0.2.100:5060>;expires=600"))
    bench.let(100.0)
    assert (len(bench.requests), bench.table.status("u1")) == (1, 1)


def test_behaviour_52_only_foreign_contacts_are_no_registration() -> None:
    """The module asks again at each scan for ever; here the pauses grow."""
    bench = Bench(ok(b"<sip:x@203.0.113.1>;expires=5"), random=SeededRandom())
    bench.let(3600.0)
    assert bench.table.status("u1") == -99
    assert 5 < len(bench.requests) < 60


def test_behaviour_53_another_realm_is_not_answered() -> None:
    bench = Bench(challenge(b"n1", realm=b"other"), accounts=[account(realm="provider.example")])
    bench.let(10.0)
    assert (len(bench.requests), bench.state()) == (1, State.REJECTED)


@pytest.mark.parametrize("retry_interval", [0, 30])
def test_behaviour_53b_a_silent_registrar_has_one_register_at_a_time(retry_interval: int) -> None:
    """With reg_retry_interval 0 the module has as many as it has scans."""
    bench = Bench(silence, reg_retry_interval=retry_interval, random=SeededRandom())
    bench.let(600.0)
    assert bench.registrar.most_under_way == 1


def test_behaviour_54_expires_0_flag_1_and_reg_delay() -> None:
    accounts = [
        account("never", r_username="never", expires=0),
        account("off", r_username="off", flags=1),
        account("late", r_username="late", reg_delay=5),
    ]
    bench = Bench(ok(), accounts=accounts)
    bench.let(4.9)
    assert bench.requests == []
    bench.let(3.0)
    assert [one.to.uri for one in bench.registrar.requests] == [b"sip:late@provider.example"]
    statuses = [bench.table.status(one) for one in ("never", "off", "late")]
    assert statuses == [-99, -3, 1]


def test_behaviour_55_contact_user_and_contact_addr() -> None:
    own = account(contact_user="trunk", contact_addr="c.example:5070;transport=tcp")
    seen = b"<sip:other@198.51.100.9:1;line=u1>;expires=600"
    bench = Bench(ok(seen), accounts=[own])
    bench.let(1.0)
    contact = b"<sip:trunk@c.example:5070;transport=tcp;line=u1>"
    assert bench.registrar.requests[0].get(CONTACT) == contact
    assert bench.table.status("u1") == 1


def test_behaviour_56_reg_unregister() -> None:
    """The module never registers again until reg_refresh; here reg_register suffices."""
    bench = Bench(ok(), status(200))
    bench.let(1.0)
    bench.table.unregister("l_uuid", "u1")
    bench.let(86400.0)
    assert bench.asked() == [b"3600", b"0"]
    assert bench.registrar.requests[1].get(CONTACT) == b"<sip:u1@192.0.2.100:5060>"
    bench.registrar.script = [ok()]
    bench.table.register("l_uuid", "u1")
    bench.let(1.0)
    assert bench.table.status("u1") == 1


def test_behaviour_57_what_ends_is_taken_back() -> None:
    """The module sends nothing at its end, and the binding stays behind."""
    bench = Bench(ok(), status(200))
    bench.let(1.0)
    ended: list[bool] = []
    bench.table.shutdown(lambda: ended.append(True), 5.0)
    bench.let(5.0)
    assert (bench.asked(), ended) == ([b"3600", b"0"], [True])
