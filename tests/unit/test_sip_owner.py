"""Whose a message is: every message of a call names one worker, in C and in Python alike."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_sip_scan import INVITE, PIECES, RINGING, spoiled
from uacproxy.sip import scan
from uacproxy.sip.owner import NOBODY, find_owner, owner_of, owner_of_token
from uacproxy.transaction.tokens import OwnTokens, SystemRandom

REGISTER = (
    b"REGISTER sip:pbx.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKr\r\n"
    b'To: "Bob" <SIP:bob@pbx.example>\r\nFrom: <sip:bob@pbx.example>;tag=1\r\n'
    b"Call-ID: 17@phone\r\nCSeq: 1 REGISTER\r\n\r\n"
)
OURS = RINGING.replace(b"[::1];", b"[::1];Branch=z9hG4bKours;")


@pytest.mark.parametrize(
    ("octets", "token"),
    [
        (INVITE, b"1@a"),
        (INVITE.replace(b"Call-ID: ", b"i :\t"), b"1@a"),
        (INVITE.replace(b"Call-ID: ", b"CALL-id:\r\n "), b"1@a"),
        (b"\r\n" + INVITE.replace(b"1@a", b"1@a  "), b"1@a"),
        (RINGING, b"a"),  # another's branch: the call decides
        (OURS, b"ours"),
        (OURS.replace(b"\r\nVia: ", b"\r\nv: SIP/2.0/UDP x;branch=z9hG4bKtop\r\nVia: "), b"top"),
        (OURS.replace(b";maddr", b"\r\n ;maddr"), b"ours"),
        (OURS.replace(b"ours;", b"ours.l17;"), b"ours"),  # with the loop mark of the proxy
        (REGISTER, b"bob"),
        (REGISTER.replace(b"bob@pbx.example>\r\nFrom", b"pbx.example>\r\nFrom"), b"17@phone"),
    ],
)
def test_a_message_belongs_to_whom_its_octets_name(octets: bytes, token: bytes) -> None:
    for workers in (1, 2, 3, 64):
        assert owner_of(octets, workers) == owner_of_token(token, workers)
        assert find_owner(octets, workers) == owner_of_token(token, workers)


@pytest.mark.parametrize(
    "octets", [b"", b"\r\n", b"OPTIONS sip:a SIP/2.0\r\n\r\nCall-ID: body\r\n", b"x\nCall-ID:\n\n"]
)
def test_what_names_nobody_belongs_to_nobody(octets: bytes) -> None:
    assert owner_of(octets, 2) == NOBODY
    assert find_owner(octets, 2) == NOBODY


@given(st.sampled_from([INVITE, RINGING, OURS, REGISTER]).flatmap(spoiled))
def test_both_forms_give_the_same_answer_to_spoiled_messages(octets: bytes) -> None:
    assert scan.owner(octets, 1000003) in (None, find_owner(octets, 1000003))


@given(
    st.lists(st.one_of(PIECES, st.sampled_from([b"\nVia:", b"\ni:", b"\nt:", b"SIP/", b"z9hG4bK"])))
)
def test_both_forms_give_the_same_answer_to_anything(pieces: list[bytes]) -> None:
    octets = b"".join(pieces)
    assert scan.owner(octets, 1000003) in (None, find_owner(octets, 1000003))


def test_every_token_of_a_worker_names_it() -> None:
    drawn = OwnTokens(SystemRandom(random.randbytes, random.uniform), 2, 5)
    tokens = [drawn.token() for _ in range(100)]
    assert {owner_of_token(token, 5) for token in tokens} == {2}
    assert len(set(tokens)) == 100
