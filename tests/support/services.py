"""Real servers for tests: child processes on free loopback ports, stopped by their pid.

Each is a context manager; ``tests/conftest.py`` makes fixtures of them. A program that
is not installed skips the test with a plain reason, or fails it where ``CI=true``.
"""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pymysql
import pytest

from tests.support.free_ports import LOOPBACK, free_port

READY_WITHIN = 30.0  # s, for a server to come up on a busy machine
STOP_WITHIN = 10.0  # s, for a server to leave before it is killed
ANSWERS_WITHIN = 5.0  # s, for a worker whose socket is there before it is
POLL = 0.05  # s, between two looks at a starting server

# ms, as SIPp counts: else it warns of half a second in which the machine did other things.
NEVER = str(24 * 3600 * 1000)

# Debian keeps these where an ordinary user's PATH does not reach.
ALSO_IN = ("/usr/sbin", "/sbin", *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True))


def needs(program: str) -> str:
    """Return the path of ``program``; without it skip the test, or fail where ``CI=true``."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *ALSO_IN])
    found = shutil.which(program, path=path)
    if found is None:
        reason = f"{program} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI skips nothing")
        pytest.skip(reason)
    return found


class DidNotStart(Exception):
    """A server ended, or stayed silent, before it was ready; says its last words."""


class Server:
    """One child process, leader of its own group.

    It ends with the thread that started it, even if that is killed, so start it from the
    main thread.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        user: str = "",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stop_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start it.

        Args:
            argv: the program and its arguments; it has to stay in the foreground.
            log: takes what it prints.
            user: runs it, when we are root; empty: the one we are.
            cwd: its working directory.
            env: added to our environment.
            stop_by: the signal it takes as a request to leave.
        """
        self._log = log
        self._stop_by = stop_by
        become = [f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        self._argv = ["setpriv", "--pdeathsig", "TERM", *become, *argv]
        self._cwd = cwd
        self._env = {**os.environ, **(env or {})}
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as out:
            return subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=self._env,
                start_new_session=True,
            )

    def begin_again(self, ready: Callable[[], bool]) -> None:
        """Start it anew after ``stop``, and wait until it is ready."""
        self.process = self._begin()
        self.wait_until(ready)

    @property
    def pid(self) -> int:
        """Return the process id, which is the group's too."""
        return self.process.pid

    @property
    def output(self) -> str:
        """Return what it has printed so far."""
        return self._log.read_text(errors="replace")

    def wait_until(self, ready: Callable[[], bool], within: float = READY_WITHIN) -> None:
        """Return as soon as ``ready()`` holds.

        Raises:
            DidNotStart: it ended first, or ``within`` seconds went by.
        """
        deadline = time.monotonic() + within
        while not ready():
            try:
                status = self.process.wait(POLL)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                raise DidNotStart(f"not ready after {within:g} s: {self._last_words()}") from None
            raise DidNotStart(f"ended with status {status}: {self._last_words()}")

    def stop(self, within: float = STOP_WITHIN) -> int:
        """Ask it to leave, kill its group if it does not, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(self._stop_by)
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
        return self.process.wait()

    def _last_words(self) -> str:
        return f"{self.process.args!r}\n{self.output[-2000:]}"


@contextmanager
def running(server: Server, ready: Callable[[], bool]) -> Iterator[Server]:
    """Wait until ``server`` is ready, and stop it at the end whatever happens."""
    try:
        server.wait_until(ready)
        yield server
    finally:
        server.stop()


def accepts(host: str, port: int) -> bool:
    """Tell whether somebody accepts TCP connections there."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def answers_options(host: str, port: int) -> bool:
    """Tell whether a SIP element answers an OPTIONS over UDP, with any status."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(ANSWERS_WITHIN)
        probe.connect((host, port))  # so that it hears at once that nobody is there
        here = "{}:{}".format(*probe.getsockname())
        request = (
            f"OPTIONS sip:{host}:{port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {here};rport;branch=z9hG4bKready{time.monotonic_ns()}\r\n"
            f"From: <sip:probe@{here}>;tag=1\r\nTo: <sip:{host}:{port}>\r\n"
            f"Call-ID: {time.monotonic_ns()}@{here}\r\nCSeq: 1 OPTIONS\r\n"
            "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        try:
            probe.send(request.encode())
            return probe.recv(65535).startswith(b"SIP/2.0 ")
        except OSError:
            return False


@dataclass(frozen=True)
class Redis:
    """A Redis that keeps nothing on disk."""

    server: Server
    host: str
    port: int

    @property
    def url(self) -> str:
        """Return the ``[store] url`` of its first database."""
        return f"redis://{self.host}:{self.port}/0"


@contextmanager
def redis(folder: Path) -> Iterator[Redis]:
    """Run a redis-server of our own."""
    port = free_port()
    argv = [needs("redis-server"), "--bind", LOOPBACK, "--port", str(port)]
    argv += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = Server(argv, log=folder / "redis.log")
    with running(server, lambda: accepts(LOOPBACK, port)):
        yield Redis(server, LOOPBACK, port)


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL cluster in a folder of its own; the user ``uacproxy`` may do all."""

    server: Server
    host: str
    port: int

    def new_database(self, name: str) -> str:
        """Create an empty database and return its SQLAlchemy URL."""
        where = ["-h", self.host, "-p", str(self.port), "-U", "uacproxy"]
        subprocess.run([needs("createdb"), *where, name], check=True)
        return f"postgresql+psycopg://uacproxy@{self.host}:{self.port}/{name}"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL server of our own, as Debian's ``postgres`` user where we are root."""
    initdb, program, pg_isready = needs("initdb"), needs("postgres"), needs("pg_isready")
    user = "postgres" if os.geteuid() == 0 else ""
    # Not below pytest's own folder, which only its owner may enter.
    with tempfile.TemporaryDirectory(prefix="uacproxy-postgres-") as name:
        folder = Path(name)
        if user:
            owner = pwd.getpwnam(user)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        cluster = str(folder / "cluster")
        make = [initdb, "-D", cluster, "-U", "uacproxy", "-A", "trust", "-E", "UTF8"]
        made = Server(
            [*make, "--no-locale", "--no-sync"], log=folder / "initdb.log", user=user, cwd=folder
        )
        if made.process.wait(READY_WITHIN) != 0:
            raise DidNotStart(made.output)
        port = free_port()
        argv = [program, "-D", cluster, "-k", str(folder), "-h", LOOPBACK, "-p", str(port)]
        argv += ["-c", "fsync=off", "-c", "max_connections=20"]
        server = Server(
            argv,
            log=folder / "postgres.log",
            user=user,
            cwd=folder,
            stop_by=signal.SIGINT,  # SIGTERM would wait for every client to leave
        )
        is_ready = [pg_isready, "-q", "-h", LOOPBACK, "-p", str(port)]
        with running(server, lambda: subprocess.run(is_ready).returncode == 0):
            yield Postgres(server, LOOPBACK, port)


@dataclass(frozen=True)
class MariaDb:
    """A MariaDB in a folder of its own; its user ``root`` needs no password."""

    server: Server
    host: str
    port: int

    def new_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        _sql_of_mariadb(self.port, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return f"mysql://root@{self.host}:{self.port}/{name}"


@contextmanager
def mariadb() -> Iterator[MariaDb]:
    """Run a MariaDB server of our own, as Debian's ``mysql`` user where we are root."""
    install, program = needs("mariadb-install-db"), needs("mariadbd")
    user = "mysql" if os.geteuid() == 0 else ""
    with tempfile.TemporaryDirectory(prefix="uacproxy-mariadb-") as name:
        folder = Path(name)
        if user:
            owner = pwd.getpwnam(user)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        files = ["--no-defaults", f"--datadir={folder / 'data'}"]
        make = [install, *files, "--auth-root-authentication-method=normal", "--skip-test-db"]
        made = Server(make, log=folder / "install.log", user=user, cwd=folder)
        if made.process.wait(READY_WITHIN) != 0:
            raise DidNotStart(made.output)
        port = free_port()
        argv = [program, *files, f"--bind-address={LOOPBACK}", f"--port={port}"]
        argv += [f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}"]
        argv += ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M"]
        server = Server(argv, log=folder / "mariadb.log", user=user, cwd=folder)
        with running(server, lambda: _sql_of_mariadb(port, "SELECT 1")):
            yield MariaDb(server, LOOPBACK, port)


def _sql_of_mariadb(port: int, statement: str) -> bool:
    """Run one statement; tell whether the server answered."""
    try:
        connection = pymysql.connect(host=LOOPBACK, port=port, user="root", connect_timeout=5)
    except pymysql.err.OperationalError:
        return False
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
    return True


@dataclass(frozen=True)
class Kamailio:
    """A Kamailio that answers on ``host:port``."""

    server: Server
    host: str
    port: int
    folder: Path


@contextmanager
def kamailio(template: Path, folder: Path, **values: object) -> Iterator[Kamailio]:
    """Run Kamailio on a configuration template.

    ``@LISTEN@`` becomes HOST:PORT, ``@HOST@`` and ``@PORT@`` its parts, ``@RUNDIR@`` the
    folder, ``@MODULES@`` the directory of modules; each of ``values`` fills the mark of its
    own name in capitals. The log is ``folder/kamailio.log``.
    """
    program, port = needs("kamailio"), free_port()
    marks = {
        "listen": f"{LOOPBACK}:{port}",
        "host": LOOPBACK,
        "port": port,
        "rundir": folder,
        "modules": next(
            iter(glob.glob("/usr/lib/*/kamailio/modules")), "/usr/lib/kamailio/modules"
        ),
        **values,
    }
    text = template.read_text()
    for mark, value in marks.items():
        text = text.replace(f"@{mark.upper()}@", str(value))
    config = folder / "kamailio.cfg"
    config.write_text(text)
    argv = [program, "-f", str(config), "-Y", str(folder), "-P", str(folder / "pid")]
    server = Server([*argv, "-DD", "-E", "-m", "64", "-M", "8"], log=folder / "kamailio.log")
    with running(server, lambda: answers_options(LOOPBACK, port)):
        yield Kamailio(server, LOOPBACK, port, folder)


@dataclass(frozen=True)
class SippResult:
    """How one run of SIPp ended."""

    exit_code: int  # 0: every call as the scenario says; 1: at least one failed; 255: fatal
    errors: str  # what -trace_err wrote
    messages: str  # every message sent and received
    output: str  # its screens

    def check(self) -> None:
        """Fail the test with what SIPp said, unless every call went as written."""
        if self.exit_code != 0:
            said = self.errors[-4000:] or self.output[-4000:]
            pytest.fail(f"SIPp ended with {self.exit_code}\n{said}")


class Sipp:
    """One SIPp on a port of its own, from its start to ``finish``."""

    def __init__(
        self, scenario: Path | str, remote: str, *more: str, folder: Path, port: int = 0
    ) -> None:
        """Start it.

        Args:
            scenario: an XML file, or the name of a built-in one (``uac``, ``uas``).
            remote: HOST:PORT, or empty for a scenario that only waits.
            more: further arguments of SIPp, such as ``-m 10`` or ``-key name value``.
            folder: takes the logs, and is its working directory.
            port: to listen on; 0 for any free one.
        """
        self.port = port or free_port()
        self._errors = folder / f"sipp-{self.port}.errors"
        self._messages = folder / f"sipp-{self.port}.messages"
        which = ["-sn", scenario] if isinstance(scenario, str) else ["-sf", str(scenario)]
        argv = [needs("sipp"), *which, "-i", LOOPBACK, "-p", str(self.port), "-nostdin"]
        argv += ["-ci", LOOPBACK, "-cp", str(free_port())]
        argv += ["-watchdog_interval", NEVER]
        argv += ["-trace_err", "-error_file", str(self._errors)]
        argv += ["-trace_msg", "-message_file", str(self._messages)]
        self._server = Server(
            [*argv, *more, *([remote] if remote else [])],
            log=folder / f"sipp-{self.port}.out",
            cwd=folder,
            env={"TERM": "dumb"},
        )

    @property
    def uri_host(self) -> str:
        """Return HOST:PORT to reach it at."""
        return f"{LOOPBACK}:{self.port}"

    def wait_until_listening(self) -> None:
        """Wait until UDP or TCP to its port reaches it; a message would count as a call."""
        here = f":{self.port:04X} 00000000:0000 "
        tables = {"/proc/net/udp": here, "/proc/net/tcp": f"{here}0A "}  # TCP_LISTEN

        def is_listening() -> bool:
            return any(line in Path(table).read_text() for table, line in tables.items())

        self._server.wait_until(is_listening)

    def finish(self, within: float = 60.0) -> SippResult:
        """Wait for its own end, at most ``within`` seconds, and read its logs."""
        try:
            self._server.process.wait(within)
        except subprocess.TimeoutExpired:
            pass  # stopped below; its exit code then says so
        return self.stop()

    def stop(self) -> SippResult:
        """End it now, if it still runs, and read its logs."""
        exit_code = self._server.stop()

        def text(path: Path) -> str:
            return path.read_text(errors="replace") if path.exists() else ""

        return SippResult(exit_code, text(self._errors), text(self._messages), self._server.output)
