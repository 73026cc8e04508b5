"""What handlers may do: request, branch, onreply, failure and dialog routes."""

from __future__ import annotations

import pytest

from tests.support.calls import HIDE, Call, Provider, last_of, responses_to, script
from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.ports import Target
from uacproxy.proxy.target_set import Destination
from uacproxy.sip.message import Message

LATER = """
class Later:
    def __await__(self):
        yield

"""


def invited(world: World) -> Message:
    world.receive(invite())
    return last_of(world, CALLEE, b"INVITE")


def failing(body: str, head: str = "") -> str:
    """Return a script whose failure route has this body."""
    lines = "\n".join("    " + line for line in body.splitlines())
    return script(
        f"""{head}
@request_route
def main(ctx):
    ctx.on_failure("F")
    return Relay("sip:192.0.2.2")

@failure_route("F")
def failed(ctx):
{lines}
"""
    )


# -- request_route ---------------------------------------------------------------------


def test_a_handler_that_raises_is_answered_500_and_logged_with_file_and_line() -> None:
    world = World(script("@request_route\ndef main(ctx):\n    return 1 / 0\n"))
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]
    assert world.counters.script_errors == 1
    line = world.wiring.script.request.__code__.co_firstlineno + 2  # type: ignore[union-attr]
    assert any(f"route.py:{line}: ZeroDivisionError" in one for one in world.log.lines)


@pytest.mark.parametrize("what", ["None", "'sip:192.0.2.2'", "404", "[Relay()]"])
def test_a_handler_that_decides_nothing_sensible_is_answered_500(what: str) -> None:
    world = World(script(f"@request_route\ndef main(ctx):\n    return {what}\n"))
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]
    assert world.counters.script_errors == 1
    assert any("route.py" in line for line in world.log.lines)


def test_a_handler_that_leaves_the_program_does_not_take_the_service_along() -> None:
    world = World(script("@request_route\ndef main(ctx):\n    raise SystemExit(3)\n"))
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]


def test_a_coroutine_that_raises_later_is_answered_500() -> None:
    world = World(
        script(
            LATER + "@request_route\nasync def main(ctx):\n    await Later()\n    return 1 / 0\n"
        )
    )
    world.receive(invite())
    world.resume()
    assert world.kinds_to(CALLER) == ["100", "500"]
    assert any("ZeroDivisionError" in line for line in world.log.lines)


def test_a_dropped_request_is_not_answered_at_all() -> None:
    world = World(script("@request_route\ndef main(ctx):\n    return Drop()\n"))
    world.receive(invite())
    world.receive(invite(method=b"MESSAGE", branch=b"z9hG4bKm"))
    world.let(40.0)
    assert world.sent == []
    assert (world.table.servers, world.table.clients) == (0, 0)


def test_a_reply_carries_code_reason_and_fields_of_the_script() -> None:
    world = World(
        script(
            """
@request_route
def main(ctx):
    return Reply(302, "Elsewhere", (("m", "<sip:bob@192.0.2.3>"), ("Retry-After", "5")))
"""
        )
    )
    world.receive(invite())
    final = world.last_to(CALLER)
    assert (final.status, final.reason) == (302, b"Elsewhere")
    assert (final.get(b"contact"), final.get(b"retry-after")) == (b"<sip:bob@192.0.2.3>", b"5")


@pytest.mark.parametrize(
    "reply",
    [
        "Reply(404, 'a\\r\\nX: y')",
        "Reply(404, '', (('X', 'a\\r\\nY: b'),))",
        "Reply(404, '', (('X: y\\r\\nZ', 'a'),))",
        "Reply(100)",
        "Reply(700)",
    ],
)
def test_a_reply_that_would_break_the_message_is_the_scripts_mistake(reply: str) -> None:
    world = World(script(f"@request_route\ndef main(ctx):\n    return {reply}\n"))
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]
    assert not any(one.has(b"y") or one.has(b"x") for one in world.sent_to(CALLER))


def test_edits_of_the_handler_go_out_and_the_reply_knows_nothing_of_them() -> None:
    world = World(
        script(
            """
@request_route
def main(ctx):
    ctx.request.set("Subject", "one")
    ctx.request.append("X-Trunk", "7")
    ctx.request.remove("Contact")
    assert ctx.received.get("X-Trunk") is None
    return Relay()
"""
        )
    )
    sent = invited(world)
    assert (sent.get(b"subject"), sent.get(b"x-trunk")) == (b"one", b"7")
    assert not sent.has(b"contact")


def test_the_next_hop_of_the_script_gets_the_request_as_it_is() -> None:
    world = World(
        script(
            "@request_route\ndef main(ctx):\n    ctx['$du'] = 'sip:192.0.2.2'\n    return Relay()\n"
        )
    )
    world.receive(invite(uri=b"sip:bob@b.example"))
    sent = last_of(world, CALLEE, b"INVITE")
    assert (sent.request_uri, sent.has(b"route")) == (b"sip:bob@b.example", False)


def test_a_next_hop_takes_the_place_of_our_own_name() -> None:
    world = World(
        script("@request_route\ndef main(ctx):\n    return Relay('sip:192.0.2.2:5060')\n")
    )
    world.receive(invite(uri=b"sip:+4930@proxy.example;user=phone"))
    sent = last_of(world, CALLEE, b"INVITE")
    assert sent.request_uri == b"sip:+4930@192.0.2.2:5060;user=phone"


# -- branch_route ----------------------------------------------------------------------


PER_BRANCH = script(
    """
@request_route
def main(ctx):
    ctx.on_branch("B")
    return Relay("sip:b1@192.0.2.2", "sip:b2@192.0.2.3", parallel=True)

@branch_route("B")
def branch(ctx):
    index = ctx["$T_branch_idx"]
    if index == 0:
        ctx.uac.replace_from("sip:hidden@trunk.example")
    ctx.request.set("X-Branch", str(index))
    ctx["$avp(seen)"] = str(ctx["$avp(seen)"] or "") + str(index)
    ctx.log.info("seen {seen}", seen=ctx["$avp(seen)"])
"""
)


def test_each_branch_is_edited_apart_and_shares_the_variables() -> None:
    world = World(PER_BRANCH)
    world.receive(invite())
    one, two = last_of(world, CALLEE, b"INVITE"), last_of(world, OTHER, b"INVITE")
    assert (one.get(b"x-branch"), two.get(b"x-branch")) == (b"0", b"1")
    assert one.from_.uri == b"sip:hidden@trunk.example"
    assert two.from_.uri == b"sip:alice@a.example"
    assert (b"vsf=" in one.need(b"record-route"), b"vsf=" in two.need(b"record-route")) == (
        True,
        False,
    )
    assert "seen 01" in world.log.lines


def test_replies_of_every_branch_show_the_caller_its_own_identity() -> None:
    world = World(PER_BRANCH)
    world.receive(invite())
    for peer in (CALLEE, OTHER):
        world.receive(answer(last_of(world, peer, b"INVITE"), 180), peer)
        assert world.last_to(CALLER).from_.raw == b'"Alice" <sip:alice@a.example>;tag=at1'


BRANCHED = """
@request_route
def main(ctx):
    ctx.on_branch("B")
    return Relay("sip:b1@192.0.2.2")

@branch_route("B")
def branch(ctx):
    {body}
"""


def test_a_branch_that_is_dropped_is_not_sent() -> None:
    world = World(script(BRANCHED.format(body="return Drop()")))
    world.receive(invite())
    assert world.sent_to(CALLEE) == []
    assert world.kinds_to(CALLER) == ["480"]


def test_a_branch_route_that_raises_fails_its_branch() -> None:
    world = World(script(BRANCHED.format(body="return 1 / 0")))
    world.receive(invite())
    assert world.sent_to(CALLEE) == []
    assert world.kinds_to(CALLER) == ["500"]


def test_a_branch_route_that_does_not_exist_is_a_logged_500() -> None:
    world = World(
        script("@request_route\ndef main(ctx):\n    ctx.on_branch('X')\n    return Relay()\n")
    )
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]
    assert any("branch_route('X')" in line for line in world.log.lines)
    assert world.counters.script_errors == 1


@pytest.mark.parametrize(
    "body", ["ctx['$du'] = 'sip:192.0.2.3'", "ctx['$ru'] = 'sip:else@192.0.2.3'"]
)
def test_a_branch_route_may_send_its_branch_elsewhere(body: str) -> None:
    world = World(script(BRANCHED.format(body=body).replace('"sip:b1@192.0.2.2"', "")))
    known = Target(b"UDP", "192.0.2.2", 5060)
    world.bindings[b"bob@proxy.example"] = [Destination(b"sip:bob@10.0.0.7", target=known)]
    world.receive(invite(uri=b"sip:bob@proxy.example"))
    assert world.sent_to(CALLEE) == []
    assert world.kinds_to(OTHER) == ["INVITE"]


def test_a_branch_route_sees_where_its_branch_goes() -> None:
    world = World(script(BRANCHED.format(body="ctx.request.set('X-Seen', ctx.expand('$ru $du'))")))
    world.receive(invite())
    assert last_of(world, CALLEE, b"INVITE").get(b"x-seen") == b"sip:b1@192.0.2.2"


def test_a_branch_that_thinks_does_not_answer_for_the_others() -> None:
    world = World(
        script(
            LATER
            + """
@request_route
def main(ctx):
    ctx.on_branch("B")
    return Relay("sip:b1@192.0.2.2", "sip:b2@192.0.2.3", parallel=True)

@branch_route("B")
async def branch(ctx):
    if ctx["$T_branch_idx"] == 0:
        await Later()
"""
        )
    )
    world.receive(invite())
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 486), OTHER)
    assert world.kinds_to(CALLER) == ["100"]
    world.resume()
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 200), CALLEE)
    assert world.kinds_to(CALLER) == ["100", "200"]


def test_a_6xx_ends_a_branch_that_still_thinks_and_the_failure_route_runs_once() -> None:
    world = World(
        script(
            LATER
            + """
@request_route
def main(ctx):
    ctx.on_branch("B")
    ctx.on_failure("F")
    return Relay("sip:b1@192.0.2.2", "sip:b2@192.0.2.3", parallel=True)

@branch_route("B")
async def branch(ctx):
    if ctx["$T_branch_idx"] == 1:
        await Later()

@failure_route("F")
async def failed(ctx):
    await Later()
    return Reply(480, "decided")
"""
        )
    )
    world.receive(answer(invited(world), 603), CALLEE)
    assert world.kinds_to(CALLER) == ["100"]
    world.resume(1)
    assert world.last_to(CALLER).reason == b"decided"
    world.resume(0)
    assert world.sent_to(OTHER) == []


# -- onreply_route ---------------------------------------------------------------------


ON_REPLY = """
@request_route
def main(ctx):
    ctx.on_reply("R")
    return Relay("sip:192.0.2.2")

@onreply_route("R")
{head}def reply(ctx):
    {body}
"""


def test_a_reply_route_sees_and_edits_every_response() -> None:
    body = "ctx.response.set('X-Seen', ctx.expand('$rs $rr $hdr(CSeq)'))"
    world = World(script(ON_REPLY.format(head="", body=body)))
    sent = invited(world)
    world.receive(answer(sent, 180), CALLEE)
    world.receive(answer(sent, 200), CALLEE)
    seen = [one.get(b"x-seen") for one in world.sent_to(CALLER) if one.status > 100]
    assert seen == [b"180 Whatever 1 INVITE", b"200 Whatever 1 INVITE"]


def test_a_reply_route_sees_what_the_caller_will_see() -> None:
    body = "ctx.response.set('X-Seen', ctx.expand('$fu'))"
    world = World(
        script(
            ON_REPLY.format(head="", body="ctx.uac; " + body).replace(
                'ctx.on_reply("R")', 'ctx.on_reply("R"); ctx.uac.replace_from("sip:x@y.example")'
            )
        )
    )
    world.receive(answer(invited(world), 180), CALLEE)
    assert world.last_to(CALLER).get(b"x-seen") == b"sip:alice@a.example"


def test_a_reply_route_that_raises_does_not_hold_the_response_up() -> None:
    world = World(script(ON_REPLY.format(head="", body="1 / 0")))
    world.receive(answer(invited(world), 200), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 200]
    assert world.counters.script_errors == 1


def test_a_reply_route_that_does_not_exist_does_not_hold_the_response_up() -> None:
    world = World(
        script("@request_route\ndef main(ctx):\n    ctx.on_reply('X')\n    return Relay()\n")
    )
    world.receive(answer(invited(world), 200), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 200]
    assert any("onreply_route('X')" in line for line in world.log.lines)


def test_responses_stay_in_order_while_a_reply_route_thinks() -> None:
    body = "await Later()\n    ctx.response.set('X-Seen', ctx.expand('$rs'))"
    world = World(script(LATER + ON_REPLY.format(head="async ", body=body)))
    sent = invited(world)
    world.receive(answer(sent, 180), CALLEE)
    world.receive(answer(sent, 200), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100]
    assert len(world.spawned) == 1
    world.resume()
    assert responses_to(world, CALLER, b"INVITE") == [100, 180]
    world.resume()
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 200]
    assert [one.get(b"x-seen") for one in world.sent_to(CALLER)][1:] == [b"180", b"200"]


def test_a_thinking_reply_route_and_a_failure_route_do_not_see_each_others_response() -> None:
    world = World(
        script(
            LATER
            + """
@request_route
def main(ctx):
    ctx.on_reply("R")
    ctx.on_failure("F")
    return Relay("sip:192.0.2.2")

@onreply_route("R")
async def reply(ctx):
    if ctx.check_status("183"):
        await Later()
    ctx.log.info("reply {code}", code=ctx["$rs"])

@failure_route("F")
async def failed(ctx):
    await Later()
    ctx.log.info("failure {code}", code=ctx["$T_reply_code"])
"""
        )
    )
    sent = invited(world)
    world.receive(answer(sent, 183), CALLEE)
    world.receive(answer(sent, 486), CALLEE)
    world.resume()
    world.resume()
    assert [line for line in world.log.lines if line[:4] in ("repl", "fail")][:2] == [
        "reply 183",
        "failure 486",
    ]
    assert responses_to(world, CALLER, b"INVITE") == [100, 183, 486]


def test_a_reply_route_may_arm_the_failure_route() -> None:
    text = ON_REPLY.format(head="", body="ctx.on_failure('F')") + (
        "\n@failure_route('F')\ndef failed(ctx):\n    return Reply(480, 'armed')\n"
    )
    world = World(script(text))
    sent = invited(world)
    world.receive(answer(sent, 180), CALLEE)
    world.receive(answer(sent, 486), CALLEE)
    assert world.last_to(CALLER).reason == b"armed"


# -- failure_route ---------------------------------------------------------------------


def test_a_failure_route_that_says_nothing_lets_the_best_failure_through() -> None:
    world = World(failing("return None"))
    world.receive(answer(invited(world), 486), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 486]


def test_a_failure_route_that_raises_lets_the_best_failure_through_and_is_logged() -> None:
    world = World(failing("return 1 / 0"))
    world.receive(answer(invited(world), 486), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 486]
    assert any("ZeroDivisionError" in line for line in world.log.lines)


def test_a_failure_route_may_answer_otherwise() -> None:
    world = World(failing("return Reply(480, 'Later')"))
    world.receive(answer(invited(world), 486), CALLEE)
    assert world.last_to(CALLER).status == 480
    assert world.last_to(CALLER).reason == b"Later"


def test_a_failure_route_may_drop_the_request() -> None:
    world = World(failing("return Drop()"))
    sent = invited(world)
    world.receive(answer(sent, 486), CALLEE)
    world.receive(answer(sent, 486), CALLEE)
    world.let(40.0)
    assert responses_to(world, CALLER, b"INVITE") == [100]
    assert (world.table.servers, world.table.clients) == (0, 0)


def test_a_failure_route_runs_once_unless_it_is_armed_again() -> None:
    world = World(failing("ctx.log.info('ran')\nreturn Relay('sip:192.0.2.3')"))
    world.receive(answer(invited(world), 486), CALLEE)
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 480), OTHER)
    assert world.log.lines.count("ran") == 1
    assert responses_to(world, CALLER, b"INVITE") == [100, 480]


def test_a_failure_route_runs_when_all_targets_have_failed() -> None:
    text = failing("ctx.log.info('{code}', code=ctx['$T_reply_code'])\nreturn None").replace(
        'Relay("sip:192.0.2.2")', 'Relay("sip:b1@192.0.2.2", "sip:b2@192.0.2.3")'
    )
    world = World(text)
    world.receive(answer(invited(world), 486), CALLEE)
    assert world.log.lines == []
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 480), OTHER)
    assert world.log.lines == ["486"]


def test_a_failure_route_hears_of_silence_as_408() -> None:
    world = World(failing("return Reply(480, 'silent') if ctx.check_status('408') else None"))
    world.receive(invite())
    world.let(33.0)
    assert world.last_to(CALLER).reason == b"silent"


def test_a_failure_route_hears_of_ringing_without_end_as_408() -> None:
    world = World(failing("return Relay('sip:192.0.2.3') if ctx.check_status('408') else None"))
    sent = invited(world)
    world.receive(answer(sent, 180), CALLEE)
    world.let(182.0)
    world.receive(answer(sent, 487), CALLEE)
    assert world.kinds_to(OTHER) == ["INVITE"]


def test_a_failure_route_sees_the_request_and_has_the_response_beside_it() -> None:
    world = World(
        failing(
            "ctx.log.info('{u} {s} {r}', u=ctx['$ua'], s=ctx['$rs'], r=ctx.response.get('Server'))"
        )
    )
    world.receive(invite(fields=b"User-Agent: Phone\r\n"))
    octets = answer(last_of(world, CALLEE, b"INVITE"), 486, fields=b"Server: Gate\r\n")
    world.receive(octets, CALLEE)
    assert world.log.lines == ["Phone 486 Gate"]


def test_a_failure_route_that_does_not_exist_is_logged_and_the_failure_passed() -> None:
    world = World(
        script("@request_route\ndef main(ctx):\n    ctx.on_failure('X')\n    return Relay()\n")
    )
    world.receive(answer(invited(world), 486), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 486]
    assert any("failure_route('X')" in line for line in world.log.lines)


def test_answering_the_challenge_without_relaying_lets_it_through() -> None:
    world = World(failing("ctx['$avp(auser)'] = ctx['$avp(apass)'] = 'x'\nctx.uac.auth()"))
    world.receive(Provider(world).challenge(invited(world)), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 407]


# -- dialog_route ----------------------------------------------------------------------


INSIDE = HIDE + "\n@dialog_route\n{head}def inside(ctx):\n    {body}\n"


def test_a_dialog_route_may_look_and_edit() -> None:
    call = Call(
        World(INSIDE.format(head="", body="ctx.request.set('X-Dir', ctx.expand('$fu $tu'))"))
    )
    assert call.from_caller(b"BYE").get(b"x-dir") == b"sip:7@trunk.example sip:b@z.cc"
    assert call.from_callee(b"INFO").get(b"x-dir") == b"sip:bob@b.example sip:alice@a.example"


def test_a_dialog_route_may_refuse() -> None:
    call = Call(World(INSIDE.format(head="", body="return Reply(488)")))
    call.from_caller(b"INVITE")
    assert responses_to(call.world, CALLER, b"INVITE") == [100, 200, 488]
    assert call.world.last_to(CALLER).from_.raw == b'"Alice" <sip:alice@a.example>;tag=at1'


def test_a_dialog_route_may_drop() -> None:
    call = Call(World(INSIDE.format(head="", body="return Drop()")))
    call.from_caller(b"INFO")
    assert responses_to(call.world, CALLER, b"INFO") == []


def test_a_dialog_route_that_raises_is_answered_500() -> None:
    call = Call(World(INSIDE.format(head="", body="return 1 / 0")))
    call.from_caller(b"BYE")
    assert responses_to(call.world, CALLER, b"BYE") == [500]


@pytest.mark.parametrize("body", ["return Relay()", "return None"])
def test_a_dialog_route_that_relays_follows_the_route_set(body: str) -> None:
    call = Call(World(INSIDE.format(head="", body=body)))
    assert call.from_caller(b"BYE").method == b"BYE"


def test_a_dialog_route_may_name_another_next_hop() -> None:
    for body in ("return Relay('sip:192.0.2.3')", "ctx['$du'] = 'sip:192.0.2.3'"):
        call = Call(World(INSIDE.format(head="", body=body)))
        call.from_caller(b"BYE")
        assert last_of(call.world, OTHER, b"BYE").request_uri == b"sip:bob@192.0.2.2"


def test_a_dialog_route_that_thinks_holds_the_request_and_no_other() -> None:
    text = INSIDE.format(head="async ", body="await Later()")
    call = Call(World(text.replace("@dialog_route", LATER + "@dialog_route")))
    call.from_caller(b"INFO")
    assert call.world.kinds_to(CALLEE) == ["INVITE"]
    call.world.resume()
    assert call.world.kinds_to(CALLEE) == ["INVITE", "INFO"]


def test_acks_do_not_ask_the_dialog_route() -> None:
    call = Call(World(INSIDE.format(head="", body="return Reply(500)")))
    assert call.from_caller(b"ACK", 1).method == b"ACK"


def test_a_handler_that_returns_what_nobody_can_wait_for_is_answered_500() -> None:
    world = World(script(LATER + "@request_route\ndef main(ctx):\n    return Later()\n"))
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]
    assert any("returned Later" in line for line in world.log.lines)


def test_an_identity_cannot_be_replaced_when_the_request_is_long_gone() -> None:
    body = "ctx.uac.replace_from('sip:x@y.example')"
    world = World(script(ON_REPLY.format(head="", body=body)))
    world.receive(answer(invited(world), 180), CALLEE)
    assert world.last_to(CALLER).status == 180
    assert world.last_to(CALLER).from_.uri == b"sip:alice@a.example"
    assert world.counters.script_errors == 1
