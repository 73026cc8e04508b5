"""Tracked dialogs: their life, their end, and the store behind them (RFC 3261 12, RFC 6665)."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

from tests.support.calls import RELAY, Call, last_of, relaying, responses_to
from tests.support.clock import SteppingClock
from tests.support.world import CALLEE, CALLER, CountingRandom, World, answer, invite
from uacproxy.counters import DialogCounters
from uacproxy.dialog.dialog import TABLE, Dialog, DialogInput, DialogState, decode_dialog
from uacproxy.dialog.tracker import LINGERS, SPACE, DialogTracker
from uacproxy.errors import StoreCorrupt
from uacproxy.sip.message import Message
from uacproxy.sip.parse import parse_message
from uacproxy.store.memory import MemoryStore

TRACK = relaying("sip:192.0.2.2", before="ctx.track_dialog()")


class Bench:
    """A tracker with its store, and another that takes over from it."""

    def __init__(self, *, max_dialogs: int = 100) -> None:
        self.clock = SteppingClock()
        self.store = MemoryStore(self.clock.seconds)
        self.counters = DialogCounters()
        self.max_dialogs = max_dialogs
        self.tracker = self.another()

    def another(self) -> DialogTracker:
        return DialogTracker(
            clock=self.clock,
            now_utc=self.clock.seconds,
            random=CountingRandom(),
            store=self.store,
            counters=self.counters,
            early_timeout=300.0,
            lifetime=1000.0,
            max_dialogs=self.max_dialogs,
        )

    def begun(self, octets: bytes = b"") -> Dialog:
        dialog = self.tracker.track(parse_message(octets or invite()))
        assert dialog is not None
        return dialog

    def confirmed(self, octets: bytes = b"") -> Dialog:
        dialog = self.begun(octets)
        self.tracker.response_passed(dialog, response(200))
        return dialog

    def found(self, tracker: DialogTracker, dialog: Dialog, request: Message) -> Dialog | None:
        heard: list[Dialog | None] = []
        tracker.find(dialog.ident, request, heard.append)
        [answer] = heard
        return answer

    def let(self, seconds: float) -> None:
        self.clock.run_until(self.clock.seconds() + seconds)
        self.tracker.expire_due()


def response(status: int, to_tag: bytes = b"bt1") -> Message:
    return parse_message(answer(parse_message(invite()), status, to_tag))


def inside(method: bytes = b"INFO", to_tag: bytes = b"bt1", fields: bytes = b"") -> Message:
    return parse_message(
        invite(method=method, to=b"<sip:bob@b.example>;tag=" + to_tag, fields=fields)
    )


def from_callee(method: bytes = b"INFO", from_tag: bytes = b"bt1", fields: bytes = b"") -> Message:
    return parse_message(
        invite(
            method=method,
            from_=b"<sip:bob@b.example>;tag=" + from_tag,
            to=b"<sip:alice@a.example>;tag=at1",
            fields=fields,
        )
    )


# -- states ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "what", "after"),
    [(state, what, after) for (state, what), after in TABLE.items()],
)
def test_every_arrow_of_the_table_is_walked(
    state: DialogState, what: DialogInput, after: DialogState
) -> None:
    bench = Bench()
    dialog = bench.confirmed() if state is DialogState.CONFIRMED else bench.begun()
    if what is DialogInput.PROVISIONAL:
        bench.tracker.response_passed(dialog, response(180))
    elif what is DialogInput.SUCCESS:
        bench.tracker.response_passed(dialog, response(200))
    elif what is DialogInput.FAILURE:
        bench.tracker.response_passed(dialog, response(486))
    elif what is DialogInput.ENDED and state is DialogState.EARLY:
        dialog.begun_by = b"SUBSCRIBE"
        last = from_callee(b"NOTIFY", fields=b"Subscription-State: terminated\r\n")
        bench.tracker.request_passed(dialog, last)
    elif what is DialogInput.ENDED:
        bench.tracker.request_passed(dialog, inside(b"BYE"))
    else:
        bench.let(1001.0)
    assert dialog.state is after
    assert len(bench.tracker) == (after is not DialogState.TERMINATED)


def test_a_late_failure_does_not_end_an_answered_dialog() -> None:
    bench = Bench()
    dialog = bench.confirmed()
    bench.tracker.response_passed(dialog, response(486))
    bench.tracker.failed(dialog)
    assert dialog.state is DialogState.CONFIRMED


def test_a_second_2xx_of_a_fork_does_not_take_the_dialog_over() -> None:
    bench = Bench()
    dialog = bench.confirmed()
    bench.tracker.response_passed(dialog, response(200, b"other"))
    assert bench.found(bench.tracker, dialog, inside(to_tag=b"bt1")) is dialog
    assert bench.found(bench.tracker, dialog, inside(to_tag=b"other")) is dialog
    bench.tracker.request_passed(dialog, inside(b"BYE", to_tag=b"other"))
    assert len(bench.tracker) == 1
    bench.tracker.request_passed(dialog, inside(b"BYE"))
    assert len(bench.tracker) == 0


def test_an_ended_dialog_ends_once() -> None:
    bench = Bench()
    dialog = bench.confirmed()
    for _ in range(2):
        bench.tracker.request_passed(dialog, inside(b"BYE"))
    bench.let(5000.0)
    assert (bench.counters.ended, bench.counters.expired) == (1, 0)


@pytest.mark.parametrize(
    ("method", "state", "ends"),
    [
        (b"SUBSCRIBE", b"terminated;reason=timeout", True),
        (b"SUBSCRIBE", b"Terminated", True),
        (b"SUBSCRIBE", b"active;expires=60", False),
        (b"REFER", b"terminated", True),
        (b"INVITE", b"terminated", False),
    ],
)
def test_a_notify_ends_the_dialog_that_is_nothing_but_its_subscription(
    method: bytes, state: bytes, ends: bool
) -> None:
    bench = Bench()
    dialog = bench.confirmed(invite(method=method))
    fields = b"Subscription-State: " + state + b"\r\n"
    bench.tracker.request_passed(dialog, from_callee(b"NOTIFY", fields=fields))
    assert (dialog.state is DialogState.TERMINATED) is ends


# -- matching --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "fits"),
    [
        (inside(), True),
        (from_callee(), True),
        (inside(to_tag=b"zz"), True),  # another callee of the fork
        (from_callee(from_tag=b"zz"), True),
        (parse_message(invite(call_id=b"other", to=b"<sip:b@b>;tag=bt1")), False),
        (parse_message(invite(from_=b"<sip:x@x>;tag=x", to=b"<sip:b@b>;tag=bt1")), False),
    ],
)
def test_a_dialog_is_that_of_its_call_id_and_callers_tag(request_: Message, fits: bool) -> None:
    bench = Bench()
    dialog = bench.confirmed()
    assert (bench.found(bench.tracker, dialog, request_) is dialog) is fits


def test_an_early_dialog_is_that_of_any_callee() -> None:
    bench = Bench()
    dialog = bench.begun()
    assert bench.found(bench.tracker, dialog, inside(to_tag=b"one")) is dialog
    assert bench.found(bench.tracker, dialog, from_callee(from_tag=b"two")) is dialog


def test_an_ident_that_nobody_gave_is_no_dialog() -> None:
    bench = Bench()
    dialog = bench.confirmed()
    dialog.ident = b"made-up"
    assert bench.found(bench.tracker, dialog, inside()) is None


# -- time ------------------------------------------------------------------------------


def test_a_dialog_that_is_never_answered_is_forgotten() -> None:
    bench = Bench()
    bench.begun()
    bench.let(299.0)
    assert len(bench.tracker) == 1
    bench.let(2.0)
    assert (len(bench.tracker), bench.counters.expired) == (0, 1)


def test_ringing_keeps_an_early_dialog_alive() -> None:
    bench = Bench()
    dialog = bench.begun()
    for _ in range(4):
        bench.let(200.0)
        bench.tracker.response_passed(dialog, response(180))
    assert len(bench.tracker) == 1


def test_requests_keep_an_answered_dialog_alive() -> None:
    bench = Bench()
    dialog = bench.confirmed()
    for _ in range(4):
        bench.let(900.0)
        bench.tracker.request_passed(dialog, inside())
    assert len(bench.tracker) == 1
    bench.let(1001.0)
    assert len(bench.tracker) == 0


def test_a_refreshed_dialog_does_not_hide_one_that_is_due() -> None:
    bench = Bench()
    first = bench.confirmed()
    bench.let(10.0)
    bench.confirmed(invite(call_id=b"two"))
    bench.let(900.0)
    bench.tracker.request_passed(first, inside())
    bench.let(101.0)
    assert [one["call_id"] for one in bench.tracker.dialogs()] == ["call-1@a.example"]


class Mark(str):
    """Text whose end can be noticed."""


def test_an_ended_dialog_leaves_nothing_behind() -> None:
    bench = Bench()
    dialog = bench.confirmed()
    mark = Mark("x")
    bench.tracker.set_variable(dialog, "mark", mark)
    bench.tracker.request_passed(dialog, inside(b"BYE"))
    bench.let(60.0)
    gone = weakref.ref(mark)
    del dialog, mark
    gc.collect()
    assert gone() is None


# -- limits ----------------------------------------------------------------------------


def test_no_more_dialogs_are_tracked_than_allowed() -> None:
    bench = Bench(max_dialogs=2)
    bench.begun()
    dialog = bench.confirmed()
    assert bench.tracker.track(parse_message(invite())) is None
    assert bench.counters.refused == 1
    bench.tracker.request_passed(dialog, inside(b"BYE"))
    assert bench.tracker.track(parse_message(invite())) is not None


# -- the store -------------------------------------------------------------------------


def test_an_answered_dialog_outlives_the_process() -> None:
    bench = Bench()
    dialog = bench.confirmed()
    bench.tracker.set_variable(dialog, "trunk", "seven")
    theirs = bench.tracker.shifts_of(dialog, inside(), True)
    bench.tracker.cseq_raised(dialog, theirs, inside(), True)
    ours = bench.tracker.shifts_of(dialog, from_callee(), False)
    for _ in range(2):
        bench.tracker.cseq_raised(dialog, ours, from_callee(), False)
    later = bench.another()
    taken = bench.found(later, dialog, from_callee())
    assert taken is not None and taken is not dialog
    assert taken.encode() == dialog.encode()
    shifts = taken.shifts_with(dialog.callee_tag)
    assert (len(shifts.to_callee), len(shifts.to_caller)) == (1, 2)
    assert taken.variables == {"trunk": "seven"}
    assert (len(later), bench.counters.taken_over) == (1, 1)
    assert bench.found(later, dialog, inside()) is taken


def test_a_dialog_that_is_not_answered_is_not_stored() -> None:
    bench = Bench()
    dialog = bench.begun()
    bench.tracker.set_variable(dialog, "x", "1")
    assert len(bench.store) == 0


def test_an_ended_dialog_is_gone_from_the_store() -> None:
    bench = Bench()
    dialog = bench.confirmed()
    bench.tracker.request_passed(dialog, inside(b"BYE"))
    bench.let(60.0)
    assert bench.found(bench.another(), dialog, inside()) is None


def test_somebody_elses_request_takes_nothing_over() -> None:
    bench = Bench()
    dialog = bench.confirmed()
    later = bench.another()
    guess = parse_message(invite(from_=b"<sip:x@x>;tag=x", to=b"<sip:b@b>;tag=bt1"))
    assert bench.found(later, dialog, guess) is None
    assert len(later) == 0


def test_a_long_call_stays_in_the_store() -> None:
    bench = Bench()
    dialog = bench.confirmed()
    for _ in range(5):
        bench.let(600.0)
        bench.tracker.request_passed(dialog, inside())
        stored: list[bytes | None] = []
        bench.store.get(SPACE, dialog.ident, stored.append)
        assert stored != [None]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b"7",
        b"null",
        b'[2,"a"]',
        b"[1,2,3,4,5,6,7,8,9]",
        b'[2,"c","a","b","u","v","INVITE",0,7,0,0,{}]',
        b'[2,"c","a","b","u","v","INVITE","x",1,0,0,{}]',
        b'[2,null,"a","b","u","v","INVITE",0,1,0,0,{}]',
        b'[2,"c","a","b","u","v","INVITE",0,1,0,0,[1]]',
        b"\xff\xfe",
        b"[" * 200_000,
        b'[3,"c","a","b","u","v","INVITE",1e999,1,{},{}]',
        b'[3,"c","a","b","u","v","INVITE",1' + b"0" * 400 + b",1,{},{}]",
        b'[3,"c","a","b\\r\\nX: y","u","v","INVITE",0,1,{},{}]',
        b'[3,"c","a","b","u","v","INVITE",0,1,{},{"_uac_fu":"sip:a@b\\n"}]',
    ],
)
def test_a_record_that_cannot_be_read_is_no_dialog(value: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        decode_dialog(b"x", value)
    bench = Bench()
    dialog = bench.begun()
    dialog.ident = b"x"
    bench.store.put(SPACE, b"x", value, 1e9)
    assert bench.found(bench.tracker, dialog, inside()) is None
    assert bench.counters.corrupt == 1


def test_octets_of_a_peer_come_back_from_the_store_as_they_were() -> None:
    dialog = Dialog(b"x", b"\xff\x00call", b"t\xe9", b"sip:\xc3@x", b"sip:b@b", b"INVITE", 1.0)
    again = decode_dialog(b"x", dialog.encode())
    assert (again.call_id, again.caller_tag, again.caller) == (
        b"\xff\x00call",
        b"t\xe9",
        b"sip:\xc3@x",
    )


# -- through the core ------------------------------------------------------------------


def test_the_dialogs_name_travels_in_our_record_route_and_back() -> None:
    call = Call(World(TRACK))
    [dialog] = call.world.tracker.dialogs()
    assert b";did=" + str(dialog["did"]).encode() in call.sent.need(b"record-route")
    assert (dialog["state"], dialog["to_tag"]) == ("confirmed", "bt1")
    call.from_callee(b"BYE")
    assert len(call.world.tracker) == 0


def test_an_untracked_call_has_no_name() -> None:
    assert b"did" not in Call(World(RELAY)).sent.need(b"record-route")


@pytest.mark.parametrize("status", [302, 404, 486, 500, 503, 603])
def test_a_call_that_fails_is_no_dialog_any_more(status: int) -> None:
    world = World(TRACK)
    world.receive(invite())
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), status), CALLEE)
    assert len(world.tracker) == 0


def test_a_call_that_is_cancelled_or_never_answered_is_no_dialog_any_more() -> None:
    world = World(TRACK)
    world.receive(invite())
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 180), CALLEE)
    world.receive(invite(method=b"CANCEL"))
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 487), CALLEE)
    assert len(world.tracker) == 0
    world.receive(invite(branch=b"z9hG4bK2", call_id=b"2"))
    world.let(33.0)
    assert len(world.tracker) == 0


@pytest.mark.parametrize("outcome", ["Reply(200)", "Reply(404)", "Drop()", "1 / 0"])
def test_a_call_that_is_never_placed_is_no_dialog(outcome: str) -> None:
    world = World(
        TRACK.replace("Relay('sip:192.0.2.2', parallel=False)", outcome),
    )
    world.receive(invite())
    assert world.dialog_counters.started == 1
    assert len(world.tracker) == 0


def test_a_call_taken_over_by_another_instance_goes_on() -> None:
    call = Call(World(TRACK))
    heir = World(TRACK, store=call.world.store)
    call.world = heir
    assert call.from_caller(b"ACK", 1).method == b"ACK"
    assert heir.dialog_counters.taken_over == 1
    call.from_caller(b"BYE", 2)
    heir.receive(answer(heir.last_to(CALLEE), 200), CALLEE)
    assert responses_to(heir, CALLER, b"BYE") == [200]
    assert len(heir.tracker) == 0


def test_a_dialog_that_no_store_knows_goes_on_untracked() -> None:
    call = Call(World(TRACK))
    call.world = World(TRACK)
    assert call.from_caller(b"BYE").method == b"BYE"
    assert len(call.world.tracker) == 0


class SlowStore:
    """A store that answers when the test wants it to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[bytes | None], None]] = []

    def put(
        self,
        space: str,
        key: bytes,
        value: bytes,
        expires_at_utc: float,
        *,
        may_wait: bool = False,
    ) -> None:
        """Keep nothing."""

    def delete(self, space: str, key: bytes) -> None:
        """Forget nothing."""

    def get(self, space: str, key: bytes, then: Callable[[bytes | None], None]) -> None:
        self.waiting.append(then)

    def scan(
        self, space: str, each: Callable[[bytes, bytes, float], None], done: Callable[[], None]
    ) -> None:
        done()


def test_while_the_store_is_asked_nothing_of_the_dialog_overtakes_the_ack() -> None:
    call = Call(World(TRACK))
    store = SlowStore()
    call.world = World(TRACK, store=store)
    for method, cseq in ((b"ACK", 1), (b"INVITE", 2), (b"BYE", 3)):
        call.world.receive(
            invite(
                method=method,
                branch=b"z9hG4bK" + method,
                cseq=cseq,
                fields=b"Route: " + call.final.need(b"record-route") + b"\r\n",
                to=call.final.to.raw,
            )
        )
    assert call.world.kinds_to(CALLEE) == []
    assert call.world.kinds_to(CALLER) == ["100"]
    for then in store.waiting:
        then(None)
    assert call.world.kinds_to(CALLEE) == ["ACK", "INVITE", "BYE"]


def test_a_re_invite_cancelled_while_the_store_is_asked_goes_no_further() -> None:
    call = Call(World(TRACK))
    store = SlowStore()
    call.world = World(TRACK, store=store)
    for method in (b"INVITE", b"CANCEL"):
        call.world.receive(
            invite(
                method=method,
                branch=b"z9hG4bKre",
                cseq=2,
                fields=b"Route: " + call.final.need(b"record-route") + b"\r\n",
                to=call.final.to.raw,
            )
        )
    store.waiting[0](None)
    assert responses_to(call.world, CALLER, b"INVITE") == [100, 487]
    assert call.world.sent_to(CALLEE) == []


def test_without_a_store_a_dialog_is_known_here_alone_and_ends_like_any_other() -> None:
    clock = SteppingClock()
    tracker = DialogTracker(
        clock=clock,
        now_utc=clock.seconds,
        random=CountingRandom(),
        store=None,
        counters=DialogCounters(),
        early_timeout=300.0,
        lifetime=1000.0,
        max_dialogs=100,
    )
    dialog = tracker.track(parse_message(invite()))
    assert dialog is not None
    tracker.keep_early(dialog)
    tracker.response_passed(dialog, response(200))
    heard: list[Dialog | None] = []
    tracker.find(dialog.ident, inside(), heard.append)
    tracker.find(b"another", inside(), heard.append)
    assert heard == [dialog, None]
    assert list(tracker.written_again()) == [None]
    tracker.request_passed(dialog, inside(b"BYE"))
    assert len(tracker) == 0
    clock.run_until(clock.seconds() + 60.0)
    tracker.expire_due()
    assert tracker.is_empty


def test_ended_dialogs_do_not_pile_up_between_two_sweeps_whatever_the_rate() -> None:
    bench = Bench(max_dialogs=5000)
    for number in range(3000):
        end_of(bench, number)
    bench.clock.run_until(bench.clock.seconds() + LINGERS)
    assert len(bench.store) == 3000
    for number in range(3000, 4000):
        end_of(bench, number)
    assert len(bench.store) == 1000


def end_of(bench: Bench, number: int) -> None:
    call = invite(call_id=b"call-%d" % number)
    dialog = bench.confirmed(call)
    bye = invite(method=b"BYE", to=b"<sip:bob@b.example>;tag=bt1", call_id=b"call-%d" % number)
    bench.tracker.request_passed(dialog, parse_message(bye))
