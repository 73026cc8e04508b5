"""A row changes and the running service hears of it, from a real PostgreSQL and a real Redis.

The SQL of the trigger is what docs/accounts.md tells an operator to type.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, insert, text

from tests.integration.test_accounts_postgres import ROW
from tests.support import services
from tests.support.endpoint import Endpoint, Heard
from tests.support.uacproxy_process import ROOT, UacproxyProcess
from uacproxy.accounts.schema import make_tables, uacreg_table

Start = Callable[..., UacproxyProcess]

INI = """\
[sip]
listen = udp:@HERE@

[store]
url = @STORE@

[instances]
share_registrations = no

[uac]
reg_db_url = @URL@
reg_contact_addr = @HERE@
reg_notify = @NOTIFY@
reload_delta = 0s

[rule:none]
reply = 404
"""
TELLS = "tells of changed accounts on channel uacreg_changed"


class Accounts:
    """The database of one account, and its registrar."""

    def __init__(self, url: str, registrar: Endpoint) -> None:
        self.engine: Engine = create_engine(url)
        self.registrar = registrar
        row = {**ROW, "l_uuid": "t1", "auth_proxy": f"sip:{registrar.address}", "socket": ""}
        with self.engine.begin() as connection:
            make_tables(connection)
            connection.execute(insert(uacreg_table()), [row])

    def sql(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def set_expires(self, seconds: int) -> None:
        self.sql(f"UPDATE uacreg SET expires = {seconds} WHERE l_uuid = 't1'")

    def registers(self, service: UacproxyProcess) -> str:
        """Hear a REGISTER, grant it, and return the interval it asked for."""
        request: Heard = self.registrar.hears("REGISTER")
        granted = f"Contact: {request.get('contact')};expires=3000\r\n"
        self.registrar.answers(request, "200 OK", service.address, tag="r", more=granted)
        return request.get("expires")


@pytest.fixture
def registrar() -> Iterator[Endpoint]:
    with Endpoint("registrar") as endpoint:
        yield endpoint


def _trigger() -> str:
    """Return the statements of docs/accounts.md."""
    page = (ROOT / "docs" / "accounts.md").read_text()
    start = page.index("    CREATE FUNCTION uacreg_changed()")
    return page[start : page.index("Through Redis", start)]


@pytest.mark.postgres
def test_a_row_changed_by_sql_is_registered_anew_and_a_database_that_stops_changes_nothing(
    start_uacproxy: Start, registrar: Endpoint
) -> None:
    with services.postgres() as server:
        url = server.new_database("noticed")
        accounts = Accounts(url, registrar)
        accounts.sql(*_trigger().replace("$$;", "$$;--").split(";--"))
        service = start_uacproxy(
            INI,
            url=url.replace("+psycopg", ""),
            store="memory:",
            notify="postgresql:uacreg_changed",
        )
        assert accounts.registers(service) == "600"
        service.wait_for(uac_regactive=1)
        service.wait_for_log(TELLS)
        accounts.set_expires(700)
        assert accounts.registers(service) == "700"
        service.wait_for(uac_regactive=1)

        server.server.stop()
        refused = service.run_uacctl("uac.reg_reload")
        assert refused.returncode == 1
        assert f"postgresql://127.0.0.1:{server.port}/noticed" in refused.stderr
        assert "nothing has changed" in refused.stderr
        service.signal(signal.SIGHUP)
        service.wait_for_log("nobody tells of changed accounts for now")
        service.wait_for(uac_regactive=1, uac_regtotal=1)

        server.server.begin_again(lambda: services.accepts(server.host, server.port))
        _until_it_answers(server, accounts)
        accounts.set_expires(800)  # before or after the service is back: both have to do
        assert accounts.registers(service) == "800"
        service.wait_for_log(TELLS, times=2)
        accounts.set_expires(900)
        assert accounts.registers(service) == "900"
        accounts.sql("DELETE FROM uacreg")
        assert accounts.registers(service) == "0"
        service.wait_for(uac_regtotal=0)
        accounts.engine.dispose()


def _until_it_answers(server: services.Postgres, accounts: Accounts) -> None:
    accounts.engine.dispose()  # what it had is broken

    def answers() -> bool:
        try:
            accounts.sql("SELECT 1")
        except Exception:  # noqa: BLE001  (whatever a starting server says)
            return False
        return True

    server.server.wait_until(answers)


def test_a_redis_tells_of_a_row_before_and_after_it_was_started_anew(
    start_uacproxy: Start, registrar: Endpoint, tmp_path: Path
) -> None:
    accounts = Accounts(f"sqlite:///{tmp_path / 'accounts.db'}", registrar)
    with services.redis(tmp_path) as server:
        service = start_uacproxy(
            INI,
            url=f"sqlite:///{tmp_path / 'accounts.db'}",
            store=server.url,
            notify="redis:uacreg_changed",
        )
        assert accounts.registers(service) == "600"
        service.wait_for_log(TELLS)
        accounts.set_expires(700)
        _publish(server, "t1")
        assert accounts.registers(service) == "700"

        server.server.stop()
        accounts.set_expires(800)  # nobody tells
        server.server.begin_again(lambda: services.accepts(server.host, server.port))
        assert accounts.registers(service) == "800"
        accounts.set_expires(900)
        _publish(server, "")
        assert accounts.registers(service) == "900"


def _publish(server: services.Redis, message: str) -> None:
    """Say it to whoever listens; fail where nobody does."""
    with socket.create_connection((server.host, server.port), timeout=5.0) as connection:
        connection.sendall(f'PUBLISH uacreg_changed "{message}"\r\n'.encode())
        assert connection.recv(100) == b":1\r\n"
