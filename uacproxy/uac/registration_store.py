"""Registrations in the store: what a restart needs to send nothing for what is still valid.

A record is written after each exchange, in the store's batches. Times are seconds of the
epoch there, and become times of the clock when a record is read. Neither a password nor
anything made of one is in a record: credentials that were refused are therefore tried
once more after a restart, and the pause after that is as long as it would have been.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple, final

from uacproxy.errors import StoreCorrupt
from uacproxy.ports import Store, Target
from uacproxy.sip.grammar import octets_of, text
from uacproxy.uac.account import Account
from uacproxy.uac.register_series import KeptNonce, RegisterSeries
from uacproxy.uac.registration_event import LastExchange
from uacproxy.uac.renewal_log import Renewal

SPACE: Final = "registrations"
VERSION: Final = 1
KEPT_FOR: Final = 86400.0  # s beyond the binding: Call-ID and CSeq go on after a long outage


class Recollection(NamedTuple):
    """One account as it was when it was last written."""

    series: RegisterSeries
    written_at_utc: float  # s of the epoch, here and below
    bound_until_utc: float  # 0.0: there was no binding
    next_at_utc: float
    granted: int  # s
    failures: int
    refusals: int
    last: LastExchange | None
    place: bytes  # where and as whom it was registered; see ``place_of``
    contact: bytes = b""  # URI it was registered with
    is_off: bool = False  # an operator has disabled it


def place_of(account: Account, contact_addr: str) -> bytes:
    """Return what tells one binding from another: the registrar, our name there, the Contact.

    A binding made under another place is not the account's any more.
    """
    parts = (
        account.r_username,
        account.r_domain,
        account.auth_proxy,
        account.auth_username,
        account.socket,
        account.contact_user,
        account.contact_addr or contact_addr,
    )
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).digest()[:8]


def with_renewal(known: Recollection, renewal: Renewal) -> Recollection:
    """Return a record with what came behind it; one that was written later stays as it is."""
    series = known.series
    if renewal.written_at_utc <= known.written_at_utc or len(series.nonces) != 1:
        return known
    kept = series.nonces[0]
    series.cseq = renewal.cseq
    series.nonces = (KeptNonce(kept.name, kept.challenge, renewal.nc),)
    last = known.last
    return known._replace(
        written_at_utc=renewal.written_at_utc,
        bound_until_utc=renewal.bound_until_utc,
        next_at_utc=renewal.next_at_utc,
        granted=renewal.granted,
        last=None if last is None else last._replace(at_utc=renewal.written_at_utc),
    )


@final
class RegistrationStore:
    """The records of all accounts, by l_uuid."""

    def __init__(self, store: Store, now_utc: Callable[[], float]) -> None:
        self._store = store
        self._now_utc = now_utc
        self.corrupt = 0  # records that could not be read

    def save(self, l_uuid: str, known: Recollection, *, may_wait: bool = False) -> None:
        """Write one account, in the store's next batch, or in one a little later."""
        until = max(known.bound_until_utc, known.next_at_utc, self._now_utc()) + KEPT_FOR
        self._store.put(SPACE, octets_of(l_uuid), encode(known), until, may_wait=may_wait)

    def forget(self, l_uuid: str) -> None:
        """Drop the record of an account that is gone."""
        self._store.delete(SPACE, octets_of(l_uuid))

    def load(self, l_uuid: str, then: Callable[[Recollection | None], None]) -> None:
        """Read one account, for one that was registered elsewhere until now."""

        def answered(value: bytes | None) -> None:
            then(None if value is None else self._decoded(value))

        self._store.get(SPACE, octets_of(l_uuid), answered)

    def load_all(self, then: Callable[[dict[str, bytes]], None]) -> None:
        """Read all accounts, still encoded; ``decode`` reads one. A store that is away has none."""
        found: dict[str, bytes] = {}

        def each(key: bytes, value: bytes, _expires_at_utc: float) -> None:
            found[text(key)] = value

        self._store.scan(SPACE, each, lambda: then(found))

    def decode(self, value: bytes | None) -> Recollection | None:
        """Return what was written, None for nothing or for what cannot be read."""
        return None if value is None else self._decoded(value)

    def _decoded(self, value: bytes) -> Recollection | None:
        try:
            return decode(value)
        except StoreCorrupt:
            self.corrupt += 1
            return None


def encode(known: Recollection) -> bytes:
    """Return the octets for the store: one JSON object, octets as Latin-1 characters.

    It is written by hand, for one is made at each refresh of each account.
    """
    series = known.series
    last = known.last
    nonces = [
        b"[%b,%b,%d]" % (_quoted(kept.name), _quoted(kept.challenge), kept.nc)
        for kept in series.nonces
    ]
    return _RECORD % (
        VERSION,
        known.written_at_utc,
        known.bound_until_utc,
        known.next_at_utc,
        known.granted,
        known.failures,
        known.refusals,
        known.place.hex().encode("ascii"),
        _quoted(known.contact),
        _flag(known.is_off),
        _quoted(series.call_id),
        _quoted(series.from_tag),
        series.cseq,
        series.min_expires,
        _flag(series.is_plain),
        _quoted(series.public),
        _encoded_target(series.target),
        b",".join([_quoted(one) for one in series.service_route]),
        b",".join(nonces),
        b"null" if last is None else _encoded_last(last),
    )


_RECORD: Final = (
    b'{"version":%d,"written":%.3f,"until":%.3f,"next":%.3f,"granted":%d,"failures":%d,'
    b'"refusals":%d,"place":"%b","contact":%b,"off":%b,"call_id":%b,"from_tag":%b,"cseq":%d,'
    b'"min_expires":%d,"plain":%b,"public":%b,"target":%b,"service_route":[%b],"nonces":[%b],'
    b'"last":%b}'
)
_UNESCAPED: Final = bytes(range(0x20, 0x7F)).replace(b"\\", b"")  # but for the quotes


def _quoted(octets: bytes) -> bytes:
    """Return octets as a JSON string."""
    if octets.translate(None, _UNESCAPED):
        return json.dumps(octets.decode("latin-1")).encode("ascii")
    return b'"' + octets.replace(b'"', b'\\"') + b'"'


def _flag(value: bool) -> bytes:
    return b"true" if value else b"false"


def _encoded_last(last: LastExchange) -> bytes:
    why = json.dumps(last.why).encode("ascii")
    return b"[%.3f,%d,%b,%b]" % (last.at_utc, last.status, why, _encoded_target(last.target))


def _encoded_target(target: Target | None) -> bytes:
    if target is None:
        return b"null"
    host = json.dumps(target.host).encode("ascii")
    transport = _quoted(target.transport)
    return b"[%b,%b,%d,%b]" % (transport, host, target.port, _flag(target.chosen))


def decode(octets: bytes) -> Recollection:
    """Return what ``encode`` was given.

    Raises:
        StoreCorrupt: it was something else, whatever it is: a store is shared, and may be
            edited by hand.
    """
    try:
        record: dict[str, Any] = json.loads(octets)
        if record["version"] != VERSION:
            raise StoreCorrupt("a registration of another version")
        return _recollection(record)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise StoreCorrupt("a registration that cannot be read") from error


def _recollection(record: dict[str, Any]) -> Recollection:
    series = RegisterSeries()
    series.call_id = _octets(record["call_id"])
    series.from_tag = _octets(record["from_tag"])
    series.cseq = _count(record["cseq"])
    series.min_expires = _count(record["min_expires"])
    series.is_plain = record["plain"] is True
    series.public = _octets(record["public"])
    series.target = _target(record["target"])
    series.service_route = tuple([_octets(one) for one in record["service_route"]])
    series.nonces = tuple(
        [
            KeptNonce(_octets(name), _octets(challenge), _count(nc))
            for name, challenge, nc in record["nonces"]
        ]
    )
    last = record["last"]
    return Recollection(
        series,
        _time(record["written"]),
        _time(record["until"]),
        _time(record["next"]),
        _count(record["granted"]),
        _count(record["failures"]),
        _count(record["refusals"]),
        None if last is None else _last(*last),
        bytes.fromhex(_text(record["place"])),
        _octets(record.get("contact", "")),
        record.get("off") is True,
    )


def _last(at_utc: object, status: object, why: object, target: object) -> LastExchange:
    return LastExchange(_time(at_utc), _count(status), _text(why), _target(target))


def _target(plain: Any) -> Target | None:
    if plain is None:
        return None
    transport, host, port, chosen = plain
    return Target(_octets(transport), _text(host), _count(port), chosen is True)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise StoreCorrupt("no text")
    return value


def _octets(value: object) -> bytes:
    return _text(value).encode("latin-1")


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise StoreCorrupt("no count")
    return value


def _time(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise StoreCorrupt("no time")
    return float(value)
