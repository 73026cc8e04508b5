"""Words of the registration machine: its states and what can happen to it."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class RegistrationState(IntEnum):
    """Where an account stands; all but the first two have a deadline."""

    IDLE = 0  # nothing is wanted: expires is 0, or it was unregistered
    DISABLED = 1  # by an operator, or because it cannot be registered at all
    DELAYED = 2  # before the first REGISTER
    REGISTERING = 3
    CHALLENGED = 4  # credentials are on their way
    REGISTERED = 5
    REFRESHING = 6
    BACKING_OFF = 7  # after a failure that may pass
    REJECTED = 8  # after one that somebody has to mend
    UNREGISTERING = 9
    ELSEWHERE = 10  # another of several instances registers it

    @property
    def word(self) -> str:
        """Return the state as people read it."""
        return _WORDS[self]


_WORDS: Final = [state.name.lower().replace("_", " ") for state in RegistrationState]


class RegistrationInput(IntEnum):
    """What can happen to an account."""

    START = 0
    DUE = 1  # the deadline of a state without a REGISTER under way has come
    REGISTER = 2  # at once
    UNREGISTER = 3
    DISABLE = 4
    REST = 5  # nothing is wanted any more, and nothing is there to be taken back
    CHALLENGE = 6  # a 401 or 407 that we can answer
    DOUBT = 7  # credentials nobody had asked for were refused: once more without
    COMPLY = 8  # a 423, 439 or redirection that we can comply with
    GRANTED = 9  # a 2xx that lists our Contact
    REMOVED = 10  # a 2xx to the REGISTER that takes the binding back
    FAILED = 11
    REFUSED = 12  # the peer does not want us with these credentials
    GIVE_UP = 13  # failed or refused, and reg_retry_interval is 0
    RESUME = 14  # a binding made before a restart is still there
    HAND_OVER = 15  # to another instance


class Wish(IntEnum):
    """What an operator asked for while an exchange was under way."""

    NOTHING = 0
    REGISTER = 1
    REST = 2
    DISABLE = 3


IN_FLIGHT: Final = (
    RegistrationState.REGISTERING,
    RegistrationState.CHALLENGED,
    RegistrationState.REFRESHING,
    RegistrationState.UNREGISTERING,
)

ONLINE: Final = (
    RegistrationState.DELAYED,  # with a binding: of an account that has changed
    RegistrationState.REGISTERED,
    RegistrationState.REFRESHING,
    RegistrationState.REGISTERING,
    RegistrationState.CHALLENGED,
    RegistrationState.BACKING_OFF,
    RegistrationState.ELSEWHERE,
)
"""Where a binding, as long as it lives, brings calls."""

# The bits of ``flags`` in the table and in dumps, as the uac module has them.
FLAG_DISABLED: Final = 1
FLAG_ONGOING: Final = 2
FLAG_ONLINE: Final = 4
FLAG_AUTH_SENT: Final = 8
FLAG_INITIALISED: Final = 16
