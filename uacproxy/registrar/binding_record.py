"""How the bindings of one address of record are written to the store.

One JSON object for all of them, so that a REGISTER is stored whole or not at all.
Octets are kept as Latin-1 characters. What does not read back is ``StoreCorrupt``,
whatever it is: a store is shared, and may be edited by hand.
"""

from __future__ import annotations

import json
from typing import Any, Final

from uacproxy.errors import ParseError, StoreCorrupt
from uacproxy.ports import Target
from uacproxy.registrar.binding import Binding
from uacproxy.sip.uri import parse_uri

VERSION: Final = 1


def encode_bindings(bindings: list[Binding]) -> bytes:
    """Return the octets for the store."""
    record = {"version": VERSION, "bindings": [_plain(binding) for binding in bindings]}
    return json.dumps(record, separators=(",", ":")).encode("ascii")


def _plain(binding: Binding) -> dict[str, Any]:
    received = binding.received
    return {
        "contact": binding.contact.decode("latin-1"),
        "params": binding.params.decode("latin-1"),
        "expires_at_utc": binding.expires_at_utc,
        "q": binding.q,
        "call_id": binding.call_id.decode("latin-1"),
        "cseq": binding.cseq,
        "received": [received.transport.decode("latin-1"), received.host, received.port],
        "behind_nat": binding.behind_nat,
        "path": [one.decode("latin-1") for one in binding.path],
        "instance": binding.instance.decode("latin-1"),
        "reg_id": binding.reg_id,
    }


def decode_bindings(octets: bytes) -> list[Binding]:
    """Return what ``encode_bindings`` was given.

    Raises:
        StoreCorrupt: it was something else.
    """
    try:
        record = json.loads(octets)
        if record["version"] != VERSION:
            raise StoreCorrupt("bindings of another version")
        return [_binding(one) for one in record["bindings"]]
    except (ValueError, KeyError, TypeError, RecursionError, ParseError) as error:
        raise StoreCorrupt("bindings that cannot be read") from error


def _binding(plain: dict[str, Any]) -> Binding:
    transport, host, port = plain["received"]
    contact = _octets(plain["contact"])
    parse_uri(contact)
    return Binding(
        contact=contact,
        params=_octets(plain["params"]),
        expires_at_utc=_number(plain["expires_at_utc"]),
        q=_number(plain["q"]),
        call_id=_octets(plain["call_id"]),
        cseq=_whole(plain["cseq"]),
        received=Target(_octets(transport), _text(host), _whole(port)),
        behind_nat=plain["behind_nat"] is True,
        path=[_octets(one) for one in plain["path"]],
        instance=_octets(plain["instance"]),
        reg_id=_whole(plain["reg_id"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise StoreCorrupt("no text")
    return value


def _octets(value: object) -> bytes:
    return _text(value).encode("latin-1")


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise StoreCorrupt("no whole number")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StoreCorrupt("no number")
    return float(value)
