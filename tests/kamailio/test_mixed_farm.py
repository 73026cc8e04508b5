"""A farm of one Kamailio and one uacproxy: calls that begin at one go on through the other.

Both answer to one address, as that of a balancer before them, and restore with the same
password, so an endpoint may send each request to either. In this mode URIs are replaced and
display names left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.identity_peers import ANY_SIDE, Call, Views, phones
from tests.support.services import Kamailio
from tests.support.uacproxy_process import UacproxyProcess
from uacproxy.ports import HostPort
from uacproxy.sip.name_addr import parse_name_addr

TEMPLATE = Path(__file__).with_name("mixed_farm.cfg")

INI = """\
[sip]
listen = udp:@HERE@
advertise = 127.9.9.9:5060

[store]
url = memory:

[uac]
restore_codec = kamailio
restore_passwd = @PASSWORD@

[rule:out]
replace_from = $hdr(X-From)
replace_to = $hdr(X-To)
relay = yes
"""

PASSWORDS = ["", "s3cret"]

VIEWS = Views(
    b'"Front desk" <sip:alice@a.example>',
    b"<sip:bob@b.example>",
    b'"Front desk" <sip:anonymous@anonymous.invalid>',
    b"<sip:b@z.cc>",
)
SHOWN = [(b"x-from", b"sip:anonymous@anonymous.invalid"), (b"x-to", b"sip:b@z.cc")]


class Farm(NamedTuple):
    """Where its two members listen."""

    kamailio: HostPort
    uacproxy: HostPort
    service: UacproxyProcess


StartFarm = Callable[[str], Farm]


@pytest.fixture
def start_farm(
    start_kamailio: Callable[..., Kamailio], start_uacproxy: Callable[..., UacproxyProcess]
) -> StartFarm:
    def start(password: str) -> Farm:
        one = start_kamailio(TEMPLATE, password=password)
        other = start_uacproxy(INI, password=password)
        return Farm((one.host, one.port), (other.host, other.port), other)

    return start


@pytest.mark.parametrize("hangs_up", ANY_SIDE)
@pytest.mark.parametrize("password", PASSWORDS)
def test_a_call_set_up_through_kamailio_goes_on_through_uacproxy(
    start_farm: StartFarm, password: str, hangs_up: str
) -> None:
    farm = start_farm(password)
    with phones("one", "two") as (caller, callee):
        call = Call(caller, callee, farm.kamailio, VIEWS, SHOWN)
        call.ack(farm.uacproxy)
        call.from_caller(b"INVITE", farm.uacproxy)
        call.from_callee(b"INVITE", farm.uacproxy)
        ANY_SIDE[hangs_up](call, farm.uacproxy)
        VIEWS.nobody_knows_more(caller, callee)
    stats = farm.service.stats()
    assert (stats["proxy.restored"], stats["proxy.restore_failures"]) == (6, 0)


@pytest.mark.parametrize("hangs_up", ANY_SIDE)
@pytest.mark.parametrize("password", PASSWORDS)
def test_a_call_set_up_through_uacproxy_goes_on_through_kamailio(
    start_farm: StartFarm, password: str, hangs_up: str
) -> None:
    farm = start_farm(password)
    with phones("one", "two") as (caller, callee):
        call = Call(caller, callee, farm.uacproxy, VIEWS, SHOWN)
        call.ack(farm.kamailio)
        call.from_caller(b"INVITE", farm.kamailio)
        call.from_callee(b"INVITE", farm.kamailio)
        ANY_SIDE[hangs_up](call, farm.kamailio)
        VIEWS.nobody_knows_more(caller, callee)


@pytest.mark.parametrize("first", ["kamailio", "uacproxy"])
def test_each_request_of_a_call_may_take_the_other_way(start_farm: StartFarm, first: str) -> None:
    farm = start_farm("s3cret")
    here, there = farm.kamailio, farm.uacproxy
    if first == "uacproxy":
        here, there = there, here
    with phones("one", "two") as (caller, callee):
        call = Call(caller, callee, here, VIEWS, SHOWN)
        call.ack(there)
        call.from_callee(b"UPDATE", here)
        call.from_caller(b"INFO", there)
        call.from_caller(b"INVITE", here)
        call.from_callee(b"INVITE", there)
        call.from_callee(b"BYE", here)
        VIEWS.nobody_knows_more(caller, callee)


# From, To, what they become, and the values without and with the password "s3cret"
VECTORS = [
    (
        (b"sip:alice@a.example", b"sip:anonymous@anonymous.invalid"),
        (b"sip:bob@b.example", b"sip:b@z.cc"),
        {
            "": (
                b"AAAAAAACBg0cLQ5bFjgAAx8CHG1vdXMuaW52YWxpZA--",
                b"AAAAAAAvGG4BTWV4YW1wbGU-",
            ),
            "s3cret": (
                b"czNjcmV2dT5/X2svZQtjcXp2b14MBxZaGl0VEwkdFw--",
                b"czNjcmVba11iPwAMEl4THgA-",
            ),
        },
    ),
    (
        (b"sip:alice@a.example", b"sip:x@y"),
        (b"sip:bob@b.example", b"sip:t@t;user=phone"),
        {"": (b"AAAAABksEGNlQGEuZXhhbXBsZQ--", b"AAAAABYvFnsXXQAKXB0YAwtl")},
    ),
]


@pytest.mark.parametrize("password", PASSWORDS)
def test_both_write_the_same_values_into_record_route(start_farm: StartFarm, password: str) -> None:
    farm = start_farm(password)
    for (from_, from_shown), (to, to_shown), values in VECTORS:
        views = Views(*(b"<" + uri + b">" for uri in (from_, to, from_shown, to_shown)))
        with phones("one", "two") as (caller, callee):
            fields = [(b"x-from", from_shown), (b"x-to", to_shown)]
            routes = [
                parse_name_addr(Call(caller, callee, hop, views, fields).route).address
                for hop in (farm.kamailio, farm.uacproxy)
            ]
        written = [(route.param(b"vsf"), route.param(b"vst")) for route in routes]
        assert written[0] == written[1]
        if password in values:
            assert written[0] == values[password]
