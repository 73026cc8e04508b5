"""From a challenged branch to what it is sent again with (RFC 3261 22.2, 22.3).

The core asks here where a rule or ``auth_as`` says whose credentials answer, a script's
``auth()`` where it decides itself. Nothing is sent from here.
"""

from __future__ import annotations

from uacproxy.errors import FeatureError, UnsupportedChallenge
from uacproxy.ports import Log
from uacproxy.routing.scope import Failure, Retry
from uacproxy.sip.grammar import text
from uacproxy.uac.auth import Attempts, CredentialRefused, authorize, use_again
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
        answer = authorize(
            failure.request,
            failure.response,
            candidates,
            attempts=attempts,
            nonces=nonces,
            peer=failure.peer,
            ahead=failure.ahead,
        )
    except (FeatureError, UnsupportedChallenge) as error:
        if isinstance(error, CredentialRefused):
            for credential in candidates:  # nothing is sent unasked until it fits again
                nonces.forget(credential.username, failure.peer)
        log.info(
            "challenge of {uri} not answered: {why}",
            uri=text(failure.request.request_uri),
            why=error.why,
        )
        return None
    answers = [
        use_again(one, failure.request, attempts, nonces, failure.peer)
        for one in [*failure.credentials, *failure.ahead]
        if one.name != answer.name or one.realm != answer.realm
    ]
    answers.append(answer)
    return Retry(answers, attempts)
