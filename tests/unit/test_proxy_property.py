"""Whatever peers do in whatever order, the promises to the caller hold and nothing is left.

Each example is a fork of two, and a row of events: what a callee answers, the caller's
CANCEL, retransmissions, pauses. A call gets one final failure, or successes and no
failure; a time later no transaction and no timer is left.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.calls import IMPORTS, RELAY, Provider, relaying
from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.sip.message import Message
from uacproxy.uac.credentials import CredentialList, parse_credential

RETRYING = (
    IMPORTS
    + """
@request_route
def main(ctx):
    ctx.track_dialog()
    ctx.on_failure("F")
    ctx.on_branch("B")
    ctx.on_reply("R")
    return Relay("sip:b1@192.0.2.2", "sip:two.example", parallel=True)

@branch_route("B")
def branch(ctx):
    ctx.uac.replace_from("sip:hidden%s@trunk.example" % ctx["$T_branch_idx"])

@onreply_route("R")
def reply(ctx):
    ctx.response.set("X-Seen", "1")

@failure_route("F")
def failed(ctx):
    if ctx.check_status("401|407") and ctx.uac.auth():
        ctx.on_failure("F")
        return Relay()
    if ctx.check_status("5xx") and not ctx.is_canceled:
        return Relay("sip:last@192.0.2.3")
"""
)

SCRIPTS = [
    RELAY,
    relaying("sip:b1@192.0.2.2", "sip:b2@192.0.2.3"),
    relaying("sip:b1@192.0.2.2", "sip:b2@192.0.2.3", parallel=True),
    relaying("sip:two.example", parallel=True, before="ctx.track_dialog()"),
    RETRYING,
]

EVENTS = st.one_of(
    st.tuples(
        st.just("answer"),
        st.sampled_from([CALLEE, OTHER]),
        st.sampled_from([100, 180, 183, 200, 202, 302, 404, 407, 486, 487, 500, 503, 603]),
        st.integers(0, 3),
    ),
    st.tuples(st.just("answer cancel"), st.sampled_from([CALLEE, OTHER])),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("again")),
    st.tuples(st.just("ack")),
    st.tuples(st.just("unreachable"), st.sampled_from([CALLEE, OTHER])),
    st.tuples(st.just("pause"), st.sampled_from([0.1, 1.0, 20.0, 33.0, 182.0])),
)


def requests(world: World, peer: tuple[str, int], method: bytes) -> list[Message]:
    return [one for one in world.sent_to(peer) if one.method == method]


def happen(world: World, event: tuple[object, ...], method: bytes) -> None:
    kind = event[0]
    if kind == "answer":
        _, peer, status, which = event
        assert isinstance(peer, tuple) and isinstance(status, int) and isinstance(which, int)
        asked = requests(world, peer, method)
        if asked:
            request = asked[which % len(asked)]
            tag = b"" if status == 100 else b"tag%d" % peer[1] + peer[0].encode()
            octets = answer(request, status, tag)
            if status == 407:
                octets = Provider(world).challenge(request)
            world.receive(octets, peer)
    elif kind == "answer cancel":
        peer = event[1]
        assert isinstance(peer, tuple)
        for cancel in requests(world, peer, b"CANCEL")[-1:]:
            world.receive(answer(cancel, 200), peer)
    elif kind == "cancel":
        world.receive(invite(method=b"CANCEL"))
    elif kind == "again":
        world.receive(invite(method=method))
    elif kind == "ack":
        finals = [one for one in world.sent_to(CALLER) if one.status >= 300]
        for final in finals[-1:]:
            world.receive(invite(method=b"ACK", to=final.to.raw))
    elif kind == "unreachable":
        peer = event[1]
        assert isinstance(peer, tuple)
        world.unreachable.add(peer)
    else:
        seconds = event[1]
        assert isinstance(seconds, float)
        world.let(seconds)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SCRIPTS),
    st.sampled_from([b"INVITE", b"MESSAGE"]),
    st.lists(EVENTS, max_size=14),
)
def test_a_caller_hears_one_end_and_nothing_is_left(
    text: str, method: bytes, events: list[tuple[object, ...]]
) -> None:
    credentials = CredentialList([parse_credential("me:trunk.example:secret")])
    world = World(text, credentials=credentials)
    world.names[b"two.example"] = [CALLEE, OTHER]
    world.receive(invite(method=method))
    began = world.clock.seconds()
    for event in events:
        happen(world, event, method)
    statuses = [
        (one.status, one.to.tag)
        for one in world.sent_to(CALLER)
        if not one.is_request and one.cseq.method == method and one.status >= 200
    ]
    lasts = 4.0 if ("ack",) in events else 30.0  # then a retransmission is a new request
    if world.clock.seconds() - began < lasts:
        failures = {status for status, _ in statuses if status >= 300}
        assert len(failures) <= 1
        assert not failures or all(status >= 300 for status, _ in statuses)
        if method != b"INVITE":
            assert len(set(statuses)) <= 1
    for one in world.sent_to(CALLER):
        if not one.is_request:
            assert one.from_.raw == b'"Alice" <sip:alice@a.example>;tag=at1'
            assert one.cseq.number == 1
            assert len(one.fields(b"via")) == 1
            assert one.status == 100 or one.to.tag
    world.let(1000.0)
    assert (world.table.servers, world.table.clients) == (0, 0)
    assert world.clock.getDelayedCalls() == []
    confirmed = [one for one in world.tracker.dialogs() if one["state"] == "confirmed"]
    assert len(world.tracker) == len(confirmed)
