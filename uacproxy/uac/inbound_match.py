"""To which account a request from outside is: by line, by user, by number, by address.

A registered provider sends calls to the Contact we registered, so ``line`` or the user of
the Request-URI names the account. Some put the number that was called there, or leave it
in another field, or say nothing at all; then the account's DID source and numbers
decide, and last the address it is registered at, where only one account is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from typing import Final, NamedTuple, final

from uacproxy.errors import ParseError
from uacproxy.ports import HostPort, Target
from uacproxy.sip.grammar import octets_of, text
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import parse_name_addr
from uacproxy.sip.names import canonical
from uacproxy.sip.uri import TEL, Uri, parse_uri
from uacproxy.uac.account import Account
from uacproxy.uac.account_settings import FROM_FIELD, FROM_TO
from uacproxy.uac.register_request import LINE

MOST_NUMBERS: Final = 8  # values of one field that are looked at

BY_LINE: Final = "line"
BY_USER: Final = "user"
BY_CONTACT_USER: Final = "contact_user"
BY_ADDRESS: Final = "address"

_SEPARATORS: Final = "+-.() "


class InboundMatch(NamedTuple):
    """An account, and what told that the request is for it: a word, or a DID source."""

    l_uuid: str
    by: str


@final
class _Numbers:
    """The numbers of all accounts with one DID source."""

    def __init__(self) -> None:
        self.exact: dict[str, list[str]] = {}  # number to l_uuids
        self.patterns: dict[str, list[re.Pattern[str]]] = {}  # by l_uuid

    def find(self, number: str) -> list[str]:
        """Return the l_uuids of a number; where it is nobody's own, by pattern."""
        found = self.exact.get(number)
        if found is not None:
            return found
        return [
            l_uuid
            for l_uuid, patterns in self.patterns.items()
            if any(pattern.match(number) for pattern in patterns)
        ]


@final
class _Place:
    """One address, and the accounts that are registered there."""

    __slots__ = ("address", "l_uuids")

    def __init__(self, address: HostPort) -> None:
        self.address = address
        self.l_uuids: dict[str, None] = {}


@final
class InboundIndex:
    """Accounts by what a request from outside may name them by, ``l_uuid`` aside."""

    def __init__(self) -> None:
        self._of_contact_user: dict[str, list[str]] = {}
        self._of_source: dict[str, _Numbers] = {}
        self._place_of: dict[str, _Place] = {}  # by l_uuid, where it is registered
        self._at: dict[HostPort, _Place] = {}

    def add(self, account: Account) -> None:
        """Let an account be found."""
        if account.contact_user:
            self._of_contact_user.setdefault(account.contact_user, []).append(account.l_uuid)
        settings = account.settings
        if not settings.did_source:
            return
        numbers = self._of_source.setdefault(settings.did_source, _Numbers())
        for word in settings.did or (account.r_username,):
            if "*" in word or "?" in word:
                pattern = re.compile(translate(_plain(word)))
                numbers.patterns.setdefault(account.l_uuid, []).append(pattern)
            else:
                numbers.exact.setdefault(_plain(word), []).append(account.l_uuid)

    def remove(self, account: Account) -> None:
        """Let an account be found no more; where it is registered is kept."""
        l_uuid = account.l_uuid
        _drop(self._of_contact_user, account.contact_user, l_uuid)
        source = account.settings.did_source
        numbers = self._of_source.get(source)
        if numbers is None:
            return
        numbers.patterns.pop(l_uuid, None)
        for word in account.settings.did or (account.r_username,):
            _drop(numbers.exact, _plain(word), l_uuid)
        if not numbers.exact and not numbers.patterns:
            del self._of_source[source]

    def place(self, l_uuid: str, target: Target | None) -> None:
        """Note where an account is registered; None: nowhere."""
        now = None if target is None else (target.host, target.port)
        before = self._place_of.get(l_uuid)
        if now == (None if before is None else before.address):
            return
        if before is not None:
            del before.l_uuids[l_uuid], self._place_of[l_uuid]
            if not before.l_uuids:
                del self._at[before.address]
        if now is not None:
            place = self._at.get(now)
            if place is None:
                place = _Place(now)
                self._at[now] = place
            self._place_of[l_uuid] = place
            place.l_uuids[l_uuid] = None

    def by_contact_user(self, user: str, remote: HostPort) -> str:
        """Return the l_uuid of the one account with this contact_user, "" for none or several."""
        return self._only(self._of_contact_user.get(user, ()), remote)

    def by_number(self, request: Message, remote: HostPort) -> InboundMatch | None:
        """Return the account of the number that a DID source of ours names."""
        for source, numbers in self._of_source.items():
            for number in _numbers_in(request, source):
                l_uuid = self._only(numbers.find(number), remote)
                if l_uuid:
                    return InboundMatch(l_uuid, source)
        return None

    def by_address(self, remote: HostPort) -> str:
        """Return the l_uuid of the one account registered at an address, "" for none or several."""
        place = self._at.get(remote)
        return "" if place is None else self._only(place.l_uuids, remote)

    def _only(self, l_uuids: Iterable[str], remote: HostPort) -> str:
        """Return the only one, or the only one registered where the request comes from."""
        found = list(l_uuids)
        if len(found) > 1:
            there = self._at.get(remote)
            found = [one for one in found if there is not None and one in there.l_uuids]
        return found[0] if len(found) == 1 else ""


def line_of(uri: Uri) -> str:
    """Return the ``line`` of a Request-URI, "" for none."""
    return text(uri.param(LINE) or b"")


def _numbers_in(request: Message, source: str) -> list[str]:
    """Return the users that the field of a DID source holds, as far as it can be read."""
    values: list[bytes]
    if source == FROM_TO:
        try:
            values = [request.to.uri]
        except ParseError:
            values = []
    else:
        name = source.removeprefix(FROM_FIELD)
        values = request.fields(canonical(octets_of(name)))[:MOST_NUMBERS]
    numbers: list[str] = []
    for value in values:
        number = _plain(text(_user_of(value)))
        if number:
            numbers.append(number)
    return numbers


def _user_of(value: bytes) -> bytes:
    """Return user or number of a URI, alone or in a name-addr; else the value itself."""
    try:
        uri = parse_name_addr(value).address if b"<" in value else parse_uri(value.strip())
    except ParseError:
        return value.partition(b";")[0].strip()
    return uri.user.partition(b";")[0] if uri.is_sip or uri.scheme == TEL else b""


def _plain(number: str) -> str:
    """Return a number without its plus and its visual separators (RFC 3966 5.1.1)."""
    return number.translate(_NO_SEPARATORS)


_NO_SEPARATORS: Final = str.maketrans("", "", _SEPARATORS)


def _drop(lists: dict[str, list[str]], key: str, l_uuid: str) -> None:
    known = lists.get(key)
    if known is not None and l_uuid in known:
        known.remove(l_uuid)
        if not known:
            del lists[key]
