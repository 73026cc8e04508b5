"""Dialog ids in Replaces and in the Replaces of Refer-To, from one side to the other (RFC 3891).

A peer names a call as it has it. The far end knows the same call by another Call-ID and
other tags. What travels between the two is an alias that only we understand: the INVITE
it leads to comes to us, and goes on with the ids of the dialog it is to replace.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote_to_bytes

from uacproxy.bridge.leg import Leg
from uacproxy.bridge.legs import LegTable
from uacproxy.errors import ParseError
from uacproxy.sip.grammar import WHITE
from uacproxy.sip.name_addr import parse_name_addr
from uacproxy.sip.uri import parse_uri

REFER_TO: Final = b"refer-to"
REPLACES: Final = b"replaces"

_SAFE: Final = "-_.!~*'()"  # in the headers of a URI, unescaped (RFC 3261 25.1)


def far_end(value: bytes, legs: LegTable) -> tuple[Leg, list[bytes]] | None:
    """Return the leg whose peer has the dialog that ``value`` means, and further parameters.

    A value that names our own end, as the peer of one leg sees it, means the far end of
    the other leg. None: no dialog of ours.

    Raises:
        ParseError: (400) no Call-ID.
    """
    words = [word.strip(WHITE) for word in value.split(b";")]
    to_tag = from_tag = b""
    rest: list[bytes] = []
    for word in words[1:]:
        name, _, tag = word.partition(b"=")
        lower = name.strip(WHITE).lower()
        if lower == b"to-tag":
            to_tag = tag.strip(WHITE)
        elif lower == b"from-tag":
            from_tag = tag.strip(WHITE)
        else:
            rest.append(word)
    if not words[0]:
        raise ParseError("no Call-ID", field=REPLACES)
    leg = legs.find_by_dialog(words[0], to_tag, from_tag)
    if leg is None or leg.over:
        return None
    return (leg.other if to_tag == leg.dialog.local_tag else leg), rest


def replaces_at(leg: Leg, rest: list[bytes]) -> bytes:
    """Return Replaces for the peer of ``leg``."""
    dialog = leg.dialog
    return b";".join(
        [
            dialog.call_id,
            b"to-tag=" + dialog.remote_tag,
            b"from-tag=" + dialog.local_tag,
            *rest,
        ]
    )


def map_refer_to(value: bytes, toward: Leg, legs: LegTable) -> bytes:
    """Return Refer-To for the peer of ``toward``; one without Replaces of ours as it came.

    Raises:
        ParseError: (400) it cannot be read.
    """
    address = parse_name_addr(value)
    uri = parse_uri(address.uri)
    if b"replaces" not in uri.headers.lower():
        return value
    parts: list[bytes] = []
    alias = b""
    for part in uri.headers.split(b"&"):
        name, _, escaped = part.partition(b"=")
        found = far_end(unquote_to_bytes(escaped), legs) if name.lower() == REPLACES else None
        if found is not None:
            alias = legs.alias(found[0])
            words = b";".join([alias, b"to-tag=" + alias, b"from-tag=" + alias, *found[1]])
            part = name + b"=" + quote(words, safe=_SAFE).encode("ascii")
        parts.append(part)
    if not alias:
        return value
    ours = parse_uri(parse_name_addr(toward.dialog.contact).uri)
    to_us = ours.raw.replace(ours.user + b"@", alias + b"@", 1)
    return b"<" + to_us + b"?" + b"&".join(parts) + b">"
