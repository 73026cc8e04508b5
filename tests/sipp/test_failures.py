"""SIPp on both sides of calls that do not come about, or not as the caller meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.challenged_calls import AT_CALLEE, AT_CALLER
from tests.support.services import Sipp
from tests.support.sipp_scenarios import as_played
from tests.support.sipp_trace import Side
from tests.support.uacproxy_process import UacproxyProcess

SCENARIOS = Path(__file__).parent / "scenarios"

INI = """\
[sip]
listen = udp:@HERE@ tcp:@HERE@
t1 = 4s
t4 = 100ms

[rule:out]
method = INVITE
replace_from = "Trunk 7" sip:7@trunk.example
replace_to = "Desk" sip:desk@z.example
@HOW@ = sip:@CALLEE@;transport=@TRANSPORT@
"""

SOCKETS = {"udp": "u1", "tcp": "t1"}  # SIPp's words

Start = Callable[..., UacproxyProcess]
StartSipp = Callable[..., Sipp]


@pytest.mark.parametrize("how", ["relay", "bridge"])
@pytest.mark.parametrize(
    ("caller", "callee", "transport"),
    [
        ("caller_cancels.xml", "callee_is_cancelled.xml", "udp"),
        ("caller_cancels.xml", "callee_is_cancelled.xml", "tcp"),
        ("caller_cancels_late.xml", "callee_answers_the_cancelled.xml", "udp"),
        ("caller_cancels_late.xml", "callee_answers_the_cancelled.xml", "tcp"),
        ("caller_meets_busy.xml", "callee_is_busy.xml", "udp"),
        ("caller_is_redirected.xml", "callee_redirects.xml", "tcp"),
    ],
)
def test_both_sides_hear_how_a_call_ended(
    start_uacproxy: Start,
    start_sipp: StartSipp,
    tmp_path: Path,
    caller: str,
    callee: str,
    transport: str,
    how: str,
) -> None:
    few = ["-t", SOCKETS[transport], "-m", "5", "-cid_str", "%u-%p-%s"]
    called = start_sipp(as_played(SCENARIOS / callee, how, tmp_path), "", *few)
    called.wait_until_listening()
    service = start_uacproxy(INI, callee=called.uri_host, transport=transport, how=how)
    if (how, caller) == ("bridge", "caller_cancels_late.xml"):
        caller = "caller_cancels.xml"  # a bridge answers 487 at once, and ends what comes late
    played = as_played(SCENARIOS / caller, how, tmp_path)
    calling = start_sipp(played, service.address, *few, "-r", "10").finish()
    calling.check()
    ended = called.finish()
    ended.check()
    Side(calling.messages, AT_CALLER)
    Side(ended.messages, AT_CALLEE)
    stats = service.stats()
    assert (stats["transaction.sent_again"], stats["transaction.retransmissions"]) == (0, 0)
    assert (stats["transaction.timeouts"], stats["transaction.no_ack"]) == (0, 0)
