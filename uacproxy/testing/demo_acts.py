"""The four acts of the demonstration, each the script of who says what."""

from __future__ import annotations

from typing import Any, Final, final

from twisted.internet.defer import Deferred

from uacproxy.ports import HostPort
from uacproxy.sip.fields import contact_expires, expires_of
from uacproxy.sip.grammar import text
from uacproxy.sip.names import CONTACT
from uacproxy.testing import demo_checks as check
from uacproxy.testing.call_end import CallEnd
from uacproxy.testing.checks import Checks
from uacproxy.testing.demo_office import (
    ACCOUNT,
    ALICE,
    BOB,
    CAROL,
    CAROLS_NUMBER,
    OFFICE,
    PROVIDER,
    TRUNK,
    TRUNK_USER,
    Passwords,
)
from uacproxy.testing.demo_service import ServiceProcess
from uacproxy.testing.peer import Record
from uacproxy.testing.phone import Phone
from uacproxy.testing.provider import TAG, Provider
from uacproxy.uac.credentials import Credential

FAR_CSEQ: Final = 40  # the provider counts its own requests from here


@final
class Stage:
    """Everybody who plays; ``record`` grows from act to act."""

    def __init__(self, reactor: Any, here: HostPort, passwords: Passwords, asked: str) -> None:
        """Open the sockets of the peers.

        Args:
            reactor: Twisted's.
            here: where uacproxy will listen.
            passwords: of the trunk and of Bob.
            asked: the password of the trunk as the provider has it.
        """
        self.here = here
        self.passwords = passwords
        self.record: Record = []
        self.trunk = TRUNK  # what the provider has to see
        self.alice = Phone("phone 1", ALICE, OFFICE, self.record, reactor, tag=b"p1")
        self.bob = Phone("phone 2", BOB, OFFICE, self.record, reactor, tag=b"p2")
        self.provider = Provider(
            PROVIDER, TRUNK_USER.encode(), asked.encode(), self.record, reactor
        )

    async def close(self) -> None:
        """Close the sockets."""
        for peer in (self.alice, self.bob, self.provider):
            await peer.close()


async def registrations(stage: Stage, service: ServiceProcess, checks: Checks) -> None:
    """Have the account registered at the provider, and phone 2 at uacproxy."""
    provider, bob = stage.provider, stage.bob
    await provider.hears_registration()
    credential = Credential(b"bob", OFFICE, stage.passwords.bob.encode())
    await bob.register(stage.here, credential)
    found = await service.ask("uac.reg_info", "l_uuid", ACCOUNT)
    check.check_registrations(checks, stage.record, provider, bob, found)


async def call_out(stage: Stage, checks: Checks) -> None:
    """Alice calls Carol, whose end changes the session once, and hangs up."""
    phone, provider, start = stage.alice, stage.provider, len(stage.record)
    invite = phone.invite(stage.here, CAROLS_NUMBER)
    arrived = await provider.hears_call()
    provider.answer(arrived, 180, tag=TAG, contact=provider.contact)
    await phone.hears_response(b"INVITE", 180)
    accepted = provider.answer(arrived, 200, tag=TAG, contact=provider.contact)
    final = await phone.hears_response(b"INVITE", 200)
    near = CallEnd.of_caller(invite, final)
    far = CallEnd.of_callee(arrived, accepted, FAR_CSEQ)
    phone.send_request(near.request(b"ACK"))
    await provider.hears_request(b"ACK")

    provider.send_request(far.request(b"INVITE", provider.contact))
    again = await phone.hears_request(b"INVITE")
    phone.answer(again, 200, contact=phone.contact)
    await provider.hears_response(b"INVITE", 200)
    provider.send_request(far.request(b"ACK"))
    await phone.hears_request(b"ACK")

    phone.send_request(near.request(b"BYE"))
    provider.answer(await provider.hears_request(b"BYE"), 200)
    await phone.hears_response(b"BYE", 200)

    record = stage.record[start:]
    shown = stage.trunk + b";tag=" + phone.tag
    dialled = b"<sip:" + CAROLS_NUMBER + b"@" + PROVIDER + b">;tag=" + TAG
    check.check_identity_out(checks, record, provider, shown, dialled)
    check.check_identity_back(checks, record, phone, invite)
    check.check_sequence(checks, record, phone, provider)
    check.check_far_end(checks, record, phone, provider, near)


async def call_in(stage: Stage, checks: Checks) -> None:
    """Carol calls back: the provider calls the Contact that the account registered."""
    phone, provider, start = stage.bob, stage.provider, len(stage.record)
    contact = b"sip:%b@%b:%d" % (ACCOUNT.encode(), stage.here[0].encode(), stage.here[1])
    invite = provider.invite(CAROL, b"<sip:" + TRUNK_USER.encode() + b"@" + PROVIDER + b">")
    arrived = await phone.hears_request(b"INVITE")
    phone.answer(arrived, 180, tag=phone.tag, contact=phone.contact)
    await provider.hears_response(b"INVITE", 180)
    phone.answer(arrived, 200, tag=phone.tag, contact=phone.contact)
    far = CallEnd.of_caller(invite, await provider.hears_response(b"INVITE", 200))
    provider.send_request(far.request(b"ACK"))
    await phone.hears_request(b"ACK")

    provider.send_request(far.request(b"BYE"))
    phone.answer(await phone.hears_request(b"BYE"), 200)
    await provider.hears_response(b"BYE", 200)
    check.check_call_in(checks, stage.record[start:], phone, provider, contact)


async def stop(stage: Stage, service: ServiceProcess, checks: Checks) -> None:
    """SIGTERM: the binding is taken back before the service ends."""
    stopped = Deferred.fromCoroutine(service.stop())
    register = await stage.provider.hears_registration()
    expires = contact_expires(register.addresses(CONTACT)[0])
    if expires is None:
        expires = expires_of(register)
    checks.same("the last REGISTER asks for", "0 s", f"{expires} s")
    checks.same("uacproxy ends on SIGTERM with", "exit status 0", await stopped)
    accepted = " ".join(text(method) for method in stage.provider.accepted)
    checks.same("the provider accepts the proofs of", "REGISTER INVITE REGISTER", accepted)
    check.check_hidden(checks, stage.record, stage.provider)
    log = service.log
    checks.same("tracebacks in its log", 0, log.count("Traceback"))
    checks.same("passwords in its log", 0, stage.passwords.found_in(log))
