"""Targets that were silent of late: asked last, so that not everybody waits for a dead one.

A request that timed out marks its target for ``PASSED_OVER`` s, for all who send there,
unless the target has answered anybody since that request left: then it is not dead, it
ignores one client. Once the time is over one request tries it, and the others go on
passing it over until that one has an answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, final

from uacproxy.ports import Target

PASSED_OVER: Final = 30.0  # s
TRIED_FOR: Final = 35.0  # s; a request without an answer ends after 32
MOST_TARGETS: Final = 4096  # remembered; those longest without news give way

_Address = tuple[bytes, str, int]


@final
class SilentTargets:
    """What is known of each target that requests of ours went to; ``seconds`` is the clock's."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._heard_at: OrderedDict[_Address, float] = OrderedDict()
        self._passed_over_until: OrderedDict[_Address, float] = OrderedDict()

    def now(self) -> float:
        """Return the time that ``timed_out`` wants to know, s."""
        return self._seconds()

    def heard(self, target: Target) -> None:
        """Note a response, whatever it says."""
        address = target[:3]
        if self._passed_over_until:
            self._passed_over_until.pop(address, None)
        self._heard_at[address] = self._seconds()
        self._heard_at.move_to_end(address)
        if len(self._heard_at) > MOST_TARGETS:
            self._heard_at.popitem(last=False)

    def timed_out(self, target: Target, sent_at: float) -> None:
        """Note that a request which left at ``sent_at``, s, was never answered."""
        address = target[:3]
        heard_at = self._heard_at.get(address)
        if heard_at is None or heard_at < sent_at:
            self._pass_over(address, PASSED_OVER)

    def is_passed_over(self, target: Target) -> bool:
        """Tell whether others are to be asked first; the one to try it again hears False."""
        if not self._passed_over_until:
            return False
        address = target[:3]
        until = self._passed_over_until.get(address)
        if until is None:
            return False
        if until > self._seconds():
            return True
        self._pass_over(address, TRIED_FOR)
        return False

    def last(self, targets: list[Target]) -> list[Target]:
        """Return the targets with those that are passed over at the end."""
        if not self._passed_over_until or len(targets) < 2:
            return targets
        now = self._seconds()
        good: list[Target] = []
        silent: list[Target] = []
        for target in targets:
            until = self._passed_over_until.get(target[:3], 0.0)
            (silent if until > now else good).append(target)
        if good:
            self.is_passed_over(good[0])  # it is the one to try it again, if it was silent
        return good + silent

    def _pass_over(self, address: _Address, seconds: float) -> None:
        self._passed_over_until[address] = self._seconds() + seconds
        self._passed_over_until.move_to_end(address)
        if len(self._passed_over_until) > MOST_TARGETS:
            self._passed_over_until.popitem(last=False)
