"""How fast REGISTER requests leave: so many a second, to each registrar and in all.

Who may send next, at one registrar: first what goes on with an exchange (the answer to a
challenge is not left to grow stale), then whatever would lose a binding soon, the one
nearest to its expiry first, then first registrations and retries in the order of their
deadlines, then refreshes that can wait. So with N accounts and a rate R every account
comes to be registered, and none expires, while N / R is below nine tenths of the grant.
Registrars take turns, so one that is slow or crowded holds up no other.

A registrar begins slowly, at first and whenever it has been silent: its rate grows to
the limit over ``slow_start`` seconds.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Final, final

from uacproxy.uac.registration import Registration

LARGEST_BURST: Final = 0.1  # s of the rate that may leave at once
SLOWEST: Final = 0.1  # of the rate, at the beginning

TIDY_EVERY: Final = 10.0  # s

URGENT: Final = 0.1  # of the grant: what a refresh that must not wait has left


@final
class TokenBucket:
    """So many a second, 0 for no limit; in any span of T s at most ``rate`` * (T + 0.1)."""

    def __init__(self, rate: float, slow_start: float, now: float) -> None:
        self._rate = rate
        self._slow_start = slow_start  # s
        self._slow_since = now
        self._burst = max(1.0, rate * LARGEST_BURST)
        self._tokens = max(1.0, self._burst * SLOWEST) if slow_start > 0 else self._burst
        self._filled_at = now

    def has_token(self, now: float) -> bool:
        """Tell whether one more may leave."""
        if self._rate <= 0.0:
            return True
        passed = now - self._filled_at
        if passed > 0.0:
            self._filled_at = now
            tokens = self._tokens + passed * self._rate * self._part(now)
            self._tokens = min(self._burst, tokens)
        return self._tokens >= 1.0

    def take(self) -> None:
        """Count one that leaves."""
        self._tokens -= 1.0

    def slow_down(self, now: float) -> None:
        """Begin slowly again."""
        if self._slow_start > 0.0:
            self._slow_since = now
            self._tokens = min(self._tokens, max(1.0, self._burst * SLOWEST))

    def is_rested(self, now: float) -> bool:
        """Tell whether it is as good as a new one that need not begin slowly."""
        full = self._rate <= 0.0 or (self.has_token(now) and self._tokens >= self._burst)
        return full and self._part(now) >= 1.0

    def _part(self, now: float) -> float:
        if self._slow_start <= 0.0:
            return 1.0
        return min(1.0, SLOWEST + (1.0 - SLOWEST) * (now - self._slow_since) / self._slow_start)


Entry = tuple[float, int, float, Registration]
"""Order, a number that tells equals apart, the deadline it waits for."""


@final
class RegistrarQueue:
    """What waits to be sent to one registrar."""

    __slots__ = ("bucket", "going_on", "others", "refreshes")

    def __init__(self, bucket: TokenBucket) -> None:
        self.bucket = bucket
        self.going_on: deque[Registration] = deque()
        self.refreshes: list[Entry] = []  # by expiry
        self.others: list[Entry] = []  # by deadline

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing waits."""
        return not self.going_on and not self.refreshes and not self.others

    def take_ready(self, now: float) -> Registration | None:
        """Remove and return what may begin next, None where nothing waits to begin."""
        while self.refreshes or self.others:
            heap = self.others
            if not heap or self._is_urgent(now):
                heap = self.refreshes
            _, _, deadline, registration = heapq.heappop(heap)
            if registration.deadline == deadline:
                return registration
        return None

    def _is_urgent(self, now: float) -> bool:
        if not self.refreshes:
            return False
        expiry, _, _, registration = self.refreshes[0]
        return expiry - now <= registration.granted * URGENT


@final
class Pace:
    """All registrars' queues.

    Args:
        rate: REGISTER requests a second in all, 0 for no limit.
        rate_per_registrar: to one of them.
        slow_start: s.
        seconds: the clock.
        is_active: tells whether what is due may begin; what goes on always does.
        proceed: sends what goes on with an exchange.
        begin: does what is due.
    """

    def __init__(
        self,
        *,
        rate: float,
        rate_per_registrar: float,
        slow_start: float,
        seconds: Callable[[], float],
        is_active: Callable[[], bool],
        proceed: Callable[[Registration], None],
        begin: Callable[[Registration], None],
    ) -> None:
        self._rate_per_registrar = rate_per_registrar
        self._slow_start = slow_start
        self._seconds = seconds
        self._is_active = is_active
        self._proceed = proceed
        self._begin = begin
        self._overall = TokenBucket(rate, 0.0, seconds())
        self._is_free = rate <= 0.0 and rate_per_registrar <= 0.0  # no limits at all
        self._queues: dict[str, RegistrarQueue] = {}
        self._waiting: dict[str, RegistrarQueue] = {}  # those with something to send
        self._serial = 0
        self._tidied_at = seconds()

    def __len__(self) -> int:
        """Return how many registrars are known."""
        return len(self._queues)

    @property
    def is_waiting(self) -> bool:
        """Tell whether something waits for its turn."""
        return bool(self._waiting)

    def offer(self, registration: Registration) -> None:
        """Take one whose deadline has come; it begins when its turn is there."""
        deadline = registration.deadline
        if deadline is None:
            return
        self._serial += 1
        queue = self._queue(registration.registrar)
        if registration.is_bound:
            entry = (registration.bound_until, self._serial, deadline, registration)
            heapq.heappush(queue.refreshes, entry)
        else:
            heapq.heappush(queue.others, (deadline, self._serial, deadline, registration))
        self._waiting[registration.registrar] = queue

    def take_turn(self, registration: Registration) -> bool:
        """Tell whether a REGISTER may leave now; if not, ``proceed`` is called for it later."""
        queue = self._queue(registration.registrar)
        if not queue.going_on and self._may_send(queue):
            self._overall.take()
            queue.bucket.take()
            return True
        queue.going_on.append(registration)
        self._waiting[registration.registrar] = queue
        return False

    def silent(self, registrar: str) -> None:
        """Hear that a registrar has not answered."""
        self._queue(registrar).bucket.slow_down(self._seconds())

    def beat(self) -> None:
        """Let leave what may, a request of each registrar in turn; the app calls this often."""
        turns = list(self._waiting.items())
        while turns:
            left: list[tuple[str, RegistrarQueue]] = []
            for name, queue in turns:
                if self._send_one(queue):
                    left.append((name, queue))
                    self._waiting.pop(name, None)
                    self._waiting[name] = queue  # last, when there is room again
                elif queue.is_empty:
                    self._waiting.pop(name, None)
            turns = left
        if self._seconds() - self._tidied_at >= TIDY_EVERY:
            self._forget_idle()

    def _send_one(self, queue: RegistrarQueue) -> bool:
        """Send the first in a queue; False where there is none, or none may leave."""
        if not self._may_send(queue):
            return False
        if queue.going_on:
            going_on = queue.going_on.popleft()
            if going_on.waits_for_turn:
                self._overall.take()
                queue.bucket.take()
                self._proceed(going_on)
            return True
        if not self._is_active():
            return False
        registration = queue.take_ready(self._seconds())
        if registration is None:
            return False
        self._begin(registration)  # which takes its turn
        return True

    def _may_send(self, queue: RegistrarQueue) -> bool:
        if self._is_free:
            return True
        now = self._seconds()
        return self._overall.has_token(now) and queue.bucket.has_token(now)

    def _queue(self, registrar: str) -> RegistrarQueue:
        queue = self._queues.get(registrar)
        if queue is None:
            bucket = TokenBucket(self._rate_per_registrar, self._slow_start, self._seconds())
            queue = RegistrarQueue(bucket)
            self._queues[registrar] = queue
        return queue

    def _forget_idle(self) -> None:
        now = self._seconds()
        self._tidied_at = now
        for name, queue in list(self._queues.items()):
            if name not in self._waiting and queue.bucket.is_rested(now):
                del self._queues[name]
