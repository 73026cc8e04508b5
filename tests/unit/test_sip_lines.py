"""Lines changed in one step are what step by step would give; where not, nothing is made."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.errors import OwnMistake, ParseError
from uacproxy.sip import lines
from uacproxy.sip.grammar import WHITE, is_digits
from uacproxy.sip.lines import value_of
from uacproxy.sip.message import Message, message_of
from uacproxy.sip.via import parse_via

OCTETS = st.lists(
    st.sampled_from(
        [b"a", b"B", b":", b" ", b"\t", b"\r\n ", b"\n", b"\r", b"<", b";", b"1", b"\xff", b"\0"]
    ),
    max_size=8,
).map(b"".join)
PARAMS = st.lists(
    st.sampled_from(
        [
            *(b";rport", b";RPort=7", b";received=1.2.3.4", b";Received", b";branch=z9hG4bKa"),
            *(b";maddr=h", b";a=b=c", b";x", b' ;y="q;rport"', b";rport;rport", b";z" + b"z" * 90),
        ]
    ),
    max_size=9,
).map(b"".join)


def message(line: bytes) -> Message:
    return message_of(b"ACK sip:a@b SIP/2.0", b"ACK", b"sip:a@b", 0, b"", [b"to"], [line], b"body")


@given(OCTETS, OCTETS, OCTETS, OCTETS)
def test_a_swapped_line_differs_only_where_its_value_begins(
    name: bytes, old: bytes, tail: bytes, new: bytes
) -> None:
    line = name + b":" + old + tail
    made = lines.swapped(line, old, new)
    if made is not None:
        kept = line[: line.find(b":") + 1]
        value = line[len(kept) :]
        lead = value[: len(value) - len(value.lstrip(WHITE))]
        assert made == kept + lead + new + value[len(lead) + len(old) :]
        assert b"\n" not in new and b"\r" not in new


@given(OCTETS, OCTETS)
def test_a_line_given_a_value_keeps_its_name(line: bytes, value: bytes) -> None:
    made = lines.given(line, value)
    if made is not None:
        assert made == line[: line.find(b":") + 1] + b" " + value
        assert b"\n" not in value and b"\r" not in value
    if lines.field(line, value) is not None:
        assert lines.field(line, value) == line + b": " + value


@given(st.sampled_from([b"1", b"007", b"255", b"256", b"", b"9" * 21, b"+1", b"\xb2"]), OCTETS)
def test_a_number_counted_in_one_step_is_the_value(digits: bytes, behind: bytes) -> None:
    line = b"Max-Forwards: " + digits + behind
    found = lines.count(line, 255)
    if found is not None:
        assert is_digits(value_of(line))
        assert found == int(value_of(line)) <= 255


@given(PARAMS, st.sampled_from([b"", b"192.0.2.1", b"2001:db8::1"]), st.integers(0, 65535))
def test_a_via_marked_in_one_step_is_the_same_via(
    params: bytes, received: bytes, port: int
) -> None:
    via = parse_via(b"SIP/2.0/UDP h:5060" + params)
    made = lines.marked(via.raw, received, port)
    if made is not None:
        assert made == via._marked_slowly(received, port)


@pytest.mark.parametrize("value", [b"a\r\nInjected: b", b"a\nb", b"a\rb"])
def test_no_edit_puts_a_line_break_into_a_value(value: bytes) -> None:
    edits: list[Callable[[Message], None]] = [
        lambda one: one.set(b"to", value),
        lambda one: one.append(b"to", value),
        lambda one: one.push(b"to", value),
        lambda one: one.swap_value(b"to", b"<sip", value),
    ]
    for edit in edits:
        one = message(b"To: <sip:a@b>")
        with pytest.raises(OwnMistake):
            edit(one)
        assert one.lines == [b"To: <sip:a@b>"]


@pytest.mark.parametrize("hops", [b"256", b"-1", b"", b"1 2", b"99999999999999999999999"])
def test_hops_that_are_no_number_up_to_255_are_an_error(hops: bytes) -> None:
    one = message(b"To: <sip:a@b>")
    one.append(b"max-forwards", hops)
    with pytest.raises(ParseError):
        assert one.max_forwards


@pytest.mark.skipif(
    lines.marked(b"SIP/2.0/UDP h;rport", b"", 9) is None, reason="what was not built takes anything"
)
@pytest.mark.parametrize("given", [(), (b"",), (b"", b""), (b"", b"", 9, 9), (b"", b"", b"")])
def test_a_call_without_just_what_it_takes_is_a_type_error(given: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        lines.marked(*given)  # type: ignore[arg-type]  # that is the mistake


def test_the_compiled_core_writes_what_is_usual_in_one_step() -> None:
    if os.environ.get("UACPROXY_COMPILE") == "1":
        assert lines.swapped(b"To: a;tag=1", b"a", b"b") == b"To: b;tag=1"
        assert lines.given(b"Max-Forwards: 70", b"69") == b"Max-Forwards: 69"
        assert lines.field(b"To", b"a") == b"To: a"
        assert lines.count(b"Max-Forwards: 70", 255) == 70
        assert lines.marked(b"SIP/2.0/UDP h;rport", b"", 9) == b"SIP/2.0/UDP h;rport=9"
