"""The answers that one request carries, and what a challenge makes of them (RFC 3261 22.2, 22.3).

Each challenge is answered beside those before it, whose nonces are used once more. A next
hop that has challenged such a request of the user before gets its answer with the first
attempt; any other would hand it on to the far end (docs/decisions/0010).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from uacproxy.errors import FeatureError, ParseError, UnsupportedChallenge
from uacproxy.sip.grammar import LARGEST
from uacproxy.sip.message import Message
from uacproxy.uac.auth import (
    Attempts,
    Authorized,
    CredentialRefused,
    ahead_taken,
    authorize,
    authorize_ahead,
    use_again,
)
from uacproxy.uac.credentials import CredentialList
from uacproxy.uac.nonces import NonceBook


def answer_beside(
    request: Message,
    response: Message,
    candidates: CredentialList,
    *,
    given: Sequence[Authorized],
    ahead: Sequence[Authorized],
    attempts: Attempts,
    nonces: NonceBook,
    peer: bytes,
) -> list[Authorized]:
    """Answer the best challenge of a 401 or 407, and anew what was answered before.

    Args:
        request: as sent.
        response: the challenge.
        candidates: of which one answers.
        given: what ``request`` carries in answer to challenges.
        ahead: what it carries that nobody had asked for.
        attempts: of this request.
        nonces: count every use.
        peer: whom ``nonces`` knows it by; nothing is sent there unasked any more once it
            has refused the credential.

    Raises:
        FeatureError: no credential fits, or it was refused.
        UnsupportedChallenge: what fits cannot be computed.
        ParseError: the challenge cannot be read.
    """
    try:
        answer = authorize(
            request,
            response,
            candidates,
            attempts=attempts,
            nonces=nonces,
            peer=peer,
            ahead=ahead,
        )
    except CredentialRefused:
        for credential in candidates:
            nonces.forget(credential.username, peer)
        raise
    answers = [
        use_again(one, request, attempts, nonces, peer)
        for one in (*given, *ahead)
        if one.name != answer.name or one.realm != answer.realm
    ]
    answers.append(answer)
    return answers


@final
class RequestAnswers:
    """The answers of one request of ours; it is written anew for each attempt.

    Args:
        credentials: to answer with; None or none: a challenge is a failure like any other.
        nonces: of all peers.
        peer: whom ``nonces`` knows the next hop by.
        given: answers to challenges of a request before this one.
        attempts: that those were counted in.
    """

    __slots__ = ("_credentials", "_is_ahead", "_nonces", "attempts", "given", "peer")

    def __init__(
        self,
        credentials: CredentialList | None,
        nonces: NonceBook,
        peer: bytes,
        given: list[Authorized] | None = None,
        attempts: Attempts | None = None,
    ) -> None:
        self._credentials = credentials
        self._nonces = nonces
        self._is_ahead = False  # what is given was sent before anybody asked
        self.peer = peer
        self.given: list[Authorized] = given or []
        self.attempts = attempts  # None: there is nothing to answer with

    def look_ahead(self, request: Message) -> None:
        """Answer what the peer is known to ask of such a request, before it does."""
        credentials = self._credentials
        if self.given or credentials is None or not len(credentials):
            return
        if self.attempts is None:
            self.attempts = Attempts()
        self.given = authorize_ahead(
            request,
            credentials,
            nonces=self._nonces,
            peer=self.peer,
            attempts=self.attempts,
            only_asked=True,
        )
        self._is_ahead = bool(self.given)

    def accepted(self) -> None:
        """Hear a 2xx to the request."""
        if self._is_ahead:
            ahead_taken(self.given, self._nonces, self.peer)

    def answer(self, request: Message, response: Message) -> bool:
        """Answer a 401 or 407; False where that cannot be, or makes no sense.

        Args:
            request: as sent.
            response: the final response to it, of any status.
        """
        credentials = self._credentials
        if response.status not in (401, 407) or credentials is None or not len(credentials):
            return False
        if request.cseq.number >= LARGEST:
            return False
        if self.attempts is None:
            self.attempts = Attempts()
        try:
            self.given = answer_beside(
                request,
                response,
                credentials,
                given=[] if self._is_ahead else self.given,
                ahead=self.given if self._is_ahead else [],
                attempts=self.attempts,
                nonces=self._nonces,
                peer=self.peer,
            )
        except (FeatureError, UnsupportedChallenge, ParseError):
            return False
        self._is_ahead = False
        return True

    def write(self, request: Message) -> None:
        """Put the answers behind the fields of a request that carries none of them yet."""
        for one in self.given:
            request.append(one.name, one.value)
