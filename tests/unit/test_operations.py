"""The table of verbs: what an operator gets, and the faults of the module."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_service import SmallService, operations_of, record
from uacproxy.errors import ScriptError, StoreUnavailable
from uacproxy.manage.operations import VERBS
from uacproxy.manage.records import shown_record
from uacproxy.manage.verb import Fault, Later, Parting, Rows, Value

MANUAL = Path(__file__).parents[2] / "docs" / "management.md"

# as uac.reg_info of the module prints them
STRUCT = [
    "l_uuid",
    "l_username",
    "l_domain",
    "r_username",
    "r_domain",
    "realm",
    "auth_username",
    "auth_password",
    "auth_ha1",
    "auth_proxy",
    "expires",
    "flags",
    "diff_expires",
    "timer_expires",
    "reg_init",
    "reg_delay",
    "contact_addr",
    "socket",
    "contact_user",
]


def answer(service: SmallService, verb: str, *arguments: str) -> Any:
    result = operations_of(service).call(verb, arguments)
    if isinstance(result, Parting):
        result.act()
        return result.value
    if isinstance(result, Later):
        answers: list[Value | Rows | Fault] = []
        result.begin(answers.append, answers.append)
        if isinstance(answers[0], Fault):
            raise answers[0]
        return answers[0]
    return list(result) if isinstance(result, Iterator) else result


def fault(service: SmallService, verb: str, *arguments: str) -> str:
    with pytest.raises(Fault) as raised:
        answer(service, verb, *arguments)
    return str(raised.value)


def test_a_dump_has_the_fields_of_the_module_in_their_order() -> None:
    rows = answer(SmallService(records=2), "uac.reg_dump")
    assert [list(row) for row in rows] == [STRUCT, STRUCT]
    assert [row["l_uuid"] for row in rows] == ["account-0", "account-1"]


@pytest.mark.parametrize("verb", [("uac.reg_dump",), ("uac.reg_info", "l_uuid", "account-0")])
def test_no_verb_prints_a_password_or_an_ha1(verb: tuple[str, ...]) -> None:
    service = SmallService(records=1)
    service.records[0]["auth_ha1"] = "0123456789abcdef0123456789abcdef"
    service.records[0]["password"] = "hunter2"
    shown = json.dumps(answer(service, *verb))
    assert "hunter2" not in shown
    assert "0123456789abcdef" not in shown
    assert shown.count('"***"') == 2


def test_empty_fields_print_as_the_module_prints_them() -> None:
    shown = shown_record({**record(0), "auth_password": "", "auth_proxy": ""})
    none = [name for name, value in shown.items() if value == "none"]
    assert none == ["auth_password", "auth_ha1", "auth_proxy", "contact_addr", "contact_user"]
    assert [name for name, value in shown.items() if value is None] == ["realm", "socket"]


def test_a_record_masked_already_stays_as_it_is() -> None:
    once = shown_record(record(0))
    assert shown_record(once) == once


def test_a_registration_is_found_by_each_attribute_of_the_module() -> None:
    service = SmallService()
    found = [
        answer(service, "uac.reg_info", attr, value)["l_uuid"]
        for attr, value in [
            ("l_uuid", "account-1"),
            ("l_username", "user1"),
            ("r_username", "trunk1"),
            ("auth_username", "auth1"),
        ]
    ]
    assert found == ["account-1"] * 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "400 Invalid Parameters"),
        (("l_uuid",), "400 Invalid Parameters"),
        (("l_uuid", ""), "400 Invalid Parameter Values"),
        (("", "account-1"), "400 Invalid Parameter Values"),
        (("auth_password", "hunter2"), "400 Unsupported filter attribute"),
        (("l_uuid", "ACCOUNT-1"), "404 Record not found"),
    ],
)
def test_reg_info_gives_the_faults_of_the_module(arguments: tuple[str, ...], words: str) -> None:
    assert fault(SmallService(), "uac.reg_info", *arguments) == words


@pytest.mark.parametrize(
    "verb",
    [
        ("uac.reg_dump",),
        ("uac.reg_info", "l_uuid", "x"),
        ("uac.reg_enable", "l_uuid", "x"),
        ("uac.reg_reload",),
        ("uac.reg_refresh", "x"),
        ("uac.reg_active", "0"),
        ("uac.reg_remove", "x"),
        ("explain", "x"),
    ],
)
def test_without_a_table_of_accounts_registrations_are_not_enabled(verb: tuple[str, ...]) -> None:
    service = SmallService()
    service.enabled = False
    assert fault(service, *verb) == "500 Not enabled"


ASKING = ["uac.reg_enable", "uac.reg_disable", "uac.reg_register", "uac.reg_unregister"]


@pytest.mark.parametrize("verb", ASKING)
def test_what_is_asked_of_an_account_is_asked_by_any_attribute_or_is_a_fault(verb: str) -> None:
    service = SmallService()
    assert answer(service, verb, "r_username", "trunk1") == {}
    assert service.asked == [(verb.partition("_")[2], "r_username", "trunk1")]
    assert fault(service, verb, "r_username", "nobody") == "404 Record not found"
    assert fault(service, verb, "realm", "x") == "400 Unsupported filter attribute"
    assert fault(service, verb, "l_uuid", "") == "400 Invalid Parameter Values"
    assert fault(service, verb, "l_uuid") == "400 Invalid Parameters"
    assert len(service.asked) == 1


def test_a_reload_says_what_it_came_to_and_a_failed_one_names_the_source() -> None:
    service = SmallService()
    assert answer(service, "uac.reg_reload")["changed"] == 2
    service.source_error = StoreUnavailable("postgresql://db/kamailio: connection refused")
    words = fault(service, "uac.reg_reload")
    assert words.startswith("500 ")
    assert "nothing has changed: postgresql://db/kamailio: connection refused" in words


def test_one_row_is_refreshed_or_not_there_or_cannot_be_read() -> None:
    service = SmallService()
    assert answer(service, "uac.reg_refresh", "account-1") == {}
    assert fault(service, "uac.reg_refresh", "account-9") == "404 Record not found"
    assert fault(service, "uac.reg_refresh", "") == "400 Invalid Parameter Values"
    service.source_error = StoreUnavailable("the database is away")
    assert "the database is away" in fault(service, "uac.reg_refresh", "account-1")


def test_the_eleven_commands_of_the_module_are_there() -> None:
    names = "dump info enable disable reload refresh register unregister active add remove"
    assert {f"uac.reg_{name}" for name in names.split()} <= set(VERBS)


def test_explain_answers_in_words_or_knows_no_such_account() -> None:
    service = SmallService()
    assert answer(service, "explain", "account-2").startswith("account-2 is registered")
    assert fault(service, "explain", "account-9") == "404 Record not found"
    assert fault(service, "explain", "") == "400 Invalid Parameter Values"


def test_a_broken_script_is_told_with_file_and_line() -> None:
    service = SmallService()
    service.script_error = ScriptError("invalid syntax", file="etc/route.py", line=7)
    words = fault(service, "reload-script")
    assert words == "500 etc/route.py:7: invalid syntax; the old routing still runs"


def test_the_service_is_reloaded_stopped_and_asked_for_its_version() -> None:
    service = SmallService()
    answer(service, "reload-script")
    answer(service, "shutdown")
    assert (service.reloads, service.stops) == (1, 1)
    assert answer(service, "version") == {"version": "1.2.3", "uptime": 61}


def test_stats_come_sorted_by_name() -> None:
    assert list(answer(SmallService(), "stats")) == ["cpu.seconds", "sip.received", "uac.regtotal"]


def test_an_unknown_verb_names_the_nearest() -> None:
    service = SmallService()
    assert fault(service, "reg_dmp") == "404 No verb 'reg_dmp', the nearest is uac.reg_dump"
    assert fault(service, "?") == "404 No verb '?'"


def test_help_lists_every_verb_with_its_arguments() -> None:
    rows = answer(SmallService(), "help")
    assert [row["verb"].split()[0] for row in rows] == list(VERBS)
    assert "uac.reg_info ATTR VALUE" in [row["verb"] for row in rows]


def test_the_manual_page_has_every_verb_in_the_words_of_the_table() -> None:
    page = MANUAL.read_text()
    missing = [verb.name for verb in VERBS.values() if f"`{verb.usage}` | {verb.doc}" not in page]
    assert missing == []
