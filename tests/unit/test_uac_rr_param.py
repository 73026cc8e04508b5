"""Identities as Record-Route parameters: sealed, and as Kamailio writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.errors import OwnMistake, RestoreFailed
from uacproxy.sip.grammar import ALPHANUM
from uacproxy.sip.message import Message
from uacproxy.sip.names import FROM, TO
from uacproxy.sip.parse import parse_message
from uacproxy.sip.uri import Uri, parse_uri
from uacproxy.uac.replace import Identities
from uacproxy.uac.restore_key import KEY_LENGTH, derive_key
from uacproxy.uac.rr_param import KamailioCodec, RestoreCodec, SealedCodec, field_for

ALICE = b"sip:alice@a.example"
ANON = b"sip:anonymous@anonymous.invalid"
BOB = b"sip:bob@b.example"

VECTORS = [
    # original, new, password, value: taken from the wire of Kamailio
    (ALICE, ANON, b"", b"AAAAAAACBg0cLQ5bFjgAAx8CHG1vdXMuaW52YWxpZA--"),
    (ALICE, ANON, b"s3cret", b"czNjcmV2dT5/X2svZQtjcXp2b14MBxZaGl0VEwkdFw--"),
    (BOB, b"sip:b@z.cc", b"", b"AAAAAAAvGG4BTWV4YW1wbGU-"),
    (BOB, b"sip:b@z.cc", b"s3cret", b"czNjcmVba11iPwAMEl4THgA-"),
    (BOB, b"sip:t@t;user=phone", b"", b"AAAAABYvFnsXXQAKXB0YAwtl"),
    (ALICE, b"sip:x@y", b"", b"AAAAABksEGNlQGEuZXhhbXBsZQ--"),
]

KEY, OTHER_KEY = bytes(range(32)), bytes(range(100, 132))  # told apart by the first octet
BOTH = Identities(
    b'"Alice" <sip:alice@a.example>',
    b'"Anonymous" <sip:anonymous@anonymous.invalid>',
    b"sip:bob@b.example",
    b"<sip:49123@gw.example;user=phone>",
)


def route_of(params: list[tuple[bytes, bytes]]) -> Uri:
    """Return our Record-Route URI as it comes back in Route."""
    return parse_uri(
        b"sip:p.example;lr;ftag=at" + b"".join(b";" + name + b"=" + v for name, v in params)
    )


def in_dialog(
    from_: bytes, to: bytes, *, toward_callee: bool = True, call_id: bytes = b"c1"
) -> Message:
    tags = (b"at", b"bt") if toward_callee else (b"bt", b"at")
    return parse_message(
        b"BYE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKa\r\nFrom: %s;tag=%s\r\n"
        b"To: %s;tag=%s\r\nCall-ID: %s\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n"
        % (from_, tags[0], to, tags[1], call_id)
    )


def sealed_codec(*keys: bytes) -> SealedCodec:
    return SealedCodec(b"vsf", b"vst", list(keys or (KEY,)))


def sealed_params(
    codec: RestoreCodec,
    identities: Identities = BOTH,
    call_id: bytes = b"c1",
    tag: bytes = b"at",
) -> list[tuple[bytes, bytes]]:
    """Return the values alone, without the parameter that says which there are."""
    return [each for each in codec.params(identities, call_id, tag) if each[0] != b"hid"]


# -- Kamailio ------------------------------------------------------------------------


@pytest.mark.parametrize(("original", "new", "password", "value"), VECTORS)
def test_a_value_is_the_one_kamailio_writes(
    original: bytes, new: bytes, password: bytes, value: bytes
) -> None:
    codec = KamailioCodec(b"vsf", b"vst", password)
    replaced = Identities(b"<%s>" % original, b'"x" <%s>' % new)
    assert codec.params(replaced, b"c1", b"at") == [(b"vsf", value)]
    replaced = Identities(b"", b"", original, b"<%s>" % new)
    assert codec.params(replaced, b"c1", b"at") == [(b"vst", value)]


@pytest.mark.parametrize(("original", "new", "password", "value"), VECTORS)
def test_kamailio_values_turn_either_uri_into_the_other(
    original: bytes, new: bytes, password: bytes, value: bytes
) -> None:
    codec = KamailioCodec(b"vsf", b"vst", password)
    route = route_of([(b"vsf", value)])
    downstream = in_dialog(b'"Al" <%s>' % original, b"<sip:b@c>")
    assert codec.head(FROM, downstream, route, True) == b'"Al" <%s>' % new
    upstream = in_dialog(b"<sip:b@c>", b"<%s>" % new, toward_callee=False)
    assert codec.head(FROM, upstream, route, False) == b"<%s>" % original


def test_both_values_come_from_header_first() -> None:
    assert [name for name, _ in sealed_params(KamailioCodec(b"vsf", b"vst", b""))] == [
        b"vsf",
        b"vst",
    ]


def test_kamailio_stores_nothing_for_a_display_name_alone() -> None:
    shown = Identities(b"Al <sip:a@b>", b'"B" <sip:a@b>', b"sip:c@d", b'"C" <sip:c@d>')
    assert KamailioCodec(b"vsf", b"vst", b"").params(shown, b"c1", b"at") == []


def test_a_bare_uri_gets_brackets_where_the_restored_one_needs_them() -> None:
    """The original sends ``sip:t@t;user=phone;tag=...`` here."""
    route = route_of([(b"vst", b"AAAAABYvFnsXXQAKXB0YAwtl")])
    request = in_dialog(b"<sip:a@b>", BOB)
    codec = KamailioCodec(b"vsf", b"vst", b"")
    assert codec.head(TO, request, route, True) == b"<sip:t@t;user=phone>"


KAMAILIO_FAILS = [
    # value, URI in the field
    (b"!!!!", ALICE),
    (b"AAAA=", ALICE),
    (b"AAAAAAACBg0cLQ5bFjgAAx8CHG1vdXMuaW52YWxpZA==", ALICE),  # not Kamailio's padding
    (b"AAAAAAACBg0cLQ5bFjgAAx8CHG1vdXMuaW52YWxpZA", ALICE),  # cut
    (b"AAAAAAACBg0cLQ5bFjgAAx8CHG1vdXMuaW52YWxpZA--", b"sip:mallory@a.example"),
    (b"AAAAAAACBg0cLQ5bFjgAAx8CHG1vdXMuaW52YWxpZA--", b"tel:+49301234"),
    (b"AAAAAAACBg0cLQ5bFjgAAx8CHG1vdXMuaW52YWxpZA--", b"sip:" + b"x" * 60 + b"@a.example"),
    (b"czNjcmV2dT5/X2svZQtjcXp2b14MBxZaGl0VEwkdFw--", ALICE),  # another password
    (b"AAAAAAACBg0cLQ5bFjgAAx8CHG1vdXMuaW52YWxpZA------", ALICE),
    (b"", ALICE),
    (b"AAAA", b"sip"),
    (b"c2lw", b"sip"),  # nothing is left
    (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAA", b'sip:"<>@a'),
    (b"AAAAAAAAAAB4", b"sip:a@b"),  # NUL behind what the field covers
]


@pytest.mark.parametrize(("value", "uri"), KAMAILIO_FAILS)
def test_what_kamailio_value_and_field_make_together_has_to_be_a_uri(
    value: bytes, uri: bytes
) -> None:
    codec = KamailioCodec(b"vsf", b"vst", b"")
    with pytest.raises(RestoreFailed, match="altered"):
        codec._decode(value, uri)


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=8))
def test_any_octets_in_a_kamailio_value_give_a_printable_uri_or_fail(
    value: bytes, uri: bytes, password: bytes
) -> None:
    try:
        restored = KamailioCodec(b"vsf", b"vst", password)._decode(value, uri)
    except RestoreFailed:
        return
    assert restored.lower().startswith((b"sip:", b"sips:", b"tel:"))
    assert all(0x20 < octet < 0x7F for octet in restored)


# -- sealed --------------------------------------------------------------------------


def test_sealed_values_hold_both_forms_of_both_fields() -> None:
    codec = sealed_codec()
    route = route_of(sealed_params(codec))
    anything = b"<sip:whatever@the.peer>"
    downstream = in_dialog(anything, anything)
    upstream = in_dialog(anything, anything, toward_callee=False)
    assert codec.head(FROM, downstream, route, True) == BOTH.from_shown
    assert codec.head(TO, downstream, route, True) == BOTH.to_shown
    assert codec.head(FROM, upstream, route, False) == BOTH.from_original
    assert codec.head(TO, upstream, route, False) == BOTH.to_original


def test_only_a_replaced_field_has_a_value() -> None:
    codec = sealed_codec()
    only_from = Identities(b"<sip:a@b>", b"<sip:x@y>")
    only_to = Identities(b"", b"", b"<sip:a@b>", b"<sip:x@y>")
    assert [name for name, _ in sealed_params(codec, only_from)] == [b"vsf"]
    assert [name for name, _ in sealed_params(codec, only_to)] == [b"vst"]
    assert sealed_params(codec, Identities()) == []
    route = route_of(sealed_params(codec, only_from))
    assert codec.head(TO, in_dialog(b"<sip:a@b>", b"<sip:c@d>"), route, True) == b""


@pytest.mark.parametrize("user", [b"a", b"aa", b"aaa", b"a" * 50])
def test_a_sealed_value_needs_no_escape_and_stays_short(user: bytes) -> None:
    original, shown = b"<sip:" + user + b"@b>", b"<sip:x@y>"
    [(_, value)] = sealed_params(sealed_codec(), Identities(original, shown))
    assert value.translate(None, ALPHANUM + b"-_") == b""
    assert len(value) <= (19 + len(original) + len(shown)) * 4 / 3 + 1


def test_the_same_dialog_is_sealed_the_same_and_another_is_not() -> None:
    codec = sealed_codec()
    assert sealed_params(codec) == sealed_params(sealed_codec())
    values = {value for _, value in sealed_params(codec)}
    for call_id, tag in ((b"c2", b"at"), (b"c1", b"at2"), (b"c1a", b"t")):
        values |= {value for _, value in sealed_params(codec, BOTH, call_id, tag)}
    assert len(values) == 8


@pytest.mark.parametrize("length", [0, 1, 2, 5, 60, 80])
def test_a_value_cut_short_is_refused(length: int) -> None:
    codec = sealed_codec()
    name, value = sealed_params(codec)[0]
    with pytest.raises(RestoreFailed):
        codec.head(FROM, in_dialog(ALICE, BOB), route_of([(name, value[:length])]), True)


def test_a_value_with_any_character_changed_is_refused() -> None:
    codec = sealed_codec()
    name, value = sealed_params(codec)[0]
    assert len(value) % 4 == 0  # so every bit of every character says something
    for at in range(len(value)):
        other = b"A" if value[at : at + 1] != b"A" else b"B"
        altered = value[:at] + other + value[at + 1 :]
        with pytest.raises(RestoreFailed):
            codec.head(FROM, in_dialog(ALICE, BOB), route_of([(name, altered)]), True)


@pytest.mark.parametrize("more", [b"!", b"====", b"AAAA", b"%20"])
def test_a_value_with_more_behind_it_is_refused(more: bytes) -> None:
    codec = sealed_codec()
    name, value = sealed_params(codec)[0]
    with pytest.raises(RestoreFailed, match="altered"):
        codec.head(FROM, in_dialog(ALICE, BOB), route_of([(name, value + more)]), True)


def test_a_value_of_another_dialog_direction_or_field_is_refused() -> None:
    codec = sealed_codec()
    params = sealed_params(codec)
    route = route_of(params)
    swapped = route_of([(b"vsf", params[1][1]), (b"vst", params[0][1])])
    for request, where, toward_callee in (
        (in_dialog(ALICE, BOB, call_id=b"c2"), route, True),
        (in_dialog(ALICE, BOB), route, False),
        (in_dialog(ALICE, BOB, toward_callee=False), route, True),
        (in_dialog(ALICE, BOB), swapped, True),
    ):
        with pytest.raises(RestoreFailed, match="altered"):
            codec.head(FROM, request, where, toward_callee)


def test_after_rotation_old_values_open_and_new_ones_use_the_new_key() -> None:
    request = in_dialog(ALICE, BOB)
    old, rotated, new = sealed_codec(), sealed_codec(OTHER_KEY, KEY), sealed_codec(OTHER_KEY)
    before, after = route_of(sealed_params(old)), route_of(sealed_params(rotated))
    assert rotated.head(FROM, request, before, True) == BOTH.from_shown
    assert rotated.head(FROM, request, after, True) == BOTH.from_shown
    assert new.head(FROM, request, after, True) == BOTH.from_shown
    with pytest.raises(RestoreFailed, match="unreadable"):
        new.head(FROM, request, before, True)


def test_keys_that_cannot_be_told_apart_are_all_tried() -> None:
    keys = [bytes([number]) * KEY_LENGTH for number in range(100)]  # among 32 first octets
    rotated = sealed_codec(*keys)
    for key in keys:
        route = route_of(sealed_params(sealed_codec(key)))
        assert rotated.head(TO, in_dialog(ALICE, BOB), route, True) == BOTH.to_shown


def test_a_kamailio_value_is_no_sealed_one() -> None:
    route = route_of(sealed_params(KamailioCodec(b"vsf", b"vst", b"")))
    with pytest.raises(RestoreFailed, match="unreadable"):
        sealed_codec().head(FROM, in_dialog(ALICE, BOB), route, True)


def test_a_value_left_out_on_the_way_is_missed() -> None:
    codec = sealed_codec()
    hid, from_value, to_value = codec.params(BOTH, b"c1", b"at")
    assert hid == (b"hid", b"ft")  # in front, so that what is cut off at the end is noticed
    request = in_dialog(ALICE, BOB)
    for name, left in ((FROM, [hid, to_value]), (TO, [hid, from_value]), (TO, [hid])):
        with pytest.raises(RestoreFailed, match="missing"):
            codec.head(name, request, route_of(left), True)


def test_a_field_that_was_never_replaced_is_not_missed() -> None:
    codec = sealed_codec()
    only_to = codec.params(Identities(b"", b"", BOB, b"<sip:x@y>"), b"c1", b"at")
    assert codec.head(FROM, in_dialog(ALICE, BOB), route_of(only_to), True) == b""
    assert codec.params(Identities(), b"c1", b"at") == []
    assert codec.head(FROM, in_dialog(ALICE, BOB), route_of([]), True) == b""


def test_the_parameter_that_says_which_there_are_is_repeated_with_them() -> None:
    codec = sealed_codec()
    params = codec.params(BOTH, b"c1", b"at")
    assert codec.params_of(route_of(params)) == params


@given(st.binary(max_size=120))
def test_any_octets_in_a_sealed_value_are_refused(value: bytes) -> None:
    codec = sealed_codec()
    route = Uri(b"", b"sip", b"", None, b"p", None, [(b"vsf", value)], b"")
    with pytest.raises(RestoreFailed):
        codec.head(FROM, in_dialog(ALICE, BOB), route, True)


@pytest.mark.parametrize("keys", [[], [b"short"], [KEY, bytes(31)]])
def test_keys_of_another_length_are_refused(keys: list[bytes]) -> None:
    with pytest.raises(OwnMistake, match="32 octets"):
        SealedCodec(b"vsf", b"vst", keys)


# -- both ----------------------------------------------------------------------------

CODECS: list[RestoreCodec] = [
    SealedCodec(b"Mine", b"Other", [KEY]),
    KamailioCodec(b"Mine", b"Other", b"s3cret"),
]


@pytest.mark.parametrize("codec", CODECS)
def test_parameters_have_the_configured_names_and_are_found_in_any_case(
    codec: RestoreCodec,
) -> None:
    params = sealed_params(codec)
    assert [name for name, _ in params] == [b"Mine", b"Other"]
    request = in_dialog(BOTH.from_original, BOTH.to_original)
    assert BOTH.from_shown[-20:] in codec.head(FROM, request, route_of(params), True)


@pytest.mark.parametrize("codec", CODECS)
def test_values_are_repeated_as_they_came_readable_or_not(codec: RestoreCodec) -> None:
    params = sealed_params(codec)
    assert codec.params_of(route_of(params)) == params
    assert codec.params_of(parse_uri(b"sip:p;lr;mine=!;other")) == [(b"Mine", b"!")]
    assert codec.params_of(parse_uri(b"sip:p;lr")) == []


def test_from_and_to_change_places_when_the_callee_sends() -> None:
    assert [field_for(name, True) for name in (FROM, TO)] == [FROM, TO]
    assert [field_for(name, False) for name in (FROM, TO)] == [TO, FROM]


def test_instances_with_one_password_have_one_key() -> None:
    assert derive_key("s3cret") == derive_key("s3cret") != derive_key("s3creT")
    assert len(derive_key("pässwört")) == KEY_LENGTH
    with pytest.raises(OwnMistake):
        derive_key("")
