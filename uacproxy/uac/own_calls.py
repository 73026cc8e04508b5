"""All calls that scripts make, found by what comes inside their dialogs (RFC 3261 12.2.2)."""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import ParseError
from uacproxy.ports import Clock
from uacproxy.sip.build import build_response
from uacproxy.sip.grammar import is_token, octets_of
from uacproxy.sip.message import Message
from uacproxy.sip.names import ROUTE
from uacproxy.sip.parse import describe
from uacproxy.transaction.server import ServerTransaction
from uacproxy.uac.invite import InviteSender
from uacproxy.uac.own_call import OwnCall
from uacproxy.uac.own_request import BadKey, OwnRequest
from uacproxy.uac.request_exchange import MOST_UNDER_WAY, Answer, Heard, OwnRequests
from uacproxy.uac.send import UNREACHED

LIFETIME: Final = 43_200.0  # s, of a call that nobody ends

_NOT_INSIDE: Final = frozenset((b"INVITE", b"ACK", b"CANCEL", b"PRACK", b"REGISTER"))


@final
class OwnCalls:
    """The calls under way and those that stand.

    Args:
        invites: sends their INVITEs.
        requests: sends everything else inside them.
        clock: of how long they may ring and last.
        t1: s, and so are ``t2`` and ``lifetime``.
        most: of them at a time; a further one fails at once.
    """

    def __init__(
        self,
        *,
        invites: InviteSender,
        requests: OwnRequests,
        clock: Clock,
        t1: float = 0.5,
        t2: float = 4.0,
        lifetime: float = LIFETIME,
        most: int = MOST_UNDER_WAY,
    ) -> None:
        self.invites = invites
        self.clock = clock
        self.t1 = t1
        self.t2 = t2
        self.lifetime = lifetime
        self._requests = requests
        self._most = most
        self._calls: dict[tuple[bytes, bytes], OwnCall] = {}

    def __len__(self) -> int:
        """Return how many calls ring or stand."""
        return len(self._calls)

    def call(self, own: OwnRequest, heard: Heard) -> OwnCall:
        """Send an INVITE.

        Calls:
            heard: once, in a later turn; with a 2xx the call has a dialog.
        """
        call = OwnCall(self, own, heard)
        key = (own.message.call_id, call.local_tag)
        why = ""
        if len(self._calls) >= self._most:
            why = "too many calls of our own"
        elif key in self._calls:
            why = "a call of this Call-ID and From tag is there already"
        if why:
            answer = Answer(UNREACHED, None, own.message, None, why, True)
            self.clock.callLater(0, heard, answer)
            return call
        self._calls[key] = call
        call.start()
        return call

    def send(self, request: OwnRequest, heard: Heard) -> None:
        """Send a request inside one of the dialogs."""
        self._requests.send(request, heard)

    def method_of(self, method: str) -> bytes:
        """Return a method that a script may use inside a call.

        Raises:
            BadKey: it is none.
        """
        octets = octets_of(method)
        if not is_token(octets) or octets in _NOT_INSIDE:
            raise BadKey("method", "is none that can be sent inside a call")
        return octets

    def forget(self, call: OwnCall) -> None:
        """Know a call no more."""
        key = (call.call_id, call.local_tag)
        if self._calls.get(key) is call:
            del self._calls[key]

    def hang_up(self) -> None:
        """End every call, as the service stops."""
        for call in list(self._calls.values()):
            call.hang_up()

    # -- from the core -----------------------------------------------------------------

    def request_received(self, server: ServerTransaction, request: Message) -> bool:
        """Answer a request inside one of our dialogs; False for any other."""
        call = self._call_of(request)
        if call is None:
            return False
        try:
            call.request_received(server, request)
        except ParseError as error:
            server.respond(build_response(request, error.status, describe(error)))
        return True

    def ack_received(self, ack: Message) -> bool:
        """Take the ACK of a 2xx of ours; False for any other."""
        call = self._call_of(ack)
        if call is None:
            return False
        call.ack_received(ack)
        return True

    def _call_of(self, request: Message) -> OwnCall | None:
        if not self._calls or request.has(ROUTE):  # with a Route it is only on its way to us
            return None
        tag = request.to.tag
        return self._calls.get((request.call_id, tag)) if tag else None
