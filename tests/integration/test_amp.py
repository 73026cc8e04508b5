"""The AMP door at a real socket, and uacctl as the program an operator runs."""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.amp import AMP, UnhandledCommand

from tests.support.child import ROOT, spawn, trouble_logged
from tests.support.small_service import SmallService, operations_of
from uacproxy.errors import ConfigError
from uacproxy.manage.amp import LIST_LIFETIME, MAX_LISTS, Call, Page, Refused, amp_factory, ask
from uacproxy.manage.endpoint import listen


def uacctl(*words: str, at: str = "", cwd: Path = ROOT) -> Deferred[tuple[int, str, str]]:
    """Run the command, told ``at`` by the environment: exit status, output, errors."""
    argv = [sys.executable, "-m", "uacproxy.uacctl", *words]
    return spawn(argv, cwd=cwd, env={"UACCTL_CONNECT": at}).ended


@asynccontextmanager
async def serving(
    service: SmallService, endpoint: str, clock: Clock | None = None
) -> AsyncIterator[None]:
    factory = amp_factory(operations_of(service), clock=clock)
    port = await listen(reactor, endpoint, factory, key="amp")
    try:
        yield
    finally:
        await maybeDeferred(port.stopListening)


@asynccontextmanager
async def connected(endpoint: str) -> AsyncIterator[AMP]:
    amp = await connectProtocol(clientFromString(reactor, endpoint), AMP())
    try:
        yield amp
    finally:
        amp.transport.abortConnection()


async def pages_of(amp: AMP, verb: str, *arguments: str) -> list[Page]:
    pages = ask(amp, verb, arguments, patience=10.0, clock=reactor)
    return [page async for page in pages]


def box(**values: bytes) -> bytes:
    fields = [(key.encode(), value) for key, value in values.items()]
    octets = b"".join(struct.pack("!H", len(f)) + f for pair in fields for f in pair)
    return octets + b"\0\0"


class Wire(Protocol):
    """A peer that speaks in octets."""

    def __init__(self) -> None:
        self.got = b""
        self.lost: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self.got += data

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802
        self.lost.callback(self.got)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "uacproxy.sock"


@pytest_twisted.ensureDeferred
async def test_five_thousand_records_come_whole_and_in_order(path: Path) -> None:
    service = SmallService(records=5000)
    async with serving(service, f"unix:{path}"), connected(f"unix:path={path}") as amp:
        pages = await pages_of(amp, "uac.reg_dump")
    rows = [row for page in pages for row in page.content]
    assert [row["l_uuid"] for row in rows] == [f"account-{n}" for n in range(5000)]
    assert {row["auth_password"] for row in rows} == {"***"}
    assert len(pages) > 10
    assert max(len(json.dumps(page.content, separators=(",", ":"))) for page in pages) <= 60_000


@pytest_twisted.ensureDeferred
async def test_uacctl_pages_five_thousand_records_as_one_json_text(path: Path) -> None:
    async with serving(SmallService(records=5000), f"unix:{path}:mode=600"):
        status, out, err = await uacctl(
            "--json", "--connect", f"unix:{path}:mode=600", "uac.reg_dump"
        )
    assert (status, err) == (0, "")
    assert [row["l_uuid"] for row in json.loads(out)] == [f"account-{n}" for n in range(5000)]


@pytest_twisted.ensureDeferred
async def test_a_page_full_of_text_outside_ascii_still_fits(path: Path) -> None:
    service = SmallService(records=400)
    for row in service.records:
        row["l_username"] = "Ж" * 100 + "\U0001f4de"
    async with serving(service, f"unix:{path}"), connected(f"unix:path={path}") as amp:
        rows = [row for page in await pages_of(amp, "uac.reg_dump") for row in page.content]
    assert [row["l_username"] for row in rows] == ["Ж" * 100 + "\U0001f4de"] * 400


@pytest_twisted.ensureDeferred
async def test_a_record_larger_than_a_page_is_a_fault_and_not_a_broken_talk(path: Path) -> None:
    service = SmallService(records=3)
    service.records[1]["l_username"] = "x" * 70_000
    async with serving(service, f"unix:{path}"), connected(f"unix:path={path}") as amp:
        with pytest.raises(Exception, match="500 A record of 70"):
            await pages_of(amp, "uac.reg_dump")
        assert (await pages_of(amp, "version"))[0].content["version"] == "1.2.3"


@pytest_twisted.ensureDeferred
async def test_the_socket_is_private_from_its_first_moment(path: Path) -> None:
    modes: list[int] = []

    class Watching(Factory[Any]):
        def doStart(self) -> None:  # noqa: N802
            reactor_chmod = os.chmod

            def chmod(target: Any, mode: int) -> None:
                modes.append(stat.S_IMODE(os.stat(target).st_mode))
                reactor_chmod(target, mode)

            patch.setattr(os, "chmod", chmod)

    umask_before = os.umask(0)
    try:
        with pytest.MonkeyPatch.context() as patch:
            port = await listen(reactor, f"unix:{path}", Watching(), key="amp")
        modes.append(stat.S_IMODE(path.stat().st_mode))
        assert os.umask(0) == 0
    finally:
        os.umask(umask_before)
    await maybeDeferred(port.stopListening)
    assert modes == [0o600, 0o600]


@pytest_twisted.ensureDeferred
async def test_an_operator_may_open_the_socket_to_a_group(path: Path) -> None:
    async with serving(SmallService(), f"unix:{path}:mode=660"):
        mode = stat.S_IMODE(path.stat().st_mode)
    assert mode == 0o660


@pytest_twisted.ensureDeferred
async def test_a_socket_left_by_a_killed_service_is_replaced(path: Path) -> None:
    with small_service(f"unix:{path}") as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert path.is_socket()
    async with serving(SmallService(), f"unix:{path}"):
        status, out, _ = await uacctl("--connect", f"unix:{path}", "version")
    assert (status, out) == (0, "version: 1.2.3\nuptime:  61\n")


@pytest_twisted.ensureDeferred
async def test_a_killed_service_whose_number_another_process_has_now_is_no_hindrance(
    path: Path,
) -> None:
    with small_service(f"unix:{path}") as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
    lock = path.with_name("uacproxy.sock.lock")
    lock.unlink(missing_ok=True)
    lock.symlink_to(str(os.getpid()))
    async with serving(SmallService(), f"unix:{path}"):
        status, _, _ = await uacctl("--connect", f"unix:{path}", "version")
    assert status == 0


@pytest_twisted.ensureDeferred
async def test_a_socket_in_use_is_refused_and_stays_in_use(path: Path) -> None:
    async with serving(SmallService(), f"unix:{path}"):
        with pytest.raises(ConfigError) as raised:
            await listen(reactor, f"unix:{path}", Factory(), key="amp")
        status, _, _ = await uacctl("--connect", f"unix:{path}", "version")
    assert str(raised.value) == (
        f"[management] amp: cannot listen at unix:{path}: a running service answers at this socket"
    )
    assert status == 0


def _a_file(path: Path) -> str:
    path.write_text("precious")
    return f"unix:{path}"


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        (_a_file, "the path exists and is no socket"),
        (lambda path: f"unix:{path.parent / 'nowhere' / 'u.sock'}", "No such file or directory"),
        (lambda path: f"unix:{path}:mode=rw", "invalid literal"),
        (lambda path: f"unix:{path}:colour=red", "colour"),
        (lambda path: "uacproxy.sock", "is no endpoint"),
        (lambda path: "smoke:signals", "smoke"),
        (lambda path: "tcp:1:interface=192.0.2.1", "Cannot assign requested address"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_where_it_cannot_listen_it_says_why(
    path: Path, endpoint: Callable[[Path], str], why: str
) -> None:
    description = endpoint(path)
    was = path.read_text() if path.exists() else None
    with pytest.raises(ConfigError) as raised:
        await listen(reactor, description, Factory(), key="amp")
    assert str(raised.value).startswith("[management] amp: ")
    assert why in str(raised.value)
    assert (path.read_text() if path.exists() else None) == was


@pytest_twisted.ensureDeferred
async def test_a_tcp_endpoint_works_as_written_in_the_ini_file(path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    endpoint = f"tcp:{number}:interface=127.0.0.1"
    async with serving(SmallService(), endpoint):
        status, out, _ = await uacctl("--json", "--connect", endpoint, "stats")
    assert status == 0
    assert json.loads(out) == {"cpu.seconds": 0.5, "sip.received": 12, "uac.regtotal": 3}


@pytest_twisted.ensureDeferred
async def test_uacctl_writes_blocks_tables_and_words(path: Path) -> None:
    async with serving(SmallService(), f"unix:{path}"):
        at = f"unix:{path}"
        _, info, _ = await uacctl("uac.reg_info", "l_username", "user1", at=at)
        _, table, _ = await uacctl("uac.reg_dump", at=at)
        _, words, _ = await uacctl("explain", "account-2", at=at)
        _, dialogs, _ = await uacctl("dialogs", at=at)
    assert [line.split(":")[0] for line in info.splitlines()][:2] == ["l_uuid", "l_username"]
    assert "auth_password: ***\n" in info
    assert [line.split()[0] for line in table.splitlines()] == [
        "l_uuid",
        "account-0",
        "account-1",
        "account-2",
    ]
    assert words == "account-2 is registered [200 OK].\nRefresh in 99 s.\n"
    assert r"\x1b[2Jbold [b]" in dialogs


@pytest_twisted.ensureDeferred
async def test_without_an_endpoint_uacctl_looks_in_the_current_directory(path: Path) -> None:
    async with serving(SmallService(), f"unix:{path}"):
        status, out, _ = await uacctl("--json", "version", cwd=path.parent)
    assert (status, json.loads(out)) == (0, {"version": "1.2.3", "uptime": 61})


@pytest_twisted.ensureDeferred
async def test_a_fault_is_exit_status_1_with_code_and_text(path: Path) -> None:
    async with serving(SmallService(), f"unix:{path}"):
        result = await uacctl("--connect", f"unix:{path}", "uac.reg_info", "l_uuid", "nobody")
    assert result == (1, "", "404 Record not found\n")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["uac.reg_dmup"], "the nearest is uac.reg_dump"),
        (["explain"], "the verb is used as: explain L_UUID"),
        (["version", "please"], "the verb is used as: version"),
        (["--jsn", "version"], "--jsn"),
        (["--connect", "nonsense", "version"], "--connect: 'nonsense' is no endpoint"),
        (["--connect", "smoke:signals", "version"], "smoke"),
        (["help", "reg_info"], "the nearest is uac.reg_info"),
        ([], "VERB"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_wrong_command_line_is_exit_status_2(words: list[str], complaint: str) -> None:
    status, out, err = await uacctl(*words)
    assert (status, out) == (2, "")
    assert complaint in err
    assert "Traceback" not in err


@pytest_twisted.ensureDeferred
async def test_a_service_that_is_down_is_exit_status_69_and_what_to_check(path: Path) -> None:
    status, out, err = await uacctl("--connect", f"unix:{path}:mode=600", "stats")
    assert (status, out) == (69, "")
    assert err.startswith(f"uacctl: no service at unix:{path}: No such file or directory\n")
    assert "[management]" in err
    assert "UACCTL_CONNECT" in err


@pytest_twisted.ensureDeferred
async def test_a_stale_socket_and_a_refused_port_are_exit_status_69_too(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        endpoint = f"tcp:{bound.getsockname()[1]}:interface=127.0.0.1"
        results = [await uacctl("--connect", at, "stats") for at in (f"unix:{path}", endpoint)]
    assert [(status, "Connection refused" in err) for status, _, err in results] == [(69, True)] * 2


@pytest_twisted.ensureDeferred
async def test_a_peer_that_hangs_up_is_exit_status_69(path: Path) -> None:
    class HangingUp(Protocol):
        def dataReceived(self, data: bytes) -> None:  # noqa: N802
            assert self.transport is not None
            self.transport.loseConnection()

    port = await listen(reactor, f"unix:{path}", Factory.forProtocol(HangingUp), key="amp")
    status, out, err = await uacctl("--connect", f"unix:{path}", "stats")
    await maybeDeferred(port.stopListening)
    assert (status, out) == (69, "")
    assert "the talk broke off" in err


@pytest_twisted.ensureDeferred
async def test_help_needs_no_service(path: Path) -> None:
    status, out, _ = await uacctl("help", at=f"unix:{path}")
    _, one, _ = await uacctl("help", "explain", at=f"unix:{path}")
    assert status == 0
    assert "uac.reg_info ATTR VALUE" in out
    assert "L_UUID (string): The account's l_uuid" in one


@pytest_twisted.ensureDeferred
async def test_a_reader_that_has_seen_enough_ends_the_dump_in_peace(path: Path) -> None:
    async with serving(SmallService(records=2000), f"unix:{path}"):
        command = (
            f"set -o pipefail; {sys.executable} -m uacproxy.uacctl "
            f"--json --connect unix:{path} uac.reg_dump | head -c 10"
        )
        status, out, err = await spawn(["/bin/bash", "-c", command]).ended
    assert (status, len(out), err) == (0, 10, "")


@pytest_twisted.ensureDeferred
async def test_shutdown_is_answered_before_the_service_goes(path: Path) -> None:
    with small_service(f"unix:{path}") as child:
        result = await uacctl("--connect", f"unix:{path}", "shutdown")
        status = child.wait(timeout=20)
    assert result == (0, "The service is stopping.\n", "")
    assert status == 0
    assert not path.exists()


@pytest_twisted.ensureDeferred
async def test_a_verb_that_breaks_costs_its_answer_and_not_the_connection(path: Path) -> None:
    service = SmallService()
    del service.records[1]["realm"]
    async with serving(service, f"unix:{path}"), connected(f"unix:path={path}") as amp:
        with trouble_logged() as logged, pytest.raises(Exception, match="500 Internal error"):
            await pages_of(amp, "uac.reg_dump")
        again = await pages_of(amp, "version")
    assert again[0].content["version"] == "1.2.3"
    assert len(logged) == 1


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({}, "404 No verb ''"),
        ({"verb": b"\xff"}, "400 Invalid Parameters"),
        ({"verb": b"x" * 60_000}, "404 No verb"),
        ({"verb": b"version", "arguments": b"{"}, "400 Invalid Parameters"),
        ({"verb": b"version", "arguments": b'"a"'}, "400 Invalid Parameters"),
        ({"verb": b"explain", "arguments": b"[1]"}, "400 Invalid Parameters"),
        ({"verb": b"explain", "arguments": b"[" * 60_000}, "400 Invalid Parameters"),
        ({"verb": b"uac.reg_dump", "cursor": b"7"}, "410 No such cursor, or no longer"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_malformed_question_is_a_fault(
    path: Path, question: dict[str, bytes], words: str
) -> None:
    async with serving(SmallService(), f"unix:{path}"), connected(f"unix:path={path}") as amp:
        with trouble_logged() as logged, pytest.raises(Refused) as raised:
            await amp.callRemote(Call, **question)
    assert str(raised.value).startswith(words)
    assert len(str(raised.value)) < 200
    assert logged == []


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.0\r\n\r\n" + b"x" * 70_000,
        box(some=b"thing"),
        box(_answer=b"1"),
        box(_error=b"1", _error_code=b"x", _error_description=b"y"),
        box(_command=b"Call", verb=b"version"),
        box(_command=b"Call", _ask=b"1", _answer=b"1"),
        box(_command=b"x" * 60_000, _ask=b"1"),
        b"\0\0",
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_question_ends_the_connection_without_a_traceback(
    path: Path, octets: bytes
) -> None:
    async with serving(SmallService(), f"unix:{path}"):
        with trouble_logged() as logged:
            wire = await connectProtocol(clientFromString(reactor, f"unix:path={path}"), Wire())
            wire.transport.write(octets)
            got = await wire.lost
        status, _, _ = await uacctl("--connect", f"unix:{path}", "version")
    assert (got, logged, status) == (b"", [], 0)


@pytest_twisted.ensureDeferred
async def test_no_other_command_is_known_not_even_starttls(path: Path) -> None:
    async with serving(SmallService(), f"unix:{path}"), connected(f"unix:path={path}") as amp:
        for command in ("StartTLS", "Nonsense"):
            with trouble_logged() as logged, pytest.raises(UnhandledCommand):
                await amp.callRemoteString(command.encode())
            assert logged == []


@pytest_twisted.ensureDeferred
async def test_the_wire_is_what_the_manual_page_says(path: Path) -> None:
    page = (ROOT / "docs" / "management.md").read_text()
    start = page.index("    import json, socket, struct")
    end = page.index("## The manhole")
    program = "\n".join(line[4:] for line in page[start:end].splitlines())
    program = program.replace('"uacproxy.sock"', repr(str(path))).replace("trunk-7", "account-1")
    async with serving(SmallService(), f"unix:{path}"):
        status, out, err = await spawn([sys.executable, "-c", program]).ended
    assert (status, err) == (0, "")
    assert "'l_uuid': 'account-1'" in out


@pytest_twisted.ensureDeferred
async def test_a_half_read_list_is_forgotten_in_time(path: Path) -> None:
    clock = Clock()
    service = SmallService(records=1000)
    async with serving(service, f"unix:{path}", clock), connected(f"unix:path={path}") as amp:
        first = await amp.callRemote(Call, verb=b"uac.reg_dump")
        clock.advance(LIST_LIFETIME - 1)
        second = await amp.callRemote(Call, verb=b"uac.reg_dump", cursor=first["cursor"])
        clock.advance(LIST_LIFETIME - 1)
        third = await amp.callRemote(Call, verb=b"uac.reg_dump", cursor=second["cursor"])
        clock.advance(LIST_LIFETIME + 1)
        with pytest.raises(Refused, match="410"):
            await amp.callRemote(Call, verb=b"uac.reg_dump", cursor=third["cursor"])


@pytest_twisted.ensureDeferred
async def test_the_list_that_waited_longest_makes_way_for_a_fifth(path: Path) -> None:
    clock = Clock()
    service = SmallService(records=1000)
    async with serving(service, f"unix:{path}", clock), connected(f"unix:path={path}") as amp:
        cursors = []
        for _ in range(MAX_LISTS + 1):
            answer = await amp.callRemote(Call, verb=b"uac.reg_dump")
            cursors.append(answer["cursor"])
        with pytest.raises(Refused, match="410"):
            await amp.callRemote(Call, verb=b"uac.reg_dump", cursor=cursors[0])
        last = await amp.callRemote(Call, verb=b"uac.reg_dump", cursor=cursors[-1])
    assert json.loads(last["page"])
    assert len(clock.getDelayedCalls()) <= MAX_LISTS


@pytest_twisted.ensureDeferred
async def test_a_cursor_is_good_for_its_own_verb_and_connection_only(path: Path) -> None:
    service = SmallService(records=1000)
    at = f"unix:path={path}"
    async with serving(service, f"unix:{path}", Clock()), connected(at) as amp, connected(at) as b:
        cursor = (await amp.callRemote(Call, verb=b"uac.reg_dump"))["cursor"]
        for connection, verb in ((amp, b"dialogs"), (b, b"uac.reg_dump")):
            with pytest.raises(Refused, match="410"):
                await connection.callRemote(Call, verb=verb, cursor=cursor)


@contextmanager
def small_service(endpoint: str) -> Iterator[subprocess.Popen[str]]:
    """Run a service of its own process, ready to be asked; it is gone at the end."""
    argv = [sys.executable, "-m", "tests.support.small_service", endpoint]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            if child.poll() is None:
                child.kill()
