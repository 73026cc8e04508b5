"""Taking every binding back before the service stops, within a bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.ports import Clock, Timer
from uacproxy.uac.registration import Registration
from uacproxy.uac.registration_states import RegistrationState

PAUSE: Final = 0.05  # s between two handfuls of requests

_AT_REST: Final = (RegistrationState.IDLE, RegistrationState.DISABLED)


@final
class Release:
    """One un-REGISTER for each binding, sent over the first half of the bound.

    Args:
        registrations: all of the table; those without a binding rest at once.
        clock: for the pauses and the bound.
        bound: s.
        mistaken: hears of an exception out of our own code, in one account of many.
        then: called exactly once with how many bindings nobody has confirmed gone.
    """

    def __init__(
        self,
        registrations: list[Registration],
        clock: Clock,
        bound: float,
        mistaken: Callable[[Registration, Exception], None],
        then: Callable[[int], None],
    ) -> None:
        self._clock = clock
        self._mistaken = mistaken
        self._then: Callable[[int], None] | None = then
        self._registrations = registrations
        self._bound = bound
        self._timer: Timer | None = None
        self._to_send: list[Registration] = []
        self._unconfirmed: set[str] = set()  # by l_uuid
        self._handful = 1

    def start(self) -> None:
        """Begin; where there is nothing to take back, end as well."""
        for registration in self._registrations:
            if registration.in_flight or registration.is_bound:
                self._to_send.append(registration)
                self._unconfirmed.add(registration.account.l_uuid)
            else:
                self._release(registration)
        self._handful += int(len(self._to_send) / max(1.0, self._bound / 2 / PAUSE))
        if self._unconfirmed:
            self._timer = self._clock.callLater(self._bound, self._end)
            self._release_handful()
        else:
            self._end()

    def changed(self, registration: Registration) -> None:
        """Hear that a registration has another state."""
        if registration.state in _AT_REST and self._unconfirmed:
            self._unconfirmed.discard(registration.account.l_uuid)
            if not self._unconfirmed:
                self._end()

    def _release_handful(self) -> None:
        if self._then is None:
            return
        for _ in range(min(self._handful, len(self._to_send))):
            self._release(self._to_send.pop())
        if self._to_send:
            self._clock.callLater(PAUSE, self._release_handful)

    def _release(self, registration: Registration) -> None:
        try:
            registration.release()
        except Exception as error:  # noqa: BLE001  (the others want to be released too)
            self._mistaken(registration, error)

    def _end(self) -> None:
        then = self._then
        if then is None:
            return
        self._then = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        then(len(self._unconfirmed))
