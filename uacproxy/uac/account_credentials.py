"""What an account answers challenges with: its password, or HA1s by algorithm (RFC 7616 3.4)."""

from __future__ import annotations

from uacproxy.sip.grammar import octets_of
from uacproxy.uac.account import Account
from uacproxy.uac.account_settings import REALM_ANY
from uacproxy.uac.credentials import Credential, CredentialList


def credentials_of(account: Account) -> CredentialList:
    """Return the account's credentials, for its realm or for any.

    An HA1 holds the realm it was made for, so ``realm_policy = any`` is for passwords.
    """
    settings = account.settings
    ha1s: dict[bytes, bytes] = {}
    if settings.ha1_sha256:
        ha1s[b"SHA-256"] = octets_of(settings.ha1_sha256)
    if settings.ha1_sha512_256:
        ha1s[b"SHA-512-256"] = octets_of(settings.ha1_sha512_256)
    has_ha1 = bool(ha1s) or bool(account.auth_ha1)
    answers_any = settings.realm_policy == REALM_ANY and not has_ha1
    return CredentialList(
        [
            Credential(
                username=octets_of(account.auth_username),
                realm=b"" if answers_any else octets_of(account.realm),
                password=octets_of(account.auth_password),
                ha1=octets_of(account.auth_ha1),
                ha1s=ha1s,
            )
        ]
    )
