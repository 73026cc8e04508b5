"""What an operator may switch on for REGISTER requests, and what may go wrong with each."""

from __future__ import annotations

import itertools

import pytest

from tests.support.registrar import (
    HERE,
    account,
    challenge,
    ok,
    proves,
    redirect,
    seen_from,
    status,
    with_field,
)
from tests.unit.test_registrations import Bench, SeededRandom
from uacproxy.ports import Target
from uacproxy.settings import ListenAddress
from uacproxy.sip.names import CONTACT, SUPPORTED
from uacproxy.uac.account import Account
from uacproxy.uac.account_settings import parse_account_settings
from uacproxy.uac.registration_states import RegistrationState as State

# -- redirections (RFC 3261 8.1.3.4) ------------------------------------------------------------


def test_a_redirection_is_a_failure_unless_it_may_be_followed() -> None:
    bench = Bench(redirect(302, b"<sip:other.example>"), ok())
    bench.let(1.0)
    assert bench.state() is State.BACKING_OFF
    assert "a redirection is not followed" in (bench.table.explain("u1") or "")


def test_a_redirection_is_followed_once_to_the_contact_of_the_highest_q() -> None:
    contacts = b"<sip:b.example>;q=0.2, <sip:c.example:5070>;q=0.7, <tel:+1>"
    bench = Bench(redirect(302, contacts), challenge(b"n1"), ok(), reg_follow_redirect=True)
    bench.let(1.0)
    assert [request.request_uri for request in bench.registrar.requests] == [
        b"sip:provider.example",
        b"sip:c.example:5070",
        b"sip:c.example:5070",
    ]
    assert bench.registrar.next_hops[1:] == [b"sip:c.example:5070"] * 2
    assert bench.registrar.requests[1].to.uri == b"sip:trunk7@provider.example"
    assert proves(bench.registrar.requests[2], b"hunter2")
    assert bench.state() is State.REGISTERED


def test_a_second_redirection_is_not_followed() -> None:
    bench = Bench(redirect(302, b"<sip:b.example>"), reg_follow_redirect=True)
    bench.let(1.0)
    assert len(bench.requests) == 2
    assert bench.state() is State.BACKING_OFF


@pytest.mark.parametrize("contact", [b"<tel:+1>", b"<sip:u@b.example>", b"<sip:b?x=y>", b"*"])
def test_a_redirection_to_what_cannot_be_a_registrar_is_a_failure(contact: bytes) -> None:
    bench = Bench(redirect(301, contact), reg_follow_redirect=True)
    bench.let(1.0)
    assert (len(bench.requests), bench.state()) == (1, State.BACKING_OFF)


# -- our public address (RFC 3581) --------------------------------------------------------------


def contacts_of(bench: Bench) -> list[list[bytes]]:
    return [request.fields(CONTACT) for request in bench.registrar.requests]


def test_the_address_a_registrar_sees_us_at_becomes_our_contact() -> None:
    """NAT or a dynamic address (pjproject #381 #643, phoneblock PR 370, livekit PR 774)."""
    bench = Bench(seen_from(b"198.51.100.9", 40000, ok()), reg_learn_address=True)
    bench.let(5.0)
    assert contacts_of(bench) == [
        [b"<sip:u1@192.0.2.100:5060>"],
        [b"<sip:u1@198.51.100.9:40000>", b"<sip:u1@192.0.2.100:5060>;expires=0"],
    ]
    bench.let(3000.0)
    assert contacts_of(bench)[2] == [b"<sip:u1@198.51.100.9:40000>"]
    assert bench.table.status("u1") == 1


def test_without_the_option_nothing_is_learnt() -> None:
    bench = Bench(seen_from(b"198.51.100.9", 40000, ok()))
    bench.let(5.0)
    assert contacts_of(bench) == [[b"<sip:u1@192.0.2.100:5060>"]]


def test_an_address_that_changes_with_each_request_is_not_followed_for_ever() -> None:
    replies = [seen_from(b"198.51.100.9", 40000 + number, ok()) for number in range(1000)]
    bench = Bench(*replies, reg_learn_address=True, random=SeededRandom())
    bench.let(1700.0)
    assert len(bench.requests) == 4
    bench.let(86400.0)
    assert len(bench.requests) < 4 * 24 + 48


def test_an_address_no_uri_can_hold_is_not_learnt() -> None:
    bench = Bench(seen_from(b"x" * 300 + b"_", 5060, ok()), reg_learn_address=True)
    bench.let(5.0)
    assert len(bench.requests) == 1


# -- RFC 5626, 3327, 3608 ------------------------------------------------------------------------


def test_outbound_names_an_instance_that_stays_the_same() -> None:
    one, two = Bench(ok(), reg_outbound=True), Bench(ok(), reg_outbound=True)
    for bench in (one, two):
        bench.let(1.0)
    (contact,) = contacts_of(one)[0]
    assert contact.startswith(b'<sip:u1@192.0.2.100:5060>;reg-id=1;+sip.instance="<urn:uuid:')
    assert contacts_of(one) == contacts_of(two)
    assert one.registrar.requests[0].get(SUPPORTED) == b"path, outbound"


def test_our_binding_is_found_by_its_instance() -> None:
    bench = Bench(ok(), reg_outbound=True)
    bench.let(1.0)
    (contact,) = contacts_of(bench)[0]
    rewritten = b"<sip:x@203.0.113.1:9>" + contact[contact.index(b";reg-id") :] + b";expires=600"
    again = Bench(ok(b"<sip:y@203.0.113.1>;expires=9", rewritten), reg_outbound=True)
    again.let(100.0)
    assert (len(again.requests), again.table.status("u1")) == (1, 1)


def test_a_439_is_answered_without_outbound_and_remembered() -> None:
    """A refusal of RFC 5626 left the account dead (pjproject #5146, PR 5154)."""
    bench = Bench(status(439), ok(), reg_outbound=True)
    bench.let(3000.0)
    assert [b"reg-id" in one[0] for one in contacts_of(bench)] == [True, False, False]
    assert [request.has(SUPPORTED) for request in bench.registrar.requests] == [True, False, False]
    assert bench.table.status("u1") == 1


def test_a_439_without_outbound_is_a_failure_like_others() -> None:
    bench = Bench(status(439))
    bench.let(1.0)
    assert (len(bench.requests), bench.state()) == (1, State.BACKING_OFF)


def test_path_is_supported_where_it_is_asked_for() -> None:
    plain, asking = Bench(ok()), Bench(ok(), reg_path=True)
    for bench in (plain, asking):
        bench.let(1.0)
    assert plain.registrar.requests[0].get(SUPPORTED) is None
    assert asking.registrar.requests[0].get(SUPPORTED) == b"path"


ROUTES = b"<sip:edge1.example;lr>, <sip:edge2.example;lr>"


def test_a_service_route_is_the_way_of_the_accounts_calls() -> None:
    bench = Bench(
        with_field(b"service-route", ROUTES, ok(expires=60)), ok(), reg_service_route=True
    )
    bench.let(1.0)
    way = bench.table.way("u1")
    assert way is not None
    assert way.service_route == (b"<sip:edge1.example;lr>", b"<sip:edge2.example;lr>")
    bench.let(60.0)
    way = bench.table.way("u1")
    assert way is not None and way.service_route == ()  # RFC 3608 6.1: the newest 2xx counts


@pytest.mark.parametrize("routes", [b"<sip:strict.example>", b"<", ROUTES + (b", " + ROUTES) * 9])
def test_a_service_route_that_cannot_be_used_whole_is_not_used(routes: bytes) -> None:
    bench = Bench(with_field(b"service-route", routes, ok()), reg_service_route=True)
    bench.let(1.0)
    way = bench.table.way("u1")
    assert way is not None and way.service_route == ()


def test_without_the_option_a_service_route_is_not_used() -> None:
    bench = Bench(with_field(b"service-route", ROUTES, ok()))
    bench.let(1.0)
    way = bench.table.way("u1")
    assert way is not None and way.service_route == ()


# -- sockets and connections ---------------------------------------------------------------------


def test_an_accounts_socket_is_where_its_registers_leave_from() -> None:
    """The local socket must be stable (kamailio #936 #2262)."""
    bench = Bench(challenge(b"n1"), ok(), accounts=[account(socket="udp:192.0.2.100:5080")])
    bench.let(1.0)
    assert bench.registrar.sockets == [ListenAddress(b"UDP", "192.0.2.100", 5080)] * 2


def test_a_socket_that_is_none_disables_the_account_and_says_why() -> None:
    bench = Bench(ok(), accounts=[account(socket="192.0.2.100")])
    bench.let(1.0)
    assert bench.table.status("u1") == -3
    assert "socket" in (bench.table.explain("u1") or "")


def test_who_was_registered_over_a_connection_that_broke_is_registered_again() -> None:
    accounts = [account(f"u{n}", r_username=f"t{n}") for n in range(300)]
    bench = Bench(ok(), accounts=accounts, random=SeededRandom(), beat=0.1, reg_slow_start=0)
    bench.let(10.0)
    bench.table.connection_lost(Target(b"TCP", "203.0.113.5", 5060))
    bench.let(10.0)
    assert len(bench.requests) == 300
    bench.table.connection_lost(HERE)
    bench.let(0.5)
    assert 300 < len(bench.requests) < 450  # not all at once
    bench.let(5.0)
    assert len(bench.requests) == 600
    assert bench.counters.connections_lost == 300


def test_a_registrar_that_closes_after_each_answer_is_not_asked_in_a_loop() -> None:
    bench = Bench(ok(), reg_slow_start=0)
    bench.let(100.0)
    answered = 0
    sent_at: list[float] = []
    for _ in range(400):
        bench.let(0.25)
        if len(bench.requests) > answered:
            answered = len(bench.requests)
            sent_at.append(bench.clock.seconds())
        if bench.state() is State.REGISTERED:
            bench.table.connection_lost(HERE)
    assert sent_at[1] < 101.0  # what breaks for the first time is mended at once
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent_at[1:])]
    assert len(gaps) == 3 and min(gaps) > 29.0


# -- one account alone ---------------------------------------------------------------------------


def set_for_one(*rows: tuple[str, str]) -> list[Account]:
    return [account(settings=parse_account_settings(rows)[0])]


@pytest.mark.parametrize(
    ("rows", "window"),
    [
        ((("refresh_from", "20"), ("refresh_until", "30")), (720.0, 1080.0)),
        ((("refresh_from", "90"),), (3240.0, 3240.0)),  # after the end of all others' window
        ((("refresh_until", "30%"),), (1080.0, 1080.0)),  # before its begin
        ((("refresh_from", ""),), (1800.0, 2880.0)),
    ],
)
def test_one_account_may_be_refreshed_earlier_or_later_than_the_others(
    rows: tuple[tuple[str, str], ...], window: tuple[float, float]
) -> None:
    bench = Bench(ok(), accounts=set_for_one(*rows), random=SeededRandom())
    bench.let(1.0)
    deadline = bench.registration().deadline
    assert deadline is not None
    earliest, latest = window
    assert earliest <= deadline <= latest + 1.0


@pytest.mark.parametrize("is_on", [True, False])
def test_one_account_may_speak_outbound_or_not_whatever_the_others_do(is_on: bool) -> None:
    accounts = set_for_one(("outbound", "yes" if is_on else "no"))
    bench = Bench(ok(), accounts=accounts, reg_outbound=not is_on)
    bench.let(1.0)
    (contact,) = contacts_of(bench)[0]
    assert (b"+sip.instance" in contact) is is_on


@pytest.mark.parametrize("is_on", [True, False])
def test_one_account_may_follow_a_redirection_or_not(is_on: bool) -> None:
    accounts = set_for_one(("follow_redirect", "yes" if is_on else "no"))
    bench = Bench(
        redirect(302, b"<sip:other.example>"),
        ok(),
        accounts=accounts,
        reg_follow_redirect=not is_on,
    )
    bench.let(1.0)
    assert bench.state() is (State.REGISTERED if is_on else State.BACKING_OFF)


@pytest.mark.parametrize("is_on", [True, False])
def test_one_account_may_learn_its_address_or_not(is_on: bool) -> None:
    accounts = set_for_one(("learn_address", "yes" if is_on else "no"))
    bench = Bench(
        seen_from(b"198.51.100.9", 40000, ok()), accounts=accounts, reg_learn_address=not is_on
    )
    bench.let(5.0)
    assert len(contacts_of(bench)) == (2 if is_on else 1)


def test_another_window_counts_from_the_next_refresh_on_and_sends_nothing() -> None:
    bench = Bench(ok(), reg_slow_start=0)
    bench.let(3.0)
    (changed,) = set_for_one(("refresh_from", "90"), ("refresh_until", "90"))
    bench.table.put(changed)
    bench.let(3.0)
    assert len(bench.requests) == 1
    bench.let(3600.0)
    deadline = bench.registration().deadline
    assert len(bench.requests) == 2 and deadline is not None
    assert deadline - bench.clock.seconds() > 3240.0 - 1800.0
