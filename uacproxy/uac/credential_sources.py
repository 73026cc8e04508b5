"""Where the credentials of a request come from, by the words a rule or script says it in.

``realm``: the ``credential`` lines, by the realm of the challenge. ``user:NAME``: those of
one user. ``account:L_UUID``: an account of the table. ``kept``: what the script had in its
AVPs when it answered the dialog's first challenge; that one is remembered in memory
alone, since a password goes neither into a Route nor into a store.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, final

from uacproxy.sip.grammar import octets_of
from uacproxy.uac.account import Account
from uacproxy.uac.account_credentials import credentials_of
from uacproxy.uac.credentials import Credential, CredentialList

BY_REALM: Final = "realm"
KEPT: Final = "kept"
MOST_KEPT: Final = 10_000  # dialogs; the one begun longest ago gives way

FindAccount = Callable[[str], Account | None]


def _no_account(_l_uuid: str) -> None:
    """Know no account: there is no table."""


@final
class CredentialSources:
    """One for the service; asked anew for each challenge, so a changed password counts at once."""

    __slots__ = ("_find_account", "_kept", "lines")

    def __init__(self, lines: CredentialList, find_account: FindAccount = _no_account) -> None:
        self.lines = lines  # ``credential`` of the configuration
        self._find_account = find_account
        self._kept: OrderedDict[tuple[bytes, bytes], Credential] = OrderedDict()

    def of(self, source: str, call_id: bytes, caller_tag: bytes) -> CredentialList:
        """Return what there is; an empty list for a source that is gone.

        Args:
            source: see the module.
            call_id: of the dialog, for what was kept for it.
            caller_tag: likewise.
        """
        if source.startswith("user:"):
            return self.lines.of_user(octets_of(source[5:]))
        if source.startswith("account:"):
            account = self._find_account(source[8:])
            return CredentialList([]) if account is None else credentials_of(account)
        if source == KEPT:
            kept = self._kept.get((call_id, caller_tag))
            return self.lines if kept is None else self.lines.with_first(kept)
        return self.lines

    def keep(self, credential: Credential, call_id: bytes, caller_tag: bytes) -> None:
        """Remember a script's own credential for the requests inside the dialog."""
        key = (call_id, caller_tag)
        self._kept[key] = credential
        self._kept.move_to_end(key)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
