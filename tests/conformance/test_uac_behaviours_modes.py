"""Behaviours of Kamailio's uac module that can be checked on the wire: 18 to 29.

What comes back broken or altered, replacing again, and the modes: none, manual, with the
dialog, with AVPs. Continues ``test_uac_behaviours``; each docstring says where we differ.
"""

from __future__ import annotations

import re

import pytest

from tests.conformance.test_uac_behaviours import (
    ALICE_VALUE,
    ANONYMOUS,
    BOTH,
    CALLEE_SHOWN,
    CALLER_SHOWN,
    KAMAILIO,
    SEALED,
    heads,
    invited,
    replacing,
    with_both_codecs,
)
from tests.support.calls import ALICE, BOB, Call, last_of, script
from tests.support.world import CALLEE, CALLER, World, answer, invite
from uacproxy.sip.names import RECORD_ROUTE
from uacproxy.uac.rr_param import RestoreCodec

NOBODY = b'"Anonymous" <sip:anonymous@anonymous.invalid>'
STRANGER = b'"Somebody" <sip:else@where.example>'


# -- what comes back broken or altered -------------------------------------------------


def altered(call: Call, pattern: bytes, instead: bytes) -> list[bytes]:
    """Return the route set of the call with a change in it."""
    route, count = re.subn(pattern, instead, call.final.need(RECORD_ROUTE))
    assert count == 1
    return [route]


@pytest.mark.parametrize("value", [b"vsf=!!!!", b"vsf=AAA", b"vsf=A---", b"vsf"])
def test_behaviour_18_an_altered_vsf_leaves_from_as_it_came_with_kamailios_values(
    value: bytes,
) -> None:
    call = Call(World(BOTH, codec=KAMAILIO))
    there = call.from_caller(b"INFO", routes=altered(call, rb"vsf=[^;>]*", value))
    assert (there.method, *heads(there)) == (b"INFO", ALICE, CALLEE_SHOWN)
    assert call.world.counters.restore_failures == 1


@pytest.mark.parametrize("value", [b"vsf=!!!!", b"vsf=AAA", b"vsf=A---", b"vsf"])
def test_behaviour_18_an_altered_vsf_makes_the_caller_anonymous(value: bytes) -> None:
    """In the module the caller's own From passes, and the identity is known."""
    call = Call(World(BOTH, codec=SEALED))
    there = call.from_caller(b"INFO", routes=altered(call, rb"vsf=[^;>]*", value))
    assert (there.method, *heads(there)) == (b"INFO", NOBODY, CALLEE_SHOWN)
    assert call.world.counters.restore_failures == 1
    call.world.receive(answer(there, 200), CALLEE)
    assert heads(call.world.last_to(CALLER)) == (ALICE, BOB)


def test_behaviour_19_another_from_in_the_ack_passes_with_kamailios_values() -> None:
    """The module sends what XOR makes of it where that is printable; here it must be a URI."""
    call = Call(World(BOTH, codec=KAMAILIO))
    ack = call.from_caller(b"ACK", 1, from_=STRANGER + b";tag=at1")
    assert heads(ack) == (STRANGER, CALLEE_SHOWN)
    assert ack.from_.raw.isascii()
    assert call.world.counters.restore_failures == 1


@pytest.mark.parametrize("method", [b"ACK", b"INFO", b"BYE"])
def test_behaviour_19_another_from_is_shown_as_the_stored_one(method: bytes) -> None:
    """In the module it passes as it came, or as garbage; the stored head does not depend on it."""
    call = Call(World(BOTH, codec=SEALED))
    there = call.from_caller(
        method, 1 if method == b"ACK" else 2, from_=b"<sip:else@where.example>;tag=at1"
    )
    assert heads(there) == (CALLER_SHOWN, CALLEE_SHOWN)
    assert call.world.counters.restore_failures == 0


@pytest.mark.parametrize(
    ("codec", "seen"), [(KAMAILIO, None), (SEALED, CALLER_SHOWN)], ids=["kamailio", "sealed"]
)
def test_behaviour_20_a_from_longer_than_the_value(codec: RestoreCodec, seen: bytes | None) -> None:
    """The module leaves it as it came; sealed, the stored head is shown whatever the length."""
    call = Call(World(BOTH, codec=codec))
    longer = b"<sip:" + b"z" * 60 + b"@a.example>"
    there = call.from_caller(b"INFO", from_=longer + b";tag=at1")
    assert heads(there) == (seen or longer, CALLEE_SHOWN)


@with_both_codecs
def test_behaviour_21_without_ftag_a_request_counts_as_the_callers(codec: RestoreCodec) -> None:
    call = Call(World(BOTH, codec=codec))
    there = call.from_caller(b"INFO", routes=altered(call, rb";ftag=at1", b""))
    assert heads(there) == (CALLER_SHOWN, CALLEE_SHOWN)


@pytest.mark.parametrize(
    ("codec", "seen"),
    [(KAMAILIO, (CALLEE_SHOWN, CALLER_SHOWN)), (SEALED, (NOBODY, NOBODY))],
    ids=["kamailio", "sealed"],
)
def test_behaviour_21_without_ftag_a_request_of_the_callee_is_not_restored(
    codec: RestoreCodec, seen: tuple[bytes, bytes]
) -> None:
    """Nor is it in the module. A sealed value opens in its own direction only, so nobody shows."""
    call = Call(World(BOTH, codec=codec))
    here = call.from_callee(b"BYE", routes=altered(call, rb";ftag=at1", b""))
    assert (here.method, *heads(here)) == (b"BYE", *seen)
    assert call.world.counters.restore_failures == 1


# -- replacing again -------------------------------------------------------------------


@with_both_codecs
def test_behaviour_22_the_second_replacement_counts_and_the_first_original_is_restored(
    codec: RestoreCodec,
) -> None:
    """In the module the second call returns false and the first value stays."""
    twice = replacing('replace_from("sip:1@one.example")', f'replace_from("{ANONYMOUS}")')
    call = Call(World(twice, codec=codec))
    assert call.sent.from_.head == CALLER_SHOWN
    if codec is KAMAILIO:
        assert b";vsf=" + ALICE_VALUE + b">" in call.sent.need(RECORD_ROUTE)
    assert call.final.from_.head == ALICE
    assert call.from_caller(b"ACK", 1).from_.head == CALLER_SHOWN
    assert call.from_callee(b"BYE").to.head == ALICE


INSIDE = (
    BOTH
    + """
@dialog_route
def inside(ctx):
    answers = ctx.uac.replace_from("sip:z@z"), ctx.uac.replace_to('"Z"', "sip:z@z")
    ctx.request.set("X-Answers", str(answers))
"""
)


@with_both_codecs
def test_behaviour_23_inside_a_dialog_a_uri_is_not_replaced(codec: RestoreCodec) -> None:
    call = Call(World(INSIDE, codec=codec))
    there, here = call.from_caller(b"INFO"), call.from_callee(b"INFO")
    assert there.get(b"x-answers") == here.get(b"x-answers") == b"(False, False)"
    assert (heads(there), heads(here)) == ((CALLER_SHOWN, CALLEE_SHOWN), (BOB, ALICE))


def test_behaviour_24_a_message_is_restored_in_its_response_and_leaves_nothing_behind() -> None:
    world = World(
        script(
            f"""
@request_route
def main(ctx):
    if ctx.request.method == "MESSAGE":
        assert ctx.uac.replace_from("{ANONYMOUS}")
    return Relay("sip:192.0.2.2")
"""
        ),
        codec=KAMAILIO,
    )
    world.receive(invite(method=b"MESSAGE"))
    sent = last_of(world, CALLEE, b"MESSAGE")
    assert (sent.from_.head, sent.has(RECORD_ROUTE)) == (CALLER_SHOWN, False)
    world.receive(answer(sent, 200), CALLEE)
    assert heads(world.last_to(CALLER)) == (ALICE, BOB)
    following = invited(world, invite(branch=b"z9hG4bKnext", call_id=b"another"))
    assert (heads(following), following.need(RECORD_ROUTE)) == (
        (ALICE, BOB),
        b"<sip:192.0.2.100:5060;lr;ftag=at1>",
    )


# -- restore_mode ----------------------------------------------------------------------


def test_behaviour_25_restore_mode_none_restores_nothing() -> None:
    """As in the module, but for the CANCEL: there it has the original To."""
    world = World(BOTH, restore_mode="none", codec=KAMAILIO)
    sent = invited(world)
    assert heads(sent) == (CALLER_SHOWN, CALLEE_SHOWN)
    assert sent.need(RECORD_ROUTE) == b"<sip:192.0.2.100:5060;lr;ftag=at1>"
    world.receive(answer(sent, 180), CALLEE)
    assert heads(world.last_to(CALLER)) == (CALLER_SHOWN, CALLEE_SHOWN)
    world.receive(invite(method=b"CANCEL"))
    assert heads(last_of(world, CALLEE, b"CANCEL")) == (CALLER_SHOWN, CALLEE_SHOWN)


MANUAL = (
    BOTH
    + """
@dialog_route
def inside(ctx):
    if ctx.request.method == "INFO":
        assert ctx.uac.restore_from()
        assert ctx.uac.restore_to()
"""
)


@with_both_codecs
def test_behaviour_26_restore_mode_manual_restores_responses_and_leaves_the_ack(
    codec: RestoreCodec,
) -> None:
    call = Call(World(MANUAL, restore_mode="manual", codec=codec))
    assert heads(call.final) == (ALICE, BOB)
    assert heads(call.from_caller(b"ACK", 1)) == (ALICE, BOB)
    assert heads(call.from_caller(b"BYE", 3)) == (ALICE, BOB)


@with_both_codecs
def test_behaviour_26_what_the_script_restores_is_restored_in_its_response_too(
    codec: RestoreCodec,
) -> None:
    """In the module the response to such a request shows its sender the replaced identity."""
    call = Call(World(MANUAL, restore_mode="manual", codec=codec))
    there = call.from_caller(b"INFO")
    assert heads(there) == (CALLER_SHOWN, CALLEE_SHOWN)
    call.world.receive(answer(there, 200), CALLEE)
    assert heads(call.world.last_to(CALLER)) == (ALICE, BOB)
    here = call.from_callee(b"INFO")
    assert heads(here) == (BOB, ALICE)
    call.world.receive(answer(here, 200), CALLER)
    assert heads(call.world.last_to(CALLEE)) == (CALLEE_SHOWN, CALLER_SHOWN)


# -- restore_dlg -----------------------------------------------------------------------

TRUNK = b'"Trunk 7" <sip:7@trunk.example>'
TRACKED = script(
    """
@request_route
def main(ctx):
    ctx.track_dialog()
    assert ctx.uac.replace_from('"Trunk 7"', "sip:7@trunk.example")
    assert ctx.uac.replace_to("sip:b@z.cc")
    return Relay("sip:192.0.2.2")
"""
)


def test_behaviour_27_dialog_mode_keeps_variables_and_puts_nothing_into_record_route() -> None:
    """After a call without display name the module has ``_uac_tdpnew`` empty; here it stays."""
    world = World(TRACKED, restore_dlg=True)
    sent = invited(world, invite(to=b'"Bob" <sip:bob@b.example>'))
    route = sent.need(RECORD_ROUTE)
    assert b";did=" in route
    assert b"vsf" not in route and b"vst" not in route
    (dialog,) = world.tracker.dialogs()
    variables = dialog["variables"]
    assert isinstance(variables, dict)
    wanted = {
        "_uac_fu": "sip:alice@a.example",
        "_uac_funew": "sip:7@trunk.example",
        "_uac_fdp": '"Alice"',
        "_uac_fdpnew": '"Trunk 7"',
        "_uac_to": "sip:bob@b.example",
        "_uac_tonew": "sip:b@z.cc",
        "_uac_tdp": '"Bob"',
        "_uac_tdpnew": '"Bob"',
    }
    assert {name: variables[name] for name in wanted} == wanted


@pytest.mark.parametrize("method", [b"ACK", b"INVITE", b"INFO", b"BYE"])
def test_behaviour_27_dialog_mode_shows_what_is_stored_whatever_the_endpoints_write(
    method: bytes,
) -> None:
    """In the module a display name not replaced is lost here; here it stays."""
    world = World(TRACKED, restore_dlg=True)
    call = Call(world, invited=invite(to=b'"Bob" <sip:bob@b.example>'))
    there = call.from_caller(
        method,
        1 if method == b"ACK" else 2,
        from_=STRANGER + b";tag=at1",
        to=STRANGER + b";tag=bt1",
    )
    assert heads(there) == (TRUNK, b'"Bob" <sip:b@z.cc>')
    if method != b"ACK":
        here = call.from_callee(method, from_=STRANGER + b";tag=bt1", to=STRANGER + b";tag=at1")
        assert heads(here) == (b'"Bob" <sip:bob@b.example>', ALICE)


@pytest.mark.parametrize("method", [b"PRACK", b"UPDATE", b"BYE"])
def test_behaviour_28_dialog_mode_rewrites_requests_of_an_early_dialog(method: bytes) -> None:
    """The module leaves an early BYE as it came, and the caller is known (its issue 4829)."""
    world = World(TRACKED, restore_dlg=True)
    world.receive(answer(invited(world), 183), CALLEE)
    early = world.last_to(CALLER)
    route = b"Route: " + early.need(RECORD_ROUTE) + b"\r\n"
    world.receive(
        invite(method=method, branch=b"z9hG4bKearly", cseq=2, fields=route, to=early.to.raw)
    )
    there = last_of(world, CALLEE, method)
    assert heads(there) == (TRUNK, CALLEE_SHOWN)
    world.receive(answer(there, 200), CALLEE)
    assert heads(world.last_to(CALLER)) == (ALICE, BOB)


# -- restore_from_avp, restore_to_avp --------------------------------------------------

WITH_AVPS = (
    replacing(f"""replace_from('"Anon"', "{ANONYMOUS}")""", 'replace_to("sip:b@z.cc")').replace(
        "    return", '    ctx.on_reply("SEEN")\n    return'
    )
    + """
@onreply_route("SEEN")
def seen(ctx):
    ctx.response.set("X-Avps", str(ctx["$avp(from)"]) + " " + str(ctx["$avp(to)"]))
"""
)


@pytest.mark.parametrize("status", [180, 200, 486])
def test_behaviour_29_the_avps_hold_the_originals_and_responses_are_restored(status: int) -> None:
    world = World(WITH_AVPS, restore_avps=("$avp(from)", "$avp(to)"))
    world.receive(answer(invited(world), status), CALLEE)
    response = world.last_to(CALLER)
    assert response.get(b"x-avps") == ALICE + b" " + BOB
    assert heads(response) == (ALICE, BOB)


def test_behaviour_29_without_avps_responses_are_restored_as_well() -> None:
    """In the module they show the replaced identity after msg_apply_changes(), which we lack.

    Edits are visible at once here, and the request as it came is kept beside them.
    """
    world = World(
        script(
            f"""
@request_route
def main(ctx):
    ctx.uac.replace_from("{ANONYMOUS}")
    assert ctx["$fu"] == "{ANONYMOUS}"
    return Relay("sip:192.0.2.2")
"""
        )
    )
    call = Call(world)
    assert call.sent.from_.head == CALLER_SHOWN
    assert call.final.from_.head == ALICE
