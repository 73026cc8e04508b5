"""Words of a bridged call's life; the table of what follows what is in ``bridge.call``."""

from __future__ import annotations

from enum import IntEnum


class CallState(IntEnum):
    """Where a call stands."""

    CALLING = 0  # the caller waits for a final response
    ANSWERED = 1  # it got a 2xx and has not acknowledged it
    HANGING = 2  # the same, and the callee is gone: the BYE has to wait for the ACK (15)
    CONFIRMED = 3
    OVER = 4


class CallInput(IntEnum):
    """What can happen to a call."""

    ACCEPTED = 0  # a callee's 2xx
    REFUSED = 1  # nobody accepts
    CANCELLED = 2  # by the caller
    ACKED = 3
    UNACKED = 4
    INNER_BYE = 5
    OUTER_BYE = 6
    INNER_LOST = 7
    OUTER_LOST = 8
    EXPIRED = 9  # it has lasted too long
