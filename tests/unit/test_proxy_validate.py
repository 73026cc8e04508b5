"""What is refused before any handler sees it (RFC 3261 16.3, 8.2.2.2; RFC 5393)."""

from __future__ import annotations

import pytest

from tests.support.calls import RELAY, last_of, relaying, script, with_peer
from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.proxy.settings import SipSettings
from uacproxy.sip.message import Message

REFUSE = script(
    """
@request_route
def main(ctx):
    return Reply(404)
"""
)


def returned(sent: Message) -> bytes:
    """Return the octets of a request that came back to us, one hop further."""
    back = sent.branch_copy()
    back.push(b"via", b"SIP/2.0/UDP 192.0.2.3:5060;branch=z9hG4bKback")
    return back.encode()


def final_after(octets: bytes) -> Message:
    world = World(RELAY)
    world.receive(octets)
    assert world.sent_to(CALLEE) == []
    return world.last_to(CALLER)


def test_a_request_uri_of_a_foreign_scheme_is_answered_416() -> None:
    assert final_after(invite(uri=b"im:bob@192.0.2.2")).status == 416


@pytest.mark.parametrize(
    "uri",
    [b"sip:", b"sip:bob@192.0.2.2?Subject=x", b"sip:bob@host:99999", b"<sip:bob@192.0.2.2>"],
)
def test_a_request_uri_that_cannot_be_routed_is_answered_400(uri: bytes) -> None:
    assert final_after(invite(uri=uri)).status == 400


def test_an_empty_proxy_require_requires_nothing() -> None:
    world = World(RELAY)
    world.receive(invite(fields=b"Proxy-Require:\r\n"))
    assert world.kinds_to(CALLEE) == ["INVITE"]


def test_required_extensions_are_answered_420_and_named_in_unsupported() -> None:
    final = final_after(invite(fields=b"Proxy-Require: foo, bar\r\nProxy-Require: baz\r\n"))
    assert final.status == 420
    assert final.values(b"unsupported") == [b"foo", b"bar", b"baz"]
    assert final.to.tag


def test_an_ack_is_never_refused_aloud_for_its_extensions() -> None:
    world = World(RELAY)
    world.receive(invite(method=b"ACK", fields=b"Proxy-Require: foo\r\n", to=b"<sip:b@b>;tag=1"))
    assert world.kinds_to(CALLER) == []


def test_a_request_at_the_end_of_its_hops_is_answered_483() -> None:
    assert final_after(invite(max_forwards=b"Max-Forwards: 0\r\n")).status == 483


def test_a_malformed_max_forwards_is_answered_400() -> None:
    assert final_after(invite(max_forwards=b"Max-Forwards: many\r\n")).status == 400


def test_options_and_register_to_ourselves_have_arrived_and_need_no_further_hop() -> None:
    world = World(REFUSE)
    for number, method in enumerate((b"OPTIONS", b"REGISTER")):
        world.receive(
            invite(
                method=method,
                uri=b"sip:proxy.example",
                branch=b"z9hG4bKhere%d" % number,
                max_forwards=b"Max-Forwards: 0\r\n",
            )
        )
    assert world.kinds_to(CALLER) == ["200", "200"]


def test_max_forwards_is_added_where_it_is_missing_and_lowered_where_it_is_there() -> None:
    world = World(RELAY, settings=SipSettings(max_forwards=42))
    world.receive(invite(max_forwards=b""))
    assert world.last_to(CALLEE).get(b"max-forwards") == b"42"
    world.receive(invite(branch=b"z9hG4bKtwo", max_forwards=b"Max-Forwards: 1\r\n", cseq=2))
    assert world.last_to(CALLEE).get(b"max-forwards") == b"0"


def test_an_invite_is_answered_100_at_once_while_it_is_on_its_way() -> None:
    world = World(RELAY)
    world.receive(invite(fields=b"Timestamp: 54\r\n"))
    assert world.kinds_to(CALLER) == ["100"]
    assert not world.last_to(CALLER).to.tag
    assert world.last_to(CALLER).get(b"timestamp") == b"54"


def test_a_handler_that_takes_its_time_does_not_hold_up_the_100() -> None:
    world = World(
        script(
            """
class Never:
    def __await__(self):
        yield

@request_route
async def main(ctx):
    await Never()
"""
        )
    )
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["100"]


def test_what_is_answered_at_once_needs_no_100() -> None:
    world = World(REFUSE)
    world.receive(invite())
    assert world.kinds_to(CALLER) == ["404"]


def test_other_methods_get_no_100_at_once() -> None:
    world = World(RELAY)
    world.receive(invite(method=b"MESSAGE"))
    assert world.kinds_to(CALLER) == []


def test_a_request_that_comes_back_unchanged_is_a_loop() -> None:
    world = World(RELAY)
    world.receive(invite())
    world.receive(with_peer(returned(last_of(world, CALLEE, b"INVITE")), OTHER), OTHER)
    assert world.kinds_to(OTHER) == ["482"]
    assert world.kinds_to(CALLEE) == ["INVITE"]


def test_a_request_that_comes_back_for_somebody_else_is_a_spiral_and_goes_on() -> None:
    world = World(RELAY)
    world.receive(invite())
    back = last_of(world, CALLEE, b"INVITE")
    back.set_request_uri(b"sip:carol@192.0.2.2")
    world.receive(returned(back), OTHER)
    assert world.kinds_to(OTHER) == ["100"]
    assert last_of(world, CALLEE, b"INVITE").request_uri == b"sip:carol@192.0.2.2"


def test_the_next_attempt_of_a_caller_is_no_loop_of_its_first() -> None:
    world = World(RELAY)
    world.receive(invite())
    back = last_of(world, CALLEE, b"INVITE")
    back.set(b"cseq", b"2 INVITE")
    world.receive(returned(back), OTHER)
    assert world.kinds_to(OTHER) == ["100"]


def test_a_loop_behind_our_own_rewriting_is_found_at_the_second_turn() -> None:
    world = World(relaying("sip:carol@192.0.2.2"))
    world.receive(invite())
    world.receive(returned(last_of(world, CALLEE, b"INVITE")), OTHER)
    assert world.kinds_to(OTHER) == ["100"]
    second = last_of(world, CALLEE, b"INVITE")
    second.push(b"via", b"SIP/2.0/UDP 192.0.2.3:5060;branch=z9hG4bKagain")
    world.receive(second.encode(), OTHER)
    assert world.kinds_to(OTHER) == ["100", "482"]


def test_another_proxys_branch_that_looks_like_ours_is_no_loop() -> None:
    world = World(RELAY)
    world.receive(invite())
    ours = last_of(world, CALLEE, b"INVITE").via.raw
    theirs = ours.replace(b"192.0.2.100", b"192.0.2.77")
    world.receive(
        invite(
            branch=b"z9hG4bKother", fields=b"Via: " + theirs + b"\r\n", call_id=b"call-1@a.example"
        ),
        OTHER,
    )
    assert world.kinds_to(CALLEE) == ["INVITE", "INVITE"]


def test_a_broken_via_of_somebody_else_does_not_stop_a_request() -> None:
    world = World(RELAY)
    world.receive(invite(fields=b"Via: SIP/2.0/UDP ;;;branch=z9hG4bKx.l1\r\n"))
    assert world.kinds_to(CALLEE) == ["INVITE"]


def test_loops_pass_where_the_operator_wants_no_detection() -> None:
    world = World(RELAY, settings=SipSettings(loop_detection=False))
    world.receive(invite())
    world.receive(returned(last_of(world, CALLEE, b"INVITE")), OTHER)
    assert world.kinds_to(CALLEE) == ["INVITE", "INVITE"]


def test_a_merged_request_is_answered_482_by_us_as_its_end() -> None:
    world = World(REFUSE)
    world.receive(invite(branch=b"z9hG4bKway1"))
    world.receive(invite(branch=b"z9hG4bKway2"))
    assert world.kinds_to(CALLER) == ["404", "482"]


def test_a_merged_request_that_goes_on_is_the_callees_to_refuse() -> None:
    world = World(RELAY)
    world.receive(invite(branch=b"z9hG4bKway1"))
    world.receive(invite(branch=b"z9hG4bKway2"))
    assert world.kinds_to(CALLEE) == ["INVITE", "INVITE"]


def test_a_maddr_that_names_us_is_taken_off() -> None:
    world = World(relaying())
    world.bindings[b"bob@proxy.example"] = []
    world.receive(invite(uri=b"sip:bob@192.0.2.2;maddr=192.0.2.100"))
    assert last_of(world, CALLEE, b"INVITE").request_uri == b"sip:bob@192.0.2.2"


def test_a_maddr_for_another_port_of_ours_stays() -> None:
    world = World(script("@request_route\ndef main(ctx):\n    return Reply(404, ctx['$ru'])\n"))
    world.receive(invite(uri=b"sip:bob@192.0.2.2:5070;maddr=192.0.2.100"))
    assert world.last_to(CALLER).reason == b"sip:bob@192.0.2.2:5070;maddr=192.0.2.100"


def test_refused_requests_are_counted_and_leave_nothing_behind() -> None:
    world = World(RELAY)
    world.receive(invite(max_forwards=b"Max-Forwards: 0\r\n"))
    world.let(64.0)
    assert world.counters.rejected == 1
    assert (world.table.servers, world.table.clients) == (0, 0)


def test_octets_that_are_no_sound_request_are_answered_400_with_the_field_at_fault() -> None:
    world = World(RELAY)
    world.receive(invite().replace(b"CSeq: 1 INVITE", b"CSeq: one INVITE"))
    assert world.last_to(CALLER).status == 400
    assert b"CSeq" in world.last_to(CALLER).reason


def test_a_response_that_nobody_waits_for_is_counted_and_dropped() -> None:
    world = World(RELAY)
    world.receive(invite())
    stray = answer(last_of(world, CALLEE, b"INVITE"), 200).replace(b"z9hG4bK00", b"z9hG4bKff", 1)
    world.receive(stray, CALLEE)
    assert world.kinds_to(CALLER) == ["100"]
    assert world.counters.stray_responses == 1


def test_an_operator_may_leave_the_service_unnamed() -> None:
    world = World(REFUSE, settings=SipSettings(server_name=""))
    world.receive(invite())
    assert not world.last_to(CALLER).has(b"server")
