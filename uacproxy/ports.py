"""Ports: the shapes the inner floors ask of the outer ones.

Structural types, and ``Flow``, a class since every message asks it. ``Clock`` is the part of
Twisted's ``IReactorTime`` in use, so the reactor, ``task.Clock`` and our own ``BeatClock``
all fit as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from uacproxy.errors import UacproxyError
from uacproxy.flow import Flow as Flow
from uacproxy.flow import HostPort as HostPort
from uacproxy.settings import ListenAddress
from uacproxy.sip.uri import Uri


class Timer(Protocol):
    """A pending call that may be cancelled."""

    def active(self) -> bool:
        """Tell whether the call has neither run nor been cancelled."""

    def cancel(self) -> None:
        """Forget the call."""


class Clock(Protocol):
    """Monotonic time, in seconds, and calls in the future."""

    def seconds(self) -> float:
        """Return the current time, s."""

    def callLater(  # noqa: N802  (Twisted's name)
        self, delay: float, callable: Callable[..., object], *args: Any
    ) -> Timer:
        """Run ``callable(*args)`` after ``delay`` seconds."""


class Target(NamedTuple):
    """Where a request may go next: one address on one transport (RFC 3263 4)."""

    transport: bytes  # as in Via: b"UDP", b"TCP"
    host: str  # an IPv4 or IPv6 address, no brackets
    port: int
    chosen: bool = True  # the URI or DNS named the transport; False lets size decide


class Transports(Protocol):
    """All our listeners and connections."""

    def flow_to(self, target: Target, socket: ListenAddress | None = None) -> Flow | None:
        """Return a flow to ``target``; None where we have no listener of its kind.

        With ``socket`` it leaves from that listener and no other.
        """

    def listens_on(self, socket: ListenAddress) -> bool:
        """Tell whether ``socket`` is one of our listeners, by transport, address and port."""

    def is_ours(self, host: bytes, port: int | None, transport: bytes | None) -> bool:
        """Tell whether a URI or sent-by names one of our listeners (``port`` None: the default)."""


class Resolver(Protocol):
    """RFC 3263: from a URI to targets in order of preference."""

    def resolve(self, uri: Uri, then: Callable[[list[Target]], None]) -> None:
        """Call ``then`` with targets, at once where the answer is known, else in a later turn.

        An empty list says the name has no address or did not resolve in time.
        """


class Store(Protocol):
    """State that outlives the process: values by space and key, each with an expiry.

    A write returns at once and reaches the medium in a batch; a store that is away
    keeps writes queued and answers reads with None.
    """

    def put(
        self,
        space: str,
        key: bytes,
        value: bytes,
        expires_at_utc: float,
        *,
        may_wait: bool = False,
    ) -> None:
        """Write or overwrite; ``expires_at_utc`` is seconds of the epoch.

        ``may_wait`` lets it take part in a later batch, within a second: a killed process
        has lost it then, and nobody else sees it before.
        """

    def delete(self, space: str, key: bytes) -> None:
        """Forget the key; an unknown key is no error."""

    def get(self, space: str, key: bytes, then: Callable[[bytes | None], None]) -> None:
        """Call ``then`` with the value, or None when absent, expired or unreadable for now."""

    def scan(
        self, space: str, each: Callable[[bytes, bytes, float], None], done: Callable[[], None]
    ) -> None:
        """Call ``each(key, value, expires_at_utc)`` for what has not expired, then ``done``."""


class Lease(NamedTuple):
    """Who has a shard until its lease runs out."""

    member: str
    token: int  # rises with each grant in the group, so the larger of two is the later


class Member(NamedTuple):
    """One of those that share the shards of a group, as the keeper of the leases sees it."""

    left: float  # s until it counts as gone
    since: float  # s it had taken part without a break when last heard; 0.0: it takes no part


class LeaseWish(NamedTuple):
    """What one member asks of the keeper of the leases in one round."""

    number: int  # rises from round to round; one that comes late is refused
    takes_part: bool  # False: sees the others, and wants nothing
    floor: int  # the next token is above it, whatever the keeper has forgotten
    keep: dict[int, int]  # shard to the token of our lease
    ask: list[int]
    give_up: dict[int, int]  # shard to token
    leaves: bool = False  # this is its last round


class LeaseAnswer(NamedTuple):
    """Where all shards stand at the end of a round."""

    members: dict[str, Member]
    leases: dict[int, Lease]  # those that have not run out


class Leases(Protocol):
    """The keeper of one group's leases, for one member; all that a round says happens at once.

    A lease that is granted or kept lasts for the group's lease time from when the keeper
    heard of it, which is never before the member asked.
    """

    def round(
        self,
        wish: LeaseWish,
        then: Callable[[LeaseAnswer], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Hand over a wish; one of the two is called, once, in a later turn.

        A failure leaves open whether the wish was heard.
        """


class ChangeFeed(Protocol):
    """Tells one instance what others have written in a store that they share."""

    def since(
        self, space: str, cursor: float, then: Callable[[float, list[bytes] | None], None]
    ) -> None:
        """Call ``then`` with the cursor for the next question and the keys written since this.

        None for the keys says that it cannot tell, and any may have been written: so for
        the first question, whose cursor is 0.0. While the store is away there are none, and
        the cursor stays.
        """


class Random(Protocol):
    """Randomness that a test can hold in its hand."""

    def token(self) -> bytes:
        """Return 16 fresh hexadecimal digits for tags, branches and cnonces."""

    def uniform(self, low: float, high: float) -> float:
        """Return a number between ``low`` and ``high``."""


class Log(Protocol):
    """Levels and format strings of ``twisted.logger.Logger``."""

    def debug(self, format: str, **values: object) -> None:
        """Tell a developer."""

    def info(self, format: str, **values: object) -> None:
        """Tell an operator who looks."""

    def warn(self, format: str, **values: object) -> None:
        """Tell an operator who should look."""

    def error(self, format: str, **values: object) -> None:
        """Tell an operator who must look."""


Spawn = Callable[[Awaitable[Any], Callable[[Any], None], Callable[[BaseException], None]], None]
"""Drive a coroutine to its end: ``spawn(coroutine, done, failed)``."""
