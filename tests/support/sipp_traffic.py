"""Calls of SIPp through a service of their own, counted on both sides.

The scenarios check what they receive by regular expressions; a wrong value fails the call,
and SIPp's exit status says so. Its statistics say that nobody had to send twice.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from tests.support.challenged_calls import AT_CALLEE, AT_CALLER
from tests.support.services import Sipp
from tests.support.sipp_scenarios import as_played
from tests.support.sipp_trace import Side
from tests.support.uacproxy_process import UacproxyProcess

SCENARIOS = Path(__file__).parents[1] / "sipp" / "scenarios"

INI = """\
[sip]
listen = udp:@HERE@ tcp:@HERE@
t1 = 4s

[rule:out]
method = INVITE
replace_from = "Trunk 7" sip:7@trunk.example
replace_to = "Desk" sip:desk@z.example
@HOW@ = sip:@CALLEE@;transport=@TRANSPORT@

[bridge]
pass_headers = Subject
"""

CHALLENGED = (
    INI.replace("@HOW@ =", "auth = yes\n@HOW@ =")
    + """
[uac]
credential = trunk7:trunk.example:@PASSWORD@
"""
)
PASSWORD = "s3cret:of;7"

SOCKETS = {"udp": "u1", "tcp": "t1"}  # SIPp's words

NEVER = (
    "FailedCall(C)",
    "Retransmissions(C)",
    "DeadCallMsgs(C)",
    "OutOfCallMsgs(C)",
    "Warnings(C)",
)

Start = Callable[..., UacproxyProcess]
StartSipp = Callable[..., Sipp]


class Traffic:
    """Calls of one transport through a service of their own, from their start to ``check``."""

    def __init__(
        self,
        start_uacproxy: Start,
        start_sipp: StartSipp,
        folder: Path,
        transport: str,
        *,
        rate: int,
        seconds: int,
        how: str = "relay",
        ini: str = INI,
        callee: str = "callee.xml",
    ) -> None:
        """Start; every second call is ended by its callee."""
        self._how = how
        self._calls = rate * seconds
        self._patience = seconds + 60.0
        self._statistics = {side: folder / f"{transport}-{side}.csv" for side in ("ee", "er")}
        who = folder / "who.csv"
        who.write_text("SEQUENTIAL\ncaller;\ncallee;\n")
        # tags are made of the Call-ID, so it has to be a token
        many = ["-t", SOCKETS[transport], "-m", str(self._calls), "-cid_str", "%u-%p-%s"]
        many += ["-trace_stat", "-fd", "1"]
        self._callee = start_sipp(
            as_played(SCENARIOS / callee, how, folder),
            "",
            *many,
            *["-stf", str(self._statistics["ee"])],
        )
        self._callee.wait_until_listening()
        marks = {"callee": self._callee.uri_host, "password": PASSWORD}
        self.service = start_uacproxy(ini, transport=transport, how=how, **marks)
        self._caller = start_sipp(
            as_played(SCENARIOS / "caller.xml", how, folder),
            self.service.address,
            *many,
            *["-inf", str(who), "-r", str(rate), "-stf", str(self._statistics["er"])],
        )

    def check(self) -> str:
        """Wait for the end, check all that can be counted; return the callee's messages."""
        caller = self._caller.finish(self._patience)
        caller.check()
        callee = self._callee.finish()
        callee.check()
        for path in self._statistics.values():
            with path.open(newline="") as file:
                row = list(csv.DictReader(file, delimiter=";"))[-1]
            assert row["SuccessfulCall(C)"] == str(self._calls), path.name
            assert {name: row[name] for name in NEVER} == dict.fromkeys(NEVER, "0"), path.name
        stats = self.service.stats()
        assert stats["transaction.sent_again"] == 0
        assert stats["transaction.retransmissions"] == 0
        assert stats["transaction.timeouts"] == 0
        if self._how == "relay":
            assert stats["proxy.restored"] == 6 * self._calls  # all inside the dialog, ACKs too
            assert stats["proxy.restore_failures"] == 0
        else:
            Side(caller.messages, AT_CALLER)
            Side(callee.messages, AT_CALLEE)
            assert stats["bridge.ended"] == self._calls
            assert (stats["bridge.calls"], stats["bridge.legs"]) == (0, 0)
        return callee.messages
