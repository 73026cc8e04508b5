"""Requests of our own under way: sent, challenged, sent again, ended (RFC 3261 8.1, 22.2).

``OwnRequests`` is what scripts send through. An exchange ends with a final response or
without one, exactly once, and leaves nothing behind then. INVITE is for ``own_calls``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from uacproxy.errors import FeatureError, UnsupportedChallenge
from uacproxy.ports import Clock, Flow, Target, Timer
from uacproxy.sip.grammar import LARGEST
from uacproxy.sip.message import Message
from uacproxy.sip.names import CSEQ
from uacproxy.uac.auth import Attempts, Authorized, authorize, use_again
from uacproxy.uac.own_request import OwnRequest
from uacproxy.uac.send import UNANSWERED, UNREACHED, Sender, Sending, SendOutcome

MOST_UNDER_WAY: Final = 10_000  # exchanges; a further one fails at once


class Answer(NamedTuple):
    """A final response to a request of ours, or why there is none."""

    status: int  # 408 or 503 where none came
    response: Message | None
    request: Message  # as sent last, without Via
    flow: Flow | None
    why: str  # without a response: in an operator's words; else empty
    is_last: bool  # False for a challenge that is answered


Heard = Callable[[Answer], None]


@final
class OwnRequests:
    """Starts exchanges and knows how many there are: ``most`` at a time."""

    def __init__(self, *, sender: Sender, clock: Clock, most: int = MOST_UNDER_WAY) -> None:
        self._most = most
        self._sender = sender
        self._clock = clock
        self._under_way: set[RequestExchange] = set()

    def __len__(self) -> int:
        """Return how many exchanges have not ended."""
        return len(self._under_way)

    def send(self, request: OwnRequest, heard: Heard) -> None:
        """Send a request other than INVITE.

        Calls:
            heard: for each challenge that is answered, then once with the end; in a later
                turn, never before this returns.
        """
        exchange = RequestExchange(request, heard, self._sender, self._clock, self._ended)
        if len(self._under_way) >= self._most:
            self._clock.callLater(0, exchange.refuse, "too many requests of our own under way")
            return
        self._under_way.add(exchange)
        exchange.start()

    def _ended(self, exchange: RequestExchange) -> None:
        self._under_way.discard(exchange)


@final
class RequestExchange:
    """One request with its retries."""

    __slots__ = (
        "_attempts",
        "_clock",
        "_ended",
        "_given",
        "_heard",
        "_is_over",
        "_is_starting",
        "_own",
        "_request",
        "_sender",
        "_sending",
        "_target",
        "_timer",
    )

    def __init__(
        self,
        own: OwnRequest,
        heard: Heard,
        sender: Sender,
        clock: Clock,
        ended: Callable[[RequestExchange], None],
    ) -> None:
        self._own = own
        self._heard = heard
        self._sender = sender
        self._clock = clock
        self._ended = ended
        self._request = own.message
        self._attempts = Attempts()
        self._given: list[Authorized] = []
        self._target: Target | None = None  # that challenged
        self._sending: Sending | None = None
        self._timer: Timer | None = None
        self._is_over = False
        self._is_starting = False

    def start(self) -> None:
        """Send, and wait no longer than ``fr_timeout`` allows."""
        own = self._own
        if own.wait_for > 0:
            self._timer = self._clock.callLater(own.wait_for, self._waited)
        self._is_starting = True
        sending = self._sender.send(
            self._request,
            own.next_hop,
            self._answered,
            target=self._target,
            socket=own.socket,
            contact_user=own.contact_user,
        )
        self._is_starting = False
        if not self._is_over:
            self._sending = sending

    def refuse(self, why: str) -> None:
        """End without having been sent."""
        self._end(Answer(UNREACHED, None, self._request, None, why, True))

    def _answered(self, outcome: SendOutcome) -> None:
        self._stop_timer()
        self._sending = None
        response = outcome.response
        if response is not None and outcome.status in (401, 407) and self._authorize(response):
            sent = self._request
            self._target = outcome.target
            self._request = self._again()
            self._heard(Answer(outcome.status, response, sent, outcome.flow, "", False))
            if not self._is_over:
                self.start()
            return
        status = outcome.status
        self._end(Answer(status, response, self._request, outcome.flow, outcome.why, True))

    def _authorize(self, response: Message) -> bool:
        """Answer a challenge, if it can be and makes sense; else it is the final answer."""
        if not len(self._own.credentials) or self._request.cseq.number >= LARGEST:
            return False
        sent = self._request
        try:
            answer = authorize(sent, response, self._own.credentials, attempts=self._attempts)
        except (FeatureError, UnsupportedChallenge):
            return False
        kept = [
            use_again(one, sent, self._attempts)
            for one in self._given
            if one.name != answer.name or one.realm != answer.realm
        ]
        self._given = [*kept, answer]
        return True

    def _again(self) -> Message:
        """Return the request for the next attempt: CSeq raised, all else as the script had it."""
        own = self._own
        number = self._request.cseq.number + 1 if own.next_cseq is None else own.next_cseq()
        request = own.message.branch_copy()
        request.set(CSEQ, b"%d " % number + request.method)
        for one in self._given:
            request.append(one.name, one.value)
        return request

    def _waited(self) -> None:
        self._timer = None
        sending = self._sending
        self._sending = None
        if sending is not None:
            sending.abandon()
        why = "no answer within fr_timeout"
        self._end(Answer(UNANSWERED, None, self._request, None, why, True))

    def _end(self, answer: Answer) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._stop_timer()
        self._ended(self)
        if self._is_starting:  # nobody who sends is told before that has returned
            self._clock.callLater(0, self._heard, answer)
        else:
            self._heard(answer)

    def _stop_timer(self) -> None:
        timer = self._timer
        self._timer = None
        if timer is not None and timer.active():
            timer.cancel()
