"""An account of ours at a real Kamailio: its table, and what Kamailio knows of it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import sqlalchemy

from tests.support.endpoint import Endpoint
from tests.support.services import Kamailio
from tests.support.uacproxy_process import UacproxyProcess
from uacproxy.accounts.schema import make_tables, uacreg_table

TEMPLATE = Path(__file__).parents[1] / "kamailio" / "registrar.cfg"

PASSWORD = "Watzmann-2713"
USER = "49301234"
GRANTED = re.compile(r"registered (\S+) as (\S+): <(\S+)> expires (\d+) Call-ID (\S+) CSeq (\d+)")

INI = """\
[sip]
listen = udp:@HERE@
domains = a.example

[uac]
reg_db_url = sqlite:///@DATABASE@
reg_contact_addr = @HERE@

[rule:in]
method = INVITE
reg_lookup = yes
relay = yes
"""

Start = Callable[..., UacproxyProcess]
StartKamailio = Callable[..., Kamailio]

_numbers = itertools.count(1)


def make_account(path: Path, provider: Kamailio, expires: int) -> None:
    """Make a database with the account ``trunk1`` of the local user alice."""
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        make_tables(connection)
        account = {
            "l_uuid": "trunk1",
            "l_username": "alice",
            "l_domain": "a.example",
            "r_username": USER,
            "r_domain": "provider.example",
            "realm": "provider.example",
            "auth_username": USER,
            "auth_password": PASSWORD,
            "auth_proxy": f"sip:{provider.host}:{provider.port}",
            "expires": expires,
        }
        connection.execute(sqlalchemy.insert(uacreg_table()).values(account))
    engine.dispose()


def request(endpoint: Endpoint, method: str, uri: str, to: str, more: str = "") -> str:
    """Return a request outside any dialog; ``to`` is the URI of From and To."""
    number = next(_numbers)
    return (
        f"{method} {uri} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {endpoint.address};branch=z9hG4bK{number}\r\n"
        f"Max-Forwards: 70\r\nFrom: <{to}>;tag={number}\r\nTo: <{to}>\r\n"
        f"Call-ID: {number}-{endpoint.address}\r\nCSeq: {number} {method}\r\n"
        f"{more}Content-Length: 0\r\n\r\n"
    )


def is_bound(prober: Endpoint, provider: Kamailio) -> bool:
    """Ask Kamailio whether the account's user has a binding."""
    uri = f"sip:{USER}@provider.example"
    prober.send(request(prober, "OPTIONS", uri, uri), f"{provider.host}:{provider.port}")
    return prober.hears_any("200", "404").kind == "200"


class Granted(NamedTuple):
    """One REGISTER that Kamailio took, by its log."""

    user: str
    auth_user: str
    contact: str
    expires: str
    call_id: str
    cseq: str


def granted(provider: Kamailio) -> list[Granted]:
    """Return every REGISTER that Kamailio took."""
    return [Granted(*each) for each in GRANTED.findall(provider.server.output)]
