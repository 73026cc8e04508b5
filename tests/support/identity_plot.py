"""How a call begins whose identities a script replaces, and how its ends spell their fields."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.support.identity_forms import Replacement, Written
from tests.support.world import CALLEE, OTHER
from uacproxy.ports import HostPort
from uacproxy.sip.grammar import text
from uacproxy.sip.names import FROM, TO

CALLEES: tuple[HostPort, HostPort] = (CALLEE, OTHER)
FOLD = re.compile(rb"[ \t]*\r\n[ \t]+")


class Line(NamedTuple):
    """From or To as an endpoint writes it."""

    name: bytes  # as spelled, with the colon and what stands behind it
    who: Written
    tail: bytes

    @property
    def octets(self) -> bytes:
        return self.name + self.who.wire + self.tail

    def became(self, line: bytes, head: bytes | None) -> bool:
        """Tell whether ``line`` is this one with another head, or untouched where None."""
        if head is None or head == self.who.head:
            return line == self.octets or (head is not None and flat(line) == flat(self.octets))
        wire = self.who.wire
        if wire.endswith(self.who.head):  # not folded inside the head
            lead = wire[: len(wire) - len(self.who.head)]
            return line == self.name + lead + head + self.tail
        return flat(line) == flat(self.name + head + self.tail)


def flat(line: bytes) -> tuple[bytes, bytes]:
    """Return a field's name as spelled, and its value on one line."""
    name, _, value = line.partition(b":")
    return name, FOLD.sub(b" ", value).strip()


class Style(NamedTuple):
    """How an endpoint spells fields."""

    from_name: bytes
    to_name: bytes
    before: bytes  # parameters before the tag
    after: bytes  # parameters behind it
    joined: bool  # route fields in one line

    def lines(
        self, from_: Written, to: Written, from_tag: bytes, to_tag: bytes
    ) -> tuple[Line, Line]:
        """Return From and To; without a tag, To has the parameters alone."""
        tagged = b";tag=" + to_tag if to_tag else b""
        return (
            Line(self.from_name, from_, self.before + b";tag=" + from_tag + self.after),
            Line(self.to_name, to, self.before + tagged + self.after),
        )

    def routes(self, name: bytes, values: list[bytes]) -> bytes:
        if self.joined and values:
            values = [b", ".join(values)]
        return b"".join(name + b": " + value + b"\r\n" for value in values)


class Plot(NamedTuple):
    """What a call begins with, and what the script does to it."""

    mode: str  # sealed, kamailio or dialog
    method: bytes
    caller: Written
    dialled: Written
    from_request: list[Replacement]  # in request_route
    to_request: list[Replacement]
    from_branch: tuple[list[Replacement], list[Replacement]]  # in branch_route, by index
    to_branch: tuple[list[Replacement], list[Replacement]]
    has_branch_route: bool
    forks: bool  # we fork to two callees
    tcp: bool  # the callees are on TCP: we record-route twice
    others: bool  # other proxies record-route, on either side
    tracks_first: bool
    caller_tag: bytes
    style: Style

    def script(self) -> str:
        """Return the route script."""
        main, branch = [], []
        for made, into in ((self.from_request, "from"), (self.to_request, "to")):
            main += [_call(into, one) for one in made]
        for index in range(2):
            lines = [_call("from", one) for one in self.from_branch[index]]
            lines += [_call("to", one) for one in self.to_branch[index]]
            branch += [f"if ctx['$T_branch_idx'] == {index}:\n        {line}" for line in lines]
        tracking = "ctx.track_dialog()" if self.mode == "dialog" else "pass"
        main = [tracking, *main] if self.tracks_first else [*main, tracking]
        if self.has_branch_route:
            main.append("ctx.on_branch('B')")
        tail = ";transport=tcp" if self.tcp else ""
        targets = [f"sip:bob@{peer[0]}{tail}" for peer in CALLEES[: 1 + self.forks]]
        main.append(f"return Relay(*{targets!r}, parallel=True)")
        return (
            "from uacproxy.routing import Relay, branch_route, request_route\n\n"
            "@request_route\ndef main(ctx):\n    " + "\n    ".join(main) + "\n\n"
            "@branch_route('B')\ndef branch(ctx):\n    " + "\n    ".join([*branch, "pass"]) + "\n"
        )

    def replacements(self, name: bytes, index: int) -> list[Replacement]:
        """Return all that is done to a field of one branch, in order."""
        first, later = (
            (self.from_request, self.from_branch)
            if name == FROM
            else (self.to_request, self.to_branch)
        )
        return [*first, *(later[index] if self.has_branch_route else [])]

    @property
    def all_replacements(self) -> list[Replacement]:
        return [
            one
            for index in range(1 + self.forks)
            for name in (FROM, TO)
            for one in self.replacements(name, index)
        ]


def _call(name: str, made: Replacement) -> str:
    uri = text(made.uri)
    if made.display is None:
        return f"assert ctx.uac.replace_{name}({uri!r})"
    return f"assert ctx.uac.replace_{name}({text(made.display)!r}, {uri!r})"
