"""One end of a call: what a peer keeps of a dialog to make requests in it (RFC 3261 12)."""

from __future__ import annotations

from typing import final

from uacproxy.sip.build import build_request
from uacproxy.sip.message import Message
from uacproxy.sip.names import CALL_ID, CONTACT, CSEQ, FROM, MAX_FORWARDS, RECORD_ROUTE, ROUTE, TO


@final
class CallEnd:
    """The dialog as its caller or its callee has it; begins when the 2xx is there."""

    def __init__(self, local: bytes, remote: bytes, peer: Message, routes: list[bytes]) -> None:
        """Keep both addresses with their tags.

        Args:
            local: goes into From.
            remote: goes into To.
            peer: message of the other side, whose Contact requests are for.
            routes: first hop first.
        """
        self.call_id = peer.call_id
        self.local = local
        self.remote = remote
        self.cseq = 0  # of the last request of ours
        self._target = peer.addresses(CONTACT)[0].uri
        self._routes = routes

    @classmethod
    def of_caller(cls, invite: Message, final: Message) -> CallEnd:
        """Return the end that sent the INVITE and heard this 2xx (12.1.2)."""
        routes = [route.raw for route in final.addresses(RECORD_ROUTE)]
        remote = invite.to.head + final.to.tail
        end = cls(invite.from_.raw, remote, final, routes[::-1])
        end.cseq = invite.cseq.number
        return end

    @classmethod
    def of_callee(cls, invite: Message, final: Message, cseq: int) -> CallEnd:
        """Return the end that heard the INVITE and sent this 2xx (12.1.1); it counts from here."""
        routes = [route.raw for route in invite.addresses(RECORD_ROUTE)]
        end = cls(final.to.raw, invite.from_.raw, invite, routes)
        end.cseq = cseq
        return end

    def request(self, method: bytes, contact: bytes = b"") -> Message:
        """Make the next request; an ACK has the CSeq number of the INVITE before it."""
        if method != b"ACK":
            self.cseq += 1
        fields = [(ROUTE, route) for route in self._routes]
        fields += [
            (MAX_FORWARDS, b"70"),
            (FROM, self.local),
            (TO, self.remote),
            (CALL_ID, self.call_id),
            (CSEQ, b"%d %b" % (self.cseq, method)),
        ]
        if contact:
            fields.append((CONTACT, b"<" + contact + b">"))
        return build_request(method, self._target, fields)
