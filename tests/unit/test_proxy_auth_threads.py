"""What users of other systems met around challenges, CSeq and nonces: one test for each thread."""

from __future__ import annotations

import re

import pytest

from tests.support.calls import last_of, responses_to
from tests.support.trunk import (
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
from uacproxy.sip.message import Message
from uacproxy.sip.names import AUTHORIZATION, CSEQ, PROXY_AUTHORIZATION, RACK, VIA


def challenged(world: World, cseq: int = 1) -> Message:
    world.receive(invite(cseq=cseq))
    return ask(world)


def numbers(world: World, method: bytes, peer: tuple[str, int] = CALLEE) -> list[int]:
    return [one.cseq.number for one in world.sent_to(peer) if one.method == method]


# -- CSeq ------------------------------------------------------------------------------


def test_an_authenticated_invite_sent_again_is_the_same_octets() -> None:
    """Kamailio #679: a retransmission left with the CSeq of the caller."""
    world = trunked()
    challenged(world)
    world.let(4.0)
    sent = [octets for _, to, _, octets in world.sent if to == CALLEE and b"INVITE" in octets[:7]]
    assert len(sent) >= 4
    assert len(set(sent[1:])) == 1
    assert b"CSeq: 2 INVITE" in sent[-1]


def test_the_callers_retransmission_is_absorbed_and_answered_with_its_own_number() -> None:
    """Kamailio #679, from the other side."""
    world = trunked()
    sent = challenged(world)
    world.receive(answer(sent, 180), CALLEE)
    world.receive(invite())
    assert numbers(world, b"INVITE") == [1, 2]
    assert world.last_to(CALLER).get(CSEQ) == b"1 INVITE"


def test_the_ack_of_a_2xx_has_the_number_of_the_invite_that_was_answered() -> None:
    """Kamailio #752."""
    call = TrunkCall(trunked(), cseq=102)
    ack = call.from_caller(b"ACK", 102)
    assert (ack.method, ack.cseq.number) == (b"ACK", call.sent.cseq.number)


@pytest.mark.parametrize("method", [b"BYE", b"INVITE", b"UPDATE", b"INFO", b"REFER", b"MESSAGE"])
def test_later_requests_go_on_from_the_number_of_the_authenticated_invite(method: bytes) -> None:
    """Kamailio #787: they left one behind, and were answered 500."""
    call = TrunkCall(trunked())
    call.from_caller(b"ACK", 1)
    sent = call.from_caller(method, 2)
    assert (sent.method, sent.get(CSEQ)) == (method, b"3 " + method)
    call.world.receive(answer(sent, 200), CALLEE)
    assert call.world.last_to(CALLER).get(CSEQ) == b"2 " + method


@pytest.mark.parametrize(
    "spelled", [b"CSeq:   9\t INVITE ", b"CSEQ :9 INVITE", b"cseq: 0009 INVITE"]
)
def test_a_cseq_in_any_spelling_is_raised(spelled: bytes) -> None:
    """Kamailio #789, #797: the field could not be built anew and the request was lost."""
    world = trunked()
    world.receive(re.sub(rb"CSeq: \d+ INVITE", lambda _: spelled, invite()))
    sent = ask(world)
    assert (sent.cseq.number, is_right(sent)) == (10, True)


def test_a_number_that_gets_longer_leaves_nothing_out_of_place() -> None:
    """Kamailio #789: 9 becomes 10, and the reply 9 again."""
    call = TrunkCall(trunked(), cseq=9)
    assert call.sent.get(CSEQ) == b"10 INVITE"
    assert call.final.get(CSEQ) == b"9 INVITE"


def test_a_cancel_after_the_answer_has_the_number_and_branch_of_its_invite() -> None:
    """Kamailio #918, and OpenSIPS #1565 where the CANCEL was malformed."""
    world = trunked()
    sent = challenged(world)
    world.receive(answer(sent, 180), CALLEE)
    world.receive(invite(method=b"CANCEL"))
    cancel = last_of(world, CALLEE, b"CANCEL")
    assert (cancel.get(CSEQ), cancel.via.branch) == (b"2 CANCEL", sent.via.branch)
    assert (cancel.from_.raw, cancel.to.raw, cancel.request_uri, cancel.call_id) == (
        sent.from_.raw,
        sent.to.raw,
        sent.request_uri,
        sent.call_id,
    )
    assert not cancel.has(PROXY_AUTHORIZATION)
    assert [one for one in cancel.names if one == CSEQ] == [CSEQ]


def test_a_call_cancelled_while_its_challenge_is_on_the_way_is_not_sent_again() -> None:
    """Kamailio #918: CANCEL crosses the 407."""
    world = trunked()
    world.receive(invite())
    first = last_of(world, CALLEE, b"INVITE")
    world.receive(answer(first, 100, b""), CALLEE)
    world.receive(invite(method=b"CANCEL"))
    world.receive(challenge(first), CALLEE)
    assert numbers(world, b"INVITE") == [1]
    assert responses_to(world, CALLER, b"INVITE")[-1] in (407, 487)


def test_the_ack_of_a_failure_has_the_number_of_its_own_invite() -> None:
    """Kamailio #919: the ACKs of the 407 and of the 486 after it are two."""
    world = trunked()
    world.receive(answer(challenged(world), 486), CALLEE)
    assert numbers(world, b"ACK") == [1, 2]
    assert world.last_to(CALLER).get(CSEQ) == b"1 INVITE"


FAIL_OVER = AUTH + (
    '    if ctx.check_status("5xx|403"):\n'
    '        ctx.on_failure("TRUNKAUTH")\n'
    '        return Relay("sip:backup.example")\n'
)
FAIL_OVER = FAIL_OVER.replace(
    '    if ctx.is_canceled or not ctx.check_status("401|407"):\n        return None\n', ""
).replace("    if ctx.uac.auth():", '    if ctx.check_status("401|407") and ctx.uac.auth():')


@pytest.mark.parametrize("status", [403, 500, 503])
def test_after_a_failed_authentication_the_next_trunk_counts_from_the_callers_number(
    status: int,
) -> None:
    """Kamailio #1359: the ACK at the second trunk had the shift of the first."""
    world = trunked(FAIL_OVER)
    world.receive(answer(challenged(world), status), CALLEE)
    sent = last_of(world, OTHER, b"INVITE")
    assert (sent.cseq.number, sent.has(PROXY_AUTHORIZATION)) == (1, False)
    assert b"cs=" not in sent.need(b"record-route")
    assert b"au=" not in sent.need(b"record-route")
    call = TrunkCall.__new__(TrunkCall)
    call.world, call.callee, call._branches = world, OTHER, 0
    call.confirm(sent)
    uri = b"sip:bob@192.0.2.3"
    ack = call.from_caller(b"ACK", 1, uri=uri)
    assert (ack.method, ack.cseq.number) == (b"ACK", 1)
    assert call.from_caller(b"BYE", 2, uri=uri).cseq.number == 2


def test_two_trunks_with_two_credentials_do_not_mix_them() -> None:
    """Kamailio #3166."""
    world = trunked(FAIL_OVER)
    world.receive(answer(challenged(world), 500), CALLEE)
    sent = ask(world, asking(b"far.example", b"f1"), peer=OTHER)
    assert [one.username for one in given(sent)] == [b"you"]
    assert is_right(sent, b"other")
    assert sent.cseq.number == 2


def test_each_side_counts_in_its_own_space_through_a_whole_call() -> None:
    """Kamailio #2559, OpenSIPS #3041, ivozprovider PR 260: re-INVITE of the callee, then BYE."""
    call = TrunkCall(trunked(), cseq=1)
    call.from_caller(b"ACK", 1)
    there = call.from_callee(b"INVITE", 1)
    assert there.get(CSEQ) == b"1 INVITE"
    call.world.receive(answer(there, 200), CALLER)
    assert call.world.last_to(CALLEE).get(CSEQ) == b"1 INVITE"
    assert call.from_callee(b"ACK", 1).get(CSEQ) == b"1 ACK"
    assert call.from_caller(b"INVITE", 2).get(CSEQ) == b"3 INVITE"
    assert call.from_caller(b"ACK", 2).get(CSEQ) == b"3 ACK"
    assert call.from_callee(b"BYE", 2).get(CSEQ) == b"2 BYE"


def test_the_number_of_the_caller_is_hidden_in_no_via() -> None:
    """Kamailio #2654, #4837: the original CSeq in the branch broke the matching of replies."""
    world = trunked()
    sent = challenged(world, 1234567)
    vias = sent.fields(VIA)
    assert re.fullmatch(r"z9hG4bK[0-9a-zA-Z.]+", sent.via.branch.decode())
    assert b"1234567" not in vias[0] and b".cs" not in vias[0]
    assert vias[1] == b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKinvite1"


def test_a_prack_names_the_invite_as_its_callee_knows_it() -> None:
    """The RAck of a PRACK behind an answered challenge (mended in the module in May 2026)."""
    world = trunked()
    sent = challenged(world)
    world.receive(answer(sent, 183, b"bt1", b"Require: 100rel\r\nRSeq: 41\r\n"), CALLEE)
    ringing = world.last_to(CALLER)
    route = b"Route: " + ringing.need(b"record-route") + b"\r\nRAck: 41 1 INVITE\r\n"
    world.receive(
        invite(method=b"PRACK", branch=b"z9hG4bKp", cseq=2, fields=route, to=ringing.to.raw)
    )
    prack = last_of(world, CALLEE, b"PRACK")
    assert (prack.get(CSEQ), prack.get(RACK)) == (b"3 PRACK", b"41 2 INVITE")


# -- nonces ----------------------------------------------------------------------------


STALE = [
    pytest.param(b', stale=true, qop="auth"', id="stale"),
    pytest.param(b', stale=TRUE, qop="auth"', id="stale in capitals"),
    pytest.param(b', stale="true", qop="auth"', id="stale in quotes"),
    pytest.param(b', qop="auth"', id="another nonce, no stale"),
    pytest.param(b', stale=false, qop="auth"', id="another nonce, stale=false"),
]


@pytest.mark.parametrize("more", STALE)
@pytest.mark.parametrize("status", [401, 407])
def test_a_nonce_that_was_too_old_is_no_wrong_password(more: bytes, status: int) -> None:
    """PyVoIP #86, sipgo #329, JsSIP #25, baresip #717 and #786, re PR 226, pjproject #25."""
    name = AUTHORIZATION if status == 401 else PROXY_AUTHORIZATION
    world = trunked()
    world.receive(invite())
    ask(world, asking(nonce=b"n1"), status=status)
    third = ask(world, asking(nonce=b"n2", more=more), status=status)
    assert [one.nonce for one in given(third, name)] == [b"n2"]
    assert is_right(third, name=name)
    assert third.cseq.number == 3
    world.receive(answer(third, 200), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 200]


def test_the_same_nonce_again_is_a_wrong_password_and_is_tried_no_third_time() -> None:
    """A challenge, then one with the same nonce (sipgo #329)."""
    world = trunked()
    world.receive(invite())
    for _ in range(3):
        ask(world, asking(nonce=b"n1"))
    assert numbers(world, b"INVITE") == [1, 2]
    assert responses_to(world, CALLER, b"INVITE") == [100, 407]


def test_a_wrong_password_is_not_sent_unasked_with_the_next_call() -> None:
    """OpenSIPS PR 3270, hass-sip PR 57: each wrong answer counts at the provider's fail2ban."""
    world = trunked(AUTH.replace("    ctx.on_f", '    ctx.uac.auth_as("yes")\n    ctx.on_f', 1))
    world.receive(invite())
    for _ in range(3):
        ask(world, asking(nonce=b"n1"))
    world.receive(invite(call_id=b"c2@a.example", branch=b"z9hG4bKc2"))
    assert not last_of(world, CALLEE, b"INVITE").has(PROXY_AUTHORIZATION)


def test_a_server_with_a_new_nonce_for_each_refusal_is_not_followed_for_ever() -> None:
    world = trunked()
    world.receive(invite())
    for number in range(9):
        ask(world, asking(nonce=b"n%d" % number, more=b', stale=true, qop="auth"'))
    assert numbers(world, b"INVITE") == [1, 2, 3]
    assert responses_to(world, CALLER, b"INVITE") == [100, 407]


# -- several challenges ----------------------------------------------------------------


ONE_FIELD = b", "


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize(
    ("values", "algorithm", "nonce"),
    [
        (
            [b", algorithm=AKAv2-MD5", b", algorithm=SHA-256", b", algorithm=MD5"],
            b"SHA-256",
            b"n1",
        ),
        ([b", algorithm=SHA-256", b", algorithm=MD5"], b"SHA-256", b"n0"),
        ([b", algorithm=MD5", b", algorithm=SHA-256"], b"SHA-256", b"n1"),
        ([b"", b", algorithm=SHA-512-256"], b"SHA-512-256", b"n1"),
        ([b", algorithm=unknown", b""], b"MD5", b"n1"),
    ],
)
def test_the_best_of_several_challenges_is_answered(
    values: list[bytes], algorithm: bytes, nonce: bytes, joined: bool
) -> None:
    """OpenSIPS #2227, pjproject PR 2408, Kamailio #4698, #4161: the first was the only one read."""
    asked = [
        asking(nonce=b"n%d" % at, more=more + b', qop="auth"') for at, more in enumerate(values)
    ]
    world = trunked()
    world.receive(invite())
    sent = ask(world, *([ONE_FIELD.join(asked)] if joined else asked))
    assert [(one.algorithm, one.nonce) for one in given(sent)] == [(algorithm, nonce)]
    assert is_right(sent)


@pytest.mark.parametrize("qop", [b'"auth,auth-int"', b'"auth-int,auth"', b"auth", b'"auth-int"'])
def test_any_list_of_qop_is_answered_with_one_of_them(qop: bytes) -> None:
    """Kamailio #1684."""
    world = trunked()
    world.receive(invite(body=b"v=0\r\n"))
    sent = ask(world, asking(more=b", qop=" + qop))
    assert given(sent)[0].qop in (b"auth", b"auth-int")
    assert is_right(sent)


def test_a_realm_with_quotes_and_one_without_are_answered() -> None:
    """The module rejects both: escapes end its values, and a realm must be quoted."""
    from uacproxy.uac.credentials import Credential, CredentialList

    for value, realm in (
        (rb'Digest realm="a \"b\" c", nonce="n\\1", qop="auth"', b'a "b" c'),
        (b"Digest realm=plain, nonce=n1, qop=auth", b"plain"),
    ):
        world = trunked(credentials=CredentialList([Credential(b"me", realm, b"secret")]))
        world.receive(invite())
        sent = ask(world, value)
        assert given(sent)[0].realm == realm
        assert is_right(sent)
