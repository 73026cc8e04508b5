"""The header of a message: the form in C and the one in Python give the same answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.sip.header import PLAIN, Form, Header, built
from uacproxy.sip.lines import value_of
from uacproxy.sip.parse import parse_message

FORMS: Final = [form for form in (PLAIN, built()) if form is not None]

NAMES: Final = [b"via", b"to", b"x", b"", b"max-forwards"]
LINE: Final = st.sampled_from(
    [
        b"Via: a",
        b"t:b",
        b"To:  <sip:a@b>\r\n ;tag=1",
        b"x:",
        b"",
        b"no colon",
        b"X: \xff \t",
        b"a: b",
    ]
)
STEP: Final = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 12), LINE),
    st.tuples(st.just("insert"), st.integers(0, 12), st.sampled_from(NAMES), LINE),
    st.tuples(st.just("cut"), st.integers(0, 12)),
    st.tuples(st.just("kept"), st.lists(st.sampled_from(NAMES))),
    st.tuples(st.just("copied")),
    st.tuples(st.just("line"), st.integers(0, 12)),
    st.tuples(st.just("value_at"), st.integers(0, 12)),
)
FIELDS: Final = st.lists(st.tuples(st.sampled_from(NAMES), LINE), max_size=8)


def seen(form: Form, header: Header) -> tuple[object, ...]:
    """Return all that can be asked of a header."""
    count = form.count(header)
    return (
        form.names(header),
        form.lines(header),
        [form.find(header, name, begin) for name in NAMES for begin in range(count + 1)],
        [form.line(header, at) for at in range(count)],
        [form.value_at(header, at) for at in range(count)],
        form.length(header),
        form.joined(header, b"start", b"body"),
    )


def played(form: Form, header: Header, steps: list[tuple[Any, ...]]) -> list[object]:
    """Edit step by step; return what was seen of each header, and of its copies at the end."""
    found: list[object] = []
    before: list[Header] = []
    for what, *arguments in steps:
        step: Callable[..., Any] = getattr(form, what)
        try:
            made = step(header, *arguments)
        except IndexError:
            made = "no such field"
        if what in ("kept", "copied"):
            before.append(header)
            header, made = made, None
        found.append((made, form.joined(header, b"start", b"body")))
    return found + [seen(form, one) for one in (*before, header)]


@given(FIELDS, st.lists(STEP, max_size=12))
def test_both_forms_give_the_same_answers(
    fields: list[tuple[bytes, bytes]], steps: list[tuple[Any, ...]]
) -> None:
    names, lines = [name for name, _ in fields], [line for _, line in fields]
    answers = [played(form, form.of_lines(names, lines), steps) for form in FORMS]
    for other in answers[1:]:
        assert other == answers[0]


@given(
    st.lists(st.sampled_from([b"Via: a", b"X: 1", b"y:", b"a: b"]), min_size=3, max_size=8),
    st.lists(STEP, max_size=12),
)
def test_a_header_that_stands_in_octets_is_edited_as_one_of_lines(
    lines: list[bytes], steps: list[tuple[Any, ...]]
) -> None:
    octets = b"\r\n".join([b"ACK sip:a@b SIP/2.0", *lines, b"", b"body"])
    header = parse_message(octets).header
    form = built() or PLAIN
    again = PLAIN.of_lines(form.names(header), form.lines(header))
    assert played(form, header, steps) == played(PLAIN, again, steps)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_kept_has_its_own_octets(form: Form) -> None:
    """A field of two octets cut out between two others leaves them apart."""
    header = form.kept(form.of_lines(NAMES[:3], [b"a: 1", b"x:", b"b: 2"]), [b"via", b"to", b"x"])
    form.cut(header, 1)
    assert form.joined(header, b"start", b"") == b"start\r\na: 1\r\nb: 2\r\n\r\n"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("at", [-1, 2, 1 << 40])
def test_a_place_that_is_not_there_is_an_index_error(form: Form, at: int) -> None:
    header = form.of_lines([b"a", b"b"], [b"a: 1", b"b: 2"])
    beyond = at + 1 if at > 0 else at
    edits: list[Callable[[], object]] = [
        lambda: form.line(header, at),
        lambda: form.find(header, b"a", min(at, -1)),
        lambda: form.value_at(header, at),
        lambda: form.put(header, at, b"c: 3"),
        lambda: form.cut(header, at),
        lambda: form.insert(header, beyond, b"c", b"c: 3"),
    ]
    for edit in edits:
        with pytest.raises(IndexError):
            edit()
    assert form.joined(header, b"s", b"") == b"s\r\na: 1\r\nb: 2\r\n\r\n"


@pytest.mark.parametrize("form", FORMS)
def test_names_without_lines_are_a_value_error(form: Form) -> None:
    with pytest.raises(ValueError, match="as many names as lines"):
        form.of_lines([b"a"], [])


@pytest.mark.skipif(built() is None, reason="Python takes anything")
@pytest.mark.parametrize("name", Form._fields)
def test_the_form_in_c_takes_just_what_it_is_made_for(name: str) -> None:
    form = built()
    assert form is not None
    function: Callable[..., object] = getattr(form, name)
    header = form.of_lines([b"a"], [b"a: 1"])
    for wrong in [(), (1,), (header, 1.5, 1.5), (header, 0, b"a", "text"), (header,) * 5]:
        with pytest.raises(TypeError):
            function(*wrong)
    assert form.lines(header) == [b"a: 1"]


def test_many_fields_are_added_one_by_one() -> None:
    for form in FORMS:
        header = form.of_lines([], [])
        for number in range(300):
            form.insert(header, number // 2, b"x", b"x: %d" % number)
        assert form.count(header) == 300
        assert sorted(form.lines(header)) == sorted(b"x: %d" % number for number in range(300))


def test_a_value_is_that_of_the_line() -> None:
    for form in FORMS:
        header = form.of_lines([b"a", b"b"], [b"A:\t 1 2 ", b"b: 1\r\n 2"])
        assert form.value_at(header, 0) == value_of(b"A:\t 1 2 ")
        assert form.value_at(header, 1) is None


def test_the_compiled_core_has_the_form_in_c() -> None:
    assert built() is not None or os.environ.get("UACPROXY_COMPILE") != "1"


@pytest.mark.skipif(built() is None, reason="lists have their own octets")
def test_a_header_keeps_no_large_body_alive() -> None:
    for behind in (b"x" * 60_000, b"x" * 100):
        octets = b"ACK sip:a@b SIP/2.0\r\nX: 1\r\nContent-Length: 0\r\n\r\n" + behind
        before = sys.getrefcount(octets)
        message = parse_message(octets)
        assert (sys.getrefcount(octets) > before) == (len(behind) == 100)
        assert message.lines == [b"X: 1", b"Content-Length: 0"]
