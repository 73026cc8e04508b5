"""Several services on one Redis that register the same accounts, at one registrar."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from tests.support import services
from tests.support.free_ports import LOOPBACK, free_port
from tests.support.uacproxy_process import UacproxyProcess, write_files
from tests.support.watchful_registrar import Register, WatchfulRegistrar
from uacproxy.accounts.schema import make_tables, uacreg_table
from uacproxy.ports import HostPort

CONTACT = "192.0.2.80:5060"  # where calls come in, whoever registers
LOOK_EVERY = 0.25  # s

INI = """
[sip]
listen = udp:@HERE@
[store]
url = @STORE@
redis_prefix = @PREFIX@
[instances]
name = @NAME@
lease_time = @LEASE@
[uac]
reg_db_url = sqlite:///@FOLDER@/accounts.db
reg_contact_addr = @CONTACT@
reg_slow_start = 0
restore_passwd = secret
@MORE@
[rule:all]
relay = yes
"""


class Instance:
    """One service; it may be killed and started again where it was."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.address: HostPort = (LOOPBACK, port)
        self.service = UacproxyProcess(folder, *self.address)

    def start(self) -> None:
        """Start it again."""
        self.service = UacproxyProcess(self.folder, *self.address)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until it answers."""
        self.service.server.wait_until(lambda: services.answers_options(*self.address))

    def kill(self) -> None:
        """End it as a power failure would."""
        os.kill(self.service.pid, signal.SIGKILL)
        assert self.service.server.process.wait() == -signal.SIGKILL

    @property
    def is_running(self) -> bool:
        """Tell whether it lives."""
        return self.service.server.process.poll() is None

    def status(self, l_uuid: str) -> dict[str, Any]:
        """Return the record of an account as this instance shows it."""
        found: dict[str, Any] = self.service.ask("uac.reg_info", "l_uuid", l_uuid)
        return found


class Farm:
    """The instances by name, and what the registrar has heard of them."""

    def __init__(self, registrar: WatchfulRegistrar, start: Callable[[str], Instance]) -> None:
        self.registrar = registrar
        self._start = start
        self.instances: dict[str, Instance] = {}

    def start(self, *names: str) -> None:
        """Start instances of these names, all at once."""
        for name in names:
            self.instances[name] = self._start(name)
        for name in names:
            self.instances[name].wait_until_ready()

    def __getitem__(self, name: str) -> Instance:
        return self.instances[name]

    @property
    def running(self) -> dict[str, Instance]:
        """Return those that live."""
        return {name: one for name, one in self.instances.items() if one.is_running}

    def shards(self) -> dict[str, int]:
        """Return how many shards each has, as one of those that live sees it."""
        one = next(iter(self.running.values()))
        return {row["instance"]: row["shards"] for row in one.service.ask("instances")}

    def is_shared_out(self) -> bool:
        """Tell whether every shard has an owner, and every one that lives has some."""
        shards = self.shards()
        return (
            set(shards) == set(self.running)
            and sum(shards.values()) == 64
            and min(shards.values()) > 0
        )

    def registered(self) -> set[bytes]:
        """Return the addresses of record that the registrar has ever heard of."""
        return set(self.registrar.heard)

    def owner_of(self, register: Register) -> str:
        """Return the name of the instance that sent a REGISTER."""
        (name,) = (name for name, one in self.instances.items() if one.address == register.source)
        return name


def wait_until(happened: Callable[[], bool], what: str, within: float = 40.0) -> float:
    """Wait until something is true; return how long that took, s."""
    began = time.monotonic()
    while not happened():
        if time.monotonic() > began + within:
            pytest.fail(f"not within {within:g} s: {what}")
        time.sleep(LOOK_EVERY)
    return time.monotonic() - began


@contextmanager
def farm(
    store: str,
    prefix: str,
    *,
    accounts: int,
    lease: float,
    expires: int,
    contact: str = CONTACT,
    more: str = "",
) -> Iterator[Farm]:
    """Give a farm without instances; those that run at its end have to stop well.

    Args:
        store: URL of the Redis.
        prefix: of the keys in it.
        accounts: how many, ``u0`` and so on; every instance has a table of its own.
        lease: s.
        expires: s, of each account.
        contact: HOST:PORT of all, or ``@HERE@``: each instance's own.
        more: lines for ``[uac]``.
    """
    with ExitStack() as stack:
        registrar = WatchfulRegistrar()
        stack.callback(registrar.close)

        def start(name: str) -> Instance:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="uacproxy-")))
            _make_accounts(folder / "accounts.db", accounts, expires, registrar.address)
            port = free_port()
            here = f"{LOOPBACK}:{port}"
            marks = {"store": store, "prefix": prefix, "name": name, "lease": f"{lease:g}s"}
            marks |= {"contact": contact.replace("@HERE@", here), "more": more}
            marks |= {"here": here, "folder": str(folder)}
            write_files(folder, INI, {}, marks)
            instance = Instance(folder, port)
            stack.callback(lambda: instance.service.stop())
            return instance

        made = Farm(registrar, start)
        yield made
        for name, instance in made.running.items():
            status = instance.service.stop()
            output = instance.service.output
            assert (name, status, output.count("Traceback")) == (name, 0, 0), output[-4000:]


def _make_accounts(file: Path, count: int, expires: int, registrar: HostPort) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    rows = [
        {
            "l_uuid": f"u{n}",
            "l_username": f"local{n}",
            "l_domain": "pbx.example",
            "r_username": f"trunk{n}",
            "r_domain": "provider.example",
            "auth_username": f"trunk{n}",
            "auth_password": "secret",
            "auth_proxy": "sip:{}:{}".format(*registrar),
            "expires": expires,
        }
        for n in range(count)
    ]
    with engine.begin() as connection:
        make_tables(connection)
        connection.execute(sqlalchemy.insert(uacreg_table()), rows)
    engine.dispose()


# -- what must be true of what the registrar heard ----------------------------------------


def check_history(farm: Farm, *, changes: int) -> None:
    """Assert what holds of every binding from its first REGISTER on.

    Nothing was taken back or let expire, there was one Contact at a time, the Call-ID
    stayed and CSeq rose whoever sent, and an account changed its owner as often as the
    farm did, at most.
    """
    for address_of_record, registers in farm.registrar.heard.items():
        owners = 1
        for before, after in pairwise(registers):
            assert after.at - before.at < before.expires, f"{address_of_record!r} expired"
            assert after.call_id == before.call_id, address_of_record
            assert after.cseq > before.cseq, address_of_record
            owners += after.source != before.source
        for register in registers:
            assert register.expires > 0, f"{address_of_record!r} was taken back"
            assert len(register.contacts) == 1
        assert owners <= 1 + changes, f"{address_of_record!r} had {owners} owners"
        last = registers[-1]
        assert time.monotonic() - last.at < last.expires, f"{address_of_record!r} has expired"
