"""What has to be so: a value expected and the value seen, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, final

from rich.console import Console
from rich.text import Text

from uacproxy.sip.grammar import text
from uacproxy.testing.ladder import is_fancy
from uacproxy.testing.peer import OffScript

Shown = bytes | str | int


class Check(NamedTuple):
    """One comparison, its values as people read them."""

    what: str
    expected: str
    seen: str

    @property
    def holds(self) -> bool:
        """Tell whether the value was right."""
        return self.expected == self.seen


@final
class Checks:
    """All comparisons of a demonstration, in the order they were made."""

    def __init__(self) -> None:
        self._all: list[Check] = []

    def same(self, what: str, expected: Shown, seen: Shown) -> None:
        """Compare two values, octets with octets."""
        self._all.append(Check(what, _shown(expected), _shown(seen)))

    def all_same(self, what: str, expected: bytes, seen: Iterable[bytes]) -> None:
        """Compare one value with several, of which there must be one at least."""
        differing = sorted(set(seen)) or [b"none at all"]
        self.same(what, expected, b" and ".join(differing))

    def off_script(self, error: OffScript) -> None:
        """Note that a call did not go on."""
        self._all.append(Check(f"what {error.who} waits for", error.expected, error.seen))

    @property
    def failed(self) -> list[Check]:
        """Return the comparisons that do not hold."""
        return [check for check in self._all if not check.holds]

    def __len__(self) -> int:
        """Return how many comparisons were made."""
        return len(self._all)

    def print(self, console: Console) -> None:
        """List them; one that does not hold shows both values."""
        tick, cross = ("✓", "✗") if is_fancy(console) else ("ok", "NO")
        widest = max((len(check.what) for check in self._all), default=0)
        for check in self._all:
            if check.holds:
                values = [(check.seen, "")]
                line = Text.assemble((f" {tick} ", "bold green"))
            else:
                values = [(f"expected  {check.expected}", ""), (f"seen      {check.seen}", "red")]
                line = Text.assemble((f" {cross} ", "bold red"))
            line.append(f"{check.what:<{widest}}  ")
            margin = " " * line.cell_len
            for value, style in values:
                line.append(value, style)
                console.print(line, soft_wrap=True)
                line = Text(margin)


def _shown(value: Shown) -> str:
    return text(value) if isinstance(value, bytes) else str(value)
