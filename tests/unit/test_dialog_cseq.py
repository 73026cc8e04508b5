"""Two CSeq spaces: shifting requests, restoring responses, what a Route may claim."""

from __future__ import annotations

import pytest

from tests.support.world import answer, invite
from uacproxy.dialog.cseq import restore_cseq, shift_cseq, shift_of
from uacproxy.sip.parse import parse_message
from uacproxy.sip.uri import parse_uri


@pytest.mark.parametrize(
    ("value", "shift"),
    [
        (b";cs=1", 1),
        (b";cs=9999", 9999),
        (b";CS=3", 3),
        (b"", 0),
        (b";cs", 0),
        (b";cs=", 0),
        (b";cs=-1", 0),
        (b";cs=+1", 0),
        (b";cs=1x", 0),
        (b";cs=12345", 0),
        (b";cs=%31", 0),
    ],
)
def test_a_route_says_by_how_much_the_numbers_differ(value: bytes, shift: int) -> None:
    assert shift_of(parse_uri(b"sip:192.0.2.100;lr" + value)) == shift


def test_a_shifted_request_keeps_its_method_and_spelling() -> None:
    request = parse_message(invite(cseq=41).replace(b"CSeq:", b"CSEQ :"))
    shift_cseq(request, 2)
    assert b"CSEQ : 43 INVITE\r\n" in request.encode() or b"CSEQ: 43 INVITE" in request.encode()
    assert (request.cseq.number, request.cseq.method) == (43, b"INVITE")


@pytest.mark.parametrize(
    ("rack", "shifted"),
    [
        (b"776656 1 INVITE", b"776656 3 INVITE"),
        (b"1  7   INVITE", b"1 9 INVITE"),
        (b"1 x INVITE", b"1 x INVITE"),
        (b"1 INVITE", b"1 INVITE"),
        (b"1 99999999999 INVITE", b"1 99999999999 INVITE"),
        (b"", b""),
    ],
)
def test_the_number_inside_rack_is_shifted_where_there_is_one(rack: bytes, shifted: bytes) -> None:
    request = parse_message(invite(method=b"PRACK", fields=b"RAck: " + rack + b"\r\n"))
    shift_cseq(request, 2)
    assert request.get(b"rack") == shifted


def test_a_response_shows_the_number_of_the_request_as_it_came() -> None:
    received = parse_message(invite(cseq=7))
    sent = received.branch_copy()
    shift_cseq(sent, 1)
    response = parse_message(answer(sent, 200))
    restore_cseq(response, received)
    assert response.get(b"cseq") == b"7 INVITE"


def test_a_folded_cseq_is_restored_to_one_that_can_be_read() -> None:
    received = parse_message(invite(cseq=7).replace(b"CSeq: 7 INVITE", b"CSeq: 7\r\n INVITE"))
    response = parse_message(answer(received, 200))
    restore_cseq(response, received)
    again = parse_message(response.encode())
    assert (again.cseq.number, again.cseq.method) == (7, b"INVITE")
