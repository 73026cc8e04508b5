"""One branch: targets in turn, timers, UDP or TCP, retransmissions (RFC 3261 16.6 to 16.9)."""

from __future__ import annotations

import pytest

from tests.support.calls import HIDE, RELAY, Call, last_of, relaying, responses_to, script
from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.proxy.settings import SipSettings

TRUNK = relaying("sip:trunk.example")


def trunk(targets: int = 2, script: str = TRUNK, settings: SipSettings | None = None) -> World:
    """Return a world whose next hop has several addresses."""
    world = World(script, settings=settings)
    world.names[b"trunk.example"] = [CALLEE, OTHER][:targets]
    return world


def ways(world: World) -> list[tuple[str, bytes]]:
    """Return host and transport of every INVITE sent, in order."""
    return [
        (peer[0], transport)
        for _, peer, transport, octets in world.sent
        if octets.startswith(b"INVITE")
    ]


# -- no answer -------------------------------------------------------------------------


def test_nobody_answers_and_the_caller_hears_408() -> None:
    world = World(RELAY)
    world.receive(invite())
    world.let(31.9)
    assert responses_to(world, CALLER, b"INVITE") == [100]
    world.let(0.2)
    final = world.last_to(CALLER)
    assert final.status == 408
    assert final.to.tag
    assert final.get(b"server") == b"uacproxy"
    world.receive(invite(method=b"ACK", to=final.to.raw))
    world.let(40.0)
    assert "ACK" not in world.kinds_to(CALLEE)
    assert (world.table.servers, world.table.clients) == (0, 0)


def test_nobody_answers_another_method_and_nothing_is_said() -> None:
    world = World(RELAY)
    world.receive(invite(method=b"MESSAGE"))
    world.let(70.0)
    assert 408 not in responses_to(world, CALLER, b"MESSAGE")
    assert (world.table.servers, world.table.clients) == (0, 0)


def test_an_address_that_stays_silent_is_given_up_for_the_next() -> None:
    world = trunk()
    world.receive(invite())
    world.let(32.1)
    assert set(world.kinds_to(OTHER)) == {"INVITE"}
    assert last_of(world, OTHER, b"INVITE").get(b"max-forwards") == b"69"
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 200), OTHER)
    assert responses_to(world, CALLER, b"INVITE") == [100, 200]


def test_an_address_that_rang_is_not_given_up_for_the_next() -> None:
    world = trunk()
    world.receive(invite())
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 180), CALLEE)
    world.let(120.0)
    assert world.sent_to(OTHER) == []


def test_a_callee_that_rings_for_ever_is_cancelled_and_the_caller_hears_408() -> None:
    world = World(RELAY, settings=SipSettings(timer_c=60.0))
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(sent, 180), CALLEE)
    world.let(59.0)
    assert "CANCEL" not in world.kinds_to(CALLEE)
    world.let(2.0)
    assert "CANCEL" in world.kinds_to(CALLEE)
    world.receive(answer(sent, 487), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 408]


def test_a_caller_that_cancels_after_we_gave_up_hears_487() -> None:
    world = World(RELAY, settings=SipSettings(timer_c=60.0))
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(sent, 180), CALLEE)
    world.let(61.0)
    world.receive(invite(method=b"CANCEL"))
    world.receive(answer(sent, 487), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 487]


def test_every_provisional_response_but_100_gives_the_callee_more_time() -> None:
    world = World(RELAY, settings=SipSettings(timer_c=60.0))
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    for _ in range(3):
        world.receive(answer(sent, 183), CALLEE)
        world.let(50.0)
    assert "CANCEL" not in world.kinds_to(CALLEE)
    world.receive(answer(sent, 100, b""), CALLEE)
    world.let(20.0)
    assert "CANCEL" in world.kinds_to(CALLEE)


def test_a_callee_that_ignores_the_cancel_too_is_forgotten() -> None:
    world = World(RELAY, settings=SipSettings(timer_c=60.0))
    world.receive(invite())
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 180), CALLEE)
    world.let(60.0 + 33.0)
    assert responses_to(world, CALLER, b"INVITE")[:3] == [100, 180, 408]
    world.let(70.0)
    assert (world.table.servers, world.table.clients) == (0, 0)


def test_a_timer_c_below_timer_b_ends_a_silent_branch() -> None:
    world = World(RELAY, settings=SipSettings(timer_c=5.0))
    world.receive(invite())
    world.let(6.0)
    assert responses_to(world, CALLER, b"INVITE") == [100, 408]


@pytest.mark.parametrize("status", [200, 486])
def test_no_timer_is_left_when_a_call_was_answered(status: int) -> None:
    world = World(RELAY)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(sent, 180), CALLEE)
    world.receive(answer(sent, status), CALLEE)
    world.let(70.0)
    assert world.clock.getDelayedCalls() == []


def test_no_timer_is_left_when_another_method_was_answered() -> None:
    world = World(RELAY)
    world.receive(invite(method=b"MESSAGE"))
    world.receive(answer(last_of(world, CALLEE, b"MESSAGE"), 200), CALLEE)
    world.let(33.0)
    assert world.clock.getDelayedCalls() == []


def test_a_200_that_comes_after_we_gave_up_is_not_for_the_caller_any_more() -> None:
    world = World(RELAY, settings=SipSettings(timer_c=5.0))
    world.receive(invite())
    world.let(6.0)
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 200), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 408]
    assert world.counters.stray_responses == 1


# -- targets in turn -------------------------------------------------------------------


def test_an_address_that_cannot_be_reached_is_given_up_for_the_next() -> None:
    world = trunk()
    world.unreachable.add(CALLEE)
    world.receive(invite())
    world.let(0.0)
    assert world.kinds_to(OTHER) == ["INVITE"]
    assert world.kinds_to(CALLER) == ["100"]


def test_each_address_gets_a_branch_of_its_own() -> None:
    world = trunk()
    world.receive(invite())
    first = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(first, 503), CALLEE)
    second = last_of(world, OTHER, b"INVITE")
    assert second.via.branch != first.via.branch
    assert len(second.fields(b"via")) == len(first.fields(b"via"))
    assert second.fields(b"record-route") == first.fields(b"record-route")


def test_a_503_of_one_address_is_no_answer_of_the_name() -> None:
    world = trunk()
    world.receive(invite())
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 503), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100]
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 200), OTHER)
    assert responses_to(world, CALLER, b"INVITE") == [100, 200]


def test_the_last_address_failing_fails_the_branch() -> None:
    world = trunk()
    world.unreachable.update((CALLEE, OTHER))
    world.receive(invite())
    world.let(0.0)
    assert responses_to(world, CALLER, b"INVITE") == [100, 500]


def test_a_cancel_waits_for_the_second_address_to_be_heard_of() -> None:
    world = trunk()
    world.receive(invite())
    first = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(first, 180), CALLEE)
    world.receive(answer(first, 503), CALLEE)
    world.receive(invite(method=b"CANCEL"))
    assert world.kinds_to(OTHER) == ["INVITE"]
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 180), OTHER)
    assert world.kinds_to(OTHER) == ["INVITE", "CANCEL"]


def test_a_cancelled_call_is_not_taken_to_the_next_address() -> None:
    world = trunk()
    world.receive(invite())
    world.receive(invite(method=b"CANCEL"))
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 503), CALLEE)
    assert world.sent_to(OTHER) == []


def test_a_cancelled_call_whose_transport_fails_ends_with_487() -> None:
    world = World(RELAY)
    world.unreachable.add(CALLEE)
    world.receive(invite())
    world.receive(invite(method=b"CANCEL"))
    world.let(0.0)
    assert responses_to(world, CALLER, b"INVITE") == [100, 487]


def test_an_ack_that_does_not_leave_does_not_fail_the_next_address() -> None:
    world = trunk()
    world.receive(invite())
    refused = answer(last_of(world, CALLEE, b"INVITE"), 503)
    world.unreachable.add(CALLEE)
    world.receive(refused, CALLEE)
    world.receive(refused, CALLEE)
    world.let(0.0)
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 200), OTHER)
    assert responses_to(world, CALLER, b"INVITE") == [100, 200]


def test_an_ack_that_does_not_leave_does_not_send_a_refused_call_elsewhere() -> None:
    world = trunk()
    world.receive(invite())
    world.unreachable.add(CALLEE)
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 486), CALLEE)
    world.let(0.0)
    assert world.sent_to(OTHER) == []
    assert responses_to(world, CALLER, b"INVITE") == [100, 486]


def test_a_name_without_an_address_is_a_500() -> None:
    world = trunk(0)
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]
    assert world.counters.unroutable == 1


def test_where_we_have_no_listener_for_the_transport_nothing_can_be_sent() -> None:
    world = World(relaying("sip:192.0.2.2;transport=tcp"))
    world.has_tcp = False
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]


# -- UDP or TCP ------------------------------------------------------------------------


def large(size: int = 1300) -> bytes:
    return invite(body=b"x" * size)


def test_a_request_too_large_for_udp_goes_by_tcp() -> None:
    world = World(RELAY)
    world.receive(large())
    assert ways(world) == [("192.0.2.2", b"TCP")]
    sent = last_of(world, CALLEE, b"INVITE")
    assert sent.via.raw.startswith(b"SIP/2.0/TCP ")
    assert len(sent.fields(b"record-route")) == 2


def test_it_comes_back_to_udp_where_nobody_takes_tcp() -> None:
    world = World(RELAY)
    world.refusing.add((CALLEE, b"TCP"))
    world.receive(large())
    world.let(0.0)
    assert ways(world) == [("192.0.2.2", b"UDP")]
    assert last_of(world, CALLEE, b"INVITE").via.raw.startswith(b"SIP/2.0/UDP ")


def test_a_503_by_tcp_is_not_asked_for_once_more_by_udp() -> None:
    world = World(RELAY)
    world.receive(large())
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 503), CALLEE, b"TCP")
    assert ways(world) == [("192.0.2.2", b"TCP")]
    assert responses_to(world, CALLER, b"INVITE") == [100, 500]


def test_it_stays_on_udp_where_we_have_no_tcp() -> None:
    world = World(RELAY)
    world.has_tcp = False
    world.receive(large())
    assert ways(world) == [("192.0.2.2", b"UDP")]


def test_a_transport_that_was_chosen_stays() -> None:
    world = World(relaying("sip:192.0.2.2;transport=udp"))
    world.receive(large())
    assert ways(world) == [("192.0.2.2", b"UDP")]


def test_an_operator_may_forbid_the_switch() -> None:
    world = World(RELAY, settings=SipSettings(udp_limit=0))
    world.receive(large(5000))
    assert ways(world) == [("192.0.2.2", b"UDP")]


def test_what_counts_is_the_size_with_all_that_we_add() -> None:
    fitting = World(RELAY)
    fitting.receive(large(200))
    used = len(last_of(fitting, CALLEE, b"INVITE").encode())
    world = World(RELAY)
    world.receive(large(200 + 1300 - used))
    assert ways(world) == [("192.0.2.2", b"UDP")]
    assert len(last_of(world, CALLEE, b"INVITE").encode()) == 1300
    over = World(RELAY)
    over.receive(large(200 + 1300 - used + 1))
    assert ways(over) == [("192.0.2.2", b"TCP")]


def test_sealed_identities_count_too() -> None:
    hide = relaying(
        "sip:192.0.2.2",
        before="ctx.uac.replace_from('\"' + 'n' * 300 + '\"', 'sip:' + 'u' * 200 + '@x.example')",
    )
    world = World(hide)
    world.receive(invite())
    by_udp = [len(octets) for _, _, transport, octets in world.sent if transport == b"UDP"]
    assert max(by_udp) <= 1300
    assert ways(world) == [("192.0.2.2", b"TCP")]


# -- retransmissions -------------------------------------------------------------------


def test_a_retransmitted_invite_is_answered_without_a_second_branch() -> None:
    world = World(RELAY)
    world.receive(invite())
    world.receive(invite())
    assert world.kinds_to(CALLEE) == ["INVITE"]
    assert world.kinds_to(CALLER) == ["100", "100"]


def test_a_200_is_passed_on_each_time_it_comes_restored() -> None:
    call = Call(World(HIDE))
    call.world.let(20.0)
    call.world.receive(answer(call.sent, 200), CALLEE)
    finals = [one for one in call.world.sent_to(CALLER) if one.status == 200]
    assert len(finals) == 2
    assert finals[0].encode() == finals[1].encode()
    assert finals[1].from_.raw == b'"Alice" <sip:alice@a.example>;tag=at1'


def test_a_retransmitted_invite_after_the_200_is_absorbed() -> None:
    call = Call(World(RELAY))
    call.world.receive(invite())
    assert responses_to(call.world, CALLER, b"INVITE") == [100, 200]
    assert call.world.kinds_to(CALLEE) == ["INVITE"]


def test_an_ack_is_passed_on_each_time_it_comes() -> None:
    call = Call(World(HIDE))
    first = call.from_caller(b"ACK", 1, branch=b"z9hG4bKack")
    second = call.from_caller(b"ACK", 1, branch=b"z9hG4bKack")
    assert call.world.kinds_to(CALLEE) == ["INVITE", "ACK", "ACK"]
    assert first.from_.raw == second.from_.raw == call.sent.from_.raw


def test_the_ack_of_a_failure_goes_hop_by_hop_as_the_invite_was_sent() -> None:
    world = World(HIDE)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(sent, 486, b"busy"), CALLEE)
    ack = last_of(world, CALLEE, b"ACK")
    assert ack.from_.raw == sent.from_.raw
    assert ack.to.raw == sent.to.raw + b";tag=busy"
    assert ack.via.raw == sent.via.raw
    final = world.last_to(CALLER)
    world.receive(invite(method=b"ACK", to=final.to.raw))
    assert world.kinds_to(CALLEE) == ["INVITE", "ACK"]


def test_a_retransmitted_failure_is_acknowledged_again_and_not_passed_up() -> None:
    world = World(RELAY)
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(sent, 486), CALLEE)
    world.receive(answer(sent, 486), CALLEE)
    assert world.kinds_to(CALLEE) == ["INVITE", "ACK", "ACK"]
    assert responses_to(world, CALLER, b"INVITE") == [100, 486]


# -- what cannot be sent ---------------------------------------------------------------


@pytest.mark.parametrize("target", ["tel:+4930123", "sip:[::1", "no uri", "http://x.example"])
def test_a_target_that_makes_no_sense_is_the_scripts_mistake(target: str) -> None:
    world = World(relaying(target))
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]
    assert world.counters.script_errors == 1
    assert any(target in line for line in world.log.lines)


def test_a_tel_uri_without_a_next_hop_is_answered_416() -> None:
    world = World(RELAY)
    world.receive(invite(uri=b"tel:+4930123"))
    assert world.kinds_to(CALLER) == ["416"]


def test_a_tel_uri_goes_to_the_next_hop_of_the_script_as_it_is() -> None:
    world = World(relaying("sip:192.0.2.2"))
    world.receive(invite(uri=b"tel:+4930123"))
    assert last_of(world, CALLEE, b"INVITE").request_uri == b"tel:+4930123"


@pytest.mark.parametrize("name", ["From", "To", "CSeq", "Call-ID"])
def test_a_script_that_takes_away_what_every_request_needs_is_answered_500(name: str) -> None:
    world = World(
        script(
            f"""
@request_route
def main(ctx):
    ctx.request.remove({name!r})
    ctx.uac.replace_from("sip:x@y.example")
    return Relay("sip:192.0.2.2")
"""
        )
    )
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["500"]
    assert world.sent_to(CALLEE) == []
