"""One dialog at several instances: none of them spoils what another has in the store."""

from __future__ import annotations

import pytest

from tests.support.clock import SteppingClock
from tests.support.world import CountingRandom, answer, invite
from uacproxy.counters import DialogCounters
from uacproxy.dialog.dialog import Dialog, DialogState, decode_dialog
from uacproxy.dialog.tracker import SPACE, DialogTracker
from uacproxy.sip.message import Message
from uacproxy.sip.parse import parse_message
from uacproxy.store.memory import MemoryStore

EARLY, LIFETIME = 300.0, 1000.0  # s


class Farm:
    """Instances on one store; the first of them routes the INVITE."""

    def __init__(self) -> None:
        self.clock = SteppingClock()
        self.store = MemoryStore(self.clock.seconds)
        self.one, self.other = self.instance(), self.instance()

    def instance(self) -> DialogTracker:
        return DialogTracker(
            clock=self.clock,
            now_utc=self.clock.seconds,
            random=CountingRandom(),
            store=self.store,
            counters=DialogCounters(),
            early_timeout=EARLY,
            lifetime=LIFETIME,
            max_dialogs=10,
        )

    def ringing(self) -> Dialog:
        dialog = self.one.track(parse_message(invite()))
        assert dialog is not None
        self.one.keep_early(dialog)
        return dialog

    def answered(self) -> Dialog:
        dialog = self.ringing()
        self.one.response_passed(dialog, parse_message(answer(parse_message(invite()), 200)))
        return dialog

    def passes(self, tracker: DialogTracker, ident: bytes, request: Message) -> None:
        found: list[Dialog | None] = []
        tracker.find(ident, request, found.append)
        assert found[0] is not None
        tracker.request_passed(found[0], request)

    def let(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.one.expire_due()
        self.other.expire_due()

    def kept(self, ident: bytes) -> Dialog | None:
        found: list[bytes | None] = []
        self.store.get(SPACE, ident, found.append)
        return None if found[0] is None else decode_dialog(ident, found[0])


def inside(method: bytes) -> Message:
    return parse_message(invite(method=method, cseq=2, to=b"<sip:bob@b.example>;tag=bt1"))


def test_a_call_that_went_to_another_instance_stays_in_the_store_when_it_expires_here() -> None:
    farm = Farm()
    ident = farm.answered().ident
    farm.let(600.0)
    farm.passes(farm.other, ident, inside(b"INFO"))
    farm.let(600.0)
    assert len(farm.one) == 0
    assert farm.kept(ident) is not None


@pytest.mark.parametrize("method", [b"PRACK", b"UPDATE", b"INFO"])
def test_what_passes_by_another_instance_before_the_answer_spoils_no_answered_dialog(
    method: bytes,
) -> None:
    farm = Farm()
    dialog = farm.ringing()
    found: list[Dialog | None] = []
    farm.other.find(dialog.ident, inside(method), found.append)
    farm.one.response_passed(dialog, parse_message(answer(parse_message(invite()), 200)))
    assert found[0] is not None
    farm.other.request_passed(found[0], inside(method))
    farm.let(EARLY + 10.0)
    kept = farm.kept(dialog.ident)
    assert kept is not None
    assert kept.state is DialogState.CONFIRMED


@pytest.mark.parametrize("method", [b"ACK", b"INVITE"])
def test_an_answer_that_the_store_never_heard_of_is_told_by_what_follows_it(method: bytes) -> None:
    farm = Farm()
    ident = farm.ringing().ident
    heir = farm.instance()
    farm.passes(heir, ident, inside(method))
    farm.let(EARLY + 10.0)
    heir.expire_due()
    assert len(heir) == 1
    kept = farm.kept(ident)
    assert kept is not None
    assert (kept.state, kept.callee_tag) == (DialogState.CONFIRMED, b"bt1")


def test_a_store_that_was_emptied_is_given_every_live_dialog_again() -> None:
    farm = Farm()
    ident = farm.answered().ident
    farm.store.delete(SPACE, ident)
    for _ in farm.one.written_again():
        pass
    kept = farm.kept(ident)
    assert kept is not None
    assert kept.state is DialogState.CONFIRMED


def test_a_dialog_that_ended_meanwhile_is_not_given_again() -> None:
    farm = Farm()
    _, dialog = farm.answered(), farm.answered()
    steps = farm.one.written_again()
    next(steps)  # the first of them
    farm.one.request_passed(dialog, inside(b"BYE"))
    farm.store.delete(SPACE, dialog.ident)
    for _ in steps:
        pass
    assert farm.kept(dialog.ident) is None
