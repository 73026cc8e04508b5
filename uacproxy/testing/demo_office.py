"""The small office of the demonstration: who is who, the ini file, the database of accounts."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine, insert

from uacproxy.accounts.schema import make_tables, subscriber_table, uacreg_table
from uacproxy.ports import HostPort
from uacproxy.testing.peer import LOOPBACK

OFFICE: Final = b"pbx.example"
PROVIDER: Final = b"itsp.example"

ALICE: Final = b'"Alice" <sip:alice@pbx.example>'  # phone 1
BOB: Final = b'"Bob" <sip:bob@pbx.example>'  # phone 2
TRUNK: Final = b'"Office" <sip:70@itsp.example>'  # what the provider is to see of Alice
CAROL: Final = b'"Carol" <sip:4433@itsp.example>'  # a customer of the provider's
HIDDEN: Final = (b"alice", b"pbx.example")  # in any case, nowhere at the provider
CAROLS_NUMBER: Final = b"4433"

ACCOUNT: Final = "trunk1"  # l_uuid
TRUNK_USER: Final = "70"

RULES: Final = """\
[rule:in]
method = INVITE
reg_lookup = yes
relay = yes

[rule:out]
method = INVITE
from = sip:*@pbx.example
replace_from = "Office" sip:70@itsp.example
replace_to = sip:$rU@itsp.example
auth = account:trunk1
track = yes
relay = sip:$rU@{provider}
"""

_INI: Final = """\
[sip]
listen = udp:{here}
domains = pbx.example

[store]
url = sqlite:///state.db

[uac]
reg_db_url = sqlite:///accounts.db
reg_contact_addr = {here}

[registrar]
authenticate = yes
subscriber_db_url = sqlite:///accounts.db

[management]
amp = unix:uacproxy.sock:mode=600

"""


def free_port() -> int:
    """Return a UDP port of 127.0.0.1 that is free now; the kernel is not soon back at it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class Passwords:
    """Two secrets made anew each time; neither may ever be in the service's log."""

    def __init__(self) -> None:
        self.trunk = secrets.token_urlsafe(12)
        self.bob = secrets.token_urlsafe(12)

    def found_in(self, log: str) -> int:
        """Return how often one of them stands in a text."""
        return log.count(self.trunk) + log.count(self.bob)


def write_ini(folder: Path, here: HostPort, provider: HostPort) -> Path:
    """Write the configuration of a service that listens ``here``."""
    file = folder / "uacproxy.ini"
    words = {"here": "{}:{}".format(*here), "provider": "{}:{}".format(*provider)}
    file.write_text((_INI + RULES).format(**words))
    return file


def write_accounts(folder: Path, provider: HostPort, passwords: Passwords) -> None:
    """Make the database: the account at the provider, and Bob, who registers with us."""
    engine = create_engine(f"sqlite:///{folder / 'accounts.db'}")
    account = {
        "l_uuid": ACCOUNT,
        "l_username": "bob",
        "l_domain": OFFICE.decode(),
        "r_username": TRUNK_USER,
        "r_domain": PROVIDER.decode(),
        "realm": PROVIDER.decode(),
        "auth_username": TRUNK_USER,
        "auth_password": passwords.trunk,
        "auth_proxy": "sip:{}:{}".format(*provider),
        "expires": 3600,
    }
    bob = {"username": "bob", "domain": OFFICE.decode(), "password": passwords.bob}
    with engine.begin() as connection:
        make_tables(connection)
        connection.execute(insert(uacreg_table()).values(account))
        connection.execute(insert(subscriber_table()).values(bob))
    engine.dispose()
