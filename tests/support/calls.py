"""Calls through a ``World``: the scripts, requests and answers that tests of the core share."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.world import CALLEE, CALLER, World, answer, invite
from uacproxy.ports import HostPort
from uacproxy.registrar.digest_server import DigestServer, Verdict
from uacproxy.sip.digest import Challenge, parse_challenges, parse_credentials
from uacproxy.sip.digest_hash import find_algorithm
from uacproxy.sip.message import Message
from uacproxy.sip.names import PROXY_AUTHORIZATION, RECORD_ROUTE

IMPORTS = """
from uacproxy.routing import (
    Drop, Relay, Reply, branch_route, dialog_route, event_route, failure_route, onreply_route,
    request_route,
)
"""

RELAY = (
    IMPORTS
    + """
@request_route
def main(ctx):
    return Relay()
"""
)

HIDE = (
    IMPORTS
    + """
@request_route
def main(ctx):
    ctx.uac.replace_from('"Trunk 7"', "sip:7@trunk.example")
    ctx.uac.replace_to("sip:b@z.cc")
    return Relay("sip:192.0.2.2")
"""
)

ALICE = b'"Alice" <sip:alice@a.example>'
BOB = b"<sip:bob@b.example>"


def script(body: str) -> str:
    """Return a route script: the imports, then ``body``."""
    return IMPORTS + body


def relaying(*targets: str, parallel: bool = False, before: str = "pass") -> str:
    """Return a script that relays everything to ``targets`` after the statement ``before``."""
    words = ", ".join([*(repr(target) for target in targets), f"parallel={parallel}"])
    return script(f"@request_route\ndef main(ctx):\n    {before}\n    return Relay({words})\n")


def with_peer(octets: bytes, peer: HostPort) -> bytes:
    """Return a request of the caller's making as if ``peer`` had sent it."""
    return octets.replace(b"192.0.2.1:5060;branch", b"%b:%d;branch" % (peer[0].encode(), peer[1]))


def last_of(world: World, peer: HostPort, method: bytes) -> Message:
    """Return the last request of that method that a peer got."""
    return [one for one in world.sent_to(peer) if one.method == method][-1]


def responses_to(world: World, peer: HostPort, method: bytes) -> list[int]:
    """Return the statuses of what a peer was answered; a failure sent again counts once."""
    found: list[int] = []
    failures: set[bytes] = set()
    for one in world.sent_to(peer):
        octets = one.encode()
        if one.is_request or one.cseq.method != method or octets in failures:
            continue
        found.append(one.status)
        if one.status >= 300:
            failures.add(octets)
    return found


class Call:
    """One call that was set up: both sides send inside the dialog."""

    def __init__(self, world: World, callee: HostPort = CALLEE, *, invited: bytes = b"") -> None:
        """Place the call; the callee's 200 is answered by no ACK yet."""
        self.world = world
        self.callee = callee
        self._branches = 0
        world.receive(invited or invite())
        self.sent = last_of(world, callee, b"INVITE")
        self.confirm(self.sent)

    def confirm(self, sent: Message, to_tag: bytes = b"bt1") -> None:
        """Let the callee answer 200 to the INVITE it got."""
        self.sent = sent
        self.world.receive(answer(sent, 200, to_tag), self.callee)
        self.final = self.world.last_to(CALLER)
        self.callee_tag = to_tag

    def from_caller(
        self,
        method: bytes,
        cseq: int = 2,
        *,
        fields: bytes = b"",
        from_: bytes = b"",
        to: bytes = b"",
        branch: bytes = b"",
        routes: Sequence[bytes] | None = None,
        uri: bytes = b"sip:bob@192.0.2.2",
    ) -> Message:
        """Send a request of the caller inside the dialog; return what the callee got last."""
        if routes is None:
            routes = list(reversed(self.final.values(RECORD_ROUTE)))
        self._branches += 1
        self.world.receive(
            invite(
                method=method,
                uri=uri,
                branch=branch or b"z9hG4bKcaller%d" % self._branches,
                cseq=cseq,
                fields=_route_lines(routes) + fields,
                from_=from_ or self.final.from_.raw,
                to=to or self.final.to.raw,
            )
        )
        return self.world.last_to(self.callee)

    def from_callee(
        self,
        method: bytes,
        cseq: int = 1,
        *,
        fields: bytes = b"",
        from_: bytes = b"",
        to: bytes = b"",
        branch: bytes = b"",
        routes: Sequence[bytes] | None = None,
    ) -> Message:
        """Send a request of the callee inside the dialog; return what the caller got last."""
        if routes is None:
            routes = self.sent.values(RECORD_ROUTE)
        self._branches += 1
        octets = invite(
            method=method,
            uri=b"sip:alice@192.0.2.1",
            branch=branch or b"z9hG4bKcallee%d" % self._branches,
            cseq=cseq,
            fields=_route_lines(routes) + fields,
            from_=from_ or self.sent.to.raw + b";tag=" + self.callee_tag,
            to=to or self.sent.from_.raw,
        )
        self.world.receive(with_peer(octets, self.callee), self.callee)
        return self.world.last_to(CALLER)


def _route_lines(routes: Sequence[bytes]) -> bytes:
    return b"".join(b"Route: " + value + b"\r\n" for value in routes)


class Provider:
    """A far end that challenges with our own digest server and says what it thinks of answers."""

    def __init__(self, world: World, realm: bytes = b"trunk.example", status: int = 407) -> None:
        self.world = world
        self.status = status
        self.digest = DigestServer(realm, b"k" * 16, lambda: 1e9 + world.clock.seconds(), 300.0)

    def challenge(self, request: Message, *, stale: bool = False) -> bytes:
        """Return the 401 or 407 to a request."""
        name = b"Proxy-Authenticate: " if self.status == 407 else b"WWW-Authenticate: "
        fields = b"".join(name + value + b"\r\n" for value in self.digest.challenges(stale=stale))
        return answer(request, self.status, b"challenger", fields)

    def judge(
        self,
        request: Message,
        username: bytes,
        password: bytes,
        field: bytes = PROXY_AUTHORIZATION,
    ) -> Verdict | None:
        """Return the verdict on the answer in ``request``, None when there is none for us."""
        for given in parse_credentials(request, field):
            if given.realm == self.digest.realm:
                algorithm = find_algorithm(given.algorithm)
                assert algorithm is not None
                ha1 = compute_ha1_of(algorithm.name, username, given.realm, password)
                assert given.username == username
                return self.digest.verify(request, given, ha1)
        return None


def compute_ha1_of(algorithm: bytes, username: bytes, realm: bytes, password: bytes) -> bytes:
    """Return H(username:realm:password) in hexadecimal digits, by hashlib and nothing of ours."""
    import hashlib

    name = {b"MD5": "md5", b"SHA-256": "sha256"}[algorithm]
    return hashlib.new(name, b":".join((username, realm, password))).hexdigest().encode("ascii")


def challenges_in(response: Message, name: bytes) -> list[Challenge]:
    """Return the challenges of one field name in a response."""
    return parse_challenges(response, name)
