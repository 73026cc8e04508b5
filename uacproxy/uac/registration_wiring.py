"""What every registration works with: ports, the record of words, and whom it asks and tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from uacproxy.counters import RegistrationCounters
from uacproxy.ports import Clock, Random
from uacproxy.uac.registration_history import SharedWords
from uacproxy.uac.send import Sender

if TYPE_CHECKING:
    from uacproxy.uac.register_exchange import RegisterExchange
    from uacproxy.uac.registration import Registration
    from uacproxy.uac.registration_event import RegistrationEvent
    from uacproxy.uac.usual_refreshes import UsualRefreshes


@final
class RegistrationWiring:
    """One for the table."""

    __slots__ = (
        "changed",
        "clock",
        "counters",
        "deadline_set",
        "now_utc",
        "open_exchange",
        "pick_refresh",
        "random",
        "retry_interval",
        "sender",
        "take_turn",
        "usual",
        "words",
    )

    def __init__(
        self,
        *,
        retry_interval: int,
        clock: Clock,
        now_utc: Callable[[], float],
        random: Random,
        sender: Sender,
        counters: RegistrationCounters,
        words: SharedWords,
        open_exchange: Callable[[Registration], RegisterExchange],
        pick_refresh: Callable[[Registration], float],
        take_turn: Callable[[Registration], bool],
        changed: Callable[[Registration, RegistrationEvent], None],
        deadline_set: Callable[[Registration, float], None],
        usual: UsualRefreshes | None = None,
    ) -> None:
        self.retry_interval = retry_interval  # s; 0: the first failure disables
        self.clock = clock
        self.now_utc = now_utc
        self.random = random
        self.sender = sender
        self.counters = counters
        self.words = words
        self.open_exchange = open_exchange
        self.pick_refresh = pick_refresh  # s until the binding just granted is renewed
        self.take_turn = take_turn  # False: ``proceed`` is called when it is this one's turn
        self.changed = changed  # hears of each transition, when all else is done
        self.usual = usual  # sends what is as the last one was; None: each goes the long way
        self.deadline_set = deadline_set  # hears of each new deadline, s on the clock's time
