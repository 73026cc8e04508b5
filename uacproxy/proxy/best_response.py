"""Which failure of several goes upstream (RFC 3261 16.7 steps 6 and 7)."""

from __future__ import annotations

from typing import Final

from uacproxy.proxy.branch import Branch
from uacproxy.sip.message import Message
from uacproxy.sip.names import PROXY_AUTHENTICATE, WWW_AUTHENTICATE

PREFERRED: Final = (401, 407, 415, 420, 484)
"""Of the 4xx these say what the caller could do about it (16.7 step 6)."""


def pick_best(failures: list[tuple[Branch, Message]]) -> tuple[Branch, Message]:
    """Choose the failure to send upstream: a 6xx, else one of the lowest class.

    Within 4xx those that tell the caller what to do come first, within 5xx a 503 comes
    last, for it is about one hop; else the first that came.
    """
    best = failures[0]
    for candidate in failures[1:]:
        if rank(candidate[1].status) < rank(best[1].status):
            best = candidate
    return best


def rank(status: int) -> int:
    """Return the place of a status: the lower, the sooner it is chosen."""
    if status >= 600:
        return 0
    rank = status // 100 * 10
    if status in PREFERRED:
        return rank - 1
    return rank + 1 if status == 503 else rank


def gather_challenges(best: Message, failures: list[tuple[Branch, Message]]) -> None:
    """Add the challenges of every other 401 and 407 to the one that goes up (step 7)."""
    for _, response in failures:
        if response is best or response.status not in (401, 407):
            continue
        for name in (WWW_AUTHENTICATE, PROXY_AUTHENTICATE):
            for value in response.fields(name):
                best.append(name, value)
