"""Ini rules ``[rule:NAME]`` compiled to handlers: the first whose conditions hold wins.

A compiled rule is a ``Script`` like any other, so the core knows one kind of routing. All
that can be decided at load time is: patterns become compiled expressions, conditions that
are absent cost nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from typing import final

from uacproxy.errors import ParseError, ScriptError
from uacproxy.routing.actions import Action, Bridge, Drop, Relay, Reply
from uacproxy.routing.context import RouteContext
from uacproxy.routing.script import Script
from uacproxy.routing.settings import Network, Replacement, RuleSettings
from uacproxy.sip.grammar import octets_of, text
from uacproxy.sip.uri import parse_uri

Condition = Callable[[RouteContext], bool]


def compile_rules(rules: Sequence[RuleSettings], file: str) -> Script:
    """Compile the rules of a configuration, in their order; no match is answered 404."""
    compiled = [_Rule(rule) for rule in rules]
    not_found = Reply(404)

    def by_rules(ctx: RouteContext) -> Action:
        for rule in compiled:
            outcome = rule.outcome(ctx)
            if outcome is not None:
                return outcome
        return not_found

    script = Script(file)
    script.add("request_route", "", by_rules)
    return script


@final
class _Rule:
    """One rule, ready to run."""

    __slots__ = (
        "_account",
        "_action",
        "_assert_identity",
        "_auth_source",
        "_auth_to_caller",
        "_conditions",
        "_hide_caller",
        "_is_bridge",
        "_reg_lookup",
        "_replace_from",
        "_replace_to",
        "_settings",
        "_targets",
        "_track",
    )

    def __init__(self, settings: RuleSettings) -> None:
        self._settings = settings
        self._conditions = _conditions(settings)
        self._reg_lookup: bool = settings.reg_lookup
        self._track: bool = settings.track
        self._replace_from = settings.replace_from
        self._replace_to = settings.replace_to
        self._assert_identity = settings.assert_identity
        self._hide_caller = settings.hide_caller
        self._is_bridge = settings.bridge is not None
        self._auth_source = "" if settings.auth is None else settings.auth.words
        self._auth_to_caller = "" if settings.auth_caller is None else settings.auth_caller.words
        self._account = ""
        if settings.auth is not None and settings.auth.source == "account":
            self._account = settings.auth.name
        self._targets: tuple[str, ...] = ()
        self._action: Action | None = None
        if settings.reply is not None:
            self._action = Reply(settings.reply.code, settings.reply.reason)
        elif settings.drop:
            self._action = Drop()
        elif settings.relay is not None:
            self._targets = settings.relay.targets
            if not any("$" in target for target in self._targets):
                self._action = Relay(*self._targets)
        elif settings.bridge is not None:
            self._targets = settings.bridge.targets

    def outcome(self, ctx: RouteContext) -> Action | None:
        """Return what the rule does with the request, None when it does not apply."""
        for holds in self._conditions:
            if not holds(ctx):
                return None
        if self._reg_lookup and not ctx.uac.reg_match():
            return None
        if self._track and not ctx.in_dialog:
            ctx.track_dialog()
        if self._replace_from is not None:
            self._replace(ctx, ctx.uac.replace_from, self._replace_from)
        if self._replace_to is not None:
            self._replace(ctx, ctx.uac.replace_to, self._replace_to)
        if self._assert_identity is not None:
            told = self._assert_identity
            ctx.uac.assert_identity(told.who.uri, told.who.display or "", told.style)
        if self._hide_caller is not None:
            policy = str(self._hide_caller)
            unmet = ctx.uac.unmet_privacy(policy)
            if unmet:
                return Reply(500, f"Privacy not available: {unmet}")
            ctx.uac.hide_caller(policy)
        ctx.scope.auth_source = self._auth_source
        ctx.scope.auth_to_caller = self._auth_to_caller
        ctx.scope.account = self._account
        if self._action is not None:
            return self._action
        targets = [ctx.expand(target) for target in self._targets]
        return Bridge(*targets) if self._is_bridge else Relay(*targets)

    def _replace(self, ctx: RouteContext, replace: Callable[..., bool], what: Replacement) -> None:
        """Replace an identity; one that was to be hidden never leaves as it came."""
        if what.display is None:
            done = replace(what.uri)
        else:
            done = replace(what.display, what.uri)
        if not done and not ctx.in_dialog:
            raise ScriptError(f"[rule:{self._settings.name}] identity not replaced: {what}")


def _conditions(settings: RuleSettings) -> list[Condition]:
    conditions: list[Condition] = []
    if settings.bridge is not None:
        conditions.append(_begins_call)
    if settings.method:
        conditions.append(_method_is(frozenset(octets_of(word) for word in settings.method)))
    if settings.from_uri:
        matches = _glob(settings.from_uri)
        conditions.append(lambda ctx: matches(text(ctx.scope.request.from_.uri)))
    if settings.to_uri:
        to_matches = _glob(settings.to_uri)
        conditions.append(lambda ctx: to_matches(text(ctx.scope.request.to.uri)))
    if settings.request_uri:
        uri_matches = _glob(settings.request_uri)
        conditions.append(lambda ctx: uri_matches(text(ctx.scope.request.request_uri)))
    if settings.source:
        conditions.append(_source_in(settings.source))
    return conditions


def _begins_call(ctx: RouteContext) -> bool:
    return ctx.scope.request.method == b"INVITE" and not ctx.in_dialog


def _method_is(methods: frozenset[bytes]) -> Condition:
    return lambda ctx: ctx.scope.request.method in methods


def _glob(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Match ``scheme:user@host`` or the whole URI as it is written."""
    expression = re.compile("|".join(translate(pattern) for pattern in patterns), re.DOTALL)

    def matches(uri: str) -> bool:
        return expression.match(_plain(uri)) is not None or expression.match(uri) is not None

    return matches


def _plain(uri: str) -> str:
    """Return a SIP URI without port, password, parameters and headers, the host in lower case."""
    try:
        parsed = parse_uri(octets_of(uri))
    except ParseError:
        return uri
    if not parsed.is_sip:
        return uri
    user = parsed.user + b"@" if parsed.user else b""
    return text(parsed.scheme + b":" + user + parsed.host)


def _source_in(networks: Sequence[Network]) -> Condition:
    def holds(ctx: RouteContext) -> bool:
        address = ipaddress.ip_address(ctx.scope.flow.remote[0].partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # came in by a socket for both
        return any(address in network for network in networks)

    return holds
