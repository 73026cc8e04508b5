"""One request of our own other than INVITE and ACK, challenges answered (RFC 3261 8.1, 22.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from uacproxy.ports import Target
from uacproxy.settings import ListenAddress
from uacproxy.sip.message import Message
from uacproxy.sip.names import CSEQ
from uacproxy.sip.uri import Uri
from uacproxy.uac.answers import RequestAnswers
from uacproxy.uac.send import Sender, Sending, SendOutcome

Ended = Callable[[SendOutcome], None]


@final
class ClientRequest:
    """Sends it until it has ended; ``request`` is what was sent last, without Via.

    Args:
        sender: of each attempt.
        request: without credentials; copied, never edited.
        next_hop: where to; after a challenge, to whoever asked.
        answers: to challenges.
        ended: hears the end once, perhaps before ``start`` returns; ``is_sending`` tells.
        challenged: hears of each challenge that is answered, before the next attempt.
        next_cseq: takes a number of a dialog; None counts on from the request's own.
        socket: the listener to leave from.
        contact_user: user of the Contact to put in; b"" leaves the request's own.
    """

    __slots__ = (
        "_answers",
        "_challenged",
        "_contact_user",
        "_ended",
        "_next_cseq",
        "_next_hop",
        "_plain",
        "_sender",
        "_sending",
        "_socket",
        "is_sending",
        "over",
        "request",
    )

    def __init__(
        self,
        sender: Sender,
        request: Message,
        next_hop: Uri,
        answers: RequestAnswers,
        ended: Ended,
        *,
        challenged: Ended | None = None,
        next_cseq: Callable[[], int] | None = None,
        socket: ListenAddress | None = None,
        contact_user: bytes = b"",
    ) -> None:
        self._sender = sender
        self._plain = request
        self._next_hop = next_hop
        self._answers = answers
        self._ended = ended
        self._challenged = challenged
        self._next_cseq = next_cseq
        self._socket = socket
        self._contact_user = contact_user
        self._sending: Sending | None = None
        self.is_sending = False
        self.over = False
        self.request = request

    def start(self) -> None:
        """Send, with credentials where the peer is known to ask for them."""
        answers = self._answers
        answers.look_ahead(self._plain)
        if answers.given:
            self.request = self._plain.branch_copy()
            answers.write(self.request)
        self._send(None)

    def abandon(self) -> None:
        """Forget it: nothing more is sent, and nobody is told how it ends."""
        self.over = True
        if self._sending is not None:
            self._sending.abandon()
            self._sending = None

    def _send(self, target: Target | None) -> None:
        self.is_sending = True
        sending = self._sender.send(
            self.request,
            self._next_hop,
            self._heard,
            target=target,
            socket=self._socket,
            contact_user=self._contact_user,
        )
        self.is_sending = False
        if not self.over:
            self._sending = sending

    def _heard(self, outcome: SendOutcome) -> None:
        self._sending = None
        response = outcome.response
        if response is not None and response.status < 300:
            self._answers.accepted()
        if response is None or not self._answers.answer(self.request, response):
            self.over = True
            self._ended(outcome)
            return
        if self._challenged is not None:
            self._challenged(outcome)
        sent = self.request
        again = self._plain.branch_copy()
        number = sent.cseq.number + 1 if self._next_cseq is None else self._next_cseq()
        again.set(CSEQ, b"%d " % number + again.method)
        self._answers.write(again)
        self.request = again
        self._send(outcome.target)
