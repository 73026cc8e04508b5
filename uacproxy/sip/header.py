"""The header of a message: its fields in their order, each a canonical name and a raw line.

A *header* is opaque: what it is depends on what was built. In C (``_header.c``) it knows
where each line stands in the octets that came and makes an object of one when somebody
asks; in Python it is two lists. Both give the same answers. Places count from 0; a place
that is not there is an ``IndexError``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, final

Header = object


@final
class Plain:
    """A header in Python; ``names`` and ``lines`` run side by side."""

    __slots__ = ("lines", "names")

    def __init__(self, names: list[bytes], lines: list[bytes]) -> None:
        if len(names) != len(lines):
            raise ValueError("as many names as lines are wanted")
        self.names = names
        self.lines = lines


# Each takes a ``Plain`` for its header, which nothing asks about: they are called for every field.


def _of_lines(names: list[bytes], lines: list[bytes]) -> Header:
    return Plain(names.copy(), lines.copy())


def _copied(header: Any) -> Header:
    return Plain(header.names.copy(), header.lines.copy())


def _kept(header: Any, wanted: list[bytes]) -> Header:
    names: list[bytes] = []
    lines: list[bytes] = []
    for at, name in enumerate(header.names):
        if name in wanted:
            names.append(name)
            lines.append(header.lines[at])
    return Plain(names, lines)


def _find(header: Any, name: bytes, begin: int) -> int:
    names: list[bytes] = header.names
    if begin < 0:
        raise IndexError("no such field")
    if name in names:
        for at in range(begin, len(names)):
            if names[at] == name:
                return at
    return -1


def _place(at: int, end: int) -> int:
    if at < 0 or at >= end:
        raise IndexError("no such field")
    return at


def _line(header: Any, at: int) -> bytes:
    lines: list[bytes] = header.lines
    if at < 0:
        raise IndexError("no such field")
    return lines[at]


def _value_at(header: Any, at: int) -> bytes | None:
    line = _line(header, at)
    return None if b"\n" in line else line[line.find(b":") + 1 :].strip(b" \t\r\n")


def _count(header: Any) -> int:
    return len(header.names)


def _names(header: Any) -> list[bytes]:
    names: list[bytes] = header.names
    return names.copy()


def _lines(header: Any) -> list[bytes]:
    lines: list[bytes] = header.lines
    return lines.copy()


def _put(header: Any, at: int, line: bytes) -> None:
    lines: list[bytes] = header.lines
    lines[_place(at, len(lines))] = line


def _insert(header: Any, at: int, name: bytes, line: bytes) -> None:
    header.names.insert(_place(at, len(header.names) + 1), name)
    header.lines.insert(at, line)


def _cut(header: Any, at: int) -> None:
    del header.names[_place(at, len(header.names))]
    del header.lines[at]


def _length(header: Any) -> int:
    return sum([len(line) + 2 for line in header.lines])


def _joined(header: Any, start: bytes, body: bytes) -> bytes:
    return b"\r\n".join([start, *header.lines, b"", body])


class Form(NamedTuple):
    """What can be done with headers of one kind."""

    of_lines: Callable[[list[bytes], list[bytes]], Header]
    copied: Callable[[Header], Header]
    kept: Callable[[Header, list[bytes]], Header]
    find: Callable[[Header, bytes, int], int]
    line: Callable[[Header, int], bytes]
    value_at: Callable[[Header, int], bytes | None]
    count: Callable[[Header], int]
    names: Callable[[Header], list[bytes]]
    lines: Callable[[Header], list[bytes]]
    put: Callable[[Header, int, bytes], None]
    insert: Callable[[Header, int, bytes, bytes], None]
    cut: Callable[[Header, int], None]
    length: Callable[[Header], int]
    joined: Callable[[Header, bytes, bytes], bytes]


PLAIN: Final = Form(
    *(_of_lines, _copied, _kept, _find, _line, _value_at, _count, _names, _lines),
    *(_put, _insert, _cut, _length, _joined),
)


def built() -> Form | None:
    """Return the form in C, None where it was not built."""
    try:
        from uacproxy.sip import _scan
    except ImportError:
        return None
    return Form(*[getattr(_scan, name) for name in Form._fields])


_FORM: Final = built() or PLAIN
of_lines: Final = _FORM.of_lines
"""From canonical names and raw lines, as many, to a header of its own."""
copied: Final = _FORM.copied
"""From a header to one that is edited apart."""
kept: Final = _FORM.kept
"""From a header and names to a header of the fields called so, which keeps nothing else alive."""
find: Final = _FORM.find
"""From a header, a name and a place to the first place from there on with that name, or -1."""
line: Final = _FORM.line
"""From a header and a place to the raw line."""
value_at: Final = _FORM.value_at
"""From a header and a place to the value, no white space around, or None where it is folded."""
count: Final = _FORM.count
"""From a header to how many fields it has."""
names: Final = _FORM.names
"""From a header to the names of its fields."""
lines: Final = _FORM.lines
"""From a header to its lines."""
put: Final = _FORM.put
"""Put another line in the place of one."""
insert: Final = _FORM.insert
"""Put a name and a line at a place, before what stands there."""
cut: Final = _FORM.cut
"""Take the field at a place out."""
length: Final = _FORM.length
"""From a header to the octets of its lines, each with its CRLF."""
joined: Final = _FORM.joined
"""From a header, a start line and a body to the octets of the message."""
