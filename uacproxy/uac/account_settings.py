"""Settings of one account beyond Kamailio's columns: name and value, from a table of ours.

Kamailio never looks there, so a table that serves it can serve us. Each name is a row of
``ACCOUNT_SETTINGS``: reading, the manual page and ``uacctl account`` are driven by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, final

from uacproxy.sip.grammar import is_token, octets_of

REALM_EXACT: Final = "exact"
REALM_ANY: Final = "any"

FROM_TO: Final = "to"
FROM_CALLED_PARTY: Final = "p-called-party-id"
FROM_FIELD: Final = "header:"

_HEX: Final = frozenset("0123456789abcdef")

LEAST_REFRESH: Final = 10  # %, the bounds of reg_refresh_from and reg_refresh_until
MOST_REFRESH: Final = 95

_YES: Final = frozenset(("yes", "on", "true", "1"))
_NO: Final = frozenset(("no", "off", "false", "0"))


@final
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AccountSettings:
    """What is set beside the columns; the defaults are those of an account without any."""

    transport: str = ""  # "udp", "tcp"; empty: auth_proxy, r_domain and DNS decide
    realm_policy: str = REALM_EXACT
    ha1_sha256: str = ""  # 64 hexadecimal digits in small letters, for the account's realm
    ha1_sha512_256: str = ""
    did_source: str = ""  # "to", "p-called-party-id", "header:NAME"; empty: none
    did: tuple[str, ...] = ()  # numbers, or patterns with * and ?
    refresh_from: int | None = None  # %; None, here and below: as [uac] says for all
    refresh_until: int | None = None
    outbound: bool | None = None
    follow_redirect: bool | None = None
    learn_address: bool | None = None

    def __repr__(self) -> str:
        """Return nothing of it: there are secrets inside."""
        return "AccountSettings(...)"


NO_SETTINGS: Final = AccountSettings()


@final
class AccountSetting:
    """One name that may be set."""

    def __init__(
        self,
        doc: str,
        parse: Callable[[str], Any],
        *,
        form: str,
        is_secret: bool = False,
    ) -> None:
        self.doc = doc
        self.parse = parse  # raises ValueError with the reason, without the value of a secret
        self.form = form  # for people: what the value looks like
        self.is_secret = is_secret


def parse_account_settings(rows: Iterable[tuple[str, str]]) -> tuple[AccountSettings, list[str]]:
    """Turn the rows of one account into its settings.

    Returns:
        The settings, and the names nobody here knows (those of a newer version).

    Raises:
        SettingRefused: a value that cannot be.
    """
    values: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in rows:
        known = ACCOUNT_SETTINGS.get(name)
        if known is None:
            unknown.append(name)
            continue
        try:
            values[name] = known.parse(value.strip())
        except ValueError as error:
            raise SettingRefused(name, str(error)) from None
    return (AccountSettings(**values) if values else NO_SETTINGS), unknown


class SettingRefused(ValueError):
    """A value that one setting cannot have; says which and why, never with a secret."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


def _parse_transport(text: str) -> str:
    word = text.lower()
    if word not in ("", "udp", "tcp"):
        raise ValueError(f"{text!a} is neither udp nor tcp")
    return word


def _parse_realm_policy(text: str) -> str:
    word = text.lower() or REALM_EXACT
    if word not in (REALM_EXACT, REALM_ANY):
        raise ValueError(f"{text!a} is neither {REALM_EXACT} nor {REALM_ANY}")
    return word


def _parse_ha1(text: str) -> str:
    digits = text.lower()
    if digits and (len(digits) != 64 or not _HEX.issuperset(digits)):
        raise ValueError("is not 64 hexadecimal digits")
    return digits


def _parse_part(text: str) -> int | None:
    if not text:
        return None
    digits = text.removesuffix("%").strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 3):
        raise ValueError(f"{text!a} is no whole number of %")
    if not LEAST_REFRESH <= int(digits) <= MOST_REFRESH:
        raise ValueError(f"{text!a} is not between {LEAST_REFRESH} and {MOST_REFRESH}")
    return int(digits)


def _parse_switch(text: str) -> bool | None:
    word = text.lower()
    if word in _YES or word in _NO:
        return word in _YES
    if word:
        raise ValueError(f"{text!a} is neither yes nor no")
    return None


def _parse_did_source(text: str) -> str:
    word = text.lower()
    if word in ("", "none"):
        return ""
    if word.startswith(FROM_FIELD):
        if not is_token(octets_of(word[len(FROM_FIELD) :])):
            raise ValueError(f"{text!a} names no header field")
    elif word not in (FROM_TO, FROM_CALLED_PARTY):
        raise ValueError(f"{text!a} is none of to, p-called-party-id, header:NAME, none")
    return word


def _parse_did(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


ACCOUNT_SETTINGS: Final[dict[str, AccountSetting]] = {
    "transport": AccountSetting(
        "Transport to the provider, where `auth_proxy` names none.",
        _parse_transport,
        form="udp or tcp",
    ),
    "realm_policy": AccountSetting(
        "`exact`: only challenges of the column `realm` are answered. `any`: those of every "
        "realm; the column is then the realm that an HA1 was made for.",
        _parse_realm_policy,
        form="exact or any",
    ),
    "ha1_sha256": AccountSetting(
        "H(auth_username:realm:password) by SHA-256, so that no password need be stored.",
        _parse_ha1,
        form="64 hexadecimal digits",
        is_secret=True,
    ),
    "ha1_sha512_256": AccountSetting(
        "The same by SHA-512-256.",
        _parse_ha1,
        form="64 hexadecimal digits",
        is_secret=True,
    ),
    "did_source": AccountSetting(
        "Where the provider puts the number that was called, when calls come to no user of ours.",
        _parse_did_source,
        form="to, p-called-party-id, header:NAME or none",
    ),
    "did": AccountSetting(
        "The numbers that are this account's, with `*` and `?` for patterns. Without any it is "
        "`r_username`.",
        _parse_did,
        form="words, as 4930123* 4930456",
    ),
    "refresh_from": AccountSetting(
        "Its binding is renewed when at least this part of the grant has passed, instead of "
        "`reg_refresh_from`; from its next REGISTER on.",
        _parse_part,
        form="10 to 95, %",
    ),
    "refresh_until": AccountSetting(
        "And when at most this part has passed, instead of `reg_refresh_until`.",
        _parse_part,
        form="10 to 95, %",
    ),
    "outbound": AccountSetting(
        "RFC 5626 for this account, whatever `reg_outbound` says.",
        _parse_switch,
        form="yes or no",
    ),
    "follow_redirect": AccountSetting(
        "Whether one 3xx is followed, whatever `reg_follow_redirect` says.",
        _parse_switch,
        form="yes or no",
    ),
    "learn_address": AccountSetting(
        "Whether its Contact is where the registrar sees us, whatever `reg_learn_address` says.",
        _parse_switch,
        form="yes or no",
    ),
}
