"""Hiding an anonymous caller in every field that names it (RFC 3323 5, RFC 3325 5 and 7).

What must go depends on who is next. A *trusted* next hop, as a trunk is, needs to know
who calls and is told by ``Privacy: id`` to keep it to itself. From an *untrusted* one
everything is kept that names the caller. From is replaced through ``uac.replace``, since
it must come back in replies; a proxy cannot hide Via, Call-ID and the body.

A dialog goes on for hours behind its INVITE, without the script: the policy travels in
our Record-Route as ``hide``, and the later messages of the hidden side are hidden alike.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from uacproxy.sip.grammar import octets_of, text, unescape
from uacproxy.sip.message import Message
from uacproxy.sip.names import CONTACT, FROM, SERVER, USER_AGENT
from uacproxy.sip.uri import Uri
from uacproxy.uac.asserted import (
    P_ASSERTED_IDENTITY,
    P_PREFERRED_IDENTITY,
    REMOTE_PARTY_ID,
    keep_remote_parties_private,
)
from uacproxy.uac.contact_user import ContactSeal, hide_contact
from uacproxy.uac.privacy import CRITICAL, ID, NONE, USER, add_privacy, privacy_of

PARAM: Final = b"hide"  # of our Record-Route URI

PASSED_ON: Final = frozenset(
    (
        b"call-info",
        b"in-reply-to",
        b"organization",
        b"referred-by",
        b"reply-to",
        b"subject",
        USER_AGENT,
        SERVER,
    )
)
"""What a next hop hands on to the callee as it is, so it goes whoever is next."""

FOR_THE_NETWORK: Final = frozenset(
    (
        P_ASSERTED_IDENTITY,
        P_PREFERRED_IDENTITY,
        REMOTE_PARTY_ID,
        b"diversion",
        b"geolocation",
        b"geolocation-routing",
        b"history-info",
        b"identity",
        b"identity-info",
        b"p-access-network-info",
        b"p-charge-info",
        b"p-served-user",
    )
)
"""What a trusted network reads itself and takes out at its own border."""

ON_REQUEST: Final = frozenset(
    (
        b"accept-language",
        b"alert-info",
        b"authorization",
        b"proxy-authorization",
        b"session-id",
        b"user-to-user",
    )
)
"""What goes only when it is named; names that begin with ``x-`` or ``p-`` may be as well."""

_KNOWN: Final = PASSED_ON | FOR_THE_NETWORK | ON_REQUEST | {FROM, CONTACT}
_OWN: Final = re.compile(rb"[xp]-[a-z0-9-]{1,60}")
_HISTORY: Final = b"history"  # RFC 7044: History-Info
_KEEP: Final = "keep:"


class HidePolicy(NamedTuple):
    """What is hidden of an anonymous caller; ``str`` gives the words it is typed with."""

    trusted: bool  # the next hop may know who calls, and keeps it to itself
    removed: frozenset[bytes]  # fields, FROM and CONTACT among them though these are rewritten

    @property
    def hides_from(self) -> bool:
        """Tell whether From is to be replaced where it names the caller."""
        return FROM in self.removed

    def __str__(self) -> str:
        """Return the policy in words, shortest form."""
        standard = _standard(self.trusted)
        words = ["trusted" if self.trusted else "untrusted"]
        words.extend(sorted(text(name) for name in self.removed - standard - {SERVER}))
        words.extend(sorted(_KEEP + text(name) for name in standard - self.removed - {SERVER}))
        return " ".join(words)


def _standard(trusted: bool) -> frozenset[bytes]:
    if trusted:
        return PASSED_ON | {FROM}
    return PASSED_ON | FOR_THE_NETWORK | {FROM, CONTACT}


@lru_cache(maxsize=64)
def parse_hide_policy(words: str) -> HidePolicy:
    """Read a policy as an operator types it: ``untrusted keep:user-agent x-account``.

    ``trusted`` or ``untrusted`` (which is meant where neither stands) chooses what is
    hidden; the name of a field hides that one too, ``keep:NAME`` leaves it. ``user-agent``
    speaks for Server as well, which is the same in responses.

    Raises:
        ValueError: a word that is none of these, with the reason.
    """
    trusted = False
    chosen = ""
    more: set[bytes] = set()
    kept: set[bytes] = set()
    for word in words.lower().split():
        if word in ("trusted", "untrusted"):
            if chosen and chosen != word:
                raise ValueError("either trusted or untrusted")
            chosen = word
            trusted = word == "trusted"
        elif word.startswith(_KEEP):
            kept.update(_names(word[len(_KEEP) :]))
        else:
            more.update(_names(word))
    both = more & kept
    if both:
        raise ValueError(f"'{text(min(both))}' is both hidden and kept")
    return HidePolicy(trusted, (_standard(trusted) | more) - kept)


def _names(word: str) -> tuple[bytes, ...]:
    name = octets_of(word)
    if name in (USER_AGENT, SERVER):
        return (USER_AGENT, SERVER)
    if name in _KNOWN or _OWN.fullmatch(name):
        return (name,)
    raise ValueError(
        f"'{word}' is no field to hide; write trusted, untrusted, contact, keep:NAME, "
        f"x-... or p-..., or one of {', '.join(sorted(text(one) for one in _KNOWN))}"
    )


UNTRUSTED: Final = parse_hide_policy("untrusted")
TRUSTED: Final = parse_hide_policy("trusted")


def hide_caller(message: Message, policy: HidePolicy, seal: ContactSeal | None) -> bool:
    """Take out of a message of the hidden side what names it; tell whether that changed it.

    Safe to do twice. Privacy stays as it came for an untrusted next hop: RFC 3323 5 would
    have values that were carried out removed, but gateways read from ``id`` that the
    number is not to be shown, and hiding what is hidden does no harm. For a trusted one
    ``Privacy: id`` is added where the request begins something or names an identity.

    Args:
        message: a request toward the callee or a response toward it, the copy that goes on.
        policy: of the next hop.
        seal: see ``hide_contact``.
    """
    changed = False
    for name in policy.removed.intersection(message.names):
        if name != FROM and name != CONTACT:
            message.remove(name)
            changed = True
    if CONTACT in policy.removed:
        changed = hide_contact(message, seal) or changed
    if policy.trusted:
        changed = keep_remote_parties_private(message) or changed
        if _wants_id(message):
            changed = add_privacy(message, ID) or changed
    return changed


def _wants_id(message: Message) -> bool:
    if message.has(P_ASSERTED_IDENTITY) or message.has(P_PREFERRED_IDENTITY):
        return True
    return message.is_request and not message.to.tag


def unmet_privacy(request: Message, policy: HidePolicy) -> list[bytes]:
    """Return what the caller made critical and a proxy with this policy does not give.

    Such a request is to fail with 500 and these words in its reason phrase rather than go
    on (RFC 3323 5). ``header`` would take hiding Via and Record-Route, ``session`` the
    media: both are for a B2BUA.

    Args:
        request: as it came.
        policy: of the next hop.
    """
    values = privacy_of(request)
    if CRITICAL not in values:
        return []
    return [value for value in values if value not in (CRITICAL, NONE) and not _met(value, policy)]


def _met(value: bytes, policy: HidePolicy) -> bool:
    if value == ID:
        return policy.trusted or P_ASSERTED_IDENTITY in policy.removed
    if value == _HISTORY:
        return policy.trusted or b"history-info" in policy.removed
    if value == USER:
        return policy.hides_from and policy.removed >= PASSED_ON
    return False  # header, session, and what we do not know


def route_value(policy: HidePolicy) -> bytes:
    """Return the value of PARAM that brings a policy back in the Route of later requests."""
    return octets_of(str(policy).replace(" ", "+"))


def policy_of_route(route: Uri) -> HidePolicy | None:
    """Return the policy of a dialog, None where nobody is hidden.

    A value that makes no sense was altered on its way: then everything is hidden.

    Args:
        route: our own URI, taken from the top Route.
    """
    value = route.param(PARAM)
    if value is None:
        return None
    try:
        return parse_hide_policy(text(unescape(value)).replace("+", " "))
    except ValueError:
        return UNTRUSTED
