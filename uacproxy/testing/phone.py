"""A phone: registers where it is told to, and calls through its outbound proxy."""

from __future__ import annotations

import secrets
from typing import Any, final

from uacproxy.ports import HostPort
from uacproxy.sip.build import build_request
from uacproxy.sip.digest import parse_challenges
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    AUTHORIZATION,
    CALL_ID,
    CONTACT,
    CSEQ,
    EXPIRES,
    FROM,
    MAX_FORWARDS,
    TO,
    WWW_AUTHENTICATE,
)
from uacproxy.testing.peer import Peer, Record
from uacproxy.uac.credentials import Credential
from uacproxy.uac.digest_client import answer


@final
class Phone(Peer):
    """One line: ``identity`` is its From without a tag, ``domain`` where it belongs."""

    def __init__(
        self,
        name: str,
        identity: bytes,
        domain: bytes,
        record: Record,
        reactor: Any,
        *,
        tag: bytes,
    ) -> None:
        super().__init__(name, record, reactor)
        self.identity = identity
        self.tag = tag  # of every From and To it writes; shorter than a real one, to be read
        self.contact = b"sip:line@" + self.host_port  # says nothing of who it is
        self._domain = domain

    async def register(self, proxy: HostPort, credential: Credential) -> Message:
        """Register, answering the challenge that has to come, and return the 200."""
        call_id = secrets.token_hex(8).encode()
        register = self._register(call_id, 1)
        self.send_request(register, proxy)
        challenged = await self.hears_response(b"REGISTER", 401)
        challenge = parse_challenges(challenged, WWW_AUTHENTICATE)[0]
        proof = answer(
            challenge,
            credential,
            method=b"REGISTER",
            uri=register.request_uri,
            nc=1,
            cnonce=secrets.token_hex(4).encode(),
        )
        register = self._register(call_id, 2)
        register.append(AUTHORIZATION, proof)
        self.send_request(register, proxy)
        return await self.hears_response(b"REGISTER", 200)

    def _register(self, call_id: bytes, cseq: int) -> Message:
        return build_request(
            b"REGISTER",
            b"sip:" + self._domain,
            [
                (MAX_FORWARDS, b"70"),
                (FROM, self.identity + b";tag=" + self.tag),
                (TO, self.identity),
                (CALL_ID, call_id),
                (CSEQ, b"%d REGISTER" % cseq),
                (CONTACT, b"<" + self.contact + b">"),
                (EXPIRES, b"600"),
            ],
        )

    def invite(self, proxy: HostPort, number: bytes) -> Message:
        """Call a number of our own domain, as people dial it."""
        dialled = b"sip:" + number + b"@" + self._domain
        invite = build_request(
            b"INVITE",
            dialled,
            [
                (MAX_FORWARDS, b"70"),
                (FROM, self.identity + b";tag=" + self.tag),
                (TO, b"<" + dialled + b">"),
                (CALL_ID, secrets.token_hex(8).encode()),
                (CSEQ, b"1 INVITE"),
                (CONTACT, b"<" + self.contact + b">"),
            ],
        )
        return self.send_request(invite, proxy)
