"""The registrar of our own domains, and the proof that a request is a local user's.

RFC 3261 10.3, 22.1 and 22.3. Steps 1 and 2 of 10.3 (is the Request-URI ours, is all of
Require known) are the caller's, as for any request. Of the answers here the caller sees
only that there is one: ``respond`` is called exactly once for each REGISTER.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, final

from uacproxy.errors import ParseError
from uacproxy.ports import Flow, Random
from uacproxy.registrar.binding import canonical_aor
from uacproxy.registrar.bindings import BindingTable, Outcome
from uacproxy.registrar.contacts import PATH, TooBrief, asks_to_clear, read_contacts
from uacproxy.registrar.digest_server import DigestServer, Verdict
from uacproxy.registrar.settings import RegistrarSettings
from uacproxy.sip.build import build_response
from uacproxy.sip.digest import DigestCredentials, parse_credentials
from uacproxy.sip.grammar import octets_of
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    AUTHORIZATION,
    CONTACT,
    MIN_EXPIRES,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    RECORD_ROUTE,
    TO,
    WWW_AUTHENTICATE,
)
from uacproxy.sip.parse import describe
from uacproxy.sip.uri import SCHEMES

Ha1Of = Callable[[bytes, bytes, Callable[[str | None], None]], None]
"""``ha1_of(username, realm, then)`` calls ``then`` once, now or later.

It hears the HA1 in hexadecimal digits, None for a user there is not, and "" where nobody
can tell at present.
"""

_DAYS: Final = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


@final
class Registrar:
    """Answers REGISTER out of one table of bindings."""

    def __init__(
        self,
        *,
        settings: RegistrarSettings,
        bindings: BindingTable,
        is_our_domain: Callable[[bytes], bool],
        digest: DigestServer,
        ha1_of: Ha1Of | None,
        now_utc: Callable[[], float],
        random: Random,
    ) -> None:
        """Take what the registrar works with.

        Args:
            settings: how long is granted.
            bindings: the table.
            is_our_domain: asked with a host in lower case.
            digest: of our realm.
            ha1_of: where users' secrets are; None asks nobody for credentials.
            now_utc: s of the epoch.
            random: for the To tags of answers.
        """
        self._settings = settings
        self._bindings = bindings
        self._is_our_domain = is_our_domain
        self._digest = digest
        self._ha1_of = ha1_of
        self._now_utc = now_utc
        self._random = random

    def register(self, request: Message, flow: Flow, respond: Callable[[Message], None]) -> None:
        """Answer a REGISTER; at once, or when the user's secret has been read.

        Args:
            request: required fields checked.
            flow: it came on; where that is not where its Contact points, the binding
                remembers.
            respond: takes 200, 400, 401, 403, 404, 423 or 503, with a To tag.
        """
        try:
            aor = self._aor_of(request)
        except ParseError as error:
            respond(self._response(request, error.status, describe(error)))
            return
        if not aor:
            respond(self._response(request, 404))
            return

        def proven(username: bytes, refusal: Message | None) -> None:
            if refusal is not None:
                respond(refusal)
            elif username and not _may_register(username, aor):
                respond(self._response(request, 403))
            else:
                respond(self._answer(request, flow, aor))

        self.check_user(request, False, proven)

    def check_user(
        self, request: Message, proxy: bool, then: Callable[[bytes, Message | None], None]
    ) -> None:
        """Find out which local user sent a request.

        Args:
            request: any but ACK and CANCEL, which cannot be challenged (22.1).
            proxy: ask by 407 as a proxy does, else by 401.
            then: called once, now or later. With the username and None where it is
                proven; with b"" and None where nobody is asked; with b"" and the answer
                to send else: 401 or 407 where proof is missing, stale or wrong, 503 where
                it cannot be checked now. A user we do not know is treated as one with
                another password.
        """
        ha1_of = self._ha1_of
        if ha1_of is None:
            then(b"", None)
            return
        name = PROXY_AUTHORIZATION if proxy else AUTHORIZATION
        credentials = self._credentials_for_us(request, name)
        if credentials is None:
            then(b"", self._challenge(request, proxy, stale=False))
            return
        given: DigestCredentials = credentials

        def read(ha1: str | None) -> None:
            if ha1 == "":
                then(b"", self._response(request, 503))
                return
            verdict = Verdict.REJECTED
            if ha1 is not None:
                verdict = self._digest.verify(request, given, octets_of(ha1))
            if verdict == Verdict.OK:
                then(given.username, None)
            else:
                then(b"", self._challenge(request, proxy, stale=verdict == Verdict.STALE))

        ha1_of(given.username, self._digest.realm, read)

    def _credentials_for_us(self, request: Message, name: bytes) -> DigestCredentials | None:
        for credentials in parse_credentials(request, name):
            if credentials.realm == self._digest.realm and credentials.username:
                return credentials
        return None

    def _challenge(self, request: Message, proxy: bool, *, stale: bool) -> Message:
        response = self._response(request, 407 if proxy else 401)
        name = PROXY_AUTHENTICATE if proxy else WWW_AUTHENTICATE
        for value in self._digest.challenges(stale=stale):
            response.append(name, value)
        return response

    def _aor_of(self, request: Message) -> bytes:
        """Return the canonical address of record in To, b"" where it is none of ours."""
        uri = request.to.address
        if uri.scheme not in SCHEMES:  # RFC 4475 3.3.4
            raise ParseError("no address of record", field=TO)
        if not uri.is_sip or not uri.user or not self._is_our_domain(uri.host):
            return b""
        return canonical_aor(uri)

    def _answer(self, request: Message, flow: Flow, aor: bytes) -> Message:
        now = self._now_utc()
        try:
            if asks_to_clear(request):
                outcome = self._bindings.clear(aor, request.call_id, request.cseq.number)
            else:
                wanted = read_contacts(request, flow, self._settings, now)
                outcome = self._bindings.update(aor, wanted) if wanted else Outcome.DONE
        except TooBrief:
            response = self._response(request, 423)
            response.append(MIN_EXPIRES, b"%d" % self._settings.min_expires)
            return response
        except ParseError as error:
            return self._response(request, error.status, describe(error))
        if outcome == Outcome.OUT_OF_ORDER:
            return self._response(request, 400, b"CSeq Out of Order")
        if outcome == Outcome.TOO_MANY:
            return self._response(request, 503, b"Too Many Bindings")
        return self._granted(request, aor, now)

    def _granted(self, request: Message, aor: bytes, now: float) -> Message:
        """Return the 200 with every binding there is now (10.3 step 8, RFC 3327 5.3)."""
        response = self._response(request, 200)
        response.remove(RECORD_ROUTE)
        for binding in self._bindings.lookup(aor):
            expires = b";expires=%d" % binding.seconds_left(now)
            response.append(CONTACT, b"<" + binding.contact + b">" + binding.params + expires)
        for path in request.fields(PATH):
            response.append(PATH, path)
        response.append(b"date", _date(now))
        return response

    def _response(self, request: Message, status: int, reason: bytes = b"") -> Message:
        return build_response(request, status, reason, self._random.token())


def _may_register(username: bytes, aor: bytes) -> bool:
    """Tell whether a proven user owns an address of record: ``alice`` or ``alice@example.com``."""
    return username == aor or username == aor[: aor.rfind(b"@")]


def _date(now_utc: float) -> bytes:
    """Return a SIP-date (20.17), in English whatever the locale."""
    at = datetime.fromtimestamp(now_utc, UTC)
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (
        _DAYS[at.weekday()],
        at.day,
        _MONTHS[at.month - 1],
        at.year,
        at.hour,
        at.minute,
        at.second,
    )
