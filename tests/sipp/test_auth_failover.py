"""SIPp on both sides of calls that a route script authenticates, and sends on where that fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.challenged_calls import (
    CREDENTIALS,
    SHOWN_FROM,
    SHOWN_TO,
    Pack,
    StartSipp,
    asks,
)
from tests.support.uacproxy_process import UacproxyProcess, uacproxy

INI: Final = (
    CREDENTIALS
    + """
[sip]
listen = udp:@HERE@
t1 = 2s

[routing]
script = route.py
"""
)

# A trunk that asks is answered; one that fails, or refuses the answer, gives way to the next.
SCRIPT: Final = f"""
from uacproxy.routing import @ACTION@, failure_route, request_route

@request_route
def main(ctx):
    ctx.uac.replace_from(*{SHOWN_FROM!r})
    ctx.uac.replace_to(*{SHOWN_TO!r})
    ctx.on_failure("TRUNK")
    return @ACTION@()

@failure_route("TRUNK")
def trunk(ctx):
    ctx.on_failure("TRUNK")
    if ctx.check_status("401|407") and ctx.uac.auth():
        return @ACTION@()
    if ctx.check_status("407|5xx") and ctx["$hdr(X-Then)"] not in ctx["$ru"]:
        ctx["$ru"] = "sip:extension@" + ctx["$hdr(X-Then)"]
        return @ACTION@()
"""


@pytest.fixture(scope="module", params=["relay", "bridge"])
def how(request: pytest.FixtureRequest) -> str:
    """Give what the service does with calls."""
    return str(request.param)


@pytest.fixture(scope="module")
def service(how: str) -> Iterator[UacproxyProcess]:
    """Give the one service of all calls of a kind."""
    with uacproxy(INI, files={"route.py": SCRIPT}, action=how.title()) as running:
        yield running


@pytest.fixture
def pack(start_sipp: StartSipp, service: UacproxyProcess, tmp_path: Path, how: str) -> Pack:
    """Give what runs scenarios."""
    return Pack(start_sipp, service.address, tmp_path, how)


# A first trunk: it fails, or takes no credentials of ours.
FIRST: Final = ["callee_asks_and_fails", "callee_refuses"]


@pytest.mark.parametrize("first", FIRST)
def test_a_trunk_that_asks_nothing_takes_over_with_the_callers_own_numbers(
    pack: Pack, first: str
) -> None:
    """Of kamailio #1359: after a fail-over the ACK had the number of the first trunk."""
    one = pack.callee(first)
    other = pack.callee("callee_asks_nothing")
    pack.caller("caller_calls", one, then=other.uri_host)
    asked, taken = pack.read(one), pack.read(other)
    assert [line.cseq for line in asked.received("INVITE")] == [1, 2]
    assert [line.cseq for line in taken.received("INVITE")] == [1]
    assert taken.answers() == [[]]


def test_a_trunk_that_takes_over_may_ask_as_well(pack: Pack) -> None:
    one = pack.callee("callee_asks_and_fails")
    other = pack.callee("callee_asks_once", how=asks("n9", realm="far.example"))
    pack.caller("caller_calls", one, then=other.uri_host)
    pack.read(one)
    (answer,) = pack.read(other).answers()[1]
    assert (answer.realm, answer.nonce, answer.nc) == ("far.example", "n9", "00000001")


def test_what_a_script_has_answered_once_is_answered_in_the_dialog_without_it(pack: Pack) -> None:
    call = pack.call("caller_renegotiates", "callee_asks_always")
    last = [call.callee.answers(method)[-1] for method in ("INVITE", "BYE")]
    assert [[one.nonce for one in each] for each in last] == [["n2"], ["n3"]]
