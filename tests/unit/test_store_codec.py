"""Records: what a store's octets look like, and what happens to octets that are not ours."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.errors import OwnMistake, StoreCorrupt
from uacproxy.store.codec import decode_record, encode_record

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.binary(),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.integers(0, 10**9 - 1), st.dictionaries(st.text(), LEAVES | st.lists(LEAVES)))
def test_what_went_in_comes_out(version: int, fields: dict[str, object]) -> None:
    record = decode_record(encode_record(version, fields))
    assert (record.version, record.fields) == (version, fields)


@given(VALUES)
def test_nested_values_keep_their_kinds(value: object) -> None:
    record = decode_record(encode_record(1, {"value": value}))
    assert record.fields == {"value": value}


def test_a_record_can_be_read_by_a_person() -> None:
    octets = encode_record(3, {"call_id": b"a84b4c@host", "cseq": 12, "why": "OK", "proxy": None})
    assert octets == b'3 {"call_id":"b:a84b4c@host","cseq":12,"why":"s:OK","proxy":null}'


@given(st.binary())
def test_any_octets_are_a_record_or_corrupt(octets: bytes) -> None:
    with suppress(StoreCorrupt):
        assert isinstance(decode_record(octets).fields, dict)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{}",
        b"1 ",
        b"x {}",
        b"-1 {}",
        b"1 []",
        b"1 7",
        b"1 {",
        b'1 {"a":"no kind"}',
        '1 {"a":"b:\u20ac"}'.encode(),
        b"1 \xff",
        b"1 " + b"[" * 100_000,
        b'1 {"a":' + b"[" * 40 + b"]" * 40 + b"}",
    ],
)
def test_octets_that_are_no_record_are_told_as_corrupt(octets: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        decode_record(octets)


def test_a_field_of_another_kind_is_told_by_its_name() -> None:
    record = decode_record(encode_record(1, {"tag": "text", "cseq": True, "at": 3}))
    assert record.text("tag") == "text"
    assert record.number("at") == 3.0
    assert record.integer("at") == 3
    with pytest.raises(StoreCorrupt, match="tag"):
        record.octets("tag")
    with pytest.raises(StoreCorrupt, match="cseq"):
        record.integer("cseq")
    with pytest.raises(StoreCorrupt, match="absent"):
        record.text("absent")


@pytest.mark.parametrize("value", [object(), {1: 2}, float("nan"), float("inf"), {1, 2}])
def test_a_value_no_record_can_hold_is_our_own_mistake(value: object) -> None:
    with pytest.raises(OwnMistake):
        encode_record(1, {"value": value})
