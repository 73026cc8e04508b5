"""Changing lines and putting them together in one step, in C where that was built (``_lines.c``).

As with ``scan`` each of these may return None at any time, and does always where it was
not built: then whoever asked does it step by step and raises what is to be raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Swapped = Callable[[bytes, bytes, bytes], bytes | None]
Given = Callable[[bytes, bytes], bytes | None]
Count = Callable[[bytes, int], int | None]
Marked = Callable[[bytes, bytes, int], bytes | None]
Joined = Callable[[bytes, list[bytes], bytes], bytes | None]


def _not_built(*_: object) -> None:
    """Make nothing."""


def _functions() -> tuple[Swapped, Given, Given, Count, Marked, Joined]:
    try:
        from uacproxy.sip import _lines
    except ImportError:
        return _not_built, _not_built, _not_built, _not_built, _not_built, _not_built
    return (
        _lines.swapped,
        _lines.given,
        _lines.field,
        _lines.count,
        _lines.marked,
        _lines.joined,
    )


_FOUND: Final = _functions()
swapped: Final = _FOUND[0]
"""From a line, the begin of its value and another begin to the line: ``Message.swap_value``."""
given: Final = _FOUND[1]
"""From a line and another value to the line: see ``Message.set``."""
field: Final = _FOUND[2]
"""From a name as spelled and a value to a line: see ``Message.insert``."""
count: Final = _FOUND[3]
"""From a line and the largest number allowed to the number: see ``Message.max_forwards``."""
marked: Final = _FOUND[4]
"""From a Via value, an address and a port to the value: see ``via.Via.marked``."""
joined: Final = _FOUND[5]
"""From start line, lines and body to octets: see ``Message.encode``."""
