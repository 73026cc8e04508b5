"""``ctx.uac``: the functions of Kamailio's uac module, without their ``uac_`` prefix.

Every string may hold pseudo-variables. A function returns True where the module returns
a positive number. What it changes is in the ``Scope``; nothing is sent from here.
"""

from __future__ import annotations

from typing import final

from uacproxy.errors import FeatureError, ScriptError
from uacproxy.routing import pseudo
from uacproxy.routing.challenge import answer_challenge
from uacproxy.routing.features import Features
from uacproxy.routing.own_dialog import OwnDialog
from uacproxy.routing.pending_reply import PendingReply
from uacproxy.routing.registration_functions import RegistrationFunctions
from uacproxy.routing.scope import Scope
from uacproxy.routing.settings import parse_auth
from uacproxy.routing.uac_req import LITERAL, NOT_KEYWORDS, UacReq
from uacproxy.sip.grammar import octets_of, text
from uacproxy.sip.names import FROM, TO
from uacproxy.uac.asserted import assert_identity
from uacproxy.uac.credential_sources import BY_REALM, KEPT
from uacproxy.uac.credentials import Credential, CredentialList
from uacproxy.uac.dialog_variables import to_variables
from uacproxy.uac.hiding import HidePolicy, hide_caller, parse_hide_policy, unmet_privacy
from uacproxy.uac.privacy import anonymity, from_names_caller, is_anonymous
from uacproxy.uac.replace import Identities, replace_in
from uacproxy.uac.restore import restore_request


@final
class UacFunctions(RegistrationFunctions):
    """The functions, bound to one request."""

    __slots__ = ()

    # -- identity ----------------------------------------------------------------------

    def replace_from(self, *arguments: str) -> bool:
        """Replace the URI of From, or display name and URI: ``(uri)`` or ``(display, uri)``.

        The display goes out as given, quotes and all; an empty one is removed. An empty
        URI leaves the URI alone. May be called again; what the caller wrote is restored in
        replies and later requests all the same.

        False, with a line in the log, where the new values would break the field; then
        nothing was replaced. False too inside a dialog, whose identities do not change.
        """
        return self._replace(FROM, arguments)

    def replace_to(self, *arguments: str) -> bool:
        """Do to To what ``replace_from`` does to From."""
        return self._replace(TO, arguments)

    def _replace(self, name: bytes, arguments: tuple[str, ...]) -> bool:
        scope = self._scope
        if len(arguments) == 1:
            display: bytes | None = None
            uri = octets_of(pseudo.expand(arguments[0], scope))
        elif len(arguments) == 2:
            display = octets_of(pseudo.expand(arguments[0], scope))
            uri = octets_of(pseudo.expand(arguments[1], scope))
        else:
            raise ScriptError("replace takes (uri) or (display, uri)")
        if scope.response is not None and scope.failure is None:
            raise ScriptError("an onreply route is too late to replace an identity")
        automatic = self._features.restore_mode == "auto"
        if scope.in_dialog and uri and automatic:
            return False  # the identity of a dialog is what its first request made it
        if scope.identities is None:
            scope.identities = Identities()
        try:
            replace_in(scope.request, name, display, uri, scope.identities)
        except FeatureError as error:
            self._features.log.info("{why}", why=error.why)
            return False
        features = self._features
        if features.restore_mode != "none":
            original = scope.received.from_ if name == FROM else scope.received.to
            if name == FROM:
                scope.from_changed = True
                avp = features.restore_from_avp
            else:
                scope.to_changed = True
                avp = features.restore_to_avp
            if avp:
                self._write(avp, text(original.head))
            keep_identities(features, scope)
        return True

    def restore_from(self) -> bool:
        """Put right what replacing From did to a request inside a dialog (restore_mode manual).

        For ``dialog_route``: From of a request of the caller, To of one of the callee.
        False where our Route says nothing of it, or nothing that can be read.
        """
        return self._restore(FROM)

    def restore_to(self) -> bool:
        """Do for a replaced To what ``restore_from`` does for From."""
        return self._restore(TO)

    def _restore(self, name: bytes) -> bool:
        scope = self._scope
        if scope.own_route is None or scope.response is not None:
            return False
        restored = restore_request(
            scope.request, scope.own_route, self._features.codec, scope.toward_callee, name
        )
        scope.from_changed = scope.from_changed or restored.from_changed
        scope.to_changed = scope.to_changed or restored.to_changed
        if restored.failed:
            self._features.counters.restore_failures += 1
            return False
        return restored.from_changed or restored.to_changed

    # -- who calls, and who must not know ----------------------------------------------

    def assert_identity(self, uri: str, display: str = "", style: str = "pai") -> bool:
        """Tell the next hop who calls, in its way: pai, ppi, rpid or from; see docs/privacy.md.

        The other ways go. Of an anonymous caller only the network is told. False, with a
        line in the log, where the identity would break the field; then nothing changed.
        """
        scope = self._scope
        private = self.is_anonymous()
        try:
            assert_identity(
                scope.request,
                octets_of(pseudo.expand(uri, scope)),
                octets_of(pseudo.expand(display, scope)),
                style,
                private=private,
            )
        except FeatureError as error:
            self._features.log.info("{why}", why=error.why)
            return False
        if style == "from" and not private:
            return self.replace_from(display, uri)
        return True

    def is_anonymous(self) -> bool:
        """Tell whether the caller does not want to be named, in the request as it came or is."""
        return is_anonymous(self._scope.received) or is_anonymous(self._scope.request)

    def anonymity(self) -> str:
        """Return by what the caller is anonymous: words of from, display, id, user, header."""
        found = (*anonymity(self._scope.received), *anonymity(self._scope.request))
        return " ".join(text(word) for word in dict.fromkeys(found))

    def hide_caller(self, policy: str = "untrusted") -> bool:
        """Name an anonymous caller nowhere, for the whole dialog; False for any other caller.

        Args:
            policy: ``trusted`` or ``untrusted``, fields to hide too, ``keep:NAME``; see
                docs/privacy.md.
        """
        parsed = _policy(policy)
        if not self.is_anonymous():
            return False
        scope = self._scope
        replaced = scope.identities is not None and bool(scope.identities.from_original)
        if parsed.hides_from and not replaced and from_names_caller(scope.request):
            self.replace_from('"Anonymous"', "sip:anonymous@anonymous.invalid")
        scope.hide = parsed
        hide_caller(scope.request, parsed, self._features.contact_seal)
        return True

    def unmet_privacy(self, policy: str = "untrusted") -> str:
        """Return what the caller made critical in Privacy and does not get here; "" for nothing."""
        unmet = unmet_privacy(self._scope.received, _policy(policy))
        return " ".join(text(word) for word in unmet)

    # -- authentication ----------------------------------------------------------------

    def auth(self, mode: int = 0) -> bool:
        """Answer the challenge of the response at hand; then ``return Relay()`` sends it again.

        For failure and branch failure routes. Credentials come from the auth AVPs where
        they are set, else from ``credential`` by realm. The same ones answer challenges
        inside the dialog that may begin, without a script.

        Args:
            mode: 1 when the password AVP holds HA1 in hexadecimal digits.
        """
        scope = self._scope
        failure = scope.failure
        if failure is None or failure.response.status not in (401, 407):
            return False
        features = self._features
        named = scope.auth_source not in ("", BY_REALM, KEPT)
        own = None if named else self._avp_credential(mode)
        if own is not None:
            candidates = features.sources.lines.with_first(own)
        else:
            candidates = self._sourced(scope.auth_source or BY_REALM)
        retry = answer_challenge(failure, candidates, features.nonces, features.log)
        if retry is None:
            return False
        if own is not None and not scope.in_dialog:
            features.sources.keep(own, scope.received.call_id, scope.received.from_.tag)
        retry.dialog_source = scope.auth_source or (BY_REALM if own is None else KEPT)
        scope.retry = retry
        return True

    def auth_as(self, whose: str, toward: str = "callee") -> bool:
        """Answer challenges by themselves, of this request and inside its dialog.

        Args:
            whose: as ``auth`` of a rule: ``yes``, ``USER``, ``account:L_UUID``, or ``no``.
            toward: ``callee`` for this request and later ones of the caller; ``caller``
                for later requests of the callee, as in a call that came from a provider.
        """
        try:
            parsed = parse_auth(pseudo.expand(whose, self._scope))
        except ValueError as error:
            raise ScriptError(f"auth_as: {error}") from error
        if toward not in ("callee", "caller"):
            raise ScriptError(f"auth_as: toward callee or caller, not {toward!r}")
        source = "" if parsed is None else parsed.words
        if toward == "callee":
            self._scope.auth_source = source
        else:
            self._scope.auth_to_caller = source
        return True

    def _sourced(self, source: str) -> CredentialList:
        received = self._scope.received
        return self._features.sources.of(source, received.call_id, received.from_.tag)

    def _avp_credential(self, mode: int) -> Credential | None:
        """Return what the script has put into the auth AVPs, None for nothing complete."""
        features = self._features
        scope = self._scope
        if not features.auth_username_avp:
            return None
        user = pseudo.read(features.auth_username_avp, scope)
        secret = pseudo.read(features.auth_password_avp, scope)
        realm = pseudo.read(features.auth_realm_avp, scope)
        if not user or not secret:
            return None
        return Credential(
            username=octets_of(str(user)),
            realm=octets_of(str(realm or "")),
            password=b"" if mode & 1 else octets_of(str(secret)),
            ha1=octets_of(str(secret)) if mode & 1 else b"",
        )

    # -- requests of our own -----------------------------------------------------------

    @property
    def dialog(self) -> OwnDialog | None:
        """Return the call of ours that an event is about, once it has been answered."""
        return self._scope.own_dialog

    def req_send(self, **keys: object) -> PendingReply:
        """Send the request that ``$uac_req`` describes, or, with keywords, the keywords alone.

        Returns at once; what comes of it is told to ``event_route("uac:reply")`` where
        ``evroute`` says so, and to a handler that awaits what is returned.

        Args:
            **keys: those of ``$uac_req``; pseudo-variables are replaced, except in
                ``body``, ``auser`` and ``apasswd``.

        Raises:
            ScriptError: a key no request can be made of; nothing is sent.
        """
        scope = self._scope
        sending = self._features.requests
        if sending is None:
            raise ScriptError("no request can be sent from here")
        wanted = scope.uac_req or UacReq()
        if keys:
            wanted = UacReq()
            for key, value in keys.items():
                if isinstance(value, str) and key not in LITERAL:
                    value = pseudo.expand(value, scope)
                if key in NOT_KEYWORDS:
                    raise ScriptError(f"req_send() takes no {key}")
                wanted.write(key, value)
        return sending.send(wanted, scope.flow)


def keep_identities(features: Features, scope: Scope) -> None:
    """Keep what was replaced with the tracked dialog, under the module's variable names.

    With ``restore_dlg`` it is kept there alone; else it also stands in Record-Route, and
    the dialog's copy serves when that comes back unreadable. A branch route's identities
    are those of one branch, so they travel in its Record-Route only.
    """
    if scope.is_branch:
        scope.is_kept = False
        return
    dialog = scope.dialog
    identities = scope.identities
    if dialog is None or identities is None or scope.in_dialog:
        return
    for name in [name for name in dialog.variables if name.startswith("_uac_")]:
        del dialog.variables[name]
    dialog.variables.update(to_variables(identities))
    scope.is_kept = features.restore_dlg
    if scope.is_kept:
        features.keep_early(scope)


def _policy(words: str) -> HidePolicy:
    try:
        return parse_hide_policy(words)
    except ValueError as error:
        raise ScriptError(f"hide_caller: {error}") from error
