"""``ctx.uac.reg_...``: what routes ask the remote registrations, and ask of them.

A function returns True where the module returns a positive number. ``attr`` is one of
l_uuid, l_username, r_username, auth_username; the first account whose column is exactly
``value`` is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from uacproxy.errors import ParseError, UacproxyError
from uacproxy.routing import pseudo
from uacproxy.routing.features import Accounts, Features
from uacproxy.routing.scope import Scope
from uacproxy.sip.grammar import octets_of, text
from uacproxy.sip.uri import parse_uri
from uacproxy.uac.account import Account

MODE_BY_LOCAL_USER: Final = 1
MODE_HA1: Final = 2
HIGHEST_MODE: Final = 3


class RegistrationFunctions:
    """The functions about accounts, bound to one request."""

    __slots__ = ("_features", "_scope")

    def __init__(self, features: Features, scope: Scope) -> None:
        self._features = features
        self._scope = scope

    # -- looking up --------------------------------------------------------------------

    def reg_match(self, dst: str = "$ru") -> str:
        """Find the account this request is for and set ``dst`` to its local user.

        By ``line`` in the Request-URI, then by its user (l_uuid, contact_user), then by the
        number in a field that an account's did_source names, then by the address that one
        account alone is registered at; see docs/accounts.md.

        Returns:
            The l_uuid, "" where it is nobody's.
        """
        accounts = self._features.accounts
        scope = self._scope
        match = None if accounts is None else accounts.match(scope.request, scope.flow.remote)
        if match is None:
            return ""
        self._features.log.debug(
            "call {call_id}: for account {l_uuid}, by {by}",
            call_id=text(scope.request.call_id),
            l_uuid=match.l_uuid,
            by=match.by,
        )
        return match.l_uuid if self.reg_lookup(match.l_uuid.replace("$", "$$"), dst) else ""

    def reg_lookup(self, uuid: str, dst: str) -> bool:
        """Set ``dst`` to ``sip:l_username@l_domain`` of the account ``uuid``; False if none."""
        accounts = self._features.accounts
        account = None
        if accounts is not None:
            account = accounts.account(pseudo.expand(uuid, self._scope))
        if account is None:
            return False
        self._write(dst, f"sip:{account.l_username}@{account.l_domain}")
        return True

    def reg_lookup_uri(self, uri: str, dst: str) -> bool:
        """Set ``dst`` to the ``l_uuid`` of the account whose local user ``uri`` names."""
        accounts = self._features.accounts
        if accounts is None:
            return False
        account = _of_local_uri(accounts, pseudo.expand(uri, self._scope))
        if account is None:
            return False
        self._write(dst, account.l_uuid)
        return True

    def reg_status(self, uuid: str) -> int:
        """Return 1 online, -1 unknown, -2 in progress, -3 disabled, -99 not registered."""
        accounts = self._features.accounts
        return -1 if accounts is None else accounts.status(pseudo.expand(uuid, self._scope))

    # -- sending as an account ---------------------------------------------------------

    def reg_request_to(self, user: str, mode: int) -> bool:
        """Send this request to an account's provider, as the account.

        ``$ru`` becomes ``sip:r_username@r_domain``, ``$du`` the auth_proxy; realm, user and
        password go into the ``auth_*_avp`` for ``auth()`` in a failure route. Where those
        are not configured, challenges are answered as the account by themselves.

        Args:
            user: the l_uuid.
            mode: 1 takes ``user`` for a local user (a URI, or the user alone); 2 puts the HA1
                where the password goes, for ``auth(1)``; 3 both.

        Returns:
            False for another mode and for an account that is not there.
        """
        accounts = self._features.accounts
        if accounts is None or not 0 <= mode <= HIGHEST_MODE:
            return False
        name = pseudo.expand(user, self._scope)
        if mode & MODE_BY_LOCAL_USER:
            account = _of_local_uri(accounts, name)
        else:
            account = accounts.account(name)
        if account is None:
            return False
        at = f"{account.r_username}@" if account.r_username else ""
        self._write("$ru", f"sip:{at}{account.r_domain}")
        if account.auth_proxy:
            self._write("$du", account.auth_proxy)
        self._scope.account = account.l_uuid
        features = self._features
        if features.auth_username_avp:
            secret = account.auth_ha1 if mode & MODE_HA1 else account.auth_password
            self._write(features.auth_realm_avp, account.realm)
            self._write(features.auth_username_avp, account.auth_username)
            self._write(features.auth_password_avp, secret)
        else:
            self._scope.auth_source = f"account:{account.l_uuid}"
        return True

    # -- asking for something ----------------------------------------------------------

    def reg_enable(self, attr: str, value: str) -> bool:
        """Register an account again that was disabled."""
        accounts = self._features.accounts
        return accounts is not None and self._ask(accounts.enable, attr, value)

    def reg_disable(self, attr: str, value: str) -> bool:
        """Stop registering an account and take its binding back."""
        accounts = self._features.accounts
        return accounts is not None and self._ask(accounts.disable, attr, value)

    def reg_send_register(self, attr: str, value: str) -> bool:
        """Send a REGISTER for an account now, even for a disabled one."""
        accounts = self._features.accounts
        return accounts is not None and self._ask(accounts.register, attr, value)

    def reg_send_unregister(self, attr: str, value: str) -> bool:
        """Take an account's binding back; it rests until it is registered or enabled again."""
        accounts = self._features.accounts
        return accounts is not None and self._ask(accounts.unregister, attr, value)

    def reg_refresh(self, uuid: str) -> bool:
        """Read an account's row again, behind the script's back; False for no name."""
        accounts = self._features.accounts
        l_uuid = pseudo.expand(uuid, self._scope)
        if accounts is None or not l_uuid:
            return False
        log = self._features.log

        def refreshed(is_there: bool) -> None:
            if not is_there:
                log.info("account {l_uuid}: there is no row to refresh it from", l_uuid=l_uuid)

        def failed(error: UacproxyError) -> None:
            log.warn("account {l_uuid} not refreshed: {why}", l_uuid=l_uuid, why=str(error))

        accounts.refresh(l_uuid, refreshed, failed)
        return True

    def _ask(self, ask: Callable[[str, str], bool], attr: str, value: str) -> bool:
        try:
            return ask(pseudo.expand(attr, self._scope), pseudo.expand(value, self._scope))
        except KeyError:
            return False

    def _write(self, word: str, value: str) -> None:
        pseudo.write(word, value, self._scope, self._features.set_dialog_variable)


def _of_local_uri(accounts: Accounts, words: str) -> Account | None:
    """Return the account of a local user, named by its URI or by the user alone."""
    if ":" not in words:
        return accounts.account_of_local_user(words, "") if words else None
    try:
        uri = parse_uri(octets_of(words))
    except ParseError:
        return None
    return accounts.account_of_local_user(text(uri.user), text(uri.host))
