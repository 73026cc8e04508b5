"""Whatever happens in a dialog, each side sees only its own form of From and To.

Each example is a call through the whole core: how both ends write their addresses, what
the script makes of them, and a row of events. ``tests.support.identity_dialog`` holds
every message sent against what its receiver may see.
"""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.calls import Call
from tests.support.identity_dialog import Dialog, Ledger
from tests.support.identity_forms import Written, addresses, replacements
from tests.support.identity_plot import Plot, Style
from tests.support.world import CALLEE, CALLER, World, answer, invite
from uacproxy.uac.rr_param import KamailioCodec, RestoreCodec

LATER = [
    *[b"ACK", b"BYE", b"INVITE", b"UPDATE", b"PRACK", b"INFO", b"REFER", b"NOTIFY"],
    *[b"MESSAGE", b"OPTIONS", b"SUBSCRIBE"],
]
NAMES = [(b"From: ", b"To: "), (b"f:", b"t:"), (b"FROM :  ", b"tO\t:"), (b"F: ", b"T: ")]
TAILS = [b"", b";x=1", b" ; y", b"\r\n ;x", b';y="<sip:z@z>;tag=q"']

STYLES = st.builds(
    lambda names, before, after, joined: Style(names[0], names[1], before, after, joined),
    st.sampled_from(NAMES),
    st.sampled_from(TAILS),
    st.sampled_from(TAILS),
    st.booleans(),
)

PLOTS = st.builds(
    Plot,
    mode=st.sampled_from(["sealed", "kamailio", "dialog", "dialog"]),
    method=st.sampled_from([b"INVITE", b"INVITE", b"INVITE", b"SUBSCRIBE", b"REFER", b"MESSAGE"]),
    caller=addresses("caller"),
    dialled=addresses("dialled"),
    from_request=replacements("fshown"),
    to_request=replacements("tshown"),
    from_branch=st.tuples(replacements("fshown"), replacements("fshown")),
    to_branch=st.tuples(replacements("tshown"), replacements("tshown")),
    has_branch_route=st.booleans(),
    forks=st.booleans(),
    tcp=st.booleans(),
    others=st.booleans(),
    tracks_first=st.booleans(),
    caller_tag=st.sampled_from([b"at", b"a%7E.~'", b"A+b!*`"]),
    style=STYLES,
)


class Event(NamedTuple):
    """One thing an endpoint does; what it does not need of this is ignored."""

    kind: str
    which: int
    tag: bytes
    method: bytes
    statuses: list[int]  # that a request within the dialog is answered with at once
    style: Style
    altered: tuple[Written | None, Written | None]
    seconds: float


ALTERED = st.one_of(st.none(), st.none(), addresses("changed"))


def events(kinds: list[str], statuses: list[int], most: int = 1) -> st.SearchStrategy[Event]:
    """Draw one event of these kinds."""
    return st.builds(
        Event,
        st.sampled_from(kinds),
        st.integers(0, 7),
        st.sampled_from([b"bt1", b"bt2", b"bt3"]),
        st.sampled_from(LATER),
        st.lists(st.sampled_from(statuses), min_size=1, max_size=most),
        STYLES,
        st.tuples(ALTERED, ALTERED),
        st.sampled_from([0.1, 1.0, 20.0, 50.0]),
    )


# it rings, or is answered, here or there; then there are dialogs to send in
EVENTS = st.builds(
    lambda begun, later: [*begun, *later],
    st.lists(events(["open answered"], [180, 183, 200, 202]), min_size=1, max_size=3),
    st.lists(
        st.one_of(
            events(["caller", "callee"], [180, 200, 202, 401, 481, 500], 2),
            events(["caller", "callee", "caller", "callee", "again"], [183, 200, 487], 2),
            events(["open answered"], [180, 199, 200, 200, 202, 302, 404, 486, 487, 503, 603]),
            events(["answered", "cancel", "again", "pause"], [100, 180, 200, 404, 487]),
        ),
        min_size=3,
        max_size=10,
    ),
)


def world_of(plot: Plot) -> World:
    codec: RestoreCodec | None = None
    if plot.mode == "kamailio":
        codec = KamailioCodec(b"vsf", b"vst", b"s3cret")
    return World(plot.script(), codec=codec, restore_dlg=plot.mode == "dialog")


def in_dialog(ledger: Ledger, event: Event, dialog: Dialog, from_caller: bool) -> None:
    if event.method in (b"ACK", b"INVITE") and ledger.plot.mode == "dialog":
        if not dialog.confirmed:
            return  # a peer that sends one now tells the tracker that the call is answered
    more = b""
    if event.method == b"NOTIFY":
        state = b"terminated" if event.statuses[0] >= 300 else b"active"
        more = b"Subscription-State: " + state + b"\r\n"
    altered = event.altered if ledger.exact else (None, None)
    sent = ledger.request(dialog, from_caller, event.method, event.style, altered, more)
    if event.method != b"ACK":
        for status in event.statuses:
            ledger.answer(sent, 0, status, event.tag, event.style, altered)


def happen(ledger: Ledger, event: Event) -> None:
    opening = ledger.opening
    altered = event.altered if ledger.exact else (None, None)
    dialog = ledger.dialog(event.which)
    if event.kind == "open answered":
        ledger.answer(opening, event.which, event.statuses[0], event.tag, event.style, altered)
    elif event.kind == "answered":
        later = [one for one in ledger.requests.values() if one.dialog and one.method != b"ACK"]
        if later:
            asked = later[event.which % len(later)]
            ledger.answer(asked, 0, event.statuses[0], event.tag, event.style, altered)
    elif event.kind == "caller":
        if dialog is not None and dialog.for_caller and not ledger.is_forgotten(dialog):
            in_dialog(ledger, event, dialog, True)
    elif event.kind == "callee":
        if ledger.plot.method in (b"SUBSCRIBE", b"REFER"):
            dialog = ledger.begin(event.which, event.tag)
        if dialog is not None and dialog.for_callee and not ledger.is_forgotten(dialog):
            in_dialog(ledger, event, dialog, False)
    elif event.kind == "cancel":
        invites = [one for one in ledger.requests.values() if one.method == b"INVITE"]
        if invites:
            ledger.cancel(invites[event.which % len(invites)])
    elif event.kind == "again":
        ledger.again(event.which)
    else:
        ledger.let(event.seconds)


@settings(max_examples=120)
@given(PLOTS, EVENTS)
def test_each_side_of_a_dialog_sees_only_its_own_form(plot: Plot, row: list[Event]) -> None:
    world = world_of(plot)
    ledger = Ledger(world, plot)
    for event in row:
        happen(ledger, event)
    assert world.counters.restore_failures == 0
    assert world.counters.script_errors == 0
    assert len(ledger.opening.sent) >= 1 + plot.forks


# -- found by it -----------------------------------------------------------------------

HIDE_IN_DIALOG = """
from uacproxy.routing import Relay, request_route

@request_route
def main(ctx):
    ctx.track_dialog()
    ctx.uac.replace_from('"Trunk 7"', "sip:7@trunk.example")
    return Relay("sip:192.0.2.2")
"""
TRUNK = b'"Trunk 7" <sip:7@trunk.example>'


def test_the_second_callee_of_a_fork_to_answer_sees_its_own_form_from_the_dialog_store() -> None:
    call = Call(World(HIDE_IN_DIALOG, restore_dlg=True))
    call.world.receive(answer(call.sent, 200, b"bt2"), CALLEE)
    second = call.world.last_to(CALLER)
    assert call.from_caller(b"BYE", to=second.to.raw).from_.head == TRUNK


def test_a_call_outlives_the_bye_of_another_early_dialog_in_the_dialog_store() -> None:
    world = World(HIDE_IN_DIALOG, restore_dlg=True)
    world.receive(invite())
    sent = world.last_to(CALLEE)
    world.receive(answer(sent, 180, b"bt2"), CALLEE)
    early = world.last_to(CALLER)
    route = b"Route: " + early.need(b"record-route") + b"\r\n"
    world.receive(invite(method=b"BYE", cseq=2, branch=b"z9hG4bKb", fields=route, to=early.to.raw))
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    world.receive(answer(sent, 200, b"bt1"), CALLEE)
    final = world.last_to(CALLER)
    world.let(50.0)
    world.tracker.expire_due()
    world.receive(invite(method=b"INFO", cseq=3, branch=b"z9hG4bKi", fields=route, to=final.to.raw))
    assert world.last_to(CALLEE).from_.head == TRUNK
