"""Words shared by the four transaction machines of RFC 3261 17 and RFC 6026."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class State(IntEnum):
    """States of figures 5 to 8, and Accepted of RFC 6026."""

    CALLING = 0
    TRYING = 1
    PROCEEDING = 2
    ACCEPTED = 3
    COMPLETED = 4
    CONFIRMED = 5
    TERMINATED = 6


class Input(IntEnum):
    """What can happen to a transaction.

    A client's responses come from the network, a server's from its transaction user.
    Timers keep the letters of table 4; C is the proxy's (16.6). The two without a letter
    follow the client's timers from where a server stands (RFC 4320).
    """

    PROVISIONAL = 0
    SUCCESS = 1
    FAILURE = 2
    REQUEST = 3  # the same request once more
    ACK = 4
    TRANSPORT_ERROR = 5
    TIMER_A = 6
    TIMER_B = 7
    TIMER_D = 8
    TIMER_E = 9
    TIMER_F = 10
    TIMER_G = 11
    TIMER_H = 12
    TIMER_I = 13
    TIMER_J = 14
    TIMER_K = 15
    TIMER_L = 16
    TIMER_M = 17
    TIMER_E_AT_T2 = 18  # the client's timer E has reached T2: a 100 may and must be sent
    TIMER_F_OVER = 19  # the client has given up


class Notice(IntEnum):
    """What a transaction user is told; a response comes along with RESPONSE only."""

    RESPONSE = 0
    TIMEOUT = 1
    TRANSPORT_ERROR = 2


RESPONSE_CLASS: Final[list[Input]] = [
    Input.PROVISIONAL,  # never met: a status is 100 or more
    Input.PROVISIONAL,
    Input.SUCCESS,
    Input.FAILURE,
    Input.FAILURE,
    Input.FAILURE,
    Input.FAILURE,
]
"""The input that a response is, by the first digit of its status."""
