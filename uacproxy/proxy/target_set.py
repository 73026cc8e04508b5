"""Where a request may go: the target set (RFC 3261 16.5), in groups tried one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from uacproxy.ports import Target
from uacproxy.routing.actions import Relay
from uacproxy.routing.scope import Scope
from uacproxy.sip.message import Message
from uacproxy.sip.names import ROUTE
from uacproxy.sip.uri import Uri, parse_uri, with_host

IsOurs = Callable[[Uri], bool]


@final
class Destination:
    """One element of the target set."""

    __slots__ = ("next_hop", "path", "q", "request_uri", "target")

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
        self.target = target  # known address, as of a binding behind NAT
        self.q = q
        self.path = path or []  # Route values toward a binding (RFC 3327)


FindLocal = Callable[[Uri], "list[Destination] | None"]
"""Bindings of a local user, best first; None where the registrar knows no such domain."""


def destinations(
    action: Relay, scope: Scope, is_ours: IsOurs, find_local: FindLocal
) -> list[list[Destination]]:
    """Return the groups of a ``Relay``: all of one group at once, the next when it failed.

    An empty list says that the request is for us and nobody here takes it.

    Raises:
        ParseError: a target of the script, or the Request-URI, is no URI.
    """
    request = scope.request
    if action.targets:
        found = [_named(request, target, is_ours) for target in action.targets]
        return [found] if action.parallel else [[one] for one in found]
    uri = request.uri
    if scope.next_hop or request.has(ROUTE) or not is_ours(uri):
        return [[Destination(request.request_uri, scope.next_hop)]]
    local = find_local(uri)
    return [] if not local else _by_preference(local)


def _named(request: Message, target: bytes, is_ours: IsOurs) -> Destination:
    uri = parse_uri(target)
    if uri.user or not uri.is_sip:
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
