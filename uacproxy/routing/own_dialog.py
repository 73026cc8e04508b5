"""The dialog of a call that a script made, in the script's hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from uacproxy.routing.pending_reply import PendingReply, Promise, SentReply
from uacproxy.sip.grammar import text
from uacproxy.uac.own_call import OwnCall
from uacproxy.uac.request_exchange import Answer


@final
class OwnDialog:
    """What may be done with a call that was answered."""

    __slots__ = ("_call", "_promise")

    def __init__(self, call: OwnCall, promise: Callable[[], Promise]) -> None:
        self._call = call
        self._promise = promise

    @property
    def call_id(self) -> str:
        """Return the Call-ID."""
        return text(self._call.call_id)

    @property
    def ended_by(self) -> str:
        """Return who ended the call: ``us``, ``them``, ``lost``; "" while it stands."""
        return self._call.ended_by

    def bye(self, hdrs: str = "") -> PendingReply:
        """End the call, if it still stands; awaiting gives the reply to the BYE."""
        return self.request("BYE", hdrs)

    def request(self, method: str, hdrs: str = "", body: str = "") -> PendingReply:
        """Send a request inside the dialog, such as REFER or INFO.

        Args:
            method: not INVITE.
            hdrs: header lines, each ended by CRLF or LF.
            body: needs a Content-Type among ``hdrs``.

        Raises:
            OwnMistake: the call has ended.
            BadKey: no request can be made of it.
        """
        pending = PendingReply(self._promise)

        def heard(answer: Answer) -> None:
            if answer.is_last:
                pending.ended(SentReply(answer))

        self._call.send(str(method), str(hdrs), str(body), heard)
        return pending

    async def ended(self) -> str:
        """Wait until the call has ended; return by whom."""
        call = self._call
        if not call.ended_by:
            promise = self._promise()
            call.on_end.append(lambda: promise.callback(None))
            await promise
        return call.ended_by
