"""The tree of errors: what went wrong, whose fault it was, and what a UAS would answer.

A response is an outcome, not an exception; these are for what cannot go on. An
exception crosses at most one floor before it becomes a status, an event or a log
line. ``status`` is the answer a UAS would give; ``code`` is the stable word that
AMP, logs and counters use.
"""

from __future__ import annotations


class UacproxyError(Exception):
    """Anything this service raises on purpose."""

    code = "error"

    def __init__(self, why: str = "", *, status: int = 500) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


class PeerError(UacproxyError):
    """The other side broke a rule: counted by ``code``, answered, never a traceback."""

    code = "peer-error"

    def __init__(self, why: str = "", *, status: int = 400) -> None:
        super().__init__(why, status=status)


class ParseError(PeerError):
    """The octets are not what the grammar of RFC 3261 25 allows.

    ``field`` is the canonical name of the header field at fault, empty for the start
    line or the message as a whole; ``offset`` counts octets into the value.
    """

    code = "malformed"

    def __init__(
        self, why: str = "", *, field: bytes = b"", offset: int = 0, status: int = 400
    ) -> None:
        super().__init__(why, status=status)
        self.field = field
        self.offset = offset


class FramingError(ParseError):
    """A stream cannot be cut into messages any more: the connection has to close."""

    code = "framing"


class MessageTooLarge(ParseError):
    """A configured limit on size, fields or nesting was passed (513)."""

    code = "too-large"

    def __init__(self, why: str = "", *, field: bytes = b"") -> None:
        super().__init__(why, field=field, status=513)


class VersionNotSupported(ParseError):
    """A SIP version other than 2.0 (505)."""

    code = "version"

    def __init__(self, why: str = "") -> None:
        super().__init__(why, status=505)


class UnsupportedScheme(ParseError):
    """A Request-URI of a scheme we cannot route (416)."""

    code = "scheme"

    def __init__(self, why: str = "") -> None:
        super().__init__(why, status=416)


class LoopDetected(PeerError):
    """The request has been here before, unchanged (482)."""

    code = "loop"

    def __init__(self, why: str = "") -> None:
        super().__init__(why, status=482)


class TooManyHops(PeerError):
    """Max-Forwards ran out (483)."""

    code = "too-many-hops"

    def __init__(self, why: str = "") -> None:
        super().__init__(why, status=483)


class BadExtension(PeerError):
    """Proxy-Require names what we do not have (420); ``tokens`` go into Unsupported."""

    code = "bad-extension"

    def __init__(self, tokens: list[bytes]) -> None:
        super().__init__("unsupported extension", status=420)
        self.tokens = tokens


class UnsupportedChallenge(PeerError):
    """A digest algorithm or qop we lack; the peer's own 401/407 goes on as it came."""

    code = "unsupported-challenge"


class FeatureError(UacproxyError):
    """A uac function could not be done; the script hears it, the call may go on."""

    code = "feature"


class NoCredential(FeatureError):
    """No credential fits any realm the peer asks for."""

    code = "no-credential"


class RestoreFailed(FeatureError):
    """A stored identity could not be read; ``reason`` is missing, altered or unreadable."""

    code = "restore-failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"identity not restored: {reason}")
        self.reason = reason


class AccountNotFound(FeatureError):
    """No account of the registration table matches (404)."""

    code = "account-not-found"

    def __init__(self, why: str = "") -> None:
        super().__init__(why, status=404)


class StoreError(UacproxyError):
    """Stored state could not be read or written."""

    code = "store"


class StoreUnavailable(StoreError):
    """For now: the local copy serves, the write is queued."""

    code = "store-unavailable"


class StoreCorrupt(StoreError):
    """A stored value is not what we write; it is dropped and counted."""

    code = "store-corrupt"


class ConfigError(UacproxyError):
    """One thing wrong in what an operator wrote; collected, reported together, exit status 78."""

    code = "config"

    def __init__(self, why: str, *, section: str = "", key: str = "", where: str = "") -> None:
        super().__init__(why)
        self.section = section
        self.key = key
        self.where = where  # FILE or FILE:LINE

    def __str__(self) -> str:
        """Return ``FILE:LINE: [section] key: why``, leaving out what is not known."""
        place = f"{self.where}: " if self.where else ""
        section = f"[{self.section}] " if self.section else ""
        key = f"{self.key}: " if self.key else (": " if self.section else "")
        return f"{place}{section}{key}{self.why}".replace("] : ", "]: ")


class ScriptError(UacproxyError):
    """The route script failed; the request is answered 500, the service goes on."""

    code = "script"

    def __init__(self, why: str, *, file: str = "", line: int = 0) -> None:
        super().__init__(why)
        self.file = file
        self.line = line

    def __str__(self) -> str:
        """Return ``FILE:LINE: why``."""
        return f"{self.file}:{self.line}: {self.why}" if self.file else self.why


class OwnMistake(UacproxyError):
    """We broke a rule of our own: loud in tests, 500 and a traceback in service."""

    code = "own-mistake"
