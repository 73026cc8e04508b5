"""Forms of From and To for property tests: every way an address may be written.

The words in them are long and begin with a role, so that one found in a message did not
get there by chance.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from hypothesis import strategies as st

SHOWN = re.compile(rb"[ft]shown[a-z0-9]{8,12}")
"""Words of what a script puts into From and To."""


class Written(NamedTuple):
    """An address as somebody writes it, and as it reads on one line."""

    wire: bytes
    head: bytes
    words: tuple[bytes, ...]  # what gives it away: user, host, display name


class Replacement(NamedTuple):
    """Arguments of one ``replace_in``."""

    display: bytes | None
    uri: bytes


def word(role: str) -> st.SearchStrategy[str]:
    """Draw a word long enough not to stand in a message by chance."""
    return st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=8, max_size=12).map(
        lambda drawn: role + drawn
    )


@st.composite
def displays(draw: st.DrawFn, role: str) -> tuple[bytes, bytes]:
    """Draw a display name as written, and the word in it (b"" in an empty one)."""
    name = draw(word(role))
    form = draw(
        st.sampled_from(
            [
                '"{}"',
                "{}",
                '"a {} <sip:x@y>;tag=z"',
                '"\\"{}\\\\"',
                "Mr {}",
                "é{}ü",
                '"é, {}"',
                '""',
            ]
        )
    )
    return form.format(name).encode(), name.encode() if "{}" in form else b""


@st.composite
def uris(draw: st.DrawFn, role: str, *, bare: bool = False) -> tuple[bytes, tuple[bytes, bytes]]:
    """Draw a URI, and the user and host in it."""
    user, host = draw(word(role)), draw(word(role)) + ".example"
    ends = ["", ":5070"] if bare else ["", ":5070", ";user=phone", ";a=1;lr?Subject=x%20y"]
    uri = (
        draw(st.sampled_from(["sip:", "sips:", "SIP:"]))
        + f"{user}@{host}"
        + draw(st.sampled_from(ends))
    )
    return uri.encode(), (user.encode(), host.encode())


@st.composite
def addresses(draw: st.DrawFn, role: str) -> Written:
    """Draw an address: bare or in brackets, with or without display name, folded or not."""
    fold = draw(st.sampled_from([b"", b"", b"\r\n ", b" \r\n\t"]))
    if draw(st.booleans()):
        uri, words = draw(uris(role, bare=True))
        return Written(fold + uri, uri, words)
    uri, words = draw(uris(role))
    inner = b"<" + uri + b">"
    if draw(st.booleans()):
        return Written(fold + inner, inner, words)
    display, name = draw(displays(role))
    white = draw(st.sampled_from([b" ", b"   ", b"\t"]))
    folded = display + (fold or white) + inner
    return Written(folded, display + (b" " if fold else white) + inner, (*words, name))


def replacements(role: str) -> st.SearchStrategy[list[Replacement]]:
    """Draw what a script does to one field: nothing, or replacements one after the other."""
    display = st.one_of(st.none(), st.just(b""), displays(role).map(lambda drawn: drawn[0]))
    uri = st.one_of(st.just(b""), uris(role).map(lambda drawn: drawn[0]))
    return st.lists(st.builds(Replacement, display, uri), max_size=2)
