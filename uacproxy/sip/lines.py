"""One raw field: its value, and the line that it becomes by an edit (RFC 3261 7.3.1).

A line is a whole field as it came, folding kept, no CRLF at its end. Lines are changed in
one step in C where that was built (``_lines.c``). As with ``scan`` each of the functions
there may return None at any time, and does always where it was not built: then it is done
step by step here, and what is to be raised is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from uacproxy.errors import OwnMistake
from uacproxy.sip import scan
from uacproxy.sip.grammar import CR, LF, WHITE, unfold

Swapped = Callable[[bytes, bytes, bytes], bytes | None]
Given = Callable[[bytes, bytes], bytes | None]
Count = Callable[[bytes, int], int | None]
Marked = Callable[[bytes, bytes, int], bytes | None]


def _not_built(*_: object) -> None:
    """Make nothing."""


def _functions() -> tuple[Swapped, Given, Given, Count, Marked]:
    try:
        from uacproxy.sip import _lines
    except ImportError:
        return _not_built, _not_built, _not_built, _not_built, _not_built
    return (
        _lines.swapped,
        _lines.given,
        _lines.field,
        _lines.count,
        _lines.marked,
    )


_FOUND: Final = _functions()
swapped: Final = _FOUND[0]
"""From a line, the begin of its value and another begin to the line: see ``with_begin``."""
given: Final = _FOUND[1]
"""From a line and another value to the line: see ``with_value``."""
field: Final = _FOUND[2]
"""From a name as spelled and a value to a line: see ``made``."""
count: Final = _FOUND[3]
"""From a line and the largest number allowed to the number: see ``Message.max_forwards``."""
marked: Final = _FOUND[4]
"""From a Via value, an address and a port to the value: see ``via.Via.marked``."""


def value_of(line: bytes) -> bytes:
    """Return the value: folding removed, no white space around."""
    found = scan.value(line)
    return unfolded(line) if found is None else found


def unfolded(line: bytes) -> bytes:
    """Return the value of any line."""
    value = line[line.find(b":") + 1 :]
    return unfold(value) if LF in value else value.strip(WHITE)


def one_line(value: bytes) -> bytes:
    """Return ``value``, which must not end its line: what follows would be a field of its own.

    Raises:
        OwnMistake: it does, as with every edit below.
    """
    if LF in value or CR in value:
        raise OwnMistake("line break in a field value or reason phrase")
    return value


def made(spelled: bytes, value: bytes) -> bytes:
    """Return a new line."""
    line = field(spelled, value)
    return spelled + b": " + one_line(value) if line is None else line


def with_value(line: bytes, value: bytes) -> bytes:
    """Return the line with another value, its name as it is spelled."""
    changed = given(line, value)
    return line[: line.find(b":") + 1] + b" " + one_line(value) if changed is None else changed


def with_begin(line: bytes, old: bytes, new: bytes) -> bytes:
    """Return the line with ``new`` where ``old`` begins its value; see ``Message.swap_value``.

    Raises:
        OwnMistake: the value begins otherwise.
    """
    changed = swapped(line, old, new)
    if changed is not None:
        return changed
    value = line[line.find(b":") + 1 :].lstrip(WHITE)
    if value.startswith(old):
        return line[: len(line) - len(value)] + one_line(new) + value[len(old) :]
    value = value_of(line)
    if not value.startswith(old):
        raise OwnMistake("the value begins otherwise")
    return with_value(line, new + value[len(old) :])
