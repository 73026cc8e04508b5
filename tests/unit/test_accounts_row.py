"""Rows of ``uacreg``: which are accounts, which are skipped, and what is said of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.uac.account import COLUMNS, Account, BadRow, check_row

ROW: dict[str, object] = {
    "id": 7,
    "l_uuid": "trunk7",
    "l_username": "alice",
    "l_domain": "example.com",
    "r_username": "4930123",
    "r_domain": "provider.example",
    "realm": "",
    "auth_username": "4930123",
    "auth_password": "geheim",
    "auth_ha1": "",
    "auth_proxy": "sip:sbc.provider.example",
    "expires": 600,
    "flags": 0,
    "reg_delay": 3,
    "contact_addr": "",
    "contact_user": "",
    "socket": "",
}
MD5_HA1 = "DEADBEEF" * 4


def test_a_row_becomes_an_account() -> None:
    account = check_row(ROW)
    assert {column: getattr(account, column) for column in COLUMNS} == ROW


@pytest.mark.parametrize(
    "column",
    ["l_uuid", "l_username", "l_domain", "r_username", "r_domain", "auth_username", "auth_proxy"],
)
def test_an_empty_required_column_skips_the_row(column: str) -> None:
    with pytest.raises(BadRow, match=f"{column}: is empty") as caught:
        check_row({**ROW, column: ""})
    assert caught.value.column == column
    assert caught.value.code == "bad-row"


@pytest.mark.parametrize("column", ["l_username", "l_domain", "r_username", "auth_username"])
def test_null_says_not_set_and_is_allowed(column: str) -> None:
    assert getattr(check_row({**ROW, column: None}), column) == ""


@pytest.mark.parametrize("column", ["l_uuid", "r_domain"])
def test_without_a_name_or_a_registrar_there_is_no_account(column: str) -> None:
    with pytest.raises(BadRow, match=column):
        check_row({**ROW, column: None})


def test_a_row_without_any_secret_is_skipped() -> None:
    with pytest.raises(BadRow, match="auth_password: is empty, and so is auth_ha1"):
        check_row({**ROW, "auth_password": None})


@pytest.mark.parametrize("ha1", [MD5_HA1, MD5_HA1 * 2])
def test_an_ha1_of_md5_or_sha_256_is_taken_in_small_letters(ha1: str) -> None:
    account = check_row({**ROW, "auth_password": "", "auth_ha1": ha1})
    assert account.auth_ha1 == ha1.lower()


@pytest.mark.parametrize("ha1", ["abc", "x" * 32, MD5_HA1 + " ", MD5_HA1 + "0" * 8])
def test_another_ha1_skips_the_row_and_is_not_told(ha1: str) -> None:
    with pytest.raises(BadRow, match="auth_ha1") as caught:
        check_row({**ROW, "auth_ha1": ha1})
    assert ha1 not in str(caught.value)


def test_columns_an_older_table_lacks_are_not_set() -> None:
    later = {"auth_ha1", "flags", "reg_delay", "contact_addr", "contact_user", "socket", "id"}
    account = check_row({name: value for name, value in ROW.items() if name not in later})
    assert (account.flags, account.reg_delay, account.socket, account.contact_addr) == (
        0,
        0,
        "",
        "",
    )


@pytest.mark.parametrize(
    ("value", "number"), [("600", 600), (b"600", 600), (None, 0), ("", 0), (True, 1)]
)
def test_numbers_may_come_as_sqlite_kept_them(value: object, number: int) -> None:
    assert check_row({**ROW, "expires": value}).expires == number


@pytest.mark.parametrize("value", [-1, 2**32, "ten", "-1", 1.5, b"\xff", "9" * 5000, "\u0663"])
def test_what_is_no_number_of_seconds_skips_the_row(value: object) -> None:
    with pytest.raises(BadRow, match=r"trunk7.*expires"):
        check_row({**ROW, "expires": value})


def test_text_may_come_as_numbers_or_octets() -> None:
    account = check_row({**ROW, "l_username": 100, "l_domain": b"example.com"})
    assert (account.l_username, account.l_domain) == ("100", "example.com")


@pytest.mark.parametrize("column", ["l_uuid", "r_username", "realm", "auth_proxy", "contact_addr"])
@pytest.mark.parametrize("value", ["a\r\nVia: x", "a\x00b", "a\x7f", "a\tb", "\udcff", b"\xff"])
def test_text_that_could_break_a_message_skips_the_row(column: str, value: object) -> None:
    with pytest.raises(BadRow) as caught:
        check_row({**ROW, column: value})
    assert caught.value.column == column
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


def test_a_password_may_hold_anything_but_is_never_shown() -> None:
    account = check_row({**ROW, "auth_password": "ge\theim\n", "auth_ha1": MD5_HA1})
    assert account.auth_password == "ge\theim\n"
    for shown in (repr(account), str(account), f"{account}"):
        assert "heim" not in shown
        assert "deadbeef" not in shown


def test_accounts_are_equal_when_all_but_the_row_number_is() -> None:
    assert check_row(ROW) == check_row({**ROW, "id": 8})
    assert check_row(ROW) != check_row({**ROW, "auth_password": "anders"})


ANYTHING = st.one_of(st.none(), st.text(), st.binary(), st.integers(), st.floats(), st.booleans())


@given(st.fixed_dictionaries(dict.fromkeys(COLUMNS, ANYTHING)))
def test_whatever_a_row_holds_it_is_an_account_or_skipped(row: dict[str, object]) -> None:
    try:
        account = check_row(row)
    except BadRow as error:
        str(error).encode()
    else:
        assert isinstance(account, Account)
