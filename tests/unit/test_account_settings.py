"""Settings of one account beyond Kamailio's columns: what they may be, and what they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.registrar import account
from tests.unit.test_accounts_row import ROW
from uacproxy.sip.digest_hash import find_algorithm
from uacproxy.uac.account import BadRow, check_row
from uacproxy.uac.account_credentials import credentials_of
from uacproxy.uac.account_settings import (
    ACCOUNT_SETTINGS,
    NO_SETTINGS,
    AccountSettings,
    parse_account_settings,
)
from uacproxy.uac.register_request import RegisterRequest

SHA256 = "AB" * 32


def test_each_setting_has_a_field_and_a_default_that_is_as_if_it_were_not_there() -> None:
    for name, setting in ACCOUNT_SETTINGS.items():
        assert setting.parse("") == getattr(NO_SETTINGS, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transport", "tls"),
        ("realm_policy", "some"),
        ("ha1_sha256", "geheim"),
        ("did_source", "header:a b"),
        ("refresh_from", "9"),
        ("refresh_until", "half"),
        ("outbound", "perhaps"),
    ],
)
def test_a_value_that_cannot_be_skips_the_account_and_is_not_told_where_it_is_secret(
    name: str, value: str
) -> None:
    with pytest.raises(BadRow) as caught:
        check_row(ROW, [(name, value)])
    assert caught.value.column == name
    assert "geheim" not in str(caught.value)


def test_a_name_of_a_newer_version_is_told_and_changes_nothing() -> None:
    assert parse_account_settings([("later", "x")]) == (NO_SETTINGS, ["later"])


def test_an_ha1_of_sha_256_is_a_secret_enough() -> None:
    row = {**ROW, "auth_password": ""}
    one = check_row(row, [("ha1_sha256", SHA256)])
    assert "abab" not in repr(one) + repr(one.settings)
    (credential,) = credentials_of(one)
    answers = {
        name: credential.can_answer(algorithm)
        for name in (b"MD5", b"SHA-256", b"SHA-512-256")
        if (algorithm := find_algorithm(name)) is not None
    }
    assert answers == {b"MD5": False, b"SHA-256": True, b"SHA-512-256": False}
    sha256 = find_algorithm(b"SHA-256")
    assert sha256 is not None
    assert credential.ha1(sha256, b"any") == SHA256.lower().encode()


def test_a_password_beside_it_answers_the_other_algorithms() -> None:
    one = check_row(ROW, [("ha1_sha256", SHA256)])
    (credential,) = credentials_of(one)
    md5 = find_algorithm(b"MD5")
    assert md5 is not None and credential.can_answer(md5)
    assert len(credential.ha1(md5, b"r")) == 32


@pytest.mark.parametrize(
    ("policy", "ha1", "fits"), [("exact", "", False), ("any", "", True), ("any", "0" * 32, False)]
)
def test_the_realm_policy_decides_which_challenges_are_answered(
    policy: str, ha1: str, fits: bool
) -> None:
    settings = AccountSettings(realm_policy=policy)
    one = account(realm="here.example", auth_ha1=ha1, settings=settings)
    (credential,) = credentials_of(one)
    assert credential.fits(b"elsewhere.example") is fits
    assert credential.fits(b"here.example")


@pytest.mark.parametrize(
    ("proxy", "next_hop"),
    [
        ("sip:p.example", b"sip:p.example;transport=tcp"),
        ("sip:p.example;transport=udp", b"sip:p.example;transport=udp"),
        ("", b"sip:provider.example;transport=tcp"),
    ],
)
def test_the_transport_is_that_of_the_setting_where_the_proxy_names_none(
    proxy: str, next_hop: bytes
) -> None:
    one = account(auth_proxy=proxy, settings=AccountSettings(transport="tcp"))
    assert RegisterRequest(one, "192.0.2.1", b"").next_hop.raw == next_hop


def test_the_manual_page_has_every_setting_in_the_words_of_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "accounts.md").read_text()
    missing = [
        name
        for name, one in ACCOUNT_SETTINGS.items()
        if f"| `{name}` | {one.form} | {one.doc} |" not in page
    ]
    assert missing == []
