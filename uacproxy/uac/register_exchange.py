"""One exchange of an account with its registrar: as many REGISTER requests as it takes.

What the next request says, and what an answer means. What is to be known in the next
exchange too is kept in the ``RegisterSeries`` of the account.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from uacproxy.errors import FeatureError, OwnMistake, ParseError, UnsupportedChallenge
from uacproxy.ports import Random, Target
from uacproxy.settings import SIP_PORT, is_ip_address
from uacproxy.sip.fields import parse_delta, retry_after
from uacproxy.sip.grammar import LARGEST, octets_of, text
from uacproxy.sip.message import Message
from uacproxy.sip.names import AUTHORIZATION, MIN_EXPIRES, PROXY_AUTHORIZATION
from uacproxy.sip.uri import Uri, is_host_port
from uacproxy.uac.account import Account
from uacproxy.uac.account_credentials import credentials_of
from uacproxy.uac.auth import (
    Attempts,
    Authorized,
    CredentialRefused,
    authorize,
    authorize_ahead,
    build_authorization,
    learn_next_nonce,
)
from uacproxy.uac.nonces import NonceBook
from uacproxy.uac.register_request import FIRST_CSEQ, RegisterRequest
from uacproxy.uac.register_response import (
    read_granted,
    read_redirection,
    read_service_route,
    readable,
)
from uacproxy.uac.register_series import PEER, RegisterSeries
from uacproxy.uac.registration_states import RegistrationInput
from uacproxy.uac.send import UNREACHED, SendOutcome
from uacproxy.uac.usual_register import UsualRegister, usual_register

MOST_RAISES: Final = 2  # answers to 423 in one exchange
LACKS_OUTBOUND: Final = 439  # RFC 5626 11.6
LONGEST_SHARED: Final = 86400  # s; and the longest we come to by doubling
MOST_REGISTRARS: Final = 1000


class Judgement(NamedTuple):
    """What an outcome is to the machine of the account."""

    what: RegistrationInput
    why: str
    granted: int = 0  # s; with GRANTED only
    others: int = 0  # Contacts of somebody else in a 2xx
    moved: bool = False  # with GRANTED: our Contact is to be another one from now on


class RegisterPolicy(NamedTuple):
    """What an operator has decided, for all accounts or for one."""

    keep_call_id: bool = True
    follow_redirect: bool = False  # one 3xx an exchange
    learn_address: bool = False  # from received and rport
    service_route: bool = False  # kept for the account's calls


@final
class ShortestIntervals:
    """The shortest interval each registrar takes, as it said in a 423 to any account."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}

    def of(self, registrar: str) -> int:
        """Return s; 0 where nothing has been said."""
        return self._of.get(registrar, 0)

    def learn(self, registrar: str, seconds: int) -> None:
        """Note what one was told; what is no interval for others too is kept by that one alone."""
        if seconds <= LONGEST_SHARED:
            if len(self._of) >= MOST_REGISTRARS:
                self._of.clear()
            self._of[registrar] = seconds


def longest_of(
    account: Account, series: RegisterSeries, intervals: ShortestIntervals | None
) -> int:
    """Return what an account asks for, s: at least what its registrar has said it takes.

    Args:
        account: whose.
        series: what it was told itself.
        intervals: what any account was told there; None: another registrar is asked.
    """
    shortest = 0 if intervals is None else intervals.of(account.registrar)
    return max(account.expires, series.min_expires, shortest)


@final
class RegisterExchange:
    """One account's side of the conversation; how many requests it has is bounded.

    Each reason there is to send one more has its own bound: answers to challenges by
    ``Attempts``, a longer interval by ``MOST_RAISES``, a redirection, a 439 and a doubt by
    one each.
    """

    __slots__ = (
        "_account",
        "_ahead",
        "_answer",
        "_asked",
        "_attempts",
        "_credentials",
        "_given",
        "_grant",
        "_intervals",
        "_nonces",
        "_policy",
        "_raises",
        "_random",
        "_redirect",
        "_sent",
        "_series",
        "request",
        "retry_after",
    )

    def __init__(
        self,
        account: Account,
        request: RegisterRequest,
        series: RegisterSeries,
        random: Random,
        policy: RegisterPolicy,
        intervals: ShortestIntervals,
    ) -> None:
        """Begin: what was tried in an earlier exchange does not count."""
        self.request = request
        self.retry_after = 0  # s, of the last answer
        self._account = account
        self._series = series
        self._random = random
        self._policy = policy
        self._intervals = intervals
        self._credentials = credentials_of(account)
        self._nonces = series.nonce_book(self._username)
        self._attempts = Attempts()
        self._raises = 0
        self._redirect: Uri | None = None
        self._sent: Message | None = None  # last, without Via
        self._given: list[Authorized] = []  # what it answers
        self._asked = 0  # s
        self._answer: Authorized | None = None  # to the challenge just received
        self._ahead = False  # the last request carried credentials unasked
        self._grant: Message | None = None  # the answer that ends it well
        series.usual = None  # until it has
        if not policy.keep_call_id:
            series.call_id = b""

    def close(self) -> None:
        """End: what serves the next exchange is kept in the series."""
        series = self._series
        series.keep_nonces(self._username, self._nonces)
        grant = self._grant
        if grant is not None:
            series.usual = self._usual(grant)

    def _usual(self, grant: Message) -> UsualRegister | None:
        """Return what the next exchange may have in common with this one, None for nothing."""
        policy = self._policy
        sent = self._sent
        target = self._series.target
        if policy.learn_address or policy.service_route or not policy.keep_call_id:
            return None
        if self._redirect is not None or sent is None or target is None:
            return None
        for credential in self._credentials:
            known = self._nonces.known(credential.username, PEER)
            if len(self._given) != 1 or len(known) != 1:
                return None
            given = self._given[0]
            if known[0].nc != given.nc or known[0].challenge.nonce != given.nonce:
                return None
            usual = usual_register(
                sent, given, known[0].challenge, credential, self._asked, self.request.socket
            )
            if usual is not None and usual.heard(grant, self.request):
                return usual
        return None

    @property
    def _username(self) -> bytes:
        return octets_of(self._account.auth_username)

    @property
    def _registrar(self) -> str:
        return self._account.registrar

    # -- requests ----------------------------------------------------------------------------

    @property
    def next_hop(self) -> Uri:
        """Return where the next request goes, once the target has failed."""
        redirect = self._redirect
        return self.request.next_hop if redirect is None else redirect

    @property
    def target(self) -> Target | None:
        """Return the target to ask first."""
        return self._series.target if self._redirect is None else None

    def next_request(self, *, removing: bool) -> Message:
        """Make the next REGISTER, without Via; ``removing`` takes the binding back."""
        series = self._series
        if not series.call_id or series.cseq >= LARGEST:
            series.call_id = self._random.token()
            series.from_tag = self._random.token()
            series.cseq = FIRST_CSEQ
        else:
            series.cseq += 1
        redirect = self._redirect
        intervals = self._intervals if redirect is None else None
        self._asked = 0 if removing else longest_of(self._account, series, intervals)
        request = self.request.build(
            series.call_id,
            series.from_tag,
            series.cseq,
            self._asked,
            request_uri=b"" if redirect is None else redirect.raw,
            old_contact=series.old_contact,
            plain=series.is_plain,
        )
        answer = self._answer
        self._answer = None
        if answer is not None:
            given = self._with_earlier_answers(request, answer)
            self._ahead = False
        else:
            given = authorize_ahead(
                request,
                self._credentials,
                nonces=self._nonces,
                peer=PEER,
                cnonce=self._random.token(),
            )
            self._ahead = len(given) > 0
        for one in given:
            request.append(one.name, one.value)
        self._given = given
        self._sent = request
        return request

    def sent_already(self, request: Message, usual: UsualRegister) -> None:
        """Hear of a first request that was written without this; it carries credentials."""
        self._sent = request
        self._asked = usual.asked
        self._ahead = True
        for credential in self._credentials:
            for known in self._nonces.known(credential.username, PEER):
                value = request.get(known.name) or b""
                challenge = known.challenge
                self._given.append(
                    Authorized(
                        known.name,
                        value,
                        credential.username,
                        challenge.realm,
                        challenge.nonce,
                        known.nc,
                    )
                )

    @property
    def carries_credentials(self) -> bool:
        """Tell whether the last REGISTER did."""
        sent = self._sent
        if sent is None:
            return False
        return sent.has(AUTHORIZATION) or sent.has(PROXY_AUTHORIZATION)

    def _with_earlier_answers(self, request: Message, answer: Authorized) -> list[Authorized]:
        """Return the answer, and one anew to each other challenge known (RFC 3261 22.3)."""
        answers: list[Authorized] = []
        for credential in self._credentials:
            for known in self._nonces.known(credential.username, PEER):
                challenge = known.challenge
                if known.name == answer.name and challenge.realm == answer.realm:
                    continue
                nc = self._nonces.next_nc(credential.username, PEER, known.name, challenge)
                answers.append(
                    build_authorization(request, known.name, challenge, credential, nc=nc)
                )
        answers.append(answer)
        return answers

    # -- answers -----------------------------------------------------------------------------

    def judge(self, outcome: SendOutcome, *, removing: bool, now: float) -> Judgement:
        """Say what came of the last request, and learn from it; ``now`` is the clock's."""
        response = outcome.response
        series = self._series
        if response is None:
            series.target = None
            self.retry_after = 0
            return Judgement(RegistrationInput.FAILED, outcome.why)
        if self._redirect is None:
            series.target = None if outcome.status == UNREACHED else outcome.target
        self.retry_after = retry_after(response) or 0
        why = readable(response.reason)
        status = outcome.status
        if status < 300:
            learn_next_nonce(response, self._given, self._nonces, PEER)
            return self._succeeded(response, why, removing, now)
        if status < 400:
            return self._redirected(response, why)
        if status == 401 or status == 407:
            return self._challenged(response, why)
        if status == 403:
            return Judgement(self._refused(), why)
        if status == 423 and not removing:
            return Judgement(self._too_brief(response), why)
        if status == LACKS_OUTBOUND and self.request.is_outbound and not series.is_plain:
            series.is_plain = True
            return Judgement(RegistrationInput.COMPLY, why)
        return Judgement(RegistrationInput.FAILED, why)

    def _succeeded(self, response: Message, why: str, removing: bool, now: float) -> Judgement:
        series = self._series
        series.old_contact = b""
        if removing:
            series.service_route = ()
            return Judgement(RegistrationInput.REMOVED, why)
        granted = read_granted(response, self.request, self._asked)
        if granted.expires <= 0:
            return Judgement(RegistrationInput.FAILED, granted.why, 0, granted.others)
        if self._policy.service_route:
            series.service_route = read_service_route(response)
        moved = self._policy.learn_address and self._has_moved(response, now)
        self._grant = response
        return Judgement(RegistrationInput.GRANTED, why, granted.expires, granted.others, moved)

    def _has_moved(self, response: Message, now: float) -> bool:
        """Learn where the registrar saw us (RFC 3261 18.2.1, RFC 3581 4).

        The port is that of a datagram's source; that of a connection is nobody's to call.
        """
        try:
            via = response.via
        except ParseError:
            return False
        if not via.received and not via.rport:
            return False
        contact = self.request.contact
        host = via.received or via.host
        if via.received and not is_ip_address(text(via.received).strip("[]")):
            return False
        if b":" in host and host[:1] != b"[":
            host = b"[" + host + b"]"
        port = via.rport if via.rport and via.transport == b"UDP" else contact.port
        if host.lower() == contact.host and (port or SIP_PORT) == (contact.port or SIP_PORT):
            return False
        public = host if port is None else b"%b:%d" % (host, port)
        if not is_host_port(public):
            return False
        if not self._series.move(public, now):
            return False
        self._series.old_contact = contact.raw
        return True

    def _redirected(self, response: Message, why: str) -> Judgement:
        """Follow one redirection (8.1.3.4), where an operator allows it."""
        if not self._policy.follow_redirect:
            return Judgement(RegistrationInput.FAILED, f"{why}: a redirection is not followed")
        if self._redirect is not None:
            return Judgement(RegistrationInput.FAILED, f"{why}: a second redirection")
        redirect = read_redirection(response)
        if redirect is None:
            return Judgement(RegistrationInput.FAILED, f"{why}: to no SIP URI")
        self._redirect = redirect
        self._attempts = Attempts()
        return Judgement(RegistrationInput.COMPLY, why)

    def _challenged(self, response: Message, why: str) -> Judgement:
        sent = self._sent
        if sent is None:
            raise OwnMistake("a response without a REGISTER")
        try:
            self._answer = authorize(
                sent,
                response,
                self._credentials,
                attempts=self._attempts,
                nonces=self._nonces,
                peer=PEER,
            )
        except CredentialRefused as refusal:
            return Judgement(self._refused(), f"{why}: {refusal.why}")
        except (FeatureError, UnsupportedChallenge) as error:
            self._nonces = NonceBook(1)
            return Judgement(RegistrationInput.REFUSED, f"{why}: {error.why}")
        return Judgement(RegistrationInput.CHALLENGE, why)

    def _refused(self) -> RegistrationInput:
        """Doubt a refusal of credentials sent ahead: it may be the nonce that is refused.

        A registrar ought to challenge then; some say 403, or repeat the nonce.
        """
        self._nonces = NonceBook(1)
        return RegistrationInput.DOUBT if self._ahead else RegistrationInput.REFUSED

    def _too_brief(self, response: Message) -> RegistrationInput:
        """Take the longer interval at once (10.2.8); where none is named, double ours, to a day."""
        value = response.get(MIN_EXPIRES)
        longer = min(self._asked * 2, LONGEST_SHARED) if value is None else parse_delta(value)
        self._raises += 1
        if longer is None or longer <= self._asked or self._raises > MOST_RAISES:
            return RegistrationInput.FAILED
        self._series.min_expires = longer
        if self._redirect is None and value is not None:
            self._intervals.learn(self._registrar, longer)
        return RegistrationInput.COMPLY
