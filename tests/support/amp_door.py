"""The management door of a service, asked without starting ``uacctl``: AMP on a plain socket.

It follows the wire as ``docs/management.md`` describes it and shares no code with the
service: a box is pairs of a key and a value, each behind its length in two octets, and an
empty key ends it.
"""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path
from typing import Any

PATIENCE = 30.0  # s, for an answer


class DoorClosed(Exception):
    """Nobody answered."""


class FaultAnswered(Exception):
    """The verb was refused; says ``CODE TEXT``."""


def ask(door: Path, verb: str, *arguments: str) -> Any:
    """Run one verb and return what it answers, the pages of a list together.

    Raises:
        DoorClosed: there is no service, or it has gone meanwhile.
        FaultAnswered: the verb was refused.
    """
    rows: list[Any] = []
    cursor = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(door))
            while True:
                asked = {b"_command": b"Call", b"_ask": b"1", b"verb": verb.encode()}
                asked |= {b"arguments": json.dumps(arguments).encode(), b"cursor": cursor}
                connection.sendall(_box(asked))
                answer = _read_box(connection)
                if b"_error_description" in answer:
                    raise FaultAnswered(answer[b"_error_description"].decode())
                page = json.loads(answer[b"page"])
                if answer[b"shape"] == b"value":
                    return page
                rows += page
                cursor = answer[b"cursor"]
                if not cursor:
                    return rows
    except OSError as error:
        raise DoorClosed(f"{door}: {error}") from error


def _box(pairs: dict[bytes, bytes]) -> bytes:
    parts = [part for pair in pairs.items() for part in pair]
    return b"".join(struct.pack("!H", len(part)) + part for part in parts) + b"\0\0"


def _read_box(connection: socket.socket) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    while key := _read_part(connection):
        found[key] = _read_part(connection)
    return found


def _read_part(connection: socket.socket) -> bytes:
    (length,) = struct.unpack("!H", _read(connection, 2))
    return _read(connection, length)


def _read(connection: socket.socket, length: int) -> bytes:
    octets = b""
    while len(octets) < length:
        more = connection.recv(length - len(octets))
        if not more:
            raise ConnectionError("closed in the middle of an answer")
        octets += more
    return octets
