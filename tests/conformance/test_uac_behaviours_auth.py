"""Behaviours of Kamailio's uac module that can be checked on the wire: 30 to 40, challenges.

Continues ``test_uac_behaviours_modes``; each docstring says where we differ.
"""

from __future__ import annotations

import pytest

from tests.support.calls import Call, last_of, responses_to
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
from uacproxy.sip.names import AUTHORIZATION, CSEQ, PROXY_AUTHORIZATION
from uacproxy.uac.credentials import CredentialList, parse_credential

ALICE = CredentialList([parse_credential("alice:r1:secret")])
URI = b"sip:bob@127.0.0.1:15060"  # of the vectors


def called(world: World, value: bytes, status: int = 407) -> Message:
    """Place the call of the vectors, challenge it; return the INVITE that answers."""
    world.receive(invite(uri=URI))
    return ask(world, value, status=status)


def avps(realm: str, user: str, secret: str, mode: int = 0) -> str:
    return AUTH.replace(
        "    if ctx.uac.auth():",
        f'    ctx["$avp(arealm)"], ctx["$avp(auser)"] = "{realm}", "{user}"\n'
        f'    ctx["$avp(apass)"] = "{secret}"\n'
        f"    if ctx.uac.auth({mode}):",
    )


def test_behaviour_30_a_407_without_qop_is_answered_in_the_fields_usual_order() -> None:
    sent = called(trunked(credentials=ALICE), asking(b"r1", b"n1", b""))
    assert sent.need(PROXY_AUTHORIZATION) == (
        b'Digest username="alice", realm="r1", nonce="n1", uri="sip:bob@127.0.0.1:15060", '
        b'response="da06b8f1a179a782644de5c0bd6cf115", algorithm=MD5'
    )
    assert not sent.has(AUTHORIZATION)


def test_behaviour_31_a_401_with_opaque_and_qop_has_opaque_before_qop_and_nc_one() -> None:
    """The cnonce is not derived from the nonce alone: two calls have two."""
    value = asking(b"r1", b"n1", b', opaque="op", qop="auth"')
    cnonces = set()
    for _ in range(2):
        sent = called(trunked(credentials=ALICE), value, 401)
        field = sent.need(AUTHORIZATION)
        assert b', opaque="op", qop=auth, nc=00000001, cnonce="' in field
        assert field.endswith(b'", algorithm=MD5')
        assert not sent.has(PROXY_AUTHORIZATION)
        assert is_right(sent, name=AUTHORIZATION)
        cnonces.add(given(sent, AUTHORIZATION)[0].cnonce)
    world = trunked(credentials=ALICE)
    world.receive(invite(uri=URI, call_id=b"another@a.example"))
    other = ask(world, value, status=401)
    assert given(other, AUTHORIZATION)[0].cnonce not in cnonces


@pytest.mark.parametrize(
    ("offered", "qop"),
    [
        (b"auth,auth-int", b"auth"),
        (b"auth-int, auth", b"auth"),  # the module's own answer to this one is refused
        (b"auth-int", b"auth-int"),  # so is this, which it cannot do
    ],
)
def test_behaviour_32_of_the_qop_values_offered_auth_is_used(offered: bytes, qop: bytes) -> None:
    """Kamailio #1684; the module computes with the text of the list as it came."""
    sent = called(trunked(credentials=ALICE), asking(b"r1", b"n1", b', qop="%b"' % offered))
    assert given(sent)[0].qop == qop
    assert is_right(sent)


def test_behaviour_33_the_strongest_of_several_challenges_is_answered_with_its_own_nonce() -> None:
    """The module has no SHA-512-256; of equally long hashes the server's order counts."""
    world = trunked(credentials=ALICE)
    world.receive(invite(uri=URI))
    sent = ask(
        world,
        asking(b"r1", b"m", b', algorithm=MD5, qop="auth"'),
        asking(b"r1", b"s", b', algorithm=SHA-256, qop="auth"'),
        asking(b"r1", b"l", b', algorithm=SHA-512-256, qop="auth"'),
    )
    assert [(one.algorithm, one.nonce) for one in given(sent)] == [(b"SHA-256", b"s")]
    assert is_right(sent)


def test_behaviour_34_a_challenge_with_an_unknown_algorithm_alone_goes_on_as_it_came() -> None:
    world = trunked(credentials=ALICE)
    world.receive(invite())
    value = asking(b"r1", b"n1", b', algorithm=AKAv1-MD5, qop="auth"')
    sent = last_of(world, CALLEE, b"INVITE")
    world.receive(challenge(sent, value, status=401), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 401]
    assert world.last_to(CALLER).fields(b"www-authenticate") == [value]
    assert world.kinds_to(CALLEE) == ["INVITE", "ACK"]


def test_behaviour_35_the_retry_is_the_same_request_with_credentials_last() -> None:
    """The branch is another one, and CSeq the next: the module's stays, against RFC 3261 22.2."""
    text = AUTH.replace(
        "    ctx.on_failure",
        '    ctx.uac.replace_from("sip:7@trunk.example")\n    ctx.on_failure',
        1,
    )
    world = trunked(text)
    world.receive(invite(cseq=7, fields=b"Subject: x\r\n", body=b"v=0\r\n"))
    first = last_of(world, CALLEE, b"INVITE")
    second = ask(world)
    assert second.names[-1] == PROXY_AUTHORIZATION
    assert second.via.branch != first.via.branch
    assert (first.cseq.number, second.cseq.number) == (7, 8)
    assert (second.call_id, second.from_.raw, second.to.raw) == (
        first.call_id,
        first.from_.raw,
        first.to.raw,
    )
    assert second.from_.uri == b"sip:7@trunk.example"
    assert second.to.tag == b""
    assert (second.request_uri, second.body) == (first.request_uri, first.body)
    assert second.get(b"subject") == b"x"


def test_behaviour_36_an_avp_realm_that_differs_leaves_the_credential_of_the_realm() -> None:
    sent = called(trunked(avps("else.example", "me2", "pw2"), credentials=ALICE), asking(b"r1"))
    assert given(sent)[0].username == b"alice"
    assert is_right(sent)


def test_behaviour_36_with_no_credential_of_the_realm_either_the_401_goes_on() -> None:
    world = trunked(avps("else.example", "me2", "pw2"), credentials=ALICE)
    world.receive(invite())
    ask(world, asking(b"R1"), status=401)  # realms are compared octet by octet
    assert responses_to(world, CALLER, b"INVITE") == [100, 401]


def test_behaviour_37_an_empty_avp_realm_answers_any_with_the_realm_asked_for() -> None:
    sent = called(trunked(avps("", "me2", "pw2"), credentials=ALICE), asking(b"whatever"))
    assert (given(sent)[0].username, given(sent)[0].realm) == (b"me2", b"whatever")
    assert is_right(sent, b"pw2")


def test_behaviour_38_an_ha1_is_used_as_it_is_and_the_next_call_is_not_affected() -> None:
    """In the module the mark stays with the process, and plain passwords fail from then on."""
    ha1 = "0123456789abcdef0123456789abcdef"
    text = avps("", "alice", ha1, 1).replace(
        "    if ctx.uac.auth(1):",
        '    if ctx["$rU"] == "plain":\n'
        '        ctx["$avp(apass)"] = "secret"\n'
        '    if ctx.uac.auth(0 if ctx["$rU"] == "plain" else 1):',
    )
    world = trunked(text)
    sent = called(world, asking(b"r1", b"n1", b""))
    assert given(sent)[0].response == b"bdb33dc62e6a386809e578adeca464e1"
    world.receive(
        invite(uri=b"sip:plain@b.example", call_id=b"c2@a.example", branch=b"z9hG4bKplain")
    )
    assert is_right(ask(world, asking(b"r1", b"n1", b"")))


def test_behaviour_38_an_ha1_of_64_digits_answers_sha_256() -> None:
    """The module's table and ``$uac_req`` have no room for one."""
    import hashlib

    ha1 = hashlib.sha256(b"alice:r1:secret").hexdigest()
    world = trunked(avps("", "alice", ha1, 1), credentials=CredentialList())
    world.receive(invite())
    sent = ask(world, asking(b"r1", b"m"), asking(b"r1", b"s", b', algorithm=SHA-256, qop="auth"'))
    assert given(sent)[0].algorithm == b"SHA-256"
    assert is_right(sent)


def test_behaviour_39_numbers_are_one_ahead_toward_the_callee_for_the_whole_dialog() -> None:
    """Without a tracked dialog too, which the module needs for it."""
    call = TrunkCall(trunked(), cseq=5)
    assert [call.first.cseq.number, call.sent.cseq.number] == [5, 6]
    assert call.final.get(CSEQ) == b"5 INVITE"
    assert call.from_caller(b"ACK", 5).cseq.number == 6
    assert call.from_caller(b"BYE", 6).cseq.number == 7
    call.world.receive(answer(call.world.last_to(CALLEE), 200), CALLEE)
    assert call.world.last_to(CALLER).get(CSEQ) == b"6 BYE"


def test_behaviour_39_a_cancel_and_the_ack_of_a_failure_have_the_number_of_their_invite() -> None:
    world = trunked()
    world.receive(invite(cseq=5))
    sent = ask(world)
    world.receive(answer(sent, 180), CALLEE)
    world.receive(invite(method=b"CANCEL", cseq=5))
    assert last_of(world, CALLEE, b"CANCEL").get(CSEQ) == b"6 CANCEL"
    world.receive(answer(sent, 487), CALLEE)
    assert last_of(world, CALLEE, b"ACK").get(CSEQ) == b"6 ACK"
    assert world.last_to(CALLER).get(CSEQ) == b"5 INVITE"


def test_behaviour_39_with_track_cseq_off_numbers_stay_as_the_caller_gave_them() -> None:
    """What the module does without dialog tracking."""
    call = TrunkCall(trunked(track_cseq=False), cseq=5)
    assert call.sent.cseq.number == 5
    assert call.from_caller(b"ACK", 5).cseq.number == 5
    assert call.from_caller(b"INFO", 6).cseq.number == 6
    assert ask(call.world).cseq.number == 6


@pytest.mark.parametrize(
    "value",
    [
        asking(b"r1", b"n1", b', qop="foo"'),
        asking(b"r1", b"n1", b', qop="AUTH"'),
        asking(b"r1", b"n1", b", algorithm=MD5-sess"),
        asking(b"r1", b"n1", b', algorithm=MD5-sess, qop=""'),
        asking(b"r1", b"", b', qop="auth"'),
        b'Digest nonce="n1", qop="auth"',
        b'Digest realm="r1", qop="auth"',
        b'Digest realm="r1", nonce="n1',
        b"Digest",
        b"Basic realm=r1",
        b'Digest realm="r1", nonce="n1", nonce="n2", qop="auth"',
        b"\xff\xfe ,,, =",
        b"",
    ],
)
@pytest.mark.parametrize("status", [401, 407])
def test_behaviour_40_a_challenge_that_cannot_be_answered_goes_on_as_it_came(
    value: bytes, status: int
) -> None:
    world = trunked(credentials=ALICE)
    call = invite()
    world.receive(call)
    world.receive(challenge(last_of(world, CALLEE, b"INVITE"), value, status=status), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, status]
    name = b"www-authenticate" if status == 401 else b"proxy-authenticate"
    assert world.last_to(CALLER).fields(name) == [value]
    assert world.kinds_to(CALLEE) == ["INVITE", "ACK"]


def test_behaviour_40_an_empty_qop_is_none() -> None:
    sent = called(trunked(credentials=ALICE), asking(b"r1", b"n1", b', qop=""'))
    assert given(sent)[0].response == b"da06b8f1a179a782644de5c0bd6cf115"
    assert b"qop" not in sent.need(PROXY_AUTHORIZATION)


# -- limits of the module that are not here (section 7) --------------------------------


def test_limit_5_a_proxy_and_the_far_end_are_both_satisfied() -> None:
    """The second answer of the module leaves without the first."""
    world = trunked()
    world.receive(invite())
    ask(world, asking(), status=407)
    third = ask(world, asking(b"far.example", b"f"), status=401)
    assert is_right(third)
    assert is_right(third, b"other", AUTHORIZATION)
    assert given(third)[0].nc == b"00000002"
    assert third.cseq.number == 3


def test_limit_25_a_fork_to_several_registrars_is_authenticated_at_each() -> None:
    """Kamailio #3360: each branch is answered while the others go on."""
    text = (
        AUTH.replace(
            '    ctx.on_failure("TRUNKAUTH")\n    return Relay("sip:trunk.example")',
            '    ctx.on_branch_failure("ONE")\n'
            '    return Relay("sip:trunk.example", "sip:backup.example", parallel=True)',
        )
        .replace("@failure_route", "@branch_failure_route")
        .replace("TRUNKAUTH", "ONE")
    )
    text = text.replace("        ctx.on_failure(", "        ctx.on_branch_failure(")
    text = text.replace("    Drop,", "    branch_failure_route, Drop,")
    world = trunked(text)
    world.receive(invite())
    here = ask(world, asking(b"trunk.example", b"n1"))
    assert is_right(here)
    there = ask(world, asking(b"far.example", b"n2"), peer=OTHER)
    assert is_right(there, b"other")
    assert responses_to(world, CALLER, b"INVITE") == [100]
    world.receive(answer(here, 180), CALLEE)
    world.receive(answer(there, 200), OTHER)
    assert responses_to(world, CALLER, b"INVITE") == [100, 180, 200]
    assert world.kinds_to(CALLEE)[-1] == "CANCEL"


def test_limit_28_the_clients_own_credentials_for_our_realm_do_not_go_beside_ours() -> None:
    own = b'Proxy-Authorization: Digest username="a", realm="trunk.example", nonce="o", uri="u", '
    world = trunked()
    world.receive(invite(fields=own + b'response="0"\r\n'))
    assert last_of(world, CALLEE, b"INVITE").fields(PROXY_AUTHORIZATION)[0].startswith(b"Digest")
    assert [one.username for one in given(ask(world))] == [b"me"]


def test_limit_30_requests_inside_the_dialog_are_answered_without_a_script() -> None:
    """OpenSIPS #1064; the module needs a failure route that is armed for them."""
    call = TrunkCall(trunked())
    call.from_caller(b"ACK", 1)
    call.from_caller(b"BYE", 2)
    again = ask(call.world, asking(nonce=b"n2"))
    assert (again.method, again.cseq.number) == (b"BYE", 4)
    assert is_right(again)
    call.world.receive(answer(again, 200), CALLEE)
    assert responses_to(call.world, CALLER, b"BYE") == [200]


def test_limit_30_without_any_challenge_to_the_invite_a_rule_answers_them_too() -> None:
    from tests.support.trunk import AS_RULE

    call = Call(trunked(AS_RULE))
    call.from_caller(b"BYE", 2)
    again = ask(call.world)
    assert (again.cseq.number, is_right(again)) == (3, True)
