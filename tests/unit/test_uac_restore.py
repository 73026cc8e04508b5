"""Later requests and responses of a dialog with replaced identities."""

from __future__ import annotations

import pytest

from uacproxy.sip.message import Message
from uacproxy.sip.names import FROM, TO
from uacproxy.sip.parse import parse_message
from uacproxy.sip.uri import Uri, parse_uri
from uacproxy.uac.replace import Identities
from uacproxy.uac.restore import (
    ANONYMOUS,
    direction,
    restore_from_identities,
    restore_request,
    restore_response,
)
from uacproxy.uac.rr_param import KamailioCodec, RestoreCodec, SealedCodec

FROM_CALLER = b'"Alice" <sip:alice@a.example>'
FROM_SHOWN = b'"Anon" <sip:anonymous@anonymous.invalid>'
TO_DIALLED = b"sip:bob@b.example"
TO_SHOWN = b"<sip:49123@gw.example;user=phone>"
BOTH = Identities(FROM_CALLER, FROM_SHOWN, TO_DIALLED, TO_SHOWN)

SEALED: RestoreCodec = SealedCodec(b"vsf", b"vst", [bytes(32)])
KAMAILIO: RestoreCodec = KamailioCodec(b"vsf", b"vst", b"s3cret")
STRICT: RestoreCodec = KamailioCodec(b"vsf", b"vst", b"s3cret", hide_on_failure=True)


def route_for(codec: RestoreCodec, identities: Identities = BOTH, *, more: bytes = b"") -> Uri:
    params = codec.params(identities, b"c1", b"at")
    raw = b"".join(b";" + name + b"=" + value for name, value in params)
    return parse_uri(b"sip:p.example;lr;ftag=at" + raw + more)


def request_with(from_line: bytes, to_line: bytes, call_id: bytes = b"c1") -> Message:
    return parse_message(
        b"BYE sip:x@peer SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bKa\r\n%s\r\n%s\r\n"
        b"Call-ID: %s\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n" % (from_line, to_line, call_id)
    )


def from_caller(call_id: bytes = b"c1") -> Message:
    return request_with(
        b"From: " + FROM_CALLER + b";tag=at;x=1", b"To: " + TO_DIALLED + b";tag=bt", call_id
    )


def from_callee(call_id: bytes = b"c1") -> Message:
    return request_with(
        b"f: " + TO_SHOWN + b";tag=bt", b"t: " + FROM_SHOWN + b";tag=at;x=1", call_id
    )


def response_to(from_line: bytes, to_line: bytes) -> Message:
    return parse_message(
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP p;branch=z9hG4bKa\r\n%s\r\n%s\r\n"
        b"Call-ID: c1\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n" % (from_line, to_line)
    )


# -- direction -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "from_line", "toward_callee"),
    [
        (b";ftag=at", b"From: <sip:a@b>;tag=at", True),
        (b";ftag=at", b"From: <sip:a@b>;tag=bt", False),
        (b";ftag=at", b"From: <sip:a@b>;tag=AT", False),
        (b";ftag=at", b"From: <sip:a@b>", True),
        (b";ftag", b"From: <sip:a@b>;tag=bt", True),
        (b"", b"From: <sip:a@b>;tag=bt", True),
    ],
)
def test_the_direction_follows_from_the_callers_tag_in_the_route(
    params: bytes, from_line: bytes, toward_callee: bool
) -> None:
    request = request_with(from_line, b"To: <sip:c@d>;tag=at")
    assert direction(parse_uri(b"sip:p;lr" + params), request) is toward_callee


# -- requests ------------------------------------------------------------------------


def test_toward_the_callee_both_fields_show_what_they_showed_first() -> None:
    request = from_caller()
    restored = restore_request(request, route_for(SEALED), SEALED, True)
    assert request.from_.raw == FROM_SHOWN + b";tag=at;x=1"
    assert request.to.raw == TO_SHOWN + b";tag=bt"
    assert (restored.from_changed, restored.to_changed, restored.failed) == (True, True, "")


def test_toward_the_caller_both_fields_show_what_it_wrote_and_dialled() -> None:
    request = from_callee()
    restored = restore_request(request, route_for(SEALED), SEALED, False)
    assert request.lines[1] == b"f: " + TO_DIALLED + b";tag=bt"
    assert request.lines[2] == b"t: " + FROM_CALLER + b";tag=at;x=1"
    assert (restored.from_changed, restored.to_changed, restored.failed) == (True, True, "")


def test_sealed_identities_do_not_depend_on_what_the_endpoint_wrote() -> None:
    downstream = request_with(b"From: <sip:changed@a.example>;tag=at", b"To: Bob <sip:b@c>;tag=bt")
    upstream = request_with(b"From: sip:bob@192.0.2.1;tag=bt", b'To: "" <tel:+1>;tag=at')
    restore_request(downstream, route_for(SEALED), SEALED, True)
    restore_request(upstream, route_for(SEALED), SEALED, False)
    assert (downstream.from_.head, downstream.to.head) == (FROM_SHOWN, TO_SHOWN)
    assert (upstream.from_.head, upstream.to.head) == (TO_DIALLED, FROM_CALLER)


def test_kamailio_values_restore_uris_and_leave_display_names() -> None:
    downstream, upstream = from_caller(), from_callee()
    restore_request(downstream, route_for(KAMAILIO), KAMAILIO, True)
    restore_request(upstream, route_for(KAMAILIO), KAMAILIO, False)
    assert downstream.from_.raw == b'"Alice" <sip:anonymous@anonymous.invalid>;tag=at;x=1'
    assert downstream.to.raw == TO_SHOWN + b";tag=bt"
    assert upstream.from_.raw == b"<sip:bob@b.example>;tag=bt"
    assert upstream.to.raw == b'"Anon" <sip:alice@a.example>;tag=at;x=1'


@pytest.mark.parametrize("codec", [SEALED, KAMAILIO])
def test_only_the_replaced_field_changes(codec: RestoreCodec) -> None:
    only_to = Identities(b"", b"", TO_DIALLED, TO_SHOWN)
    downstream, upstream = from_caller(), from_callee()
    down = restore_request(downstream, route_for(codec, only_to), codec, True)
    up = restore_request(upstream, route_for(codec, only_to), codec, False)
    assert (down.from_changed, down.to_changed) == (False, True)
    assert (up.from_changed, up.to_changed) == (True, False)
    assert downstream.from_.head == FROM_CALLER
    assert upstream.to.head == FROM_SHOWN


@pytest.mark.parametrize("toward_callee", [True, False])
@pytest.mark.parametrize("order", [(FROM, TO), (TO, FROM)])
def test_a_script_may_restore_one_field_at_a_time(
    toward_callee: bool, order: tuple[bytes, bytes]
) -> None:
    request = from_caller() if toward_callee else from_callee()
    both = request.branch_copy()
    route = route_for(SEALED)
    restore_request(both, route, SEALED, toward_callee)
    first, second = (restore_request(request, route, SEALED, toward_callee, one) for one in order)
    from_first = (order[0] == FROM) is toward_callee
    assert (first.from_changed, first.to_changed) == (from_first, not from_first)
    assert (second.from_changed, second.to_changed) == (not from_first, from_first)
    assert request.encode() == both.encode()
    assert first.params == second.params


def test_a_request_that_is_right_already_is_not_edited() -> None:
    request = request_with(b"From: " + FROM_SHOWN + b";tag=at", b"To: " + TO_SHOWN + b";tag=bt")
    octets = request.encode()
    restored = restore_request(request, route_for(SEALED), SEALED, True)
    assert (restored.from_changed, restored.to_changed) == (False, False)
    assert request.encode() == octets


def test_a_route_without_identities_changes_nothing() -> None:
    for route in (b"sip:p", b"sip:p;lr;ftag=at"):
        request = from_caller()
        restored = restore_request(request, parse_uri(route), SEALED, True)
        assert request.encode() == from_caller().encode()
        assert (restored.params, restored.failed) == ([], "")


def test_the_parameters_to_repeat_are_those_of_the_route() -> None:
    route = route_for(SEALED)
    restored = restore_request(from_caller(), route, SEALED, True)
    assert restored.params == SEALED.params(BOTH, b"c1", b"at")


# -- values that cannot be read ------------------------------------------------------

NO_LEAK = [
    # toward the callee, what is broken -> From, To as the receiver gets them
    (True, b"vsf", ANONYMOUS, TO_SHOWN),
    (True, b"vst", FROM_SHOWN, ANONYMOUS),
    (True, b"both", ANONYMOUS, ANONYMOUS),
    (False, b"vsf", TO_DIALLED, FROM_SHOWN),
    (False, b"vst", ANONYMOUS, FROM_CALLER),
    (False, b"both", ANONYMOUS, FROM_SHOWN),
]


def broken(route: Uri, what: bytes) -> Uri:
    raw = route.raw
    for name in (b"vsf", b"vst") if what == b"both" else (what,):
        value = route.param(name)
        assert value
        raw = raw.replace(value, value[:-6] + b"AAAAAA")
    return parse_uri(raw)


@pytest.mark.parametrize(("toward_callee", "what", "from_head", "to_head"), NO_LEAK)
def test_a_broken_sealed_value_makes_no_identity_known(
    toward_callee: bool, what: bytes, from_head: bytes, to_head: bytes
) -> None:
    request = from_caller() if toward_callee else from_callee()
    tags = (request.from_.tail, request.to.tail)
    route = broken(route_for(SEALED), what)
    restored = restore_request(request, route, SEALED, toward_callee)
    assert (request.from_.head, request.to.head) == (from_head, to_head)
    assert (request.from_.tail, request.to.tail) == tags
    assert restored.failed == "altered"
    assert restored.from_changed
    assert [name for name, _ in restored.params] == [b"hid", b"vsf", b"vst"]


def test_a_value_of_another_dialog_makes_no_identity_known() -> None:
    request = from_caller(call_id=b"c2")
    restored = restore_request(request, route_for(SEALED), SEALED, True)
    assert (request.from_.head, request.to.head) == (ANONYMOUS, ANONYMOUS)
    assert restored.failed == "altered"


def test_a_value_under_a_key_we_do_not_have_makes_no_identity_known() -> None:
    request = from_caller()
    rekeyed = SealedCodec(b"vsf", b"vst", [b"another key of thirty-two octets"])
    restored = restore_request(request, route_for(SEALED), rekeyed, True)
    assert (request.from_.head, request.to.head) == (ANONYMOUS, ANONYMOUS)
    assert restored.failed == "unreadable"


def test_a_lie_about_the_direction_makes_no_identity_known() -> None:
    request = from_callee()
    route = parse_uri(route_for(SEALED).raw.replace(b"ftag=at", b"ftag=bt"))
    restored = restore_request(request, route, SEALED, direction(route, request))
    assert (request.from_.head, request.to.head) == (ANONYMOUS, ANONYMOUS)
    assert restored.failed == "altered"


KAMAILIO_FAILURES = [
    b"From: <sip:alice@longer.than.the.other.uri.anonymous.example>;tag=at",
    b"From: sip:mallory@a.example;tag=at",
]


@pytest.mark.parametrize("line", KAMAILIO_FAILURES)
def test_a_kamailio_value_that_makes_no_sense_leaves_the_field_as_it_came(line: bytes) -> None:
    request = request_with(line, b"To: " + TO_DIALLED + b";tag=bt")
    restored = restore_request(request, route_for(KAMAILIO), KAMAILIO, True)
    assert request.lines[1] == line
    assert request.to.head == TO_SHOWN
    assert (restored.from_changed, restored.to_changed) == (False, True)
    assert restored.failed == "altered"


@pytest.mark.parametrize("line", KAMAILIO_FAILURES)
def test_it_makes_no_identity_known_where_that_is_asked_for(line: bytes) -> None:
    request = request_with(line, b"To: " + TO_DIALLED + b";tag=bt")
    restored = restore_request(request, route_for(STRICT), STRICT, True)
    assert request.lines[1] == b"From: " + ANONYMOUS + b";tag=at"
    assert (restored.from_changed, restored.failed) == (True, "altered")


def test_a_broken_kamailio_value_is_still_repeated() -> None:
    restored = restore_request(from_caller(), parse_uri(b"sip:p;lr;vsf=!!"), KAMAILIO, True)
    assert (restored.params, restored.failed) == ([(b"vsf", b"!!")], "altered")


# -- identities kept with the dialog --------------------------------------------------


def test_identities_of_a_dialog_restore_in_both_directions() -> None:
    downstream = request_with(b"From: <sip:changed@a>;tag=at", b"To: sip:other@b;tag=bt;y")
    upstream = from_callee()
    down = restore_from_identities(downstream, BOTH, True)
    up = restore_from_identities(upstream, BOTH, False)
    assert downstream.lines[1] == b"From: " + FROM_SHOWN + b";tag=at"
    assert downstream.lines[2] == b"To: " + TO_SHOWN + b";tag=bt;y"
    assert upstream.lines[1] == b"f: " + TO_DIALLED + b";tag=bt"
    assert upstream.lines[2] == b"t: " + FROM_CALLER + b";tag=at;x=1"
    for restored in (down, up):
        assert (restored.from_changed, restored.to_changed) == (True, True)
        assert (restored.params, restored.failed) == ([], "")


def test_identities_of_a_dialog_restore_only_what_was_replaced() -> None:
    only_from = Identities(FROM_CALLER, FROM_SHOWN)
    downstream, upstream = from_caller(), from_callee()
    down = restore_from_identities(downstream, only_from, True)
    up = restore_from_identities(upstream, only_from, False)
    assert (down.from_changed, down.to_changed) == (True, False)
    assert (up.from_changed, up.to_changed) == (False, True)
    assert downstream.to.head == TO_DIALLED
    assert upstream.from_.head == TO_SHOWN


# -- responses -----------------------------------------------------------------------


def test_a_response_shows_the_sender_what_it_wrote() -> None:
    """Spacing and all; the callee's tag and its spelling of the names stay."""
    request = request_with(b'From:   "Al \\"x\\""   <sip:alice@a>;tag=at', b"To: sip:bob@b")
    response = response_to(b"f: <sip:anon@x>;tag=at", b"t:  <sip:t@t;user=phone>;tag=bt;y=2")
    restore_response(response, request, True, True)
    assert response.lines[1] == b'f: "Al \\"x\\""   <sip:alice@a>;tag=at'
    assert response.lines[2] == b"t:  sip:bob@b;tag=bt;y=2"


@pytest.mark.parametrize("changed", [(False, False), (True, False), (False, True)])
def test_a_response_keeps_what_was_not_changed_in_the_request(changed: tuple[bool, bool]) -> None:
    request = request_with(b"From: <sip:a@b>;tag=at", b"To: <sip:c@d>")
    response = response_to(b"From: <sip:1@x>;tag=at", b"To: <sip:2@x>;tag=bt")
    restore_response(response, request, *changed)
    assert response.from_.uri == (b"sip:a@b" if changed[0] else b"sip:1@x")
    assert response.to.uri == (b"sip:c@d" if changed[1] else b"sip:2@x")


def test_a_folded_head_comes_back_on_one_line() -> None:
    request = request_with(b'From: "Al"\r\n  <sip:alice@a>\r\n ;tag=at', b"To: <sip:c@d>")
    response = response_to(b"From: <sip:1@x>\r\n ;tag=at", b"To: <sip:c@d>;tag=bt")
    restore_response(response, request, True, False)
    assert response.lines[1] == b'From: "Al" <sip:alice@a>\r\n ;tag=at'


def test_what_a_script_kept_elsewhere_goes_first() -> None:
    request = request_with(b"From: <sip:changed@b>;tag=at", b"To: <sip:changed@d>")
    response = response_to(b"From: <sip:1@x>;tag=at", b"To: <sip:2@x>;tag=bt")
    restore_response(response, request, True, True, b"Al <sip:a@b>", b"<sip:c@d>")
    assert response.from_.raw == b"Al <sip:a@b>;tag=at"
    assert response.to.raw == b"<sip:c@d>;tag=bt"


def test_a_response_that_is_right_already_is_not_edited() -> None:
    request = from_caller()
    response = response_to(request.lines[1], request.lines[2])
    octets = response.encode()
    restore_response(response, request, True, True)
    assert response.encode() == octets
