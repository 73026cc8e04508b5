"""What is asked of the accounts: by routes, by calls that come in, and by operators.

A question changes nothing. How the accounts come to stand as they do is the business of
``registrations``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from uacproxy.errors import ParseError
from uacproxy.ports import HostPort
from uacproxy.sip.grammar import text
from uacproxy.sip.message import Message
from uacproxy.uac.account import Account
from uacproxy.uac.account_index import AccountIndex
from uacproxy.uac.account_requests import AccountRequests
from uacproxy.uac.account_way import AccountWay, way_of
from uacproxy.uac.inbound_match import (
    BY_ADDRESS,
    BY_CONTACT_USER,
    BY_LINE,
    BY_USER,
    InboundMatch,
    line_of,
)
from uacproxy.uac.registration import Registration
from uacproxy.uac.registration_leaving import LeavingBindings
from uacproxy.uac.registration_record import explain, record_of
from uacproxy.uac.registration_shards import RegistrationShards
from uacproxy.uac.registration_states import RegistrationState

UNKNOWN: Final = -1  # uac_reg_status
ONLINE: Final = 1
ONGOING: Final = -2
DISABLED: Final = -3
OFFLINE: Final = -99


class RegistrationLookup:
    """Every account, by l_uuid, by local user, and by what a call for it looks like."""

    def __init__(
        self,
        *,
        index: AccountIndex,
        leaving: LeavingBindings,
        requests: AccountRequests,
        disabled: set[str],
        shards: RegistrationShards | None,
        use_domain: bool,
        now_utc: Callable[[], float],
    ) -> None:
        """Begin with what is in ``index``.

        Args:
            index: of the accounts.
            leaving: the bindings of accounts that were changed or removed.
            requests: makes REGISTERs; one of them tells which way calls go.
            disabled: l_uuids of those an operator has disabled.
            shards: tells which instance has an account; None: this one has all.
            use_domain: reg_use_domain.
            now_utc: s of the epoch.
        """
        self._index = index
        self._leaving = leaving
        self._requests = requests
        self._disabled = disabled
        self._shards = shards
        self._use_domain = use_domain
        self._now_utc = now_utc

    def __len__(self) -> int:
        """Return how many accounts there are."""
        return len(self._index)

    # -- for routes and calls --------------------------------------------------------------

    def account(self, l_uuid: str) -> Account | None:
        """Return the account, whatever its state."""
        registration = self._index.get(l_uuid)
        return None if registration is None else registration.account

    def account_of_local_user(self, user: str, domain: str) -> Account | None:
        """Return the account of a local user, the newest first; ``domain`` may not count.

        It counts where reg_use_domain is set, and then without case, as hosts do.
        """
        known = self._index.of_local_user(user)
        if not self._use_domain:
            return known[-1].account if known else None
        wanted = domain.lower()
        for registration in reversed(known):
            if registration.account.l_domain.lower() == wanted:
                return registration.account
        return None

    def match(self, request: Message, remote: HostPort) -> InboundMatch | None:
        """Return the account that a request from outside is for, and by what it is; None: none.

        By ``line``, then by the user of the Request-URI (l_uuid, contact_user), then by the
        number in a field that the account's did_source names, then by the address the one
        account is registered at.

        Args:
            request: whose Request-URI may be any.
            remote: address and port it came from.
        """
        inbound = self._index.inbound
        try:
            uri = request.uri
        except ParseError:
            uri = None
        if uri is not None and uri.is_sip:
            line = line_of(uri)
            if line and self._index.get(line) is not None:
                return InboundMatch(line, BY_LINE)
            user = text(uri.user)
            if user and self._index.get(user) is not None:
                return InboundMatch(user, BY_USER)
            l_uuid = inbound.by_contact_user(user, remote) if user else ""
            if l_uuid:
                return InboundMatch(l_uuid, BY_CONTACT_USER)
        found = inbound.by_number(request, remote)
        if found is not None:
            return found
        l_uuid = inbound.by_address(remote)
        return InboundMatch(l_uuid, BY_ADDRESS) if l_uuid else None

    def status(self, l_uuid: str) -> int:
        """Return 1 online, -1 unknown, -2 in progress, -3 disabled, -99 not registered.

        An account stays online while it is refreshed, as long as its binding lives.
        """
        registration = self._index.get(l_uuid)
        if registration is None:
            return UNKNOWN
        elsewhere = registration.state is RegistrationState.ELSEWHERE
        if registration.state is RegistrationState.DISABLED or (
            elsewhere and l_uuid in self._disabled
        ):
            return DISABLED
        if registration.is_online or self._leaving.is_online(l_uuid):
            return ONLINE
        return ONGOING if registration.in_flight else OFFLINE

    def way(self, l_uuid: str) -> AccountWay | None:
        """Return the way an account's calls go; None: unknown, or no REGISTER can be made."""
        registration = self._index.get(l_uuid)
        if registration is None or not registration.can_register:
            return None
        return way_of(self._requests.of(registration.account), registration.series)

    def registration(self, l_uuid: str) -> Registration | None:
        """Return an account with all that is known of its binding."""
        return self._index.get(l_uuid)

    # -- for operators -----------------------------------------------------------------------

    def dump(self) -> Iterator[dict[str, object]]:
        """Yield the record struct of every account there is when the first one is asked for."""
        for registration in self._index:
            yield record_of(registration, self._now_utc())

    def find(self, attr: str, value: str) -> dict[str, object] | None:
        """Return the record of the first account whose ``attr`` is ``value``.

        Raises:
            KeyError: no such attribute.
        """
        registration = self._index.first(attr, value)
        return None if registration is None else record_of(registration, self._now_utc())

    def explain(self, l_uuid: str) -> str | None:
        """Return state, last exchange and next action in words; None: unknown."""
        registration = self._index.get(l_uuid)
        if registration is None:
            return None
        words = explain(registration, self._now_utc())
        return words if self._shards is None else f"{words}\n{self._shards.told(l_uuid)}"

    def gauges(self) -> dict[str, int]:
        """Return the module's three statistics, counted from where the accounts stand."""
        online = 0
        disabled = 0
        for registration in self._index:
            online += registration.is_online
            disabled += registration.state is RegistrationState.DISABLED
        return {
            "uac.regtotal": len(self._index),
            "uac.regactive": online,
            "uac.regdisabled": disabled,
        }
