"""What has to be right in the demonstration, read off the octets that passed the peers."""

from __future__ import annotations

from typing import Any, Final, final

from uacproxy.sip.grammar import text
from uacproxy.sip.message import Message
from uacproxy.sip.names import CONTACT
from uacproxy.testing.call_end import CallEnd
from uacproxy.testing.checks import Checks
from uacproxy.testing.demo_office import HIDDEN
from uacproxy.testing.peer import Record
from uacproxy.testing.phone import Phone
from uacproxy.testing.provider import Provider
from uacproxy.uac.registration_states import FLAG_ONLINE

_RESPONSES: Final = range(100, 700)


@final
class Seen:
    """The record of one act, asked by peer and kind of message."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def heard(self, peer: str, method: bytes) -> list[Message]:
        """Return the requests that came to a peer."""
        return self._messages(peer, method, sent=False, responses=False)

    def said(self, peer: str, method: bytes) -> list[Message]:
        """Return the requests that a peer sent."""
        return self._messages(peer, method, sent=True, responses=False)

    def answers(self, peer: str, method: bytes = b"") -> list[Message]:
        """Return the responses that came to a peer, to requests of one method or to all."""
        return self._messages(peer, method, sent=False, responses=True)

    def _messages(self, peer: str, method: bytes, *, sent: bool, responses: bool) -> list[Message]:
        found = []
        for sighting in self._record:
            message = sighting.message
            if sighting.peer != peer or sighting.sent != sent:
                continue
            if (message.status in _RESPONSES) == responses:
                if not method or message.cseq.method == method:
                    found.append(message)
        return found


def check_registrations(
    checks: Checks, record: Record, provider: Provider, bob: Phone, found: dict[str, Any]
) -> None:
    """Check both registrations; ``found`` is the answer of ``uac.reg_info``."""
    sent = [one.message for one in record if one.peer == provider.name and one.sent]
    checks.same("REGISTER at the provider is answered", "401 200", _statuses(sent))
    online = "online" if int(found["flags"]) & FLAG_ONLINE else f"flags {found['flags']}"
    checks.same("uacctl uac.reg_info: the account is", "online", online)
    seen = Seen(record)
    checks.same("phone 2's REGISTER at uacproxy", "401 200", _statuses(seen.answers(bob.name)))
    listed = [address.uri for address in seen.answers(bob.name)[-1].addresses(CONTACT)]
    checks.all_same("uacproxy lists phone 2's Contact", bob.contact, listed)


def check_identity_out(
    checks: Checks, record: Record, provider: Provider, shown: bytes, dialled: bytes
) -> None:
    """Check what the provider sees of the caller; ``shown`` and ``dialled`` have their tags."""
    seen = Seen(record)
    sent = [*seen.heard(provider.name, b"INVITE"), *seen.heard(provider.name, b"ACK")]
    sent += seen.heard(provider.name, b"BYE")
    bare = dialled.partition(b";tag=")[0]
    checks.all_same("From in every request to the provider", shown, (m.from_.raw for m in sent))
    first = seen.heard(provider.name, b"INVITE")[:1]
    checks.all_same("To in the first INVITE to the provider", bare, (m.to.raw for m in first))
    checks.all_same("To in the BYE to the provider", dialled, (m.to.raw for m in sent[-1:]))


def check_identity_back(checks: Checks, record: Record, phone: Phone, invite: Message) -> None:
    """Check that each response shows the caller what it wrote itself."""
    replies = Seen(record).answers(phone.name)
    own, dialled = invite.from_, invite.to
    checks.all_same("From in every reply to phone 1", own.raw, (m.from_.raw for m in replies))
    checks.all_same("To in every reply to phone 1", dialled.raw, (m.to.head for m in replies))


def check_sequence(checks: Checks, record: Record, phone: Phone, provider: Provider) -> None:
    """Check both CSeq spaces, the answered challenge and the Call-ID."""
    seen = Seen(record)
    to_provider = [
        _numbers(seen.heard(provider.name, method)) for method in (b"INVITE", b"ACK", b"BYE")
    ]
    checks.same("CSeq of INVITE at the provider", "1 2", to_provider[0])
    checks.same("CSeq of ACK there (of the 407, of the 200)", "1 2", to_provider[1])
    checks.same("CSeq of BYE there (phone 1 sent 2)", "3", to_provider[2])
    replies = seen.answers(phone.name)
    mine = " ".join(f"{m.status}:{m.cseq.number}" for m in replies)
    checks.same("CSeq of each reply to phone 1", "100:1 180:1 200:1 200:2", mine)
    call_id = seen.said(phone.name, b"INVITE")[0].call_id
    checks.all_same("Call-ID on both sides", call_id, (one.message.call_id for one in record))


def check_far_end(
    checks: Checks, record: Record, phone: Phone, provider: Provider, caller: CallEnd
) -> None:
    """Check the re-INVITE of the far end, its answer and its ACK."""
    seen = Seen(record)
    for method in (b"INVITE", b"ACK"):
        name = "re-INVITE" if method == b"INVITE" else "its ACK"
        there = seen.said(provider.name, method)[-1]
        for here in seen.heard(phone.name, method):
            checks.same(f"{name} at phone 1: From", caller.remote, here.from_.raw)
            checks.same(f"{name} at phone 1: To", caller.local, here.to.raw)
            checks.same(f"{name} at phone 1: CSeq", there.cseq.number, here.cseq.number)
    asked = seen.said(provider.name, b"INVITE")[-1]
    answer = [m for m in seen.answers(provider.name, b"INVITE") if m.status == 200][-1]
    checks.same("its 200 at the provider: From", asked.from_.raw, answer.from_.raw)
    checks.same("its 200 at the provider: To", asked.to.raw, answer.to.raw)
    checks.same("its 200 at the provider: CSeq", asked.cseq.number, answer.cseq.number)


def check_call_in(
    checks: Checks, record: Record, phone: Phone, provider: Provider, contact: bytes
) -> None:
    """Check the call to the account's Contact, as phone 2 and the provider had it."""
    seen = Seen(record)
    said = seen.said(provider.name, b"INVITE")[0]
    heard = seen.heard(phone.name, b"INVITE")[0]
    checks.same("the provider calls the Contact it has", contact, said.request_uri)
    checks.same("the call in reaches phone 2 as", phone.contact, heard.request_uri)
    checks.same("From at phone 2", said.from_.raw, heard.from_.raw)
    checks.same("To at phone 2", said.to.raw, heard.to.raw)
    counted = [_numbers(seen.heard(phone.name, method)) for method in (b"INVITE", b"ACK", b"BYE")]
    checks.same("CSeq of INVITE, ACK, BYE at phone 2", "71 71 72", " ".join(counted))
    answered = _statuses(seen.answers(provider.name))
    checks.same("the provider hears", "100 180 200 200", answered)


def check_hidden(checks: Checks, record: Record, provider: Provider) -> None:
    """Check every octet that ever came to the provider."""
    came = [one.octets for one in record if one.peer == provider.name and not one.sent]
    found = sum(octets.lower().count(word) for octets in came for word in HIDDEN)
    words = " or ".join(text(word) for word in HIDDEN)
    octets = sum(map(len, came))
    checks.same(f"{words} in {octets} octets to the provider", "0 times", f"{found} times")


def _statuses(messages: list[Message]) -> str:
    return " ".join(str(message.status) for message in messages) or "nothing"


def _numbers(messages: list[Message]) -> str:
    return " ".join(str(message.cseq.number) for message in messages) or "none"
