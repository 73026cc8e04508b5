"""What a handler has in its hand: ``ctx``, its messages and functions."""

from __future__ import annotations

import pytest

from tests.support.calls import Call, last_of, script
from tests.support.one_account import OneAccount
from tests.support.world import CALLEE, CALLER, World, answer, invite
from tests.unit.test_routing_rules import account
from uacproxy.routing.actions import Reply

SHOW = """
@request_route
def main(ctx):
    return Reply(480, str({what}))
"""


def shown(what: str, octets: bytes = b"", world: World | None = None) -> str:
    """Run a handler that answers with the value of an expression."""
    if world is None:
        world = World(script(SHOW.format(what=what)))
    world.receive(octets or invite())
    final = world.last_to(CALLER)
    assert final.status == 480, world.log.lines
    return final.reason.decode()


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("ctx.request.method", "INVITE"),
        ("ctx.request.uri", "sip:bob@192.0.2.2"),
        ("ctx.request.call_id", "call-1@a.example"),
        ("ctx.request.status", "0"),
        ("ctx.request.from_.tag.decode()", "at1"),
        ("ctx.request.to.uri.decode()", "sip:bob@b.example"),
        ("ctx.request.body.decode()", "v=0"),
        ("ctx.request.get('f')", '"Alice" <sip:alice@a.example>;tag=at1'),
        ("ctx.request.get('X-None')", "None"),
        ("ctx.request.fields('Subject')", "['one', 'two']"),
        ("ctx.response", "None"),
        ("ctx.in_dialog", "False"),
        ("ctx.is_canceled", "False"),
        ("ctx.check_status('486')", "False"),
        ("ctx.flow.remote", "('192.0.2.1', 5060)"),
        ("ctx['$fU']", "alice"),
        ("ctx.expand('to $rU')", "to bob"),
        ("ctx.is_myself()", "False"),
        ("ctx.is_myself('sip:x@proxy.example')", "True"),
        ("ctx.is_myself('$fu')", "False"),
        ("ctx.is_myself('nonsense')", "False"),
        ("ctx.uac is ctx.uac", "True"),
        ("ctx.uac.auth()", "False"),
        ("ctx.uac.reg_lookup('trunk1', '$ru')", "False"),
        ("ctx.uac.reg_lookup_uri('sip:bob@x', '$avp(x)')", "False"),
        ("ctx.uac.reg_status('trunk1')", "-1"),
    ],
)
def test_a_handler_can_ask(what: str, value: str) -> None:
    octets = invite(fields=b"Subject: one\r\nSubject: two\r\n", body=b"v=0")
    assert shown(what, octets) == value


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("486", True),
        ("401|486", True),
        (" 401 | 486 ", True),
        ("4xx", True),
        ("4..", True),
        ("48X", True),
        ("5xx", False),
        ("40", False),
        ("4866", False),
        ("", False),
        ("486x", False),
    ],
)
def test_the_status_at_hand_is_checked_by_pattern(pattern: str, fits: bool) -> None:
    world = World(
        script(
            f"""
@request_route
def main(ctx):
    ctx.on_failure("F")
    return Relay()

@failure_route("F")
def failed(ctx):
    ctx.log.info("{{}}".format(ctx.check_status({pattern!r})))
"""
        )
    )
    world.receive(invite())
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 486), CALLEE)
    assert world.log.lines == [str(fits)]


@pytest.mark.parametrize(
    "edit",
    [
        "ctx.request.set('X', 'a\\r\\nY: b')",
        "ctx.request.append('X', 'a\\nb')",
        "ctx.request.set('X Y', 'a')",
        "ctx.request.set('X: a\\r\\nY', 'b')",
        "ctx.request.append('', 'b')",
        "ctx.request.set('From', '<sip:x@y>')",
        "ctx.request.set('t', '<sip:x@y>')",
        "ctx.request.remove('Via')",
        "ctx.request.remove('Content-Length')",
        "ctx.request.append('CSeq', '2 INVITE')",
    ],
)
def test_edits_that_would_break_the_message_are_the_scripts_mistake(edit: str) -> None:
    world = World(script(f"@request_route\ndef main(ctx):\n    {edit}\n    return Relay()\n"))
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]
    assert world.sent_to(CALLEE) == []
    assert world.counters.script_errors == 1


def test_edits_to_the_request_as_it_came_go_nowhere() -> None:
    world = World(
        script(
            "@request_route\ndef main(ctx):\n"
            "    ctx.received.set('X-Seen', '1')\n    return Relay()\n"
        )
    )
    world.receive(invite())
    assert not last_of(world, CALLEE, b"INVITE").has(b"x-seen")


# -- accounts --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("(ctx.uac.reg_lookup('$rU', '$ru'), ctx['$ru'])", "(True, 'sip:bob@pbx.example')"),
        ("(ctx.uac.reg_lookup('x', '$ru'), ctx['$rU'])", "(False, 'trunk1')"),
        (
            "(ctx.uac.reg_lookup('trunk1', '$avp(d)'), ctx['$avp(d)'])",
            "(True, 'sip:bob@pbx.example')",
        ),
        ("(ctx.uac.reg_lookup_uri('sip:bob@x', '$var(u)'), ctx['$var(u)'])", "(True, 'trunk1')"),
        ("(ctx.uac.reg_lookup_uri('$tu', '$var(u)'), ctx['$var(u)'])", "(True, 'trunk1')"),
        ("ctx.uac.reg_lookup_uri('sip:carol@x', '$var(u)')", "False"),
        ("ctx.uac.reg_lookup_uri('nonsense', '$var(u)')", "False"),
        ("ctx.uac.reg_status('$rU')", "1"),
        ("ctx.uac.reg_status('x')", "-1"),
    ],
)
def test_accounts_are_looked_up_both_ways(what: str, value: str) -> None:
    world = World(script(SHOW.format(what=what)), accounts=OneAccount(account()))
    assert shown("", invite(uri=b"sip:trunk1@proxy.example"), world) == value


def test_a_lookup_into_what_cannot_be_written_is_the_scripts_mistake() -> None:
    world = World(
        script(SHOW.format(what="ctx.uac.reg_lookup('trunk1', '$fu')")),
        accounts=OneAccount(account()),
    )
    world.receive(invite())
    assert world.last_to(CALLER).status == 500


@pytest.mark.parametrize("call", ["replace_from()", "replace_to('a', 'b', 'c')"])
def test_a_function_called_with_the_wrong_arguments_is_the_scripts_mistake(call: str) -> None:
    world = World(script(SHOW.format(what=f"ctx.uac.{call}")))
    world.receive(invite())
    assert world.last_to(CALLER).status == 500


# -- dialogs ---------------------------------------------------------------------------


TRACKED = script(
    """
@request_route
def main(ctx):
    ctx.track_dialog()
    ctx["$dlg_var(trunk)"] = "seven"
    return Relay("sip:192.0.2.2")

@dialog_route
def inside(ctx):
    ctx.request.set("X-Trunk", str(ctx["$dlg_var(trunk)"]))
    ctx["$dlg_var(trunk)"] = "eight"
"""
)


def test_dialog_variables_last_as_long_as_the_dialog() -> None:
    call = Call(World(TRACKED))
    assert call.from_caller(b"INFO", 2).get(b"x-trunk") == b"seven"
    assert call.from_callee(b"INFO", 1).get(b"x-trunk") == b"eight"


def test_a_dialog_variable_without_a_dialog_is_the_scripts_mistake() -> None:
    world = World(script("@request_route\ndef main(ctx):\n    ctx['$dlg_var(x)'] = 1\n"))
    world.receive(invite())
    assert world.last_to(CALLER).status == 500
    assert any("not tracked" in line for line in world.log.lines)


@pytest.mark.parametrize(
    ("octets", "tracked"),
    [
        (invite(), "True"),
        (invite(method=b"SUBSCRIBE"), "True"),
        (invite(method=b"REFER"), "True"),
        (invite(method=b"MESSAGE"), "False"),
        (invite(method=b"OPTIONS"), "False"),
        (invite(to=b"<sip:bob@b.example>;tag=1"), "False"),
    ],
)
def test_only_what_begins_a_dialog_is_tracked(octets: bytes, tracked: str) -> None:
    assert shown("ctx.track_dialog()", octets) == tracked


def test_tracking_twice_is_tracking_once() -> None:
    world = World(script(SHOW.format(what="ctx.track_dialog() and ctx.track_dialog()")))
    assert shown("", invite(), world) == "True"
    assert world.dialog_counters.started == 1


def test_a_reply_takes_its_fields_in_any_shape_a_script_may_give() -> None:
    for fields in ([("Warning", "399 us x")], {"Warning": "399 us x"}.items()):
        reply = Reply(480, "Away", fields)
        assert reply.fields == (("Warning", "399 us x"),)
