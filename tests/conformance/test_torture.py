"""The torture messages of RFC 4475 and RFC 5118, one by one, through the whole core.

``tests/data/torture/index.json`` lists what a proxy may do with each, best first. What we
do is asserted here; where it is not the best, docs/decisions says why.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.world import CALLEE, CALLER, World
from uacproxy.sip.framing import Framer, StreamBroken
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    CALL_ID,
    CONTACT,
    CONTENT_LENGTH,
    CSEQ,
    FROM,
    MAX_FORWARDS,
    RECORD_ROUTE,
    ROUTE,
    TO,
    UNSUPPORTED,
    VIA,
)
from uacproxy.sip.parse import parse_message

FOLDER = Path(__file__).parents[1] / "data" / "torture"
INDEX: dict[str, dict[str, Any]] = {
    entry["name"]: entry for entry in json.loads((FOLDER / "index.json").read_text())["messages"]
}

SCRIPT = """
from uacproxy.routing import Relay, request_route

@request_route
def main(ctx):
    return Relay("sip:192.0.2.2")
"""

NOT_THE_BEST = {"regbadct": "forward", "mismatch02": 400, "ipv6-in-sdp": 400}
"""docs/decisions/0005-torture-messages-we-read-otherwise.md"""

OURS_TO_CHANGE = {VIA, MAX_FORWARDS, RECORD_ROUTE}


def octets_of(name: str) -> bytes:
    return (FOLDER / str(INDEX[name]["file"])).read_bytes()


def world_with(name: str) -> World:
    """Return a proxy that has just received one torture message."""
    world = World(SCRIPT)
    world.names[b"services.example.com"] = [CALLEE]
    world.receive(octets_of(name))
    return world


def outcome(world: World) -> str | int:
    """Say what the world did, in the index's words."""
    if world.sent_to(CALLEE):
        return "forward"
    finals = [message.status for message in answers(world) if message.status >= 200]
    return finals[0] if finals else "drop"


def answers(world: World) -> list[Message]:
    """Return what went back to the sender's address, to whichever port its Via names."""
    return [parse_message(octets) for _, to, _, octets in world.sent if to[0] == CALLER[0]]


def forwarded(name: str) -> Message:
    world = world_with(name)
    (message,) = world.sent_to(CALLEE)
    return message


def refusal(name: str) -> Message:
    world = world_with(name)
    assert world.sent_to(CALLEE) == []
    assert {to for _, to, _, _ in world.sent} == {(CALLER[0], INDEX[name]["reply_port"])}
    return answers(world)[-1]


def test_every_message_of_both_rfcs_is_here_unchanged() -> None:
    assert len(INDEX) == 65
    assert len(list(FOLDER.glob("*.dat"))) == 65
    for name, entry in INDEX.items():
        octets = octets_of(name)
        assert (len(octets), hashlib.sha256(octets).hexdigest()) == (
            entry["bytes"],
            entry["sha256"],
        )


@pytest.mark.parametrize("name", INDEX)
def test_a_torture_message_has_the_outcome_the_rfc_names(name: str) -> None:
    acceptable = INDEX[name]["proxy"]
    assert outcome(world_with(name)) == NOT_THE_BEST.get(name, acceptable[0])
    assert NOT_THE_BEST.get(name, acceptable[0]) in acceptable


@pytest.mark.parametrize("name", INDEX)
def test_what_is_dropped_is_counted(name: str) -> None:
    world = world_with(name)
    counted = (
        world.transport_counters.malformed
        + world.transport_counters.strays
        + world.counters.stray_responses
        + world.counters.rejected
    )
    assert (counted > 0) == (outcome(world) != "forward")
    assert world.transport_counters.own_mistakes == 0


FORWARDED = [
    name for name, entry in INDEX.items() if NOT_THE_BEST.get(name, entry["proxy"][0]) == "forward"
]


@pytest.mark.parametrize("name", FORWARDED)
def test_a_forwarded_message_keeps_every_octet_nobody_had_to_change(name: str) -> None:
    before = parse_message(octets_of(name))
    after = forwarded(name)
    if not before.has(CONTENT_LENGTH):
        assert after.names[-1] == CONTENT_LENGTH
        assert after.lines[-1] == b"Content-Length: %d" % len(before.body)
        after.remove(CONTENT_LENGTH)
    assert set(after.names) - set(before.names) <= {MAX_FORWARDS, RECORD_ROUTE}
    assert after.start == before.start
    assert after.body == before.body
    assert untouched(after) == untouched(before)
    # Vias: ours on top, then theirs; only the top one may have been marked (18.2.1)
    transport = b"TCP" if len(before.encode()) > 1200 else b"UDP"  # 18.1.1
    ours = b"SIP/2.0/" + transport + b" 192.0.2.100:5060;rport;branch=z9hG4bK"
    assert after.values(VIA)[0].startswith(ours)
    assert after.values(VIA)[2:] == before.values(VIA)[1:]
    assert lines_of(after, VIA)[2:] == lines_of(before, VIA)[1:]
    hops = before.max_forwards
    assert after.max_forwards == (70 if hops is None else hops - 1)


def untouched(message: Message) -> list[bytes]:
    return [
        line
        for name, line in zip(message.names, message.lines, strict=True)
        if name not in OURS_TO_CHANGE
    ]


def lines_of(message: Message, wanted: bytes) -> list[bytes]:
    return [line for name, line in zip(message.names, message.lines, strict=True) if name == wanted]


REFUSED = [
    name
    for name, entry in INDEX.items()
    if isinstance(NOT_THE_BEST.get(name, entry["proxy"][0]), int)
]


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_goes_back_the_way_the_request_came(name: str) -> None:
    response = refusal(name)
    assert response.status in INDEX[name]["proxy"]
    request = octets_of(name)
    for field in (FROM, CALL_ID, CSEQ):
        for line in lines_of(response, field):
            assert line + b"\r\n" in request
    assert response.via.sent_by in request
    assert response.body == b""


# -- RFC 4475 3.1.1: valid, and unusual ------------------------------------------------------


def test_wsinv_loses_one_hop_and_keeps_its_folds() -> None:
    message = forwarded("wsinv")
    assert b"MaX-fOrWaRdS: 67" in message.lines
    assert b"NewFangledHeader:   newfangled value\r\n continued newfangled value" in message.lines
    assert b"UnknownHeaderWithUnusualValue: ;;,,;;,;" in message.lines
    assert (message.cseq.number, message.from_.display) == (9, b'"J Rosenberg \\\\\\""')
    assert [via.partition(b";")[0].split()[-1] for via in message.values(VIA)] == [
        b"192.0.2.100:5060",
        b"192.0.2.2",
        b"spindle.example.com",
        b"192.168.255.111",
    ]


def test_intmeth_keeps_its_method_and_every_odd_character() -> None:
    message = forwarded("intmeth")
    assert message.method == b"!interesting-Method0123456789_*+`.%indeed'~"
    assert b'"BEL:\\\x07 NUL:\\\0 DEL:\\\x7f"' in message.to.raw
    assert message.from_.tag == b"_token~1'+`*%!-."


def test_esc01_and_semiuri_keep_the_user_as_it_was_escaped() -> None:
    assert forwarded("esc01").request_uri == b"sip:sips%3Auser%40example.com@example.net"
    user = forwarded("semiuri").uri.user
    assert user == b"user;par=u%40example.net"


def test_esc02_is_no_register() -> None:
    world = World(SCRIPT, domains=[b"registrar.example.com"])
    world.receive(octets_of("esc02"))
    assert world.last_to(CALLEE).method == b"RE%47IST%45R"


def test_escnull_is_not_cut_at_a_null() -> None:
    contacts = [contact.uri for contact in forwarded("escnull").addresses(CONTACT)]
    assert contacts == [b"sip:%00@host5.example.com", b"sip:%00%00@host5.example.com"]


def test_longreq_keeps_its_vias_in_order() -> None:
    hosts = [via.split()[1].partition(b";")[0] for via in forwarded("longreq").values(VIA)]
    numbered = [b"sip%d.example.com" % number for number in range(33, 0, -1)]
    assert hosts == [b"192.0.2.100:5060", *numbered, b"host.example.com"]


def test_dblreq_ends_where_its_length_says() -> None:
    world = world_with("dblreq")
    assert world.kinds_to(CALLEE) == ["REGISTER"]
    assert world.kinds_to(CALLER) == []
    (octets,) = [octets for _, to, _, octets in world.sent if to == CALLEE]
    assert octets.endswith(b"\r\n\r\n") and b"INVITE" not in octets


def test_transports_of_every_kind_survive() -> None:
    kinds = [via.split()[0].rpartition(b"/")[2] for via in forwarded("transports").values(VIA)]
    assert kinds == [b"UDP", b"UDP", b"SCTP", b"TLS", b"UNKNOWN", b"TCP"]


def test_mpart01_has_its_binary_body_octet_for_octet() -> None:
    octets = octets_of("mpart01")
    sent = forwarded("mpart01")
    assert octets.endswith(b"\r\n\r\n" + sent.body)
    assert b"\0" in sent.body


# -- RFC 4475 3.1.2 and 3.2: invalid -----------------------------------------------------------


def test_badinv01_is_answered_though_its_via_is_half_nonsense() -> None:
    response = refusal("badinv01")
    assert response.values(VIA)[0].startswith(b"SIP/2.0/UDP 192.0.2.15")


def test_clerr_waits_on_a_stream_and_ncl_breaks_it() -> None:
    framer = Framer()
    frames: list[bytes] = []
    framer.feed(octets_of("clerr"), frames)
    assert (frames, framer.pending) == ([], len(octets_of("clerr")))
    for name in ("ncl", "mcl01"):
        with pytest.raises(StreamBroken) as caught:
            Framer().feed(octets_of(name), [])
        assert caught.value.status == 400


@pytest.mark.parametrize("name", ["lwsruri", "lwsstart", "trws", "ltgtruri", "escruri"])
def test_a_request_uri_out_of_shape_is_never_mended(name: str) -> None:
    world = world_with(name)
    assert outcome(world) == 400
    assert all(b"Route:" not in octets for _, _, _, octets in world.sent)


def test_baddn_without_its_empty_line_is_refused_like_the_whole_one() -> None:
    assert refusal("baddn").status == refusal("baddn_term").status == 400


# -- RFC 4475 3.3 and 3.4: transactions and older elements ---------------------------------------


def test_bext01_is_told_what_the_proxy_lacks() -> None:
    response = refusal("bext01")
    request = parse_message(octets_of("bext01"))
    assert response.values(UNSUPPORTED) == request.values(b"proxy-require")
    assert response.values(UNSUPPORTED) != []


@pytest.mark.parametrize("name", ["unkscm", "novelsc"])
def test_an_unknown_scheme_is_not_routed_by_its_to(name: str) -> None:
    world = World(SCRIPT)
    world.names[b"example.com"] = [CALLEE]
    world.receive(octets_of(name))
    assert outcome(world) == 416


def test_unksm2_keeps_schemes_nobody_knows() -> None:
    message = forwarded("unksm2")
    assert message.to.uri.startswith(b"isbn:")
    assert message.from_.uri.startswith(b"http:")


def test_bcast_is_sent_to_nobody() -> None:
    world = world_with("bcast")
    assert world.sent == []


def test_a_stray_response_with_our_via_on_top_goes_no_further() -> None:
    for name in ("bcast", "unreason", "noreason"):
        world = World(SCRIPT)
        world.receive(
            octets_of(name).replace(b"\r\nVia: ", b"\r\nVia: SIP/2.0/UDP 192.0.2.100\r\nVia: ", 1)
        )
        assert (world.sent, world.counters.stray_responses) == ([], 1)


def test_zeromf_may_be_answered_by_whom_it_is_for() -> None:
    assert refusal("zeromf").status == 483


def test_inv2543_gets_its_hops_and_matches_its_retransmission() -> None:
    world = world_with("inv2543")
    message = world.last_to(CALLEE)
    assert (message.max_forwards, message.from_.tag) == (70, b"")
    world.receive(octets_of("inv2543"))
    assert world.kinds_to(CALLEE) == ["INVITE"]


def test_regescrt_keeps_the_header_in_its_contact() -> None:
    message = forwarded("regescrt")
    assert message.addresses(CONTACT)[0].address.headers.startswith(b"Route=")
    assert not message.has(ROUTE)


# -- RFC 5118 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [
        ("ipv6-good", b"[2001:db8::10]", None),
        ("port-ambiguous", b"[2001:db8::10:5070]", None),
        ("port-unambiguous", b"[2001:db8::10]", 5070),
        ("ipv6-correct-abnf-2-colons", b"[2001:db8::192.0.2.1]", None),
    ],
)
def test_an_ipv6_reference_ends_at_its_bracket(name: str, host: bytes, port: int | None) -> None:
    uri = forwarded(name).uri
    assert (uri.host, uri.port) == (host, port)


@pytest.mark.parametrize("name", ["mult-ip-in-sdp", "ipv4-mapped-ipv6"])
def test_a_body_longer_than_its_length_is_cut_there(name: str) -> None:
    message = forwarded(name)
    assert len(message.body) == int(message.need(CONTENT_LENGTH))
    assert octets_of(name).count(message.body) == 1
    assert not octets_of(name).endswith(message.body)


def test_a_request_to_a_domain_of_ours_goes_to_the_registrar() -> None:
    for name, entry in INDEX.items():
        if "local" not in entry["proxy"]:
            continue
        uri = parse_message(octets_of(name)).uri
        world = World(SCRIPT, domains=[uri.host])
        world.receive(octets_of(name))
        assert world.kinds_to(CALLER) == ["200"]
        assert world.last_to(CALLER).to.tag != b""
        assert world.last_to(CALLER).has(TO)
