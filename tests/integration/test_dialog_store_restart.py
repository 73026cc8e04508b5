"""With ``restore_dlg`` only the store knows who is who: a killed service finds it there again."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import services
from tests.support.dialog_stores import (
    VIEWS,
    Instance,
    Look,
    RedisKeys,
    StartInstance,
    ident_in,
    instances,
)
from tests.support.identity_peers import ANY_SIDE, Call, first_request, heads, phones
from uacproxy.dialog.dialog import DialogState
from uacproxy.sip.names import RECORD_ROUTE
from uacproxy.testing.call_end import CallEnd
from uacproxy.uac.restore import ANONYMOUS


@pytest.fixture
def start_instance() -> Iterator[StartInstance]:
    with instances() as start:
        yield start


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def kept(
    request: pytest.FixtureRequest, start_instance: StartInstance, tmp_path: Path
) -> tuple[Instance, Look]:
    """Give a service on a store, and a look into that store."""
    if request.param == "sqlite":
        instance = start_instance("sqlite:///state.db")
        return instance, instance.in_sqlite
    redis: services.Redis = request.getfixturevalue("redis_server")
    prefix = f"{tmp_path.name}:"
    return start_instance(redis.url, prefix), RedisKeys(redis.port, prefix).get


@pytest.mark.parametrize("hangs_up", ANY_SIDE)
def test_a_call_whose_identities_are_in_the_store_alone_outlives_a_kill(
    kept: tuple[Instance, Look], hangs_up: str
) -> None:
    instance, look = kept
    with phones("one", "two") as (caller, callee):
        call = Call(caller, callee, instance.address, VIEWS)
        call.ack(instance.address)
        assert b";vsf=" not in call.route
        instance.wait_until_kept(ident_in(call.route), look, state=DialogState.CONFIRMED)
        instance.kill()
        instance.start()
        call.from_callee(b"INVITE", instance.address)
        call.from_caller(b"INVITE", instance.address)
        ANY_SIDE[hangs_up](call, instance.address)
        stats = instance.service.stats()
        VIEWS.nobody_knows_more(caller, callee)
        callee.never_heard(b"Alice")
        caller.never_heard(b"Trunk", b"Desk")
    assert (stats["dialog.taken_over"], stats["proxy.restore_failures"]) == (1, 0)
    assert (stats["dialog.ended"], stats["dialog.active"]) == (1, 0)


def test_a_bye_of_the_callee_right_after_the_restart_is_restored(
    kept: tuple[Instance, Look],
) -> None:
    instance, look = kept
    with phones("one", "two") as (caller, callee):
        call = Call(caller, callee, instance.address, VIEWS)
        call.ack(instance.address)
        instance.wait_until_kept(ident_in(call.route), look, state=DialogState.CONFIRMED)
        instance.kill()
        instance.start()
        call.from_callee(b"BYE", instance.address)
        VIEWS.nobody_knows_more(caller, callee)


def test_a_caller_that_gives_up_a_call_whose_service_was_killed_while_it_rang_is_restored(
    kept: tuple[Instance, Look],
) -> None:
    instance, look = kept
    with phones("one", "two") as (caller, callee):
        invite = first_request(b"INVITE", caller, callee.contact, VIEWS)
        caller.send(invite, instance.address)
        callee.answer(callee.hears_request(b"INVITE"), 180, tag=secrets.token_hex(4).encode())
        ringing = caller.hears_response(b"INVITE", 180)
        (route,) = ringing.values(RECORD_ROUTE)
        instance.wait_until_kept(ident_in(route), look)
        instance.kill()
        instance.start()
        caller.send(CallEnd.of_caller(invite, ringing).request(b"BYE"), instance.address)
        bye = callee.hears_request(b"BYE")
        assert heads(bye) == VIEWS.at_callee
        callee.answer(bye, 200)
        assert heads(caller.hears_response(b"BYE", 200)) == VIEWS.at_caller
        VIEWS.nobody_knows_more(caller, callee)


def test_a_store_that_lost_the_dialog_leaves_the_caller_anonymous(
    start_instance: StartInstance,
) -> None:
    """What nobody knows any more is not guessed: RFC 3323 has a name for nobody."""
    instance = start_instance("memory:")
    ini = instance.folder / "uacproxy.ini"  # the key outlives the dialogs
    ini.write_text(
        ini.read_text().replace("restore_dlg = yes", "restore_dlg = yes\nrestore_passwd = p")
    )
    instance.kill()
    instance.start()
    with phones("one", "two") as (caller, callee):
        call = Call(caller, callee, instance.address, VIEWS)
        call.ack(instance.address)
        instance.kill()
        instance.start()
        caller.send(call.caller_end.request(b"BYE"), instance.address)
        bye = callee.hears_request(b"BYE")
        assert heads(bye) == (ANONYMOUS, ANONYMOUS)
        callee.answer(bye, 200)
        assert heads(caller.hears_response(b"BYE", 200)) == VIEWS.at_caller
        callee.never_heard(b"Alice", b"alice@a.example")
        assert instance.service.stats()["proxy.restore_failures"] == 1


def test_a_service_that_lost_its_key_as_well_lets_nobody_pass_for_a_party(
    start_instance: StartInstance,
) -> None:
    instance = start_instance("memory:")
    with phones("one", "two") as (caller, callee):
        call = Call(caller, callee, instance.address, VIEWS)
        call.ack(instance.address)
        instance.kill()
        instance.start()
        caller.send(call.caller_end.request(b"BYE"), instance.address)
        caller.hears_response(b"BYE", 481)
        callee.never_heard(b"Alice", b"alice@a.example")
    assert instance.service.stats()["proxy.forged_routes"] == 1
