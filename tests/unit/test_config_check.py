"""``uacproxy-check``: errors between keys, exit status, and what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from uacproxy.config.check import CHECKS, load, main, warnings
from uacproxy.config.ini import ConfigErrors
from uacproxy.config.schema import Config
from uacproxy.errors import ConfigError


def written(tmp_path: Path, text: str) -> str:
    file = tmp_path / "u.ini"
    file.write_text(text)
    return str(file)


def errors_of(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(written(tmp_path, text))
    return [str(error).replace(f"{tmp_path}/", "") for error in caught.value.errors]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[sip]\nlisten =\n", "u.ini:2: [sip] listen: at least one udp:HOST:PORT or tcp:HOST:PORT"),
        (
            "[sip]\nlisten = udp:127.0.0.1:5060 udp:127.0.0.1\n",
            "u.ini:2: [sip] listen: udp:127.0.0.1:5060 stands there twice",
        ),
        (
            "[sip]\nlisten = udp:127.0.0.1:5070 tcp:127.0.0.1\n"
            "[uac]\ndefault_socket = udp:127.0.0.1:5060\n",
            "u.ini:4: [uac] default_socket: udp:127.0.0.1:5060 is none of [sip] listen, which has "
            "udp:127.0.0.1:5070 tcp:127.0.0.1:5060",
        ),
        (
            "[uac]\nrr_from_store_param =\n",
            "u.ini:2: [uac] rr_from_store_param: may not be empty while restore_mode is auto",
        ),
        (
            "[uac]\nrr_to_store_param = vsf\n",
            "u.ini:2: [uac] rr_to_store_param: has to differ from rr_from_store_param",
        ),
        (
            "[uac]\nreg_db_url = sqlite:///a.db\n",
            "u.ini:1: [uac] reg_contact_addr: has to be set, because reg_db_url is",
        ),
        (
            "[uac]\nreg_notify = postgresql:changed\n",
            "u.ini:2: [uac] reg_notify: is postgresql:changed, so [uac] reg_db_url has to be set",
        ),
        (
            "[uac]\nreg_db_url = sqlite:///a.db\nreg_contact_addr = h\n"
            "reg_notify = postgresql:changed\n",
            "u.ini:4: [uac] reg_notify: is postgresql:changed, so [uac] reg_db_url has to name a "
            "PostgreSQL",
        ),
        (
            "[uac]\nreg_db_url = sqlite:///a.db\nreg_contact_addr = h\nreg_notify = redis:c\n",
            "u.ini:4: [uac] reg_notify: is redis:c, so [store] url has to name a Redis",
        ),
        (
            "[registrar]\nauthenticate = yes\nrealm = r\n",
            "u.ini:1: [registrar] subscriber_db_url: has to be set, because authenticate is yes",
        ),
        (
            "[registrar]\nauthenticate = yes\nsubscriber_db_url = sqlite:///s.db\n",
            "u.ini:1: [registrar] realm: has to be set while authenticate is yes and [sip] domains "
            "is empty",
        ),
        (
            "[registrar]\nmin_expires = 2h\n",
            "u.ini:2: [registrar] min_expires: is more than max_expires",
        ),
        (
            "[registrar]\nmax_expires = 5min\n",
            "u.ini:1: [registrar] default_expires: is not between min_expires and max_expires",
        ),
        (
            "[management]\nmanhole = tcp:2222:interface=127.0.0.1\n",
            "u.ini:1: [management] manhole_keys: has to be set, because manhole is",
        ),
        ("[rule:a]\nmethod = BYE\n", "u.ini:1: [rule:a]: needs one of relay, bridge, reply, drop"),
        (
            "[rule:a]\nreply = 404\nrelay = yes\n",
            "u.ini:2: [rule:a] reply: relay is there already; a rule has one outcome",
        ),
        (
            "[rule:a]\nreply = 404\nreplace_to = sip:a@b\n",
            "u.ini:3: [rule:a] replace_to: does nothing without relay or bridge",
        ),
        (
            "[rule:a]\nrelay = yes\nauth = yes\n",
            "u.ini:3: [rule:a] auth: there is no [uac] credential to answer with",
        ),
        (
            "[rule:a]\nrelay = yes\nauth = bob\n[uac]\ncredential = alice:r:p\n",
            "u.ini:3: [rule:a] auth: no [uac] credential of user bob; there are alice",
        ),
        (
            "[rule:a]\nrelay = yes\nauth = account:t7\n",
            "u.ini:3: [rule:a] auth: there are no accounts: [uac] reg_db_url is empty",
        ),
    ],
)
def test_what_does_not_go_together_is_told_at_the_key_to_mend(
    tmp_path: Path, text: str, error: str
) -> None:
    assert errors_of(tmp_path, text) == [error]


def test_one_of_the_three_auth_variables_asks_for_the_others(tmp_path: Path) -> None:
    assert errors_of(tmp_path, "[uac]\nauth_username_avp = $avp(u)\n") == [
        "u.ini:1: [uac] auth_realm_avp: has to be set as well, because auth_username_avp is",
        "u.ini:1: [uac] auth_password_avp: has to be set as well, because auth_username_avp is",
    ]


def test_empty_store_parameters_are_fine_where_nothing_is_restored(tmp_path: Path) -> None:
    text = "[uac]\nrestore_mode = none\nrr_from_store_param =\nrr_to_store_param =\n"
    assert load(written(tmp_path, text)).uac.rr_to_store_param == ""


def test_rules_beside_a_script_and_a_missing_script_are_told(tmp_path: Path) -> None:
    text = "[routing]\nscript = r.py\n[rule:a]\ndrop = yes\n"
    first, second = errors_of(tmp_path, text)
    assert first.startswith("u.ini:2: [routing] script: decides alone")
    assert second == "u.ini:2: [routing] script: cannot read r.py"


def test_errors_of_reading_and_of_checking_come_together_without_echoes(tmp_path: Path) -> None:
    text = (
        "[uac]\nreg_db_url = sqlite:///a.db\nreg_contact_addr = sip:x\ncredential = broken\n"
        "[rule:a]\nrelay = yes\nauth = bob\n[rule:b]\nrelay = nowhere\n[rule:c]\n"
    )
    assert [error.split(": ")[1] for error in errors_of(tmp_path, text)] == [
        "[uac] reg_contact_addr",
        "[uac] credential",
        "[rule:b] relay",
        "[rule:c]",
    ]


def test_a_bad_file_exits_78_with_every_error_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "[sip]\nt1 = x\ntt1 = 1\n")
    assert main([path]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"{path}:2: [sip] t1: 'x' is no number",
        f"{path}:3: [sip] tt1: unknown key; did you mean t1?",
    ]


def test_a_missing_file_exits_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.ini")]) == 78
    assert "none.ini: No such file or directory" in capsys.readouterr().err


def test_a_good_file_exits_0_and_shows_what_differs_from_the_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(
        tmp_path,
        "[sip]\nlisten = udp:127.0.0.1:5070\nt1 = 0.5\n[log]\nlevel = info\n"
        "[uac]\nreg_active = no\n[rule:a]\nrelay = sip:a sip:b\nfrom = *\n[rule:b]\ndrop = on\n",
    )
    assert main([path]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "[sip] listen = udp:127.0.0.1:5070",
        "[uac] reg_active = no",
        "[rule:a] from = * | relay = sip:a sip:b",
        "[rule:b] drop = yes",
        f"{path}: no errors",
    ]


def test_what_is_shown_holds_no_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(
        tmp_path,
        "[uac]\ncredential = bob:r:hunter2\nrestore_passwd = hunter2\n"
        "reg_db_url = postgresql://u:hun@ter2@db/x?sslmode=require\nreg_contact_addr = h.example\n"
        "[store]\nurl = redis://:hunter2@h:6379/0\n"
        "[registrar]\nsubscriber_db_url = postgresql://h/x?user=u&password=hunter2&a=1\n",
    )
    assert main([path]) == 0
    shown = capsys.readouterr().out
    assert "ter2" not in shown
    assert "reg_db_url = postgresql://u:********@db/x?sslmode=require" in shown
    assert "subscriber_db_url = postgresql://h/x?user=u&password=********&a=1" in shown
    assert "[store] url = redis://:********@h:6379/0" in shown


def test_further_checks_can_be_handed_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def check_script(config: Config) -> list[ConfigError]:
        return [config.error("routing", "script", "line 3: a name that is not there")]

    path = written(tmp_path, "[routing]\nscript =\n")
    assert main([path], (*CHECKS, check_script)) == 78
    assert capsys.readouterr().err == (
        f"{path}:2: [routing] script: line 3: a name that is not there\n"
    )


def warned(tmp_path: Path, text: str) -> list[str]:
    return [warning.split(":")[0] for warning in warnings(load(written(tmp_path, text)))]


RULE = "[rule:a]\nreply = 404\n"


@pytest.mark.parametrize(
    ("text", "about"),
    [
        (RULE, []),
        ("", ["neither [routing] script nor a rule"]),
        (RULE + "[sip]\nlisten = udp:192.0.2.1:5060\n", ["[registrar] authenticate is no"]),
        (RULE + "[uac]\nrestore_codec = kamailio\n", ["[uac] restore_passwd is empty"]),
        (RULE + "[uac]\nrestore_codec = kamailio\nrestore_passwd = s\n", []),
    ],
)
def test_what_works_and_may_not_be_meant_is_a_warning(
    tmp_path: Path, text: str, about: list[str]
) -> None:
    assert warned(tmp_path, text) == about


def test_a_default_socket_that_is_listened_on_is_taken_however_its_address_is_spelled(
    tmp_path: Path,
) -> None:
    text = "[sip]\nlisten = udp:[0:0::1]:5070\n[uac]\ndefault_socket = udp:[::1]:5070\n"
    config = load(written(tmp_path, text))
    assert config.uac.default_socket == (b"UDP", "::1", 5070)


CALLBACK = """
from uacproxy.routing import Reply, request_route
@request_route
def main(ctx):
    return Reply(404)
def told(ctx, event):
    pass
"""


@pytest.mark.parametrize(
    ("callback", "script", "errors"),
    [
        ("told", True, []),
        ("other", True, ["u.ini:2: [uac] event_callback: route.py has no function other"]),
        (
            "told",
            False,
            [
                "u.ini:2: [uac] event_callback: names told of the route script, and there is no "
                "[routing] script"
            ],
        ),
    ],
)
def test_an_event_callback_is_a_function_of_the_route_script(
    callback: str, script: bool, errors: list[str], tmp_path: Path
) -> None:
    (tmp_path / "route.py").write_text(CALLBACK)
    text = f"[uac]\nevent_callback = {callback}\n"
    if script:
        text += "[routing]\nscript = route.py\n"
    if errors:
        assert errors_of(tmp_path, text) == errors
    else:
        assert load(written(tmp_path, text)).uac.event_callback == "told"


def test_what_workers_cannot_share_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("")
    manhole = "[management]\nmanhole = tcp:0\nmanhole_keys = keys\n"
    text = "[store]\nurl = memory:\n" + manhole
    store, door = errors_of(tmp_path, "[sip]\nworkers = 2\n" + text)
    assert "[store] url: is the memory of one process, and [sip] workers is 2" in store
    assert "[management] manhole: opens into one process" in door
    assert "[sip] workers" in errors_of(tmp_path, "[sip]\nworkers = 65\n")[0]
