"""What the functions of a route work with; one for the service, made by the app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, final

from uacproxy.counters import ProxyCounters
from uacproxy.errors import UacproxyError
from uacproxy.ports import HostPort, Log
from uacproxy.routing import pseudo
from uacproxy.routing.request_sending import RequestSending
from uacproxy.routing.scope import Scope
from uacproxy.sip.message import Message
from uacproxy.sip.uri import Uri
from uacproxy.uac.account import Account
from uacproxy.uac.auth_param import AuthSeal
from uacproxy.uac.contact_user import ContactSeal
from uacproxy.uac.credential_sources import CredentialSources
from uacproxy.uac.credentials import CredentialList
from uacproxy.uac.inbound_match import InboundMatch
from uacproxy.uac.nonces import NonceBook
from uacproxy.uac.rr_param import RestoreCodec


class Accounts(Protocol):
    """The table of remote registrations, as a route asks it."""

    def account(self, l_uuid: str) -> Account | None:
        """Return the account, whatever its state."""

    def account_of_local_user(self, user: str, domain: str) -> Account | None:
        """Return the account of a local user, newest first; ``domain`` may not count."""

    def status(self, l_uuid: str) -> int:
        """Return 1 online, -1 unknown, -2 in progress, -3 disabled, -99 not registered."""

    def match(self, request: Message, remote: HostPort) -> InboundMatch | None:
        """Return the account that a request from outside is for; None: nobody's."""

    def refresh(
        self, l_uuid: str, then: Callable[[bool], None], failed: Callable[[UacproxyError], None]
    ) -> None:
        """Read one row again."""

    def enable(self, attr: str, value: str) -> bool:
        """Undo ``disable``; here and below: False for none, KeyError for no such column."""

    def disable(self, attr: str, value: str) -> bool:
        """Stop registering an account."""

    def register(self, attr: str, value: str) -> bool:
        """Send a REGISTER at once."""

    def unregister(self, attr: str, value: str) -> bool:
        """Take an account's binding back."""


def _keep_nothing(_scope: Scope) -> None:
    """Write no dialog early: nobody tracks any."""


@final
class Features:
    """What the functions work with; one for the service, made by the app."""

    __slots__ = (
        "accounts",
        "auth_password_avp",
        "auth_realm_avp",
        "auth_seal",
        "auth_username_avp",
        "codec",
        "consume_credentials",
        "contact_seal",
        "counters",
        "is_ours",
        "keep_early",
        "log",
        "nonces",
        "requests",
        "restore_dlg",
        "restore_from_avp",
        "restore_mode",
        "restore_to_avp",
        "set_dialog_variable",
        "sources",
        "track",
        "track_cseq",
    )

    def __init__(
        self,
        *,
        restore_mode: str,
        credentials: CredentialList,
        auth_realm_avp: str,
        auth_username_avp: str,
        auth_password_avp: str,
        accounts: Accounts | None,
        is_ours: Callable[[Uri], bool],
        track: Callable[[Scope], bool],
        set_dialog_variable: pseudo.SetVariable,
        counters: ProxyCounters,
        log: Log,
        codec: RestoreCodec,
        track_cseq: bool = True,
        restore_dlg: bool = False,
        restore_from_avp: str = "",
        restore_to_avp: str = "",
        keep_early: Callable[[Scope], None] = _keep_nothing,
        contact_seal: ContactSeal | None = None,
        requests: RequestSending | None = None,
        auth_seal: AuthSeal | None = None,
        consume_credentials: bool = True,
        nonces: NonceBook | None = None,
    ) -> None:
        self.restore_mode = restore_mode  # none, manual or auto
        self.codec = codec
        self.restore_dlg = restore_dlg and restore_mode == "auto"
        self.restore_from_avp = restore_from_avp  # "" for unset
        self.restore_to_avp = restore_to_avp
        self.keep_early = keep_early  # writes a dialog whose identities are nowhere else
        self.contact_seal = contact_seal  # None: a hidden Contact user is not put back
        self.auth_seal = auth_seal  # None: challenges inside a dialog are for scripts
        self.consume_credentials = consume_credentials
        self.nonces = NonceBook() if nonces is None else nonces
        if accounts is None:
            self.sources = CredentialSources(credentials)
        else:
            self.sources = CredentialSources(credentials, accounts.account)
        self.auth_realm_avp = auth_realm_avp  # "" for unset; so the next two
        self.auth_username_avp = auth_username_avp
        self.auth_password_avp = auth_password_avp
        self.accounts = accounts  # None: no reg_db_url
        self.is_ours = is_ours
        self.track = track
        self.set_dialog_variable = set_dialog_variable
        self.counters = counters
        self.log = log
        self.requests = requests
        self.track_cseq = track_cseq  # raise CSeq with each challenge answered
