"""Challenges answered for the caller, and the two CSeq spaces after it (RFC 3261 22, 8.1.3.5)."""

from __future__ import annotations

import pytest

from tests.support.calls import Call, Provider, last_of, responses_to, script
from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.registrar.digest_server import Verdict
from uacproxy.sip.digest import parse_credentials
from uacproxy.sip.message import Message
from uacproxy.sip.names import AUTHORIZATION, PROXY_AUTHORIZATION
from uacproxy.uac.credentials import CredentialList, parse_credential

AUTH = script(
    """
@request_route
def main(ctx):
    ctx.on_failure("TRUNKAUTH")
    return Relay("sip:trunk.example")

@failure_route("TRUNKAUTH")
def trunk_auth(ctx):
    if ctx.is_canceled or not ctx.check_status("401|407"):
        return None
    if ctx.uac.auth():
        ctx.on_failure("TRUNKAUTH")
        return Relay()
"""
)

CREDENTIALS = CredentialList(
    [parse_credential("me:trunk.example:secret"), parse_credential("you:far.example:other")]
)


def trunked(
    text: str = AUTH, *, track_cseq: bool = True, credentials: CredentialList = CREDENTIALS
) -> World:
    world = World(text, credentials=credentials, track_cseq=track_cseq)
    world.names[b"trunk.example"] = [CALLEE]
    world.names[b"backup.example"] = [OTHER]
    return world


def challenged(world: World, cseq: int = 1) -> Message:
    """Place a call, let the trunk challenge it; return the INVITE that answers."""
    world.receive(invite(cseq=cseq))
    provider = Provider(world)
    world.receive(provider.challenge(last_of(world, CALLEE, b"INVITE")), CALLEE)
    sent = last_of(world, CALLEE, b"INVITE")
    assert provider.judge(sent, b"me", b"secret") == Verdict.OK
    return sent


class Authenticated(Call):
    """A call that was challenged, answered for and accepted."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.callee = CALLEE
        self._branches = 0
        self.confirm(challenged(world))


def test_a_challenge_is_answered_with_the_next_cseq_and_the_callers_hears_nothing_of_it() -> None:
    world = trunked()
    sent = challenged(world)
    first = world.sent_to(CALLEE)[0]
    assert (first.cseq.number, sent.cseq.number) == (1, 2)
    assert sent.via.branch != first.via.branch
    assert (sent.call_id, sent.from_.tag, sent.to.tag) == (first.call_id, first.from_.tag, b"")
    assert sent.request_uri == first.request_uri
    assert b";cs=1" in sent.need(b"record-route")
    assert responses_to(world, CALLER, b"INVITE") == [100]
    assert world.counters.authenticated == 1


def test_the_challenge_itself_is_acknowledged_with_the_cseq_it_was_for() -> None:
    world = trunked()
    challenged(world)
    ack = last_of(world, CALLEE, b"ACK")
    assert (ack.cseq.number, ack.to.tag) == (1, b"challenger")


def test_the_caller_sees_its_own_cseq_in_every_response() -> None:
    world = trunked()
    sent = challenged(world, cseq=7)
    world.receive(answer(sent, 183), CALLEE)
    world.receive(answer(sent, 200), CALLEE)
    numbers = [one.cseq.number for one in world.sent_to(CALLER)]
    assert numbers == [7, 7, 7]


def test_the_shift_lasts_for_the_dialog_in_the_callers_direction_alone() -> None:
    call = Authenticated(trunked())
    assert call.from_caller(b"ACK", 1).cseq.number == 2
    assert call.from_caller(b"INVITE", 2).cseq.number == 3
    assert call.from_caller(b"BYE", 3).cseq.number == 4
    assert call.from_callee(b"INFO", 1).cseq.number == 1
    call.world.receive(answer(last_of(call.world, CALLEE, b"BYE"), 200), CALLEE)
    assert call.world.last_to(CALLER).cseq.number == 3


def test_credentials_stay_with_the_request_they_were_asked_for() -> None:
    call = Authenticated(trunked())
    assert not call.from_caller(b"BYE").has(PROXY_AUTHORIZATION)


def test_the_caller_is_never_shown_credentials() -> None:
    call = Authenticated(trunked())
    call.from_caller(b"INFO", 2)
    call.from_callee(b"BYE", 1)
    assert not any(one.has(PROXY_AUTHORIZATION) for one in call.world.sent_to(CALLER))


def test_a_prack_names_the_invite_as_the_callee_knows_it() -> None:
    world = trunked()
    sent = challenged(world)
    reliable = answer(sent, 183, b"bt1", b"Require: 100rel\r\nRSeq: 41\r\n")
    world.receive(reliable, CALLEE)
    ringing = world.last_to(CALLER)
    route = ringing.need(b"record-route")
    world.receive(
        invite(
            method=b"PRACK",
            branch=b"z9hG4bKprack",
            cseq=2,
            fields=b"Route: " + route + b"\r\nRAck: 41 1 INVITE\r\n",
            to=ringing.to.raw,
        )
    )
    prack = last_of(world, CALLEE, b"PRACK")
    assert (prack.cseq.number, prack.get(b"rack")) == (3, b"41 2 INVITE")


def test_a_cancel_has_the_cseq_of_the_branch_it_cancels() -> None:
    world = trunked()
    sent = challenged(world)
    world.receive(answer(sent, 180), CALLEE)
    world.receive(invite(method=b"CANCEL"))
    assert last_of(world, CALLEE, b"CANCEL").cseq.number == 2
    world.receive(answer(sent, 487), CALLEE)
    final = world.last_to(CALLER)
    assert (final.status, final.cseq.number) == (487, 1)


def test_the_ack_of_a_failure_has_the_cseq_of_its_branch() -> None:
    world = trunked()
    world.receive(answer(challenged(world), 486), CALLEE)
    assert last_of(world, CALLEE, b"ACK").cseq.number == 2
    assert world.last_to(CALLER).cseq.number == 1


def test_a_re_invite_can_be_cancelled_with_the_shift() -> None:
    call = Authenticated(trunked())
    sent = call.from_caller(b"INVITE", 5, branch=b"z9hG4bKre")
    call.world.receive(answer(sent, 180), CALLEE)
    call.world.receive(invite(method=b"CANCEL", branch=b"z9hG4bKre", cseq=5, to=call.final.to.raw))
    assert last_of(call.world, CALLEE, b"CANCEL").cseq.number == 6


def test_a_wrong_password_is_tried_once_and_the_caller_gets_the_407() -> None:
    world = trunked()
    provider = Provider(world)
    world.receive(invite())
    first = last_of(world, CALLEE, b"INVITE")
    asked = provider.challenge(first)
    world.receive(asked, CALLEE)
    second = last_of(world, CALLEE, b"INVITE")
    nonce = asked.partition(b'nonce="')[2].partition(b'"')[0]
    again = provider.challenge(second)
    other = again.partition(b'nonce="')[2].partition(b'"')[0]
    world.receive(again.replace(other, nonce), CALLEE)
    assert world.kinds_to(CALLEE).count("INVITE") == 2
    final = world.last_to(CALLER)
    assert (final.status, final.cseq.number) == (407, 1)


def test_a_newer_nonce_is_answered_once_more_and_no_third_time() -> None:
    world = trunked()
    provider = Provider(world)
    world.receive(invite())
    for _ in range(5):
        sent = last_of(world, CALLEE, b"INVITE")
        world.receive(provider.challenge(sent, stale=True), CALLEE)
    assert [one.cseq.number for one in world.sent_to(CALLEE) if one.method == b"INVITE"] == [
        1,
        2,
        3,
    ]
    assert responses_to(world, CALLER, b"INVITE") == [100, 407]


def test_two_realms_are_both_answered_each_with_a_count_of_its_own() -> None:
    world = trunked()
    proxy = Provider(world, b"trunk.example", 407)
    server = Provider(world, b"far.example", 401)
    world.receive(invite())
    world.receive(proxy.challenge(last_of(world, CALLEE, b"INVITE")), CALLEE)
    second = last_of(world, CALLEE, b"INVITE")
    assert proxy.judge(second, b"me", b"secret") == Verdict.OK
    world.receive(server.challenge(second), CALLEE)
    third = last_of(world, CALLEE, b"INVITE")
    assert third.cseq.number == 3
    assert proxy.judge(third, b"me", b"secret") == Verdict.OK
    assert server.judge(third, b"you", b"other", AUTHORIZATION) == Verdict.OK
    world.receive(answer(third, 200), CALLEE)
    final = world.last_to(CALLER)
    assert (final.status, final.cseq.number) == (200, 1)
    assert b";cs=2" in final.need(b"record-route")


def test_credentials_of_a_stale_nonce_are_replaced_and_not_added_to() -> None:
    world = trunked()
    provider = Provider(world)
    world.receive(invite())
    world.receive(provider.challenge(last_of(world, CALLEE, b"INVITE")), CALLEE)
    world.receive(provider.challenge(last_of(world, CALLEE, b"INVITE"), stale=True), CALLEE)
    assert len(last_of(world, CALLEE, b"INVITE").fields(PROXY_AUTHORIZATION)) == 1


def test_without_a_credential_the_challenge_is_the_callers() -> None:
    world = trunked()
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(Provider(world, b"unknown.example").challenge(sent), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 407]
    assert b"unknown.example" in world.last_to(CALLER).need(b"proxy-authenticate")


def test_the_callers_own_credentials_go_on_untouched() -> None:
    world = trunked()
    own = b'Proxy-Authorization: Digest username="a", realm="a.example", nonce="n", uri="u"\r\n'
    world.receive(invite(fields=own))
    world.receive(Provider(world).challenge(last_of(world, CALLEE, b"INVITE")), CALLEE)
    fields = last_of(world, CALLEE, b"INVITE").fields(PROXY_AUTHORIZATION)
    assert len(fields) == 2
    assert fields[0].startswith(b'Digest username="a"')


FAIL_OVER = script(
    """
@request_route
def main(ctx):
    ctx.on_failure("F")
    return Relay("sip:trunk.example")

@failure_route("F")
def failed(ctx):
    if ctx.check_status("401|407"):
        if ctx.uac.auth():
            ctx.on_failure("F")
            return Relay()
    if ctx.check_status("5xx"):
        return Relay("sip:backup.example")
"""
)


def test_a_trunk_that_takes_over_gets_neither_credentials_nor_shift() -> None:
    world = trunked(FAIL_OVER)
    world.receive(answer(challenged(world), 500), CALLEE)
    sent = last_of(world, OTHER, b"INVITE")
    assert sent.cseq.number == 1
    assert not sent.has(PROXY_AUTHORIZATION)
    assert b"cs=" not in sent.need(b"record-route")
    world.receive(answer(sent, 200), OTHER)
    call = Call.__new__(Call)
    call.world, call.callee, call._branches = world, OTHER, 0
    call.final = world.last_to(CALLER)
    world.receive(
        invite(
            method=b"ACK",
            branch=b"z9hG4bKack",
            uri=b"sip:bob@192.0.2.3",
            fields=b"Route: " + call.final.need(b"record-route") + b"\r\n",
            to=call.final.to.raw,
        )
    )
    assert last_of(world, OTHER, b"ACK").cseq.number == 1


def test_the_trunk_that_takes_over_may_challenge_as_well() -> None:
    world = trunked(
        FAIL_OVER.replace('Relay("sip:backup', 'ctx.on_failure("F") or Relay("sip:backup')
    )
    world.receive(answer(challenged(world), 500), CALLEE)
    provider = Provider(world, b"far.example")
    world.receive(provider.challenge(last_of(world, OTHER, b"INVITE")), OTHER)
    sent = last_of(world, OTHER, b"INVITE")
    assert provider.judge(sent, b"you", b"other") == Verdict.OK
    assert sent.cseq.number == 2
    assert len(sent.fields(PROXY_AUTHORIZATION)) == 1


def test_the_answer_goes_to_the_address_that_asked() -> None:
    world = trunked()
    world.names[b"trunk.example"] = [OTHER, CALLEE]
    world.receive(invite())
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 503), OTHER)
    world.receive(Provider(world).challenge(last_of(world, CALLEE, b"INVITE")), CALLEE)
    assert world.kinds_to(CALLEE).count("INVITE") == 2
    assert world.kinds_to(OTHER).count("INVITE") == 1


def test_a_strict_router_on_the_way_gets_the_answer_as_it_got_the_request() -> None:
    world = trunked(AUTH.replace('Relay("sip:trunk.example")', "Relay()"))
    world.receive(invite(uri=b"sip:bob@b.example", fields=b"Route: <sip:192.0.2.2>\r\n"))
    first = last_of(world, CALLEE, b"INVITE")
    world.receive(Provider(world).challenge(first), CALLEE)
    second = last_of(world, CALLEE, b"INVITE")
    assert (second.request_uri, second.fields(b"route")) == (
        b"sip:192.0.2.2",
        [b"<sip:bob@b.example>"],
    )
    assert (first.request_uri, first.fields(b"route")) == (
        second.request_uri,
        second.fields(b"route"),
    )


def test_of_a_fork_the_challenged_branch_alone_is_sent_again() -> None:
    world = trunked(
        AUTH.replace(
            'Relay("sip:trunk.example")',
            'Relay("sip:trunk.example", "sip:backup.example", parallel=True)',
        )
    )
    world.receive(invite())
    world.receive(answer(last_of(world, OTHER, b"INVITE"), 404), OTHER)
    world.receive(Provider(world).challenge(last_of(world, CALLEE, b"INVITE")), CALLEE)
    assert world.kinds_to(OTHER) == ["INVITE", "ACK"]
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 500), CALLEE)
    assert world.last_to(CALLER).status == 404


def test_other_methods_are_authenticated_alike() -> None:
    world = trunked()
    world.receive(invite(method=b"MESSAGE"))
    provider = Provider(world)
    world.receive(provider.challenge(last_of(world, CALLEE, b"MESSAGE")), CALLEE)
    sent = last_of(world, CALLEE, b"MESSAGE")
    assert provider.judge(sent, b"me", b"secret") == Verdict.OK
    world.receive(answer(sent, 200), CALLEE)
    assert (world.last_to(CALLER).status, world.last_to(CALLER).cseq.number) == (200, 1)


# -- where credentials come from -------------------------------------------------------


FROM_AVPS = AUTH.replace(
    "    if ctx.uac.auth():",
    """    ctx["$avp(arealm)"], ctx["$avp(auser)"], ctx["$avp(apass)"] = {avps}
    if ctx.uac.auth({mode}):""",
)


@pytest.mark.parametrize("realm", ["", "trunk.example"])
def test_the_scripts_own_credentials_come_first(realm: str) -> None:
    world = trunked(FROM_AVPS.format(avps=(realm, "me2", "pw2"), mode=0))
    world.receive(invite())
    provider = Provider(world)
    world.receive(provider.challenge(last_of(world, CALLEE, b"INVITE")), CALLEE)
    sent = last_of(world, CALLEE, b"INVITE")
    assert provider.judge(sent, b"me2", b"pw2") == Verdict.OK


def test_the_scripts_credentials_for_another_realm_do_not_count() -> None:
    world = trunked(FROM_AVPS.format(avps=("else.example", "me2", "pw2"), mode=0))
    challenged(world)


def test_half_the_scripts_credentials_do_not_count() -> None:
    world = trunked(FROM_AVPS.format(avps=("", "me2", ""), mode=0))
    challenged(world)


def test_the_scripts_password_may_be_an_ha1() -> None:
    ha1 = "1d4e56d0a7ed4e6d7c8b6a1d4f2b8f67"
    world = trunked(FROM_AVPS.format(avps=("", "me2", ha1), mode=1))
    world.receive(invite())
    provider = Provider(world)
    world.receive(provider.challenge(last_of(world, CALLEE, b"INVITE")), CALLEE)
    sent = last_of(world, CALLEE, b"INVITE")
    given = parse_credentials(sent, PROXY_AUTHORIZATION)[0]
    assert provider.digest.verify(sent, given, ha1.encode()) == Verdict.OK


def test_no_password_is_ever_logged() -> None:
    world = trunked(FROM_AVPS.format(avps=("else.example", "me2", "pw-in-clear"), mode=0))
    world.receive(invite())
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(Provider(world, b"unknown.example").challenge(sent), CALLEE)
    assert world.log.lines
    assert not any("pw-in-clear" in line or "secret" in line for line in world.log.lines)


# -- inside a dialog -------------------------------------------------------------------


IN_DIALOG = (
    AUTH
    + """
@dialog_route
def inside(ctx):
    ctx.on_failure("TRUNKAUTH")
"""
)


def test_a_challenged_re_invite_of_a_tracked_call_keeps_the_numbers_in_step() -> None:
    text = IN_DIALOG.replace("    ctx.on_failure", "    ctx.track_dialog()\n    ctx.on_failure", 1)
    call = Call(trunked(text))
    call.from_caller(b"ACK", 1)
    first = call.from_caller(b"INVITE", 2)
    call.world.receive(Provider(call.world).challenge(first), CALLEE)
    second = last_of(call.world, CALLEE, b"INVITE")
    assert (first.cseq.number, second.cseq.number) == (2, 3)
    call.world.receive(answer(second, 200), CALLEE)
    assert call.world.last_to(CALLER).cseq.number == 2
    assert call.from_caller(b"ACK", 2).cseq.number == 3
    assert call.from_caller(b"BYE", 3).cseq.number == 4
    assert call.from_callee(b"INFO", 9).cseq.number == 9


def test_a_re_invite_sent_on_after_its_challenge_never_goes_back_in_numbers() -> None:
    text = IN_DIALOG.replace("    ctx.on_failure", "    ctx.track_dialog()\n    ctx.on_failure", 1)
    again = "    if ctx.check_status('5xx'):\n        return Relay('sip:192.0.2.2')\n    if ctx.is_"
    call = Call(trunked(text.replace("    if ctx.is_", again)))
    first = call.from_caller(b"INVITE", 2)
    call.world.receive(Provider(call.world).challenge(first), CALLEE)
    call.world.receive(answer(last_of(call.world, CALLEE, b"INVITE"), 500), CALLEE)
    numbers = [one.cseq.number for one in call.world.sent_to(CALLEE) if one.method == b"INVITE"]
    assert numbers == [1, 2, 3, 3]


def test_a_challenged_re_invite_of_an_untracked_call_keeps_its_number() -> None:
    call = Call(trunked(IN_DIALOG))
    first = call.from_caller(b"INVITE", 2)
    call.world.receive(Provider(call.world).challenge(first), CALLEE)
    second = last_of(call.world, CALLEE, b"INVITE")
    assert second.has(PROXY_AUTHORIZATION)
    assert second.cseq.number == 2
    assert second.via.branch != first.via.branch
    call.world.receive(answer(second, 200), CALLEE)
    assert call.from_caller(b"ACK", 2).cseq.number == 2


def test_the_callees_challenged_requests_have_a_shift_of_their_own() -> None:
    text = IN_DIALOG.replace("    ctx.on_failure", "    ctx.track_dialog()\n    ctx.on_failure", 1)
    call = Call(trunked(text))
    first = call.from_callee(b"INVITE", 5)
    call.world.receive(Provider(call.world).challenge(first), CALLER)
    second = call.world.last_to(CALLER)
    assert (second.method, second.cseq.number) == (b"INVITE", 6)
    call.world.receive(answer(second, 200), CALLER)
    assert call.world.last_to(CALLEE).cseq.number == 5
    assert call.from_callee(b"ACK", 5).cseq.number == 6
    assert call.from_caller(b"INFO", 2).cseq.number == 2


# -- track_cseq = no -------------------------------------------------------------------


def test_the_cseq_stays_where_the_operator_wants_it_so() -> None:
    world = trunked(track_cseq=False)
    sent = challenged(world)
    assert sent.cseq.number == 1
    assert b"cs=" not in sent.need(b"record-route")
    world.receive(answer(sent, 200), CALLEE)
    assert world.last_to(CALLER).cseq.number == 1
