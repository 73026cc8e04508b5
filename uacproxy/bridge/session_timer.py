"""Session timers of one leg (RFC 4028): who refreshes, and when the session is dead.

Each side has its own: what one of them asked for is no business of the other's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.bridge.policy import TIMER, has_tag, passed_status
from uacproxy.ports import Clock, Timer
from uacproxy.sip.fields import parse_delta
from uacproxy.sip.grammar import WHITE
from uacproxy.sip.message import Message
from uacproxy.sip.names import REQUIRE, SUPPORTED

SESSION_EXPIRES: Final = b"session-expires"
MIN_SE: Final = b"min-se"
SHORTEST: Final = 90  # s, 5
MARGIN: Final = 32.0  # s before the end that a session which was not refreshed is ended (10)
MOST_LONGER: Final = 3  # 422s of one request that are followed
TOO_SHORT: Final = 422


def session_interval(message: Message) -> tuple[int, bytes]:
    """Return Session-Expires, s (0 where there is none), and its refresher, b"" where open."""
    value = message.get(SESSION_EXPIRES)
    if value is None:
        return 0, b""
    words = value.split(b";")
    refresher = b""
    for word in words[1:]:
        name, _, role = word.partition(b"=")
        if name.strip(WHITE).lower() == b"refresher":
            refresher = role.strip(WHITE).lower()
    return parse_delta(words[0].strip(WHITE)) or 0, refresher


def min_se(message: Message) -> int:
    """Return Min-SE, s; 90 where there is none."""
    value = message.get(MIN_SE)
    if value is None:
        return SHORTEST
    return max(parse_delta(value.partition(b";")[0].strip(WHITE)) or 0, SHORTEST)


def told_status(status: int) -> int:
    """Return what one side hears of the other's final response inside a call.

    A 422 is about our interval there: the peer's own cannot mend it, and no Min-SE of ours
    would be true, which a 422 has to have (8.1).
    """
    return 500 if status == TOO_SHORT else passed_status(status)


@final
class SessionTimer:
    """One leg's; ``interval`` 0 says that the session does not expire.

    ``due`` is called when it is ours to refresh, ``expired`` when nobody did.
    """

    __slots__ = ("_clock", "_due", "_expired", "_timer", "interval", "we_refresh")

    def __init__(self, clock: Clock, due: Callable[[], None], expired: Callable[[], None]) -> None:
        self._clock = clock
        self._due = due
        self._expired = expired
        self._timer: Timer | None = None
        self.interval = 0  # s
        self.we_refresh = False

    # -- as UAS ------------------------------------------------------------------------

    def too_short(self, request: Message, shortest: int) -> bool:
        """Tell whether a request is to be answered 422: the interval too short, the peer able."""
        interval, _ = session_interval(request)
        return 0 < interval < shortest and has_tag(request, SUPPORTED, TIMER)

    def accept(self, request: Message, response: Message, wanted: int, us: bool) -> None:
        """Write our answer into a 2xx of ours, and start (9, table 2).

        Args:
            request: INVITE or UPDATE.
            response: its 2xx.
            wanted: s, our own interval; 0: no session timers.
            us: refresh ourselves where the peer leaves the choice.
        """
        self.stop()
        if wanted <= 0:
            return
        interval, refresher = session_interval(request)
        able = has_tag(request, SUPPORTED, TIMER)
        interval = wanted if interval == 0 else min(interval, max(wanted, min_se(request)))
        if not able:
            role = b"uas"
        elif refresher in (b"uac", b"uas"):
            role = refresher
        else:
            role = b"uas" if us else b"uac"
        response.append(SESSION_EXPIRES, b"%d;refresher=" % interval + role)
        if role == b"uac":
            response.append(REQUIRE, TIMER)
        self.start(interval, we_refresh=role == b"uas")

    # -- as UAC ------------------------------------------------------------------------

    def ask(self, request: Message, wanted: int, shortest: int) -> None:
        """Write what we want into a request of ours; the roles stay once they are settled (7.4)."""
        if wanted <= 0:
            return
        value = b"%d" % max(self.interval or wanted, shortest)
        if self.interval:
            value += b";refresher=" + (b"uac" if self.we_refresh else b"uas")
        request.append(SESSION_EXPIRES, value)
        if shortest > SHORTEST:
            request.append(MIN_SE, b"%d" % shortest)

    def agreed(self, response: Message) -> None:
        """Take what the 2xx says, and start; without Session-Expires nothing expires (7.2)."""
        self.stop()
        interval, refresher = session_interval(response)
        if interval:
            self.start(max(interval, SHORTEST), we_refresh=refresher != b"uas")

    # -- running -----------------------------------------------------------------------

    def start(self, interval: int, *, we_refresh: bool, passed: float = 0.0) -> None:
        """Run anew: a refresh has just gone through, or did ``passed`` s ago."""
        self.stop()
        self.interval = interval
        self.we_refresh = we_refresh
        if we_refresh:
            self._timer = self._clock.callLater(max(interval / 2 - passed, 0.0), self._refresh)
        else:
            left = interval - min(MARGIN, interval / 3) - passed
            self._timer = self._clock.callLater(max(left, 0.0), self._expire)

    def stop(self) -> None:
        """Run no more."""
        self.interval = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self) -> None:
        """Run never again, and let go of who would hear."""
        self.stop()
        self._due = _nothing
        self._expired = _nothing

    def _refresh(self) -> None:
        left = self.interval / 2 - min(MARGIN, self.interval / 3)
        self._timer = self._clock.callLater(left, self._expire)
        self._due()

    def _expire(self) -> None:
        self._timer = None
        self._expired()


def _nothing() -> None:
    """Stand in for the leg of a call that is over."""
