"""A registration table with one account in it, as routes ask it."""

from __future__ import annotations

from collections.abc import Callable

from uacproxy.ports import HostPort
from uacproxy.sip.grammar import text
from uacproxy.sip.message import Message
from uacproxy.uac.account import Account
from uacproxy.uac.account_loader import Failed
from uacproxy.uac.inbound_match import InboundMatch


class OneAccount:
    """Fits ``Accounts``; what is sent or read for it is not done."""

    def __init__(self, known: Account) -> None:
        self._known = known

    def account(self, l_uuid: str) -> Account | None:
        return self._known if l_uuid == self._known.l_uuid else None

    def account_of_local_user(self, user: str, domain: str) -> Account | None:
        return self._known if user == self._known.l_username else None

    def status(self, l_uuid: str) -> int:
        return 1 if l_uuid == self._known.l_uuid else -1

    def match(self, request: Message, remote: HostPort) -> InboundMatch | None:
        if self.account(text(request.uri.user)) is None:
            return None
        return InboundMatch(self._known.l_uuid, "user")

    def refresh(self, l_uuid: str, then: Callable[[bool], None], failed: Failed) -> None:
        then(l_uuid == self._known.l_uuid)

    def _is_known(self, attr: str, value: str) -> bool:
        return bool(getattr(self._known, attr) == value)

    enable = disable = register = unregister = _is_known
