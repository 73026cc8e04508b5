"""The servers that other tests lean on come up, speak and go; what we ship is whole."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.support import services
from tests.support.free_ports import free_ports

ROOT = Path(__file__).resolve().parents[2]

ANSWERS_ALL = """\
#!KAMAILIO
debug=0
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:@LISTEN@
mpath="@MODULES@"
loadmodule "sl.so"
request_route { sl_send_reply("200", "@GREETING@"); }
"""


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_redis_answers_a_ping(redis_server: services.Redis) -> None:
    with socket.create_connection((redis_server.host, redis_server.port)) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == b"+PONG\r\n"


def test_a_redis_is_gone_with_its_port_when_the_test_is_over(tmp_path: Path) -> None:
    with services.redis(tmp_path) as server:
        pid = server.server.pid
    assert not is_running(pid)
    assert not services.accepts(server.host, server.port)


def test_a_postgres_gives_a_database_of_its_own_to_whoever_asks(
    postgres_server: services.Postgres,
) -> None:
    url = postgres_server.new_database("house")
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        tables = connection.execute("select count(*) from pg_tables where schemaname = 'public'")
        assert tables.fetchone() == (0,)


def test_a_kamailio_runs_the_template_it_is_given(
    tmp_path: Path, start_kamailio: Callable[..., services.Kamailio]
) -> None:
    template = tmp_path / "kamailio.cfg.in"
    template.write_text(ANSWERS_ALL)
    server = start_kamailio(template, greeting="Here I am")
    assert services.answers_options(server.host, server.port)
    assert "Here I am" in (server.folder / "kamailio.cfg").read_text()


def test_a_kamailio_with_a_broken_template_shows_its_last_words(
    tmp_path: Path, start_kamailio: Callable[..., services.Kamailio]
) -> None:
    template = tmp_path / "kamailio.cfg.in"
    template.write_text(ANSWERS_ALL.replace("sl.so", "no_such_module.so"))
    with pytest.raises(services.DidNotStart, match="no_such_module"):
        start_kamailio(template)


def test_sipp_says_which_it_is(tmp_path: Path) -> None:
    version = subprocess.run([services.needs("sipp"), "-v"], capture_output=True, text=True)
    assert "SIPp v3" in version.stdout


def test_two_sipps_call_each_other(start_sipp: Callable[..., services.Sipp]) -> None:
    callee = start_sipp("uas", "", "-m", "1")
    callee.wait_until_listening()
    caller = start_sipp("uac", callee.uri_host, "-m", "1", "-d", "10")
    result = caller.finish()
    result.check()
    callee.finish().check()
    assert "BYE sip:" in result.messages


def test_a_sipp_nobody_answers_says_so(start_sipp: Callable[..., services.Sipp]) -> None:
    (nobody,) = free_ports(1)
    caller = start_sipp("uac", f"127.0.0.1:{nobody}", "-m", "1", "-max_invite_retrans", "0")
    result = caller.finish()
    assert result.exit_code == 1
    with pytest.raises(pytest.fail.Exception, match="SIPp ended with 1"):
        result.check()


def test_a_server_that_will_not_leave_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    argv = [sys.executable, "-c", f"{stubborn}; time.sleep(600)"]
    server = services.Server(argv, log=tmp_path / "log")
    server.wait_until(lambda: "1" in server.output)
    assert server.stop(within=0.1) == -signal.SIGKILL
    assert not is_running(server.pid)


def test_a_missing_program_skips_at_home_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "false")
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        services.needs("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI skips nothing"):
        services.needs("no-such-program")


def test_twistd_knows_uacproxy() -> None:
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--help"]
    told = subprocess.run(twistd, cwd=ROOT, capture_output=True, text=True, check=True)
    assert " uacproxy " in told.stdout


@pytest.mark.slow
def test_the_wheel_has_the_twistd_plugin_and_its_types(tmp_path: Path) -> None:
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    source.mkdir()
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "LICENSE", "README.md", "MANIFEST.in"):
        shutil.copy(ROOT / name, source / name)
    for name in ("uacproxy", "twisted"):
        leave = shutil.ignore_patterns("*.so", "__pycache__", "dropin.cache")
        shutil.copytree(ROOT / name, source / name, ignore=leave)
    pip = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*pip, "-w", str(wheels), str(source)],
        env={**os.environ, "UACPROXY_COMPILE": "0"},
        check=True,
    )
    (wheel,) = wheels.glob("uacproxy-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    assert {"twisted/plugins/uacproxy_plugin.py", "uacproxy/py.typed"} <= inside
    assert not {name for name in inside if name.startswith("tests/") or name.endswith(".so")}
