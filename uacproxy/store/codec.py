"""Records: how structured values become the octets a store keeps.

A record is its version, a space and one JSON object: an operator reads it with
``sqlite3`` or ``redis-cli``, and an older service tells a newer record before it looks
inside. JSON has no octets, so each string carries its kind in front: ``b:`` for octets
(as Latin-1), ``s:`` for text. Nothing but plain values comes out, whatever went in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, final

from uacproxy.errors import OwnMistake, StoreCorrupt

MAX_DEPTH: Final = 16  # dicts and lists within each other


@final
class Record:
    """One decoded record; the readers check the kind, so a caller need not."""

    __slots__ = ("fields", "version")

    def __init__(self, version: int, fields: dict[str, Any]) -> None:
        self.version = version
        self.fields = fields

    def octets(self, name: str) -> bytes:
        """Return a field of octets, or raise StoreCorrupt."""
        value = self.fields.get(name)
        if not isinstance(value, bytes):
            raise StoreCorrupt(f"record field {name} has no octets")
        return value

    def text(self, name: str) -> str:
        """Return a field of text, or raise StoreCorrupt."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise StoreCorrupt(f"record field {name} has no text")
        return value

    def integer(self, name: str) -> int:
        """Return a whole number, or raise StoreCorrupt."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise StoreCorrupt(f"record field {name} has no integer")
        return value

    def number(self, name: str) -> float:
        """Return a number, whole or not, or raise StoreCorrupt."""
        value = self.fields.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise StoreCorrupt(f"record field {name} has no number")
        return float(value)


def encode_record(version: int, fields: Mapping[str, object]) -> bytes:
    """Encode bytes, str, int, float, bool, None and dicts (with str keys) and lists of these.

    Args:
        version: of the caller's field list, at least 0; it comes back with the record.
        fields: a tuple is taken as a list; its kind is not kept.

    Raises:
        OwnMistake: a value of another kind, a number JSON has no form for, or more than
            ``MAX_DEPTH`` levels.
    """
    if version < 0:
        raise OwnMistake("a record's version is below 0")
    try:
        told = json.dumps(_marked(fields, 0), separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise OwnMistake("a record holds a number that is not finite") from error
    return f"{version} {told}".encode("ascii")


def decode_record(octets: bytes) -> Record:
    """Decode what ``encode_record`` made; tuples come back as lists.

    Raises:
        StoreCorrupt: anything else.
    """
    head, _, told = octets.partition(b" ")
    if not head.isdigit() or len(head) > 9:
        raise StoreCorrupt("record has no version")
    try:
        found: object = json.loads(told)
        fields = _plain(found, 0)
    except (ValueError, RecursionError) as error:
        raise StoreCorrupt("record is not what encode_record writes") from error
    if not isinstance(fields, dict):
        raise StoreCorrupt("record has no fields")
    return Record(int(head), fields)


def _marked(value: object, depth: int) -> object:
    """Return ``value`` as JSON can say it."""
    if isinstance(value, bytes):
        return "b:" + value.decode("latin-1")
    if isinstance(value, str):
        return "s:" + value
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= MAX_DEPTH:
        raise OwnMistake(f"a record is more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        marked: dict[str, object] = {}
        for name, inner in value.items():
            if not isinstance(name, str):
                raise OwnMistake("a record's field is not named by text")
            marked[name] = _marked(inner, depth + 1)
        return marked
    if isinstance(value, list | tuple):
        return [_marked(inner, depth + 1) for inner in value]
    raise OwnMistake(f"a record cannot hold a {type(value).__name__}")


def _plain(value: object, depth: int) -> Any:
    """Return what ``_marked`` was given; raises ValueError."""
    if isinstance(value, str):
        kind = value[:2]
        if kind == "b:":
            return value[2:].encode("latin-1")  # UnicodeEncodeError is a ValueError
        if kind == "s:":
            return value[2:]
        raise ValueError("a string without its kind")
    if depth >= MAX_DEPTH and isinstance(value, dict | list):
        raise ValueError("too deep")
    if isinstance(value, dict):
        return {name: _plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, depth + 1) for inner in value]
    return value
