"""How the REGISTERs of one account have ended: the last one, and how many failed in a row."""

from __future__ import annotations

from typing import final

from uacproxy.ports import Random, Target
from uacproxy.uac.registration_delays import rejected_in, retry_in
from uacproxy.uac.registration_event import LastExchange
from uacproxy.uac.registration_history import SharedWords
from uacproxy.uac.send import UNANSWERED


@final
class RegistrationTally:
    """Kept for each account, so it is small: texts and targets are shared with others."""

    __slots__ = (
        "_last_at_utc",
        "_last_status",
        "_last_target",
        "_last_why",
        "failures",
        "refusals",
        "retry_after",
    )

    def __init__(self) -> None:
        self.failures = 0  # in a row, refusals left out
        self.refusals = 0  # in a row
        self.retry_after = 0  # s, asked for by the last failure
        self._last_at_utc = 0.0  # 0.0: no exchange has ended yet
        self._last_status = 0
        self._last_why = ""
        self._last_target: Target | None = None

    @property
    def last(self) -> LastExchange | None:
        """Return how the last REGISTER ended, None before there was one."""
        if self._last_at_utc == 0.0:
            return None
        return LastExchange(self._last_at_utc, self._last_status, self._last_why, self._last_target)

    @property
    def is_silent(self) -> bool:
        """Tell whether a target did not answer the last REGISTER."""
        return self._last_status == UNANSWERED and self._last_target is not None

    def ended(self, at_utc: float, status: int, why: str, target: Target | None) -> None:
        """Note how one has ended, in texts that others hold too."""
        self._last_at_utc = at_utc
        self._last_status = status
        self._last_why = why
        self._last_target = target

    def succeeded(self) -> None:
        """Forget all failures."""
        self.failures = 0
        self.refusals = 0

    def recall(
        self, failures: int, refusals: int, last: LastExchange | None, words: SharedWords
    ) -> None:
        """Take over what was known before a restart."""
        self.failures = failures
        self.refusals = refusals
        if last is not None:
            self.ended(last.at_utc, last.status, words.shared(last.why), words.target(last.target))

    def retry_in(self, interval: int, random: Random) -> float:
        """Return the delay after the last failure, s; ``interval`` is reg_retry_interval."""
        return retry_in(self.failures, interval, self.retry_after, random)

    def rejected_in(self, random: Random) -> float:
        """Return the delay after the last refusal, s."""
        return rejected_in(self.refusals, self.retry_after, random)
