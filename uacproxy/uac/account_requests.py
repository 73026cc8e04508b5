"""The REGISTERs of accounts, as their rows and the settings say."""

from __future__ import annotations

from typing import final

from uacproxy.ports import Random
from uacproxy.uac.account import Account, BadRow
from uacproxy.uac.register_exchange import (
    RegisterExchange,
    RegisterPolicy,
    ShortestIntervals,
    longest_of,
)
from uacproxy.uac.register_request import RegisterRequest
from uacproxy.uac.register_series import RegisterSeries
from uacproxy.uac.registration import Registration
from uacproxy.uac.settings import UacSettings


@final
class AccountRequests:
    """Makes them.

    Args:
        settings: the ``reg_`` keys.
        user_agent: of the requests; b"" leaves it out.
        random: of Call-IDs and tags.
    """

    def __init__(self, settings: UacSettings, user_agent: bytes, random: Random) -> None:
        self._settings = settings
        self._user_agent = user_agent
        self._random = random
        self._policy = RegisterPolicy(
            settings.reg_keep_callid,
            settings.reg_follow_redirect,
            settings.reg_learn_address,
            settings.reg_service_route,
        )
        self._intervals = ShortestIntervals()

    def of(self, account: Account, public: bytes = b"") -> RegisterRequest:
        """Return what an account's REGISTER is made of.

        Args:
            account: as its row says.
            public: address the registrar sees us at; b"" where it is not known.

        Raises:
            BadRow: none can be made of this row.
        """
        settings = self._settings
        outbound = account.settings.outbound
        return RegisterRequest(
            account,
            settings.reg_contact_addr,
            self._user_agent,
            public=public,
            outbound=settings.reg_outbound if outbound is None else outbound,
            path=settings.reg_path,
        )

    def asked_of(self, account: Account, series: RegisterSeries) -> int:
        """Return for how long an account asks to be registered, s."""
        return longest_of(account, series, self._intervals)

    def fault_of(self, account: Account) -> str:
        """Return why no REGISTER can be made of a row; "" where one can."""
        try:
            self.of(account)
        except BadRow as error:
            return error.why
        return ""

    def contact_of(self, registration: Registration) -> bytes:
        """Return the URI an account is registered with; b"" where no REGISTER can be made."""
        try:
            return self.of(registration.account, registration.series.public).contact_raw
        except BadRow:
            return b""

    def is_same_binding(self, one: Account, other: Account) -> bool:
        """Tell whether two rows have one address of record and one Contact."""
        try:
            first = self.of(one)
            second = self.of(other)
        except BadRow:
            return False
        return first.address_of_record == second.address_of_record and first.contact.equals(
            second.contact
        )

    def open_exchange(self, registration: Registration) -> RegisterExchange:
        """Begin the next REGISTER of an account and what its answers lead to."""
        account = registration.account
        series = registration.series
        policy = self._policy_of(account)
        request = self.of(account, series.public if policy.learn_address else b"")
        return RegisterExchange(account, request, series, self._random, policy, self._intervals)

    def _policy_of(self, account: Account) -> RegisterPolicy:
        policy = self._policy
        own = account.settings
        if own.follow_redirect is None and own.learn_address is None:
            return policy
        follow, learn = own.follow_redirect, own.learn_address
        return RegisterPolicy(
            policy.keep_call_id,
            policy.follow_redirect if follow is None else follow,
            policy.learn_address if learn is None else learn,
            policy.service_route,
        )
