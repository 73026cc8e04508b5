"""The arrows of the registration machine: from where, by what, to where, and what is done then.

``registration`` follows them; each arrow has at most one thing to do.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from uacproxy.uac.registration_states import RegistrationInput, RegistrationState


class Do(IntEnum):
    """What is done on arrival."""

    NOTHING = 0
    BEGIN = 1  # a new exchange, with its first REGISTER
    SEND = 2  # the next REGISTER of the exchange
    UNBIND = 3  # forget the binding


_State = RegistrationState
_Input = RegistrationInput
_Do = Do

GOES_ON: Final = (_Input.CHALLENGE, _Input.DOUBT, _Input.COMPLY)
"""Inputs after which the exchange has one more request."""

WHY: Final[dict[RegistrationInput, str]] = {
    _Input.START: "to be registered",
    _Input.DUE: "due",
    _Input.REGISTER: "asked to register",
    _Input.UNREGISTER: "to be unregistered",
    _Input.DISABLE: "disabled by an operator",
    _Input.REST: "not to be registered",
    _Input.RESUME: "registered before the restart",
    _Input.HAND_OVER: "another instance registers it",
}

TABLE: Final[dict[tuple[RegistrationState, RegistrationInput], tuple[RegistrationState, Do]]] = {
    (_State.IDLE, _Input.START): (_State.DELAYED, _Do.NOTHING),
    (_State.IDLE, _Input.REGISTER): (_State.REGISTERING, _Do.BEGIN),
    (_State.IDLE, _Input.UNREGISTER): (_State.UNREGISTERING, _Do.BEGIN),
    (_State.IDLE, _Input.DISABLE): (_State.DISABLED, _Do.NOTHING),
    (_State.IDLE, _Input.RESUME): (_State.REGISTERED, _Do.NOTHING),
    (_State.DISABLED, _Input.START): (_State.DELAYED, _Do.NOTHING),
    (_State.DISABLED, _Input.REGISTER): (_State.REGISTERING, _Do.BEGIN),
    (_State.DISABLED, _Input.UNREGISTER): (_State.UNREGISTERING, _Do.BEGIN),
    (_State.DISABLED, _Input.REST): (_State.IDLE, _Do.NOTHING),
    (_State.DELAYED, _Input.DUE): (_State.REGISTERING, _Do.BEGIN),
    (_State.DELAYED, _Input.REGISTER): (_State.REGISTERING, _Do.BEGIN),
    (_State.DELAYED, _Input.UNREGISTER): (_State.UNREGISTERING, _Do.BEGIN),
    (_State.DELAYED, _Input.DISABLE): (_State.DISABLED, _Do.NOTHING),
    (_State.DELAYED, _Input.REST): (_State.IDLE, _Do.NOTHING),
    (_State.REGISTERING, _Input.GRANTED): (_State.REGISTERED, _Do.NOTHING),
    (_State.REGISTERING, _Input.CHALLENGE): (_State.CHALLENGED, _Do.SEND),
    (_State.REGISTERING, _Input.DOUBT): (_State.REGISTERING, _Do.SEND),
    (_State.REGISTERING, _Input.COMPLY): (_State.REGISTERING, _Do.SEND),
    (_State.REGISTERING, _Input.FAILED): (_State.BACKING_OFF, _Do.NOTHING),
    (_State.REGISTERING, _Input.REFUSED): (_State.REJECTED, _Do.NOTHING),
    (_State.REGISTERING, _Input.GIVE_UP): (_State.DISABLED, _Do.NOTHING),
    (_State.CHALLENGED, _Input.GRANTED): (_State.REGISTERED, _Do.NOTHING),
    (_State.CHALLENGED, _Input.CHALLENGE): (_State.CHALLENGED, _Do.SEND),
    (_State.CHALLENGED, _Input.DOUBT): (_State.CHALLENGED, _Do.SEND),
    (_State.CHALLENGED, _Input.COMPLY): (_State.CHALLENGED, _Do.SEND),
    (_State.CHALLENGED, _Input.FAILED): (_State.BACKING_OFF, _Do.NOTHING),
    (_State.CHALLENGED, _Input.REFUSED): (_State.REJECTED, _Do.NOTHING),
    (_State.CHALLENGED, _Input.GIVE_UP): (_State.DISABLED, _Do.NOTHING),
    (_State.REGISTERED, _Input.DUE): (_State.REFRESHING, _Do.BEGIN),
    (_State.REGISTERED, _Input.REGISTER): (_State.REFRESHING, _Do.BEGIN),
    (_State.REGISTERED, _Input.UNREGISTER): (_State.UNREGISTERING, _Do.BEGIN),
    (_State.REGISTERED, _Input.DISABLE): (_State.DISABLED, _Do.NOTHING),
    (_State.REGISTERED, _Input.REST): (_State.IDLE, _Do.NOTHING),
    (_State.REFRESHING, _Input.GRANTED): (_State.REGISTERED, _Do.NOTHING),
    (_State.REFRESHING, _Input.CHALLENGE): (_State.CHALLENGED, _Do.SEND),
    (_State.REFRESHING, _Input.DOUBT): (_State.REFRESHING, _Do.SEND),
    (_State.REFRESHING, _Input.COMPLY): (_State.REFRESHING, _Do.SEND),
    (_State.REFRESHING, _Input.FAILED): (_State.BACKING_OFF, _Do.NOTHING),
    (_State.REFRESHING, _Input.REFUSED): (_State.REJECTED, _Do.NOTHING),
    (_State.REFRESHING, _Input.GIVE_UP): (_State.DISABLED, _Do.NOTHING),
    (_State.BACKING_OFF, _Input.DUE): (_State.REGISTERING, _Do.BEGIN),
    (_State.BACKING_OFF, _Input.REGISTER): (_State.REGISTERING, _Do.BEGIN),
    (_State.BACKING_OFF, _Input.UNREGISTER): (_State.UNREGISTERING, _Do.BEGIN),
    (_State.BACKING_OFF, _Input.DISABLE): (_State.DISABLED, _Do.NOTHING),
    (_State.BACKING_OFF, _Input.REST): (_State.IDLE, _Do.NOTHING),
    (_State.REJECTED, _Input.DUE): (_State.REGISTERING, _Do.BEGIN),
    (_State.REJECTED, _Input.REGISTER): (_State.REGISTERING, _Do.BEGIN),
    (_State.REJECTED, _Input.UNREGISTER): (_State.UNREGISTERING, _Do.BEGIN),
    (_State.REJECTED, _Input.DISABLE): (_State.DISABLED, _Do.NOTHING),
    (_State.REJECTED, _Input.REST): (_State.IDLE, _Do.NOTHING),
    (_State.IDLE, _Input.HAND_OVER): (_State.ELSEWHERE, _Do.NOTHING),
    (_State.DISABLED, _Input.HAND_OVER): (_State.ELSEWHERE, _Do.NOTHING),
    (_State.DELAYED, _Input.HAND_OVER): (_State.ELSEWHERE, _Do.NOTHING),
    (_State.REGISTERING, _Input.HAND_OVER): (_State.ELSEWHERE, _Do.NOTHING),
    (_State.CHALLENGED, _Input.HAND_OVER): (_State.ELSEWHERE, _Do.NOTHING),
    (_State.REGISTERED, _Input.HAND_OVER): (_State.ELSEWHERE, _Do.NOTHING),
    (_State.REFRESHING, _Input.HAND_OVER): (_State.ELSEWHERE, _Do.NOTHING),
    (_State.BACKING_OFF, _Input.HAND_OVER): (_State.ELSEWHERE, _Do.NOTHING),
    (_State.REJECTED, _Input.HAND_OVER): (_State.ELSEWHERE, _Do.NOTHING),
    (_State.UNREGISTERING, _Input.HAND_OVER): (_State.ELSEWHERE, _Do.NOTHING),
    (_State.ELSEWHERE, _Input.START): (_State.DELAYED, _Do.NOTHING),
    (_State.ELSEWHERE, _Input.RESUME): (_State.REGISTERED, _Do.NOTHING),
    (_State.ELSEWHERE, _Input.REST): (_State.IDLE, _Do.NOTHING),
    (_State.ELSEWHERE, _Input.DISABLE): (_State.DISABLED, _Do.NOTHING),
    (_State.UNREGISTERING, _Input.REMOVED): (_State.IDLE, _Do.UNBIND),
    (_State.UNREGISTERING, _Input.CHALLENGE): (_State.UNREGISTERING, _Do.SEND),
    (_State.UNREGISTERING, _Input.DOUBT): (_State.UNREGISTERING, _Do.SEND),
    (_State.UNREGISTERING, _Input.COMPLY): (_State.UNREGISTERING, _Do.SEND),
    (_State.UNREGISTERING, _Input.FAILED): (_State.IDLE, _Do.UNBIND),
    (_State.UNREGISTERING, _Input.REFUSED): (_State.IDLE, _Do.UNBIND),
    (_State.UNREGISTERING, _Input.GIVE_UP): (_State.IDLE, _Do.UNBIND),
}
