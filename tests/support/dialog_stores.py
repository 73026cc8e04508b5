"""Services whose hidden identities are with the tracked dialog alone, and their stores' insides.

A store is looked into beside the service: the SQLite file read-only, Redis over a
connection of our own.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from tests.support import services
from tests.support.free_ports import LOOPBACK, free_port
from tests.support.identity_peers import Views
from tests.support.uacproxy_process import UacproxyProcess, write_files
from uacproxy.dialog.dialog import Dialog, decode_dialog
from uacproxy.dialog.tracker import SPACE
from uacproxy.ports import HostPort

INI = """\
[sip]
listen = udp:@HERE@

[store]
url = @STORE@
redis_prefix = @PREFIX@

[uac]
restore_dlg = yes

[rule:out]
track = yes
replace_from = "Trunk 7" sip:7@trunk.example
replace_to = "Desk" <sip:desk@z.example;user=phone>
relay = yes
"""

VIEWS = Views(
    b'"Alice" <sip:alice@a.example>',
    b"sip:bob@b.example",
    b'"Trunk 7" <sip:7@trunk.example>',
    b'"Desk" <sip:desk@z.example;user=phone>',
)

Look = Callable[[bytes], bytes | None]  # what a store has for the ident of a dialog


class Instance:
    """A service that may be killed, and started again on the same port in the same folder."""

    def __init__(self, folder: Path, store: str, prefix: str, ini: str = INI) -> None:
        self.folder = folder
        self.address: HostPort = (LOOPBACK, free_port())
        here = "{}:{}".format(*self.address)
        write_files(folder, ini, {}, {"here": here, "store": store, "prefix": prefix})
        self.service = self.start()

    def start(self) -> UacproxyProcess:
        """Start it, or start it again."""
        self.service = UacproxyProcess(self.folder, *self.address)
        self.service.server.wait_until(lambda: services.answers_options(*self.address))
        return self.service

    def kill(self) -> None:
        """End it as a power failure would."""
        os.kill(self.service.pid, signal.SIGKILL)
        assert self.service.server.process.wait() == -signal.SIGKILL

    def stop(self) -> int:
        """Stop it, if it still runs, and return its exit status."""
        return self.service.stop()

    def in_sqlite(self, ident: bytes) -> bytes | None:
        """Return what its state file, ``sqlite:///state.db``, has of a dialog."""
        with closing(sqlite3.connect(f"file:{self.folder}/state.db?mode=ro", uri=True)) as file:
            where = "SELECT value FROM state WHERE space = ? AND key = ?"
            row = file.execute(where, (SPACE, ident)).fetchone()
        return None if row is None else bytes(row[0])

    def wait_until_kept(self, ident: bytes, look: Look, **shape: object) -> None:
        """Wait until the store has a dialog with these attributes."""

        def is_kept() -> bool:
            value = look(ident)
            if value is None:
                return False
            dialog = decode_dialog(ident, value)
            return all(getattr(dialog, name) == wanted for name, wanted in shape.items())

        self.service.server.wait_until(is_kept)


def wait_until_kept(
    service: UacproxyProcess, space: str, is_wanted: Callable[[bytes, bytes], bool]
) -> None:
    """Wait until the state file of a service, by its usual name, has such a key and value."""

    def is_kept() -> bool:
        with closing(
            sqlite3.connect(f"file:{service.folder}/uacproxy-state.db?mode=ro", uri=True)
        ) as file:
            rows = file.execute("SELECT key, value FROM state WHERE space = ?", (space,)).fetchall()
        return any(is_wanted(bytes(key), bytes(value)) for key, value in rows)

    service.server.wait_until(is_kept)


StartInstance = Callable[..., Instance]


@contextmanager
def instances() -> Iterator[StartInstance]:
    """Give ``start(store, prefix="", ini=INI)``; what runs at the end has to stop well."""
    with ExitStack() as stack:
        made: list[Instance] = []

        def start(store: str, prefix: str = "", ini: str = INI) -> Instance:
            # Not below pytest's own folder: the path of a UNIX socket ends at 107 octets.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="uacproxy-"))
            made.append(Instance(Path(folder), store, prefix, ini))
            stack.callback(made[-1].stop)
            return made[-1]

        yield start
        for each in made:
            assert (each.stop(), each.service.output.count("Traceback")) == (0, 0)


def ident_in(route: bytes) -> bytes:
    """Return the ``did`` of our Record-Route, its marks left out."""
    found = re.search(rb";did=([0-9a-f]+)", route)
    assert found is not None
    return found[1]


class RedisKeys:
    """The dialogs that a Redis has under a prefix."""

    def __init__(self, port: int, prefix: str) -> None:
        self._address = LOOPBACK, port
        self._prefix = f"{prefix}{SPACE}:".encode()

    def get(self, ident: bytes) -> bytes | None:
        """Return what is kept of a dialog."""
        return self.get_all([ident])[ident]

    def get_all(self, idents: list[bytes]) -> dict[bytes, bytes | None]:
        """Return what is kept of each of several dialogs."""
        with (
            closing(socket.create_connection(self._address, timeout=10.0)) as connection,
            connection.makefile("rb") as answers,
        ):
            found: dict[bytes, bytes | None] = {}
            for ident in idents:
                key = self._prefix + ident
                connection.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key))
                length = int(answers.readline()[1:])  # $LENGTH, or $-1 for none
                found[ident] = None if length < 0 else answers.read(length + 2)[:-2]
            return found

    def dialogs(self, idents: list[bytes]) -> dict[bytes, Dialog]:
        """Return those of several dialogs that are kept."""
        found = self.get_all(idents)
        return {
            ident: decode_dialog(ident, found[ident] or b"") for ident in idents if found[ident]
        }
