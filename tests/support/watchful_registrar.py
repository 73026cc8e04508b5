"""A registrar on a thread of its own that grants everything and forgets nothing.

It keeps, for each address of record, every REGISTER with when it came and from which
address, and so can tell who registered what, whether two did at once, and whether a binding
was ever let expire.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import suppress
from typing import NamedTuple

from tests.support.free_ports import LOOPBACK
from uacproxy.ports import HostPort

_FIELD = re.compile(rb"^(Via|From|To|Call-ID|CSeq|Contact|Expires):\s*(.*?)\r$", re.MULTILINE)
_URI = re.compile(rb"<([^>]*)>")


class Register(NamedTuple):
    """One REGISTER as it was heard."""

    at: float  # s of ``time.monotonic``
    source: HostPort
    call_id: bytes
    cseq: int
    contacts: tuple[bytes, ...]  # as written, parameters too
    expires: int  # s, of the field


class WatchfulRegistrar:
    """Listens on a free port until it is closed."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((LOOPBACK, 0))
        self._socket.settimeout(0.1)
        self.address: HostPort = self._socket.getsockname()
        self.heard: dict[bytes, list[Register]] = {}
        self._is_open = True
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_open = False
        self._thread.join()
        self._socket.close()

    @property
    def count(self) -> int:
        """Return how many REGISTER requests have come, those sent again left out."""
        return sum(len(registers) for registers in self.heard.values())

    def _listen(self) -> None:
        while self._is_open:
            with suppress(TimeoutError):
                octets, source = self._socket.recvfrom(65535)
                if octets.startswith(b"REGISTER "):
                    self._register(octets, source)

    def _register(self, octets: bytes, source: HostPort) -> None:
        fields: dict[bytes, list[bytes]] = {}
        for name, value in _FIELD.findall(octets):
            fields.setdefault(name, []).append(value)
        (address_of_record,) = _URI.findall(fields[b"To"][0])
        contacts = tuple(fields.get(b"Contact", ()))
        register = Register(
            time.monotonic(),
            source,
            fields[b"Call-ID"][0],
            int(fields[b"CSeq"][0].split()[0]),
            contacts,
            int(fields[b"Expires"][0]),
        )
        known = self.heard.setdefault(address_of_record, [])
        if not known or (known[-1].call_id, known[-1].cseq) != (register.call_id, register.cseq):
            known.append(register)
        lines = [b"SIP/2.0 200 OK"]
        lines += [b"Via: " + via for via in fields[b"Via"]]
        lines += [name + b": " + fields[name][0] for name in (b"From", b"Call-ID", b"CSeq")]
        lines.append(b"To: " + fields[b"To"][0] + b";tag=r")
        for contact in contacts:
            if not contact.endswith(b";expires=0"):
                lines.append(b"Contact: %b;expires=%d" % (contact, register.expires))
        lines += [b"Content-Length: 0", b"", b""]
        self._socket.sendto(b"\r\n".join(lines), source)
