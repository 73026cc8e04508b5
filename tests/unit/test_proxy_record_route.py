"""Our place in the route set: Record-Route, loose and strict routing (RFC 3261 16.4, 16.6)."""

from __future__ import annotations

from tests.support.calls import RELAY, Call, last_of, relaying, responses_to, script
from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.proxy.settings import SipSettings
from uacproxy.sip.message import Message

TO_TCP = relaying("sip:192.0.2.2;transport=tcp")


def test_our_record_route_names_the_caller_by_its_tag() -> None:
    call = Call(World(RELAY))
    assert call.sent.fields(b"record-route") == [b"<sip:192.0.2.100:5060;lr;ftag=at1>"]


def test_a_caller_without_a_tag_leaves_no_empty_ftag() -> None:
    world = World(RELAY)
    world.receive(invite(from_=b"<sip:alice@a.example>"))
    assert last_of(world, CALLEE, b"INVITE").get(b"record-route") == b"<sip:192.0.2.100:5060;lr>"


def test_only_requests_that_may_begin_a_dialog_are_record_routed() -> None:
    world = World(RELAY)
    recorded = []
    for number, method in enumerate((b"INVITE", b"SUBSCRIBE", b"REFER", b"MESSAGE", b"OPTIONS")):
        world.receive(invite(method=method, branch=b"z9hG4bKm%d" % number, cseq=number + 1))
        recorded.append(last_of(world, CALLEE, method).has(b"record-route"))
    assert recorded == [True, True, True, False, False]


def test_requests_inside_a_dialog_are_not_record_routed_again() -> None:
    call = Call(World(RELAY))
    assert not call.from_caller(b"INVITE").has(b"record-route")


def test_an_operator_may_leave_the_path() -> None:
    world = World(RELAY, settings=SipSettings(record_route=False))
    world.receive(invite())
    assert not last_of(world, CALLEE, b"INVITE").has(b"record-route")


def test_another_proxys_record_route_stays_below_ours() -> None:
    world = World(RELAY)
    world.receive(invite(fields=b"Record-Route: <sip:edge.example;lr>\r\n"))
    sent = last_of(world, CALLEE, b"INVITE")
    assert sent.fields(b"record-route") == [
        b"<sip:192.0.2.100:5060;lr;ftag=at1>",
        b"<sip:edge.example;lr>",
    ]


def test_two_transports_make_two_entries_the_nearer_one_on_top() -> None:
    world = World(TO_TCP)
    world.receive(invite())
    assert last_of(world, CALLEE, b"INVITE").fields(b"record-route") == [
        b"<sip:192.0.2.100:5060;transport=tcp;r2=on;lr;ftag=at1>",
        b"<sip:192.0.2.100:5060;r2=on;lr;ftag=at1>",
    ]


def test_both_of_two_entries_are_taken_off_whoever_sends() -> None:
    call = Call(World(TO_TCP))
    assert not call.from_caller(b"BYE").has(b"route")
    assert not call.from_callee(b"BYE").has(b"route")


def test_two_entries_in_one_field_are_both_taken_off() -> None:
    call = Call(World(TO_TCP))
    both = b", ".join([*reversed(call.final.values(b"record-route")), b"<sip:192.0.2.3;lr>"])
    call.from_caller(b"BYE", routes=[both])
    assert last_of(call.world, OTHER, b"BYE").fields(b"route") == [b"<sip:192.0.2.3;lr>"]


def test_an_entry_of_two_is_not_paired_with_another_pass() -> None:
    call = Call(World(TO_TCP))
    single = b"<sip:192.0.2.100:5060;lr;ftag=at1>"
    call.from_caller(b"BYE", routes=[call.final.values(b"record-route")[0], single])
    back = call.world.sent_to(("192.0.2.100", 5060))[-1]
    assert (back.method, back.fields(b"route")) == (b"BYE", [single])


def test_of_a_spiral_only_one_pass_is_taken_off() -> None:
    call = Call(World(RELAY))
    own = call.final.need(b"record-route")
    call.from_caller(b"BYE", routes=[own, own])
    back = call.world.sent_to(("192.0.2.100", 5060))[-1]
    assert (back.method, back.fields(b"route")) == (b"BYE", [own])


def test_our_entry_beside_others_in_one_field_is_taken_off_alone() -> None:
    call = Call(World(RELAY))
    own = call.final.need(b"record-route")
    call.from_caller(b"BYE", routes=[own + b" ,  <sip:192.0.2.3;lr>, <sip:far.example;lr>"])
    sent = last_of(call.world, OTHER, b"BYE")
    assert sent.values(b"route") == [b"<sip:192.0.2.3;lr>", b"<sip:far.example;lr>"]
    assert sent.request_uri == b"sip:bob@192.0.2.2"


def test_a_next_hop_that_routes_strictly_gets_its_uri_as_request_uri() -> None:
    call = Call(World(RELAY))
    own = call.final.need(b"record-route")
    call.from_caller(b"BYE", routes=[own, b"<sip:strict@192.0.2.3>", b"<sip:far.example;lr>"])
    sent = last_of(call.world, OTHER, b"BYE")
    assert sent.request_uri == b"sip:strict@192.0.2.3"
    assert sent.values(b"route") == [b"<sip:far.example;lr>", b"<sip:bob@192.0.2.2>"]


def test_an_ack_follows_a_strict_router_too() -> None:
    call = Call(World(RELAY))
    own = call.final.need(b"record-route")
    call.from_caller(b"ACK", 1, routes=[own, b"<sip:192.0.2.3>"])
    sent = last_of(call.world, OTHER, b"ACK")
    assert (sent.request_uri, sent.values(b"route")) == (
        b"sip:192.0.2.3",
        [b"<sip:bob@192.0.2.2>"],
    )


def strictly(call: Call, entries: list[bytes], rest: list[bytes]) -> Message:
    """Let the caller send a BYE as a strict router does: the first entry as Request-URI."""
    octets = invite(
        method=b"BYE",
        uri=entries[0],
        branch=b"z9hG4bKstrict",
        cseq=2,
        fields=b"".join(b"Route: <" + one + b">\r\n" for one in [*entries[1:], *rest]),
        from_=call.final.from_.raw,
        to=call.final.to.raw,
    )
    call.world.receive(octets)
    return call.world.last_to(CALLEE)


def test_a_strict_router_before_us_is_undone() -> None:
    call = Call(World(RELAY))
    own = call.final.addresses(b"record-route")[0].uri
    sent = strictly(call, [own], [b"sip:bob@192.0.2.2"])
    assert (sent.method, sent.request_uri) == (b"BYE", b"sip:bob@192.0.2.2")
    assert not sent.has(b"route")


def test_a_strict_router_before_us_is_undone_with_both_entries_of_ours() -> None:
    call = Call(World(TO_TCP))
    own = [address.uri for address in reversed(call.final.addresses(b"record-route"))]
    sent = strictly(call, own, [b"sip:bob@192.0.2.2"])
    assert (sent.method, sent.request_uri) == (b"BYE", b"sip:bob@192.0.2.2")
    assert not sent.has(b"route")


def test_a_preloaded_route_to_us_is_taken_off_and_the_script_asked() -> None:
    world = World(script("@request_route\ndef main(ctx):\n    return Reply(480, 'asked')\n"))
    world.receive(invite(fields=b"Route: <sip:192.0.2.100;lr>\r\n"))
    assert world.last_to(CALLER).reason == b"asked"


def test_a_preloaded_route_beyond_us_is_followed() -> None:
    world = World(RELAY)
    world.receive(invite(fields=b"Route: <sip:192.0.2.100;lr>, <sip:192.0.2.3;lr>\r\n"))
    sent = last_of(world, OTHER, b"INVITE")
    assert sent.values(b"route") == [b"<sip:192.0.2.3;lr>"]
    assert sent.request_uri == b"sip:bob@192.0.2.2"


def test_what_a_preloaded_route_claims_of_a_dialog_is_not_believed() -> None:
    world = World(RELAY)
    route = b"Route: <sip:192.0.2.100;lr;ftag=at1;cs=7;did=x;vsf=AAAA>\r\n"
    world.receive(invite(fields=route))
    sent = last_of(world, CALLEE, b"INVITE")
    assert (sent.cseq.number, sent.from_.uri) == (1, b"sip:alice@a.example")


def test_a_route_without_brackets_is_answered_400() -> None:
    world = World(RELAY)
    world.receive(invite(fields=b"Route: sip:192.0.2.100;lr\r\n"))
    assert world.last_to(CALLER).status == 400


def test_a_request_in_a_dialog_without_our_route_is_the_scripts() -> None:
    world = World(
        script("@request_route\ndef main(ctx):\n    return Reply(480, str(ctx.in_dialog))\n")
    )
    world.receive(invite(method=b"BYE", to=b"<sip:bob@b.example>;tag=bt1"))
    assert world.last_to(CALLER).reason == b"True"


def test_an_ack_for_ourselves_goes_nowhere() -> None:
    world = World(RELAY)
    world.receive(invite(method=b"ACK", uri=b"sip:proxy.example", to=b"<sip:b@b>;tag=1"))
    assert world.sent == []
    assert world.counters.unroutable == 1


def test_an_ack_that_cannot_be_sent_on_is_dropped() -> None:
    call = Call(World(RELAY))
    before = len(call.world.sent)
    route = call.final.need(b"record-route")
    call.from_caller(b"ACK", 1, routes=[route, b"sip:no-brackets"])
    call.from_caller(b"ACK", 1, routes=[route, b"<sip:unknown.example;lr>"])
    assert len(call.world.sent) == before


def test_a_request_over_tcp_gets_its_content_length() -> None:
    world = World(TO_TCP)
    world.receive(invite().replace(b"Content-Length: 0\r\n", b""))
    assert last_of(world, CALLEE, b"INVITE").get(b"content-length") == b"0"


def test_a_response_to_a_caller_on_tcp_gets_its_content_length() -> None:
    world = World(RELAY)
    octets = invite().replace(b"Via: SIP/2.0/UDP", b"Via: SIP/2.0/TCP")
    world.receive(octets, CALLER, b"TCP")
    final = answer(last_of(world, CALLEE, b"INVITE"), 200).replace(b"Content-Length: 0\r\n", b"")
    world.receive(final + b"v=0\r\n", CALLEE)
    assert world.last_to(CALLER).get(b"content-length") == b"5"


def test_a_response_without_any_via_but_ours_is_not_sent_on() -> None:
    world = World(RELAY)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    theirs = sent.branch_copy()
    theirs.remove(b"via")
    theirs.push(b"via", sent.via.raw)
    world.receive(answer(theirs, 180), CALLEE)
    world.receive(answer(theirs, 200), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 502]
    assert all(one.has(b"via") for one in world.sent_to(CALLER))


def test_several_via_values_in_one_field_lose_only_ours() -> None:
    world = World(RELAY)
    world.receive(invite(fields=b"Via: SIP/2.0/UDP far.example;branch=z9hG4bKfar\r\n"))
    sent = last_of(world, CALLEE, b"INVITE")
    joined = sent.branch_copy()
    joined.remove(b"via")
    joined.push(b"via", b" , ".join(sent.fields(b"via")))
    world.receive(answer(joined, 180), CALLEE)
    assert world.last_to(CALLER).status == 180
    assert world.last_to(CALLER).values(b"via") == sent.fields(b"via")[1:]
