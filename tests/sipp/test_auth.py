"""SIPp on both sides of calls whose callee asks for credentials (RFC 3261 22, RFC 8760).

The scenarios hold each call to its order and to the CSeq numbers of each side. What holds
in all of them, on both sides, is in ``tests.support.sipp_trace``: From and To are replaced
and restored, branches are new where they have to be, answers to challenges are computed
anew. Each callee has a port of its own, so no nonce of one call serves another.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.challenged_calls import (
    CREDENTIALS,
    PASSWORDS,
    SHOWN_FROM,
    SHOWN_TO,
    Pack,
    StartSipp,
    asks,
)
from tests.support.uacproxy_process import UacproxyProcess, uacproxy

INI: Final = (
    CREDENTIALS
    + f"""
[sip]
listen = udp:@HERE@
t1 = 2s

[rule:out]
method = INVITE
replace_from = {" ".join(SHOWN_FROM)}
replace_to = {" ".join(SHOWN_TO)}
auth = yes
auth_caller = yes
@HOW@ = yes

[bridge]
pass_headers = Subject
"""
)


@pytest.fixture(scope="module", params=["relay", "bridge"])
def how(request: pytest.FixtureRequest) -> str:
    """Give what the service does with calls."""
    return str(request.param)


@pytest.fixture(scope="module")
def service(how: str) -> Iterator[UacproxyProcess]:
    """Give the one service of all calls of a kind; no password ever gets into its log."""
    with uacproxy(INI, how=how) as running:
        yield running
        for secret in PASSWORDS.values():
            assert secret not in running.output


@pytest.fixture
def pack(start_sipp: StartSipp, service: UacproxyProcess, tmp_path: Path, how: str) -> Pack:
    """Give what runs scenarios."""
    return Pack(start_sipp, service.address, tmp_path, how)


# -- one challenge -------------------------------------------------------------------------

# What the callee offers, and algorithm, qop and nonce of the answer.
OFFERS: Final = {
    "auth-int": (asks("n", 'qop="auth-int", algorithm=MD5'), ("MD5", "auth-int", "n")),
    "auth-int with the strongest hash": (
        asks("n", 'qop="auth-int", algorithm=SHA-512-256, opaque="o"'),
        ("SHA-512-256", "auth-int", "n"),
    ),
    "SHA-256 only": (asks("n", 'algorithm=SHA-256, qop="auth"'), ("SHA-256", "auth", "n")),
    "a session": (asks("n", 'algorithm=MD5-sess, qop="auth"'), ("MD5-sess", "auth", "n")),
    "the form of RFC 2069": (asks("n", "stale=false"), ("MD5", "", "n")),
    "MD5 and SHA-256 offered": (
        asks("n1") + "\r\n" + asks("n2", 'algorithm=SHA-256, qop="auth"'),
        ("SHA-256", "auth", "n2"),
    ),
}

# The same, as peers have stumbled over it.
OFFERS_OF_2408: Final = {
    "SHA-256 before MD5": (
        asks("n1", 'algorithm=SHA-256, qop="auth"') + "\r\n" + asks("n2"),
        ("SHA-256", "auth", "n1"),
    ),
    "both in one field": (
        asks("n1", 'algorithm=SHA-256, qop="auth,auth-int"')
        + ', Digest realm="provider.example", nonce="n2", qop="auth", algorithm=MD5',
        ("SHA-256", "auth", "n1"),
    ),
    "an unknown algorithm first": (
        asks("n1", 'algorithm=ROT13, qop="auth"') + "\r\n" + asks("n2"),
        ("MD5", "auth", "n2"),
    ),
    "no algorithm named": (asks("n", 'qop="auth"'), ("MD5", "auth", "n")),
    "an unknown algorithm, then none named": (
        asks("n1", 'algorithm=SHA3-256, qop="auth"') + "\r\n" + asks("n2", 'qop="auth"'),
        ("MD5", "auth", "n2"),
    ),
}


@pytest.mark.parametrize("offer", [*OFFERS, *OFFERS_OF_2408])
def test_a_challenge_is_answered_by_what_it_offers(pack: Pack, offer: str) -> None:
    """Of pjproject PR 2408: several challenges in one response, the first of no use."""
    how, wanted = {**OFFERS, **OFFERS_OF_2408}[offer]
    call = pack.call("caller_calls", "callee_asks_once", how=how)
    first, (answer,) = call.callee.answers()
    assert first == []
    assert ((answer.algorithm or "MD5"), answer.qop, answer.nonce) == wanted


def test_of_two_realms_offered_at_once_the_one_we_know_is_answered(pack: Pack) -> None:
    how = asks("n1", realm="unknown.example") + "\r\n" + asks("n2")
    call = pack.call("caller_calls", "callee_asks_once", how=how)
    assert [one.nonce for one in call.callee.answers()[1]] == ["n2"]


# -- a challenge after the challenge -------------------------------------------------------


def test_a_proxy_asks_and_then_the_server_behind_it(pack: Pack) -> None:
    call = pack.call(
        "caller_calls",
        "proxy_asks_then_server",
        how=asks("n1"),
        how_again=asks("n2", 'algorithm=SHA-256, qop="auth"', realm="far.example", by="WWW"),
    )
    last = {one.field: (one.realm, one.nonce, one.nc) for one in call.callee.answers()[2]}
    assert last == {
        "proxy-authorization": ("provider.example", "n1", "00000002"),
        "authorization": ("far.example", "n2", "00000001"),
    }


def test_two_proxies_ask_for_two_realms(pack: Pack) -> None:
    call = pack.call(
        "caller_calls",
        "proxy_asks_twice",
        how=asks("n1"),
        how_again=asks("n2", realm="far.example"),
    )
    last = [(one.realm, one.nonce, one.nc) for one in call.callee.answers()[2]]
    assert last == [
        ("provider.example", "n1", "00000002"),
        ("far.example", "n2", "00000001"),
    ]


# The second challenge of one realm.
NEWER: Final = {
    "stale, with another nonce": asks("n2", 'stale=true, qop="auth", algorithm=MD5'),
    "another nonce and no word": asks("n2"),
    "stale said loudly": asks("n2", 'qop="auth", stale=TRUE'),
}


@pytest.mark.parametrize("newer", NEWER)
def test_a_nonce_that_is_no_longer_good_is_answered_once_more(pack: Pack, newer: str) -> None:
    """Of baresip #717 too: some servers renew a nonce without saying that it was stale."""
    call = pack.call("caller_calls", "proxy_asks_twice", how=asks("n1"), how_again=NEWER[newer])
    given = [[(one.nonce, one.nc) for one in each] for each in call.callee.answers()]
    assert given == [[], [("n1", "00000001")], [("n2", "00000001")]]


def test_a_401_a_401_that_is_stale_and_a_200(pack: Pack) -> None:
    """The calls of sipgo #329: a stale nonce was taken for a wrong password."""
    call = pack.call(
        "caller_calls",
        "server_asks_twice",
        how=asks("n1", 'qop="auth"', by="WWW"),
        how_again=asks("n2", 'qop="auth", stale=true', by="WWW"),
    )
    given = [[(one.field, one.nonce) for one in each] for each in call.callee.answers()]
    assert given == [[], [("authorization", "n1")], [("authorization", "n2")]]


def test_a_wrong_password_is_tried_once_and_the_caller_gets_the_407(pack: Pack) -> None:
    call = pack.call("caller_is_refused", "callee_refuses")
    given = [[(one.nonce, one.nc) for one in each] for each in call.callee.answers()]
    assert given == [[], [("n1", "00000001")]]


# -- after the challenge -------------------------------------------------------------------


def test_a_cancel_and_the_ack_after_it_have_the_number_of_the_invite_they_end(pack: Pack) -> None:
    """Of kamailio #918: INVITE, 407, INVITE with credentials, 180, CANCEL, 487."""
    call = pack.call("caller_cancels", "callee_is_cancelled")
    _, invite = call.callee.received("INVITE")
    _, ack = call.callee.received("ACK")
    (cancel,) = call.callee.received("CANCEL")
    assert {one.branch for one in (cancel, ack)} == {invite.branch}
    assert {one.cseq for one in (cancel, ack)} == {invite.cseq}


def test_a_prack_names_the_invite_as_its_receiver_knows_it(pack: Pack) -> None:
    pack.call("caller_pracks", "callee_rings_reliably")


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_re_invite_of_the_callee_keeps_its_number_whoever_hangs_up(pack: Pack, who: str) -> None:
    """Of kamailio #2559 and OpenSIPS #3041: the numbers of each party rise on their own."""
    pack.call("caller_is_asked_to_renegotiate", "callee_renegotiates", who=who)


def test_the_invite_with_credentials_is_sent_again_as_it_was(pack: Pack) -> None:
    """Of kamailio #679: the copy after a loss had another number."""
    call = pack.call("caller_calls", "callee_hears_late", "-nr")
    assert len(call.callee.received("INVITE")) == 2  # the copy is octet for octet the same


# -- without a challenge, and with one each time -------------------------------------------


def test_each_request_inside_the_dialog_is_answered_for_as_well(pack: Pack) -> None:
    call = pack.call("caller_renegotiates", "callee_asks_always")
    last = [call.callee.answers(method)[-1] for method in ("INVITE", "BYE")]
    assert [[one.nonce for one in each] for each in last] == [["n2"], ["n3"]]


def test_a_prack_is_answered_for_and_the_ack_keeps_the_number_of_the_invite(pack: Pack) -> None:
    call = pack.call("caller_pracks", "callee_asks_at_prack")
    assert [one.nonce for one in call.callee.answers("PRACK")[-1]] == ["n2"]


def test_a_re_invite_that_was_answered_for_can_be_taken_back(pack: Pack) -> None:
    """Of kamailio #918, inside the dialog."""
    call = pack.call("caller_cancels_its_renegotiation", "callee_asks_before_it_is_cancelled")
    (cancel,) = call.callee.received("CANCEL")
    assert cancel.branch == call.callee.received("INVITE")[-1].branch


def test_a_caller_that_asks_its_callee_is_answered_with_numbers_of_that_direction(
    pack: Pack,
) -> None:
    call = pack.call("caller_asks_its_callee", "callee_is_asked")
    call.caller.check_answers(PASSWORDS)
    last = [call.caller.answers(method)[-1] for method in ("INVITE", "BYE")]
    assert [[one.nonce for one in each] for each in last] == [["n1"], ["n2"]]


@pytest.mark.parametrize("second", ["callee_takes_at_once", "callee_finds_it_stale"])
def test_the_next_call_to_the_same_address_brings_its_answer_along(pack: Pack, second: str) -> None:
    before = pack.call("caller_calls", "callee_asks_once", how=asks("n1"))
    port = int(before.callee.received("INVITE")[0].said.request_uri.rpartition(":")[2])
    again = pack.callee(second, port=port)
    pack.caller("caller_calls", again)
    given = [(one.nonce, int(one.nc, 16)) for (one,) in pack.read(again).answers()]
    used = [int(one.nc, 16) for each in before.callee.answers("BYE") for one in each]
    assert given == [("n1", max(used, default=1) + 1), ("n2", 1)][: len(given)]
