"""The manhole, entered with OpenSSH's client as an operator would."""

# mypy: allow-untyped-calls

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol

from tests.support.child import Run, spawn, tracebacks_logged
from tests.support.services import needs
from uacproxy.errors import ConfigError
from uacproxy.manage.endpoint import listen
from uacproxy.manage.manhole import manhole_factory


class Site:
    """The files of a manhole, and how to knock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authorized_keys = directory / "manhole_keys"
        self.host_key = directory / "manhole.key"
        self.port = 0
        self.key = self.new_key("operator")
        self.authorize(self.key)

    def new_key(self, name: str, kind: str = "ed25519") -> Path:
        key = self.directory / name
        argv = [needs("ssh-keygen"), "-q", "-t", kind, "-N", "", "-f", str(key)]
        subprocess.run(argv, check=True)
        return key

    def authorize(self, *keys: Path) -> None:
        lines = [key.with_name(f"{key.name}.pub").read_text() for key in keys]
        self.authorized_keys.write_text("# who may\n\n" + "".join(lines))

    def ssh(self, key: Path, *words: str, pty: bool = True) -> Run:
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(self.directory / "known_hosts"),
        }
        set_to = [f"-o{name}={value}" for name, value in options.items()]
        argv = [needs("ssh"), "-F", "/dev/null", *set_to, "-p", str(self.port), "-i", str(key)]
        return spawn([*argv, "operator@127.0.0.1", *words], env={"TERM": "xterm"}, pty=pty)


@asynccontextmanager
async def open_manhole(site: Site, **namespace: object) -> AsyncIterator[None]:
    factory = manhole_factory(str(site.authorized_keys), str(site.host_key), namespace)
    listening: Any = await listen(reactor, "tcp:0:interface=127.0.0.1", factory, key="manhole")
    site.port = listening.getHost().port
    try:
        yield
    finally:
        await maybeDeferred(listening.stopListening)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest_twisted.ensureDeferred
async def test_an_authorized_key_opens_a_prompt_inside_the_service(site: Site, kind: str) -> None:
    key = site.new_key(f"of-{kind}", kind)
    site.authorize(site.key, key)
    counters = {"seen": 41}
    with tracebacks_logged() as tracebacks:
        async with open_manhole(site, counters=counters):
            run = site.ssh(key)
            await run.saying(b">>> ")
            run.transport.write(b"counters['seen'] += 1; print(counters['seen'] * 100001)\r")
            await run.saying(b"4200042")
            run.transport.write(b"\x04")
            await run.ended
    assert counters == {"seen": 42}
    assert tracebacks == []


@pytest_twisted.ensureDeferred
async def test_a_session_without_a_terminal_works_and_ends_with_its_input(site: Site) -> None:
    with tracebacks_logged() as tracebacks:
        async with open_manhole(site, answer=4200042):
            run = site.ssh(site.key, pty=False)
            run.transport.write(b"print(answer)\n")
            await run.saying(b"4200042")
            run.transport.closeStdin()
            await run.ended
    assert tracebacks == []


@pytest_twisted.ensureDeferred
async def test_a_key_that_is_not_on_the_list_stays_outside(site: Site) -> None:
    async with open_manhole(site):
        status, _, err = await site.ssh(site.new_key("stranger"), pty=False).ended
    assert status == 255
    assert "Permission denied (publickey)" in err


@pytest_twisted.ensureDeferred
async def test_a_key_taken_off_the_list_is_out_at_once(site: Site) -> None:
    other = site.new_key("other")
    async with open_manhole(site):
        site.authorize(other)
        status, _, err = await site.ssh(site.key, pty=False).ended
    assert status == 255
    assert "Permission denied (publickey)" in err


@pytest_twisted.ensureDeferred
async def test_commands_are_refused_with_a_word(site: Site) -> None:
    with tracebacks_logged() as tracebacks:
        async with open_manhole(site):
            status, out, err = await site.ssh(site.key, "uptime", pty=False).ended
    assert status != 0
    assert "The manhole is a prompt" in err
    assert (out, tracebacks) == ("", [])


@pytest_twisted.ensureDeferred
async def test_the_host_key_is_made_once_and_private(site: Site) -> None:
    async with open_manhole(site):
        made = site.host_key.read_bytes()
    async with open_manhole(site):
        again = site.host_key.read_bytes()
        run = site.ssh(site.key, pty=False)
        await run.saying(b">>> ")
        run.transport.closeStdin()
        await run.ended
    known = (site.directory / "known_hosts").read_text()
    assert made == again
    assert stat.S_IMODE(site.host_key.stat().st_mode) == 0o600
    assert "ssh-ed25519" in known
    assert sorted(p.name for p in site.directory.iterdir() if p.name.startswith("manhole")) == [
        "manhole.key",
        "manhole_keys",
    ]


@pytest_twisted.ensureDeferred
async def test_octets_that_are_no_ssh_leave_no_traceback(site: Site) -> None:
    class Rubbish(Protocol):
        def __init__(self) -> None:
            self.lost: Deferred[None] = Deferred()

        def connectionLost(self, reason: Any = None) -> None:  # noqa: N802
            self.lost.callback(None)

    with tracebacks_logged() as tracebacks:
        async with open_manhole(site):
            for octets in (b"GET / HTTP/1.0\r\n\r\n", b"SSH-2.0-x\r\n" + b"\xff" * 4000):
                endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{site.port}")
                peer = await connectProtocol(endpoint, Rubbish())
                peer.transport.write(octets)
                peer.transport.loseConnection()
                await peer.lost
    assert tracebacks == []


def complaint(site: Site) -> str:
    with pytest.raises(ConfigError) as raised:
        manhole_factory(str(site.authorized_keys), str(site.host_key), {})
    return str(raised.value)


def test_without_a_list_of_keys_there_is_no_manhole(site: Site) -> None:
    site.authorized_keys.unlink()
    assert complaint(site) == (
        f"[management] manhole_keys: cannot read {site.authorized_keys}: No such file or directory"
    )


def test_an_empty_list_of_keys_is_refused(site: Site) -> None:
    site.authorize()
    assert complaint(site) == f"[management] manhole_keys: {site.authorized_keys} has no key"


def test_no_path_at_all_is_refused(site: Site) -> None:
    with pytest.raises(ConfigError) as raised:
        manhole_factory("", str(site.host_key), {})
    assert str(raised.value).startswith("[management] manhole_keys: ")


@pytest.mark.parametrize(
    "line",
    [
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 !!!!",
        "rubbish",
        'from="192.0.2.1" {key}',
        "\udcff\udcfe",
    ],
)
def test_a_line_that_is_not_understood_is_named(site: Site, line: str) -> None:
    key = site.key.with_name("operator.pub").read_text()
    text = key + line.format(key=key) + "\n"
    site.authorized_keys.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert f"manhole_keys: {site.authorized_keys}:2: not a public key" in complaint(site)


def test_a_list_that_others_may_write_is_refused(site: Site) -> None:
    os.chmod(site.authorized_keys, 0o666)
    assert "may be written by others" in complaint(site)


def test_a_host_key_that_others_may_read_is_refused(site: Site) -> None:
    site.new_key("manhole.key")
    os.chmod(site.host_key, 0o644)
    assert complaint(site) == (
        f"[management] manhole_host_key: {site.host_key} is open to others: chmod 600"
    )


@pytest.mark.parametrize("octets", [b"", b"rubbish", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAA=="])
def test_a_host_key_that_is_none_is_refused(site: Site, octets: bytes) -> None:
    site.host_key.write_bytes(octets)
    os.chmod(site.host_key, 0o600)
    assert "manhole_host_key" in complaint(site)
    assert "holds no private key" in complaint(site)
