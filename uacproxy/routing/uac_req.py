"""``$uac_req(key)``: what a script says of a request to be sent, and hears of its end.

The keys are those of Kamailio's uac module; what they say lives as long as the handler's
context. Types and lengths are looked at when a key is written, what they mean together by
``uac.own_request``.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import ScriptError
from uacproxy.sip.grammar import text
from uacproxy.uac.own_request import LONGEST, LONGEST_BODY, LONGEST_HEADERS, RequestKeys

Value = str | int | None

TEXTS: Final = (
    "method",
    "ruri",
    "furi",
    "turi",
    "ftag",
    "ttag",
    "callid",
    "ouri",
    "sock",
    "hdrs",
    "body",
    "auser",
    "apasswd",
    "evparam",
)
NUMBERS: Final = ("cseqno", "flags", "evroute", "evcode", "evtype", "fr_timeout", "fr_inv_timeout")
LITERAL: Final = frozenset(("body", "auser", "apasswd"))
"""Keywords whose ``$`` is a dollar: elsewhere pseudo-variables are replaced."""

NOT_KEYWORDS: Final = frozenset(("all", "evcode", "evtype"))

ALL: Final = "all"
FLAGS: Final = "flags"
NO_EVENT: Final = 0
EVERY_FINAL: Final = 1  # of evroute
FAILURES: Final = 2
MOST_EVENTS: Final = 2

_LENGTHS: Final = {"hdrs": LONGEST_HEADERS, "body": LONGEST_BODY}
_LARGEST: Final = 2**31 - 1


@final
class UacReq:
    """The keys of one context; ``repr`` shows none of them, since one is a password."""

    __slots__ = ("_numbers", "_texts")

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    def copy(self) -> UacReq:
        """Return keys that are written apart from these."""
        copy = UacReq()
        copy._texts.update(self._texts)
        copy._numbers.update(self._numbers)
        return copy

    def read(self, key: str) -> Value:
        """Return a text or None, a number or 0; of ``all`` the flags.

        Raises:
            ScriptError: there is no such key.
        """
        if key == ALL:
            key = FLAGS
        if key in NUMBERS:
            return self._numbers.get(key, 0)
        if key in TEXTS:
            return self._texts.get(key)
        raise ScriptError(f"there is no pseudo-variable $uac_req({key})")

    def write(self, key: str, value: object) -> None:
        """Set a key, or reset it by None; ``all`` can only be reset, and is everything.

        Raises:
            ScriptError: there is no such key, or the value is not of its kind.
        """
        if key == ALL:
            if value is not None:
                raise ScriptError("$uac_req(all) takes None alone, which resets every key")
            self._texts.clear()
            self._numbers.clear()
        elif key in TEXTS:
            self._write_text(key, value)
        elif key in NUMBERS:
            self._write_number(key, value)
        else:
            raise ScriptError(f"there is no pseudo-variable $uac_req({key})")

    def _write_text(self, key: str, value: object) -> None:
        if value is None:
            self._texts.pop(key, None)
            return
        if isinstance(value, bytes):
            value = text(value)
        if not isinstance(value, str):
            raise ScriptError(f"$uac_req({key}) takes a text, not {type(value).__name__}")
        longest = _LENGTHS.get(key, LONGEST)
        if len(value) > longest:
            raise ScriptError(f"$uac_req({key}) is longer than {longest} octets")
        self._texts[key] = value

    def _write_number(self, key: str, value: object) -> None:
        if value is None:
            self._numbers.pop(key, None)
            return
        if not isinstance(value, int):
            raise ScriptError(f"$uac_req({key}) takes a number, not {type(value).__name__}")
        if not 0 <= value <= _LARGEST:
            raise ScriptError(f"$uac_req({key}) is not between 0 and {_LARGEST}")
        if key == "evroute" and value > MOST_EVENTS:
            raise ScriptError("$uac_req(evroute) is 0, 1 or 2")
        self._numbers[key] = int(value)

    @property
    def evroute(self) -> int:
        """Return which ends are told to the event route."""
        return self._numbers.get("evroute", NO_EVENT)

    def keys(self) -> RequestKeys:
        """Return what a request can be made of."""
        texts = self._texts
        numbers = self._numbers
        return RequestKeys(
            method=texts.get("method", ""),
            ruri=texts.get("ruri", ""),
            furi=texts.get("furi", ""),
            turi=texts.get("turi", ""),
            ftag=texts.get("ftag", ""),
            ttag=texts.get("ttag", ""),
            callid=texts.get("callid", ""),
            cseqno=numbers.get("cseqno", 0),
            ouri=texts.get("ouri", ""),
            sock=texts.get("sock", ""),
            hdrs=texts.get("hdrs", ""),
            body=texts.get("body", ""),
            auser=texts.get("auser", ""),
            apasswd=texts.get("apasswd", ""),
            flags=numbers.get("flags", 0),
            fr_timeout=numbers.get("fr_timeout", 0),
            fr_inv_timeout=numbers.get("fr_inv_timeout", 0),
        )
