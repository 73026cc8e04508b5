"""``uacctl account`` as a person uses it: through the service, and on the file itself."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.uacproxy_process import ENVIRONMENT, UACCTL, UacproxyProcess
from uacproxy.uacctl import main as uacctl_main

Start = Callable[..., UacproxyProcess]

INI = """\
[sip]
listen = udp:@HERE@

[uac]
reg_db_url = sqlite:///accounts.db
reg_contact_addr = @HERE@

[rule:none]
reply = 404
"""
PASSWORD = "Zugspitze-2962"
NAMES = ["l_username=alice", "l_domain=pbx.example", "r_username=4930", "r_domain=provider.example"]


def uacctl(folder: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``uacctl account`` in a folder, ``given`` on its standard input."""
    return subprocess.run(
        [*UACCTL, "account", *words],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a configuration whose service does not run."""
    (tmp_path / "uacproxy.ini").write_text(INI.replace("@HERE@", "127.0.0.1:5999"))
    return tmp_path


def direct(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``uacctl account --config`` in this process, which needs no reactor for it."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), redirect_stdout(out), redirect_stderr(err):
        status = uacctl_main(["account", "--config", "uacproxy.ini", *words])
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def test_an_account_is_registered_as_soon_as_it_is_added_and_taken_back_when_removed(
    start_uacproxy: Start,
) -> None:
    service = start_uacproxy(INI)
    with Endpoint("registrar") as registrar:
        proxy = f"auth_proxy=sip:{registrar.address}"
        added = uacctl(
            service.folder, "add", "t1", *NAMES, proxy, "--password-file", "-", given=PASSWORD
        )
        assert (added.returncode, added.stderr) == (0, "")
        request = registrar.hears("REGISTER")
        granted = f"Contact: {request.get('contact')};expires=600\r\n"
        registrar.answers(request, "200 OK", service.address, tag="r", more=granted)
        service.wait_for(uac_regactive=1)
        changed = uacctl(service.folder, "set", "t1", "expires=120")
        assert changed.returncode == 0
        request = registrar.hears("REGISTER")
        assert request.get("expires") == "120"
        registrar.answers(request, "200 OK", service.address, tag="r", more=granted)
        removed = uacctl(service.folder, "remove", "t1")
        assert removed.returncode == 0
        request = registrar.hears("REGISTER")
        assert request.get("expires") == "0"
        registrar.answers(request, "200 OK", service.address, tag="r")
        service.wait_for(uac_regtotal=0)
        assert uacctl(service.folder, "remove", "t1").stderr == "404 Record not found\n"
        assert PASSWORD not in service.output + added.stdout + changed.stdout


def test_without_a_service_the_database_is_opened_itself_and_made_where_it_is_not(
    folder: Path,
) -> None:
    assert direct(folder, "add", "t1", *NAMES, "auth_password=x", "transport=tcp").returncode == 0
    listed = direct(folder, "list")
    assert listed.returncode == 0
    assert listed.stdout.splitlines()[1].split() == [
        "t1",
        "alice",
        "pbx.example",
        "4930",
        "provider.example",
        "sip:provider.example",
    ]
    assert uacctl(folder, "list").returncode == 69


def test_secrets_are_exported_when_asked_for_and_an_export_is_imported_again(folder: Path) -> None:
    direct(folder, "add", "t1", *NAMES, f"auth_password={PASSWORD}", "did=1* 2", "did_source=to")
    plain = direct(folder, "export").stdout
    assert PASSWORD not in plain and "auth_password" not in plain and "1* 2" in plain
    whole = direct(folder, "export", "--with-secrets").stdout
    assert PASSWORD in whole
    direct(folder, "remove", "t1")
    (folder / "back.csv").write_text(whole)
    imported = direct(folder, "import", "back.csv")
    assert (imported.returncode, imported.stdout) == (0, "1 accounts written\n")
    assert direct(folder, "export", "--with-secrets").stdout == whole
    (folder / "plain.csv").write_text(plain.replace("4930", "4931"))
    assert direct(folder, "import", "plain.csv").returncode == 0
    assert direct(folder, "export", "--with-secrets").stdout == whole.replace("4930", "4931")


def test_a_database_that_we_make_is_ours_alone(folder: Path) -> None:
    assert direct(folder, "list").returncode == 0
    assert (folder / "accounts.db").stat().st_mode & 0o777 == 0o600


WRONG = f"""\
l_uuid,l_username,l_domain,r_username,r_domain,auth_password,expires
good,a,d,r,p.example,x,60
no-password,a,d,r,p.example,,60
short,a,d
soon,a,d,r,p.example,x,soon

good,a,d,r,p.example,x,60
secret,a,d,r,,{PASSWORD},60
"""


def test_every_wrong_line_of_a_file_is_told_at_once_and_nothing_is_written(folder: Path) -> None:
    (folder / "new.csv").write_text(WRONG)
    refused = direct(folder, "import", "new.csv")
    assert refused.returncode == 1
    lines = refused.stderr.splitlines()
    assert [line.split(":")[1] for line in lines[:-1]] == ["3", "4", "5", "7", "8"]
    assert "auth_password" in lines[0] and "3 values for 7 columns" in lines[1]
    assert "expires" in lines[2] and "line 2" in lines[3] and "r_domain" in lines[4]
    assert lines[-1] == "5 errors; nothing was written"
    assert PASSWORD not in refused.stderr
    assert direct(folder, "list").stdout == "none\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "t1", "r_user=x"], "'r_user' is no column and no setting, the nearest is r_user"),
        (["add", "t1", "r_username"], "'r_username' is not NAME=VALUE"),
        (["import", "none.csv"], "error: none.csv: No such file or directory\n"),
        (["import", "uacproxy.ini"], "names no column l_uuid"),
        (["add", "t1", "--password-file", "none"], "--password-file none: "),
        (["frobnicate"], "invalid choice"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(folder: Path, words: list[str], said: str) -> None:
    refused = direct(folder, *words)
    assert refused.returncode == 2
    assert said in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "t2", *NAMES], "account 't2': auth_password: is empty, and so is auth_ha1"),
        (["add", "t1", *NAMES, "auth_password=x"], "there is an account 't1' already"),
        (["set", "t9", "expires=1"], "there is no account 't9'"),
        (["set", "t1", "auth_proxy=192.0.2.1"], "account 't1': auth_proxy: makes no SIP URI"),
        (["add", "t 2", *NAMES, "auth_password=x"], "account 't 2': l_uuid: makes no SIP URI"),
        (["set", "t1", "transport=tls"], "account 't1': transport: 'tls' is neither udp nor tcp"),
        (["set", "t1", f"l_domain={'x' * 65}"], "l_domain: is longer than the column"),
        (["remove", "t9"], "404 Record not found"),
    ],
)
def test_what_cannot_be_written_is_said_and_changes_nothing(
    folder: Path, words: list[str], said: str
) -> None:
    direct(folder, "add", "t1", *NAMES, "auth_password=x")
    before = direct(folder, "export", "--with-secrets").stdout
    refused = direct(folder, *words)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert direct(folder, "export", "--with-secrets").stdout == before


def test_a_configuration_without_a_database_is_told(folder: Path) -> None:
    (folder / "uacproxy.ini").write_text("[sip]\nlisten = udp:127.0.0.1:5999\n")
    refused = direct(folder, "list")
    assert (refused.returncode, "reg_db_url is empty" in refused.stderr) == (2, True)
