"""A fork of which one branch is challenged: two dialogs, each with numbers of its own.

Of Kamailio #3360: there a branch failure route could not authenticate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.support.challenged_calls import CREDENTIALS, PASSWORDS, asks
from tests.support.endpoint import Caller, Endpoint, Heard
from tests.support.sipp_trace import answers_in
from tests.support.uacproxy_process import UacproxyProcess

INI: Final = (
    CREDENTIALS
    + """
[sip]
listen = udp:@HERE@

[store]
url = memory:

[routing]
script = route.py
"""
)

SCRIPT: Final = """
from uacproxy.routing import Relay, branch_failure_route, request_route

@request_route
def main(ctx):
    ctx.uac.replace_from('"Trunk 7"', "sip:7@trunk.example")
    ctx.on_branch_failure("ASKED")
    return Relay("sip:one@@ONE@", "sip:two@@TWO@", parallel=True)

@branch_failure_route("ASKED")
def asked(ctx):
    if ctx.check_status("401|407") and ctx.uac.auth():
        return Relay()
"""

Start = Callable[..., UacproxyProcess]


def number(heard: Heard) -> int:
    """Return that of CSeq."""
    return int(heard.get("cseq").split()[0])


def test_of_two_callees_who_both_answer_each_keeps_the_numbers_it_knows(
    start_uacproxy: Start,
) -> None:
    with Endpoint("caller") as caller, Endpoint("one") as one, Endpoint("two") as two:
        service = start_uacproxy(INI, files={"route.py": SCRIPT}, one=one.address, two=two.address)
        call = Caller(caller, service.address)
        call.invite()
        first = one.hears("INVITE")
        at_two = two.hears("INVITE")
        two.answers(at_two, "180 Ringing", service.address, tag="b2")
        more = asks("n1") + "\r\n"
        one.answers(first, "407 Proxy Authentication Required", service.address, tag="c", more=more)
        assert number(one.hears("ACK")) == 1
        at_one = one.hears("INVITE")  # while the other still rings
        (answer,) = answers_in(at_one)
        assert answer.is_right(PASSWORDS["provider.example"], "INVITE")
        assert (number(first), number(at_one), number(at_two)) == (1, 2, 1)
        one.answers(at_one, "200 OK", service.address, tag="b1", more=one.contact)
        two.answers(at_two, "200 OK", service.address, tag="b2", more=two.contact)
        finals = [hears_200(caller), hears_200(caller)]
        ahead = {"b1": (one, 1), "b2": (two, 0)}
        assert {final.to_tag for final in finals} == set(ahead)
        for final in finals:
            callee, by = ahead[final.to_tag]
            assert final.get("cseq") == "1 INVITE"
            call.in_dialog("ACK", final, 1)
            ack = callee.hears_any("CANCEL", "ACK")
            assert number(ack) == 1 + by
            if ack.kind == "CANCEL":  # it crossed the 200
                assert number(callee.hears("ACK")) == 1 + by
            call.in_dialog("BYE", final, 2)
            bye = callee.hears("BYE")
            assert number(bye) == 2 + by
            assert bye.get("from").startswith('"Trunk 7" <sip:7@trunk.example>')
            callee.answers(bye, "200 OK", service.address)
            assert caller.hears("200").get("cseq") == "2 BYE"


def hears_200(caller: Endpoint) -> Heard:
    """Return the next 200, whatever provisional responses come before it."""
    heard = caller.hears_any("100", "180", "200")
    while heard.kind != "200":
        heard = caller.hears_any("100", "180", "200")
    return heard
