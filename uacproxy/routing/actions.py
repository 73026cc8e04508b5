"""What a route handler returns: the outcome of a request (RFC 3261 16.5, 8.2.6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from uacproxy.errors import OwnMistake
from uacproxy.sip.grammar import is_token, octets_of


@final
class Relay:
    """Send the request on.

    Without targets it goes where its Request-URI says: to the bindings of a local user
    when the host is ours, else to that host. Each target is a URI. One with a user part
    becomes the Request-URI. One without is a next hop: the Request-URI stays, but where
    its host is ours it takes the next hop's.

    Targets are tried in order, the next when one fails; with ``parallel`` all at once.
    """

    __slots__ = ("parallel", "targets")

    def __init__(self, *targets: str, parallel: bool = False) -> None:
        self.targets = [octets_of(str(target)) for target in targets]
        self.parallel = bool(parallel)


@final
class Bridge:
    """Answer an INVITE ourselves and call each target as a call of our own (docs/b2bua.md).

    Targets are those of ``Relay``. The two sides share nothing but the session and the
    fields that are passed on. In a failure route what is left out is as the ``Bridge``
    before it said, but for the targets.

    Args:
        targets: URIs, tried in order, the next when one fails; none takes the Request-URI.
        parallel: call all targets at once.
        from_: the caller as the targets see it, a URI or ``"Display" <URI>``; "" takes
            From as it is, replaced or not. It may hold pseudo-variables, as the next two.
        to: the same for To.
        auth: credentials that answer challenges on the outer side, for the whole call:
            ``account:L_UUID``, ``user:NAME``, or ``realm`` for the ``credential`` of it.
        max_call_time: s an answered call may last, 0 for ever; None as set.
        ring_timeout: s a target may ring, 0 for ever; None as set.
    """

    __slots__ = ("auth", "from_", "max_call_time", "parallel", "ring_timeout", "targets", "to")

    def __init__(
        self,
        *targets: str,
        parallel: bool = False,
        from_: str = "",
        to: str = "",
        auth: str = "",
        max_call_time: float | None = None,
        ring_timeout: float | None = None,
    ) -> None:
        self.targets = [octets_of(str(target)) for target in targets]
        self.parallel = bool(parallel)
        self.from_ = str(from_)
        self.to = str(to)
        self.auth = str(auth)
        self.max_call_time = None if max_call_time is None else float(max_call_time)
        self.ring_timeout = None if ring_timeout is None else float(ring_timeout)

    def after(self, before: Bridge) -> Bridge:
        """Return this one with what it does not say as the one before it for the same INVITE said.

        So a failure route names nobody whom the first targets were not told. Neither is
        changed: a script may keep one for many calls.
        """
        following = Bridge(parallel=self.parallel)
        following.targets = self.targets
        following.from_ = self.from_ or before.from_
        following.to = self.to or before.to
        following.auth = self.auth or before.auth
        following.max_call_time = self.max_call_time
        following.ring_timeout = self.ring_timeout
        if following.ring_timeout is None:
            following.ring_timeout = before.ring_timeout
        return following


@final
class Reply:
    """Answer the request ourselves with a final response, 200 to 699."""

    __slots__ = ("code", "fields", "reason")

    def __init__(self, code: int, reason: str = "", fields: Iterable[tuple[str, str]] = ()) -> None:
        # A script is not typed and the core is compiled: what goes there is made exact here.
        kept = tuple([(str(name), str(value)) for name, value in fields])
        code = int(code)
        reason = str(reason)
        if not 200 <= code <= 699:
            raise OwnMistake(f"Reply({code}): a final response is 200 to 699")
        for text in (reason, *[value for _, value in kept]):
            if "\r" in text or "\n" in text:
                raise OwnMistake("Reply: no line ends in a reason phrase or field")
        for name, _ in kept:
            if not is_token(octets_of(name)):
                raise OwnMistake(f"Reply: {name!r} is no field name")
        self.code = code
        self.reason = octets_of(reason)
        self.fields = kept  # name and value of further header fields


@final
class Drop:
    """Say nothing: the request is forgotten without an answer."""

    __slots__ = ()


Action = Relay | Reply | Drop | Bridge
