"""The AMP door: one command, ``Call``, runs any verb of ``operations``; lists come in pages.

An AMP value ends at 65,535 octets, so a list is answered a page at a time. Between two
pages the connection keeps the iterator, not an offset: to find an offset again in
100,000 registrations means to walk there for every page, and what changed in between
would shift it. What a connection keeps is bounded: few lists, each forgotten a minute
after its last page and all with the connection. The wire is described in
``docs/management.md`` for programs without Twisted.
"""

# mypy: allow-untyped-calls
# (AMP of Twisted has no annotations)

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Literal, NamedTuple, NoReturn, Protocol, cast, final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.python.failure import Failure

from uacproxy.manage.verb import Fault, Later, Parting, Result, Rows, Value

PAGE_OCTETS: Final = 60_000  # of the 65,535 that an AMP value may have
MAX_LISTS: Final = 4  # half-read lists a connection may have
LIST_LIFETIME: Final = 60.0  # s after its last page
PARTING_DELAY: Final = 1.0  # s for a client to take the answer and hang up
MAX_COMMAND: Final = 255  # octets of a command's name

_log = Logger()


class RunsVerbs(Protocol):
    """What is behind a door: ``Operations``, or what stands for those of several processes."""

    def call(self, name: str, arguments: Sequence[str]) -> Result:
        """Run one verb; see ``Operations``."""


class Refused(Exception):
    """A ``Fault`` on the wire: the error code FAULT, its description ``CODE TEXT``."""


class Call(amp.Command):
    """Run one verb, or fetch the next page of its list.

    Every argument is optional to AMP, for a missing one to be a fault like any other.
    """

    commandName = b"Call"  # noqa: N815  (Twisted's name)
    arguments = [
        (b"verb", amp.String(optional=True)),
        (b"arguments", amp.String(optional=True)),  # a JSON array of strings
        (b"cursor", amp.String(optional=True)),
    ]
    response = [
        (b"shape", amp.String()),  # "value" or "list"
        (b"page", amp.String()),  # JSON: the value, or an array of some of the list's items
        (b"cursor", amp.String()),  # empty: that was all
    ]
    errors = {Refused: b"FAULT"}


class Page(NamedTuple):
    """One answer: the whole value, or the next items of a list."""

    shape: Literal["value", "list"]
    content: Any


async def ask(
    connection: amp.AMP, verb: str, arguments: Sequence[str], *, patience: float, clock: object
) -> AsyncIterator[Page]:
    """Run one verb from the client's side and yield its pages as they come.

    Args:
        connection: to a service.
        verb: name in the table of ``operations``.
        arguments: as the operator typed them.
        patience: s to wait for each page, else ``TimeoutError``.
        clock: the reactor.

    Raises:
        Fault: what the service answered.
    """
    question = {"verb": verb.encode(), "arguments": json.dumps(list(arguments)).encode()}
    cursor = b""
    while True:
        asked = connection.callRemote(Call, cursor=cursor, **question)
        try:
            answer = await asked.addTimeout(patience, clock)
        except Refused as refused:
            code, _, text = str(refused).partition(" ")
            raise Fault(int(code), text) from None
        yield Page(answer["shape"].decode(), json.loads(answer["page"]))
        cursor = answer["cursor"]
        if not cursor:
            return


def amp_factory(
    operations: RunsVerbs,
    *,
    clock: IReactorTime | None = None,
    ended: Callable[[], None] = lambda: None,
) -> IProtocolFactory:
    """Return the factory of the server's side.

    Args:
        operations: runs the verbs.
        clock: the reactor where none is given.
        ended: hears of the end of each connection.
    """
    if clock is None:
        from twisted.internet import reactor  # imported late: it installs itself

        clock = cast(IReactorTime, reactor)
    at = clock

    def door() -> _Door:
        return _Door(_Verbs(operations, at), ended)

    factory = _Doors.forProtocol(door)
    factory.noisy = False
    return factory


class _Doors(Factory):
    """Makes a door for each connection; its name is what Twisted logs of the port."""

    def logPrefix(self) -> str:  # noqa: N802
        return "management"


@final
class _HalfRead:
    """A list on its way out; ``held`` is the item that did not fit the last page."""

    def __init__(self, verb: str, rows: Iterator[object]) -> None:
        self.verb = verb
        self._rows = rows
        self._held: str | None = None
        self.forget: IDelayedCall | None = None

    def next_page(self) -> tuple[str, bool]:
        """Return a JSON array and whether there is more; Fault: an item larger than a page."""
        items: list[str] = []
        octets = 2
        while (item := self._take()) is not None:
            octets += len(item) + 1  # our JSON is ASCII
            if octets > PAGE_OCTETS:
                if not items:
                    raise Fault(500, f"A record of {len(item)} octets does not fit a page")
                self._held = item
                break
            items.append(item)
        return f"[{','.join(items)}]", self._held is not None

    def _take(self) -> str | None:
        if self._held is not None:
            item, self._held = self._held, None
            return item
        for row in self._rows:
            return _encode(row)
        return None


class _Verbs(amp.CommandLocator):
    """What one connection may ask: ``Call`` and nothing else, so no STARTTLS either."""

    def __init__(self, operations: RunsVerbs, clock: IReactorTime) -> None:
        self._operations = operations
        self._clock = clock
        self._half_read: dict[bytes, _HalfRead] = {}  # the one read last comes last
        self._opened = 0
        self._partings: list[IDelayedCall] = []

    @Call.responder
    def call(
        self, verb: bytes | None, arguments: bytes | None, cursor: bytes | None
    ) -> dict[str, bytes] | Deferred[dict[str, bytes]]:
        try:
            name = _decode(verb)
            if cursor:
                return self._next_page(name, cursor)
            return self._first_page(name, _strings(_decode(arguments)))
        except Fault as fault:
            raise Refused(str(fault)) from None
        except Exception:  # noqa: BLE001  (a verb's mistake costs its answer, not the connection)
            _log.failure("the verb {verb} failed", verb=verb)
            raise Refused("500 Internal error, see the log of the service") from None

    def close(self) -> None:
        """Forget every half-read list; what waits for the client to hang up comes now."""
        for cursor in list(self._half_read):
            self._drop(cursor)
        for parting in self._partings:
            if parting.active():
                parting.reset(0)

    def _first_page(
        self, verb: str, arguments: list[str]
    ) -> dict[str, bytes] | Deferred[dict[str, bytes]]:
        result = self._operations.call(verb, arguments)
        if isinstance(result, Later):
            return self._later(verb, result)
        return self._answer(verb, result)

    def _answer(self, verb: str, result: Value | Rows | Parting) -> dict[str, bytes]:
        if isinstance(result, Iterator):
            self._opened += 1
            return self._page(b"%d" % self._opened, _HalfRead(verb, result))
        if isinstance(result, Parting):
            self._partings.append(self._clock.callLater(PARTING_DELAY, result.act))
            result = result.value
        return _value_page(result)

    def _later(self, verb: str, result: Later) -> Deferred[dict[str, bytes]]:
        answer: Deferred[Value | Rows] = Deferred()

        def refused(failure: Failure) -> NoReturn:
            if isinstance(failure.value, Fault):
                raise Refused(str(failure.value))
            _log.failure("the verb {verb} failed", failure=failure, verb=verb)
            raise Refused("500 Internal error, see the log of the service")

        result.begin(answer.callback, answer.errback)
        return answer.addCallback(partial(self._answer, verb)).addErrback(refused)

    def _next_page(self, verb: str, cursor: bytes) -> dict[str, bytes]:
        half_read = self._half_read.get(cursor)
        if half_read is None or half_read.verb != verb:
            raise Fault(410, "No such cursor, or no longer")
        self._drop(cursor)
        return self._page(cursor, half_read)

    def _page(self, cursor: bytes, half_read: _HalfRead) -> dict[str, bytes]:
        page, more = half_read.next_page()
        if more:
            if len(self._half_read) >= MAX_LISTS:
                self._drop(next(iter(self._half_read)))
            half_read.forget = self._clock.callLater(LIST_LIFETIME, self._drop, cursor)
            self._half_read[cursor] = half_read
        return {"shape": b"list", "page": page.encode(), "cursor": cursor if more else b""}

    def _drop(self, cursor: bytes) -> None:
        forget = self._half_read.pop(cursor).forget
        if forget is not None and forget.active():
            forget.cancel()


class _Door(amp.AMP):
    """A connection of the server's side; what is no question to us ends it without a word."""

    def __init__(self, verbs: _Verbs, ended: Callable[[], None]) -> None:
        super().__init__(locator=verbs)
        self._verbs = verbs
        self._tell_ended = ended

    def makeConnection(self, transport: Any) -> None:  # noqa: N802
        # amp.AMP would log two lines for every call of uacctl
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def ampBoxReceived(self, box: amp.AmpBox) -> None:  # noqa: N802
        answers = amp.ANSWER in box or amp.ERROR in box
        if answers or amp.ASK not in box or not 0 < len(box.get(amp.COMMAND, b"")) <= MAX_COMMAND:
            _log.info("a management connection closed: not a question of AMP")
            if self.transport is not None:
                self.transport.loseConnection()
            return
        super().ampBoxReceived(box)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        self._verbs.close()
        amp.BinaryBoxProtocol.connectionLost(self, reason)
        self.transport = None
        self._tell_ended()


def _value_page(value: Value) -> dict[str, bytes]:
    page = _encode(value)
    if len(page) > amp.MAX_VALUE_LENGTH:
        raise Fault(500, f"An answer of {len(page)} octets does not fit a page")
    return {"shape": b"value", "page": page.encode(), "cursor": b""}


def _encode(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _decode(octets: bytes | None) -> str:
    try:
        return (octets or b"").decode()
    except UnicodeDecodeError:
        raise Fault(400, "Invalid Parameters") from None


def _strings(text: str) -> list[str]:
    try:
        strings = json.loads(text or "[]")
    except (ValueError, RecursionError):
        raise Fault(400, "Invalid Parameters") from None
    if not isinstance(strings, list) or not all(isinstance(word, str) for word in strings):
        raise Fault(400, "Invalid Parameters")
    return strings
