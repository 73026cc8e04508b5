"""One branch that was challenged: the answer by rule, and its number raised (RFC 3261 22.2).

Here nothing is started and nothing goes upstream.
"""

from __future__ import annotations

from uacproxy.dialog.cseq import LARGEST_CSEQ, shift_of
from uacproxy.proxy.branch import Branch
from uacproxy.proxy.credentials import dialog_of
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.challenge import answer_challenge
from uacproxy.routing.scope import Retry, Scope
from uacproxy.sip.message import Message


def answer_by_rule(wiring: Wiring, branch: Branch, response: Message) -> Retry | None:
    """Answer a challenge with the credentials that the branch's scope names.

    Returns:
        None where it names none, or the response is no challenge they answer.
    """
    source = branch.scope.auth_source
    if not source or branch.is_local or response.status not in (401, 407):
        return None
    features = wiring.features
    call_id, caller_tag = dialog_of(branch.scope)
    return answer_challenge(
        branch.failed_with(response),
        features.sources.of(source, call_id, caller_tag),
        features.nonces,
        features.log,
    )


def raised_shift(wiring: Wiring, scope: Scope, branch: Branch) -> int:
    """Return what the CSeq of a challenged branch is to be raised by (22.2).

    Inside a dialog the number is the next one in its direction, and is remembered. Where
    nothing would remember it, a later ACK could not be matched, so there it stays.

    Args:
        wiring: the core's.
        scope: of the request.
        branch: to be sent again.
    """
    number = scope.received.cseq.number
    if not wiring.features.track_cseq or number + branch.shift >= LARGEST_CSEQ:
        return branch.shift
    if not scope.in_dialog:
        return branch.shift + 1
    shifts = scope.shifts
    own = scope.own_route
    if shifts is None or own is None:
        return branch.shift
    by = wiring.tracker.cseq_raised(scope.dialog, shifts, scope.received, scope.toward_callee)
    scope.shift = by + (shift_of(own) if scope.toward_callee else 0)
    return scope.shift
