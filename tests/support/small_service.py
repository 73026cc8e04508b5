"""A service with made-up registrations behind the real management doors.

As a program, ``python -m tests.support.small_service ENDPOINT`` opens the AMP door and
prints ``ready``, for tests that kill it or watch it stop.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from uacproxy.errors import ScriptError, UacproxyError
from uacproxy.manage.amp import amp_factory
from uacproxy.manage.endpoint import listen
from uacproxy.manage.operations import Operations
from uacproxy.manage.verb import Views
from uacproxy.uac.account import Account
from uacproxy.uac.account_loader import Failed, Reloaded


def record(number: int) -> dict[str, object]:
    """Return the record struct of one account, its password still in it."""
    return {
        "l_uuid": f"account-{number}",
        "l_username": f"user{number}",
        "l_domain": "pbx.example",
        "r_username": f"trunk{number}",
        "r_domain": "provider.example",
        "realm": "",
        "auth_username": f"auth{number}",
        "auth_password": "hunter2",
        "auth_ha1": "",
        "auth_proxy": "sip:proxy.provider.example",
        "expires": 360,
        "flags": 4,
        "diff_expires": 100 + number,
        "timer_expires": 1_800_000_000,
        "reg_init": 1_700_000_000,
        "reg_delay": 0,
        "contact_addr": "",
        "socket": "",
        "contact_user": "",
    }


class SmallService:
    """All four views in one; a test sets what it wants to see."""

    version = "1.2.3"
    uptime = 61.7

    def __init__(self, records: int = 3, stop: Callable[[], None] = lambda: None) -> None:
        self.enabled = True
        self.records = [record(number) for number in range(records)]
        self.script_error: ScriptError | None = None
        self.reloads = 0
        self.active = True
        self.source_error: UacproxyError | None = None
        self.asked: list[tuple[str, ...]] = []  # of accounts, by verb
        self.stops = 0
        self._stop = stop

    def dump(self) -> Iterator[dict[str, object]]:
        yield from self.records

    def find(self, attr: str, value: str) -> dict[str, object] | None:
        if attr not in ("l_uuid", "l_username", "r_username", "auth_username"):
            raise KeyError(attr)
        return next((row for row in self.records if row[attr] == value), None)

    def _asked_for(self, verb: str, attr: str, value: str) -> bool:
        if self.find(attr, value) is None:
            return False
        self.asked.append((verb, attr, value))
        return True

    def enable(self, attr: str, value: str) -> bool:
        return self._asked_for("enable", attr, value)

    def disable(self, attr: str, value: str) -> bool:
        return self._asked_for("disable", attr, value)

    def register(self, attr: str, value: str) -> bool:
        return self._asked_for("register", attr, value)

    def unregister(self, attr: str, value: str) -> bool:
        return self._asked_for("unregister", attr, value)

    def reload(self, then: Callable[[Reloaded], None], failed: Failed) -> None:
        if self.source_error is not None:
            failed(self.source_error)
        else:
            then(Reloaded(1, 2, 3, 4, 5))

    def catch_up(self) -> None:
        self.asked.append(("catch_up",))

    def refresh(self, l_uuid: str, then: Callable[[bool], None], failed: Failed) -> None:
        if self.source_error is not None:
            failed(self.source_error)
        else:
            then(self._asked_for("refresh", "l_uuid", l_uuid))

    def add(self, account: Account) -> bool:
        if self.find("l_uuid", account.l_uuid) is not None:
            return False
        self.asked.append(("add", account.l_uuid, account.contact_user))
        return True

    def remove(self, l_uuid: str) -> bool:
        return self._asked_for("remove", "l_uuid", l_uuid)

    def explain(self, l_uuid: str) -> str | None:
        known = self.find("l_uuid", l_uuid)
        return None if known is None else f"{l_uuid} is registered [200 OK].\nRefresh in 99 s."

    def dialogs(self) -> Iterator[dict[str, object]]:
        yield {"call_id": "a84b4c76e66710", "state": "confirmed", "display": "\x1b[2Jbold [b]"}

    def stats(self) -> dict[str, int | float]:
        return {"uac.regtotal": len(self.records), "sip.received": 12, "cpu.seconds": 0.5}

    def reload_script(self) -> None:
        if self.script_error is not None:
            raise self.script_error
        self.reloads += 1

    def shutdown(self) -> None:
        self.stops += 1
        self._stop()


def operations_of(service: SmallService) -> Operations:
    """Return the verbs bound to ``service``."""
    return Operations(Views(service, service, service, service))


async def _serve(reactor: Any, endpoint: str) -> None:
    asked_to_stop: Deferred[None] = Deferred()

    def stop() -> None:
        reactor.callLater(0, asked_to_stop.callback, None)

    operations = operations_of(SmallService(stop=stop))
    await listen(reactor, endpoint, amp_factory(operations), key="amp")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asked_to_stop


if __name__ == "__main__":
    react(_serve, sys.argv[1:])
