"""Who each side sees, in every message of a call and outside one (From, To, Record-Route)."""

from __future__ import annotations

import pytest

from tests.support.calls import ALICE, BOB, HIDE, Call, last_of, responses_to, script
from tests.support.world import CALLEE, CALLER, World, answer, invite
from uacproxy.sip.message import Message
from uacproxy.uac.rr_param import KamailioCodec, RestoreCodec, SealedCodec

TRUNK = b'"Trunk 7" <sip:7@trunk.example>'
OUTSIDE = b"<sip:b@z.cc>"

# URIs alone: what Kamailio's own value can hold
HIDE_URIS = script(
    """
@request_route
def main(ctx):
    ctx.uac.replace_from("sip:7@trunk.example")
    ctx.uac.replace_to("sip:b@z.cc")
    return Relay("sip:192.0.2.2")
"""
)


def codecs() -> list[RestoreCodec]:
    return [
        SealedCodec(b"vsf", b"vst", [bytes(range(32))]),
        KamailioCodec(b"vsf", b"vst", b"s3cret"),
    ]


def heads(message: Message) -> tuple[bytes, bytes]:
    return message.from_.head, message.to.head


def hidden(world: World) -> None:
    """Check that nothing the callee ever got names the caller, nor the caller the outside."""
    for _, peer, _, octets in world.sent:
        if peer == CALLEE:
            assert b"alice@a.example" not in octets and b"Alice" not in octets


@pytest.mark.parametrize("status", [180, 183, 199, 200, 202, 302, 404, 486, 500, 504, 600, 606])
def test_every_response_shows_the_caller_what_it_wrote(status: int) -> None:
    world = World(HIDE)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    assert heads(sent) == (TRUNK, OUTSIDE)
    world.receive(answer(sent, status), CALLEE)
    response = world.last_to(CALLER)
    assert response.status == status
    assert heads(response) == (ALICE, BOB)
    assert (response.from_.tag, response.to.tag) == (b"at1", b"bt1")


def test_what_we_answer_ourselves_shows_the_caller_what_it_wrote() -> None:
    world = World(HIDE)
    world.receive(invite())
    world.let(33.0)
    world.receive(invite(branch=b"z9hG4bK2", cseq=2))
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 180), CALLEE)
    world.receive(
        invite(method=b"CANCEL", branch=b"z9hG4bK2", cseq=2),
    )
    world.let(40.0)
    world.unreachable.add(CALLEE)
    world.receive(invite(branch=b"z9hG4bK3", cseq=3))
    world.let(0.0)
    answered = [one for one in world.sent_to(CALLER) if not one.is_request]
    assert {100, 180, 200, 408, 487, 500} == {one.status for one in answered}
    assert {heads(one) for one in answered} == {(ALICE, BOB)}


@pytest.mark.parametrize("method", [b"ACK", b"INVITE", b"UPDATE", b"INFO", b"PRACK", b"BYE"])
@pytest.mark.parametrize("which", [0, 1])
def test_each_side_goes_on_seeing_what_it_saw_first(method: bytes, which: int) -> None:
    call = Call(World(HIDE_URIS if which else HIDE, codec=codecs()[which]))
    alice = ALICE
    trunk = b'"Alice" <sip:7@trunk.example>' if which else TRUNK
    there = call.from_caller(method, 1 if method == b"ACK" else 2)
    assert (there.method, *heads(there)) == (method, trunk, OUTSIDE)
    assert (there.from_.tag, there.to.tag) == (b"at1", b"bt1")
    if method != b"ACK":
        call.world.receive(answer(there, 200), CALLEE)
        assert heads(call.world.last_to(CALLER)) == (alice, BOB)
    here = call.from_callee(method, 1)
    assert (here.method, *heads(here)) == (method, BOB, alice)
    assert (here.from_.tag, here.to.tag) == (b"bt1", b"at1")
    if method != b"ACK":
        call.world.receive(answer(here, 200), CALLER)
        assert heads(call.world.last_to(CALLEE)) == (OUTSIDE, trunk)
    if not which:
        hidden(call.world)


def test_requests_in_an_early_dialog_are_restored_too() -> None:
    world = World(HIDE)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(sent, 183), CALLEE)
    early = world.last_to(CALLER)
    world.receive(
        invite(
            method=b"BYE",
            branch=b"z9hG4bKearly",
            cseq=2,
            fields=b"Route: " + early.need(b"record-route") + b"\r\n",
            to=early.to.raw,
        )
    )
    assert heads(last_of(world, CALLEE, b"BYE")) == (TRUNK, OUTSIDE)


def test_an_endpoint_that_writes_another_from_makes_nothing_known() -> None:
    call = Call(World(HIDE))
    sent = call.from_caller(b"BYE", from_=b'"Alice" <sip:other@a.example>;tag=at1')
    assert heads(sent) == (TRUNK, OUTSIDE)
    call.world.receive(answer(sent, 200), CALLEE)
    assert call.world.last_to(CALLER).from_.head == b'"Alice" <sip:other@a.example>'


@pytest.mark.parametrize("harm", [b"vsf=AAAA", b"vsf=!", b"vsf", b"vsf=" + b"A" * 400])
def test_a_value_that_cannot_be_read_makes_nobody_known_and_is_counted(harm: bytes) -> None:
    call = Call(World(HIDE))
    route = call.final.need(b"record-route")
    begin = route.index(b";vsf=")
    end = route.index(b";vst=")
    sent = call.from_caller(b"BYE", routes=[route[:begin] + b";" + harm + route[end:]])
    assert sent.from_.head == b'"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert sent.to.head == OUTSIDE
    assert call.world.counters.restore_failures == 1
    call.world.receive(answer(sent, 200), CALLEE)
    assert heads(call.world.last_to(CALLER)) == (ALICE, BOB)
    hidden(call.world)


def test_values_of_another_call_cannot_be_used_here() -> None:
    call = Call(World(HIDE))
    route = call.final.need(b"record-route")
    call.world.receive(
        invite(
            method=b"BYE",
            call_id=b"another-call",
            branch=b"z9hG4bKx",
            fields=b"Route: " + route + b"\r\n",
            from_=OUTSIDE + b";tag=zz",
            to=TRUNK + b";tag=at1",
        ),
    )
    assert b"Alice" not in last_of(call.world, CALLEE, b"BYE").encode()


def test_a_message_outside_a_dialog_is_hidden_and_its_answer_restored() -> None:
    world = World(HIDE)
    world.receive(invite(method=b"MESSAGE"))
    sent = last_of(world, CALLEE, b"MESSAGE")
    assert heads(sent) == (TRUNK, OUTSIDE)
    assert not sent.has(b"record-route")
    world.receive(answer(sent, 200), CALLEE)
    assert heads(world.last_to(CALLER)) == (ALICE, BOB)


def test_a_to_that_is_folded_in_its_tail_keeps_it() -> None:
    world = World(HIDE)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    folded = answer(sent, 200).replace(b";tag=bt1", b";x=1\r\n ;tag=bt1")
    world.receive(folded, CALLEE)
    final = world.last_to(CALLER)
    assert (final.to.head, final.to.tag) == (BOB, b"bt1")
    assert b"To: <sip:bob@b.example>;x=1\r\n ;tag=bt1" in final.encode()


def test_a_to_that_is_folded_in_its_head_is_restored() -> None:
    world = World(HIDE)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    folded = answer(sent, 200).replace(b'From: "Trunk 7" <', b'f: "Trunk 7"\r\n\t<')
    world.receive(folded, CALLEE)
    assert b'f: "Alice" <sip:alice@a.example>;tag=at1\r\n' in world.last_to(CALLER).encode()


def test_compact_names_and_foreign_parameters_stay_as_they_were() -> None:
    world = World(HIDE)
    octets = invite(from_=b'"Alice" <sip:alice@a.example>;x=1;tag=at1;y').replace(b"From:", b"f:")
    world.receive(octets)
    assert b'f: "Trunk 7" <sip:7@trunk.example>;x=1;tag=at1;y\r\n' in (
        last_of(world, CALLEE, b"INVITE").encode()
    )


def test_a_callee_with_the_callers_own_tag_learns_nothing() -> None:
    world = World(HIDE)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(sent, 200, b"at1"), CALLEE)
    call = Call.__new__(Call)
    call.world, call.callee, call._branches = world, CALLEE, 0
    call.sent, call.final, call.callee_tag = sent, world.last_to(CALLER), b"at1"
    bye = call.from_caller(b"INFO")
    assert heads(bye) == (TRUNK, OUTSIDE)
    call.from_callee(b"INFO")
    world.receive(answer(world.last_to(CALLER), 200), CALLER)
    hidden(world)


def test_replacing_twice_restores_what_was_there_first() -> None:
    world = World(
        script(
            """
@request_route
def main(ctx):
    ctx.uac.replace_from('"One"', "sip:1@one.example")
    ctx.uac.replace_from('"Two"', "sip:2@two.example")
    return Relay("sip:192.0.2.2")
"""
        )
    )
    call = Call(world)
    assert call.sent.from_.head == b'"Two" <sip:2@two.example>'
    assert call.final.from_.head == ALICE
    assert call.from_callee(b"BYE").to.head == ALICE


def test_a_display_name_alone_is_restored_as_well() -> None:
    world = World(
        script(
            """
@request_route
def main(ctx):
    ctx.uac.replace_from("", "")
    return Relay("sip:192.0.2.2")
"""
        )
    )
    call = Call(world)
    assert call.sent.from_.head == b"<sip:alice@a.example>"
    assert call.final.from_.head == ALICE
    assert call.from_caller(b"BYE").from_.head == b"<sip:alice@a.example>"


@pytest.mark.parametrize(
    "arguments",
    [
        "'no uri'",
        "'sip:a@b>;tag=x'",
        "'\"Evil\\r\\nX: y\"', 'sip:a@b.example'",
        "'\"Open', 'sip:a@b.example'",
        "'A <sip:c@d>', 'sip:a@b.example'",
        "'sip:' + 'x' * 3000 + '@b.example'",
        "'$hdr(X-None)', 'mailto'",
    ],
)
def test_a_replacement_that_would_break_the_field_is_refused_and_the_script_hears_it(
    arguments: str,
) -> None:
    world = World(
        script(
            f"""
@request_route
def main(ctx):
    if not ctx.uac.replace_from({arguments}):
        return Reply(488, "not hidden")
    return Relay("sip:192.0.2.2")
"""
        )
    )
    world.receive(invite())
    assert world.last_to(CALLER).reason == b"not hidden"
    assert world.counters.script_errors == 0
    assert any("From not replaced" in line for line in world.log.lines)


def test_inside_a_dialog_the_identity_stays_what_its_first_request_made_it() -> None:
    world = World(
        HIDE
        + """
@dialog_route
def inside(ctx):
    ctx.request.set("X-Done", str(ctx.uac.replace_from("sip:z@z")))
"""
    )
    sent = Call(world).from_caller(b"INFO")
    assert (sent.get(b"x-done"), sent.from_.head) == (b"False", TRUNK)


# -- restore_mode ----------------------------------------------------------------------


def test_restore_mode_none_stores_and_restores_nothing() -> None:
    call = Call(World(HIDE, restore_mode="none"))
    assert b"vsf" not in call.sent.need(b"record-route")
    assert call.final.from_.head == TRUNK
    assert call.from_caller(b"BYE", from_=ALICE + b";tag=at1").from_.head == ALICE


def test_restore_mode_none_still_cancels_what_was_sent() -> None:
    world = World(HIDE, restore_mode="none")
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(sent, 180), CALLEE)
    world.receive(invite(method=b"CANCEL"))
    assert heads(last_of(world, CALLEE, b"CANCEL")) == heads(sent)


def test_restore_mode_manual_stores_and_restores_replies_but_no_requests() -> None:
    call = Call(World(HIDE, restore_mode="manual"))
    assert b";vsf=" in call.sent.need(b"record-route")
    assert heads(call.final) == (ALICE, BOB)
    assert heads(call.from_caller(b"INFO")) == (ALICE, BOB)


def test_restored_requests_are_counted() -> None:
    call = Call(World(HIDE))
    call.from_caller(b"ACK", 1)
    call.from_callee(b"BYE")
    assert (call.world.counters.restored, call.world.counters.restore_failures) == (2, 0)
    assert responses_to(call.world, CALLER, b"INVITE") == [100, 200]
