"""Arrows on a terminal: one lifeline each for phone, uacproxy and provider."""

from __future__ import annotations

from typing import Final, final

from rich.console import Console
from rich.text import Text

from uacproxy.sip.grammar import text
from uacproxy.sip.names import AUTHORIZATION, PROXY_AUTHORIZATION, spelling
from uacproxy.testing.arrows import Arrow, Mark, Row

PIPED_WIDTH: Final = 100  # columns, where no terminal says
NARROWEST: Final = 60
WIDEST: Final = 124

COLOUR: Final = {Mark.SAME: "dim", Mark.REPLACED: "bold yellow", Mark.RESTORED: "bold green"}
LEGEND: Final = (
    (Mark.REPLACED, "replaced: not what the other side sent"),
    (Mark.RESTORED, "restored: what this side wrote itself"),
)

_MIDDLE: Final = "uacproxy"
_SPACIOUS: Final = 42  # columns between two lifelines


def open_console() -> Console:
    """Return standard output: with colour on a terminal, 100 columns of plain text in a pipe."""
    console = Console(highlight=False)
    if console.is_terminal:
        return console
    return Console(highlight=False, width=PIPED_WIDTH)


@final
class Ladder:
    """Draws rows; ``left`` and ``right`` are the names above the outer lifelines."""

    def __init__(self, console: Console, left: str, right: str) -> None:
        self._console = console
        self._names = (left, right)
        self._half = (width_of(console) - 4) // 2  # columns between two lifelines
        fancy = is_fancy(console)
        self._lifeline, self._shaft = ("│", "─") if fancy else ("|", "-")
        self._heads = ("▶", "◀") if fancy else (">", "<")
        self._more = "…" if fancy else "~"
        self._margin = " " if self._half > _SPACIOUS else ""

    def draw(self, rows: list[Row]) -> None:
        """Print the names, the rows and the ends of the lifelines."""
        left, right = self._names
        inner = self._half * 2 + 3 - len(left) - len(right)
        print_line(self._console, Text(f" {left}{_MIDDLE:^{inner}}{right}", style="bold"))
        for row in rows:
            self._draw_row(row)

    def _draw_row(self, row: Row) -> None:
        left = self._half_of(row.left, outward=">")
        right = self._half_of(row.right, outward="<")
        for at in range(max(len(left), len(right))):
            line = Text(" ")
            for half in (left, right):
                line.append(self._lifeline, "blue")
                cell = half[at] if at < len(half) else Text()
                line.append_text(cell)
                line.append(" " * (self._half - cell.cell_len))
            line.append(self._lifeline, "blue")
            print_line(self._console, line)

    def _half_of(self, arrow: Arrow | None, outward: str) -> list[Text]:
        """Return the lines of one half; ``outward`` is the way from its peer to uacproxy."""
        if arrow is None:
            return []
        to_the_right = arrow.sighting.sent == (outward == ">")
        lines = [self._shaft_of(arrow, to_the_right)]
        fields = [value for value in arrow.values if value.name]
        widest = max((len(value.name) for value in fields), default=0)
        for value in fields:
            name = f"{text(spelling(value.name)):<{widest}}"
            lines += self._folded(name, value.octets, value.mark)
        return lines

    def _shaft_of(self, arrow: Arrow, to_the_right: bool) -> Text:
        message = arrow.sighting.message
        label = Text(" ")
        if message.is_request:
            proven = message.has(AUTHORIZATION) or message.has(PROXY_AUTHORIZATION)
            proof = " + digest" if proven else ""
            uri = arrow.values[0]
            words = f"{uri.mark.value} {text(uri.octets)}".strip()
            room = self._half - len(message.method) - len(proof) - 5
            if len(words) > room:
                words = words[: room - 1] + self._more
            label.append(text(message.method), "bold cyan")
            label.append(f" {words}", COLOUR[uri.mark])
            label.append(proof, "magenta")
        else:
            colour = {1: "cyan", 2: "bold green"}.get(message.status // 100, "bold red")
            label.append(f"{message.status} {text(message.reason)}", colour)
        label.truncate(self._half - 4)
        label.append(" ")
        rest = self._shaft * (self._half - label.cell_len - 2)
        line = Text()
        if to_the_right:
            line.append(self._shaft, "blue").append_text(label)
            return line.append(rest + self._heads[0], "blue")
        line.append(self._heads[1] + rest, "blue").append_text(label)
        return line.append(self._shaft, "blue")

    def _folded(self, name: str, octets: bytes, mark: Mark) -> list[Text]:
        """Return a field on as many lines as it needs, broken before a parameter if possible."""
        start = f"{self._margin}{mark.value} {name} "
        room = self._half - len(start)
        rest = text(octets)
        lines = []
        while rest:
            cut = len(rest)
            if cut > room:
                cut = rest.rfind(";", 1, room + 1)
                cut = cut if cut > 0 else room
            lines.append(Text.assemble((start, COLOUR[mark]), (rest[:cut], COLOUR[mark])))
            rest = rest[cut:]
            start = " " * len(start)
        return lines


def width_of(console: Console) -> int:
    """Return how many columns are used."""
    return max(NARROWEST, min(console.width, WIDEST))


def is_fancy(console: Console) -> bool:
    """Tell whether the output can say more than ASCII."""
    return console.encoding.lower().startswith("utf")


def print_title(console: Console, title: str, words: str = "") -> None:
    """Print a heading, and a line of words below it."""
    shaft = "─" if is_fancy(console) else "-"
    rule = shaft * (width_of(console) - len(title) - 1)
    print_line(console, Text.assemble("\n", (title, "bold"), " ", (rule, "blue")))
    if words:
        print_line(console, Text(words))


def print_legend(console: Console) -> None:
    """Explain the marks."""
    for mark, words in LEGEND:
        print_line(console, Text.assemble(" ", (mark.value, COLOUR[mark]), "  ", words))


def print_line(console: Console, line: Text) -> None:
    """Print one line as it is, never wrapped, nothing trailing."""
    line.rstrip()
    console.print(line, soft_wrap=True)
