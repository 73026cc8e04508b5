"""Where a request may go: the target set (RFC 3261 16.5), in groups tried one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from uacproxy.errors import ParseError, ScriptError
from uacproxy.ports import Target
from uacproxy.routing.actions import Bridge, Relay
from uacproxy.routing.scope import Scope
from uacproxy.sip.grammar import text
from uacproxy.sip.message import Message
from uacproxy.sip.names import ROUTE
from uacproxy.sip.uri import Uri, parse_uri, with_host

IsOurs = Callable[[Uri], bool]


@final
class Destination:
    """One element of the target set."""

    __slots__ = ("next_hop", "path", "q", "request_uri", "targets")

    def __init__(
        self,
        request_uri: bytes,
        next_hop: bytes = b"",
        target: Target | None = None,
        q: float = 1.0,
        path: list[bytes] | None = None,
    ) -> None:
        self.request_uri = request_uri
        self.next_hop = next_hop  # URI to send to, b"" for the route set or Request-URI
        self.targets: list[Target] = [] if target is None else [target]
        """Addresses known without asking, as of a binding behind NAT."""
        self.q = q
        self.path = path or []  # Route values toward a binding (RFC 3327)

    def again(self) -> Destination:
        """Return the same once more; its addresses are to be set anew."""
        return Destination(self.request_uri, self.next_hop, None, self.q, self.path)


FindLocal = Callable[[Uri], "list[Destination] | None"]
"""Bindings of a local user, best first; None where the registrar knows no such domain."""


def destinations(
    action: Relay | Bridge, scope: Scope, is_ours: IsOurs, find_local: FindLocal
) -> list[list[Destination]]:
    """Return the groups of a ``Relay``: all of one group at once, the next when it failed.

    An empty list says that the request is for us and nobody here takes it.

    A bare ``Relay`` of a request for us never leaves by a Route or maddr that its sender
    chose: who may relay to anywhere is the script's to say.

    Raises:
        ParseError: the Request-URI, edited by the script, is no URI.
        ScriptError: a target is no URI that requests can be sent to.
    """
    request = scope.request
    if action.targets:
        found = [_named(request, target, is_ours) for target in action.targets]
        return [found] if action.parallel else [[one] for one in found]
    uri = request.uri
    if scope.next_hop or not is_ours(uri):
        return [[Destination(request.request_uri, scope.next_hop)]]
    if request.has(ROUTE) or uri.param(b"maddr"):
        return []
    local = find_local(uri)
    return [] if not local else _by_preference(local)


def _named(request: Message, target: bytes, is_ours: IsOurs) -> Destination:
    try:
        uri = parse_uri(target)
    except ParseError as error:
        raise ScriptError(f"{text(target)!r} is no target: {error.why}") from error
    if not uri.is_sip:
        raise ScriptError(f"{text(target)!r} is no target: nothing can be sent there")
    if uri.user:
        return Destination(uri.raw)
    current = request.uri
    if not current.is_sip or not is_ours(current):
        return Destination(request.request_uri, uri.raw)
    host_port = uri.host if uri.port is None else uri.host + b":%d" % uri.port
    return Destination(with_host(current, host_port), uri.raw)


def _by_preference(found: list[Destination]) -> list[list[Destination]]:
    """Group bindings of equal q: they ring together, lower ones after them (16.6)."""
    groups: list[list[Destination]] = []
    for one in found:
        if groups and groups[-1][0].q == one.q:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups
