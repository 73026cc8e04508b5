"""Behaviours of Kamailio's uac module that can be checked on the wire: replace and restore.

They have the numbers of our list of them; 18 to 29, broken values, second calls and the
modes, are in ``test_uac_behaviours_modes``. A docstring says where we differ from the
module, and so does docs/kamailio-parity.md. Where a test runs with both codecs, no display
name is replaced: Kamailio's value holds none.
"""

from __future__ import annotations

import pytest

from tests.support.calls import ALICE, BOB, Call, last_of, responses_to, script
from tests.support.world import CALLEE, CALLER, World, answer, invite
from uacproxy.sip.message import Message
from uacproxy.sip.names import RECORD_ROUTE
from uacproxy.uac.rr_param import KamailioCodec, RestoreCodec, SealedCodec

ANONYMOUS = "sip:anonymous@anonymous.invalid"
CALLER_SHOWN = b'"Alice" <sip:anonymous@anonymous.invalid>'
CALLEE_SHOWN = b"<sip:b@z.cc>"
ALICE_VALUE = b"czNjcmV2dT5/X2svZQtjcXp2b14MBxZaGl0VEwkdFw--"
BOB_VALUE = b"czNjcmVba11iPwAMEl4THgA-"

KAMAILIO = KamailioCodec(b"vsf", b"vst", b"s3cret")
SEALED = SealedCodec(b"vsf", b"vst", [bytes(range(32))])
with_both_codecs = pytest.mark.parametrize("codec", [KAMAILIO, SEALED], ids=["kamailio", "sealed"])


def replacing(*calls: str) -> str:
    """Return a script that makes these calls of ``ctx.uac``, each to succeed, then relays."""
    lines = "".join(f"    assert ctx.uac.{call}\n" for call in calls)
    return script(f'@request_route\ndef main(ctx):\n{lines}    return Relay("sip:192.0.2.2")\n')


BOTH = replacing(f'replace_from("{ANONYMOUS}")', 'replace_to("sip:b@z.cc")')


def invited(world: World, octets: bytes = b"") -> Message:
    """Place a call; return the INVITE the callee got."""
    world.receive(octets or invite())
    return last_of(world, CALLEE, b"INVITE")


def line(message: Message, name: bytes) -> bytes:
    """Return a field's line as it left, name and all."""
    return next(one for one in message.encode().split(b"\r\n") if one.startswith(name))


def heads(message: Message) -> tuple[bytes, bytes]:
    return message.from_.head, message.to.head


def tags(message: Message) -> tuple[bytes, bytes]:
    return message.from_.tag, message.to.tag


# -- the first request -----------------------------------------------------------------


def test_behaviour_01_only_the_uri_differs_downstream() -> None:
    world = World(replacing(f'replace_from("{ANONYMOUS}")'))
    sent = invited(world, invite(from_=ALICE + b";tag=at1;x=1"))
    assert line(sent, b"From") == b"From: " + CALLER_SHOWN + b";tag=at1;x=1"
    assert line(sent, b"To") == b"To: " + BOB


def test_behaviour_02_a_compact_name_stays_compact() -> None:
    world = World(BOTH)
    octets = invite(from_=ALICE + b";tag=at1;x=1").replace(b"\r\nFrom:", b"\r\nf:")
    sent = invited(world, octets.replace(b"\r\nTo:", b"\r\nt:"))
    assert line(sent, b"f:") == b"f: " + CALLER_SHOWN + b";tag=at1;x=1"
    assert line(sent, b"t:") == b"t: " + CALLEE_SHOWN


@pytest.mark.parametrize("display", ['"Anon"', "Anon", '"An \\\\"on\\\\""'])
def test_behaviour_03_a_display_name_leaves_as_it_was_given(display: str) -> None:
    world = World(replacing(f"replace_from('{display}', '{ANONYMOUS}')"))
    wanted = display.replace("\\\\", "\\").encode()
    assert line(invited(world), b"From") == (
        b"From: " + wanted + b" <sip:anonymous@anonymous.invalid>;tag=at1"
    )


@pytest.mark.parametrize("white", [b" ", b"   ", b"", b"\t"])
def test_behaviour_04_an_empty_display_name_leaves_one_space_behind_the_colon(
    white: bytes,
) -> None:
    world = World(replacing(f'replace_from("", "{ANONYMOUS}")'))
    sent = invited(world, invite(from_=b'"Alice"' + white + b"<sip:alice@a.example>;tag=at1"))
    assert line(sent, b"From") == b"From: <sip:anonymous@anonymous.invalid>;tag=at1"


def test_behaviour_05_a_bare_from_gets_brackets_with_its_display_name() -> None:
    world = World(replacing(f"""replace_from('"An on"', "{ANONYMOUS}")"""))
    sent = invited(world, invite(from_=b"sip:alice@a.example;tag=at1"))
    assert line(sent, b"From") == b'From: "An on" <sip:anonymous@anonymous.invalid>;tag=at1'


@with_both_codecs
def test_behaviour_06_a_bare_to_gets_brackets_where_the_uri_has_parameters(
    codec: RestoreCodec,
) -> None:
    """The module forgets the brackets in later requests and in replies; we do not."""
    world = World(replacing('replace_to("sip:t@t;user=phone")'), codec=codec)
    call = Call(world, invited=invite(to=b"sip:bob@b.example"))
    assert line(call.sent, b"To") == b"To: <sip:t@t;user=phone>"
    assert call.final.to.raw == b"sip:bob@b.example;tag=bt1"
    assert line(call.from_caller(b"ACK", 1), b"To") == b"To: <sip:t@t;user=phone>;tag=bt1"
    bye = call.from_callee(b"BYE")
    assert (bye.from_.uri, bye.from_.tag) == (b"sip:bob@b.example", b"bt1")


# -- Record-Route ----------------------------------------------------------------------

ALICE_URI, BOB_URI = b"sip:alice@a.example", b"sip:bob@b.example"
VECTORS = [
    (ALICE_URI, ANONYMOUS, b"", b"AAAAAAACBg0cLQ5bFjgAAx8CHG1vdXMuaW52YWxpZA--"),
    (ALICE_URI, ANONYMOUS, b"s3cret", ALICE_VALUE),
    (BOB_URI, "sip:b@z.cc", b"", b"AAAAAAAvGG4BTWV4YW1wbGU-"),
    (BOB_URI, "sip:b@z.cc", b"s3cret", BOB_VALUE),
    (BOB_URI, "sip:t@t;user=phone", b"", b"AAAAABYvFnsXXQAKXB0YAwtl"),
    (ALICE_URI, "sip:x@y", b"", b"AAAAABksEGNlQGEuZXhhbXBsZQ--"),
]


@pytest.mark.parametrize(("original", "shown", "password", "value"), VECTORS)
def test_vector_of_a_record_route_value_there_and_back(
    original: bytes, shown: str, password: bytes, value: bytes
) -> None:
    field, name = ("from", b"vsf") if original == ALICE_URI else ("to", b"vst")
    codec = KamailioCodec(b"vsf", b"vst", password)
    call = Call(World(replacing(f'replace_{field}("{shown}")'), codec=codec))
    assert call.sent.need(RECORD_ROUTE).endswith(b";" + name + b"=" + value + b">")
    there, here = call.from_caller(b"ACK", 1), call.from_callee(b"BYE")
    assert (there.from_ if field == "from" else there.to).uri == shown.encode()
    assert (here.to if field == "from" else here.from_).uri == original


@pytest.mark.parametrize(
    ("password", "value"),
    [(b"", VECTORS[0][3]), (b"s3cret", ALICE_VALUE)],
)
def test_behaviour_07_record_route_has_lr_ftag_vsf(password: bytes, value: bytes) -> None:
    codec = KamailioCodec(b"vsf", b"vst", password)
    world = World(replacing(f'replace_from("{ANONYMOUS}")'), codec=codec)
    wanted = b"<sip:192.0.2.100:5060;lr;ftag=at1;vsf=" + value + b">"
    assert invited(world).values(RECORD_ROUTE) == [wanted]


def test_behaviour_08_record_route_has_vsf_and_vst() -> None:
    route = invited(World(BOTH, codec=KAMAILIO)).need(RECORD_ROUTE)
    assert route.endswith(b";lr;ftag=at1;vsf=" + ALICE_VALUE + b";vst=" + BOB_VALUE + b">")


# -- responses -------------------------------------------------------------------------


@with_both_codecs
@pytest.mark.parametrize("status", [180, 183, 200, 202, 404, 486])
def test_behaviour_09_responses_carry_the_callers_own_text(
    codec: RestoreCodec, status: int
) -> None:
    world = World(BOTH, codec=codec)
    from_ = b'"Alice"   <sip:alice@a.example>;tag=at1;x=1'
    world.receive(
        answer(invited(world, invite(from_=from_, to=b"sip:bob@b.example")), status), CALLEE
    )
    response = world.last_to(CALLER)
    assert response.status == status
    assert response.from_.raw == from_
    assert response.to.raw == b"sip:bob@b.example;tag=bt1"


@pytest.mark.parametrize("status", [100, 408, 487])
def test_behaviour_10_what_we_answer_ourselves_carries_the_originals(status: int) -> None:
    world = World(BOTH)
    sent = invited(world)
    if status == 487:
        world.receive(answer(sent, 180), CALLEE)
        world.receive(invite(method=b"CANCEL"))
    if status != 100:
        world.let(65.0)
    response = next(one for one in world.sent_to(CALLER) if one.status == status)
    assert heads(response) == (ALICE, BOB)
    assert response.from_.tag == b"at1"


# -- hop by hop ------------------------------------------------------------------------


def test_behaviour_11_the_ack_of_a_failure_repeats_the_invite_as_sent() -> None:
    world = World(BOTH)
    sent = invited(world)
    world.receive(answer(sent, 486), CALLEE)
    ack = last_of(world, CALLEE, b"ACK")
    assert ack.from_.raw == CALLER_SHOWN + b";tag=at1"
    assert ack.to.raw == CALLEE_SHOWN + b";tag=bt1"
    assert (ack.via.branch, ack.cseq.number) == (sent.via.branch, sent.cseq.number)
    assert ack.request_uri == sent.request_uri


def test_behaviour_12_a_cancel_repeats_the_invite_as_sent() -> None:
    world = World(BOTH)
    sent = invited(world)
    world.receive(answer(sent, 180), CALLEE)
    world.receive(invite(method=b"CANCEL", fields=b"Reason: Q.850;cause=16\r\n"))
    cancel = last_of(world, CALLEE, b"CANCEL")
    assert (cancel.from_.raw, cancel.to.raw) == (CALLER_SHOWN + b";tag=at1", CALLEE_SHOWN)
    assert (cancel.via.branch, cancel.cseq.number) == (sent.via.branch, sent.cseq.number)
    assert cancel.request_uri == sent.request_uri
    assert cancel.fields(b"reason") == [b"Q.850;cause=16"]
    accepted = next(one for one in world.sent_to(CALLER) if one.cseq.method == b"CANCEL")
    assert (accepted.status, *heads(accepted)) == (200, ALICE, BOB)
    assert accepted.to.tag not in (b"", b"bt1")


# -- later requests --------------------------------------------------------------------


@with_both_codecs
def test_behaviour_13_the_ack_of_a_200_is_replaced_again(codec: RestoreCodec) -> None:
    call = Call(World(BOTH, codec=codec))
    ack = call.from_caller(b"ACK", 1)
    assert (ack.method, *heads(ack)) == (b"ACK", CALLER_SHOWN, CALLEE_SHOWN)
    assert tags(ack) == (b"at1", b"bt1")


@with_both_codecs
def test_behaviour_14_a_re_invite_of_the_caller_is_replaced_and_its_answer_restored(
    codec: RestoreCodec,
) -> None:
    call = Call(World(BOTH, codec=codec))
    again = call.from_caller(b"INVITE")
    assert (again.cseq.number, *heads(again)) == (2, CALLER_SHOWN, CALLEE_SHOWN)
    call.world.receive(answer(again, 200), CALLEE)
    final = call.world.last_to(CALLER)
    assert (final.cseq.number, *heads(final)) == (2, ALICE, BOB)
    assert tags(final) == (b"at1", b"bt1")


@with_both_codecs
@pytest.mark.parametrize("method", [b"BYE", b"INVITE"])
def test_behaviour_15_the_callee_reaches_the_caller_under_the_callers_own_names(
    codec: RestoreCodec, method: bytes
) -> None:
    call = Call(World(BOTH, codec=codec))
    here = call.from_callee(method)
    assert (here.method, *heads(here)) == (method, BOB, ALICE)
    assert tags(here) == (b"bt1", b"at1")
    call.world.receive(answer(here, 200), CALLER)
    final = call.world.last_to(CALLEE)
    assert (final.cseq.method, *heads(final)) == (method, CALLEE_SHOWN, CALLER_SHOWN)
    assert tags(final) == (b"bt1", b"at1")


@with_both_codecs
def test_behaviour_16_the_ack_of_a_failed_re_invite_of_the_callee_has_the_callers_names(
    codec: RestoreCodec,
) -> None:
    call = Call(World(BOTH, codec=codec))
    here = call.from_callee(b"INVITE")
    call.world.receive(answer(here, 488), CALLER)
    ack = last_of(call.world, CALLER, b"ACK")
    assert (*heads(ack), *tags(ack)) == (BOB, ALICE, b"bt1", b"at1")
    assert ack.via.branch == here.via.branch
    assert heads(call.world.last_to(CALLEE)) == (CALLEE_SHOWN, CALLER_SHOWN)
    assert responses_to(call.world, CALLEE, b"INVITE") == [100, 488]


@with_both_codecs
def test_behaviour_17_a_re_invite_is_not_recorded_and_the_first_route_keeps_its_values(
    codec: RestoreCodec,
) -> None:
    """A script of the module that records later requests repeats ``vsf`` and ``vst`` there.

    We record only what opens a dialog: route sets do not change after that (12.2).
    """
    call = Call(World(BOTH, codec=codec))
    for _ in range(2):
        there = call.from_caller(b"INVITE")
        assert not there.has(RECORD_ROUTE)
        call.world.receive(answer(there, 200), CALLEE)
        here = call.from_callee(b"INVITE")
        assert not here.has(RECORD_ROUTE)
        call.world.receive(answer(here, 200), CALLER)
    assert b";ftag=at1;" in call.sent.need(RECORD_ROUTE)
    assert heads(call.from_caller(b"INFO", 9)) == (CALLER_SHOWN, CALLEE_SHOWN)
    assert heads(call.from_callee(b"BYE", 9)) == (BOB, ALICE)
