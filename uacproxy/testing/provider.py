"""A small SIP provider: one customer, a registrar and a gateway, both behind digest."""

from __future__ import annotations

import secrets
import time
from typing import Any, Final, final

from uacproxy.registrar.digest_server import DigestServer, Verdict
from uacproxy.sip.build import build_request
from uacproxy.sip.digest import parse_credentials
from uacproxy.sip.digest_hash import compute_ha1, find_algorithm
from uacproxy.sip.fields import contact_expires, expires_of
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    AUTHORIZATION,
    CALL_ID,
    CONTACT,
    CSEQ,
    FROM,
    MAX_FORWARDS,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TO,
    WWW_AUTHENTICATE,
)
from uacproxy.sip.uri import parse_uri
from uacproxy.testing.peer import OffScript, Peer, Record

TAG: Final = b"gw"
NONCE_LIFETIME: Final = 300.0  # s


@final
class Provider(Peer):
    """Challenges everything that begins something; ``binding`` is the customer's Contact."""

    def __init__(
        self, domain: bytes, username: bytes, password: bytes, record: Record, reactor: Any
    ) -> None:
        super().__init__("provider", record, reactor)
        self.contact = b"sip:gw@" + self.host_port
        self.binding = b""
        self.accepted: list[bytes] = []  # methods of the requests that were proven
        self._domain = domain
        self._username = username
        md5 = find_algorithm(b"MD5")
        assert md5 is not None
        self._ha1 = compute_ha1(md5, username, domain, password)
        self._digest = DigestServer(domain, secrets.token_bytes(16), time.time, NONCE_LIFETIME)

    async def hears_registration(self) -> Message:
        """Challenge a REGISTER that comes without a proof, and answer the one that has it.

        Raises:
            OffScript: the proof is wrong.
        """
        register = await self.hears_request(b"REGISTER")
        while not register.has(AUTHORIZATION):
            self._challenge(register, 401, WWW_AUTHENTICATE)
            register = await self.hears_request(b"REGISTER")
        if not self._is_proven(register, AUTHORIZATION):
            self.answer(register, 403, tag=TAG)
            raise OffScript(self.name, "a REGISTER with the right proof", "one with a wrong proof")
        contact = register.addresses(CONTACT)[0]
        expires = contact_expires(contact)
        if expires is None:
            expires = expires_of(register) or 0
        self.binding = contact.uri if expires else b""
        bound = [(CONTACT, contact.head + b";expires=%d" % expires)] if expires else []
        self.answer(register, 200, *bound, tag=TAG)
        return register

    async def hears_call(self) -> Message:
        """Challenge the next INVITE, and return the one that comes with the right proof.

        Raises:
            OffScript: it comes without.
        """
        invite = await self.hears_request(b"INVITE")
        self._challenge(invite, 407, PROXY_AUTHENTICATE)
        await self.hears_request(b"ACK")
        invite = await self.hears_request(b"INVITE")
        if not self._is_proven(invite, PROXY_AUTHORIZATION):
            self.answer(invite, 403, tag=TAG)
            raise OffScript(self.name, "an INVITE with the right proof", "one without")
        return invite

    def invite(self, caller: bytes, customer: bytes) -> Message:
        """Call the customer where it has registered; ``caller`` is the From without a tag."""
        invite = build_request(
            b"INVITE",
            self.binding,
            [
                (MAX_FORWARDS, b"70"),
                (FROM, caller + b";tag=" + TAG),
                (TO, customer),
                (CALL_ID, secrets.token_hex(8).encode()),
                (CSEQ, b"71 INVITE"),
                (CONTACT, b"<" + self.contact + b">"),
            ],
        )
        return self.send_request(invite)

    def _challenge(self, request: Message, status: int, name: bytes) -> None:
        challenges = [(name, value) for value in self._digest.challenges()]
        self.answer(request, status, *challenges, tag=TAG)

    def _is_proven(self, request: Message, name: bytes) -> bool:
        for credentials in parse_credentials(request, name):
            if credentials.username == self._username and parse_uri(credentials.uri).is_sip:
                verdict = self._digest.verify(request, credentials, self._ha1)
                if verdict is Verdict.OK:
                    self.accepted.append(request.method)
                    return True
        return False
