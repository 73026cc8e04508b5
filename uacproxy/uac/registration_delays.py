"""How long an account waits: at first, for its refresh, after failures, for a silent registrar.

Delays are random within bounds, so that accounts that failed together do not come back
together.
"""

from __future__ import annotations

from typing import Final

from uacproxy.ports import Random

SHORTEST_REFRESH: Final = 2.0  # s, however short the grant
LONGEST_REFRESH: Final = 86400.0  # s, however long

SHORTEST_RETRY: Final = 2.0  # s
LONGEST_RETRY: Final = 300.0  # s; a reg_retry_interval above wins
LONGEST_RETRY_AFTER: Final = 3600.0  # s, of what a peer may ask for

FIRST_REJECTION: Final = 300.0  # s
LONGEST_REJECTION: Final = 6 * 3600.0  # s

LONGEST_EXCHANGE: Final = 300.0  # s for one REGISTER over all its targets; then it is given up

_SPREAD: Final = 0.1  # of a delay that is not otherwise random
_MOST_DOUBLINGS: Final = 16


def first_in(own: int, most: int, random: Random) -> float:
    """Return the delay before the first REGISTER of an account, s.

    Args:
        own: its reg_delay, s; 0: it has none.
        most: reg_random_delay, s.
        random: of the delay where it has none of its own.
    """
    return float(own) if own else random.uniform(0.0, float(most))


def retry_in(failures: int, interval: int, retry_after: int, random: Random) -> float:
    """Return the delay after a failure, s: exponential, with full jitter.

    Args:
        failures: in a row, this one included.
        interval: reg_retry_interval, s.
        retry_after: what the peer asked for, s, 0 for nothing; it is not undercut.
        random: of the jitter.
    """
    window = interval * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
    window = min(window, max(LONGEST_RETRY, float(interval)))
    delay = random.uniform(min(SHORTEST_RETRY, window), window)
    return max(delay, _as_asked(retry_after, random))


def rejected_in(refusals: int, retry_after: int, random: Random) -> float:
    """Return the delay after a refusal, s: slow, since somebody has to mend something."""
    delay = FIRST_REJECTION * 2.0 ** min(refusals - 1, _MOST_DOUBLINGS)
    delay = min(delay, LONGEST_REJECTION)
    return max(
        random.uniform(delay * (1 - _SPREAD), delay),
        _as_asked(retry_after, random),
    )


def _as_asked(retry_after: int, random: Random) -> float:
    asked = min(float(retry_after), LONGEST_RETRY_AFTER)
    return random.uniform(asked, asked * (1 + _SPREAD))
