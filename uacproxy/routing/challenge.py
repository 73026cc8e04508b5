"""From a challenged branch to what it is sent again with (RFC 3261 22.2, 22.3).

The core asks here where a rule or ``auth_as`` says whose credentials answer, a script's
``auth()`` where it decides itself. Nothing is sent from here.
"""

from __future__ import annotations

from uacproxy.errors import FeatureError, UnsupportedChallenge
from uacproxy.ports import Log
from uacproxy.routing.scope import Failure, Retry
from uacproxy.sip.grammar import text
from uacproxy.uac.answers import answer_beside
from uacproxy.uac.auth import Attempts
from uacproxy.uac.credentials import CredentialList
from uacproxy.uac.nonces import NonceBook


def answer_challenge(
    failure: Failure, candidates: CredentialList, nonces: NonceBook, log: Log
) -> Retry | None:
    """Answer the challenge of a failed branch, and anew what it has answered before.

    Returns:
        None where the challenge is not to be answered, with the reason in the log: then
        the response goes on as it came.
    """
    attempts = failure.attempts
    if attempts is None:
        attempts = Attempts()
    try:
        answers = answer_beside(
            failure.request,
            failure.response,
            candidates,
            given=failure.credentials,
            ahead=failure.ahead,
            attempts=attempts,
            nonces=nonces,
            peer=failure.peer,
        )
    except (FeatureError, UnsupportedChallenge) as error:
        log.info(
            "challenge of {uri} not answered: {why}",
            uri=text(failure.request.request_uri),
            why=error.why,
        )
        return None
    return Retry(answers, attempts)
