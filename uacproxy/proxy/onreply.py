"""Responses on their way through an onreply route, in the order they came.

A handler may take its time; the responses behind wait for it, so that a caller never
hears of ringing after the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.errors import ScriptError
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.context import RouteContext
from uacproxy.routing.scope import Scope
from uacproxy.sip.message import Message

MOST_WAITING: Final = 64
"""While so many wait, further provisional responses are dropped: the caller misses a ring."""


@final
class OnReplyQueue:
    """One per request that armed an onreply route."""

    __slots__ = ("_is_draining", "_is_running", "_respond", "_scope", "_waiting", "_wiring")

    def __init__(self, wiring: Wiring, scope: Scope, respond: Callable[[Message], None]) -> None:
        self._wiring = wiring
        self._scope = scope
        self._respond = respond
        self._waiting: list[Message] = []
        self._is_running = False
        self._is_draining = False

    def add(self, response: Message) -> None:
        """Take one response; it goes on when its handler, and those before, are done."""
        if response.status < 200 and len(self._waiting) >= MOST_WAITING:
            return
        self._waiting.append(response)
        self._drain()

    def _drain(self) -> None:
        if self._is_draining:
            return
        self._is_draining = True
        while self._waiting and not self._is_running:
            self._run(self._waiting.pop(0))
        self._is_draining = False

    def _run(self, response: Message) -> None:
        wiring = self._wiring
        scope = self._scope
        if not scope.on_reply:
            self._respond(response)
            return
        script = wiring.script
        try:
            handler = script.onreply(scope.on_reply)
        except ScriptError as error:
            wiring.runner.report(error)
            self._respond(response)
            return
        own = scope.reply_scope(response)
        self._is_running = True

        def done(_outcome: object) -> None:
            self._is_running = False
            if own.on_failure != armed:
                scope.on_failure = own.on_failure
            scope.on_reply = own.on_reply
            self._respond(response)
            self._drain()

        armed = own.on_failure
        context = RouteContext(wiring.features, own)
        wiring.runner.run(handler, context, script.file, done, done)
