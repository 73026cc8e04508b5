"""A registrar for measurements: one process, one UDP socket, no SIP library.

    python bench/registrar.py --listen 127.7.0.4:5080 --password s3cret --expires 3600

It challenges every REGISTER that brings no valid credentials (MD5, qop=auth) and grants all
others. When a request came is what the kernel says, so a registrar that is late itself
does not make a burst of what was none. A datagram ``STATS`` is answered with a JSON object:

    registers   REGISTER requests, retransmissions left out
    resent      retransmissions: same Call-ID and CSeq as before
    granted     200s
    refused     credentials that were wrong
    users       how many users have been granted a binding
    lapsed      grants that came after the user's binding had run out
    removed     un-REGISTERs
    slots       first tenth of a second (s of the epoch) and REGISTERs in each since

``FORGET`` starts the counts anew and keeps the bindings.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import struct
from hashlib import md5
from typing import Any, Final

SO_TIMESTAMPNS: Final = 35
RECEIVE_BUFFER: Final = 16 * 1024 * 1024  # octets
REALM: Final = "provider.example.net"
NONCE: Final = "5f3c0a9d2b7e4186"

_FIELDS: Final = re.compile(
    rb"^(via|v|from|f|to|t|call-id|i|cseq|contact|m|expires|authorization)[ \t]*:[ \t]*(.*?)\r$",
    re.IGNORECASE | re.MULTILINE,
)
_LONG: Final = {b"v": b"via", b"f": b"from", b"t": b"to", b"i": b"call-id", b"m": b"contact"}
_PARAM: Final = re.compile(rb'(\w+)=(?:"([^"]*)"|([^",\s]+))')
_USER: Final = re.compile(rb"sips?:([^@;>]*)@")


def md5_hex(text: bytes) -> bytes:
    """Return H() of RFC 7616 for MD5."""
    return md5(text, usedforsecurity=False).hexdigest().encode()


class Registrar:
    """Counts, bindings, and the answer to one datagram."""

    def __init__(self, password: str, expires: int) -> None:
        self._password = password.encode()
        self._expires = expires
        self._until: dict[bytes, float] = {}  # s of the epoch, by user
        self._last: dict[bytes, int] = {}  # CSeq by Call-ID
        self._ha1: dict[bytes, bytes] = {}
        self.forget()

    def forget(self) -> None:
        """Start the counts anew."""
        self.registers = self.resent = self.granted = self.refused = self.lapsed = 0
        self.removed = 0
        self._slots: dict[int, int] = {}

    def stats(self) -> dict[str, Any]:
        """Return the counts."""
        first = min(self._slots, default=0)
        last = max(self._slots, default=-1)
        return {
            "registers": self.registers,
            "resent": self.resent,
            "granted": self.granted,
            "refused": self.refused,
            "users": len(self._until),
            "lapsed": self.lapsed,
            "removed": self.removed,
            "slots": [first / 10, *(self._slots.get(at, 0) for at in range(first, last + 1))],
        }

    def answer(self, datagram: bytes, at: float) -> bytes:
        """Return the response to a request that came at ``at``, s of the epoch."""
        fields: dict[bytes, bytes] = {}
        vias: list[bytes] = []
        for name, value in _FIELDS.findall(datagram):
            low = name.lower()
            low = _LONG.get(low, low)
            if low == b"via":
                vias.append(value)
            else:
                fields.setdefault(low, value)
        if not datagram.startswith(b"REGISTER "):
            return self._response(b"200 OK", vias, fields, [])
        number = int(fields[b"cseq"].split()[0])
        is_new = self._last.get(fields[b"call-id"]) != number
        self._last[fields[b"call-id"]] = number
        if is_new:
            self.registers += 1
            slot = int(at * 10)
            self._slots[slot] = self._slots.get(slot, 0) + 1
        else:
            self.resent += 1
        given = fields.get(b"authorization")
        if given is None or not self._is_right(given):
            self.refused += is_new and given is not None
            asked = f'WWW-Authenticate: Digest realm="{REALM}", nonce="{NONCE}", qop="auth"'
            return self._response(b"401 Unauthorized", vias, fields, [asked.encode()])
        found = _USER.search(fields[b"to"])
        user = found[1] if found else b""
        if fields.get(b"expires") == b"0":
            self.removed += is_new
            self._until.pop(user, None)
            return self._response(b"200 OK", vias, fields, [])
        if is_new:
            self.granted += 1
            self.lapsed += self._until.get(user, at) < at
        self._until[user] = at + self._expires
        contact = b"Contact: " + fields[b"contact"] + b";expires=%d" % self._expires
        return self._response(b"200 OK", vias, fields, [contact])

    def _is_right(self, given: bytes) -> bool:
        params = {name: quoted or bare for name, quoted, bare in _PARAM.findall(given)}
        try:
            user = params[b"username"]
            ha1 = self._ha1.get(user)
            if ha1 is None:
                ha1 = md5_hex(b":".join((user, REALM.encode(), self._password)))
                self._ha1[user] = ha1
            ha2 = md5_hex(b"REGISTER:" + params[b"uri"])
            middle = [params[name] for name in (b"nonce", b"nc", b"cnonce", b"qop")]
            return bool(params[b"response"] == md5_hex(b":".join((ha1, *middle, ha2))))
        except KeyError:
            return False

    @staticmethod
    def _response(
        line: bytes, vias: list[bytes], fields: dict[bytes, bytes], more: list[bytes]
    ) -> bytes:
        lines = [b"SIP/2.0 " + line]
        lines += [b"Via: " + via for via in vias]
        lines.append(b"From: " + fields.get(b"from", b""))
        lines.append(b"To: " + fields.get(b"to", b"") + b";tag=r1")
        lines.append(b"Call-ID: " + fields.get(b"call-id", b""))
        lines.append(b"CSeq: " + fields.get(b"cseq", b""))
        return b"\r\n".join([*lines, *more, b"Content-Length: 0", b"", b""])


def serve(bound: socket.socket, registrar: Registrar) -> None:
    """Answer until the process is ended."""
    bound.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    while True:
        datagram, ancillary, _, peer = bound.recvmsg(65535, 64)
        if datagram.startswith(b"STATS"):
            bound.sendto(json.dumps(registrar.stats()).encode(), peer)
        elif datagram.startswith(b"FORGET"):
            registrar.forget()
            bound.sendto(b"{}", peer)
        else:
            seconds, nanoseconds = struct.unpack("@qq", ancillary[0][2][:16])
            bound.sendto(registrar.answer(datagram, seconds + nanoseconds / 1e9), peer)


def main() -> None:
    """Listen and serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--listen", required=True, help="HOST:PORT")
    parser.add_argument("--password", required=True)
    parser.add_argument("--expires", type=int, default=3600, help="s that are granted")
    arguments = parser.parse_args()
    host, _, port = arguments.listen.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        bound.bind((host, int(port)))
        serve(bound, Registrar(arguments.password, arguments.expires))


if __name__ == "__main__":
    main()
