"""A registrar behind a sender: it hears each REGISTER and answers from a script.

The script is a list of replies, of which the last is repeated for ever. A reply makes a
response of a request, or None to stay silent.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from tests.support.clock import SteppingClock
from uacproxy.errors import UacproxyError
from uacproxy.ports import Target
from uacproxy.settings import ListenAddress
from uacproxy.sip.build import build_response
from uacproxy.sip.digest import Challenge, DigestCredentials, parse_credentials
from uacproxy.sip.digest_hash import compute_ha1, compute_response, find_algorithm
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    AUTHORIZATION,
    CONTACT,
    EXPIRES,
    MIN_EXPIRES,
    PROXY_AUTHENTICATE,
    RETRY_AFTER,
    VIA,
    WWW_AUTHENTICATE,
)
from uacproxy.sip.uri import Uri
from uacproxy.uac.account import Account, BadRow
from uacproxy.uac.send import SendOutcome

Reply = Callable[[Message], Message | None]

HERE = Target(b"UDP", "192.0.2.7", 5060)
WENT_BY = 0.02  # s until an answer is here
GIVES_UP_AFTER = 32.0  # s: timer F
EPOCH = 1_800_000_000.0
REALM = b"provider.example"


class CountingRandom:
    """Tokens that count and delays in the middle, so that a failing test can be read."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def token(self) -> bytes:
        return b"%016x" % next(self._numbers)

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


def account(l_uuid: str = "u1", **columns: object) -> Account:
    """Return an account as its row would be, some columns changed."""
    row: dict[str, object] = {
        "l_uuid": l_uuid,
        "l_username": "alice",
        "l_domain": "pbx.example",
        "r_username": "trunk7",
        "r_domain": "provider.example",
        "auth_username": "auth7",
        "auth_password": "hunter2",
        "auth_proxy": "sip:proxy.provider.example",
        "expires": 3600,
    }
    return Account(**{**row, **columns})  # type: ignore[arg-type]


class ListedAccounts:
    """Fits ``AccountSource``; a list, or an error to fail with."""

    name = "a list"

    def __init__(
        self, clock: SteppingClock, accounts: Sequence[Account], skipped: Sequence[BadRow] = ()
    ) -> None:
        self._clock = clock
        self.accounts = list(accounts)
        self.skipped = list(skipped)
        self.error: UacproxyError | None = None
        self.loads = 0

    def load(
        self,
        then: Callable[[list[Account], list[BadRow]], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        self.loads += 1
        if self.error is not None:
            self._clock.callLater(0, failed, self.error)
        else:
            self._clock.callLater(0, then, self.accounts, self.skipped)

    def load_one(
        self,
        l_uuid: str,
        then: Callable[[Account | None], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        found = next((one for one in self.accounts if one.l_uuid == l_uuid), None)
        self._clock.callLater(0, then, found)


# -- replies ---------------------------------------------------------------------------


def ok(*contacts: bytes, expires: int | None = 3600) -> Reply:
    """Answer 200 with the request's own Contact, or with ``contacts``."""

    def reply(request: Message) -> Message:
        response = build_response(request, 200, to_tag=b"r1")
        for contact in contacts or (request.get(CONTACT) or b"",):
            response.append(CONTACT, contact)
        if expires is not None:
            response.append(EXPIRES, b"%d" % expires)
        return response

    return reply


def challenge(nonce: bytes, *, stale: bool = False, realm: bytes = REALM) -> Reply:
    """Answer 401."""

    def reply(request: Message) -> Message:
        response = build_response(request, 401, to_tag=b"r1")
        asked = Challenge(realm=realm, nonce=nonce, qop=[b"auth"], stale=stale)
        response.append(WWW_AUTHENTICATE, asked.encode())
        return response

    return reply


def proxy_challenge(nonce: bytes, realm: bytes) -> Reply:
    """Answer 407."""

    def reply(request: Message) -> Message:
        response = build_response(request, 407, to_tag=b"r1")
        asked = Challenge(realm=realm, nonce=nonce, qop=[b"auth"])
        response.append(PROXY_AUTHENTICATE, asked.encode())
        return response

    return reply


def status(code: int, *, retry_after: bytes = b"", min_expires: bytes = b"") -> Reply:
    """Answer with a failure."""

    def reply(request: Message) -> Message:
        response = build_response(request, code, to_tag=b"r1")
        if retry_after:
            response.append(RETRY_AFTER, retry_after)
        if min_expires:
            response.append(MIN_EXPIRES, min_expires)
        return response

    return reply


def redirect(code: int, *contacts: bytes) -> Reply:
    """Answer 3xx."""

    def reply(request: Message) -> Message:
        response = build_response(request, code, to_tag=b"r1")
        for contact in contacts:
            response.append(CONTACT, contact)
        return response

    return reply


def seen_from(host: bytes, port: int, more: Reply) -> Reply:
    """Answer like ``more``, with the address the request was seen to come from."""

    def reply(request: Message) -> Message | None:
        response = more(request)
        assert response is not None
        via = b"SIP/2.0/UDP 192.0.2.100:5060;received=%b;rport=%d;branch=z9hG4bK1" % (host, port)
        response.push(VIA, via)
        return response

    return reply


def with_field(name: bytes, value: bytes, more: Reply) -> Reply:
    """Answer like ``more``, with one more field."""

    def reply(request: Message) -> Message | None:
        response = more(request)
        assert response is not None
        response.append(name, value)
        return response

    return reply


def silence(_request: Message) -> None:
    """Answer nothing."""


def credentials_of(request: Message, name: bytes = AUTHORIZATION) -> DigestCredentials | None:
    """Return what a request proves, None if it does not."""
    found = parse_credentials(request, name)
    return found[0] if found else None


def proves(request: Message, password: bytes, name: bytes = AUTHORIZATION) -> bool:
    """Tell whether the response in a request is that of this password."""
    given = credentials_of(request, name)
    algorithm = find_algorithm(b"MD5")
    assert given is not None and algorithm is not None
    expected = compute_response(
        algorithm,
        ha1=compute_ha1(algorithm, given.username, given.realm, password),
        nonce=given.nonce,
        method=b"REGISTER",
        uri=request.request_uri,
        qop=given.qop,
        nc=given.nc,
        cnonce=given.cnonce,
    )
    return given.response == expected


class ScriptedRegistrar:
    """Fits ``uac.send.Sender``; ``requests`` are what it has heard."""

    def __init__(self, clock: SteppingClock, *script: Reply) -> None:
        self.clock = clock
        self.script = list(script)
        self.requests: list[Message] = []
        self.at: list[float] = []  # s
        self.targets: list[Target | None] = []
        self.next_hops: list[bytes] = []
        self.sockets: list[ListenAddress | None] = []
        self.under_way: dict[bytes, int] = {}  # REGISTER requests by To
        self.most_under_way = 0  # of one account
        self.loses_answers = False  # even that there is none

    def send(
        self,
        request: Message,
        next_hop: Uri,
        notify: Callable[[SendOutcome], None],
        *,
        target: Target | None = None,
        socket: ListenAddress | None = None,
        contact_user: bytes = b"",
    ) -> Answering:
        self.requests.append(request)
        self.at.append(self.clock.seconds())
        self.targets.append(target)
        self.next_hops.append(next_hop.raw)
        self.sockets.append(socket)
        return Answering(self, request, notify)

    def next_reply(self) -> Reply:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


class Answering:
    """One REGISTER between being sent and being answered."""

    def __init__(
        self, registrar: ScriptedRegistrar, request: Message, notify: Callable[[SendOutcome], None]
    ) -> None:
        self._registrar = registrar
        self._who = request.to.uri
        self._notify = notify
        under_way = registrar.under_way
        under_way[self._who] = under_way.get(self._who, 0) + 1
        registrar.most_under_way = max(registrar.most_under_way, under_way[self._who])
        response = registrar.next_reply()(request)
        self._is_abandoned = False
        if registrar.loses_answers:
            return
        if response is None:
            outcome = SendOutcome(408, None, HERE, None, "no answer in time")
            registrar.clock.callLater(GIVES_UP_AFTER, self._end, outcome)
        else:
            outcome = SendOutcome(response.status, response, HERE, None, "")
            registrar.clock.callLater(WENT_BY, self._end, outcome)

    def abandon(self) -> None:
        self._is_abandoned = True
        self._registrar.under_way[self._who] -= 1

    def _end(self, outcome: SendOutcome) -> None:
        if self._is_abandoned:
            return
        self._registrar.under_way[self._who] -= 1
        self._notify(outcome)
