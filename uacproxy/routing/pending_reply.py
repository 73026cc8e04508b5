"""What ``ctx.uac.req_send()`` returns: the answer to come, for a handler that awaits it.

reply = await ctx.uac.req_send(method="OPTIONS", ruri="sip:gw.example.com")
if reply.status == 200: ...
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol, final

from uacproxy.routing.message_view import RequestView
from uacproxy.sip.grammar import text
from uacproxy.uac.own_call import OwnCall
from uacproxy.uac.request_exchange import Answer


class Promise(Protocol):
    """Something a coroutine can wait for: a Deferred of Twisted fits."""

    def callback(self, result: Any) -> None:
        """Let who waits go on."""

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait."""


@final
class SentReply:
    """How a request of ours ended: by a final response, or without one."""

    __slots__ = ("_answer", "dialog", "reason", "response", "status")

    def __init__(self, answer: Answer, dialog: object | None = None) -> None:
        self.dialog = dialog  # an OwnDialog, where an INVITE was accepted
        response = answer.response
        self._answer = answer
        self.status = answer.status  # 408 after silence, 503 where nobody could be reached
        self.reason = answer.why if response is None else text(response.reason)
        self.response = None if response is None else RequestView(response)

    @property
    def is_local(self) -> bool:
        """Tell whether no final response came: nobody answered, or nobody could be reached."""
        return self.response is None

    @property
    def is_success(self) -> bool:
        """Tell whether the request was accepted: 2xx."""
        return 200 <= self.status < 300

    @property
    def request(self) -> RequestView:
        """Return the request as it was sent last, without its Via."""
        return RequestView(self._answer.request.branch_copy())

    @property
    def body(self) -> bytes:
        """Return the body of the response."""
        return b"" if self.response is None else self.response.body

    def get(self, name: str) -> str | None:
        """Return the first field of that name in the response."""
        return None if self.response is None else self.response.get(name)

    def fields(self, name: str) -> list[str]:
        """Return every field of that name in the response."""
        return [] if self.response is None else self.response.fields(name)

    def __repr__(self) -> str:
        """Show status and reason."""
        return f"<SentReply {self.status} {self.reason}>"


@final
class PendingReply:
    """A request of ours under way; true, so a script may ask whether it was sent.

    Nobody has to wait for it. ``await`` gives the ``SentReply``, to as many as ask.
    """

    __slots__ = ("_promise", "_waiting", "call", "reply")

    def __init__(self, promise: Callable[[], Promise]) -> None:
        self.call: OwnCall | None = None  # of an INVITE
        self._promise = promise
        self._waiting: list[Promise] = []
        self.reply: SentReply | None = None  # once it has ended

    def cancel(self) -> None:
        """Cancel an INVITE that nobody has answered yet; its reply is a 487 then."""
        if self.call is not None:
            self.call.cancel()

    def ended(self, reply: SentReply) -> None:
        """Take the end, and let everybody go on who waits for it."""
        self.reply = reply
        waiting = self._waiting
        self._waiting = []
        for promise in waiting:
            promise.callback(reply)

    def __await__(self) -> Generator[Any, Any, SentReply]:
        """Wait for the end."""
        reply = self.reply
        if reply is None:
            promise = self._promise()
            self._waiting.append(promise)
            reply = yield from promise.__await__()
        assert isinstance(reply, SentReply)
        return reply
