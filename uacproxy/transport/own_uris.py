"""Which URIs name this service (RFC 3261 16.4, 16.5): asked several times for each request."""

from __future__ import annotations

from typing import final

from uacproxy.sip.uri import Uri
from uacproxy.transport.own_names import OwnNames


@final
class OwnUris:
    """Our listeners' addresses and the domains that are ours besides."""

    __slots__ = ("_domains", "_names")

    def __init__(self, names: OwnNames, domains: frozenset[bytes]) -> None:
        """Take the names of the listeners, open or to be opened, and domains in lower case."""
        self._names = names
        self._domains = domains

    def is_ours(self, uri: Uri) -> bool:
        """Tell whether a URI names an address we listen on, or a domain of ours.

        A domain is ours without a port, or with that of a listener.
        """
        if not uri.is_sip:
            return False
        if self._names.is_ours(uri.host, uri.port, uri.transport):
            return True
        if not self.is_our_domain(uri.host):
            return False
        return uri.port is None or uri.port in self._names.ports

    def is_our_domain(self, host: bytes) -> bool:
        """Tell whether a host is a domain of ours, or a listener's address."""
        return host in self._domains or self._names.is_ours(host, None, None)
