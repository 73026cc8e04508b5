"""Two CSeq spaces: shifting requests, restoring responses, what a Route may claim."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.world import answer, invite
from uacproxy.dialog.cseq import (
    Raised,
    raised_of,
    restore_cseq,
    shift_cseq,
    shift_of,
    shift_rack,
)
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
    shift_rack(request, 2)
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


# -- raised inside the dialog ----------------------------------------------------------


def test_a_request_is_raised_by_the_challenges_at_its_number_and_below() -> None:
    raised = Raised()
    for number in (1, 2, 3, 4):
        raised.passed(number)
        if number in (2, 4):
            raised.raise_at(number)
    assert [raised.shift(number) for number in (1, 2, 3, 4, 5)] == [0, 1, 1, 2, 2]


def test_a_request_sent_again_behind_later_ones_takes_the_next_number() -> None:
    """JsSIP #25: a pending request was challenged when another had gone out."""
    raised = Raised()
    raised.passed(5)
    raised.passed(6)  # went out as 6
    assert 5 + raised.raise_at(5) == 7
    assert 6 + raised.raise_at(6) == 8
    assert 5 + raised.raise_at(5) == 9
    assert 7 + raised.shift(7) == 10
    assert 4 + raised.shift(4) == 4


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=60))
def test_no_number_goes_out_twice_and_none_is_left_out(steps: list[tuple[int, bool]]) -> None:
    raised = Raised()
    sent: list[int] = []
    number = 0
    for back, again in steps:
        if again and number >= back:
            which = number - back + 1
            sent.append(which + raised.raise_at(which))
        else:
            number += 1
            raised.passed(number)
            sent.append(number + raised.shift(number))
    assert sent == list(range(1, len(sent) + 1))


def test_what_was_raised_comes_back_from_a_store() -> None:
    raised = Raised()
    for number in range(1, 40):
        raised.passed(number)
        raised.raise_at(number)
    raised.raise_at(30)
    again = raised_of(json.loads(json.dumps(raised.record())))
    assert [again.shift(n) for n in range(60)] == [raised.shift(n) for n in range(60)]
    assert again.highest == raised.highest


@pytest.mark.parametrize("record", [[], [1, 2, 3, 4], [1, -1, [], []], [1, 0, ["x"], []]])
def test_a_broken_record_is_none(record: list[object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        raised_of(record)
