"""Whatever is challenged in a dialog, each side sees numbers that rise by one, and ACKs that fit.

Each example is a call whose INVITE may be challenged, and a row of events: either side
sends any request inside the dialog, the callee challenges some of the caller's, at once
or behind later ones, and the service may be another one from then on.
"""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.calls import Call, last_of
from tests.support.trunk import AS_RULE, asking, challenge, is_right, trunked
from tests.support.world import CALLEE, CALLER, World, answer, invite
from uacproxy.ports import HostPort
from uacproxy.sip.message import Message
from uacproxy.store.memory import MemoryStore

METHODS = [b"INVITE", b"UPDATE", b"INFO", b"REFER", b"NOTIFY", b"MESSAGE", b"PRACK", b"OPTIONS"]
TRACKED = AS_RULE.replace("    ctx.uac", "    ctx.track_dialog()\n    ctx.uac", 1)


class Event(NamedTuple):
    """One thing that happens."""

    kind: str
    method: bytes
    challenges: int  # before the 2xx, each with another nonce


EVENTS = st.builds(
    Event,
    st.sampled_from(["caller", "caller", "caller", "later", "answer", "callee", "restart"]),
    st.sampled_from(METHODS),
    st.sampled_from([0, 0, 1, 1, 2]),
)


class Ledger:
    """A call, what is still to be answered in it, and the numbers each side has seen."""

    def __init__(self, tracked: bool, challenges: int) -> None:
        self.text = TRACKED if tracked else AS_RULE
        self.store = MemoryStore(lambda: 0.0)
        self.nonces = 0
        self.caller = 1
        self.callee = 100
        self.pending: list[tuple[bytes, Message, int, int]] = []
        self.seen: dict[HostPort, list[int]] = {CALLER: [], CALLEE: []}
        world = trunked(self.text, store=self.store)
        world.receive(invite())
        sent = last_of(world, CALLEE, b"INVITE")
        for _ in range(challenges):
            sent = self.challenged(world, sent)
        self.call = Call.__new__(Call)
        self.call.world, self.call.callee, self.call._branches = world, CALLEE, 0
        self.call.confirm(sent)
        self.ack(1, sent)

    def challenged(self, world: World, sent: Message) -> Message:
        self.nonces += 1
        value = asking(nonce=b"n%d" % self.nonces)
        world.receive(challenge(sent, value), CALLEE)
        again = last_of(world, CALLEE, sent.method)
        assert is_right(again)
        return again

    def ack(self, number: int, sent: Message) -> None:
        ack = self.call.from_caller(b"ACK", number)
        assert (ack.method, ack.cseq.number) == (b"ACK", sent.cseq.number)

    def caller_sends(self, event: Event, later: bool) -> None:
        self.caller += 1
        fields = b"RAck: 7 1 INVITE\r\n" if event.method == b"PRACK" else b""
        sent = self.call.from_caller(event.method, self.caller, fields=fields)
        assert sent.method == event.method
        if event.method == b"PRACK":
            assert sent.need(b"rack") == b"7 %d INVITE" % self.call.sent.cseq.number
        self.pending.append((event.method, sent, self.caller, event.challenges))
        if not later:
            self.answer(len(self.pending) - 1)

    def answer(self, which: int) -> None:
        world = self.call.world
        method, sent, number, challenges = self.pending.pop(which)
        for _ in range(challenges):
            sent = self.challenged(world, sent)
        world.receive(answer(sent, 200), CALLEE)
        heard = [one for one in world.sent_to(CALLER) if not one.is_request]
        assert (heard[-1].status, heard[-1].cseq.number) == (200, number)
        if method == b"INVITE":
            self.ack(number, sent)

    def callee_sends(self, event: Event) -> None:
        self.callee += 1
        there = self.call.from_callee(event.method, self.callee)
        self.call.world.receive(answer(there, 200), CALLER)
        heard = [one for one in self.call.world.sent_to(CALLEE) if not one.is_request]
        assert (heard[-1].status, heard[-1].cseq.number) == (200, self.callee)
        if event.method == b"INVITE":
            ack = self.call.from_callee(b"ACK", self.callee)
            assert (ack.method, ack.cseq.number) == (b"ACK", self.callee)

    def restart(self) -> None:
        while self.pending:
            self.answer(0)
        self.note()
        self.call.world = trunked(self.text, store=self.store)

    def note(self) -> None:
        """Take down what the sides have seen at this service."""
        for peer, seen in self.seen.items():
            for one in self.call.world.sent_to(peer):
                if one.is_request and one.method not in (b"ACK", b"CANCEL"):
                    seen.append(one.cseq.number)


@settings(max_examples=150, deadline=None)
@given(st.booleans(), st.sampled_from([0, 1, 2]), st.lists(EVENTS, max_size=14))
def test_numbers_rise_by_one_on_each_side_and_every_ack_fits(
    tracked: bool, challenges: int, events: list[Event]
) -> None:
    ledger = Ledger(tracked, challenges)
    for event in events:
        if event.kind == "callee":
            ledger.callee_sends(event)
        elif event.kind == "restart":
            ledger.restart()
        elif event.kind == "answer":
            if ledger.pending:
                ledger.answer(event.challenges % len(ledger.pending))
        else:
            if event.kind == "later" and len(ledger.pending) >= 3:
                ledger.answer(0)
            ledger.caller_sends(event, event.kind == "later")
    ledger.restart()
    seen = ledger.seen[CALLEE]
    assert seen == list(range(1, len(seen) + 1))
    assert ledger.seen[CALLER] == list(range(101, ledger.callee + 1))
    bye = ledger.call.from_caller(b"BYE", ledger.caller + 1)
    assert bye.cseq.number == len(seen) + 1
