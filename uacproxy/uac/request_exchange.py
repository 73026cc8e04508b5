"""Requests of our own under way: sent, challenged, sent again, ended (RFC 3261 8.1, 22.2).

``OwnRequests`` is what scripts send through. An exchange ends with a final response or
without one, exactly once, and leaves nothing behind then. INVITE is for ``own_calls``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from uacproxy.ports import Clock, Flow, Timer
from uacproxy.sip.message import Message
from uacproxy.uac.answers import RequestAnswers
from uacproxy.uac.client_request import ClientRequest
from uacproxy.uac.nonces import NonceBook
from uacproxy.uac.own_request import OwnRequest
from uacproxy.uac.send import UNANSWERED, UNREACHED, Sender, SendOutcome

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

    def __init__(
        self, *, sender: Sender, clock: Clock, nonces: NonceBook, most: int = MOST_UNDER_WAY
    ) -> None:
        self._most = most
        self._sender = sender
        self._clock = clock
        self._nonces = nonces
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
        answers = RequestAnswers(request.credentials, self._nonces, request.next_hop.raw)
        exchange = RequestExchange(request, heard, self._sender, answers, self._clock, self._ended)
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

    __slots__ = ("_client", "_clock", "_ended", "_heard", "_is_over", "_timer", "_wait_for")

    def __init__(
        self,
        own: OwnRequest,
        heard: Heard,
        sender: Sender,
        answers: RequestAnswers,
        clock: Clock,
        ended: Callable[[RequestExchange], None],
    ) -> None:
        self._wait_for = own.wait_for
        self._heard = heard
        self._clock = clock
        self._ended = ended
        self._timer: Timer | None = None
        self._is_over = False
        self._client = ClientRequest(
            sender,
            own.message,
            own.next_hop,
            answers,
            self._answered,
            challenged=self._challenged,
            next_cseq=own.next_cseq,
            socket=own.socket,
            contact_user=own.contact_user,
        )

    def start(self) -> None:
        """Send, and wait no longer than ``fr_timeout`` allows for each answer."""
        self._wait()
        self._client.start()

    def refuse(self, why: str) -> None:
        """End without having been sent."""
        self._end(UNREACHED, None, None, why)

    def _wait(self) -> None:
        if self._wait_for > 0:
            self._timer = self._clock.callLater(self._wait_for, self._waited)

    def _challenged(self, outcome: SendOutcome) -> None:
        self._stop_timer()
        sent = self._client.request
        self._heard(Answer(outcome.status, outcome.response, sent, outcome.flow, "", False))
        self._wait()

    def _answered(self, outcome: SendOutcome) -> None:
        self._end(outcome.status, outcome.response, outcome.flow, outcome.why)

    def _waited(self) -> None:
        self._timer = None
        self._client.abandon()
        self._end(UNANSWERED, None, None, "no answer within fr_timeout")

    def _end(self, status: int, response: Message | None, flow: Flow | None, why: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._stop_timer()
        self._ended(self)
        answer = Answer(status, response, self._client.request, flow, why, True)
        if self._client.is_sending:  # nobody who sends is told before that has returned
            self._clock.callLater(0, self._heard, answer)
        else:
            self._heard(answer)

    def _stop_timer(self) -> None:
        timer = self._timer
        self._timer = None
        if timer is not None and timer.active():
            timer.cancel()
