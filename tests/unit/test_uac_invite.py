"""An INVITE of our own: targets, ringing, CANCEL, challenges, every 2xx and its ACK."""

from __future__ import annotations

import pytest

from tests.support.world import CALLEE, OTHER, World, answer
from uacproxy.dialog.ua_dialog import uac_dialog
from uacproxy.errors import OwnMistake
from uacproxy.ports import HostPort, Target
from uacproxy.sip.build import build_request
from uacproxy.sip.message import Message
from uacproxy.sip.names import AUTHORIZATION, CALL_ID, CONTACT, CSEQ, FROM, REASON, TO, VIA
from uacproxy.sip.uri import parse_uri
from uacproxy.uac.credentials import Credential, CredentialList
from uacproxy.uac.invite import InviteSender, SentInvite
from uacproxy.uac.nonces import NonceBook
from uacproxy.uac.send import SendOutcome

PEER = parse_uri(b"sip:peer.example")
LIFETIME = 32.0  # s: timer B
CHALLENGE = b'WWW-Authenticate: Digest realm="b.example",nonce="%b",qop="auth"\r\n'
CREDENTIALS = CredentialList([Credential(b"alice", b"b.example", b"secret")])


class Caller:
    """Who calls, and all that was told."""

    def __init__(self, *peers: HostPort) -> None:
        self.world = World()
        self.world.names[b"peer.example"] = list(peers or [CALLEE])
        self.nonces = NonceBook()
        self.sender = InviteSender(
            transports=self.world,
            resolver=self.world,
            table=self.world.table,
            clock=self.world.clock,
            nonces=self.nonces,
        )
        self.rang: list[int] = []
        self.accepted: list[Message] = []
        self.failed: list[SendOutcome] = []

    def invite_rings(self, invite: SentInvite, response: Message) -> None:
        self.rang.append(response.status)

    def invite_accepted(self, invite: SentInvite, response: Message) -> None:
        self.accepted.append(response)

    def invite_failed(self, invite: SentInvite, outcome: SendOutcome) -> None:
        self.failed.append(outcome)

    def call(
        self,
        *,
        body: bytes = b"",
        contact_user: bytes = b"token",
        credentials: CredentialList | None = None,
        ring_for: float = 0.0,
        targets: list[Target] | None = None,
    ) -> SentInvite:
        fields = [
            (FROM, b"<sip:us@here.example>;tag=1"),
            (TO, b"<sip:bob@peer.example>"),
            (CALL_ID, b"c1"),
            (CSEQ, b"10 INVITE"),
        ]
        request = build_request(b"INVITE", b"sip:bob@peer.example", fields, body)
        return self.sender.send(
            request,
            PEER,
            self,
            targets=targets,
            contact_user=contact_user,
            credentials=credentials,
            ring_for=ring_for,
        )

    def says(
        self, status: int, peer: HostPort = CALLEE, tag: bytes = b"bt1", fields: bytes = b""
    ) -> None:
        """Let a peer answer the last INVITE it got."""
        got = [one for one in self.world.sent_to(peer) if one.method == b"INVITE"][-1]
        self.world.receive(answer(got, status, tag, fields), peer)

    def statuses(self) -> list[int]:
        return [outcome.status for outcome in self.failed]


def test_a_call_rings_and_is_accepted_and_its_contact_names_the_flow() -> None:
    caller = Caller()
    invite = caller.call()
    caller.says(100)
    caller.says(180)
    caller.says(200)
    assert caller.rang == [180]
    assert len(caller.accepted) == 1
    assert caller.failed == []
    sent = caller.world.sent_to(CALLEE)[0]
    assert sent.need(CONTACT) == b"<sip:token@192.0.2.100:5060>"
    assert invite.request.encode() == sent.encode()


def test_the_ack_goes_along_the_route_set_and_again_with_each_200_that_comes_again() -> None:
    caller = Caller()
    invite = caller.call()
    caller.says(200, fields=b"Record-Route: <sip:192.0.2.3;lr>\r\n")
    dialog = uac_dialog(invite.request, caller.accepted[0])
    ack = dialog.build(b"ACK", cseq=invite.request.cseq.number)
    invite.acknowledge(caller.accepted[0], ack, dialog.next_hop())
    caller.says(200)
    caller.says(200)
    acks = caller.world.sent_to(OTHER)
    assert [one.method for one in acks] == [b"ACK"] * 3
    assert len({one.encode() for one in acks}) == 1
    assert acks[0].via.branch != invite.request.via.branch
    assert len(caller.accepted) == 1


def test_a_200_not_acknowledged_yet_is_told_once() -> None:
    caller = Caller()
    caller.call()
    caller.says(200)
    caller.says(200)
    assert len(caller.accepted) == 1


def test_every_callee_that_accepts_is_told_of() -> None:
    caller = Caller()
    caller.call()
    caller.says(200, tag=b"one")
    caller.says(200, tag=b"two")
    assert [one.to.tag for one in caller.accepted] == [b"one", b"two"]


def test_a_callee_that_goes_on_inventing_tags_is_heard_for_a_while() -> None:
    caller = Caller()
    caller.call()
    for number in range(100):
        caller.says(200, tag=b"t%d" % number)
    assert len(caller.accepted) == 32


@pytest.mark.parametrize("status", [302, 404, 486, 500, 603])
def test_a_refusal_is_the_end(status: int) -> None:
    caller = Caller(CALLEE, OTHER)
    caller.call()
    caller.says(status)
    assert caller.statuses() == [status]
    assert caller.world.kinds_to(CALLEE) == ["INVITE", "ACK"]
    assert caller.world.sent_to(OTHER) == []
    caller.world.let(2 * LIFETIME)
    assert caller.world.table.clients == 0


def test_silence_503_and_a_dead_transport_lead_to_the_next_target() -> None:
    third = ("192.0.2.4", 5060)
    fourth = ("192.0.2.5", 5060)
    caller = Caller(CALLEE, OTHER, third, fourth)
    caller.world.unreachable.add(CALLEE)
    caller.call()
    caller.world.let(0.1)
    caller.says(503, OTHER)
    caller.world.let(LIFETIME + 1)
    caller.says(200, fourth)
    assert len(caller.accepted) == 1
    assert caller.failed == []


def test_the_last_target_says_how_it_ends() -> None:
    caller = Caller(CALLEE, OTHER)
    caller.call()
    caller.world.let(LIFETIME)
    caller.says(503, OTHER)
    assert caller.statuses() == [503]
    assert caller.failed[0].response is not None


def test_a_name_without_address_fails_before_send_returns() -> None:
    caller = Caller()
    caller.world.names.clear()
    caller.call()
    assert caller.statuses() == [503]
    assert "no address" in caller.failed[0].why


def test_targets_known_beforehand_come_first_and_are_not_tried_twice() -> None:
    caller = Caller(CALLEE, OTHER)
    caller.call(targets=[Target(b"UDP", OTHER[0], OTHER[1])])
    caller.says(503, OTHER)
    caller.says(503, CALLEE)
    assert caller.statuses() == [503]
    assert caller.world.kinds_to(OTHER) == ["INVITE", "ACK"]


# -- CANCEL ----------------------------------------------------------------------------


def test_a_cancel_waits_for_the_first_provisional_response() -> None:
    caller = Caller()
    invite = caller.call()
    invite.cancel([b"SIP;cause=200"])
    assert caller.world.kinds_to(CALLEE) == ["INVITE"]
    caller.says(100)
    cancel = caller.world.last_to(CALLEE)
    assert cancel.method == b"CANCEL"
    assert cancel.need(VIA) == invite.request.need(VIA)
    assert cancel.need(REASON) == b"SIP;cause=200"
    caller.says(180)
    caller.says(487)
    assert caller.rang == []
    assert caller.statuses() == [487]
    caller.world.let(2 * LIFETIME)
    assert caller.world.table.clients == 0


def test_a_200_that_crosses_the_cancel_is_told_all_the_same() -> None:
    caller = Caller()
    invite = caller.call()
    caller.says(180)
    invite.cancel()
    caller.says(200)
    assert len(caller.accepted) == 1
    assert caller.failed == []


def test_a_cancel_nobody_answers_ends_after_a_while() -> None:
    caller = Caller()
    invite = caller.call()
    caller.says(180)
    invite.cancel()
    caller.world.let(LIFETIME + 1)
    assert caller.statuses() == [487]
    assert caller.world.table.clients == 0


def test_a_503_after_cancel_asks_nobody_else() -> None:
    caller = Caller(CALLEE, OTHER)
    invite = caller.call()
    caller.says(180)
    invite.cancel()
    caller.says(503)
    assert caller.statuses() == [503]
    assert caller.world.sent_to(OTHER) == []


def test_patience_ends_in_408_with_a_cancel_where_it_rings() -> None:
    caller = Caller()
    caller.call(ring_for=10.0)
    caller.says(180)
    caller.world.let(10.0)
    assert caller.world.kinds_to(CALLEE)[-1] == "CANCEL"
    caller.says(487)
    assert caller.statuses() == [408]


def test_patience_ends_in_408_where_nothing_was_heard() -> None:
    caller = Caller()
    caller.call(ring_for=10.0)
    caller.world.let(10.1)
    assert caller.statuses() == [408]
    caller.world.let(2 * LIFETIME)
    assert caller.world.table.clients == 0


def test_an_abandoned_invite_is_silent() -> None:
    caller = Caller()
    invite = caller.call(ring_for=10.0)
    caller.says(180)
    invite.abandon()
    caller.world.let(2 * LIFETIME)
    assert (caller.rang, caller.accepted, caller.failed) == ([180], [], [])
    assert caller.world.table.clients == 0


# -- challenges ------------------------------------------------------------------------


def test_a_challenge_is_answered_with_a_raised_number_at_the_same_target() -> None:
    caller = Caller(CALLEE, OTHER)
    invite = caller.call(credentials=CREDENTIALS, body=b"v=0\r\n")
    caller.says(401, fields=CHALLENGE % b"n1")
    first, _, second = caller.world.sent_to(CALLEE)
    assert (first.cseq.number, second.cseq.number) == (10, 11)
    assert second.body == b"v=0\r\n"
    assert b'nonce="n1"' in second.need(AUTHORIZATION)
    assert second.via.branch != first.via.branch
    assert second.from_.raw == first.from_.raw
    caller.says(200)
    dialog = uac_dialog(invite.request, caller.accepted[0])
    ack = dialog.build(b"ACK", cseq=invite.request.cseq.number)
    invite.acknowledge(caller.accepted[0], ack, dialog.next_hop())
    sent = caller.world.last_to(CALLEE)
    assert sent.cseq.number == 11
    assert not sent.has(AUTHORIZATION)  # they are nothing for the far end


def test_the_next_call_answers_before_it_is_asked() -> None:
    caller = Caller()
    caller.call(credentials=CREDENTIALS)
    caller.says(401, fields=CHALLENGE % b"n1")
    caller.call(credentials=CREDENTIALS)
    sent = caller.world.last_to(CALLEE)
    assert b"nc=00000002" in sent.need(AUTHORIZATION)
    caller.says(401, fields=CHALLENGE % b"n2")
    again = caller.world.last_to(CALLEE)
    assert len(again.fields(AUTHORIZATION)) == 1
    assert b'nonce="n2"' in again.need(AUTHORIZATION)


def test_wrong_credentials_end_in_the_peers_own_401() -> None:
    caller = Caller()
    caller.call(credentials=CREDENTIALS)
    caller.says(401, fields=CHALLENGE % b"n1")
    caller.says(401, fields=CHALLENGE % b"n1")
    assert caller.statuses() == [401]


def test_without_credentials_a_challenge_is_a_refusal() -> None:
    caller = Caller()
    caller.call()
    caller.says(407)
    assert caller.statuses() == [407]


def test_a_challenge_after_cancel_is_not_answered() -> None:
    caller = Caller()
    invite = caller.call(credentials=CREDENTIALS)
    caller.says(180)
    invite.cancel()
    caller.says(401, fields=CHALLENGE % b"n1")
    assert caller.statuses() == [401]


def test_only_an_invite_goes_this_way() -> None:
    caller = Caller()
    with pytest.raises(OwnMistake):
        caller.sender.send(build_request(b"OPTIONS", b"sip:a@b", []), PEER, caller)
