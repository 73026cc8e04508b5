"""The running service between peers that lose what matters, answer twice, or never."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.endpoint import Caller, Endpoint
from tests.support.uacproxy_process import UacproxyProcess

INI = """\
[sip]
listen = udp:@HERE@
t1 = 50ms
t2 = 200ms
t4 = 200ms

[rule:out]
method = INVITE
replace_from = "Trunk 7" sip:7@trunk.example
@HOW@ = sip:@CALLEE@
"""

FORKING_INI = """\
[sip]
listen = udp:@HERE@
t1 = 50ms
t2 = 200ms
t4 = 200ms

[routing]
script = route.py
"""

FORKING = """\
from uacproxy.routing import @ACTION@, request_route


@request_route
def main(ctx):
    return @ACTION@("sip:@CALLEE@", "sip:@OTHER@", parallel=True)
"""

SHOWN = '"Trunk 7" <sip:7@trunk.example>'

Start = Callable[..., UacproxyProcess]


EACH = pytest.mark.parametrize("how", ["relay", "bridge"])


class Scene:
    """Three endpoints of one test."""

    def __init__(self, stack: ExitStack) -> None:
        self.alice, self.bob, self.carol = (
            stack.enter_context(Endpoint(name)) for name in ("alice", "bob", "carol")
        )


@pytest.fixture
def scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack)


@EACH
def test_a_callee_that_never_answers_is_given_up_with_408(
    start_uacproxy: Start, scene: Scene, how: str
) -> None:
    service = start_uacproxy(INI, callee=scene.bob.address, how=how)
    call = Caller(scene.alice, service.address)
    call.invite()
    scene.alice.hears("100")
    invite = scene.bob.hears("INVITE")
    final = scene.alice.hears("408")
    for _ in range(5):  # after 1, 3, 7, 15 and 31 times T1
        scene.bob.hears_again(invite)
    assert final.get("from") == call.from_
    call.acknowledge_failure(final)
    service.wait_for(transaction_servers=0, transaction_clients=0)


def test_a_200_repeated_for_want_of_an_ack_comes_through_until_the_ack_does(
    start_uacproxy: Start, scene: Scene
) -> None:
    service = start_uacproxy(INI, callee=scene.bob.address, how="relay")
    call = Caller(scene.alice, service.address)
    call.invite()
    scene.alice.hears("100")
    invite = scene.bob.hears("INVITE")
    answer = scene.bob.answers(invite, "200 OK", service.address, tag="b", more=scene.bob.contact)
    first = scene.alice.hears("200")  # whose ACK gets lost
    scene.bob.send(answer, service.address)
    scene.alice.hears_again(first)
    call.in_dialog("ACK", first, 1)
    ack = scene.bob.hears("ACK")
    assert ack.get("from").startswith(SHOWN)
    assert (ack.get("cseq"), ack.request_uri) == ("1 ACK", f"sip:bob@{scene.bob.address}")
    call.in_dialog("BYE", first, 2)
    scene.bob.answers(scene.bob.hears("BYE"), "200 OK", service.address)
    scene.alice.hears("200")
    service.wait_for(transaction_servers=0, transaction_clients=0)


def test_behind_a_bridge_each_side_has_its_own_ack_and_its_own_copies_of_the_200(
    start_uacproxy: Start, scene: Scene
) -> None:
    service = start_uacproxy(INI, callee=scene.bob.address, how="bridge")
    call = Caller(scene.alice, service.address)
    call.invite()
    scene.alice.hears("100")
    invite = scene.bob.hears("INVITE")
    answer = scene.bob.answers(invite, "200 OK", service.address, tag="b", more=scene.bob.contact)
    ack = scene.bob.hears("ACK")  # at once, whatever the caller does
    assert (ack.get("from"), ack.get("cseq")) == (invite.get("from"), "1 ACK")
    assert ack.request_uri == f"sip:bob@{scene.bob.address}"
    scene.bob.send(answer, service.address)  # as if that one were lost
    scene.bob.hears_again(ack)
    first = scene.alice.hears("200")  # whose ACK gets lost
    for _ in range(3):
        scene.alice.hears_again(first)
    call.in_dialog("ACK", first, 1)
    call.in_dialog("BYE", first, 2)
    scene.bob.answers(scene.bob.hears("BYE"), "200 OK", service.address)
    scene.alice.hears("200")
    service.wait_for(transaction_servers=0, transaction_clients=0, bridge_legs=0)


def test_a_caller_that_never_acknowledges_loses_the_call_and_so_does_the_callee(
    start_uacproxy: Start, scene: Scene
) -> None:
    service = start_uacproxy(INI, callee=scene.bob.address, how="bridge")
    call = Caller(scene.alice, service.address)
    call.invite()
    scene.alice.hears("100")
    invite = scene.bob.hears("INVITE")
    scene.bob.answers(invite, "200 OK", service.address, tag="b", more=scene.bob.contact)
    scene.bob.hears("ACK")
    scene.alice.hears("200")
    bye = scene.alice.hears("BYE")  # after 64*T1 of the same 200 (13.3.1.4)
    assert (bye.get("to"), bye.get("call-id")) == (call.from_, call.call_id)
    scene.alice.answers(bye, "200 OK", service.address)
    scene.bob.answers(scene.bob.hears("BYE"), "200 OK", service.address)
    service.wait_for(transaction_servers=0, transaction_clients=0, bridge_legs=0)
    assert service.stats()["bridge.unacknowledged"] == 1


@EACH
def test_an_invite_repeated_for_want_of_an_answer_is_answered_here(
    start_uacproxy: Start, scene: Scene, how: str
) -> None:
    service = start_uacproxy(INI, callee=scene.bob.address, how=how)
    call = Caller(scene.alice, service.address)
    invite = call.invite()
    trying = scene.alice.hears("100")
    arrived = scene.bob.hears("INVITE")
    scene.bob.answers(arrived, "180 Ringing", service.address, tag="b")
    ringing = scene.alice.hears("180")
    scene.alice.send(invite, service.address)  # as if neither had come
    scene.alice.hears_again(ringing)
    assert trying.get("from") == ringing.get("from") == call.from_
    # The callee's first 200 is lost, so the second is the first that we see.
    scene.bob.answers(arrived, "200 OK", service.address, tag="b", more=scene.bob.contact)
    final = scene.alice.hears("200")
    call.in_dialog("ACK", final, 1)
    scene.bob.hears("ACK")
    stats = service.stats()
    begun = stats["proxy.relayed" if how == "relay" else "bridge.started"]
    assert (stats["transaction.retransmissions"], begun) == (1, 1)


def test_the_200s_of_two_branches_both_reach_the_caller_who_ends_one_of_the_calls(
    start_uacproxy: Start, scene: Scene
) -> None:
    marks = {"callee": scene.bob.address, "other": scene.carol.address}
    service = start_uacproxy(FORKING_INI, files={"route.py": FORKING}, action="Relay", **marks)
    call = Caller(scene.alice, service.address)
    call.invite()
    scene.alice.hears("100")
    bob, carol = scene.bob, scene.carol
    of_bob, of_carol = bob.hears("INVITE"), carol.hears("INVITE")
    carol.answers(of_carol, "180 Ringing", service.address, tag="carol")
    scene.alice.hears("180")
    bob.answers(of_bob, "200 OK", service.address, tag="bob", more=bob.contact)
    first = scene.alice.hears("200")
    cancel = carol.hears("CANCEL")  # too late: carol has answered
    carol.answers(cancel, "200 OK", service.address, tag="carol")
    carol.answers(of_carol, "200 OK", service.address, tag="carol", more=carol.contact)
    second = scene.alice.hears("200")
    assert (first.to_tag, second.to_tag) == ("bob", "carol")
    call.in_dialog("ACK", first, 1)
    bob.hears("ACK")
    call.in_dialog("ACK", second, 1)
    carol.hears("ACK")
    call.in_dialog("BYE", second, 2)
    carol.answers(carol.hears("BYE"), "200 OK", service.address)
    assert scene.alice.hears("200").get("cseq") == "2 BYE"
    call.in_dialog("BYE", first, 3)
    bob.answers(bob.hears("BYE"), "200 OK", service.address)
    assert scene.alice.hears("200").get("cseq") == "3 BYE"
    service.wait_for(transaction_servers=0, transaction_clients=0)


def test_of_two_callees_that_both_answer_a_bridge_ends_the_second_itself(
    start_uacproxy: Start, scene: Scene
) -> None:
    marks = {"callee": scene.bob.address, "other": scene.carol.address, "action": "Bridge"}
    service = start_uacproxy(FORKING_INI, files={"route.py": FORKING}, **marks)
    call = Caller(scene.alice, service.address)
    call.invite()
    scene.alice.hears("100")
    bob, carol = scene.bob, scene.carol
    of_bob, of_carol = bob.hears("INVITE"), carol.hears("INVITE")
    assert of_bob.get("call-id") != of_carol.get("call-id") or of_bob.get("from") != of_carol.get(
        "from"
    )
    carol.answers(of_carol, "180 Ringing", service.address, tag="carol")
    ringing = scene.alice.hears("180")
    bob.answers(of_bob, "200 OK", service.address, tag="bob", more=bob.contact)
    first = scene.alice.hears("200")
    assert first.to_tag != ringing.to_tag  # another callee, another dialog (12.1)
    bob.hears("ACK")
    cancel = carol.hears("CANCEL")  # too late: carol has answered
    carol.answers(cancel, "200 OK", service.address, tag="carol")
    carol.answers(of_carol, "200 OK", service.address, tag="carol", more=carol.contact)
    carol.hears("ACK")
    carol.answers(carol.hears("BYE"), "200 OK", service.address)
    call.in_dialog("ACK", first, 1)
    call.in_dialog("BYE", first, 2)
    bob.answers(bob.hears("BYE"), "200 OK", service.address)
    assert scene.alice.hears("200").get("cseq") == "2 BYE"  # and no second 200 came
    service.wait_for(transaction_servers=0, transaction_clients=0, bridge_legs=0)
