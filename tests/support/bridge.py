"""A bridged call in a ``World``: a caller and a callee who answer as user agents do."""

from __future__ import annotations

from typing import Any

from tests.support.world import CALLEE, CALLER, World, answer, invite
from uacproxy.ports import HostPort
from uacproxy.sip.message import Message
from uacproxy.sip.parse import parse_message

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
ANSWER = b"v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\n"
TYPE = b"Content-Type: application/sdp\r\n"

SCRIPT = """
from uacproxy.routing import *
@request_route
def main(ctx):
    return Bridge(%s)
"""


class BridgedCall:
    """One call; what a side sends is made of what it got before."""

    def __init__(self, arguments: str = "'sip:bob@192.0.2.2'", script: str = "", **world: Any):
        self.world = World(script or SCRIPT % arguments, **world)
        self._branch = 0
        self.caller_cseq = 1
        self.callee_cseq = 100

    # -- the caller --------------------------------------------------------------------

    def invite(self, body: bytes = SDP, fields: bytes = b"", **words: Any) -> None:
        """Let the caller call."""
        if body:
            fields += TYPE
        self.world.receive(
            invite(
                uri=b"sip:bob@proxy.example",
                cseq=self.caller_cseq,
                fields=fields,
                body=body,
                **words,
            )
        )

    def caller_got(self, status: int) -> Message:
        """Return the last response with this status that the caller got."""
        return [one for one in self.world.sent_to(CALLER) if one.status == status][-1]

    def caller_sends(
        self,
        method: bytes,
        *,
        body: bytes = b"",
        fields: bytes = b"",
        cseq: int = 0,
        status: int = 200,
        branch: bytes = b"",
    ) -> None:
        """Let the caller send inside the dialog of the last response with ``status``."""
        heard = [
            one
            for one in self.world.sent_to(CALLER)
            if one.status == status and one.cseq.method == b"INVITE"
        ][-1]
        if method not in (b"ACK", b"CANCEL") and not cseq:
            self.caller_cseq += 1
        self._branch += 1
        self.world.receive(
            invite(
                method=method,
                uri=heard.addresses(b"contact")[0].uri,
                branch=branch or b"z9hG4bKc%d" % self._branch,
                cseq=cseq or self.caller_cseq,
                to=heard.to.raw,
                body=body,
                fields=fields + (TYPE if body else b""),
            )
        )

    def caller_acks(self, body: bytes = b"") -> None:
        self.caller_sends(b"ACK", body=body)

    def caller_cancels(self) -> None:
        self.world.receive(
            invite(method=b"CANCEL", uri=b"sip:bob@proxy.example", cseq=self.caller_cseq)
        )

    def caller_says(self, status: int, body: bytes = b"", fields: bytes = b"") -> None:
        """Let the caller answer the last request it got."""
        self._says(CALLER, b"", status, b"", body, fields)

    # -- the callee --------------------------------------------------------------------

    def callee_got(self, method: bytes, peer: HostPort = CALLEE) -> Message:
        """Return the last request of this method that the callee got."""
        return [one for one in self.world.sent_to(peer) if one.method == method][-1]

    def callee_says(
        self,
        status: int,
        tag: bytes = b"bt1",
        *,
        body: bytes = b"",
        fields: bytes = b"",
        peer: HostPort = CALLEE,
        method: bytes = b"",
    ) -> None:
        """Let the callee answer the last request it got, or the last of ``method``."""
        self._says(peer, method, status, tag, body, fields)

    def _says(
        self,
        peer: HostPort,
        method: bytes,
        status: int,
        tag: bytes,
        body: bytes,
        fields: bytes,
    ) -> None:
        got = [
            one
            for one in self.world.sent_to(peer)
            if one.is_request
            and one.method != b"ACK"
            and (one.method == method if method else one.method != b"CANCEL")
        ][-1]
        if body:
            fields += TYPE
        octets = answer(got, status, tag, fields, body)
        contact = b"<sip:%b@%b>" % (b"alice" if peer == CALLER else b"bob", peer[0].encode())
        self.world.receive(octets.replace(b"<sip:bob@192.0.2.2>", contact), peer)

    def callee_sends(
        self,
        method: bytes,
        *,
        body: bytes = b"",
        fields: bytes = b"",
        tag: bytes = b"bt1",
        cseq: int = 0,
        branch: bytes = b"",
    ) -> None:
        """Let the callee send inside the dialog of the first INVITE it got."""
        got = next(one for one in self.world.sent_to(CALLEE) if one.method == b"INVITE")
        if method not in (b"ACK", b"CANCEL") and not cseq:
            self.callee_cseq += 1
        self._branch += 1
        octets = invite(
            method=method,
            uri=got.addresses(b"contact")[0].uri,
            branch=branch or b"z9hG4bKd%d" % self._branch,
            cseq=cseq or self.callee_cseq,
            from_=got.to.head + b";tag=" + tag,
            to=got.from_.raw,
            call_id=got.call_id,
            body=body,
            fields=fields + (TYPE if body else b""),
        )
        octets = octets.replace(b"192.0.2.1:5060", b"192.0.2.2:5060")
        octets = octets.replace(b"<sip:alice@192.0.2.1>", b"<sip:bob@192.0.2.2>")
        self.world.receive(octets, CALLEE)

    # -- together ----------------------------------------------------------------------

    def answered(self, **words: Any) -> BridgedCall:
        """Bring the call to where both sides talk."""
        self.invite(**words)
        self.callee_says(200, body=ANSWER)
        self.caller_acks()
        return self

    def is_gone(self) -> None:
        """Check that nothing of any call is left once its transactions have ended."""
        world = self.world
        world.let(200.0)
        assert len(world.calls) == 0
        assert len(world.calls.legs) == 0
        assert world.table.clients == 0
        assert world.table.servers == 0
        assert world.clock.getDelayedCalls() == []


def octets_at(world: World, peer: HostPort) -> bytes:
    """Return all that a peer got, run together."""
    return b"\n".join(octets for _, to, _, octets in world.sent if to == peer)


def parsed(octets: bytes) -> Message:
    return parse_message(octets)
