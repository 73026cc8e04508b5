"""Whatever two peers do in whatever order: no exception, no leak, nothing of one at the other."""

from __future__ import annotations

import random

import pytest

from tests.support.bridge import ANSWER, SDP, BridgedCall, octets_at
from tests.support.world import CALLEE, CALLER
from uacproxy.bridge.settings import BridgeSettings

METHODS = [b"INVITE", b"UPDATE", b"INFO", b"BYE", b"PRACK", b"REFER", b"ACK", b"CANCEL", b"NOTIFY"]
STATUSES = [180, 183, 200, 200, 200, 202, 302, 401, 408, 422, 481, 486, 491, 500, 503, 603]
RUNS = 150


class Weather:
    """A call, and somebody who throws things at it."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        arguments = self.dice.choice(
            ["'sip:bob@192.0.2.2'", "'sip:bob@192.0.2.2', 'sip:bob@192.0.2.2', parallel=True"]
        )
        settings = BridgeSettings(session_expires=self.dice.choice([0, 90, 1800]))
        self.call = BridgedCall(arguments, bridge=settings)
        self.acts = [self.caller_sends, self.callee_sends, self.caller_says, self.callee_says] * 2
        self.acts += [self.caller_cancels, self.time_passes]

    def blow(self) -> None:
        call = self.call
        fields = self.dice.choice([b"", b"Supported: 100rel, timer\r\n"])
        call.invite(fields=fields, body=self.dice.choice([SDP, b""]))
        if self.dice.random() < 0.7:  # else it may never come to talking
            call.callee_says(200, body=ANSWER)
            call.caller_acks(body=self.dice.choice([b"", ANSWER]))
        for _ in range(self.dice.randrange(3, 40)):
            try:
                self.dice.choice(self.acts)()
            except IndexError:
                pass  # nothing yet to answer or to send it in

    def _fields(self) -> bytes:
        return self.dice.choice(
            [
                b"",
                b"Require: 100rel\r\nRSeq: %d\r\n" % self.dice.randrange(5),
                b"RAck: %d 1 INVITE\r\n" % self.dice.randrange(1, 9),
                b"Session-Expires: %d;refresher=uac\r\n" % self.dice.choice([1, 90, 600]),
                b"Refer-To: <sip:carol@c.example?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>\r\n",
                b"Allow: UPDATE, INFO\r\nMin-SE: 600\r\n",
                b"Require: unheard-of\r\n",
                b"WWW-Authenticate: Digest realm=x, nonce=y\r\n",
            ]
        )

    def _body(self) -> bytes:
        return self.dice.choice([b"", SDP, ANSWER])

    def _tag(self) -> bytes:
        return self.dice.choice([b"bt1", b"bt1", b"bt2"])

    def caller_sends(self) -> None:
        status = self.dice.choice([180, 183, 200, 200])
        self.call.caller_sends(
            self.dice.choice(METHODS), body=self._body(), fields=self._fields(), status=status
        )

    def callee_sends(self) -> None:
        self.call.callee_sends(
            self.dice.choice(METHODS), body=self._body(), fields=self._fields(), tag=self._tag()
        )

    def caller_says(self) -> None:
        self.call.caller_says(self.dice.choice(STATUSES), self._body(), self._fields())

    def callee_says(self) -> None:
        method = self.dice.choice([b"", b"INVITE", b"BYE", b"CANCEL", b"PRACK"])
        self.call.callee_says(
            self.dice.choice(STATUSES),
            self._tag(),
            body=self._body(),
            fields=self._fields(),
            method=method,
        )

    def caller_cancels(self) -> None:
        self.call.caller_cancels()

    def time_passes(self) -> None:
        self.call.world.let(self.dice.choice([0.5, 5.0, 40.0, 100.0]))


@pytest.mark.parametrize("seed", range(RUNS))
def test_any_weather_passes(seed: int) -> None:
    weather = Weather(seed)
    call = weather.call
    weather.blow()
    world = call.world
    at_callee = octets_at(world, CALLEE)
    for secret in (b"call-1@a.example", b"tag=at1", b"alice@192.0.2.1", b"z9hG4bKc"):
        assert secret not in at_callee
    at_caller = octets_at(world, CALLER)
    for secret in (b"tag=bt1", b"tag=bt2", b"bob@192.0.2.2", b"z9hG4bKd"):
        assert secret not in at_caller
    for one in list(world.calls):
        one.end()
    call.is_gone()
