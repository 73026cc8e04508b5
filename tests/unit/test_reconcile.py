"""What a reload changes: the difference between two sets of accounts, and nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.registrar import account
from uacproxy.uac.account import Account
from uacproxy.uac.account_settings import AccountSettings
from uacproxy.uac.reconcile import is_same_on_the_wire, reconcile

UUIDS = st.sampled_from("abcdefgh")
ACCOUNTS = st.dictionaries(UUIDS, st.integers(0, 2)).map(
    lambda drawn: {name: account(name, expires=600 + number) for name, number in drawn.items()}
)


def applied(
    known: dict[str, Account], wanted: dict[str, Account], kept: set[str]
) -> dict[str, Account]:
    changes = reconcile(known, wanted.values(), kept)
    result = {name: one for name, one in known.items() if name not in changes.removed}
    for one in (*changes.added, *changes.changed):
        result[one.l_uuid] = one
    return result


@given(ACCOUNTS, ACCOUNTS, st.sets(UUIDS))
def test_what_is_applied_is_what_is_wanted_and_what_is_kept(
    known: dict[str, Account], wanted: dict[str, Account], kept: set[str]
) -> None:
    stays = {name: one for name, one in known.items() if name in kept}
    assert applied(known, wanted, kept) == {**stays, **wanted}


@given(ACCOUNTS, ACCOUNTS, st.sets(UUIDS))
def test_nothing_is_in_two_lists_and_only_what_differs_is_in_one(
    known: dict[str, Account], wanted: dict[str, Account], kept: set[str]
) -> None:
    changes = reconcile(known, wanted.values(), kept)
    named = [one.l_uuid for one in (*changes.added, *changes.changed)] + changes.removed
    assert len(named) == len(set(named))
    assert all(known.get(name) != wanted.get(name) for name in named)
    assert not kept.intersection(changes.removed)


@given(ACCOUNTS, ACCOUNTS, st.sets(UUIDS))
def test_once_applied_there_is_nothing_to_do(
    known: dict[str, Account], wanted: dict[str, Account], kept: set[str]
) -> None:
    assert not reconcile(applied(known, wanted, kept), wanted.values(), kept)


def test_the_number_of_a_row_is_no_difference() -> None:
    assert not reconcile({"a": account("a", id=1)}, [account("a", id=2)])


def test_only_what_the_provider_sees_is_a_difference_on_the_wire() -> None:
    before = account()
    same: list[dict[str, Any]] = [
        {"l_username": "bob"},
        {"l_domain": "b.example"},
        {"reg_delay": 9},
        {"flags": 16},
        {"settings": AccountSettings(did=("1",), did_source="to")},
    ]
    other: list[dict[str, Any]] = [
        {"auth_password": "x"},
        {"auth_ha1": "0" * 32},
        {"expires": 1},
        {"realm": "r"},
        {"socket": "udp:192.0.2.1:5060"},
        {"settings": AccountSettings(transport="tcp")},
    ]
    assert [is_same_on_the_wire(before, account(**one)) for one in same] == [True] * 5
    assert [is_same_on_the_wire(before, account(**one)) for one in other] == [False] * 6
