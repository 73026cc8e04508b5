"""From a name to addresses (RFC 3263 4.2), by A and AAAA records."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from uacproxy.ports import Clock, Log, Target, Timer
from uacproxy.resolve.uri_resolver import Then

Lookup = Callable[[str], Deferred[list[tuple[str, int]]]]
"""From a name to its addresses, best first, each with its time to live (s). A name
without addresses gives an empty list; what kept the answer away is a failure."""

LONGEST_TTL: Final = 86400.0  # s
MOST_QUESTIONS: Final = 1000  # names looked up at a time; a further one has no address
_NAME: Final = re.compile(r"(?=.{1,253}$)([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")


@final
class Question:
    """One name being looked up, and all who wait for it."""

    __slots__ = ("timer", "waiting")

    def __init__(self) -> None:
        self.timer: Timer | None = None
        self.waiting: list[tuple[bytes, int, bool, Then]] = []  # transport, port, chosen, then


@final
class NameResolver:
    """Answers from memory at once; asks once for each other name.

    A question that times out is answered with nothing, and its look-up goes on: an
    answer that comes late serves the next who asks.
    """

    def __init__(
        self,
        *,
        lookup: Lookup,
        clock: Clock,
        log: Log,
        timeout: float,
        cache_max: int,
        min_ttl: float,
        negative_ttl: float,
    ) -> None:
        """Begin with nothing known.

        Args:
            lookup: asks for the addresses of a name in lower case, without its last dot.
            clock: of the timeouts and of the answers' age.
            log: hears of look-ups that failed.
            timeout: s for one question.
            cache_max: most answers kept; the oldest makes room.
            min_ttl: s an answer is kept at least.
            negative_ttl: s an empty or failed answer is kept.
        """
        self._lookup = lookup
        self._clock = clock
        self._log = log
        self._timeout = timeout
        self._cache_max = cache_max
        self._min_ttl = min_ttl
        self._negative_ttl = negative_ttl
        self._cache: dict[str, tuple[list[str], float]] = {}  # addresses, good until (s)
        self._questions: dict[str, Question] = {}

    def look_up(self, name: str, transport: bytes, port: int, chosen: bool, then: Then) -> None:
        """Find the addresses of a name in lower case, without its last dot, for ``then``.

        No target: there is no such name, it has no address, or it is not told in time.
        """
        known = self._cache.get(name)
        if known is not None:
            if known[1] > self._clock.seconds():
                then(_targets(known[0], transport, port, chosen))
                return
            del self._cache[name]
        if not _NAME.fullmatch(name) or self._is_full(name):
            then([])
            return
        self._ask(name, (transport, port, chosen, then))

    def _is_full(self, name: str) -> bool:
        return len(self._questions) >= MOST_QUESTIONS and name not in self._questions

    def _ask(self, name: str, who: tuple[bytes, int, bool, Then]) -> None:
        question = self._questions.get(name)
        is_new = question is None
        if question is None:
            question = Question()
            self._questions[name] = question
        question.waiting.append(who)
        if question.timer is None:
            question.timer = self._clock.callLater(self._timeout, self._timed_out, name, question)
        if is_new:
            asked = self._lookup(name)
            asked.addCallbacks(
                self._answered,
                self._failed,
                callbackArgs=(name, question),
                errbackArgs=(name, question),
            )

    def _answered(self, found: list[tuple[str, int]], name: str, question: Question) -> None:
        addresses = [address for address, _ in found]
        self._questions.pop(name, None)
        if found:
            shortest = min(ttl for _, ttl in found)
            self._keep(name, addresses, min(max(shortest, self._min_ttl), LONGEST_TTL))
        else:
            self._keep(name, addresses, self._negative_ttl)
        self._tell(question, addresses)

    def _failed(self, why: Failure, name: str, question: Question) -> None:
        self._log.info("no address for {name}: {why}", name=name, why=why.getErrorMessage())
        self._answered([], name, question)

    def _timed_out(self, name: str, question: Question) -> None:
        self._log.info(
            "no address for {name} within {timeout:g} s", name=name, timeout=self._timeout
        )
        question.timer = None
        self._keep(name, [], self._negative_ttl)
        self._tell(question, [])

    def _tell(self, question: Question, addresses: list[str]) -> None:
        """Answer each waiter in a call of its own, so that one that fails harms no other."""
        if question.timer is not None:
            question.timer.cancel()
            question.timer = None
        waiting, question.waiting = question.waiting, []
        for transport, port, chosen, then in waiting:
            targets = _targets(addresses, transport, port, chosen)
            self._clock.callLater(0, then, targets)

    def _keep(self, name: str, addresses: list[str], ttl: float) -> None:
        self._cache.pop(name, None)
        if self._cache_max and ttl > 0:
            if len(self._cache) >= self._cache_max:
                del self._cache[next(iter(self._cache))]
            self._cache[name] = (addresses, self._clock.seconds() + ttl)


def _targets(addresses: list[str], transport: bytes, port: int, chosen: bool) -> list[Target]:
    return [Target(transport, address, port, chosen) for address in addresses]
