"""What happens inside a bridged call: re-INVITE, UPDATE, PRACK, INFO, REFER and their like."""

from __future__ import annotations

import pytest

from tests.support.bridge import ANSWER, SDP, BridgedCall, octets_at
from tests.support.world import CALLEE, CALLER, invite
from uacproxy.bridge.settings import BridgeSettings
from uacproxy.sip.names import CONTACT, RACK, REQUIRE, SUPPORTED
from uacproxy.sip.uri import parse_uri

HOLD = b"v=0\r\na=sendonly\r\n"
HELD = b"v=0\r\na=recvonly\r\n"
LIFETIME = 32.0  # s: 64*T1


# -- re-INVITE -------------------------------------------------------------------------


def test_the_caller_holds_and_the_numbers_of_both_sides_are_their_own() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"INVITE", body=HOLD, cseq=50)
    sent = call.callee_got(b"INVITE")
    assert (sent.body, sent.cseq.number) == (HOLD, 2)
    assert sent.request_uri == b"sip:bob@192.0.2.2"
    assert call.world.last_to(CALLER).status == 100
    call.callee_says(200, body=HELD)
    got = call.world.last_to(CALLER)
    assert (got.status, got.body, got.cseq.number) == (200, HELD, 50)
    call.caller_sends(b"ACK", cseq=50)
    acks = [one.cseq.number for one in call.world.sent_to(CALLEE) if one.method == b"ACK"]
    assert acks == [1, 2]
    call.caller_sends(b"BYE", cseq=51)
    call.callee_says(200)
    call.is_gone()


def test_the_callee_offers_anew() -> None:
    call = BridgedCall().answered()
    call.callee_sends(b"INVITE", body=HOLD)
    sent = call.world.last_to(CALLER)
    assert (sent.method, sent.body, sent.cseq.number) == (b"INVITE", HOLD, 1)
    assert sent.request_uri == b"sip:alice@192.0.2.1"
    call.caller_says(200, body=HELD)
    assert call.world.last_to(CALLEE).body == HELD
    assert call.world.kinds_to(CALLER)[-1] == "ACK"
    call.callee_sends(b"ACK", cseq=call.callee_cseq)
    call.callee_sends(b"BYE")
    call.caller_says(200)
    call.is_gone()


def test_an_offer_of_a_callee_that_is_quicker_than_the_callers_ack_waits_for_it() -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(200, body=ANSWER)
    call.callee_sends(b"INVITE", body=HOLD)  # it has our ACK; we have none (14.1)
    assert call.world.kinds_to(CALLEE)[-1] == "100"
    assert call.world.kinds_to(CALLER)[-1] == "200"
    call.caller_sends(b"ACK")
    assert call.world.kinds_to(CALLER)[-1] == "INVITE"
    call.caller_says(200, body=HELD)
    assert call.world.last_to(CALLEE).body == HELD


@pytest.mark.parametrize("then", ["CANCEL", "BYE", "no ACK"])
def test_an_offer_that_waits_for_an_ack_is_answered_when_it_is_taken_back(then: str) -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(200, body=ANSWER)
    call.callee_sends(b"INVITE", body=HOLD, branch=b"z9hG4bKheld")
    if then == "CANCEL":
        call.callee_sends(b"CANCEL", cseq=call.callee_cseq, branch=b"z9hG4bKheld")
    elif then == "BYE":
        call.callee_sends(b"BYE")
    else:
        call.world.let(LIFETIME + 1.0)
    assert "487" in call.world.kinds_to(CALLEE)
    call.caller_sends(b"ACK")
    assert "INVITE" not in call.world.kinds_to(CALLER)


@pytest.mark.parametrize(("method", "status"), [(b"INVITE", 481), (b"INFO", 481), (b"BYE", 200)])
def test_what_crosses_our_bye_finds_no_call_any_more(method: bytes, status: int) -> None:
    call = BridgedCall("'sip:bob@192.0.2.2', max_call_time=5")
    call.invite()
    call.callee_says(200, body=ANSWER)
    call.world.let(5.5)  # and no ACK: the caller's BYE has to wait for it
    assert call.world.kinds_to(CALLEE)[-1] == "BYE"
    call.callee_sends(method)
    assert call.world.last_to(CALLEE).status == status


def test_a_refused_offer_changes_nothing() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"INVITE", body=HOLD)
    call.callee_says(488)
    assert call.world.last_to(CALLER).status == 488
    assert len(call.world.calls) == 1


def test_offers_that_cross_are_491_on_both_sides() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"INVITE", body=HOLD)
    call.callee_sends(b"INVITE", body=HOLD)
    assert call.world.kinds_to(CALLEE)[-1] == "491"
    call.callee_says(491, method=b"INVITE")
    assert call.world.kinds_to(CALLER)[-1] == "491"
    assert call.world.bridge_counters.glares == 1
    call.caller_sends(b"INVITE", body=HOLD)  # the one who waits less long
    call.callee_says(200, body=HELD, method=b"INVITE")
    assert call.world.kinds_to(CALLER)[-1] == "200"


def test_a_second_offer_before_the_first_is_answered_is_a_500() -> None:
    """RFC 3261 14.2."""
    call = BridgedCall().answered()
    call.caller_sends(b"INVITE", body=HOLD)
    call.caller_sends(b"INVITE", body=HOLD)
    got = call.world.last_to(CALLER)
    assert got.status == 500
    assert 0 <= int(got.need(b"retry-after")) <= 10


def test_an_offer_in_the_200_of_a_reinvite_is_answered_in_the_ack() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"INVITE")
    call.callee_says(200, body=SDP)
    before = call.world.kinds_to(CALLEE).count("ACK")
    call.caller_acks(body=ANSWER)
    assert call.world.kinds_to(CALLEE).count("ACK") == before + 1
    assert call.callee_got(b"ACK").body == ANSWER


def test_a_reinvite_that_finds_the_other_side_gone_ends_the_call() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"INVITE", body=HOLD)
    call.callee_says(481)
    kinds = call.world.kinds_to(CALLER)
    assert kinds[-2:] == ["481", "BYE"]
    call.caller_says(200)
    call.callee_says(481, method=b"BYE")
    call.is_gone()


def test_a_reinvite_is_cancelled_and_its_answer_is_the_other_sides() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"INVITE", body=HOLD, branch=b"z9hG4bKre")
    call.callee_says(180)
    call.caller_sends(b"CANCEL", branch=b"z9hG4bKre", cseq=call.caller_cseq)
    assert call.callee_got(b"CANCEL").cseq.number == 2
    call.callee_says(487, method=b"INVITE")
    assert call.world.kinds_to(CALLER)[-1] == "487"
    assert len(call.world.calls) == 1


def test_a_bye_answers_the_reinvite_that_was_open() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"INVITE", body=HOLD)
    call.callee_sends(b"BYE")
    assert call.world.kinds_to(CALLER)[-2:] == ["487", "BYE"]
    call.caller_says(200)
    call.callee_says(487, method=b"INVITE")
    call.is_gone()


def test_a_bye_waits_for_the_ack_of_the_other_sides_reinvite() -> None:
    """RFC 3261 15: who has answered an INVITE does not hang up before its ACK."""
    call = BridgedCall().answered()
    call.callee_sends(b"INVITE", body=HOLD)
    call.caller_says(200, body=HELD)
    call.caller_sends(b"BYE")
    assert call.world.kinds_to(CALLEE)[-1] == "200"
    call.callee_sends(b"ACK", cseq=call.callee_cseq)
    assert call.world.kinds_to(CALLEE)[-1] == "BYE"
    call.callee_says(200)
    call.is_gone()


def test_a_bye_goes_out_without_the_ack_that_never_comes() -> None:
    call = BridgedCall().answered()
    call.callee_sends(b"INVITE", body=HOLD)
    call.caller_says(200, body=HELD)
    call.caller_sends(b"BYE")
    call.world.let(LIFETIME + 0.1)
    assert call.world.kinds_to(CALLEE)[-1] == "BYE"
    call.callee_says(200)
    call.is_gone()


def test_the_ack_of_a_reinvite_that_never_comes_ends_the_call() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"INVITE", body=HOLD)
    call.callee_says(200, body=HELD)
    call.world.let(LIFETIME + 0.1)
    assert call.world.kinds_to(CALLER)[-1] == "BYE"
    assert call.world.kinds_to(CALLEE)[-1] == "BYE"


def test_a_moved_contact_is_followed() -> None:
    call = BridgedCall().answered()
    call.callee_sends(b"INVITE", body=HOLD)
    call.caller_says(200, body=HELD)
    call.callee_sends(b"ACK", cseq=call.callee_cseq)
    call.caller_sends(b"INVITE", body=HOLD)
    got = call.callee_got(b"INVITE")
    octets = call.world.sent[-1][3]
    assert octets.startswith(b"INVITE sip:bob@192.0.2.2")
    call.world.receive(octets_of_answer(got, b"<sip:bob@192.0.2.2:5070>"), CALLEE)
    call.caller_acks()
    call.caller_sends(b"BYE")
    bye = [octets for _, to, _, octets in call.world.sent if to == ("192.0.2.2", 5070)][-1]
    assert bye.startswith(b"BYE sip:bob@192.0.2.2:5070 ")


def octets_of_answer(got: object, contact: bytes) -> bytes:
    from tests.support.world import answer

    octets = answer(got, 200, b"bt1", b"", HELD)  # type: ignore[arg-type]
    return octets.replace(b"<sip:bob@192.0.2.2>", contact)


# -- reliable provisional responses ----------------------------------------------------


def ringing_reliably(body: bytes = b"") -> BridgedCall:
    call = BridgedCall()
    call.invite(fields=b"Supported: 100rel, path\r\n")
    call.callee_says(183, fields=b"Require: 100rel\r\nRSeq: 700\r\n", body=body)
    return call


def test_100rel_works_end_to_end_with_numbers_of_each_side() -> None:
    call = ringing_reliably(ANSWER)
    assert call.callee_got(b"INVITE").need(SUPPORTED) == b"100rel, timer"
    got = call.world.last_to(CALLER)
    ours = got.need(b"rseq")
    assert got.need(REQUIRE) == b"100rel"
    assert ours != b"700"
    call.world.let(0.6)
    assert call.world.kinds_to(CALLER) == ["100", "183", "183"]  # until the PRACK comes
    call.callee_says(183, fields=b"Require: 100rel\r\nRSeq: 700\r\n")  # the callee repeats too
    assert call.world.kinds_to(CALLER) == ["100", "183", "183"]
    call.caller_sends(b"PRACK", fields=b"RAck: %b 1 INVITE\r\n" % ours, status=183)
    assert call.callee_got(b"PRACK").need(RACK) == b"700 1 INVITE"
    call.callee_says(200, method=b"PRACK")
    assert call.world.last_to(CALLER).cseq.method == b"PRACK"
    call.world.let(5.0)
    assert call.world.kinds_to(CALLER).count("183") == 2
    call.callee_says(200, method=b"INVITE")
    call.caller_sends(b"ACK", cseq=1)
    call.caller_sends(b"BYE")
    call.callee_says(200)
    call.is_gone()


def test_a_prack_that_crosses_the_200_still_goes_on() -> None:
    call = ringing_reliably()
    ours = call.world.last_to(CALLER).need(b"rseq")
    call.callee_says(200, body=ANSWER)
    call.caller_sends(b"PRACK", fields=b"RAck: %b 1 INVITE\r\n" % ours, status=183)
    assert call.callee_got(b"PRACK").need(RACK) == b"700 1 INVITE"


def test_a_callee_that_waits_for_no_prack_is_not_heard_for_ever() -> None:
    call = ringing_reliably()
    for number in range(701, 790):
        call.callee_says(183, fields=b"Require: 100rel\r\nRSeq: %d\r\n" % number)
    assert call.world.kinds_to(CALLER).count("183") == 16


def test_a_prack_that_matches_nothing_is_a_481() -> None:
    call = ringing_reliably()
    call.caller_sends(b"PRACK", fields=b"RAck: 1 99 INVITE\r\n", status=183)
    assert call.world.last_to(CALLER).status == 481
    assert call.world.kinds_to(CALLEE) == ["INVITE"]


def test_without_a_caller_that_can_the_callee_is_not_told_of_100rel() -> None:
    call = BridgedCall()
    call.invite()
    assert call.callee_got(b"INVITE").need(SUPPORTED) == b"timer"


def test_a_callee_that_was_not_told_of_100rel_is_passed_as_any_other() -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(183, fields=b"Require: 100rel\r\nRSeq: 700\r\n")
    got = call.world.last_to(CALLER)
    assert got.status == 183
    assert not got.has(REQUIRE)
    assert not got.has(b"rseq")


def test_a_reliable_response_stops_with_the_call() -> None:
    call = ringing_reliably()
    call.caller_cancels()
    call.callee_says(487, method=b"INVITE")
    call.is_gone()


# -- UPDATE ----------------------------------------------------------------------------


def test_an_update_with_an_offer_is_passed() -> None:
    call = BridgedCall().answered()
    call.callee_sends(b"UPDATE", body=HOLD)
    sent = call.world.last_to(CALLER)
    assert (sent.method, sent.body) == (b"UPDATE", HOLD)
    call.caller_says(200, body=HELD)
    got = call.world.last_to(CALLEE)
    assert (got.status, got.body) == (200, HELD)


def test_an_update_in_an_early_dialog_is_passed() -> None:
    call = ringing_reliably(ANSWER)
    call.callee_sends(b"UPDATE", body=HOLD)
    assert call.world.last_to(CALLER).method == b"UPDATE"
    call.caller_says(200, body=HELD)
    assert call.world.last_to(CALLEE).status == 200


def test_updates_that_cross_are_491() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"UPDATE", body=HOLD)
    call.callee_sends(b"UPDATE", body=HOLD)
    assert call.world.kinds_to(CALLEE)[-1] == "491"


def test_a_reinvite_that_crosses_an_update_is_a_491() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"UPDATE", body=HOLD)
    call.callee_sends(b"INVITE", body=HOLD)
    assert call.world.kinds_to(CALLEE)[-1] == "491"
    call.caller_sends(b"INVITE", body=HOLD)
    assert call.world.last_to(CALLER).status == 491


def test_an_update_without_a_body_is_between_one_side_and_us() -> None:
    call = BridgedCall().answered()
    before = len(call.world.sent_to(CALLEE))
    call.caller_sends(b"UPDATE", fields=b"Supported: timer\r\nSession-Expires: 600\r\n")
    got = call.world.last_to(CALLER)
    assert got.need(b"session-expires") == b"600;refresher=uac"
    assert len(call.world.sent_to(CALLEE)) == before


# -- others ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", [b"INFO", b"MESSAGE", b"NOTIFY", b"OPTIONS"])
def test_other_requests_pass_and_so_does_their_answer(method: bytes) -> None:
    call = BridgedCall().answered()
    call.caller_sends(method, body=b"x=1", fields=b"Info-Package: dtmf\r\nX-Secret: 1\r\n")
    sent = call.world.last_to(CALLEE)
    assert (sent.method, sent.body) == (method, b"x=1")
    assert sent.need(b"info-package") == b"dtmf"
    assert not sent.has(b"x-secret")
    call.callee_says(202, body=b"y=2", fields=b"X-Other: 1\r\n", method=method)
    got = call.world.last_to(CALLER)
    assert (got.status, got.body) == (202, b"y=2")
    assert not got.has(b"x-other")


def test_a_method_that_is_not_passed_is_a_405() -> None:
    call = BridgedCall(bridge=BridgeSettings(methods=("INFO",))).answered()
    call.caller_sends(b"MESSAGE")
    got = call.world.last_to(CALLER)
    assert got.status == 405
    assert got.need(b"allow") == b"INVITE, ACK, CANCEL, BYE, OPTIONS, INFO"


def test_a_481_to_an_info_ends_the_call_and_silence_does_not() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"INFO")
    call.world.let(LIFETIME + 1)
    assert len(call.world.calls) == 1
    call.caller_sends(b"INFO")
    call.callee_says(481)
    assert call.world.kinds_to(CALLER)[-2:] == ["481", "BYE"]


@pytest.mark.parametrize("method", [b"NOTIFY", b"REFER", b"SUBSCRIBE"])
def test_a_481_to_what_is_about_a_subscription_ends_no_call(method: bytes) -> None:
    """RFC 5057: it ends that usage of the dialog, not the INVITE's."""
    methods = ("NOTIFY", "REFER", "SUBSCRIBE")
    call = BridgedCall(bridge=BridgeSettings(methods=methods)).answered()
    call.caller_sends(method, fields=b"Refer-To: <sip:carol@c.example>\r\nEvent: refer\r\n")
    call.callee_says(481, method=method)
    assert call.world.kinds_to(CALLER)[-1] == "481"
    assert "BYE" not in call.world.kinds_to(CALLEE)
    assert len(call.world.calls) == 1


def test_a_481_to_a_prack_ends_no_call() -> None:
    """RFC 3262 3: the callee knows the dialog, but waits for this PRACK no more."""
    call = ringing_reliably()
    ours = call.world.last_to(CALLER).need(b"rseq")
    call.callee_says(200, body=ANSWER, method=b"INVITE")
    call.caller_sends(b"PRACK", fields=b"RAck: %b 1 INVITE\r\n" % ours, status=183)
    call.callee_says(481, method=b"PRACK")
    assert call.world.kinds_to(CALLER)[-1] == "481"
    assert "BYE" not in call.world.kinds_to(CALLEE)


def test_listed_fields_pass_both_ways() -> None:
    settings = BridgeSettings(pass_headers=("X-Account", "Diversion"))
    call = BridgedCall(bridge=settings)
    call.invite(fields=b"X-Account: 7\r\nX-Other: 8\r\n")
    sent = call.callee_got(b"INVITE")
    assert sent.need(b"x-account") == b"7"
    assert not sent.has(b"x-other")
    call.callee_says(180, fields=b"Diversion: <sip:x@y>\r\nHistory-Info: <sip:x@y>\r\n")
    got = call.world.last_to(CALLER)
    assert got.has(b"diversion")
    assert not got.has(b"history-info")


def test_what_a_script_writes_goes_out() -> None:
    script = """
from uacproxy.routing import *
@request_route
def main(ctx):
    ctx.request.append("X-Mine", "1")
    ctx.uac.assert_identity("sip:7@trunk.example")
    ctx.uac.replace_from('"Trunk"', "sip:7@trunk.example")
    return Bridge("sip:bob@192.0.2.2")
"""
    call = BridgedCall(script=script)
    call.invite(fields=b"X-Theirs: 1\r\nP-Asserted-Identity: <sip:secret@a>\r\n")
    sent = call.callee_got(b"INVITE")
    assert sent.need(b"x-mine") == b"1"
    assert not sent.has(b"x-theirs")
    assert sent.need(b"p-asserted-identity") == b"<sip:7@trunk.example>"
    assert sent.from_.head == b'"Trunk" <sip:7@trunk.example>'
    assert b"secret" not in sent.encode()


# -- REFER and Replaces ----------------------------------------------------------------


def test_a_refer_passes_and_is_refused_by_policy() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"REFER", fields=b"Refer-To: <sip:carol@c.example>\r\n")
    assert call.world.last_to(CALLEE).need(b"refer-to") == b"<sip:carol@c.example>"
    call.callee_says(202)
    assert call.world.last_to(CALLER).status == 202
    refusing = BridgedCall(bridge=BridgeSettings(refer="refuse")).answered()
    refusing.caller_sends(b"REFER", fields=b"Refer-To: <sip:carol@c.example>\r\n")
    assert refusing.world.last_to(CALLER).status == 603
    assert b"REFER" not in refusing.callee_got(b"INVITE").need(b"allow")


def test_a_refer_without_refer_to_is_a_400() -> None:
    call = BridgedCall().answered()
    call.caller_sends(b"REFER")
    assert call.world.last_to(CALLER).status == 400


def test_a_transfer_with_replaces_names_the_far_end_without_showing_it() -> None:
    call = BridgedCall().answered()
    heard = call.caller_got(200)
    ids = b"call-1%%40a.example%%3Bto-tag%%3D%b%%3Bfrom-tag%%3Dat1" % heard.to.tag
    call.caller_sends(b"REFER", fields=b"Refer-To: <sip:bob@here?Replaces=" + ids + b">\r\n")
    value = call.world.last_to(CALLEE).need(b"refer-to")
    assert b"call-1" not in value
    assert b"at1" not in value
    assert heard.to.tag not in value
    uri = parse_uri(value[1:-1])
    assert uri.host == b"192.0.2.100"  # it leads to us
    alias = uri.user
    first = call.callee_got(b"INVITE")
    call.world.receive(
        invite(
            uri=b"sip:" + alias + b"@192.0.2.100",
            branch=b"z9hG4bKreplacing",
            call_id=b"other@b.example",
            from_=b"<sip:dave@d.example>;tag=dt1",
            fields=b"Replaces: %b;to-tag=%b;from-tag=%b\r\n" % (alias, alias, alias),
        ),
        CALLER,
    )
    sent = call.callee_got(b"INVITE")
    assert sent.request_uri == b"sip:bob@192.0.2.2"
    replaced = b"%b;to-tag=bt1;from-tag=%b" % (first.call_id, first.from_.tag)
    assert sent.need(b"replaces") == replaced


def test_replaces_of_a_dialog_nobody_knows_is_a_481() -> None:
    call = BridgedCall()
    call.invite(fields=b"Replaces: x;to-tag=1;from-tag=2\r\n")
    assert call.world.last_to(CALLER).status == 481
    assert call.world.sent_to(CALLEE) == []


# -- session timers --------------------------------------------------------------------


def test_each_side_negotiates_its_own_session_interval() -> None:
    call = BridgedCall()
    call.invite(fields=b"Supported: timer\r\nSession-Expires: 300\r\n")
    assert call.callee_got(b"INVITE").need(b"session-expires") == b"1800"
    call.callee_says(200, body=ANSWER, fields=b"Session-Expires: 600;refresher=uac\r\n")
    got = call.caller_got(200)
    assert got.need(b"session-expires") == b"300;refresher=uac"
    assert got.need(REQUIRE) == b"timer"
    call.caller_acks()
    call.world.let(1.0)
    call.caller_sends(b"UPDATE", fields=b"Supported: timer\r\nSession-Expires: 300\r\n")
    call.world.let(240.0)
    assert len(call.world.calls) == 1
    call.world.let(60.0)  # the caller refreshes no more
    assert call.world.kinds_to(CALLER)[-1] == "BYE"
    assert call.world.bridge_counters.expired == 1


def test_we_refresh_by_update_where_the_peer_takes_it() -> None:
    call = BridgedCall()
    call.invite()
    fields = b"Session-Expires: 600;refresher=uac\r\nAllow: INVITE, UPDATE\r\n"
    call.callee_says(200, body=ANSWER, fields=fields)
    call.caller_acks()
    call.world.let(300.1)
    sent = call.world.last_to(CALLEE)
    assert sent.method == b"UPDATE"
    assert sent.need(b"session-expires") == b"600;refresher=uac"
    assert sent.body == b""
    call.callee_says(200, fields=b"Session-Expires: 600;refresher=uac\r\n")
    call.world.let(300.1)
    assert call.world.kinds_to(CALLEE).count("UPDATE") == 2


def test_we_refresh_by_reinvite_where_it_does_not() -> None:
    call = BridgedCall()
    call.invite()
    call.callee_says(200, body=ANSWER, fields=b"Session-Expires: 600;refresher=uac\r\n")
    call.caller_acks()
    call.world.let(300.1)
    sent = call.world.last_to(CALLEE)
    assert (sent.method, sent.body) == (b"INVITE", SDP)
    assert sent.need(b"content-type") == b"application/sdp"
    call.callee_says(200, body=ANSWER, fields=b"Session-Expires: 600;refresher=uac\r\n")
    assert call.world.kinds_to(CALLEE)[-1] == "ACK"


def test_what_says_how_a_kept_session_is_read_has_its_name_however_it_is_spelled() -> None:
    call = BridgedCall()
    call.invite(fields=b"Content-ID : <1>\r\n")
    call.callee_says(200, body=ANSWER, fields=b"Session-Expires: 600;refresher=uac\r\n")
    call.caller_acks()
    call.world.let(300.1)
    bridged = next(iter(call.world.calls))
    assert bridged.outer is not None
    assert bridged.outer.client is not None
    request = bridged.outer.client.request
    assert request.body == SDP
    assert request.get(b"content-id") == b"<1>"
    assert b"Content-ID : <1>" in request.lines


def test_a_refresh_that_crosses_an_offer_comes_sooner_where_the_call_id_is_the_peers() -> None:
    """RFC 3261 14.1: the owner of the Call-ID waits longer."""
    call = BridgedCall()
    call.invite()  # by a caller without session timers: it is ours to refresh
    call.callee_says(200, body=ANSWER, fields=b"Session-Expires: 1800;refresher=uac\r\n")
    call.caller_acks()
    call.world.let(900.1)
    call.callee_says(491)
    call.caller_says(491)
    before = [len(call.world.kinds_to(peer)) for peer in (CALLER, CALLEE)]
    call.world.let(1.5)  # chance is the middle, always
    assert len(call.world.kinds_to(CALLEE)) == before[1]
    assert set(call.world.kinds_to(CALLER)[before[0] :]) == {"INVITE"}
    call.world.let(2.0)
    assert "INVITE" in call.world.kinds_to(CALLEE)[before[1] :]


def refreshed_by_us(allow: bytes) -> BridgedCall:
    call = BridgedCall()
    call.invite(fields=b"Supported: timer\r\nSession-Expires: 9000;refresher=uac\r\n")
    fields = b"Session-Expires: 600;refresher=uac\r\nAllow: %b\r\n" % allow
    call.callee_says(200, body=ANSWER, fields=fields)
    call.caller_acks()
    call.world.let(300.1)
    return call


@pytest.mark.parametrize("method", [b"UPDATE", b"INVITE"])
@pytest.mark.parametrize("status", [500, 503])
def test_a_refresh_that_fails_for_now_is_tried_again(status: int, method: bytes) -> None:
    call = refreshed_by_us(b"INVITE, " + method)
    asked = call.world.kinds_to(CALLEE).count(method.decode())
    call.callee_says(status, method=method)
    call.world.let(0.5)
    assert call.world.kinds_to(CALLEE).count(method.decode()) == asked
    call.world.let(3.0)  # chance is the middle, always
    sent = call.callee_got(method)
    assert call.world.kinds_to(CALLEE).count(method.decode()) > asked
    assert sent.need(b"session-expires") == b"600;refresher=uac"
    for _ in range(200):
        call.callee_says(status, method=method)
        call.world.let(3.1)
    assert call.world.kinds_to(CALLER)[-1] == "BYE"  # the session has expired all the same


@pytest.mark.parametrize("status", [405, 501])
def test_a_peer_that_takes_no_update_after_all_is_refreshed_by_reinvite(status: int) -> None:
    call = refreshed_by_us(b"INVITE, UPDATE")
    call.callee_says(status, method=b"UPDATE")
    sent = call.world.last_to(CALLEE)
    assert (sent.method, sent.body) == (b"INVITE", SDP)
    assert sent.need(b"session-expires") == b"600;refresher=uac"
    fields = b"Session-Expires: 600;refresher=uac\r\n"
    call.callee_says(200, body=ANSWER, fields=fields, method=b"INVITE")
    call.world.let(300.1)
    assert call.world.last_to(CALLEE).method == b"INVITE"
    assert call.world.kinds_to(CALLEE).count("UPDATE") == 1


def test_a_refresh_that_finds_nobody_ends_the_call() -> None:
    call = BridgedCall()
    call.invite()
    fields = b"Session-Expires: 600;refresher=uac\r\nAllow: UPDATE\r\n"
    call.callee_says(200, body=ANSWER, fields=fields)
    call.caller_acks()
    call.world.let(300.1)
    call.callee_says(481)
    assert call.world.kinds_to(CALLER)[-1] == "BYE"


def test_too_short_an_interval_is_a_422_and_ours_gives_way_to_the_callees() -> None:
    call = BridgedCall(bridge=BridgeSettings(session_expires=200, min_se=100))
    call.invite(fields=b"Supported: timer\r\nSession-Expires: 99\r\n")
    got = call.world.last_to(CALLER)
    assert (got.status, got.need(b"min-se")) == (422, b"100")
    again = BridgedCall(bridge=BridgeSettings(session_expires=200))
    again.invite()
    again.callee_says(422, fields=b"Min-SE: 400\r\n")
    first, _, second = again.world.sent_to(CALLEE)
    assert first.need(b"session-expires") == b"200"
    assert second.need(b"session-expires") == b"400"
    assert second.need(b"min-se") == b"400"
    assert second.cseq.number == 2
    assert second.call_id == first.call_id


@pytest.mark.parametrize("request_of", ["the call", "an offer", "a refresh"])
def test_a_callee_that_always_wants_one_second_more_is_asked_four_times(request_of: str) -> None:
    call = BridgedCall()
    call.invite()
    if request_of != "the call":
        call.callee_says(200, body=ANSWER, fields=b"Session-Expires: 600;refresher=uac\r\n")
        call.caller_acks()
        if request_of == "an offer":
            call.caller_sends(b"INVITE", body=HOLD)
        else:
            call.world.let(300.1)
    before = call.world.kinds_to(CALLEE).count("INVITE")
    for more in range(1, 4):
        call.callee_says(422, fields=b"Min-SE: %d\r\n" % (90 + more), method=b"INVITE")
        assert call.world.kinds_to(CALLEE).count("INVITE") == before + more
    call.callee_says(422, fields=b"Min-SE: 1000\r\n", method=b"INVITE")
    assert call.world.kinds_to(CALLEE).count("INVITE") == before + 3


@pytest.mark.parametrize("method", [b"INVITE", b"UPDATE"])
def test_an_interval_that_is_too_short_there_is_no_422_here(method: bytes) -> None:
    """RFC 4028 8.1: a 422 has a Min-SE, and the interval was ours."""
    call = BridgedCall().answered()
    call.caller_sends(method, body=HOLD)
    call.callee_says(422, fields=b"Min-SE: 90\r\n", method=method)
    got = call.world.last_to(CALLER)
    assert (got.status, got.cseq.method) == (500, method)
    assert len(call.world.calls) == 1


def test_session_timers_can_be_switched_off() -> None:
    call = BridgedCall(bridge=BridgeSettings(session_expires=0))
    call.invite(fields=b"Supported: timer\r\nSession-Expires: 99\r\n")
    sent = call.callee_got(b"INVITE")
    assert not sent.has(b"session-expires")
    assert not sent.has(SUPPORTED)
    call.callee_says(200, body=ANSWER)
    assert not call.caller_got(200).has(b"session-expires")


# -- nothing of one side on the other --------------------------------------------------


def test_no_octets_of_one_side_reach_the_other_whatever_they_do() -> None:
    call = BridgedCall()
    call.invite(
        fields=b"User-Agent: A-phone\r\nCall-Info: <http://a.secret>\r\nSession-ID: aa11\r\n"
    )
    secrets = [b"call-1@a", b"at1", b"A-phone", b"a.secret", b"aa11", b"alice@192.0.2.1"]
    call.callee_says(
        183, body=ANSWER, fields=b"Server: B-phone\r\nError-Info: <http://b.secret>\r\n"
    )
    call.callee_says(200, body=ANSWER, fields=b"Session-ID: bb22\r\nServer: B-phone\r\n")
    call.caller_acks()
    call.caller_sends(b"INVITE", body=HOLD, fields=b"User-Agent: A-phone\r\n")
    call.callee_says(200, body=HELD, fields=b"Server: B-phone\r\n")
    call.caller_acks()
    call.callee_sends(b"INFO", fields=b"User-Agent: B-phone\r\n")
    call.caller_says(500, fields=b'Server: A-phone\r\nWarning: 399 a.secret "no"\r\n')
    call.callee_sends(b"BYE", fields=b"User-Agent: B-phone\r\n")
    call.caller_says(200, fields=b"Server: A-phone\r\n")
    at_callee = octets_at(call.world, CALLEE)
    for secret in secrets:
        assert secret not in at_callee
    at_caller = octets_at(call.world, CALLER)
    theirs = [b"bt1", b"B-phone", b"b.secret", b"bb22", b"bob@192.0.2.2"]
    for secret in [*theirs, call.callee_got(b"INVITE").call_id]:
        assert secret not in at_caller
    inner = call.caller_got(200)
    assert inner.to.tag not in at_callee
    assert inner.addresses(CONTACT)[0].uri not in at_callee
    call.is_gone()
