"""A call through ``Bridge``, arrow by arrow, on a stepping clock between two peers."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from tests.support.bridge import ANSWER, SDP, BridgedCall, octets_at
from tests.support.world import CALLEE, CALLER, OTHER
from uacproxy.bridge.attempt import Attempt
from uacproxy.bridge.call import Call
from uacproxy.bridge.leg import Leg
from uacproxy.bridge.policy import copy_passed
from uacproxy.proxy.bridging import Bridging
from uacproxy.proxy.response_context import ResponseContext
from uacproxy.sip.names import CALL_ID, CONTACT, FROM, REASON, RECORD_ROUTE, TO, VIA
from uacproxy.sip.parse import parse_message
from uacproxy.uac.invite import SentInvite

LIFETIME = 32.0  # s: 64*T1


def test_a_plain_call() -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(180)
    call.callee_says(200, body=ANSWER)
    call.caller_acks()
    call.caller_sends(b"BYE")
    call.callee_says(200)
    assert call.world.kinds_to(CALLER) == ["100", "180", "200", "200"]
    assert call.world.kinds_to(CALLEE) == ["INVITE", "ACK", "BYE"]
    call.is_gone()


def test_every_field_that_is_passed_is_copied_as_it_came() -> None:
    lines = (b"User-to-User : 1", b"X-Own: 2", b"REASON: 3", b"User-To-User: 4")
    octets = b"\r\n".join((b"BYE sip:b SIP/2.0", *lines, b"Content-Length: 0\r\n\r\n"))
    target = parse_message(b"BYE sip:c SIP/2.0\r\nX-Made: 0\r\nContent-Length: 0\r\n\r\n")
    made = target.lines
    copy_passed(parse_message(octets), target, frozenset((REASON, b"user-to-user")))
    assert target.lines == [*made, lines[0], lines[2], lines[3]]


def test_each_side_has_dialog_ids_of_its_own() -> None:
    call = BridgedCall()
    call.invite(fields=b"User-Agent: Secret Phone\r\nRecord-Route: <sip:192.0.2.1;lr>\r\n")
    sent = call.callee_got(b"INVITE")
    assert len(sent.fields(VIA)) == 1
    assert sent.cseq.number == 1
    assert not sent.has(RECORD_ROUTE)
    assert sent.need(FROM).startswith(b'"Alice" <sip:alice@a.example>;tag=')
    assert sent.need(CONTACT) == b"<sip:%b@192.0.2.100:5060>" % sent.from_.tag
    assert sent.request_uri == b"sip:bob@192.0.2.2"
    call.callee_says(200, fields=b"Server: Secret Gateway\r\n", body=ANSWER)
    answered = call.caller_got(200)
    assert answered.need(RECORD_ROUTE) == b"<sip:192.0.2.1;lr>"
    assert answered.need(CONTACT) == b"<sip:%b@192.0.2.100:5060>" % answered.to.tag
    assert answered.body == ANSWER
    call.caller_acks()
    call.caller_sends(b"BYE")
    call.callee_says(200)
    secrets = [b"call-1@a.example", b"at1", b"Secret Phone", b"sip:alice@192.0.2.1", b"z9hG4bKinv"]
    for secret in [*secrets, answered.to.tag]:
        assert secret not in octets_at(call.world, CALLEE)
    for secret in [b"bt1", b"Secret Gateway", b"sip:bob@192.0.2.2", sent.call_id, sent.from_.tag]:
        assert secret not in octets_at(call.world, CALLER)


@pytest.mark.parametrize(
    ("status", "heard"),
    [(486, 486), (404, 404), (603, 603), (503, 500), (407, 403), (401, 403), (302, 480)],
)
def test_a_refusal_reaches_the_caller_without_what_is_the_callees_own(
    status: int, heard: int
) -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(status, fields=b'Warning: 399 pbx.secret "x"\r\nRetry-After: 7\r\n')
    got = call.world.last_to(CALLER)
    assert got.status == heard
    assert b"secret" not in got.encode()
    assert got.need(b"retry-after") == b"7"
    assert not got.has(CONTACT)
    assert call.world.kinds_to(CALLEE) == ["INVITE", "ACK"]
    call.is_gone()


def test_silence_is_a_408() -> None:
    call = BridgedCall()
    call.invite()
    call.world.let(LIFETIME + 1)
    assert call.world.last_to(CALLER).status == 408
    call.is_gone()


def test_targets_are_tried_one_after_the_other() -> None:
    call = BridgedCall("'sip:bob@192.0.2.2', 'sip:bob@192.0.2.3'")
    call.invite()
    call.callee_says(486)
    first = call.callee_got(b"INVITE")
    second = call.callee_got(b"INVITE", OTHER)
    assert first.call_id != second.call_id
    assert first.from_.tag != second.from_.tag
    call.callee_says(200, peer=OTHER, body=ANSWER)
    assert call.world.last_to(CALLER).status == 200
    call.caller_acks()
    call.caller_sends(b"BYE")
    call.callee_says(200, peer=OTHER)
    call.is_gone()


def test_targets_in_parallel_the_first_wins_and_the_other_is_cancelled() -> None:
    call = BridgedCall("'sip:bob@192.0.2.2', 'sip:bob@192.0.2.3', parallel=True")
    call.invite()
    call.callee_says(180)
    call.callee_says(180, peer=OTHER, tag=b"ot1")
    rang = [one.to.tag for one in call.world.sent_to(CALLER) if one.status == 180]
    assert len(set(rang)) == 2  # an early dialog for each
    call.callee_says(200, peer=OTHER, tag=b"ot1", body=ANSWER)
    assert call.caller_got(200).to.tag == rang[1]
    cancel = call.world.last_to(CALLEE)
    assert cancel.method == b"CANCEL"
    assert b"elsewhere" in cancel.need(REASON)
    call.callee_says(487, method=b"INVITE")
    call.caller_acks()
    call.caller_sends(b"BYE")
    call.callee_says(200, peer=OTHER)
    call.is_gone()


def test_the_best_of_several_refusals_is_told_when_all_have_refused() -> None:
    call = BridgedCall("'sip:bob@192.0.2.2', 'sip:bob@192.0.2.3', parallel=True")
    call.invite()
    call.callee_says(500)
    assert call.world.kinds_to(CALLER) == ["100"]
    call.callee_says(404, peer=OTHER)
    assert call.world.kinds_to(CALLER) == ["100", "404"]
    call.is_gone()


def test_forks_behind_one_target_are_early_dialogs_of_their_own() -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(183, tag=b"one", body=ANSWER)
    call.callee_says(180, tag=b"two")
    call.callee_says(180, tag=b"one")
    rang = [one.to.tag for one in call.world.sent_to(CALLER) if one.status in (180, 183)]
    assert rang[0] == rang[2] != rang[1]
    call.callee_says(200, tag=b"two", body=ANSWER)
    assert call.caller_got(200).to.tag == rang[1]
    call.caller_acks()
    call.caller_sends(b"BYE")
    call.callee_says(200)
    call.is_gone()


def test_who_rings_after_another_target_has_failed_has_a_dialog_of_its_own() -> None:
    call = BridgedCall("'sip:bob@192.0.2.2', 'sip:bob@192.0.2.3'")
    call.invite()
    call.callee_says(180)
    call.callee_says(486)
    call.callee_says(180, peer=OTHER)
    rang = [one.to.tag for one in call.world.sent_to(CALLER) if one.status == 180]
    assert len(set(rang)) == 2


def test_a_callee_that_rings_under_ever_new_tags_is_heard_when_it_accepts() -> None:
    call = BridgedCall()
    call.invite()
    for number in range(40):
        call.callee_says(180, tag=b"t%d" % number)
    assert call.world.kinds_to(CALLER).count("180") == 32
    call.callee_says(200, tag=b"t39", body=ANSWER)
    assert call.world.last_to(CALLER).status == 200
    call.caller_acks()
    call.caller_sends(b"BYE")
    call.callee_says(200)
    call.is_gone()


def test_a_second_2xx_is_acknowledged_and_ended() -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(200, tag=b"one", body=ANSWER)
    call.callee_says(200, tag=b"two", body=ANSWER)
    acks = [one.to.tag for one in call.world.sent_to(CALLEE) if one.method == b"ACK"]
    assert acks == [b"one", b"two"]
    assert call.callee_got(b"BYE").to.tag == b"two"
    assert call.world.kinds_to(CALLER) == ["100", "200"]
    call.callee_says(200)
    call.caller_acks()
    call.caller_sends(b"BYE")
    call.callee_says(200)
    call.is_gone()


# -- CANCEL ----------------------------------------------------------------------------


def test_a_cancel_is_answered_at_once_and_passed_on() -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(180)
    call.caller_cancels()
    assert call.world.kinds_to(CALLER) == ["100", "180", "200", "487"]
    assert call.world.last_to(CALLEE).method == b"CANCEL"
    call.callee_says(200, method=b"CANCEL")
    call.callee_says(487, method=b"INVITE")
    assert call.world.kinds_to(CALLEE) == ["INVITE", "CANCEL", "ACK"]
    call.is_gone()


def test_a_200_that_crosses_the_cancel_is_ended() -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(180)
    call.caller_cancels()
    call.callee_says(200, body=ANSWER, method=b"INVITE")
    assert call.world.kinds_to(CALLEE) == ["INVITE", "CANCEL", "ACK", "BYE"]
    call.callee_says(200)
    call.is_gone()


def test_a_cancel_after_the_200_changes_nothing() -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(200, body=ANSWER)
    call.caller_cancels()
    call.caller_acks()
    assert call.world.kinds_to(CALLEE) == ["INVITE", "ACK"]
    call.caller_sends(b"BYE")
    call.callee_says(200)
    call.is_gone()


def test_a_cancel_before_anything_was_heard_waits_for_the_callee() -> None:
    call = BridgedCall()
    call.invite()
    call.caller_cancels()
    assert call.world.kinds_to(CALLEE) == ["INVITE"]
    call.callee_says(180)
    assert call.world.kinds_to(CALLEE) == ["INVITE", "CANCEL"]
    call.callee_says(487, method=b"INVITE")
    call.is_gone()


def test_a_bye_in_an_early_dialog_calls_off() -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(180)
    call.caller_sends(b"BYE", status=180)
    assert call.world.kinds_to(CALLER)[2:] == ["200", "487"]
    assert call.world.last_to(CALLEE).method == b"CANCEL"
    call.callee_says(487, method=b"INVITE")
    call.is_gone()


# -- ACK -------------------------------------------------------------------------------


def test_our_200_is_repeated_until_its_ack_and_the_call_ended_without_one() -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(200, body=ANSWER)
    call.world.let(LIFETIME + 0.1)
    kinds = call.world.kinds_to(CALLER)
    assert kinds.count("200") == 11  # 0, .5, 1.5, 3.5, 7.5, then every 4 s
    assert kinds[-1] == "BYE"
    assert call.world.kinds_to(CALLEE) == ["INVITE", "ACK", "BYE"]
    assert call.world.bridge_counters.unacknowledged == 1
    call.callee_says(200)
    call.caller_says(200)
    call.is_gone()


def test_a_lost_ack_of_ours_is_sent_again() -> None:
    call = BridgedCall().answered()
    call.callee_says(200, body=ANSWER, method=b"INVITE")
    assert call.world.kinds_to(CALLEE) == ["INVITE", "ACK", "ACK"]
    assert call.world.kinds_to(CALLER).count("200") == 1


def test_a_callee_that_hangs_up_before_the_ack_is_followed_when_it_has_come() -> None:
    """RFC 3261 15: no BYE before the ACK of our 2xx."""
    call = BridgedCall()
    call.invite()
    call.callee_says(200, body=ANSWER)
    call.callee_sends(b"BYE")
    assert call.world.kinds_to(CALLER) == ["100", "200"]
    call.caller_acks()
    assert call.world.kinds_to(CALLER)[-1] == "BYE"
    call.caller_says(200)
    call.is_gone()


def test_nothing_is_passed_to_a_callee_that_has_hung_up() -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(200, body=ANSWER)
    call.callee_sends(b"BYE")
    call.caller_sends(b"INFO")
    assert call.world.last_to(CALLER).status == 481
    call.caller_sends(b"BYE")
    assert call.world.last_to(CALLER).status == 200
    call.is_gone()


def test_a_cancel_that_matches_nothing_is_a_481() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"CANCEL", cseq=1)
    assert call.world.last_to(CALLER).status == 481
    assert len(call.world.calls) == 1


def test_a_delayed_offer_is_answered_in_the_ack() -> None:
    call = BridgedCall()
    call.invite(body=b"")
    call.callee_says(200, body=SDP)
    assert call.world.kinds_to(CALLEE) == ["INVITE"]
    call.caller_acks(body=ANSWER)
    ack = call.callee_got(b"ACK")
    assert ack.body == ANSWER
    assert ack.need(b"content-type") == b"application/sdp"
    call.caller_sends(b"BYE")
    call.callee_says(200)
    call.is_gone()


def test_a_delayed_offer_nobody_answers_is_acknowledged_before_the_bye() -> None:
    call = BridgedCall()
    call.invite(body=b"")
    call.callee_says(200, body=SDP)
    call.world.let(LIFETIME + 0.1)
    assert call.world.kinds_to(CALLEE)[:3] == ["INVITE", "ACK", "BYE"]
    call.callee_says(200)
    call.caller_says(200)
    call.is_gone()


# -- BYE -------------------------------------------------------------------------------


def test_the_callee_hangs_up() -> None:
    call = BridgedCall().answered()
    call.callee_sends(b"BYE", fields=b"Reason: Q.850;cause=16\r\n")
    assert call.world.kinds_to(CALLEE)[-1] == "200"
    bye = call.world.last_to(CALLER)
    assert bye.method == b"BYE"
    assert bye.request_uri == b"sip:alice@192.0.2.1"
    assert bye.call_id == b"call-1@a.example"
    assert (bye.from_.tag, bye.to.tag) == (call.caller_got(200).to.tag, b"at1")
    assert bye.need(TO) == b'"Alice" <sip:alice@a.example>;tag=at1'
    assert bye.need(REASON) == b"Q.850;cause=16"
    call.caller_says(200)
    call.is_gone()


def test_byes_that_cross_are_both_answered() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"BYE")
    call.callee_sends(b"BYE")
    assert call.world.kinds_to(CALLEE)[-2:] == ["BYE", "200"]
    call.callee_says(200)
    call.is_gone()


def test_a_bye_nobody_answers_leaves_nothing_behind() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"BYE")
    call.is_gone()


def test_after_the_end_the_dialog_is_unknown() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"BYE")
    call.callee_says(200)
    call.caller_sends(b"INFO")
    assert call.world.last_to(CALLER).status == 481


def test_the_longest_call_time_ends_both_sides() -> None:
    call = BridgedCall("'sip:bob@192.0.2.2', max_call_time=60").answered()
    call.world.let(59.0)
    assert len(call.world.calls) == 1
    call.world.let(1.1)
    assert call.world.last_to(CALLER).method == b"BYE"
    assert call.world.last_to(CALLEE).method == b"BYE"
    call.caller_says(200)
    call.callee_says(200)
    call.is_gone()


def test_a_target_that_rings_too_long_is_cancelled() -> None:
    call = BridgedCall("'sip:bob@192.0.2.2', ring_timeout=20")
    call.invite()
    call.callee_says(180)
    call.world.let(20.1)
    assert call.world.last_to(CALLEE).method == b"CANCEL"
    call.callee_says(487, method=b"INVITE")
    assert call.world.last_to(CALLER).status == 408
    call.is_gone()


# -- what a UAS refuses ----------------------------------------------------------------


def test_an_unknown_extension_is_a_420() -> None:
    call = BridgedCall()
    call.invite(fields=b"Require: 100rel, teleport\r\n")
    got = call.world.last_to(CALLER)
    assert got.status == 420
    assert got.need(b"unsupported") == b"teleport"
    assert call.world.sent_to(CALLEE) == []
    call.is_gone()


def test_the_same_invite_by_another_way_is_a_482() -> None:
    call = BridgedCall()
    call.invite()
    call.invite(branch=b"z9hG4bKother")
    assert call.world.last_to(CALLER).status == 482
    assert call.world.kinds_to(CALLEE) == ["INVITE"]


def test_the_limit_of_calls_is_a_503() -> None:
    call = BridgedCall(max_calls=0)
    call.invite()
    assert call.world.last_to(CALLER).status == 503
    assert call.world.bridge_counters.refused == 1


def test_a_request_that_belongs_to_another_dialog_is_a_481() -> None:
    call = BridgedCall().answered()
    heard = call.caller_got(200)
    call.caller_sends(b"INFO", fields=b"X: 1\r\n")
    assert call.world.last_to(CALLEE).method == b"INFO"
    from tests.support.world import invite

    forged = invite(
        method=b"BYE",
        uri=heard.addresses(CONTACT)[0].uri,
        to=heard.to.raw,
        from_=b"<sip:mallory@a.example>;tag=zz",
        branch=b"z9hG4bKforged",
        cseq=9,
    )
    call.world.receive(forged, OTHER)
    assert call.world.last_to(OTHER).status == 481
    assert len(call.world.calls) == 1


def test_a_number_out_of_order_is_a_500() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"INFO", cseq=1)
    assert call.world.last_to(CALLER).status == 500


def test_only_an_invite_can_be_bridged() -> None:
    call = BridgedCall()
    call.invite(method=b"MESSAGE")
    assert call.world.last_to(CALLER).status == 500
    assert call.world.counters.script_errors == 1


def test_a_loop_through_us_ends() -> None:
    call = BridgedCall()
    call.invite(max_forwards=b"Max-Forwards: 7\r\n")
    assert call.callee_got(b"INVITE").max_forwards == 6


def test_from_and_to_are_chosen_freely() -> None:
    call = BridgedCall(
        "'sip:bob@192.0.2.2', from_='\"Trunk\" <sip:7@trunk.example>', to='sip:$rU@b'"
    )
    call.invite()
    sent = call.callee_got(b"INVITE")
    assert sent.from_.head == b'"Trunk" <sip:7@trunk.example>'
    assert sent.need(TO) == b"<sip:bob@b>"
    call.callee_says(200, body=ANSWER)
    got = call.caller_got(200)
    assert got.need(FROM) == b'"Alice" <sip:alice@a.example>;tag=at1'
    assert got.to.head == b"<sip:bob@b.example>"
    assert got.need(CALL_ID) == b"call-1@a.example"


def test_an_address_that_is_none_is_the_scripts_mistake() -> None:
    call = BridgedCall("'sip:bob@192.0.2.2', from_='nobody'")
    call.invite()
    assert call.world.last_to(CALLER).status == 500
    assert len(call.world.calls) == 0


def answered_and_ended(call: BridgedCall) -> None:
    call.callee_says(180)
    call.callee_says(200, body=ANSWER)
    call.caller_acks()
    call.caller_sends(b"BYE")
    call.callee_says(200)


def cancelled(call: BridgedCall) -> None:
    call.callee_says(180)
    call.caller_cancels()
    call.callee_says(200, method=b"CANCEL")
    call.callee_says(487, method=b"INVITE")


def refused(call: BridgedCall) -> None:
    call.callee_says(183, b"bt7", body=ANSWER)
    call.callee_says(486)


@pytest.mark.parametrize("what_comes", [answered_and_ended, cancelled, refused])
def test_a_call_that_is_over_is_freed_without_the_collector(
    what_comes: Callable[[BridgedCall], None],
) -> None:
    call = BridgedCall()
    gc.collect()
    gc.disable()
    try:
        call.invite()
        what_comes(call)
        call.world.let(200.0)
        kinds = (Call, Leg, Attempt, SentInvite, Bridging, ResponseContext)
        assert [one for one in gc.get_objects() if isinstance(one, kinds)] == []
    finally:
        gc.enable()


@pytest.mark.parametrize("name", [b"Allow", b"Supported"])
def test_a_list_that_cannot_be_read_says_nothing_and_stops_no_call(name: bytes) -> None:
    call = BridgedCall()
    broken = name + b': "\r\n'
    call.invite(fields=broken)
    call.callee_says(200, fields=broken, body=ANSWER)
    call.caller_acks()
    call.caller_sends(b"INVITE", body=SDP, fields=broken)
    call.callee_says(200, fields=broken, body=ANSWER)
    call.caller_acks()
    call.caller_sends(b"BYE")
    call.callee_says(200)
    call.is_gone()


def test_a_require_that_cannot_be_read_is_a_400_and_leaves_nothing() -> None:
    call = BridgedCall()
    call.invite(fields=b'Require: "\r\n')
    assert call.world.kinds_to(CALLER)[-1] == "400"
    call.is_gone()


HIDDEN = """
from uacproxy.routing import *
@request_route
def main(ctx):
    ctx.uac.hide_caller("untrusted")
    return Bridge("sip:bob@192.0.2.2")
"""


def test_a_hidden_caller_is_hidden_in_every_later_message_of_the_call() -> None:
    call = BridgedCall(script=HIDDEN)
    tells = b"Subject: of Alice\r\nPrivacy: id;user;header\r\n"
    call.answered(fields=tells)
    call.caller_sends(b"INFO", fields=tells)
    call.callee_says(200)
    call.caller_sends(b"INVITE", body=SDP, fields=tells)
    call.callee_says(200, body=ANSWER)
    call.caller_acks()
    call.callee_sends(b"INVITE", body=SDP)
    call.caller_says(200, body=ANSWER, fields=b"Subject: of Alice\r\n")
    call.callee_sends(b"ACK", cseq=call.callee_cseq)
    call.caller_sends(b"BYE", fields=tells)
    assert b"of Alice" not in octets_at(call.world, CALLEE)
    call.callee_says(200)
    call.is_gone()
