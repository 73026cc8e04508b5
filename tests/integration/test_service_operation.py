"""The running service as its operator uses it: signals, ``uacctl``, the log."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy

from tests.support.endpoint import Caller, Endpoint
from tests.support.uacproxy_process import UacproxyProcess
from uacproxy.accounts.schema import make_tables, uacreg_table

INI = """\
[sip]
listen = udp:@HERE@

[routing]
script = route.py
"""

ROUTE = """\
from uacproxy.routing import Reply, request_route


@request_route
def main(ctx):
    return Reply(603, "one")
"""

PASSWORD = "Zugspitze-2962"

Start = Callable[..., UacproxyProcess]


def reason_of_a_call(service: UacproxyProcess) -> str:
    """Call, and return the final status line."""
    with Endpoint("alice") as alice:
        call = Caller(alice, service.address)
        call.invite()
        final = alice.hears_final("603")
        call.acknowledge_failure(final)
        return final.start


def test_sighup_loads_a_sound_script_and_leaves_the_old_one_for_a_broken_one(
    start_uacproxy: Start,
) -> None:
    service = start_uacproxy(INI, files={"route.py": ROUTE})
    assert reason_of_a_call(service) == "SIP/2.0 603 one"
    script = service.folder / "route.py"
    script.write_text(ROUTE.replace("main(ctx)", "main(ctx"))
    service.signal(signal.SIGHUP)
    service.wait_for_log("the old routing goes on")
    assert f"{script}:5" in service.output
    assert reason_of_a_call(service) == "SIP/2.0 603 one"
    script.write_text(ROUTE.replace("one", "two"))
    service.signal(signal.SIGHUP)
    service.wait_for_log("route script loaded")
    assert reason_of_a_call(service) == "SIP/2.0 603 two"


def test_reload_script_says_what_is_wrong_with_it(start_uacproxy: Start) -> None:
    service = start_uacproxy(INI, files={"route.py": ROUTE})
    (service.folder / "route.py").write_text("import no_such_module\n")
    refused = service.run_uacctl("reload-script")
    assert refused.returncode == 1
    assert f"{service.folder}/route.py:1" in refused.stderr
    assert reason_of_a_call(service) == "SIP/2.0 603 one"
    (service.folder / "route.py").write_text(ROUTE.replace("one", "two"))
    service.uacctl("reload-script")
    assert reason_of_a_call(service) == "SIP/2.0 603 two"


RULES = """\
[sip]
listen = udp:@HERE@

[rule:all]
reply = 603 one
"""


def test_reload_script_reads_the_rules_again_where_there_is_no_script(
    start_uacproxy: Start,
) -> None:
    service = start_uacproxy(RULES)
    assert reason_of_a_call(service) == "SIP/2.0 603 one"
    ini = service.folder / "uacproxy.ini"
    sound = ini.read_text()
    ini.write_text(sound.replace("reply = 603 one", "replay = 603 two"))
    refused = service.run_uacctl("reload-script")
    assert refused.returncode == 1
    assert f"{ini}:5: [rule:all] replay: unknown key" in refused.stderr
    ini.write_text(sound.replace("[rule:all]\nreply = 603 one", "[routing]\nscript = route.py"))
    (service.folder / "route.py").write_text(ROUTE)
    assert "takes a restart" in service.run_uacctl("reload-script").stderr
    assert reason_of_a_call(service) == "SIP/2.0 603 one"
    ini.write_text(sound.replace("one", "two"))
    service.uacctl("reload-script")
    assert reason_of_a_call(service) == "SIP/2.0 603 two"


def test_a_script_that_raises_answers_500_and_is_told_with_its_line(start_uacproxy: Start) -> None:
    raising = ROUTE.replace('Reply(603, "one")', "ctx.no_such_thing")
    service = start_uacproxy(INI, files={"route.py": raising})
    with Endpoint("alice") as alice:
        call = Caller(alice, service.address)
        call.invite()
        call.acknowledge_failure(alice.hears_final("500"))
    service.wait_for_log("no_such_thing")
    assert f"{service.folder}/route.py:6" in service.output
    assert service.stats()["proxy.script_errors"] == 1


def test_shutdown_ends_the_service_after_it_has_answered(start_uacproxy: Start) -> None:
    service = start_uacproxy(INI, files={"route.py": ROUTE})
    assert service.uacctl("shutdown")
    assert service.server.process.wait(30) == 0
    assert not (service.folder / "uacproxy.sock").exists()


def test_a_tracked_call_is_among_the_dialogs_until_it_ends(start_uacproxy: Start) -> None:
    with Endpoint("alice") as alice, Endpoint("bob") as bob:
        ini = "[sip]\nlisten = udp:@HERE@\n[rule:all]\ntrack = yes\nrelay = sip:@CALLEE@\n"
        service = start_uacproxy(ini, callee=bob.address)
        assert service.uacctl("dialogs") == []
        call = Caller(alice, service.address)
        call.invite()
        alice.hears("100")
        bob.answers(bob.hears("INVITE"), "200 OK", service.address, tag="b", more=bob.contact)
        answer = alice.hears("200")
        call.in_dialog("ACK", answer, 1)
        bob.hears("ACK")
        (dialog,) = service.uacctl("dialogs")
        assert call.call_id in dialog.values()
        call.in_dialog("BYE", answer, 2)
        bob.answers(bob.hears("BYE"), "200 OK", service.address)
        alice.hears("200")
        assert service.uacctl("dialogs") == []


@pytest.mark.parametrize(("level", "is_told"), [("info", True), ("warn", False)])
def test_the_log_goes_to_its_file_from_its_level_on(
    start_uacproxy: Start, level: str, is_told: bool
) -> None:
    logged = INI + f"[log]\nlevel = {level}\nfile = service.log\nformat = json\n"
    service = start_uacproxy(logged, files={"route.py": ROUTE})
    (service.folder / "route.py").write_text("broken(")
    service.signal(signal.SIGHUP)
    log = service.folder / "service.log"
    service.server.wait_until(lambda: "the old routing" in log.read_text())
    lines = log.read_text().rstrip("\n").split("\n")
    formats = [json.loads(line)["log_format"] for line in lines]
    assert any("listens on" in each for each in formats) is is_told
    assert "listens on" not in service.output


def make_account(path: Path, **columns: object) -> None:
    """Make a database with one account for ``[uac] reg_db_url``."""
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        make_tables(connection)
        connection.execute(sqlalchemy.insert(uacreg_table()).values(**columns))
    engine.dispose()


REGISTERING = """\
[sip]
listen = udp:@HERE@

[uac]
reg_db_url = sqlite:///@DATABASE@
reg_contact_addr = @HERE@
credential = office:office.example:@PASSWORD@

[log]
level = debug

[rule:none]
reply = 404
"""


def start_registered(start_uacproxy: Start, registrar: Endpoint, folder: Path) -> UacproxyProcess:
    """Start the service with one account, which the scripted registrar takes after a challenge."""
    make_account(
        folder / "accounts.db",
        l_uuid="trunk1",
        l_username="alice",
        l_domain="a.example",
        r_username="49301234",
        r_domain="provider.example",
        realm="provider.example",
        auth_username="trunk-user",
        auth_password=PASSWORD,
        auth_proxy=f"sip:{registrar.address}",
        expires=60,
    )
    database = folder / "accounts.db"
    service = start_uacproxy(REGISTERING, database=database, password=PASSWORD)
    request = registrar.hears("REGISTER")
    challenge = 'WWW-Authenticate: Digest realm="provider.example", nonce="1", qop="auth"\r\n'
    registrar.answers(request, "401 Unauthorized", service.address, tag="r", more=challenge)
    while not request.all("authorization"):  # the first may have come several times
        request = registrar.hears("REGISTER")
    assert 'username="trunk-user"' in request.get("authorization")
    granted = f"Contact: {request.get('contact')};expires=60\r\n"
    registrar.answers(request, "200 OK", service.address, tag="r", more=granted)
    service.wait_for(uac_regactive=1)
    return service


def test_an_account_is_shown_and_explained_without_its_password(
    start_uacproxy: Start, tmp_path: Path
) -> None:
    with Endpoint("registrar") as registrar:
        service = start_registered(start_uacproxy, registrar, tmp_path)
        shown = [
            service.run_uacctl("uac.reg_dump"),
            service.run_uacctl("uac.reg_info", "l_uuid", "trunk1"),
            service.run_uacctl("explain", "trunk1"),
            service.run_uacctl("stats"),
        ]
        assert [one.returncode for one in shown] == [0, 0, 0, 0]
        assert json.loads(shown[0].stdout)[0]["r_username"] == "49301234"
        assert json.loads(shown[1].stdout)["auth_username"] == "trunk-user"
        assert "200" in shown[2].stdout
        assert json.loads(shown[3].stdout)["registration.granted"] == 1
        assert service.run_uacctl("uac.reg_info", "l_uuid", "nobody").returncode == 1
        service.signal(signal.SIGTERM)
        registrar.answers(registrar.hears("REGISTER"), "200 OK", service.address, tag="r")
        assert service.stop() == 0
        said = service.output + "".join(one.stdout + one.stderr for one in shown)
        assert PASSWORD not in said
        made = [path for path in service.folder.iterdir() if path != service.config]
        assert [path.name for path in made if PASSWORD.encode() in path.read_bytes()] == []


def test_sigterm_takes_the_binding_back_before_the_end(
    start_uacproxy: Start, tmp_path: Path
) -> None:
    with Endpoint("registrar") as registrar:
        service = start_registered(start_uacproxy, registrar, tmp_path)
        service.signal(signal.SIGTERM)
        request = registrar.hears("REGISTER")
        assert request.get("expires") == "0"
        service.signal(signal.SIGTERM)  # the impatient operator's
        registrar.answers(request, "200 OK", service.address, tag="r")
        assert service.server.process.wait(30) == 0
        assert "left to expire" not in service.output


def test_sigterm_waits_no_longer_than_its_bound_for_a_registrar_that_is_silent(
    start_uacproxy: Start, tmp_path: Path
) -> None:
    with Endpoint("registrar") as registrar:
        service = start_registered(start_uacproxy, registrar, tmp_path)
        service.signal(signal.SIGTERM)
        assert registrar.hears("REGISTER").get("expires") == "0"
        assert service.server.process.wait(30) == 0
        assert "1 bindings were left to expire" in service.output
