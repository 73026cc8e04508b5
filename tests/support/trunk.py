"""A trunk that asks for credentials: the script, its challenges, and sums by hashlib alone."""

from __future__ import annotations

import hashlib

from tests.support.calls import Call, last_of, script
from tests.support.world import CALLEE, OTHER, World, answer, invite
from uacproxy.ports import HostPort, Store
from uacproxy.routing.settings import RuleSettings
from uacproxy.sip.digest import DigestCredentials, parse_credentials
from uacproxy.sip.message import Message
from uacproxy.sip.names import PROXY_AUTHORIZATION
from uacproxy.uac.credentials import CredentialList, parse_credential

AUTH = script(
    """
@request_route
def main(ctx):
    ctx.on_failure("TRUNKAUTH")
    return Relay("sip:trunk.example")

@failure_route("TRUNKAUTH")
def trunk_auth(ctx):
    if ctx.is_canceled or not ctx.check_status("401|407"):
        return None
    if ctx.uac.auth():
        ctx.on_failure("TRUNKAUTH")
        return Relay()
"""
)

AS_RULE = script(
    """
@request_route
def main(ctx):
    ctx.uac.auth_as("yes")
    return Relay("sip:trunk.example")
"""
)

CREDENTIALS = CredentialList(
    [parse_credential("me:trunk.example:secret"), parse_credential("you:far.example:other")]
)
HASHES = {b"MD5": "md5", b"SHA-256": "sha256", b"SHA-512-256": "sha512_256"}


def trunked(
    text: str = AUTH,
    *,
    credentials: CredentialList = CREDENTIALS,
    rules: list[RuleSettings] | None = None,
    track_cseq: bool = True,
    consume_credentials: bool = True,
    store: Store | None = None,
) -> World:
    """Return a proxy that knows two trunks: at CALLEE, and a backup at OTHER."""
    world = World(
        "" if rules else text,
        rules or (),
        credentials=credentials,
        track_cseq=track_cseq,
        consume_credentials=consume_credentials,
        store=store,
    )
    world.names[b"trunk.example"] = [CALLEE]
    world.names[b"backup.example"] = [OTHER]
    return world


def asking(
    realm: bytes = b"trunk.example", nonce: bytes = b"n1", more: bytes = b', qop="auth"'
) -> bytes:
    """Return the value of a challenge."""
    return b'Digest realm="%b", nonce="%b"%b' % (realm, nonce, more)


def challenge(request: Message, *values: bytes, status: int = 407) -> bytes:
    """Return a 401 or 407 to a request, one field for each value."""
    name = b"Proxy-Authenticate: " if status == 407 else b"WWW-Authenticate: "
    fields = b"".join(name + value + b"\r\n" for value in values or (asking(),))
    return answer(request, status, b"challenger", fields)


def ask(
    world: World, *values: bytes, status: int = 407, peer: HostPort = CALLEE, method: bytes = b""
) -> Message:
    """Let a trunk challenge the last request it got; return what it got after that."""
    sent = [one for one in world.sent_to(peer) if one.is_request and one.method != b"ACK"]
    if method:
        sent = [one for one in sent if one.method == method]
    world.receive(challenge(sent[-1], *values, status=status), peer)
    again = [one for one in world.sent_to(peer) if one.is_request and one.method != b"ACK"]
    return again[-1]


def given(sent: Message, name: bytes = PROXY_AUTHORIZATION) -> list[DigestCredentials]:
    """Return the credentials a request carries."""
    return parse_credentials(sent, name)


def is_right(
    sent: Message, password: bytes = b"secret", name: bytes = PROXY_AUTHORIZATION, at: int = 0
) -> bool:
    """Compute one answer anew (RFC 7616 3.4.1), with nothing of ours, and compare."""
    one = given(sent, name)[at]
    algorithm = one.algorithm.upper()
    a1 = h(algorithm, b":".join((one.username, one.realm, password)))
    if algorithm.endswith(b"-SESS"):
        a1 = h(algorithm, b":".join((a1, one.nonce, one.cnonce)))
    a2 = sent.method + b":" + one.uri
    if one.qop == b"auth-int":
        a2 += b":" + h(algorithm, sent.body)
    middle = [one.nonce, one.nc, one.cnonce, one.qop] if one.qop else [one.nonce]
    return one.response == h(algorithm, b":".join((a1, *middle, h(algorithm, a2))))


def h(algorithm: bytes, octets: bytes) -> bytes:
    """Return H(octets) in hexadecimal digits."""
    name = HASHES[algorithm.removesuffix(b"-SESS") or b"MD5"]
    return hashlib.new(name, octets).hexdigest().encode("ascii")


class TrunkCall(Call):
    """A call that was challenged, answered for and accepted; the ACK is still to come."""

    def __init__(
        self, world: World, *, cseq: int = 1, values: tuple[bytes, ...] = (), status: int = 407
    ) -> None:
        self.world = world
        self.callee = CALLEE
        self._branches = 0
        world.receive(invite(cseq=cseq))
        self.first = last_of(world, CALLEE, b"INVITE")
        self.confirm(ask(world, *values, status=status))

    def go_on_at(self, world: World) -> None:
        """Let another process, or instance, serve the rest of the call."""
        self.world = world
