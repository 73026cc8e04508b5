"""Identities before a call is up, in calls that ring at several phones, and outside of calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.identity_peers import Dialog, Endpoint, Views, first_request, heads, phones
from tests.support.uacproxy_process import uacproxy
from uacproxy.ports import HostPort
from uacproxy.sip.build import build_ack, build_cancel, build_response
from uacproxy.sip.names import RECORD_ROUTE
from uacproxy.testing.call_end import CallEnd

INI = """\
[sip]
listen = udp:@HERE@

[store]
url = memory:

[routing]
script = route.py
"""

SCRIPT = """
from uacproxy.routing import Relay, request_route

@request_route
def main(ctx):
    ctx.uac.replace_from('"Trunk 7"', "sip:7@trunk.example")
    ctx.uac.replace_to("", "sip:desk@z.example;user=phone")
    return Relay(*ctx["$hdr(X-Relay)"].split(), parallel=True)
"""

VIEWS = Views(
    b'"Alice" <sip:alice@a.example>',
    b'"Bob" <sip:bob@b.example>',
    b'"Trunk 7" <sip:7@trunk.example>',
    b"<sip:desk@z.example;user=phone>",
)

BOTH = b"sip:both@nowhere.example"


@pytest.fixture(scope="module")
def hop() -> Iterator[HostPort]:
    with uacproxy(INI, files={"route.py": SCRIPT}) as service:
        yield service.host, service.port
        stats = service.stats()
        assert (stats["proxy.restore_failures"], stats["transaction.timeouts"]) == (0, 0)


@pytest.fixture
def ends() -> Iterator[list[Endpoint]]:
    """Give a caller and two callees, who know no more than they may when the test is over."""
    with phones("one", "two", "three") as made:
        yield made
        VIEWS.nobody_knows_more(*made)
        for callee in made[1:]:
            callee.never_heard(b"Alice", b"Bob")
        made[0].never_heard(b"Trunk", b"Desk")


class Fork:
    """An INVITE that rings at two callees, in an early dialog of each."""

    def __init__(self, hop: HostPort, ends: list[Endpoint]) -> None:
        self.hop = hop
        self.caller, *self.callees = ends
        relay = b" ".join(each.contact for each in self.callees)
        self.invite = first_request(b"INVITE", self.caller, BOTH, VIEWS, (b"x-relay", relay))
        self.caller.send(self.invite, hop)
        self.invited = [each.hears_request(b"INVITE") for each in self.callees]
        assert [heads(each) for each in self.invited] == [VIEWS.at_callee] * 2
        self.dialogs = [self._ring(0, 180), self._ring(1, 183)]

    def _ring(self, index: int, status: int) -> Dialog:
        callee, invited = self.callees[index], self.invited[index]
        ringing = callee.answer(invited, status, (b"rseq", b"1"), tag=b"tag-%d" % index)
        heard = self.caller.hears_response(b"INVITE", status)
        assert heads(heard) == VIEWS.at_caller
        assert heard.to.tag == b"tag-%d" % index
        both = CallEnd.of_caller(self.invite, heard), CallEnd.of_callee(invited, ringing, 100)
        return Dialog(self.caller, callee, both, VIEWS)

    def pick_up(self, index: int) -> None:
        """Answer 200 at one callee; the caller hears it, and does not confirm it yet."""
        self.callees[index].answer(self.invited[index], 200, tag=b"tag-%d" % index)
        final = self.caller.hears_response(b"INVITE", 200)
        assert heads(final) == VIEWS.at_caller
        assert final.to.tag == b"tag-%d" % index

    def give_up(self, index: int) -> None:
        """Hear the CANCEL at one callee, and answer what it is owed."""
        callee, tag = self.callees[index], b"tag-%d" % index
        cancel = callee.hears_request(b"CANCEL")
        assert heads(cancel) == VIEWS.at_callee
        callee.answer(cancel, 200, tag=tag)
        self.refuse(index, 487)

    def refuse(self, index: int, status: int) -> None:
        """Refuse at one callee, which hears the ACK of its own hop."""
        callee, tag = self.callees[index], b"tag-%d" % index
        callee.answer(self.invited[index], status, tag=tag)
        ack = callee.hears_request(b"ACK")
        assert heads(ack) == VIEWS.at_callee
        assert ack.to.tag == tag
        assert ack.via.branch == self.invited[index].via.branch


def test_each_early_dialog_of_a_fork_is_restored_on_both_sides(
    hop: HostPort, ends: list[Endpoint]
) -> None:
    fork = Fork(hop, ends)
    for dialog in fork.dialogs:
        dialog.from_caller(b"PRACK", hop)
        dialog.from_caller(b"UPDATE", hop)
        dialog.from_callee(b"UPDATE", hop)
        dialog.from_callee(b"INFO", hop)
    fork.pick_up(1)
    fork.give_up(0)
    fork.dialogs[1].ack(hop)
    fork.dialogs[1].from_callee(b"BYE", hop)


def test_a_bye_ends_one_early_dialog_restored_and_the_other_goes_on(
    hop: HostPort, ends: list[Endpoint]
) -> None:
    fork = Fork(hop, ends)
    fork.dialogs[0].from_caller(b"BYE", hop)
    fork.refuse(0, 487)
    fork.dialogs[1].from_callee(b"UPDATE", hop)
    fork.pick_up(1)
    fork.dialogs[1].ack(hop)
    fork.dialogs[1].from_caller(b"BYE", hop)


def test_both_answers_of_a_fork_are_restored(hop: HostPort, ends: list[Endpoint]) -> None:
    fork = Fork(hop, ends)
    fork.pick_up(0)
    fork.pick_up(1)
    cancel = fork.callees[1].hears_request(b"CANCEL")
    assert heads(cancel) == VIEWS.at_callee
    fork.callees[1].answer(cancel, 200, tag=b"tag-1")
    for dialog in fork.dialogs:
        dialog.ack(hop)
        dialog.from_caller(b"INVITE", hop)
    fork.dialogs[0].from_callee(b"BYE", hop)
    fork.dialogs[1].from_caller(b"BYE", hop)


def test_a_cancelled_fork_is_cancelled_and_told_restored(
    hop: HostPort, ends: list[Endpoint]
) -> None:
    fork = Fork(hop, ends)
    cancel = build_cancel(fork.invite, [b"SIP;cause=487"])
    fork.caller.send_again(cancel, hop)
    assert heads(fork.caller.hears_response(b"CANCEL", 200)) == VIEWS.at_caller
    fork.give_up(0)
    fork.give_up(1)
    final = fork.caller.hears_response(b"INVITE", 487)
    assert heads(final) == VIEWS.at_caller
    fork.caller.send_again(build_ack(fork.invite, final), hop)


@pytest.mark.parametrize("status", [200, 202, 404, 480, 603])
@pytest.mark.parametrize("method", [b"MESSAGE", b"OPTIONS", b"INFO", b"PUBLISH"])
def test_a_request_outside_a_dialog_is_hidden_and_its_answer_restored(
    hop: HostPort, ends: list[Endpoint], method: bytes, status: int
) -> None:
    caller, callee, _ = ends
    request = first_request(method, caller, BOTH, VIEWS, (b"x-relay", callee.contact))
    caller.send(request, hop)
    heard = callee.hears_request(method)
    assert heads(heard) == VIEWS.at_callee
    assert (heard.from_.tail, heard.to.tail) == (request.from_.tail, b"")
    assert not heard.has(RECORD_ROUTE)
    callee.answer(heard, status, tag=b"there")
    final = caller.hears_response(method, status)
    assert heads(final) == VIEWS.at_caller
    assert (final.from_.tag, final.to.tag) == (request.from_.tag, b"there")


def test_a_subscription_is_restored_though_its_first_notify_overtakes_the_answer(
    hop: HostPort, ends: list[Endpoint]
) -> None:
    caller, callee, _ = ends
    fields = (b"x-relay", callee.contact), (b"event", b"presence")
    subscribe = first_request(b"SUBSCRIBE", caller, BOTH, VIEWS, *fields)
    caller.send(subscribe, hop)
    heard = callee.hears_request(b"SUBSCRIBE")
    assert heads(heard) == VIEWS.at_callee
    notified = CallEnd.of_callee(heard, build_response(heard, 202, to_tag=b"there"), 100)
    Dialog(caller, callee, (notified, notified), VIEWS).from_callee(b"NOTIFY", hop)
    callee.answer(heard, 202, tag=b"there")
    accepted = caller.hears_response(b"SUBSCRIBE", 202)
    assert heads(accepted) == VIEWS.at_caller
    subscribed = CallEnd.of_caller(subscribe, accepted)
    dialog = Dialog(caller, callee, (subscribed, notified), VIEWS)
    dialog.from_caller(b"SUBSCRIBE", hop)
    dialog.from_callee(b"NOTIFY", hop)


def test_a_transfer_within_a_call_is_restored_in_all_its_messages(
    hop: HostPort, ends: list[Endpoint]
) -> None:
    fork = Fork(hop, ends)
    fork.refuse(0, 486)
    fork.pick_up(1)
    dialog = fork.dialogs[1]
    dialog.ack(hop)
    dialog.from_callee(b"REFER", hop)
    dialog.from_caller(b"NOTIFY", hop)
    dialog.from_caller(b"REFER", hop)
    dialog.from_callee(b"NOTIFY", hop)
    dialog.from_callee(b"MESSAGE", hop)
    dialog.from_caller(b"MESSAGE", hop)
    dialog.from_caller(b"BYE", hop)
