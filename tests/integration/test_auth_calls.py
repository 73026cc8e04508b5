"""Copies of messages around a challenge, and a call that outlives the process that answered it.

Both ends are sockets that say what they are told, when they are told, so that a copy comes
exactly where it hurts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.challenged_calls import CREDENTIALS, PASSWORDS, asks
from tests.support.dialog_stores import Instance, instances
from tests.support.endpoint import Caller, Endpoint, Heard
from tests.support.sipp_trace import answers_in
from tests.support.uacproxy_process import UacproxyProcess, uacproxy
from uacproxy.dialog.dialog import decode_dialog, ident_of_call

INI: Final = (
    CREDENTIALS
    + """
[sip]
listen = udp:@HERE@

[store]
url = @STORE@

[rule:out]
method = INVITE
replace_from = "Trunk 7" sip:7@trunk.example
auth = yes
track = @TRACK@
relay = yes
"""
)

DID: Final = re.compile(r";did=([0-9a-f]+)")
ASKS: Final = "407 Proxy Authentication Required"


@pytest.fixture(scope="module")
def service() -> Iterator[UacproxyProcess]:
    """Give the one service of the calls that it outlives."""
    with uacproxy(INI, track="no", store="memory:") as running:
        yield running


class Challenged:
    """A call up to the INVITE that carries credentials, and a copy of what is asked for."""

    def __init__(self, caller: Endpoint, callee: Endpoint, service: str) -> None:
        """Place the call and challenge it."""
        self.service = service
        self.caller, self.callee = caller, callee
        self.call = Caller(caller, service, f"sip:extension@{callee.address}")
        self.placed = self.call.invite()
        first = callee.hears("INVITE")
        self.refusal = self.callee.answers(first, ASKS, service, tag="c", more=asks("n1") + "\r\n")
        self.acknowledged = callee.hears("ACK")
        assert cseq(self.acknowledged) == cseq(first)
        self.invite = callee.hears("INVITE")
        assert cseq(self.invite) == cseq(first) + 1

    def in_dialog(
        self, method: str, final: Heard, number: int, ahead: int, nonce: str = ""
    ) -> None:
        """Let the caller send a request, challenge it where there is a nonce, and accept it.

        Args:
            method: not INVITE.
            final: the 200 of the call.
            number: of the request at the caller.
            ahead: by how much it is higher at the callee.
            nonce: of the challenge, which adds one more.
        """
        self.call.in_dialog(method, final, number)
        request = self.callee.hears(method)
        assert cseq(request) == number + ahead
        if nonce:
            self.callee.answers(request, ASKS, self.service, more=asks(nonce) + "\r\n")
            request = self.callee.hears(method)
            assert cseq(request) == number + ahead + 1
            (answer,) = answers_in(request)
            assert answer.nonce == nonce
            assert answer.is_right(PASSWORDS["provider.example"], method)
        self.callee.answers(request, "200 OK", self.service)
        assert self.caller.hears("200").get("cseq") == f"{number} {method}"

    def accept(self) -> Heard:
        """Answer the call; return the 200 that the caller hears."""
        self.callee.answers(self.invite, "200 OK", self.service, tag="b", more=self.callee.contact)
        return self.caller.hears_final("200")


def cseq(heard: Heard) -> int:
    """Return the number."""
    return int(heard.get("cseq").split()[0])


def test_a_copy_of_the_callers_invite_makes_no_other_call(service: UacproxyProcess) -> None:
    """Of kamailio #679: each copy that the caller sent got a number of its own."""
    with Endpoint("caller") as caller, Endpoint("callee") as callee:
        call = Challenged(caller, callee, service.address)
        caller.hears("100")
        caller.send(call.placed, service.address)
        callee.answers(call.invite, "180 Ringing", service.address, tag="b")
        ringing = caller.hears("180")
        caller.send(call.placed, service.address)
        caller.hears_again(ringing)
        final = call.accept()
        assert final.get("cseq") == "1 INVITE"
        call.call.in_dialog("ACK", final, 1)
        assert callee.hears("ACK").get("cseq") == "2 ACK"  # and no INVITE before it


def test_a_copy_of_the_challenge_is_acknowledged_and_not_answered(
    service: UacproxyProcess,
) -> None:
    with Endpoint("caller") as caller, Endpoint("callee") as callee:
        call = Challenged(caller, callee, service.address)
        callee.send(call.refusal, service.address)
        callee.hears_again(call.acknowledged)
        call.call.in_dialog("ACK", call.accept(), 1)
        assert callee.hears("ACK").get("cseq") == "2 ACK"


@pytest.mark.parametrize("track", ["no", "yes"])
def test_after_a_kill_the_numbers_go_on_and_challenges_are_still_answered(track: str) -> None:
    """What the challenge of the INVITE added is in the Route, the rest is in the store."""
    with instances() as start, Endpoint("caller") as caller, Endpoint("callee") as callee:
        instance = start("sqlite:///state.db", ini=INI.replace("@TRACK@", track))
        call = Challenged(caller, callee, instance.service.address)
        final = call.accept()
        call.call.in_dialog("ACK", final, 1)
        assert cseq(callee.hears("ACK")) == 2
        call.in_dialog("INFO", final, 2, 1, "n2")
        wait_until_raised(instance, call.invite)
        instance.kill()
        instance.start()
        call.in_dialog("INFO", final, 3, 2)
        call.in_dialog("BYE", final, 4, 2, "n3")


def wait_until_raised(instance: Instance, invite: Heard) -> None:
    """Wait until the store knows that a challenge inside the dialog was answered."""
    named = DID.search(invite.get("record-route"))  # where it is tracked from its start
    tag = invite.get("from").partition(";tag=")[2]
    of_call = ident_of_call(invite.get("call-id").encode(), tag.encode())
    ident = named[1].encode() if named else of_call

    def is_kept() -> bool:
        value = instance.in_sqlite(ident)
        return value is not None and bool(decode_dialog(ident, value).shifts)

    instance.service.server.wait_until(is_kept)
