"""The settings of routing: section ``[routing]`` and the declarative ``[rule:NAME]``.

The values of a rule are taken apart here as far as the file alone allows; pseudo-variables
inside are put in when a request is there.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import NamedTuple, final

from uacproxy.settings import setting
from uacproxy.uac.asserted import STYLES
from uacproxy.uac.hiding import UNTRUSTED, HidePolicy, parse_hide_policy

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_METHOD = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_DISPLAY_AND_URI = re.compile(r'("(?:[^"\\]|\\.)*"|\$\S+)(?:\s+(\S+))?')
_YES = frozenset(("yes", "on", "true", "1"))
_NO = frozenset(("no", "off", "false", "0"))


class Replacement(NamedTuple):
    """What ``replace_from`` or ``replace_to`` of a rule writes; pseudo-variables still inside."""

    display: str | None  # as it goes out, quotes included; "" removes it, None leaves it
    uri: str  # "" leaves it

    def __str__(self) -> str:
        """Return the value as it is written in the file."""
        if self.display is None:
            return self.uri
        display = self.display or '""'
        return f"{display} {self.uri}".rstrip()


class RuleIdentity(NamedTuple):
    """How a rule tells the next hop who calls; pseudo-variables still inside."""

    style: str  # words of uac.asserted.STYLES
    who: Replacement

    def __str__(self) -> str:
        """Return the value as it is written in the file."""
        return f"{self.style} {self.who}"


class RuleReply(NamedTuple):
    """The answer of a rule; an empty reason stands for the usual phrase."""

    code: int
    reason: str

    def __str__(self) -> str:
        """Return ``CODE [reason]``."""
        return f"{self.code} {self.reason}".rstrip()


class RuleRelay(NamedTuple):
    """Where a rule sends the request, in the order of trial; none stands for the Request-URI."""

    targets: tuple[str, ...]

    def __str__(self) -> str:
        """Return the value as it is written in the file."""
        return " ".join(self.targets) or "yes"


class RuleAuth(NamedTuple):
    """Whose credentials a rule answers challenges with."""

    source: str  # "realm": the credential list by realm, "user", or "account"
    name: str  # the user or the l_uuid; "" for "realm"

    def __str__(self) -> str:
        """Return the value as it is written in the file."""
        return {"realm": "yes", "account": f"account:{self.name}"}.get(self.source, self.name)

    @property
    def words(self) -> str:
        """Return the value as ``uac.credential_sources`` knows it."""
        return self.source if self.source == "realm" else f"{self.source}:{self.name}"


def parse_method(word: str) -> str:
    """Parse a method name; methods are compared with case, so small letters are refused."""
    if not _METHOD.fullmatch(word):
        raise ValueError(f"'{word}' cannot be a method")
    if word != word.upper():
        raise ValueError(f"methods are written in capitals: {word.upper()}")
    return word


def parse_pattern(word: str) -> str:
    """Check a shell pattern over the text of a URI: ``*``, ``?`` and ``[...]``."""
    if not word.lower().startswith(("sip:", "sips:", "tel:", "*", "?", "[")):
        raise ValueError(
            f"'{word}' would match no URI: begin with sip:, sips:, tel: or *, as in sip:{word}"
        )
    return word


def parse_source(word: str) -> Network:
    """Parse an address or a network in CIDR form."""
    try:
        return ipaddress.ip_network(word)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise ValueError(f"'{word}' is no address and no network such as 192.0.2.0/24") from None
    raise ValueError(f"'{word}' is an address inside a network; the network is {meant}")


def parse_replacement(text: str) -> Replacement:
    """Parse ``URI``, ``"Display" URI`` or ``"Display"``; the URI may have angle brackets.

    Raises:
        ValueError: with the reason.
    """
    if text.startswith('"') or (text.startswith("$") and " " in text):
        matched = _DISPLAY_AND_URI.fullmatch(text)
        if matched is None:
            raise ValueError(f"'{text}' is not URI or \"Display\" URI")
        display = "" if matched[1] == '""' else matched[1]
        return Replacement(display, _checked_uri(matched[2]) if matched[2] else "")
    return Replacement(None, _checked_uri(text))


def _checked_uri(text: str) -> str:
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    if re.search(r"[\s<>\"]", text):
        raise ValueError(f"'{text}' is no URI; a display name goes before it in double quotes")
    if not text.lower().startswith(("sip:", "sips:", "tel:", "$")):
        raise ValueError(f"'{text}' does not begin with sip:, sips:, tel: or a pseudo-variable")
    return text


def parse_identity(text: str) -> RuleIdentity:
    """Parse ``STYLE... ["Display"] URI``.

    Raises:
        ValueError: with the reason.
    """
    styles: list[str] = []
    rest = text.strip()
    while rest.partition(" ")[0].lower() in STYLES:
        word, _, rest = rest.partition(" ")
        styles.append(word.lower())
        rest = rest.strip()
    if not styles or ("from" in styles and len(styles) > 1):
        raise ValueError(f"begin with from alone, or with words of {', '.join(STYLES[:-1])}")
    who = parse_replacement(rest)
    if not who.uri:
        raise ValueError('a URI is missing: STYLE ["Display"] URI')
    return RuleIdentity(" ".join(styles), who)


def parse_hiding(text: str) -> HidePolicy | None:
    """Parse ``yes``, ``no`` or the words of a policy."""
    if text.lower() in _NO:
        return None
    return UNTRUSTED if text.lower() in _YES else parse_hide_policy(text)


def parse_auth(text: str) -> RuleAuth | None:
    """Parse ``yes``, ``no``, ``USER`` or ``account:L_UUID``."""
    if text.lower() in _YES:
        return RuleAuth("realm", "")
    if text.lower() in _NO:
        return None
    if re.search(r"\s", text):
        raise ValueError("one of yes, no, USER or account:L_UUID, without spaces")
    if text.lower().startswith("account:"):
        name = text[len("account:") :]
        if not name:
            raise ValueError("account: needs the l_uuid of an account")
        return RuleAuth("account", name)
    return RuleAuth("user", text)


def parse_relay(text: str) -> RuleRelay | None:
    """Parse ``yes``, ``no`` or URIs in the order they are tried."""
    if text.lower() in _YES:
        return RuleRelay(())
    if text.lower() in _NO:
        return None
    targets = []
    for word in text.split():
        target = word[1:-1] if word.startswith("<") and word.endswith(">") else word
        if not target.lower().startswith(("sip:", "sips:", "$")):
            raise ValueError(f"'{word}' does not begin with sip:, sips: or a pseudo-variable")
        targets.append(target)
    return RuleRelay(tuple(targets))


def parse_reply(text: str) -> RuleReply:
    """Parse ``CODE [reason]``, a final response."""
    code, _, reason = text.partition(" ")
    if not re.fullmatch(r"[2-6][0-9][0-9]", code):
        raise ValueError(f"'{code}' is no final response code (200 to 699)")
    return RuleReply(int(code), reason.strip())


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSettings:
    """Who decides where requests go: a route script, or the rules of this file."""

    script: str = setting(
        "",
        names="file",
        doc="Python file with the route handlers. Empty: the `[rule:NAME]` sections decide.",
    )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """One rule. They are tried in the order of the file; the first that fits wins.

    A condition that is absent always holds; one with several values holds when any of them
    does. The rule then has exactly one outcome: `relay`, `bridge`, `reply` or `drop`. A request
    that no rule fits is answered 404. The values of `replace_from`, `replace_to`, `relay` and
    `bridge` may hold pseudo-variables such as `$fU` or `$rU`.
    """

    name: str = ""  # from the section's name, no key
    method: tuple[str, ...] = setting(
        (),
        many="words",
        parse=parse_method,
        doc="Condition: the request has one of these methods.",
    )
    from_uri: tuple[str, ...] = setting(
        (),
        key="from",
        many="words",
        parse=parse_pattern,
        doc="Condition: the URI of From matches one of these shell patterns, as "
        "`sip:*@pbx.example`.",
    )
    to_uri: tuple[str, ...] = setting(
        (),
        key="to",
        many="words",
        parse=parse_pattern,
        doc="Condition: the URI of To matches one of these shell patterns.",
    )
    request_uri: tuple[str, ...] = setting(
        (),
        many="words",
        parse=parse_pattern,
        doc="Condition: the Request-URI matches one of these shell patterns.",
    )
    source: tuple[Network, ...] = setting(
        (),
        many="words",
        parse=parse_source,
        doc="Condition: the request came from one of these addresses or networks.",
    )
    reg_lookup: bool = setting(
        False,
        doc="Condition and action: the request is for an account, by `line` or user of its "
        "Request-URI, by the number called, or by the address it comes from (see `accounts.md`); "
        "the Request-URI becomes the account's local user, `sip:l_username@l_domain`.",
    )
    replace_from: Replacement | None = setting(
        None,
        parse=parse_replacement,
        doc='`URI`, `"Display" URI` or `"Display"` to put into From; `""` as display removes it.',
    )
    replace_to: Replacement | None = setting(
        None,
        parse=parse_replacement,
        doc="The same for To.",
    )
    assert_identity: RuleIdentity | None = setting(
        None,
        parse=parse_identity,
        doc='`STYLE URI` or `STYLE "Display" URI`: tell the next hop who calls, in '
        "P-Asserted-Identity (`pai`), P-Preferred-Identity (`ppi`), Remote-Party-ID (`rpid`) or "
        "`from`, and in no other way. See `privacy.md`.",
    )
    hide_caller: HidePolicy | None = setting(
        None,
        parse=parse_hiding,
        doc="For anonymous callers: hide them in every field that names them. `trusted`: the next "
        "hop may know and keeps it to itself; `untrusted` or `yes`: nobody may. Then fields to "
        "hide too, and `keep:NAME`. See `privacy.md`.",
    )
    auth: RuleAuth | None = setting(
        None,
        parse=parse_auth,
        doc="How a challenge of the next hop is answered, to this request and to every later one "
        "of the caller inside its dialog. `yes`: by the `[uac] credential` of its "
        "realm. `USER`: by the `credential` of this user. `account:L_UUID`: by the password of "
        "this account. `no`: the challenge goes back to the caller.",
    )
    auth_caller: RuleAuth | None = setting(
        None,
        parse=parse_auth,
        doc="The same for challenges of the side that calls, to later requests of the called "
        "side: for calls from a provider that wants even a BYE authenticated. `reg_lookup` alone "
        "does not switch it on: whoever knows an `l_uuid` could ask for answers.",
    )
    track: bool = setting(
        False,
        doc="Track the dialog that the request starts.",
    )
    relay: RuleRelay | None = setting(
        None,
        many="folded",
        parse=parse_relay,
        doc="Outcome: send the request on. `yes`: to its Request-URI, or to the bindings of a "
        "local user. URIs: to these, one after the other while they fail.",
    )
    bridge: RuleRelay | None = setting(
        None,
        many="folded",
        parse=parse_relay,
        doc="Outcome, for INVITE alone: answer the caller ourselves and call the targets of "
        "`relay`, or `yes`, as calls of our own. See `b2bua.md`.",
    )
    reply: RuleReply | None = setting(
        None,
        parse=parse_reply,
        doc="Outcome: answer with `CODE [reason]`.",
    )
    drop: bool = setting(
        False,
        doc="Outcome: no answer at all.",
    )
