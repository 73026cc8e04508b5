"""What an endpoint or a box on the way does to our Record-Route makes nobody known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.support.identity_peers import Call, Endpoint, Views, heads, phones
from tests.support.uacproxy_process import UacproxyProcess, uacproxy
from uacproxy.ports import HostPort
from uacproxy.sip.message import Message
from uacproxy.sip.names import ROUTE
from uacproxy.uac.replace import Identities
from uacproxy.uac.restore import ANONYMOUS
from uacproxy.uac.rr_param import KamailioCodec, SealedCodec

INI = """\
[sip]
listen = udp:@HERE@

[store]
url = memory:

[rule:out]
replace_from = "Trunk 7" sip:7@trunk.example
replace_to = "Desk" sip:desk@z.example
relay = yes
"""

VIEWS = Views(
    b'"Alice" <sip:alice@a.example>',
    b"<sip:bob@b.example>",
    b'"Trunk 7" <sip:7@trunk.example>',
    b'"Desk" <sip:desk@z.example>',
)

Harm = Callable[[bytes, Call, Call], bytes]  # what is done to the route of the first call


def value_of(name: bytes, route: bytes) -> bytes:
    found = re.search(rb";%b=([^;>]*)" % name, route)
    assert found is not None
    return found[1]


def with_value(name: bytes, value: bytes, route: bytes) -> bytes:
    return route.replace(b";%b=%b" % (name, value_of(name, route)), b";%b=%b" % (name, value))


def without(name: bytes, route: bytes) -> bytes:
    return re.sub(rb";%b(=[^;>]*)?(?=[;>])" % name, b"", route)


def flipped(value: bytes) -> bytes:
    """Return another value that differs in one bit, far from what tells the key."""
    return value[:30] + (b"A" if value[30:31] != b"A" else b"B") + value[31:]


def sealed_elsewhere(route: bytes, call: Call) -> bytes:
    """Return the route with values that another service has made for the very same dialog."""
    identities = Identities()
    identities.from_original, identities.from_shown = VIEWS.from_original, VIEWS.from_original
    identities.to_original, identities.to_shown = VIEWS.to_original, VIEWS.to_original
    codec = SealedCodec(b"vsf", b"vst", [bytes(range(32))])
    return filled(route, codec.params(identities, call.invited.call_id, call.invited.from_.tag))


def guessed(route: bytes, call: Call) -> bytes:
    """Return the route with the values Kamailio would write, which anybody can make."""
    identities = Identities()
    identities.from_original, identities.from_shown = VIEWS.from_original, VIEWS.from_shown
    identities.to_original, identities.to_shown = VIEWS.to_original, VIEWS.to_shown
    codec = KamailioCodec(b"vsf", b"vst", b"")
    return filled(route, codec.params(identities, call.invited.call_id, call.invited.from_.tag))


def filled(route: bytes, params: list[tuple[bytes, bytes]]) -> bytes:
    for name, value in params:
        if name in (b"vsf", b"vst"):
            route = with_value(name, value, route)
    return route


HARM: dict[str, Harm] = {
    "forged": lambda route, *_: with_value(b"vsf", value_of(b"vsf", route)[:2] + b"A" * 90, route),
    "one bit flipped": lambda route, *_: with_value(
        b"vsf", flipped(value_of(b"vsf", route)), route
    ),
    "no base64": lambda route, *_: with_value(b"vsf", b"!*'%00", route),
    "emptied": lambda route, *_: with_value(b"vsf", b"", route),
    "truncated by one": lambda route, *_: with_value(b"vsf", value_of(b"vsf", route)[:-1], route),
    "truncated by four": lambda route, *_: with_value(b"vsf", value_of(b"vsf", route)[:-4], route),
    "cut off in a value": lambda route, *_: route[: route.index(b";vsf=") + 20] + b">",
    "cut off between": lambda route, *_: route[: route.index(b";vst=")] + b">",
    "cut off before": lambda route, *_: route[: route.index(b";vsf=")] + b">",
    "exchanged": lambda route, *_: with_value(
        b"vst", value_of(b"vsf", route), with_value(b"vsf", value_of(b"vst", route), route)
    ),
    "replayed": lambda route, _, other: filled(
        route, [(name, value_of(name, other.route)) for name in (b"vsf", b"vst")]
    ),
    "re-keyed": lambda route, call, _: sealed_elsewhere(route, call),
    "guessed": lambda route, call, _: guessed(route, call),
    "From absent": lambda route, *_: without(b"vsf", route),
    "To absent": lambda route, *_: without(b"vst", route),
    "both absent": lambda route, *_: without(b"vsf", without(b"vst", route)),
}
SENDERS = ["caller", "callee"]


class Proxy:
    """The service of all these tests, and how many failures it has counted so far."""

    def __init__(self, service: UacproxyProcess) -> None:
        self._service = service
        self._seen = 0.0
        self.address: HostPort = (service.host, service.port)

    def new_failures(self) -> float:
        """Return how many there were since the last look."""
        before, self._seen = self._seen, self._service.stats()["proxy.restore_failures"]
        return self._seen - before


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with uacproxy(INI) as service:
        yield Proxy(service)


@pytest.fixture
def ends() -> Iterator[list[Endpoint]]:
    with phones("one", "two") as made:
        yield made


def a_call(ends: list[Endpoint], hop: HostPort) -> Call:
    caller, callee = ends
    call = Call(caller, callee, hop, VIEWS)
    call.ack(hop)
    return call


def bye_by(sender: str, ends: list[Endpoint], call: Call, hop: HostPort, route: bytes) -> Message:
    """End the call with another Route than the right one; return the BYE as it was heard."""
    one, other = ends if sender == "caller" else ends[::-1]
    bye = (call.caller_end if sender == "caller" else call.callee_end).request(b"BYE")
    bye.set(ROUTE, route)
    sent = one.send(bye, hop)
    heard = other.hears_request(b"BYE")
    assert (heard.from_.tag, heard.to.tag) == (sent.from_.tag, sent.to.tag)
    other.answer(heard, 200)
    assert heads(one.hears_response(b"BYE", 200)) == heads(sent)
    return heard


def check_that_nothing_is_known(ends: list[Endpoint]) -> None:
    caller, callee = ends
    VIEWS.nobody_knows_more(caller, callee)
    callee.never_heard(b"Alice")


@pytest.mark.parametrize("harm", HARM)
def test_the_callee_learns_nothing_from_a_route_that_came_back_broken(
    proxy: Proxy, ends: list[Endpoint], harm: str
) -> None:
    hop = proxy.address
    call, other = a_call(ends, hop), a_call(ends, hop)
    heard = bye_by("caller", ends, call, hop, HARM[harm](call.route, call, other))
    assert heard.from_.head in (ANONYMOUS, VIEWS.from_shown)
    assert heard.to.head in (ANONYMOUS, VIEWS.to_shown)
    other.from_caller(b"BYE", hop)
    a_call(ends, hop).from_callee(b"BYE", hop)
    check_that_nothing_is_known(ends)
    assert proxy.new_failures() == 1


@pytest.mark.parametrize("harm", HARM)
def test_a_broken_route_of_the_callee_is_counted_and_names_no_one_new(
    proxy: Proxy, ends: list[Endpoint], harm: str
) -> None:
    hop = proxy.address
    call, other = a_call(ends, hop), a_call(ends, hop)
    heard = bye_by("callee", ends, call, hop, HARM[harm](call.route, call, other))
    assert heard.from_.head in (ANONYMOUS, VIEWS.to_original)
    assert heard.to.head in (VIEWS.from_shown, VIEWS.from_original)
    other.from_callee(b"BYE", hop)
    ends[1].never_heard(b"Alice", b"alice@a.example")
    assert proxy.new_failures() == 1


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("ftag", ["absent", "forged", "the other's"])
def test_who_pretends_to_be_the_other_side_makes_nobody_known(
    proxy: Proxy, ends: list[Endpoint], ftag: str, sender: str
) -> None:
    hop = proxy.address
    call = a_call(ends, hop)
    route = without(b"ftag", call.route)
    if ftag != "absent":
        tag = call.final.to.tag if ftag == "the other's" else b"forged"
        route = route.replace(b";vsf=", b";ftag=%b;vsf=" % tag)
    heard = bye_by(sender, ends, call, hop, route)
    if sender == "caller":  # who calls itself the callee may say whom it has dialled
        assert heads(heard) in (
            (ANONYMOUS, ANONYMOUS),
            (ANONYMOUS, VIEWS.to_original),
            VIEWS.at_callee,
        )
    ends[1].never_heard(b"Alice", b"alice@a.example")
    a_call(ends, hop).from_caller(b"BYE", hop)
    assert proxy.new_failures() <= 1


def test_an_endpoint_that_alters_its_own_from_is_shown_as_before(
    proxy: Proxy, ends: list[Endpoint]
) -> None:
    hop = proxy.address
    call = a_call(ends, hop)
    call.caller_end.local = b"Alice Liddell <sip:+49301@a.example>" + call.final.from_.tail
    heard = bye_by("caller", ends, call, hop, call.route)
    assert heads(heard) == VIEWS.at_callee
    check_that_nothing_is_known(ends)
    ends[1].never_heard(b"Liddell", b"+49301")
