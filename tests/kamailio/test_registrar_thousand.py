"""A thousand accounts at a real Kamailio: kept registered, through kill -9, and taken back."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

from tests.support import services
from tests.support.endpoint import Endpoint
from tests.support.free_ports import LOOPBACK, free_port
from tests.support.kamailio_account import PASSWORD, TEMPLATE, request
from tests.support.services import Kamailio
from tests.support.uacproxy_process import UacproxyProcess, write_files
from uacproxy.accounts.schema import make_tables, uacreg_table
from uacproxy.uac.registration_store import SPACE, decode

ACCOUNTS = 1000
SHORT, LONG = 16, 3600  # s

INI = """\
[sip]
listen = udp:@HERE@

[uac]
reg_db_url = sqlite:///accounts.db
reg_contact_addr = @HERE@
reg_slow_start = 2s

[log]
level = warn
"""

StartKamailio = Callable[..., Kamailio]


class Service:
    """uacproxy with its folder, to be killed and started again."""

    def __init__(self, folder: Path, provider: Kamailio) -> None:
        self.folder = folder
        self.port = free_port()
        write_files(folder, INI, {}, {"here": f"{LOOPBACK}:{self.port}"})
        self.engine = sqlalchemy.create_engine(f"sqlite:///{folder}/accounts.db")
        with self.engine.begin() as connection:
            make_tables(connection)
            rows = [account(number, provider) for number in range(ACCOUNTS)]
            connection.execute(sqlalchemy.insert(uacreg_table()), rows)
        self.start()

    def start(self) -> None:
        self.process = UacproxyProcess(self.folder, LOOPBACK, self.port)
        self.process.server.wait_until(lambda: services.answers_options(LOOPBACK, self.port))
        self.process.wait_for(uac_regactive=ACCOUNTS)

    def kept(self, granted: int) -> int:
        """Return how many accounts the store has with an interval granted, s."""
        with closing(
            sqlite3.connect(f"file:{self.folder}/uacproxy-state.db?mode=ro", uri=True)
        ) as file:
            rows = file.execute("SELECT value FROM state WHERE space = ?", (SPACE,)).fetchall()
        return sum(decode(bytes(value)).granted == granted for (value,) in rows)

    def kill(self, granted: int) -> None:
        """End it as a power failure would, once the store has what was granted."""
        self.process.server.wait_until(lambda: self.kept(granted) == ACCOUNTS)
        os.kill(self.process.pid, signal.SIGKILL)
        assert self.process.server.process.wait() == -signal.SIGKILL

    def ask_for(self, expires: int) -> None:
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.update(uacreg_table()).values(expires=expires))


def account(number: int, provider: Kamailio) -> dict[str, object]:
    user = f"49301{number:04d}"
    return {
        "l_uuid": f"trunk{number}",
        "l_username": f"local{number}",
        "l_domain": "a.example",
        "r_username": user,
        "r_domain": "provider.example",
        "realm": "provider.example",
        "auth_username": user,
        "auth_password": PASSWORD,
        "auth_proxy": f"sip:{provider.host}:{provider.port}",
        "expires": SHORT,
    }


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="uacproxy-") as name:
        yield Path(name)


def received(provider: Kamailio) -> int:
    """Return how many REGISTERs came to Kamailio, those without credentials too."""
    return provider.server.output.count("received a REGISTER")


def granted(provider: Kamailio, expires: int) -> dict[str, int]:
    """Return how often Kamailio granted each user an interval."""
    seen: dict[str, int] = {}
    pattern = rf"registered (\S+) as \S+ \S+ expires {expires} "
    for user in re.findall(pattern, provider.server.output):
        seen[user] = seen.get(user, 0) + 1
    return seen


def bound(prober: Endpoint, provider: Kamailio) -> int:
    """Return how many of every fiftieth user are bound at Kamailio."""
    count = 0
    for number in range(0, ACCOUNTS, 50):
        uri = f"sip:49301{number:04d}@provider.example"
        prober.send(request(prober, "OPTIONS", uri, uri), f"{provider.host}:{provider.port}")
        count += prober.hears_any("200", "404").kind == "200"
    return count


@pytest.mark.slow
def test_a_thousand_accounts_outlive_kill_9_without_a_register_and_leave_nothing_behind(
    start_kamailio: StartKamailio, folder: Path
) -> None:
    provider = start_kamailio(TEMPLATE, password=PASSWORD)
    with Endpoint("prober") as prober:
        service = Service(folder, provider)
        try:
            refreshed = lambda: min(granted(provider, SHORT).values(), default=0) >= 2  # noqa: E731
            service.process.server.wait_until(refreshed, within=40.0)
            assert len(granted(provider, SHORT)) == ACCOUNTS
            challenged = service.process.stats()["registration.challenged"]
            assert challenged == ACCOUNTS  # refreshes brought their credentials along
            assert bound(prober, provider) == ACCOUNTS / 50

            service.kill(SHORT)
            service.ask_for(LONG)
            service.start()  # resumed, and soon due
            renewed = lambda: len(granted(provider, LONG)) == ACCOUNTS  # noqa: E731
            service.process.server.wait_until(renewed, within=40.0)

            before = received(provider)
            service.kill(LONG)
            service.start()  # waits until all count as registered
            assert bound(prober, provider) == ACCOUNTS / 50
            assert service.process.stats()["registration.sent"] == 0
            assert received(provider) == before

            service.process.uacctl("shutdown")
            assert service.process.server.process.wait(30) == 0
            assert len(granted(provider, 0)) == ACCOUNTS
            assert bound(prober, provider) == 0
            assert PASSWORD not in service.process.output
        finally:
            service.process.stop()
