"""The REGISTER requests of one account: what the next one says, what an answer means.

Call-ID and CSeq go on over all of them (RFC 3261 10.2.4). What the registrar taught is
kept: the nonce, which the next REGISTER carries an answer to before it is asked for
(RFC 7616 3.6), the shortest interval, and the target that answered.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from uacproxy.errors import FeatureError, OwnMistake, UnsupportedChallenge
from uacproxy.ports import Random, Target
from uacproxy.sip.fields import parse_delta, retry_after
from uacproxy.sip.grammar import LARGEST
from uacproxy.sip.message import Message
from uacproxy.sip.names import AUTHORIZATION, MIN_EXPIRES, PROXY_AUTHORIZATION
from uacproxy.uac.account import Account
from uacproxy.uac.account_credentials import credentials_of
from uacproxy.uac.auth import (
    Attempts,
    Authorized,
    CredentialRefused,
    authorize,
    authorize_ahead,
    build_authorization,
)
from uacproxy.uac.nonces import NonceBook
from uacproxy.uac.register_request import FIRST_CSEQ, RegisterRequest
from uacproxy.uac.register_response import read_granted, readable
from uacproxy.uac.registration_states import RegistrationInput
from uacproxy.uac.send import UNREACHED, SendOutcome

MOST_RAISES: Final = 2  # answers to 423 in one exchange
_PEER: Final = b""  # a book of nonces for each account knows one peer


class Judgement(NamedTuple):
    """What an outcome is to the machine of the account."""

    what: RegistrationInput
    why: str
    granted: int = 0  # s; with GRANTED only
    others: int = 0  # Contacts of somebody else in a 2xx


@final
class RegisterExchange:
    """One account's side of the conversation with its registrar.

    An exchange begins with ``open`` and has as many requests as it takes; how many is
    bounded for each reason there is to send another.
    """

    __slots__ = (
        "_account",
        "_ahead",
        "_answer",
        "_asked",
        "_attempts",
        "_call_id",
        "_credentials",
        "_cseq",
        "_from_tag",
        "_keep_call_id",
        "_min_expires",
        "_nonces",
        "_raises",
        "_random",
        "_sent",
        "request",
        "retry_after",
        "target",
    )

    def __init__(
        self, account: Account, request: RegisterRequest, random: Random, *, keep_call_id: bool
    ) -> None:
        self.request = request
        self.target: Target | None = None  # answered last
        self.retry_after = 0  # s, of the last answer
        self._account = account
        self._random = random
        self._keep_call_id = keep_call_id
        self._call_id = b""
        self._from_tag = b""
        self._cseq = 0
        self._min_expires = 0  # s, learnt from a 423
        self._credentials = credentials_of(account)
        self._nonces = NonceBook(1)
        self._attempts = Attempts()
        self._raises = 0
        self._sent: Message | None = None  # last, without Via
        self._asked = 0  # s
        self._answer: Authorized | None = None  # to the challenge just received
        self._ahead = False  # the last request carried credentials unasked

    def open(self) -> None:
        """Begin an exchange: what was tried before does not count."""
        self._attempts = Attempts()
        self._raises = 0
        self._answer = None
        if not self._keep_call_id:
            self._call_id = b""

    def next_request(self, *, removing: bool) -> Message:
        """Make the next REGISTER, without Via; ``removing`` takes the binding back."""
        if not self._call_id or self._cseq >= LARGEST:
            self._call_id = self._random.token()
            self._from_tag = self._random.token()
            self._cseq = FIRST_CSEQ
        else:
            self._cseq += 1
        self._asked = 0 if removing else max(self._account.expires, self._min_expires)
        request = self.request.build(self._call_id, self._from_tag, self._cseq, self._asked)
        answer = self._answer
        self._answer = None
        if answer is not None:
            given = self._with_earlier_answers(request, answer)
            self._ahead = False
        else:
            given = authorize_ahead(request, self._credentials, nonces=self._nonces, peer=_PEER)
            self._ahead = len(given) > 0
        for one in given:
            request.append(one.name, one.value)
        self._sent = request
        return request

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
            for known in self._nonces.known(credential.username, _PEER):
                challenge = known.challenge
                if known.name == answer.name and challenge.realm == answer.realm:
                    continue
                nc = self._nonces.next_nc(credential.username, _PEER, known.name, challenge)
                answers.append(
                    build_authorization(request, known.name, challenge, credential, nc=nc)
                )
        answers.append(answer)
        return answers

    # -- answers -----------------------------------------------------------------------------

    def forget_target(self) -> None:
        """Let the next request resolve anew."""
        self.target = None
        self.retry_after = 0

    def judge(self, outcome: SendOutcome, *, removing: bool) -> Judgement:
        """Say what came of the last request, and learn from it."""
        response = outcome.response
        if response is None:
            self.forget_target()
            return Judgement(RegistrationInput.FAILED, outcome.why)
        self.target = None if outcome.status == UNREACHED else outcome.target
        self.retry_after = retry_after(response) or 0
        why = readable(response.reason)
        status = outcome.status
        if status < 300:
            return self._succeeded(response, why, removing)
        if status == 401 or status == 407:
            return self._challenged(response, why)
        if status == 403:
            return Judgement(self._refused(), why)
        if status == 423 and not removing:
            return Judgement(self._too_brief(response), why)
        return Judgement(RegistrationInput.FAILED, why)

    def _succeeded(self, response: Message, why: str, removing: bool) -> Judgement:
        if removing:
            return Judgement(RegistrationInput.REMOVED, why)
        granted = read_granted(response, self.request, self._asked)
        if granted.expires <= 0:
            return Judgement(RegistrationInput.FAILED, granted.why, 0, granted.others)
        return Judgement(RegistrationInput.GRANTED, why, granted.expires, granted.others)

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
                peer=_PEER,
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
        """Take the longer interval at once (10.2.8); where none is named, double ours."""
        value = response.get(MIN_EXPIRES)
        longer = self._asked * 2 if value is None else parse_delta(value)
        self._raises += 1
        if longer is None or longer <= self._asked or self._raises > MOST_RAISES:
            return RegistrationInput.FAILED
        self._min_expires = longer
        return RegistrationInput.TOO_BRIEF
