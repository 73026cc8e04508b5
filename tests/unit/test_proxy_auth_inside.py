"""Challenges inside a dialog are answered without a script, in one direction, by any instance."""

from __future__ import annotations

import re

import pytest

from tests.support.calls import Call, last_of, responses_to, script
from tests.support.trunk import (
    AS_RULE,
    AUTH,
    TrunkCall,
    ask,
    asking,
    challenge,
    given,
    is_right,
    trunked,
)
from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.routing.settings import RuleSettings, parse_auth, parse_relay
from uacproxy.sip.names import CSEQ, PROXY_AUTHORIZATION, RACK, RECORD_ROUTE
from uacproxy.store.memory import MemoryStore

RULE = RuleSettings(name="out", auth=parse_auth("yes"), relay=parse_relay("sip:trunk.example"))
RULES = [RULE]


def numbers(world: World, method: bytes) -> list[int]:
    return [one.cseq.number for one in world.sent_to(CALLEE) if one.method == method]


# -- who answers -----------------------------------------------------------------------


@pytest.mark.parametrize("method", [b"INVITE", b"UPDATE", b"INFO", b"REFER", b"MESSAGE", b"BYE"])
def test_a_challenged_request_is_answered_with_the_next_number(method: bytes) -> None:
    call = TrunkCall(trunked())
    call.from_caller(b"ACK", 1)
    first = call.from_caller(method, 2)
    again = ask(call.world, asking(nonce=b"n2"))
    assert (first.cseq.number, again.cseq.number) == (3, 4)
    assert (again.method, is_right(again)) == (method, True)
    assert again.via.branch != first.via.branch
    call.world.receive(answer(again, 200), CALLEE)
    assert call.world.last_to(CALLER).get(CSEQ) == b"2 " + method
    assert responses_to(call.world, CALLER, method)[-1] == 200


def test_the_ack_and_all_that_follows_a_challenged_re_invite_have_the_right_numbers() -> None:
    call = TrunkCall(trunked())
    call.from_caller(b"ACK", 1)
    call.from_caller(b"INVITE", 2)
    again = ask(call.world, asking(nonce=b"n2"))
    call.world.receive(answer(again, 200), CALLEE)
    assert call.from_caller(b"ACK", 2).get(CSEQ) == b"4 ACK"
    assert call.from_caller(b"INFO", 3).get(CSEQ) == b"5 INFO"
    assert call.from_callee(b"NOTIFY", 70).get(CSEQ) == b"70 NOTIFY"
    call.from_caller(b"UPDATE", 4)
    assert ask(call.world, asking(nonce=b"n3")).get(CSEQ) == b"7 UPDATE"
    assert call.from_caller(b"BYE", 5).get(CSEQ) == b"8 BYE"


@pytest.mark.parametrize("answered_by", ["rule", "script"])
def test_a_call_whose_invite_nobody_challenged_is_answered_for_later(answered_by: str) -> None:
    world = trunked(rules=RULES) if answered_by == "rule" else trunked(AS_RULE)
    call = Call(world)
    call.from_caller(b"ACK", 1)
    call.from_caller(b"INVITE", 2)
    again = ask(world)
    assert (again.cseq.number, is_right(again)) == (3, True)
    world.receive(answer(again, 200), CALLEE)
    assert call.from_caller(b"ACK", 2).cseq.number == 3
    assert call.from_caller(b"BYE", 3).cseq.number == 4


def test_the_ack_of_the_invite_keeps_its_number_when_a_prack_before_it_was_challenged() -> None:
    world = trunked()
    world.receive(invite())
    sent = ask(world)
    world.receive(answer(sent, 183, b"bt1", b"Require: 100rel\r\nRSeq: 41\r\n"), CALLEE)
    call = TrunkCall.__new__(TrunkCall)
    call.world, call.callee, call._branches, call.callee_tag = world, CALLEE, 0, b"bt1"
    call.final, call.sent = world.last_to(CALLER), sent
    first = call.from_caller(b"PRACK", 2, fields=b"RAck: 41 1 INVITE\r\n")
    assert (first.get(CSEQ), first.get(RACK)) == (b"3 PRACK", b"41 2 INVITE")
    again = ask(world, asking(nonce=b"n2"), method=b"PRACK")
    assert (again.get(CSEQ), again.get(RACK)) == (b"4 PRACK", b"41 2 INVITE")
    world.receive(answer(again, 200), CALLEE)
    assert call.from_caller(b"UPDATE", 3).get(CSEQ) == b"5 UPDATE"
    call.confirm(sent)
    assert call.from_caller(b"ACK", 1).get(CSEQ) == b"2 ACK"
    assert call.from_caller(b"BYE", 4).get(CSEQ) == b"6 BYE"


def test_a_re_invite_challenged_behind_a_later_request_takes_the_next_number_of_all() -> None:
    call = TrunkCall(trunked())
    call.from_caller(b"ACK", 1)
    pending = call.from_caller(b"INVITE", 2)
    call.from_caller(b"INFO", 3)
    call.world.receive(challenge(pending, asking(nonce=b"n2")), CALLEE)
    again = last_of(call.world, CALLEE, b"INVITE")
    assert [again.cseq.number, is_right(again)] == [5, True]
    call.world.receive(answer(again, 200), CALLEE)
    assert call.from_caller(b"ACK", 2).get(CSEQ) == b"5 ACK"
    assert call.from_caller(b"BYE", 4).get(CSEQ) == b"6 BYE"


def test_a_cancel_of_a_challenged_re_invite_has_its_number() -> None:
    call = TrunkCall(trunked())
    call.from_caller(b"ACK", 1)
    call.from_caller(b"INVITE", 2, branch=b"z9hG4bKre")
    again = ask(call.world, asking(nonce=b"n2"))
    call.world.receive(answer(again, 180), CALLEE)
    call.world.receive(invite(method=b"CANCEL", branch=b"z9hG4bKre", cseq=2, to=call.final.to.raw))
    assert last_of(call.world, CALLEE, b"CANCEL").get(CSEQ) == b"4 CANCEL"
    call.world.receive(answer(again, 487), CALLEE)
    assert last_of(call.world, CALLEE, b"ACK").get(CSEQ) == b"4 ACK"


def test_two_realms_are_answered_inside_the_dialog_too() -> None:
    call = TrunkCall(trunked())
    call.from_caller(b"INVITE", 2)
    ask(call.world, asking(nonce=b"n2"))
    again = ask(call.world, asking(b"far.example", b"f1"), status=401)
    assert again.cseq.number == 5
    assert is_right(again)
    assert is_right(again, b"other", b"authorization")
    call.world.receive(answer(again, 200), CALLEE)
    assert call.from_caller(b"ACK", 2).cseq.number == 5


def test_a_wrong_password_inside_the_dialog_ends_with_the_407() -> None:
    call = TrunkCall(trunked())
    call.from_caller(b"BYE", 2)
    for _ in range(4):
        ask(call.world, asking(nonce=b"n2"))
    assert numbers(call.world, b"BYE") == [3, 4]
    assert responses_to(call.world, CALLER, b"BYE") == [407]


def test_without_track_cseq_the_answer_keeps_the_number() -> None:
    call = TrunkCall(trunked(track_cseq=False))
    call.from_caller(b"INVITE", 2)
    again = ask(call.world, asking(nonce=b"n2"))
    assert (again.cseq.number, is_right(again)) == (2, True)
    call.world.receive(answer(again, 200), CALLEE)
    assert call.from_caller(b"ACK", 2).cseq.number == 2


# -- and in which direction ------------------------------------------------------------


def test_the_callers_side_gets_no_answer_with_the_providers_credentials() -> None:
    call = TrunkCall(trunked())
    call.from_caller(b"ACK", 1)
    there = call.from_callee(b"INVITE", 1)
    call.world.receive(challenge(there), CALLER)
    assert responses_to(call.world, CALLEE, b"INVITE") == [100, 407]
    assert not any(one.has(PROXY_AUTHORIZATION) for one in call.world.sent_to(CALLER))


def test_a_call_from_a_provider_may_be_answered_for_where_the_operator_says_so() -> None:
    rule = RuleSettings(
        name="in", auth_caller=parse_auth("me"), relay=parse_relay("sip:trunk.example")
    )
    call = Call(trunked(rules=[rule]))
    there = call.from_callee(b"BYE", 5)
    call.world.receive(challenge(there), CALLER)
    again = call.world.last_to(CALLER)
    assert (again.method, again.cseq.number, is_right(again)) == (b"BYE", 6, True)
    sent = call.from_caller(b"INFO", 2)
    call.world.receive(challenge(sent), CALLEE)
    assert responses_to(call.world, CALLER, b"INFO") == [407]


def test_what_the_route_says_of_it_names_nobody_and_holds_no_password() -> None:
    first = trunked(rules=[RuleSettings(name="o", auth=parse_auth("me"), relay=RULE.relay)])
    first.receive(invite())
    route = last_of(first, CALLEE, b"INVITE").need(RECORD_ROUTE)
    value = re.search(rb";au=([^;>]*)", route)
    assert value is not None
    second = trunked(
        rules=[RuleSettings(name="o", auth=parse_auth("account:a7"), relay=RULE.relay)]
    )
    second.receive(invite())
    other = re.search(rb";au=([^;>]*)", last_of(second, CALLEE, b"INVITE").need(RECORD_ROUTE))
    assert other is not None
    assert len(value[1]) == len(other[1])  # lengths are told in steps
    for secret in (b"secret", b"user", b"account"):  # two letters may come up by chance
        assert secret not in value[1]


def test_an_altered_value_answers_nothing_and_is_counted() -> None:
    call = TrunkCall(trunked())
    route = call.final.need(RECORD_ROUTE)
    for broken in (
        route.replace(b";au=", b";au=A"),
        re.sub(rb";au=[^;>]*", b";au=!!", route),
        re.sub(rb";au=[^;>]*", b";au=", route),
    ):
        before = call.world.counters.restore_failures
        sent = call.from_caller(b"INFO", 2, routes=[broken])
        assert not sent.has(PROXY_AUTHORIZATION)
        call.world.receive(challenge(sent), CALLEE)
        assert responses_to(call.world, CALLER, b"INFO")[-1] == 407
        assert call.world.counters.restore_failures == before + 1


def test_the_value_of_one_dialog_is_good_for_no_other() -> None:
    world = trunked()
    call = TrunkCall(world)
    route = call.final.need(RECORD_ROUTE)
    world.receive(
        invite(
            method=b"INFO",
            cseq=2,
            branch=b"z9hG4bKx",
            call_id=b"other@a.example",
            fields=b"Route: " + route + b"\r\n",
            to=call.final.to.raw,
        )
    )
    world.receive(challenge(last_of(world, CALLEE, b"INFO")), CALLEE)
    assert responses_to(world, CALLER, b"INFO") == [407]


# -- credentials nobody asked for ------------------------------------------------------


def test_the_next_call_carries_the_nonce_with_the_next_count() -> None:
    world = trunked(rules=RULES)
    world.receive(invite())
    ask(world)
    for number in (2, 3):
        world.receive(invite(call_id=b"c%d@a.example" % number, branch=b"z9hG4bKn%d" % number))
        sent = last_of(world, CALLEE, b"INVITE")
        assert [one.nc for one in given(sent)] == [b"%08x" % number]
        assert is_right(sent)
        assert sent.cseq.number == 1


def test_a_target_that_never_asked_is_told_nothing() -> None:
    world = trunked(
        rules=[RuleSettings(name="o", auth=parse_auth("yes"), relay=parse_relay("sip:any.example"))]
    )
    world.names[b"any.example"] = [CALLEE]
    world.receive(invite())
    ask(world)
    world.names[b"any.example"] = [OTHER]
    world.receive(invite(call_id=b"c2@a.example", branch=b"z9hG4bKn2"))
    assert not last_of(world, OTHER, b"INVITE").has(PROXY_AUTHORIZATION)


def test_without_a_rule_that_says_so_no_call_carries_credentials_unasked() -> None:
    world = trunked()
    world.receive(invite())
    ask(world)
    world.receive(invite(call_id=b"c2@a.example", branch=b"z9hG4bKn2"))
    assert not last_of(world, CALLEE, b"INVITE").has(PROXY_AUTHORIZATION)


def test_an_old_nonce_costs_one_more_turn_and_no_more() -> None:
    world = trunked(rules=RULES)
    world.receive(invite())
    ask(world)
    world.receive(invite(call_id=b"c2@a.example", branch=b"z9hG4bKn2"))
    again = ask(world, asking(nonce=b"n2", more=b', stale=true, qop="auth"'))
    assert [(one.nonce, one.nc) for one in given(again)] == [(b"n2", b"00000001")]
    assert again.cseq.number == 2


def test_a_refusal_of_what_nobody_asked_for_may_name_the_same_nonce() -> None:
    world = trunked(rules=RULES)
    world.receive(invite())
    ask(world)
    world.receive(invite(call_id=b"c2@a.example", branch=b"z9hG4bKn2"))
    again = ask(world)
    assert [(one.nonce, one.nc) for one in given(again)] == [(b"n1", b"00000003")]
    ask(world)
    assert responses_to(world, CALLER, b"INVITE")[-1] == 407


def test_a_403_to_what_nobody_asked_for_makes_us_wait_to_be_asked() -> None:
    world = trunked(rules=RULES)
    world.receive(invite())
    ask(world)
    world.receive(invite(call_id=b"c2@a.example", branch=b"z9hG4bKn2"))
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 403), CALLEE)
    world.receive(invite(call_id=b"c3@a.example", branch=b"z9hG4bKn3"))
    assert not last_of(world, CALLEE, b"INVITE").has(PROXY_AUTHORIZATION)


def test_the_nonce_a_success_offers_is_used_next_and_the_caller_hears_nothing_of_it() -> None:
    world = trunked(rules=RULES)
    world.receive(invite())
    sent = ask(world)
    info = b'Proxy-Authentication-Info: nextnonce="n9", qop=auth, nc=00000001\r\n'
    world.receive(answer(sent, 200, b"bt1", info), CALLEE)
    assert not world.last_to(CALLER).has(b"proxy-authentication-info")
    world.receive(invite(call_id=b"c2@a.example", branch=b"z9hG4bKn2"))
    later = last_of(world, CALLEE, b"INVITE")
    assert [(one.nonce, one.nc) for one in given(later)] == [(b"n9", b"00000001")]
    assert is_right(later)


def test_what_is_said_of_the_callers_own_credentials_goes_on_to_it() -> None:
    world = trunked()
    world.receive(invite())
    info = b'Authentication-Info: nextnonce="n9"\r\n'
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 200, b"bt1", info), CALLEE)
    assert world.last_to(CALLER).get(b"authentication-info") == b'nextnonce="n9"'


def test_a_target_that_asks_at_an_invite_alone_gets_no_credentials_with_anything_else() -> None:
    """It would not take them out, and its callee would see them."""
    world = trunked(rules=RULES)
    call = TrunkCall(world)
    for number, method in enumerate((b"ACK", b"INFO", b"INVITE", b"BYE"), start=1):
        assert not call.from_caller(method, number).has(PROXY_AUTHORIZATION)
    world.receive(invite(method=b"MESSAGE", call_id=b"c2@a.example", branch=b"z9hG4bKn2"))
    assert not last_of(world, CALLEE, b"MESSAGE").has(PROXY_AUTHORIZATION)


def test_what_was_asked_once_inside_a_dialog_is_sent_unasked_then() -> None:
    call = TrunkCall(trunked(rules=RULES))
    call.from_caller(b"INFO", 2)
    ask(call.world)
    later = call.from_caller(b"INFO", 3)
    assert [one.nc for one in given(later)] == [b"00000003"]
    assert (later.cseq.number, is_right(later)) == (5, True)


# -- the client's own credentials ------------------------------------------------------

OWN = b'Proxy-Authorization: Digest username="a", realm="%b", nonce="o", uri="u", response="0"\r\n'


@pytest.mark.parametrize(
    ("realm", "consumes", "left"),
    [
        (b"trunk.example", True, [b"me"]),
        (b"trunk.example", False, [b"a", b"me"]),
        (b"other.example", True, [b"a", b"me"]),
    ],
)
def test_the_clients_own_for_a_realm_we_answer_are_taken_out_or_passed(
    realm: bytes, consumes: bool, left: list[bytes]
) -> None:
    world = trunked(consume_credentials=consumes)
    world.receive(invite(fields=OWN % realm))
    assert [one.username for one in given(last_of(world, CALLEE, b"INVITE"))] == [b"a"]
    assert [one.username for one in given(ask(world))] == left


# -- restart, another instance ---------------------------------------------------------


def test_after_a_restart_the_account_and_the_numbers_are_known() -> None:
    store = MemoryStore(lambda: 0.0)
    call = TrunkCall(trunked(store=store))
    call.from_caller(b"ACK", 1)
    call.from_caller(b"INVITE", 2)
    call.world.receive(answer(ask(call.world, asking(nonce=b"n2")), 200), CALLEE)
    call.from_caller(b"ACK", 2)
    call.go_on_at(trunked(store=store))
    assert call.from_caller(b"INFO", 3).get(CSEQ) == b"5 INFO"
    again = ask(call.world, asking(nonce=b"n3"))
    assert (again.get(CSEQ), is_right(again)) == (b"6 INFO", True)
    call.go_on_at(trunked(store=store))
    assert call.from_caller(b"BYE", 4).get(CSEQ) == b"7 BYE"
    assert call.from_callee(b"INFO", 1).get(CSEQ) == b"1 INFO"


def test_an_ended_dialog_leaves_nothing_in_the_store() -> None:
    store = MemoryStore(lambda: 0.0)
    call = TrunkCall(trunked(store=store))
    call.from_caller(b"INFO", 2)
    ask(call.world, asking(nonce=b"n2"))
    assert len(store) == 1
    call.from_caller(b"BYE", 3)
    call.world.let(60.0)
    call.world.tracker.expire_due()
    assert len(store) == 0


def test_a_call_without_challenges_inside_leaves_nothing_anywhere() -> None:
    store = MemoryStore(lambda: 0.0)
    call = TrunkCall(trunked(store=store))
    call.from_caller(b"ACK", 1)
    call.from_caller(b"BYE", 2)
    assert (len(store), len(call.world.tracker)) == (0, 0)


def test_where_no_more_dialogs_may_be_tracked_the_numbers_are_right_all_the_same() -> None:
    call = TrunkCall(trunked())
    call.world.tracker._max_dialogs = 0
    call.from_caller(b"INVITE", 2)
    call.world.receive(answer(ask(call.world, asking(nonce=b"n2")), 200), CALLEE)
    assert call.from_caller(b"ACK", 2).get(CSEQ) == b"4 ACK"
    assert call.from_caller(b"BYE", 3).get(CSEQ) == b"5 BYE"
    assert len(call.world.tracker) == 0


FROM_AVPS = AUTH.replace(
    "    if ctx.uac.auth():",
    '    ctx["$avp(auser)"], ctx["$avp(apass)"] = "scripted", "pw"\n    if ctx.uac.auth():',
)


def test_what_the_script_had_in_its_avps_answers_inside_the_dialog_until_a_restart() -> None:
    call = TrunkCall(trunked(FROM_AVPS))
    call.from_caller(b"INFO", 2)
    again = ask(call.world, asking(b"trunk.example", b"n2"))
    assert given(again)[0].username == b"scripted"
    assert is_right(again, b"pw")
    call.go_on_at(trunked(FROM_AVPS))
    call.from_caller(b"INFO", 3)
    again = ask(call.world, asking(b"trunk.example", b"n3"))
    assert given(again)[0].username == b"me"  # by realm: the other was in memory alone


def test_a_tracked_dialog_is_answered_for_likewise_and_keeps_the_numbers() -> None:
    text = AS_RULE.replace("    ctx.uac", "    ctx.track_dialog()\n    ctx.uac", 1)
    store = MemoryStore(lambda: 0.0)
    call = Call(trunked(text, store=store))
    call.from_caller(b"ACK", 1)
    call.from_caller(b"INVITE", 2)
    call.world.receive(answer(ask(call.world), 200), CALLEE)
    assert call.from_caller(b"ACK", 2).get(CSEQ) == b"3 ACK"
    call.world = trunked(text, store=store)
    assert call.from_caller(b"BYE", 3).get(CSEQ) == b"4 BYE"


def test_the_callees_of_a_fork_are_counted_for_apart() -> None:
    world = trunked(AS_RULE.replace("    ctx.uac", "    ctx.track_dialog()\n    ctx.uac", 1))
    call = Call(world)
    world.receive(answer(call.sent, 200, b"bt2"), CALLEE)
    second = world.last_to(CALLER)
    call.from_caller(b"INFO", 2)
    ask(world)
    assert call.from_caller(b"INFO", 3).cseq.number == 4
    assert call.from_caller(b"BYE", 2, to=second.to.raw).cseq.number == 2


# -- a branch failure route ------------------------------------------------------------

BRANCH = script(
    """
from uacproxy.routing import branch_failure_route

@request_route
def main(ctx):
    ctx.on_branch_failure("ONE")
    return Relay("sip:trunk.example", "sip:backup.example", parallel=True)

@branch_failure_route("ONE")
def one(ctx):
    if ctx.check_status("401|407") and ctx.uac.auth():
        return Relay()
    if ctx.check_status("480"):
        ctx.on_branch_failure("ONE")
        return Relay("sip:elsewhere@192.0.2.3")
    if ctx.check_status("501"):
        return Reply(600)
"""
)


WAIT = "\nclass Wait:\n    def __await__(self):\n        yield\n\nwait = Wait()\n"


def test_one_branch_is_sent_again_while_the_other_rings() -> None:
    world = trunked(BRANCH)
    world.receive(invite())
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 180), OTHER)
    again = ask(world)
    assert (again.cseq.number, is_right(again)) == (2, True)
    world.receive(answer(again, 200), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 200]
    assert world.kinds_to(OTHER) == ["INVITE", "CANCEL"]


def test_another_target_may_take_the_place_of_a_failed_branch() -> None:
    world = trunked(BRANCH)
    world.receive(invite())
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 480), CALLEE)
    sent = last_of(world, OTHER, b"INVITE")
    assert sent.request_uri == b"sip:elsewhere@192.0.2.3"
    for one in [one for one in world.sent_to(OTHER) if one.method == b"INVITE"]:
        world.receive(answer(one, 486), OTHER)
    assert responses_to(world, CALLER, b"INVITE") == [100, 480]


def test_a_branch_failure_route_runs_once_unless_it_is_armed_again() -> None:
    world = trunked(BRANCH)
    world.receive(invite())
    ask(world)
    ask(world, asking(nonce=b"n2"))
    assert world.kinds_to(CALLEE).count("INVITE") == 2


def test_a_branch_route_edits_the_branch_again_and_arms_nothing_by_itself() -> None:
    text = BRANCH.replace(
        "    ctx.on_branch_failure", "    ctx.on_branch('B')\n    ctx.on_branch_failure", 1
    )
    text += """
@branch_route("B")
def branch(ctx):
    ctx.uac.replace_from("sip:branch%s@trunk.example" % ctx["$T_branch_idx"])
"""
    world = trunked(text)
    world.receive(invite())
    world.receive(challenge(last_of(world, OTHER, b"INVITE"), asking(b"far.example")), OTHER)
    again = last_of(world, OTHER, b"INVITE")
    assert (again.from_.uri, is_right(again, b"other")) == (b"sip:branch1@trunk.example", True)
    world.receive(challenge(again, asking(b"far.example", b"n2")), OTHER)
    assert world.kinds_to(OTHER).count("INVITE") == 2


@pytest.mark.parametrize("status", [404, 501, 603])
def test_any_other_outcome_leaves_the_failure_to_be_chosen_from(status: int) -> None:
    world = trunked(BRANCH)
    world.receive(invite())
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 503), OTHER)
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), status), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, status]


def test_a_branch_failure_route_may_take_its_time() -> None:
    world = trunked(BRANCH.replace("def one(ctx):", "async def one(ctx):\n    await wait") + WAIT)
    world.receive(invite())
    world.receive(challenge(last_of(world, CALLEE, b"INVITE")), CALLEE)
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 404), OTHER)
    assert responses_to(world, CALLER, b"INVITE") == [100]
    world.resume(1)
    assert responses_to(world, CALLER, b"INVITE") == [100]
    world.resume()
    again = last_of(world, CALLEE, b"INVITE")
    assert is_right(again)
    world.receive(answer(again, 486), CALLEE)
    world.let(1.0)
    assert responses_to(world, CALLER, b"INVITE") == [100, 404]


def test_a_call_cancelled_while_a_branch_failure_route_thinks_is_over() -> None:
    text = BRANCH.replace("def one(ctx):", "async def one(ctx):\n    await wait") + WAIT
    world = trunked(text.replace(', "sip:backup.example", parallel=True', ""))
    world.receive(invite())
    world.receive(challenge(last_of(world, CALLEE, b"INVITE")), CALLEE)
    world.receive(invite(method=b"CANCEL"))
    world.resume()
    assert responses_to(world, CALLER, b"INVITE") == [100, 487]
    assert world.kinds_to(CALLEE).count("INVITE") == 1


def test_a_missing_branch_failure_route_is_reported_and_the_failure_goes_on() -> None:
    world = trunked(BRANCH.replace('branch_failure_route("ONE")', 'branch_failure_route("TWO")'))
    world.receive(invite())
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 404), OTHER)
    ask(world)
    assert responses_to(world, CALLER, b"INVITE") == [100, 407]
    assert world.counters.script_errors == 2
