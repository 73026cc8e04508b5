"""What ``uacctl`` writes: values and lists for people, or one JSON text for programs.

Lists come in pages and leave page by page. Values may hold what a peer sent, so no
control character reaches the terminal and nothing is taken for markup.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, Final, Protocol, TextIO, final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

UNBOUNDED: Final = 100_000  # columns of what is no terminal: nothing is folded for a pipe
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Screen(Protocol):
    """Where the answer to one verb goes."""

    def value(self, content: Any) -> None:
        """Write an answer that is no list."""

    def rows(self, content: list[Any]) -> None:
        """Write the next items of a list."""

    def end(self) -> None:
        """Write what closes a list."""


@final
class JsonScreen:
    """One JSON text: a value on one line, a list as an array with an item a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._separator = "[\n"

    def value(self, content: Any) -> None:
        """Write the value."""
        self._out.write(json.dumps(content) + "\n")

    def rows(self, content: list[Any]) -> None:
        """Write items, the array opened before the first."""
        for row in content:
            self._out.write(self._separator + json.dumps(row))
            self._separator = ",\n"

    def end(self) -> None:
        """Close the array."""
        self._out.write("[]\n" if self._separator == "[\n" else "\n]\n")


@final
class PlainScreen:
    """Words as they are, a record as ``key: value``, a list as a table.

    The first page decides the columns and their widths, so that all pages make one
    table; a wider cell of a later page folds on a terminal and pushes elsewhere.
    """

    def __init__(self, out: TextIO, columns: Sequence[str]) -> None:
        self._out = out
        self._columns = list(columns)
        self._widths: list[int] = []
        self._console = Console(file=out, markup=False, highlight=False, emoji=False)
        if not out.isatty():
            self._console.width = UNBOUNDED

    def value(self, content: Any) -> None:
        """Write words, or the record as a block; an empty one says that it is done."""
        if content == {}:
            content = "done"
        if not isinstance(content, dict):
            self._write(Text(printable(content)))
            return
        block = Table.grid(padding=(0, 1))
        for name, value in content.items():
            block.add_row(Text(f"{printable(name)}:", "bold"), Text(printable(value)))
        self._write(block)

    def rows(self, content: list[Any]) -> None:
        """Write items as the next rows of the table."""
        if not content:
            return
        first = not self._widths
        if first:
            self._columns = self._columns or list(content[0])
        cells = [[printable(row.get(name)) for name in self._columns] for row in content]
        if first:
            self._widths = [
                max(len(name), *(len(row[at]) for row in cells))
                for at, name in enumerate(self._columns)
            ]
        if not self._out.isatty():
            self._write_columns([self._columns, *cells] if first else cells)
            return
        table = Table(box=None, pad_edge=False, show_header=first, header_style="bold")
        for name, width in zip(self._columns, self._widths, strict=True):
            table.add_column(name, width=width, overflow="fold")
        for row in cells:
            table.add_row(*map(Text, row))
        self._write(table)

    def end(self) -> None:
        """Say that a list is empty."""
        if not self._widths:
            self._write(Text("none"))

    def _write_columns(self, lines: list[list[str]]) -> None:
        # A pipe may take 100,000 rows, and rich needs milliseconds for each.
        for cells in lines:
            padded = map(str.ljust, cells, self._widths)
            self._out.write("  ".join(padded).rstrip() + "\n")

    def _write(self, what: RenderableType) -> None:
        # Captured, because a console that meets a closed pipe ends the program itself.
        with self._console.capture() as captured:
            self._console.print(what)
        for line in captured.get().splitlines():
            self._out.write(line.rstrip() + "\n")


def printable(value: object) -> str:
    """Return a value for a terminal: empty for null, control characters in hexadecimal."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def stop_writing() -> None:
    """Let what is still buffered for a closed standard output go nowhere, without a complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
