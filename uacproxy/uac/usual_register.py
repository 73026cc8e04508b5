"""The REGISTER of an account as it usually is: ready octets around the few that change.

From one refresh to the next a REGISTER differs in Via branch, CSeq, nonce count, cnonce
and the digest over them, and its answer in nothing that counts. So once an exchange has
come to its 200 with credentials, what it sent and what it heard are kept, and the next
REGISTER is written by one join and judged by one comparison. Whatever is not as usual
goes the long way, by ``RegisterExchange``, which makes this anew when it has succeeded.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.settings import ListenAddress
from uacproxy.sip.digest import Challenge
from uacproxy.sip.digest_hash import AUTH, Algorithm, ha2_of_register, hash_hex
from uacproxy.sip.grammar import is_digits
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    AUTHENTICATION_INFO,
    CONTACT,
    CSEQ,
    EXPIRES,
    PROXY_AUTHENTICATION_INFO,
)
from uacproxy.uac.auth import Authorized
from uacproxy.uac.credentials import Credential
from uacproxy.uac.digest_client import pick_qop, usable_algorithm
from uacproxy.uac.register_request import RegisterRequest
from uacproxy.uac.register_response import read_granted

MOST_SHARED: Final = 1000  # octets that many accounts have alike, kept once
CNONCE_DIGITS: Final = 16

_NC: Final = b", qop=auth, nc="
_NC_DIGITS: Final = 8
_CNONCE: Final = b', cnonce="'
_RESPONSE: Final = b'", response="'
_END: Final = b"\r\n\r\n"
_SHARED: Final[dict[bytes, bytes]] = {}


@final
class UsualRegister:
    """One for each account that is registered with credentials, so it is small."""

    __slots__ = (
        "_algorithm",
        "_answer",
        "_behind",
        "_between",
        "_first",
        "_ha2",
        "_secret",
        "_start",
        "asked",
        "granted",
        "others",
        "socket",
    )

    def __init__(
        self,
        parts: tuple[bytes, bytes, bytes, bytes],
        algorithm: Algorithm,
        secret: bytes,
        ha2: bytes,
        asked: int,
        socket: ListenAddress | None,
    ) -> None:
        """Keep what is sent; the answer is known when it has come.

        Args:
            parts: start line with its CRLF; fields up to the number of the CSeq; from
                behind that up to the nonce count; from behind the digest to the end.
            algorithm: of the digest.
            secret: HA1 and nonce, a colon behind each.
            ha2: H(REGISTER:uri).
            asked: s.
            socket: the listener it leaves from.
        """
        self._start, self._first, self._between, self._behind = parts
        self._algorithm = algorithm
        self._secret = secret
        self._ha2 = ha2
        self.asked = asked
        self.socket = socket
        self._answer = b""  # the Contact field of the 200
        self.granted = 0  # s, by that field
        self.others = 0  # Contacts of somebody else in it

    def write(self, via: bytes, branch: bytes, cseq: int, nc: int, cnonce: bytes) -> bytes:
        """Return the octets of the next one.

        Args:
            via: the Via field up to its branch; b"" leaves the field out.
            branch: of it.
            cseq: number.
            nc: uses of the nonce including this one.
            cnonce: ``CNONCE_DIGITS`` octets nobody can guess.
        """
        uses = b"%08x" % nc
        middle = b":" + cnonce + b":auth:"
        response = hash_hex(self._algorithm, b"".join((self._secret, uses, middle, self._ha2)))
        return b"".join(
            (
                self._start,
                via,
                branch,
                b"\r\n" if via else b"",
                self._first,
                b"%d" % cseq,
                self._between,
                uses,
                _CNONCE,
                cnonce,
                _RESPONSE,
                response,
                self._behind,
            )
        )

    def is_answer(self, response: Message) -> bool:
        """Tell whether a 200 says what the one before has said, and nothing more to heed."""
        if response.has(AUTHENTICATION_INFO) or response.has(PROXY_AUTHENTICATION_INFO):
            return False
        if response.count(CONTACT) != 1:
            return False
        return response.line_at(response.find(CONTACT)) == self._answer

    def heard(self, response: Message, request: RegisterRequest) -> bool:
        """Take the 200 to the first of them as the answer to all; False: it is none for that.

        It is one where a single Contact field says all by itself.
        """
        at = response.find(CONTACT)
        if at < 0 or response.count(CONTACT) != 1:
            return False
        alone = response.branch_copy()
        alone.remove(EXPIRES)
        granted = read_granted(alone, request, 0)
        self.granted = granted.expires
        self.others = granted.others
        line = response.line_at(at)
        self._answer = _shared(line) if granted.others else line
        return self.granted > 0 and self.is_answer(response)


def usual_register(
    sent: Message,
    given: Authorized,
    challenge: Challenge,
    credential: Credential,
    asked: int,
    socket: ListenAddress | None,
) -> UsualRegister | None:
    """Return what a REGISTER that was answered 200 has in common with the next, if it can be told.

    Args:
        sent: as it was, without Via; its last field is ``given``.
        given: the answer to a challenge in it.
        challenge: that one.
        credential: it was answered with.
        asked: s.
        socket: the listener it left from.
    """
    algorithm = usable_algorithm(challenge)
    if algorithm.is_session or pick_qop(challenge) != AUTH or sent.body:
        return None
    lines = sent.lines
    line = lines[-1]
    at = line.rfind(_NC)
    number = sent.find(CSEQ)
    if at < 0 or number < 0 or sent.count(CONTACT) != 1:
        return None
    at += len(_NC)
    cnonce_at = at + _NC_DIGITS + len(_CNONCE)
    response_at = cnonce_at + CNONCE_DIGITS + len(_RESPONSE)
    words = lines[number].split(b" ")
    if len(words) != 3 or not is_digits(words[1]):
        return None
    first = [*lines[:number], words[0] + b" "]
    between = [b" " + words[2], *lines[number + 1 : -1], line[:at]]
    made = UsualRegister(
        (
            _shared(sent.start + b"\r\n"),
            b"\r\n".join(first),
            b"\r\n".join(between),
            _shared(line[response_at + algorithm.digits :] + _END),
        ),
        algorithm,
        credential.ha1(algorithm, challenge.realm) + b":" + challenge.nonce + b":",
        ha2_of_register(algorithm, sent.request_uri),
        asked,
        socket,
    )
    cnonce = line[cnonce_at : cnonce_at + CNONCE_DIGITS]
    again = made.write(b"", b"", int(words[1]), given.nc, cnonce)
    return made if again == sent.encode() else None


def _shared(octets: bytes) -> bytes:
    """Return equal octets that other accounts hold too."""
    known = _SHARED.get(octets)
    if known is None:
        known = octets
        if len(_SHARED) >= MOST_SHARED:
            _SHARED.clear()
        _SHARED[octets] = known
    return known
