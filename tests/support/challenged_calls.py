"""Calls between two SIPps whose callee asks for credentials, and who is who in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.services import Sipp, SippResult
from tests.support.sipp_scenarios import as_played
from tests.support.sipp_trace import Identities, Side

SCENARIOS: Final = Path(__file__).parents[1] / "sipp" / "scenarios" / "auth"

PASSWORDS: Final = {"provider.example": "s3cret:of;7", "far.example": "0ther's"}

AT_CALLER: Final = Identities(
    '"Alice" <sip:alice@a.example>',
    '"Bob" <sip:bob@b.example>',
    ("trunk.example", "z.example", '"Trunk 7', '"Desk', *PASSWORDS.values()),
    is_caller=True,
)
AT_CALLEE: Final = Identities(
    '"Trunk 7" <sip:7@trunk.example>',
    '"Desk" <sip:desk@z.example>',
    ("a.example", "b.example", '"Alice', '"Bob', *PASSWORDS.values()),
    is_caller=False,
)

# The ``[uac]`` section for it, and the two names as rules and scripts write them.
CREDENTIALS: Final = "[uac]\ncredential =\n" + "".join(
    f"  trunk7:{realm}:{password}\n" for realm, password in PASSWORDS.items()
)
SHOWN_FROM: Final = ('"Trunk 7"', "sip:7@trunk.example")
SHOWN_TO: Final = ('"Desk"', "sip:desk@z.example")

StartSipp = Callable[..., Sipp]


class Call(NamedTuple):
    """One call, as both sides saw it to its end."""

    caller: Side
    callee: Side


class Pack:
    """Scenarios that run against one service, one call each."""

    def __init__(
        self, start_sipp: StartSipp, service: str, folder: Path, how: str = "relay"
    ) -> None:
        """Prepare; ``service`` is the HOST:PORT that callers send to, ``how`` what it does."""
        self.how = how
        self._start = start_sipp
        self._service = service
        self._folder = folder

    def callee(self, scenario: str, *more: str, port: int = 0, **keys: str) -> Sipp:
        """Start a callee on a port, 0 for one of its own; ``keys`` fill its keywords."""
        sipp = self._start(self._played(scenario), "", *more, *_told(keys), port=port)
        sipp.wait_until_listening()
        return sipp

    def caller(self, scenario: str, callee: Sipp, **keys: str) -> Side:
        """Let a caller place its call, to the end, and check what always holds for it."""
        told = _told({"callee": callee.uri_host, "then": "", **keys})
        ended = self._start(self._played(scenario), self._service, *told).finish()
        return read_side(ended, AT_CALLER)

    def call(self, caller: str, callee: str, *more: str, **keys: str) -> Call:
        """Let two scenarios run; ``more`` and ``keys`` are for the callee, who of both."""
        called = self.callee(callee, *more, port=0, **keys)
        calling = self.caller(caller, called, **keys)
        return Call(calling, self.read(called))

    def read(self, called: Sipp) -> Side:
        """Wait for a callee's end, and check what always holds for it, its credentials too."""
        side = read_side(called.finish(), AT_CALLEE)
        side.check_answers(PASSWORDS)
        return side

    def _played(self, scenario: str) -> Path:
        return as_played(SCENARIOS / f"{scenario}.xml", self.how, self._folder)


def _told(keys: dict[str, str]) -> list[str]:
    once = ["-m", "1", "-cid_str", "%u-%p-%s"]  # tags are made of the Call-ID: a token
    return once + [word for key, value in keys.items() for word in ("-key", key, value)]


def read_side(ended: SippResult, view: Identities) -> Side:
    """Check that all went as its scenario says, and what always holds."""
    ended.check()
    return Side(ended.messages, view)


def asks(
    nonce: str,
    more: str = 'qop="auth", algorithm=MD5',
    *,
    realm: str = "provider.example",
    by: str = "Proxy",
) -> str:
    """Return the field of one challenge, by a proxy or a server (``by="WWW"``)."""
    return f'{by}-Authenticate: Digest realm="{realm}", nonce="{nonce}", {more}'
