"""Calls through a real Kamailio that asks for credentials, at the start and inside the dialog."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.free_ports import LOOPBACK
from tests.support.identity_peers import Call, Endpoint, Views, phones
from tests.support.services import Kamailio
from tests.support.uacproxy_process import UacproxyProcess
from uacproxy.sip.names import CSEQ
from uacproxy.sip.parse import parse_message

TEMPLATE = Path(__file__).with_name("provider_auth.cfg")

PASSWORD = "Watzmann-2713"

INI = """\
[sip]
listen = udp:@HERE@
t1 = 4s

[uac]
credential = trunk7:provider.example:@PASSWORD@

[rule:out]
method = INVITE
replace_from = "Trunk 7" sip:7@trunk.example
replace_to = "Desk" sip:desk@z.example
auth = yes
relay = sip:@PROVIDER@
"""

VIEWS = Views(
    b'"Alice" <sip:alice@a.example>',
    b'"Bob" <sip:bob@b.example>',
    b'"Trunk 7" <sip:7@trunk.example>',
    b'"Desk" <sip:desk@z.example>',
)

SAID = re.compile(r"(asked|took) (\w+) (\d+)")

Start = Callable[..., UacproxyProcess]
StartKamailio = Callable[..., Kamailio]


# A provider who takes each nonce once asks at every request: what it asks and takes, and the
# numbers that reach its extension. Who counts the uses of a nonce asks at each kind of request
# once: the second call is let in at once.
ONCE = (
    "asked INVITE 1, took INVITE 2, asked INVITE 3, took INVITE 4, "
    "asked UPDATE 5, took UPDATE 6, asked BYE 7, took BYE 8",
    "2 INVITE, 2 ACK, 4 INVITE, 4 ACK, 101 INVITE, 6 UPDATE, 8 BYE",
)
COUNTED = (
    ONCE[0] + ", took INVITE 1, took INVITE 2, took UPDATE 3, took BYE 4",
    ONCE[1] + ", 1 INVITE, 1 ACK, 2 INVITE, 2 ACK, 101 INVITE, 3 UPDATE, 4 BYE",
)
AT_CALLER = "1 INVITE, 2 INVITE, 101 INVITE, 101 ACK, 3 UPDATE, 4 BYE"


def numbers(phone: Endpoint) -> str:
    """Return CSeq of every message that came, but of 100s."""
    heard = [parse_message(octets) for octets in dict.fromkeys(phone.heard)]
    return ", ".join(one.need(CSEQ).decode() for one in heard if one.status != 100)


@pytest.mark.parametrize(
    ("algorithm", "nonces", "calls", "expected"),
    [
        ("MD5", "one_time_nonce", 1, ONCE),
        ("SHA-256", "one_time_nonce", 1, ONCE),
        ("SHA-256", "nonce_count", 2, COUNTED),
    ],
)
def test_a_call_is_authenticated_at_its_start_and_at_each_request_after_it(
    start_uacproxy: Start,
    start_kamailio: StartKamailio,
    algorithm: str,
    nonces: str,
    calls: int,
    expected: tuple[str, str],
) -> None:
    with phones("phone", "extension") as (caller, callee):
        provider = start_kamailio(
            TEMPLATE,
            password=PASSWORD,
            algorithm=algorithm,
            nonces=nonces,
            callee=f"{LOOPBACK}:{callee.port}",
        )
        hop = f"{provider.host}:{provider.port}"
        service = start_uacproxy(INI, password=PASSWORD, provider=hop)
        here, there = (service.host, service.port), (provider.host, provider.port)
        for _ in range(calls):
            call = Call(caller, callee, here, VIEWS)
            call.ack(here)
            call.from_caller(b"INVITE", here)
            call.from_callee(b"INVITE", there)
            call.from_caller(b"UPDATE", here)
            call.from_caller(b"BYE", here)
        VIEWS.nobody_knows_more(caller, callee)
        callee.never_heard(b"authorization")
    said = ", ".join(" ".join(words) for words in SAID.findall(provider.server.output))
    assert (said, numbers(callee)) == expected
    assert numbers(caller) == ", ".join([AT_CALLER] * calls)
    assert PASSWORD not in service.output
