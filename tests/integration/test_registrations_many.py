"""Twenty thousand accounts from SQLite at a scripted registrar, no faster than allowed."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from tests.support import services
from tests.support.free_ports import LOOPBACK, free_port
from tests.support.uacproxy_process import ROOT, UacproxyProcess
from uacproxy.accounts.schema import make_tables, uacreg_table

ACCOUNTS = 20_000
RATE = 1500  # REGISTERs/s
PASSWORD = "Watzmann-2713"

INI = """\
[sip]
listen = udp:@HERE@

[uac]
reg_db_url = sqlite:///@DATABASE@
reg_contact_addr = @HERE@
reg_rate = @RATE@
reg_rate_per_registrar = @RATE@
reg_slow_start = 5s

[log]
level = warn
"""


class Registrar:
    """``bench/registrar.py`` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.address = (LOOPBACK, free_port())
        program = str(ROOT / "bench" / "registrar.py")
        listen = f"{LOOPBACK}:{self.address[1]}"
        words = ["--listen", listen, "--password", PASSWORD, "--expires", "3600"]
        self.server = services.Server([sys.executable, program, *words], log=folder / "registrar")
        self._asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._asking.settimeout(1.0)

    def stats(self) -> dict[str, Any]:
        """Return its counts; while it is busy it may have to be asked again."""
        for _ in range(30):
            self._asking.sendto(b"STATS", self.address)
            try:
                found: dict[str, Any] = json.loads(self._asking.recv(65535))
            except (TimeoutError, ConnectionError):
                continue
            return found
        pytest.fail("the registrar does not answer")

    def stop(self) -> None:
        self._asking.close()
        self.server.stop()


@pytest.fixture
def registrar(tmp_path: Path) -> Iterator[Registrar]:
    one = Registrar(tmp_path)
    try:
        one.server.wait_until(lambda: services.answers_options(*one.address))
        yield one
    finally:
        one.stop()


def make_accounts(file: Path, registrar: Registrar) -> None:
    rows = [
        {
            "l_uuid": f"a{number}",
            "l_username": f"local{number}",
            "l_domain": "a.example",
            "r_username": f"49301{number:05d}",
            "r_domain": "provider.example.net",
            "realm": "provider.example.net",
            "auth_username": f"49301{number:05d}",
            "auth_password": PASSWORD,
            "auth_proxy": f"sip:{registrar.address[0]}:{registrar.address[1]}",
            "expires": 3600,
        }
        for number in range(ACCOUNTS)
    ]
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        make_tables(connection)
        connection.execute(sqlalchemy.insert(uacreg_table()), rows)
    engine.dispose()


@pytest.mark.slow
def test_all_accounts_come_to_be_registered_and_the_rate_is_never_above_its_limit(
    start_uacproxy: Callable[..., UacproxyProcess], registrar: Registrar, tmp_path: Path
) -> None:
    """A start with 50,000 accounts was a storm; the times are the kernel's, not the registrar's."""
    database = tmp_path / "accounts.db"
    make_accounts(database, registrar)
    service = start_uacproxy(INI, database=database, rate=RATE)
    service.server.wait_until(lambda: registrar.stats()["users"] == ACCOUNTS, within=120.0)
    seen = registrar.stats()
    assert (seen["granted"], seen["refused"], seen["lapsed"]) == (ACCOUNTS, 0, 0)
    assert seen["registers"] == 2 * ACCOUNTS
    slots = seen["slots"][1:]
    seconds = [sum(slots[at : at + 10]) for at in range(len(slots))]
    assert max(seconds) <= RATE * 1.1  # and a burst of a tenth of a second
    assert sum(slots[:10]) < RATE / 2  # slow start
    assert service.stats()["uac.regactive"] == ACCOUNTS
