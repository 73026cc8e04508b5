"""Reading what is usual in one pass, in C where that was built (``_scan.c``).

Each of these may return None at any time, and does always where it was not built: then
whoever asked reads the octets itself and words the errors. They take no rule away from
there, only time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from uacproxy.sip.names import HAS_VIA, ONLY_ONCE, VIA, spelling, spellings

Views = tuple[  # what every message is asked for: parts as below, the whole value behind them
    *tuple[bytes, bytes, bytes, int, bytes, bytes, bytes, int, bytes],  # topmost Via
    *tuple[int, int, int, bytes, bytes],  # From
    *tuple[int, int, int, bytes, bytes],  # To
    bytes,  # Call-ID
    *tuple[int, bytes],  # CSeq
]
Split = Callable[
    [bytes, object],
    tuple[bytes, bytes, bytes, int, bytes, object, bytes, int, Views | None] | None,
]
Value = Callable[[bytes], bytes | None]
CSeqParts = Callable[[bytes], tuple[int, bytes] | None]
ViaParts = Callable[[bytes], tuple[bytes, bytes, bytes, int, bytes, bytes, bytes, int] | None]
AddressParts = Callable[[bytes], tuple[int, int, int, bytes] | None]
UriParts = Callable[
    [bytes],
    tuple[bytes, bytes, bytes | None, bytes, int, list[tuple[bytes, bytes]], bytes] | None,
]
DigestParts = Callable[[bytes], dict[bytes, bytes] | None]
Owner = Callable[[bytes, int], int | None]

METHODS: Final = (
    *(b"INVITE", b"ACK", b"BYE", b"REGISTER", b"OPTIONS", b"CANCEL", b"PRACK", b"UPDATE"),
    *(b"INFO", b"NOTIFY", b"SUBSCRIBE", b"MESSAGE", b"REFER", b"PUBLISH"),
)
TRANSPORTS: Final = (b"UDP", b"TCP", b"TLS", b"WS", b"WSS")


def _not_built(*_: object) -> None:
    """Take nothing."""


def _functions() -> tuple[Split, Value, CSeqParts, ViaParts, AddressParts, UriParts, DigestParts]:
    try:
        from uacproxy.sip import _scan
    except ImportError:
        none = _not_built
        return none, none, none, none, none, none, none
    bits = {**ONLY_ONCE, VIA: HAS_VIA}
    known = [
        (spelled, spelling(name), name, bits.get(name, 0)) for spelled, name in spellings().items()
    ]
    _scan.know(tuple(known), METHODS, TRANSPORTS)
    return (
        *(_scan.split, _scan.value, _scan.cseq, _scan.via, _scan.address, _scan.uri),
        _scan.digest,
    )


def _owners() -> tuple[Owner, Owner]:
    try:
        from uacproxy.sip import _scan
    except ImportError:
        return _not_built, _not_built
    return _scan.owner, _scan.token_owner


_FOUND: Final = _functions()
split: Final = _FOUND[0]
"""From the octets of a message and its limits to its parts: see ``parse.parse_message``."""
value: Final = _FOUND[1]
"""From a raw field to its value: see ``message.value_of``."""
cseq: Final = _FOUND[2]
"""From the value of CSeq to number and method: see ``message.Message.cseq``."""
via: Final = _FOUND[3]
"""From a Via value to its parts: see ``via.parse_via``."""
address: Final = _FOUND[4]
"""From a name-addr to end of display, begin of URI, end of head, and tag: see ``name_addr``."""
uri: Final = _FOUND[5]
"""From a SIP URI to its parts: see ``uri.parse_uri``."""
digest: Final = _FOUND[6]
"""From one Digest challenge or credentials to the parameters: see ``digest``."""
_OWNERS: Final = _owners()
owner: Final = _OWNERS[0]
"""From the octets of a message and a number of workers to one of these: see ``owner``."""
token_owner: Final = _OWNERS[1]
"""From a token and a number of workers to one of these: see ``owner``."""
