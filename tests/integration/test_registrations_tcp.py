"""An account that is registered over a TCP connection, on real sockets (RFC 5626 4.3)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy

from tests.support.endpoint import Caller, Endpoint, Heard
from tests.support.free_ports import LOOPBACK
from tests.support.uacproxy_process import UacproxyProcess
from uacproxy.accounts.schema import make_tables, uacreg_table

INI = """\
[sip]
listen = udp:@HERE@
    tcp:@HERE@

[uac]
reg_db_url = sqlite:///@DATABASE@
reg_contact_addr = @HERE@;transport=tcp

[routing]
script = route.py
"""

SCRIPT = """\
from uacproxy.routing import Relay, request_route


@request_route
def main(ctx):
    if not ctx.uac.reg_request_to("trunk1", 0):
        return Relay("sip:nobody@127.0.0.1:9")
    return Relay()
"""

Start = Callable[..., UacproxyProcess]


class Provider:
    """Takes connections one after the other and grants every REGISTER."""

    def __init__(self) -> None:
        self._listening = socket.create_server((LOOPBACK, 0))
        self._listening.settimeout(20.0)
        self.port: int = self._listening.getsockname()[1]
        self._connection: socket.socket | None = None
        self._rest = b""

    def accept(self) -> None:
        self._connection, _ = self._listening.accept()
        self._connection.settimeout(20.0)

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def close(self) -> None:
        self.hang_up()
        self._listening.close()

    def hears(self, kind: str) -> Heard:
        """Return the next message, which has no body or one that is skipped with it."""
        assert self._connection is not None
        while b"\r\n\r\n" not in self._rest:
            octets = self._connection.recv(65535)
            assert octets, "the connection was closed"
            self._rest += octets
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        heard = Heard(head + b"\r\n\r\n")
        length = int((heard.all("content-length") or ["0"])[0])
        assert len(self._rest) >= length
        self._rest = self._rest[length:]
        assert heard.kind == kind
        return heard

    def grants(self) -> Heard:
        """Answer the REGISTER that has to come, and return it."""
        assert self._connection is not None
        register = self.hears("REGISTER")
        lines = [f"{name}: {value}" for name, value in register.fields if name in _COPIED]
        more = [f"Contact: {register.get('contact')};expires=3600", "Content-Length: 0"]
        self._connection.sendall("\r\n".join(["SIP/2.0 200 OK", *lines, *more, "", ""]).encode())
        return register


_COPIED = ("via", "from", "to", "call-id", "cseq")


@pytest.fixture
def provider() -> Iterator[Provider]:
    one = Provider()
    try:
        yield one
    finally:
        with suppress(OSError):
            one.close()


@pytest.fixture
def service(start_uacproxy: Start, provider: Provider, tmp_path: Path) -> UacproxyProcess:
    database = tmp_path / "accounts.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    row = {
        "l_uuid": "trunk1",
        "l_username": "alice",
        "l_domain": "a.example",
        "r_username": "49301",
        "r_domain": "provider.example",
        "realm": "provider.example",
        "auth_username": "49301",
        "auth_password": "Watzmann-2713",
        "auth_proxy": f"sip:{LOOPBACK}:{provider.port};transport=tcp",
        "expires": 3600,
    }
    with engine.begin() as connection:
        make_tables(connection)
        connection.execute(sqlalchemy.insert(uacreg_table()).values(row))
    engine.dispose()
    return start_uacproxy(INI, files={"route.py": SCRIPT}, database=database)


def test_a_connection_that_the_registrar_closes_leads_to_a_register_over_a_new_one(
    service: UacproxyProcess, provider: Provider
) -> None:
    """Nothing came until the refresh, an hour later (row "transport closed" of the peers)."""
    provider.accept()
    first = provider.grants()
    service.wait_for(uac_regactive=1)
    provider.hang_up()
    provider.accept()
    second = provider.grants()
    assert second.get("call-id") == first.get("call-id")
    assert int(second.get("cseq").split()[0]) == int(first.get("cseq").split()[0]) + 1
    stats = service.wait_for(uac_regactive=1)
    assert stats["registration.connections_lost"] == 1


def test_a_call_that_a_script_sends_as_the_account_goes_over_the_connection_of_its_register(
    service: UacproxyProcess, provider: Provider
) -> None:
    """An INVITE that came by another way was refused (IssabelPBX #53, esphome-intercom #105)."""
    provider.accept()
    provider.grants()
    service.wait_for(uac_regactive=1)
    with Endpoint("caller") as endpoint:
        Caller(endpoint, service.address, "sip:bob@b.example").invite()
        endpoint.hears("100")
        invite = provider.hears("INVITE")
    assert invite.request_uri == "sip:49301@provider.example"
