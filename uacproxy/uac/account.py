"""One account to register: a row of Kamailio's table ``uacreg``, checked.

The columns and what makes a row unusable are the uac module's, so a table that serves
Kamailio serves here. Where we differ: an HA1 may be of SHA-256 too, and a control
character in a column that reaches the wire makes the row unusable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import Final, Protocol, final

from uacproxy.errors import FeatureError, UacproxyError
from uacproxy.uac.account_settings import (
    NO_SETTINGS,
    AccountSettings,
    SettingRefused,
    parse_account_settings,
)

MAX_NUMBER: Final = 2**32 - 1  # RFC 3261 20.19: delta-seconds
MAX_ID: Final = 2**63 - 1

REQUIRED: Final = (
    "l_uuid",
    "l_username",
    "l_domain",
    "r_username",
    "r_domain",
    "auth_username",
    "auth_proxy",
)  # NULL says "not set", which is allowed; an empty string is not
OPTIONAL: Final = ("realm", "auth_password", "auth_ha1", "contact_addr", "contact_user", "socket")
NUMBERS: Final = ("id", "expires", "flags", "reg_delay")
NEVER_UNSET: Final = ("l_uuid", "r_domain")  # no REGISTER can be made without
COLUMNS: Final = (*REQUIRED, *OPTIONAL, *NUMBERS)

_ALIKE: Final = frozenset(
    ("l_domain", "r_domain", "realm", "auth_proxy", "contact_addr", "contact_user", "socket")
)
"""Columns in which many accounts have the same text: each text is kept once."""

_HEX: Final = frozenset("0123456789abcdef")
_HA1_LENGTHS: Final = (32, 64)  # MD5, SHA-256 and SHA-512-256


class BadRow(FeatureError):
    """A row that cannot be an account; says which and why, never with a secret."""

    def __init__(self, l_uuid: str, column: str, why: str) -> None:
        super().__init__(f"account {l_uuid!a}: {column}: {why}")
        self.code = "bad-row"  # of the instance: a compiled class does not override the class's
        self.l_uuid = l_uuid
        self.column = column


@final
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Account:
    """An account as its row says; two are equal when every column but ``id`` is.

    Text that is not set is empty. ``auth_ha1`` is in small letters and wins over
    ``auth_password``; one of them, or an HA1 among the settings, is set.
    """

    l_uuid: str  # names the account; user of the Contact unless contact_user is set
    l_username: str
    l_domain: str
    r_username: str
    r_domain: str
    realm: str = ""  # empty: any
    auth_username: str
    auth_password: str = ""
    auth_ha1: str = ""
    auth_proxy: str = ""  # next hop; empty: r_domain decides
    expires: int = 0  # s; 0: is never registered
    flags: int = 0  # bits as in the table
    reg_delay: int = 0  # s before the first REGISTER
    contact_addr: str = ""  # HOST[:PORT][;params]; empty: reg_contact_addr
    contact_user: str = ""
    socket: str = ""  # PROTO:HOST:PORT to send from; empty: any
    settings: AccountSettings = NO_SETTINGS  # beyond the columns
    id: int = field(default=0, compare=False)

    @property
    def registrar(self) -> str:
        """Return what names its registrar: accounts of the same share its rate and what it said."""
        return self.auth_proxy or self.r_domain

    def __repr__(self) -> str:
        """Return who registers where, without secrets."""
        return (
            f"Account({self.l_uuid!r}, {self.r_username}@{self.r_domain}"
            f" via {self.auth_proxy!r}, expires={self.expires}, flags={self.flags})"
        )


class AccountSource(Protocol):
    """Where accounts come from; the callables run in a later turn, exactly one of them once."""

    @property
    def name(self) -> str:
        """Return where that is, as a log may show it."""

    def load(
        self,
        then: Callable[[list[Account], list[BadRow]], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Give all accounts, and what is wrong with each row that was skipped."""

    def load_one(
        self,
        l_uuid: str,
        then: Callable[[Account | None], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Give one account, None where no row has this l_uuid; a bad row fails with BadRow."""


def check_row(row: Mapping[str, object], settings: Sequence[tuple[str, str]] = ()) -> Account:
    """Turn a row of the table into an account.

    Args:
        row: values by column name; a column the table lacks is not set, one we do not
            know is ignored. Numbers may come as text, text as numbers or octets: SQLite
            keeps what it was given.
        settings: names and values of the account's rows in our own table.

    Raises:
        BadRow: the row breaks a rule of the table and is to be skipped.
    """
    name = row.get("l_uuid")
    l_uuid = name if isinstance(name, str) else "" if name is None else str(name)
    text: dict[str, str] = {}
    for column in (*REQUIRED, *OPTIONAL):
        text[column] = _text(row.get(column), l_uuid, column)
    for column in REQUIRED:
        if not text[column] and (row.get(column) is not None or column in NEVER_UNSET):
            raise BadRow(l_uuid, column, "is empty")
    try:
        beside = parse_account_settings(settings)[0] if settings else NO_SETTINGS
    except SettingRefused as error:
        raise BadRow(l_uuid, error.name, error.why) from None
    has_ha1 = text["auth_ha1"] or beside.ha1_sha256 or beside.ha1_sha512_256
    if not text["auth_password"] and not has_ha1:
        raise BadRow(l_uuid, "auth_password", "is empty, and so is auth_ha1")
    ha1 = text["auth_ha1"].lower()
    if ha1 and (len(ha1) not in _HA1_LENGTHS or not _HEX.issuperset(ha1)):
        raise BadRow(l_uuid, "auth_ha1", "is not 32 or 64 hexadecimal digits")
    same = text["auth_username"] == text["r_username"]  # as it mostly is: kept once then
    return Account(
        l_uuid=text["l_uuid"],
        l_username=text["l_username"],
        l_domain=text["l_domain"],
        r_username=text["r_username"],
        r_domain=text["r_domain"],
        realm=text["realm"],
        auth_username=text["r_username"] if same else text["auth_username"],
        auth_password=text["auth_password"],
        auth_ha1=ha1,
        auth_proxy=text["auth_proxy"],
        expires=_number(row, l_uuid, "expires"),
        flags=_number(row, l_uuid, "flags"),
        reg_delay=_number(row, l_uuid, "reg_delay"),
        contact_addr=text["contact_addr"],
        contact_user=text["contact_user"],
        socket=text["socket"],
        settings=beside,
        id=_number(row, l_uuid, "id", MAX_ID),
    )


def _text(value: object, l_uuid: str, column: str) -> str:
    if value is None:
        return ""
    try:
        text = value.decode() if isinstance(value, bytes) else str(value)
        text.encode()  # a surrogate stands for an octet that is not UTF-8
    except UnicodeError:
        raise BadRow(l_uuid, column, "is not UTF-8") from None
    if column in _ALIKE:
        text = intern(text)
    if column != "auth_password":  # which is only ever hashed
        for character in text:
            if character < " " or character == "\x7f":
                raise BadRow(l_uuid, column, "holds a control character")
    return text


def _number(row: Mapping[str, object], l_uuid: str, column: str, highest: int = MAX_NUMBER) -> int:
    value = row.get(column)
    if value is None or value == "":
        return 0
    if isinstance(value, int):
        number = int(value)
    else:
        digits = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
            raise BadRow(l_uuid, column, "is not a whole number")
        number = int(digits)
    if not 0 <= number <= highest:
        raise BadRow(l_uuid, column, f"is not between 0 and {highest}")
    return number
