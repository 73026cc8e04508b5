"""Identities kept with the tracked dialog instead of in Record-Route (``restore_dlg``)."""

from __future__ import annotations

import pytest

from tests.support.world import CALLEE, CALLER, World, answer, invite
from uacproxy.sip.message import Message
from uacproxy.uac.dialog_variables import identities_of, to_variables
from uacproxy.uac.replace import Identities

TRACKED = """
from uacproxy.routing import Relay, request_route

@request_route
def main(ctx):
    ctx.track_dialog()
    ctx.uac.replace_from('"Trunk 7"', "sip:7@trunk.example")
    ctx.uac.replace_to("sip:b@z.cc")
    return Relay("sip:192.0.2.2")
"""

LATE = """
from uacproxy.routing import Relay, request_route

@request_route
def main(ctx):
    ctx.uac.replace_from("sip:7@trunk.example")
    ctx.track_dialog()
    return Relay("sip:192.0.2.2")
"""


def call(world: World) -> Message:
    """Set a call up; return its 200 as the caller got it."""
    world.receive(invite())
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    return world.last_to(CALLER)


def from_caller(method: bytes, final: Message, *, from_: bytes, branch: bytes) -> bytes:
    route = b"Route: " + final.need(b"record-route") + b"\r\n"
    return invite(method=method, cseq=2, branch=branch, fields=route, from_=from_, to=final.to.raw)


def from_callee(method: bytes, sent: Message, *, branch: bytes = b"z9hG4bKcallee") -> bytes:
    route = b"Route: " + sent.need(b"record-route") + b"\r\n"
    return invite(
        method=method,
        uri=b"sip:alice@192.0.2.1",
        branch=branch,
        fields=route,
        from_=sent.to.raw + b";tag=bt1",
        to=sent.from_.raw,
    ).replace(b"192.0.2.1:5060;branch", b"192.0.2.2:5060;branch")


def test_nothing_of_the_identities_is_in_record_route() -> None:
    world = World(TRACKED, restore_dlg=True)
    final = call(world)
    route = final.need(b"record-route")
    assert b"vsf" not in route
    assert b"vst" not in route
    assert b";did=" in route


def test_the_dialog_has_the_variables_of_the_module() -> None:
    world = World(TRACKED, restore_dlg=True)
    call(world)
    (dialog,) = world.tracker.dialogs()
    variables = dialog["variables"]
    assert isinstance(variables, dict)
    assert variables["_uac_fu"] == "sip:alice@a.example"
    assert variables["_uac_funew"] == "sip:7@trunk.example"
    assert variables["_uac_fdp"] == '"Alice"'
    assert variables["_uac_fdpnew"] == '"Trunk 7"'
    assert variables["_uac_to"] == "sip:bob@b.example"
    assert variables["_uac_tonew"] == "sip:b@z.cc"
    assert (variables["_uac_tdp"], variables["_uac_tdpnew"]) == ("", "")


@pytest.mark.parametrize("method", [b"BYE", b"INFO", b"MESSAGE", b"UPDATE", b"INVITE"])
def test_a_caller_that_alters_its_from_is_still_shown_as_the_trunk(method: bytes) -> None:
    world = World(TRACKED, restore_dlg=True)
    final = call(world)
    altered = b'"Somebody" <sip:else@where.example>;tag=at1'
    world.receive(from_caller(method, final, from_=altered, branch=b"z9hG4bKb1"))
    assert world.last_to(CALLEE).from_.raw == b'"Trunk 7" <sip:7@trunk.example>;tag=at1'
    assert world.last_to(CALLEE).to.raw == b"<sip:b@z.cc>;tag=bt1"


def test_the_callee_reaches_the_caller_under_the_callers_own_names() -> None:
    world = World(TRACKED, restore_dlg=True)
    world.receive(invite())
    sent = world.last_to(CALLEE)
    world.receive(answer(sent, 200), CALLEE)
    world.receive(from_callee(b"BYE", sent), CALLEE)
    bye = world.last_to(CALLER)
    assert bye.to.raw == b'"Alice" <sip:alice@a.example>;tag=at1'
    assert bye.from_.raw == b"<sip:bob@b.example>;tag=bt1"


def test_a_bye_before_the_answer_is_rewritten_too() -> None:
    """Kamailio leaks here (GH 4829)."""
    world = World(TRACKED, restore_dlg=True)
    world.receive(invite())
    world.receive(answer(world.last_to(CALLEE), 180), CALLEE)
    ringing = world.last_to(CALLER)
    world.receive(from_caller(b"BYE", ringing, from_=ringing.from_.raw, branch=b"z9hG4bKearly"))
    assert world.last_to(CALLEE).from_.raw == b'"Trunk 7" <sip:7@trunk.example>;tag=at1'


def test_a_bye_that_comes_again_with_credentials_is_rewritten_as_well() -> None:
    world = World(TRACKED, restore_dlg=True)
    final = call(world)
    for branch in (b"z9hG4bKbye1", b"z9hG4bKbye2"):
        world.receive(from_caller(b"BYE", final, from_=final.from_.raw, branch=branch))
        assert world.last_to(CALLEE).from_.raw == b'"Trunk 7" <sip:7@trunk.example>;tag=at1'


def test_an_ended_dialog_is_forgotten_in_the_end() -> None:
    world = World(TRACKED, restore_dlg=True)
    final = call(world)
    world.receive(from_caller(b"BYE", final, from_=final.from_.raw, branch=b"z9hG4bKbye1"))
    assert list(world.tracker.dialogs()) == []
    world.let(60.0)
    world.tracker.expire_due()
    kept: list[bytes] = []
    world.store.scan("dialogs", lambda key, value, expires: kept.append(key), lambda: None)
    assert kept == []


def test_another_instance_with_the_same_store_goes_on_with_the_call() -> None:
    first = World(TRACKED, restore_dlg=True)
    final = call(first)
    second = World(TRACKED, restore_dlg=True, store=first.store)
    second.receive(from_caller(b"BYE", final, from_=final.from_.raw, branch=b"z9hG4bKb1"))
    assert second.last_to(CALLEE).from_.raw == b'"Trunk 7" <sip:7@trunk.example>;tag=at1'


def test_a_lost_dialog_hides_the_caller_and_is_counted() -> None:
    first = World(TRACKED, restore_dlg=True)
    final = call(first)
    second = World(TRACKED, restore_dlg=True)
    second.receive(from_caller(b"BYE", final, from_=final.from_.raw, branch=b"z9hG4bKb1"))
    bye = second.last_to(CALLEE)
    assert b"alice" not in bye.encode().replace(b"sip:alice@192.0.2.1", b"")  # Contact's
    assert bye.from_.raw == b'"Anonymous" <sip:anonymous@anonymous.invalid>;tag=at1'
    assert second.counters.restore_failures == 1


def test_a_route_whose_marks_were_cut_off_is_restored_from_the_dialog_all_the_same() -> None:
    world = World(TRACKED, restore_dlg=True)
    final = call(world)
    cut = final.branch_copy()
    cut.set(b"record-route", final.need(b"record-route").replace(b"-ft", b""))
    world.receive(from_caller(b"BYE", cut, from_=final.from_.raw, branch=b"z9hG4bKb1"))
    assert world.last_to(CALLEE).from_.raw == b'"Trunk 7" <sip:7@trunk.example>;tag=at1'


def test_replacing_before_tracking_is_kept_as_well() -> None:
    world = World(LATE, restore_dlg=True)
    final = call(world)
    assert b"vsf" not in final.need(b"record-route")
    world.receive(from_caller(b"BYE", final, from_=b"<sip:x@y>;tag=at1", branch=b"z9hG4bKb1"))
    assert world.last_to(CALLEE).from_.uri == b"sip:7@trunk.example"


def test_in_record_route_mode_the_dialog_stands_in_for_an_unreadable_value() -> None:
    world = World(TRACKED)
    final = call(world)
    spoilt = final.branch_copy()
    route = spoilt.need(b"record-route")
    at = route.index(b"vsf=") + 10
    spoilt.set(b"record-route", route[:at] + b"AAAA" + route[at + 4 :])
    world.receive(from_caller(b"BYE", spoilt, from_=final.from_.raw, branch=b"z9hG4bKb1"))
    assert world.last_to(CALLEE).from_.raw == b'"Trunk 7" <sip:7@trunk.example>;tag=at1'
    assert world.counters.restore_failures == 1


def test_variables_hold_heads_exactly_and_follow_a_script_that_changes_them() -> None:
    heads = Identities(b"sip:a@b", b'"X"  <sip:c@d>', b"<sip:e@f>", b"<sip:g@h>")
    variables = to_variables(heads)
    back = identities_of(variables)
    assert back is not None
    assert (back.from_original, back.from_shown) == (b"sip:a@b", b'"X"  <sip:c@d>')
    variables["_uac_funew"] = "sip:new@d"
    back = identities_of(variables)
    assert back is not None
    assert back.from_shown == b'"X" <sip:new@d>'


MANUAL = """
from uacproxy.routing import Relay, dialog_route, request_route

@request_route
def main(ctx):
    ctx.uac.replace_from("sip:7@trunk.example")
    ctx.uac.replace_to("sip:b@z.cc")
    return Relay("sip:192.0.2.2")

@dialog_route
def later(ctx):
    if ctx.request.method == "INFO":
        assert ctx.uac.restore_from()
        assert ctx.uac.restore_to()
"""


def test_restore_mode_manual_leaves_later_requests_to_the_script() -> None:
    world = World(MANUAL, restore_mode="manual")
    final = call(world)
    assert final.from_.raw == b'"Alice" <sip:alice@a.example>;tag=at1'
    world.receive(from_caller(b"BYE", final, from_=final.from_.raw, branch=b"z9hG4bKm1"))
    assert world.last_to(CALLEE).from_.uri == b"sip:alice@a.example"
    world.receive(from_caller(b"INFO", final, from_=final.from_.raw, branch=b"z9hG4bKm2"))
    info = world.last_to(CALLEE)
    assert (info.from_.uri, info.to.uri) == (b"sip:7@trunk.example", b"sip:b@z.cc")
    world.receive(answer(info, 200), CALLEE)
    assert world.last_to(CALLER).from_.raw == final.from_.raw


AVP = """
from uacproxy.routing import Relay, onreply_route, request_route

@request_route
def main(ctx):
    ctx.uac.replace_from("sip:7@trunk.example")
    ctx.on_reply("SEEN")
    return Relay("sip:192.0.2.2")

@onreply_route("SEEN")
def seen(ctx):
    assert ctx["$avp(original)"] == '"Alice" <sip:alice@a.example>'
"""


def test_restore_from_avp_receives_the_original_and_replies_get_it() -> None:
    world = World(AVP, restore_avps=("$avp(original)", ""))
    final = call(world)
    assert final.from_.raw == b'"Alice" <sip:alice@a.example>;tag=at1'
    assert world.counters.script_errors == 0


def test_a_value_a_script_puts_into_the_avp_is_what_replies_show() -> None:
    script = AVP.replace(
        'ctx.on_reply("SEEN")', 'ctx["$avp(original)"] = \'"Al" <sip:alice@a.example>\''
    )
    world = World(script, restore_avps=("$avp(original)", ""))
    assert call(world).from_.raw == b'"Al" <sip:alice@a.example>;tag=at1'
