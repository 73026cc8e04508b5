"""What a stranger, or a callee that wants to know more, writes into Route and Record-Route."""

from __future__ import annotations

import re

import pytest

from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.proxy.route_mark import RouteMark
from uacproxy.sip.message import Message
from uacproxy.sip.names import RECORD_ROUTE

HIDING = """
from uacproxy.routing import Relay, Reply, request_route

@request_route
def main(ctx):
    if ctx.in_dialog:
        return Reply(481)
    ctx.uac.replace_from('"Trunk"', "sip:7@trunk.example")
    return Relay("sip:192.0.2.2")
"""


def marked() -> World:
    world = World(HIDING)
    world.wiring.route_mark = RouteMark([b"k" * 32])
    return world


ANONYMISING = """
from uacproxy.routing import Relay, request_route

@request_route
def main(ctx):
    ctx.uac.hide_caller("untrusted keep:organization")
    return Relay("sip:192.0.2.2")
"""
TELLING = b"P-Asserted-Identity: <sip:alice@a.example>\r\nUser-Agent: AlicePBX\r\n"
NOBODY = b'"Anonymous" <sip:anonymous@anonymous.invalid>'


def anonymous_call(callee_tag: bytes = b"bt1", from_: bytes = NOBODY) -> World:
    """Return a world in which a caller who stays anonymous was answered."""
    world = World(ANONYMISING)
    world.wiring.route_mark = RouteMark([b"k" * 32])
    world.receive(invite(from_=from_ + b";tag=at1", fields=TELLING + b"Privacy: id\r\n"))
    world.receive(answer(world.last_to(CALLEE), 200, callee_tag), CALLEE)
    return world


def asked_by_callee(world: World, route: bytes, callee_tag: bytes = b"bt1") -> Message:
    """Let the callee send a request by this Route, have it answered, and return what came back."""
    sent = world.last_to(CALLEE)
    asked = invite(
        method=b"UPDATE",
        uri=sent.addresses(b"contact")[0].uri,
        branch=b"z9hG4bKback",
        fields=b"Route: " + route + b"\r\n",
        from_=b"<sip:bob@b.example>;tag=" + callee_tag,
        to=NOBODY + b";tag=at1",
    )
    world.receive(asked.replace(b"192.0.2.1:5060;branch", b"192.0.2.2:5060;branch"), CALLEE)
    back = world.last_to(CALLER)
    if back.is_request:
        telling = answer(back, 200, fields=TELLING)
        world.receive(telling.replace(b"sip:bob@192.0.2.2", b"sip:alice@192.0.2.1"), CALLER)
    return world.last_to(CALLEE)


def names_alice(message: Message) -> bool:
    return b"alice" in message.encode().lower()


def later(method: bytes, final: Message, route: bytes) -> bytes:
    return invite(
        method=method,
        cseq=2,
        branch=b"z9hG4bKlater",
        fields=b"Route: " + route + b"\r\n",
        from_=final.from_.raw,
        to=final.to.raw,
    )


def test_a_made_up_to_tag_and_our_route_are_no_dialog() -> None:
    world = marked()
    world.receive(
        invite(to=b"<sip:x@y>;tag=made", fields=b"Route: <sip:192.0.2.100;lr;ftag=at1>\r\n")
    )
    assert world.sent_to(CALLEE) == []
    assert world.kinds_to(CALLER)[-1] == "481"
    assert world.counters.forged_routes == 1


def test_a_mark_of_another_call_is_no_mark() -> None:
    world = marked()
    world.receive(invite(call_id=b"one"))
    route = world.last_to(CALLEE).need(b"record-route")
    forged = invite(
        call_id=b"two",
        to=b"<sip:x@y>;tag=made",
        branch=b"z9hG4bK2",
        fields=b"Route: " + route + b"\r\n",
    )
    world.receive(forged)
    assert world.counters.forged_routes == 1


def test_the_parties_of_a_dialog_are_known_by_its_mark() -> None:
    world = marked()
    world.receive(invite())
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    final = world.last_to(CALLER)
    world.receive(later(b"BYE", final, final.need(b"record-route")))
    assert world.kinds_to(CALLEE) == ["INVITE", "BYE"]
    assert world.counters.forged_routes == 0


def test_an_ack_of_no_dialog_of_ours_goes_nowhere() -> None:
    world = marked()
    world.receive(invite(method=b"ACK", uri=b"sip:x@192.0.2.3", to=b"<sip:x@y>;tag=t"))
    assert world.sent_to(OTHER) == []
    assert world.counters.unroutable == 1


def test_a_callee_that_strips_our_record_route_does_not_learn_the_caller() -> None:
    world = marked()
    world.receive(invite())
    sent = world.last_to(CALLEE)
    stripped = sent.branch_copy()
    stripped.set(b"record-route", b"<sip:192.0.2.100:5060;lr>")
    world.receive(answer(stripped, 200), CALLEE)
    final = world.last_to(CALLER)
    assert final.fields(b"record-route") == sent.fields(b"record-route")
    world.receive(later(b"BYE", final, final.need(b"record-route")))
    assert world.last_to(CALLEE).from_.raw == b'"Trunk" <sip:7@trunk.example>;tag=at1'


def test_a_callee_that_drops_record_route_altogether_is_put_right_too() -> None:
    world = marked()
    world.receive(invite())
    sent = world.last_to(CALLEE)
    bare = sent.branch_copy()
    bare.remove(b"record-route")
    world.receive(answer(bare, 180), CALLEE)
    assert world.last_to(CALLER).fields(b"record-route") == sent.fields(b"record-route")


def test_proxies_beyond_us_keep_their_place_in_the_route_set() -> None:
    world = marked()
    world.receive(invite())
    sent = world.last_to(CALLEE)
    beyond = sent.branch_copy()
    beyond.set(b"record-route", b"<sip:far.example;lr>, <sip:192.0.2.100:5060;lr>")
    world.receive(answer(beyond, 200), CALLEE)
    assert world.last_to(CALLER).fields(b"record-route") == [
        b"<sip:far.example;lr>",
        *sent.fields(b"record-route"),
    ]


def test_requirements_we_do_not_have_are_refused_where_we_are_the_one_asked() -> None:
    world = marked()
    world.receive(invite(method=b"OPTIONS", uri=b"sip:proxy.example", fields=b"Require: foo\r\n"))
    final = world.last_to(CALLER)
    assert (final.status, final.get(b"unsupported")) == (420, b"foo")


def test_a_record_route_of_the_callees_that_cannot_be_read_costs_the_caller_nothing() -> None:
    world = World(HIDING)
    world.receive(invite())
    sent = world.last_to(CALLEE)
    ours = b"Record-Route: " + sent.need(RECORD_ROUTE)
    octets = answer(sent, 200)
    assert ours in octets
    world.receive(octets.replace(ours, b"Record-Route: <sip:x"), CALLEE)
    final = world.last_to(CALLER)
    assert (final.status, final.fields(RECORD_ROUTE)) == (200, sent.fields(RECORD_ROUTE))


# -- and who it is that must not be known ----------------------------------------------


def test_an_anonymous_caller_stays_so_in_its_answers() -> None:
    world = anonymous_call()
    told = asked_by_callee(world, world.last_to(CALLEE).need(b"record-route"))
    assert (told.status, names_alice(told)) == (200, False)


def test_a_restart_with_a_new_key_before_the_old_one_knows_who_is_hidden() -> None:
    world = anonymous_call()
    world.wiring.route_mark = RouteMark([b"n" * 32, b"k" * 32])
    told = asked_by_callee(world, world.last_to(CALLEE).need(b"record-route"))
    assert (told.status, names_alice(told)) == (200, False)


@pytest.mark.parametrize(
    ("was", "altered"),
    [
        (rb";hide=[^;>]*", b""),
        (rb"keep:organization", b"keep:contact+keep:organization+keep:p-asserted-identity"),
        (rb";hide=[^;>]*", b";hide=trusted"),
        (rb";ck=[^;>]*", b""),
    ],
)
def test_a_callee_that_alters_what_hides_the_caller_is_of_no_dialog(
    was: bytes, altered: bytes
) -> None:
    world = anonymous_call()
    route = re.sub(was, altered, world.last_to(CALLEE).need(b"record-route"))
    told = asked_by_callee(world, route)
    assert (told.status, names_alice(told)) == (481, False)
    assert world.counters.forged_routes == 1


@pytest.mark.parametrize("ftag", [b"", b";ftag=bt1", b";ftag=at2"])
def test_a_callee_that_passes_for_the_caller_learns_nothing(ftag: bytes) -> None:
    world = anonymous_call()
    route = world.last_to(CALLEE).need(b"record-route").replace(b";ftag=at1", ftag)
    told = asked_by_callee(world, route)
    assert (told.status, names_alice(told)) == (200, False)


def test_a_callee_that_took_the_callers_tag_learns_nothing_from_answers() -> None:
    world = anonymous_call(b"at1")
    told = asked_by_callee(world, world.last_to(CALLEE).need(b"record-route"), b"at1")
    assert (told.status, names_alice(told)) == (200, False)


@pytest.mark.parametrize("from_", [NOBODY, b"<sip:alice@a.example>"])
def test_a_callee_cannot_take_what_hides_the_caller_out_of_its_route(from_: bytes) -> None:
    world = World(ANONYMISING)
    world.wiring.route_mark = RouteMark([b"k" * 32])
    begun = invite(from_=from_ + b";tag=at1", fields=TELLING + b"Privacy: id\r\n")
    world.receive(begun)
    stripped = world.last_to(CALLEE).branch_copy()
    stripped.set(b"record-route", b"<sip:192.0.2.100:5060;lr>")
    world.receive(answer(stripped, 200), CALLEE)
    final = world.last_to(CALLER)
    update = later(b"UPDATE", final, final.need(b"record-route")).replace(
        b"Route: ", TELLING + b"Route: ", 1
    )
    world.receive(update)
    told = world.last_to(CALLEE)
    assert (told.method, names_alice(told)) == (b"UPDATE", False)


def test_a_callee_without_a_tag_is_in_a_dialog_all_the_same_and_learns_nothing() -> None:
    world = anonymous_call(b"")  # a peer of RFC 2543, or one that looks like it
    final = world.last_to(CALLER)
    assert (final.status, final.to.tag) == (200, b"")
    for method in (b"ACK", b"UPDATE"):
        sent = later(method, final, final.need(b"record-route"))
        sent = sent.replace(b"z9hG4bKlater", b"z9hG4bK" + method)
        world.receive(sent.replace(b"Route: ", TELLING + b"Route: ", 1))
        told = world.last_to(CALLEE)
        assert (told.method, names_alice(told), told.has(b"record-route")) == (method, False, False)


def test_a_route_of_ours_alone_makes_no_dialog_of_a_request_without_a_tag() -> None:
    world = marked()
    forged = b"Route: <sip:192.0.2.100;lr;ftag=at1;ck=0123456789abcdef>\r\n"
    world.receive(invite(fields=forged))
    assert world.last_to(CALLEE).from_.raw == b'"Trunk" <sip:7@trunk.example>;tag=at1'
    assert world.last_to(CALLEE).has(b"record-route")
