"""What of one side's messages the other side gets to see; the rest is made anew.

Tables, so that they can be read at a glance. A field that is in none of them, and that
no script put there, ends here. ``docs/b2bua.md`` shows them to operators.
"""

from __future__ import annotations

from typing import Final

from uacproxy.errors import ParseError
from uacproxy.sip.fields import option_tags
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    ALLOW,
    CALL_ID,
    CONTACT,
    CONTENT_LENGTH,
    CSEQ,
    FROM,
    MAX_FORWARDS,
    PROXY_REQUIRE,
    RACK,
    RECORD_ROUTE,
    REQUIRE,
    ROUTE,
    SUPPORTED,
    TO,
    UNSUPPORTED,
    VIA,
)

OF_BODIES: Final = frozenset(
    (
        b"content-type",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-id",
        b"mime-version",
    )
)
"""What says how a body is to be read."""

IN_REQUESTS: Final = OF_BODIES | frozenset(
    (
        b"accept",
        b"accept-contact",
        b"accept-encoding",
        b"accept-language",
        b"alert-info",
        b"answer-mode",
        b"event",
        b"expires",
        b"info-package",
        b"p-early-media",
        b"priority",
        b"priv-answer-mode",
        b"privacy",
        b"reason",
        b"recv-info",
        b"refer-sub",
        b"reject-contact",
        b"request-disposition",
        b"resource-priority",
        b"subject",
        b"subscription-state",
        b"user-to-user",
    )
)
IN_RESPONSES: Final = OF_BODIES | frozenset(
    (
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"alert-info",
        b"answer-mode",
        b"expires",
        b"min-expires",
        b"p-early-media",
        b"priv-answer-mode",
        b"recv-info",
        b"refer-sub",
        b"retry-after",
        b"user-to-user",
    )
)

NEVER: Final = frozenset(
    (
        VIA,
        FROM,
        TO,
        CALL_ID,
        CSEQ,
        CONTACT,
        ROUTE,
        RECORD_ROUTE,
        MAX_FORWARDS,
        CONTENT_LENGTH,
        ALLOW,
        SUPPORTED,
        REQUIRE,
        PROXY_REQUIRE,
        UNSUPPORTED,
        RACK,
        b"rseq",
        b"session-expires",
        b"min-se",
        b"path",
        b"service-route",
        b"replaces",
        b"join",
        b"target-dialog",
        b"refer-to",
    )
)
"""Made anew or mapped, each side's own: no setting and no script passes them on."""

OPTION_TAGS: Final = (
    b"100rel",
    b"199",
    b"answermode",
    b"early-session",
    b"join",
    b"norefersub",
    b"precondition",
    b"recipient-list-invite",
    b"replaces",
    b"resource-priority",
    b"tdialog",
    b"uui",
)
"""Extensions that work end to end through us; ``timer`` is each side's own."""

TIMER: Final = b"timer"

ALWAYS_ALLOWED: Final = (b"INVITE", b"ACK", b"CANCEL", b"BYE", b"OPTIONS")

STATUS_INSTEAD: Final = {401: 403, 407: 403, 422: 500, 503: 500}
"""Of the other side's failures: a challenge is for us alone, a 503 is about one hop."""


def passed_status(status: int) -> int:
    """Return what one side hears of the other's final response.

    A redirection names addresses of the other side, which end here: 480.
    """
    if 300 <= status < 400:
        return 480
    return STATUS_INSTEAD.get(status, status)


def copy_passed(source: Message, target: Message, passed: frozenset[bytes]) -> None:
    """Append the fields that are passed, line by line as they came, and take the body over."""
    for at, name in enumerate(source.names):
        if name in passed:
            target.append_line(name, source.line_at(at))
    if source.body:
        target.set_body(source.body)


def copy_edited(
    received: Message, edited: Message, target: Message, passed: frozenset[bytes]
) -> None:
    """Append what is passed, and what a script or rule has put into its copy of a request."""
    came = received.lines
    for name, line in zip(edited.names, edited.lines, strict=True):
        if name in passed or (name not in NEVER and line not in came):
            target.append_line(name, line)
    if edited.body:
        target.set_body(edited.body)


def listed(message: Message, name: bytes) -> list[bytes]:
    """Return the elements of a list field; one that cannot be read says nothing."""
    if not message.has(name):
        return []
    try:
        return message.values(name)
    except ParseError:
        return []


def passed_tags(message: Message, name: bytes) -> list[bytes]:
    """Return the option tags of Supported or Require that work end to end."""
    found = [tag.lower() for tag in listed(message, name)]
    return [tag for tag in OPTION_TAGS if tag in found]


def unknown_tags(request: Message) -> list[bytes]:
    """Return what Require asks for and we cannot pass on: 420 (8.2.2.3).

    Raises:
        ParseError: (400) it cannot be read.
    """
    if not request.has(REQUIRE):
        return []
    return [
        tag
        for tag in option_tags(request, REQUIRE)
        if tag.lower() not in OPTION_TAGS and tag.lower() != TIMER
    ]


def has_tag(message: Message, name: bytes, tag: bytes) -> bool:
    """Tell whether Supported or Require names an extension."""
    return tag in [one.lower() for one in listed(message, name)]


def allowed(source: Message, methods: list[bytes]) -> bytes:
    """Return Allow for one side: what we pass on and the other side says that it takes."""
    theirs = listed(source, ALLOW)
    if not theirs:
        return b", ".join([*ALWAYS_ALLOWED, *methods])
    return b", ".join([*ALWAYS_ALLOWED, *[one for one in methods if one in theirs]])
