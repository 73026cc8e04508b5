"""P-Asserted-Identity, P-Preferred-Identity and Remote-Party-ID: read, written, one line each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_uac_privacy import request, response
from uacproxy.errors import FeatureError
from uacproxy.sip.message import Message
from uacproxy.sip.parse import parse_message
from uacproxy.uac.asserted import (
    P_ASSERTED_IDENTITY,
    P_PREFERRED_IDENTITY,
    REMOTE_PARTY_ID,
    assert_identity,
    asserted,
    identity,
    keep_remote_parties_private,
    remote_parties,
    set_asserted,
    set_remote_party,
)

OFFICE = b"sip:+4930123@p.example"
PAI = b"P-Asserted-Identity: "
RPID = b"Remote-Party-ID: "

ASSERTIONS = [
    ([], []),
    (
        [b'"Cullen Jennings" <sip:fluffy@cisco.com>'],
        [(b'"Cullen Jennings"', b"sip:fluffy@cisco.com")],
    ),
    ([b"tel:+14085264000"], [(b"", b"tel:+14085264000")]),
    ([b"tel:4000;phone-context=+1408"], [(b"", b"tel:4000;phone-context=+1408")]),
    ([b"sip:+1408@c;user=phone"], [(b"", b"sip:+1408@c;user=phone")]),
    ([b"<sip:a@b>;x=1"], [(b"", b"sip:a@b")]),
    ([b"<sip:a@b>, <tel:+1>"], [(b"", b"sip:a@b"), (b"", b"tel:+1")]),
    ([b"<tel:+1>", b"<sips:a@b>"], [(b"", b"tel:+1"), (b"", b"sips:a@b")]),
    ([b"<sip:a@b>, <sips:c@d>, <tel:+1>, <tel:+2>"], [(b"", b"sip:a@b"), (b"", b"tel:+1")]),
    ([b"<http://x>, <sip:a@b>"], [(b"", b"sip:a@b")]),
    ([b"<sip:@>, garbage, <sip:a@b>"], [(b"", b"sip:a@b")]),
    ([b'"open <sip:x@y>', b"<sip:a@b>"], [(b"", b"sip:a@b")]),
    ([b""], []),
]


@pytest.mark.parametrize(("values", "wanted"), ASSERTIONS)
@pytest.mark.parametrize("name", [P_ASSERTED_IDENTITY, P_PREFERRED_IDENTITY])
def test_what_is_asserted_is_one_sip_and_one_tel_uri(
    name: bytes, values: list[bytes], wanted: list[tuple[bytes, bytes]]
) -> None:
    message = request(*[name + b": " + value for value in values])
    assert [(one.display, one.uri) for one in asserted(message, name)] == wanted


def test_two_identities_are_written_into_one_field() -> None:
    message = request(PAI + b"<sip:old@o>", PAI + b"<tel:+1>", b"Subject: x")
    assert set_asserted(message, [identity(OFFICE, b'"Office"'), identity(b"tel:+4930123")])
    assert message.fields(P_ASSERTED_IDENTITY) == [
        b'"Office" <sip:+4930123@p.example>, <tel:+4930123>'
    ]


def test_the_same_identity_again_changes_nothing() -> None:
    message = request(PAI + b"<sip:+4930123@p.example>")
    before = message.encode()
    assert not set_asserted(message, [identity(OFFICE)])
    assert not set_asserted(message, [], P_PREFERRED_IDENTITY)
    assert message.encode() == before


def test_no_identity_removes_the_field() -> None:
    message = request(PAI + b"<sip:a@b>", PAI + b"<tel:+1>")
    assert set_asserted(message, [])
    assert not message.has(P_ASSERTED_IDENTITY)


@pytest.mark.parametrize(
    "uris", [[OFFICE, b"sips:a@b"], [b"tel:+1", b"tel:+2"], [OFFICE, b"tel:+1", b"tel:+2"]]
)
def test_two_identities_of_one_kind_are_refused(uris: list[bytes]) -> None:
    message = request(*OLD)
    before = message.encode()
    with pytest.raises(FeatureError, match="one of each"):
        set_asserted(message, [identity(uri) for uri in uris])
    for style in ("ppi", "rpid", "from"):
        with pytest.raises(FeatureError, match="one of each"):
            assert_identity(message, b" ".join(uris), b"", style)
    assert message.encode() == before


@pytest.mark.parametrize(
    ("uri", "display", "written"),
    [
        (OFFICE, b"", b"<sip:+4930123@p.example>"),
        (OFFICE, b' "Of,fi<c>e" ', b'"Of,fi<c>e" <sip:+4930123@p.example>'),
        (
            b"tel:+49-30;phone-context=x",
            b"Head Office",
            b"Head Office <tel:+49-30;phone-context=x>",
        ),
        (b"sips:a@b", "Müller".encode(), "Müller <sips:a@b>".encode()),
    ],
)
def test_an_identity_is_written_in_brackets(uri: bytes, display: bytes, written: bytes) -> None:
    assert identity(uri, display) == written


@pytest.mark.parametrize(
    ("uri", "display"),
    [
        (b"", b""),
        (b"+4930123", b""),
        (b"http://a.example", b""),
        (b"mailto:a@b", b""),
        (b"sip:a b@c", b""),
        (b"sip:a@b>", b""),
        (b"sip:a@b\r\nEvil: 1", b""),
        (OFFICE, b"x\r\nEvil: 1"),
        (OFFICE, b'"open'),
        (OFFICE, b"a, b"),
        (OFFICE, b"<sip:x@y>"),
        (OFFICE, b'"x" <sip:x@y>;z'),
        (OFFICE, b"<sip:x@y>;z="),
        (OFFICE, b"<sip:+4930123@p.example>;z="),
        (OFFICE, b'"a\x01b"'),
        (OFFICE, b'"a\r\nEvil: 1"'),
        (OFFICE, b"x" * 2048),
    ],
)
def test_an_identity_that_would_break_the_field_is_refused(uri: bytes, display: bytes) -> None:
    message = request(PAI + b"<sip:old@o>")
    before = message.encode()
    with pytest.raises(FeatureError):
        identity(uri, display)
    with pytest.raises(FeatureError):
        assert_identity(message, uri, display, "ppi")
    assert message.encode() == before


@given(uri=st.binary(max_size=20), display=st.binary(max_size=20))
def test_no_identity_ever_breaks_the_message(uri: bytes, display: bytes) -> None:
    message = request()
    try:
        assert_identity(message, b"sip:" + uri, display, "pai rpid")
    except FeatureError:
        return
    again = parse_message(message.encode())
    assert again.names == message.names
    assert [one.uri for one in asserted(again)] == [b"sip:" + uri.strip()]


# -- Remote-Party-ID -----------------------------------------------------------------------

PARTIES = [
    (b"<sip:a@b>", b"calling", False, (), False),
    (b'"A" <sip:a@b>;party=Called;screen=YES;privacy=off', b"called", True, (b"off",), False),
    (b"<sip:a@b>;screen=no;privacy=Full", b"calling", False, (b"full",), True),
    (b'<sip:a@b>;privacy="name,uri-network"', b"calling", False, (b"name", b"uri-network"), True),
    (b"<sip:a@b>;privacy=off-network;-x=1", b"calling", False, (b"off-network",), False),
    (b"sip:a@b;party=term", b"term", False, (), False),
]


@pytest.mark.parametrize(("value", "party", "screened", "privacy", "private"), PARTIES)
def test_a_remote_party_is_read_with_the_defaults_of_the_draft(
    value: bytes, party: bytes, screened: bool, privacy: tuple[bytes, ...], private: bool
) -> None:
    (found,) = remote_parties(request(RPID + value))
    assert (found.party, found.screened, found.privacy) == (party, screened, privacy)
    assert found.is_private == private
    assert found.address.uri == b"sip:a@b"


def test_in_a_response_an_unmarked_remote_party_is_the_called_one() -> None:
    assert remote_parties(response(RPID + b"<sip:a@b>"))[0].party == b"called"


def test_remote_parties_that_cannot_be_read_are_left_out() -> None:
    message = request(RPID + b'<sip:a@b>;=x, "B" <sip:b@b>', RPID + b'"open', RPID + b"<sip:c@c>")
    assert [one.address.uri for one in remote_parties(message)] == [b"sip:b@b", b"sip:c@c"]
    assert remote_parties(request()) == []


@pytest.mark.parametrize(
    ("screened", "private", "tail"),
    [
        (True, False, b";party=calling;screen=yes;privacy=off"),
        (False, True, b";party=calling;screen=no;privacy=full"),
    ],
)
def test_a_remote_party_is_written_with_all_its_parameters(
    screened: bool, private: bool, tail: bytes
) -> None:
    message = request(RPID + b"<sip:old@o>")
    assert set_remote_party(message, identity(OFFICE), screened=screened, private=private)
    assert message.fields(REMOTE_PARTY_ID) == [b"<sip:+4930123@p.example>" + tail]
    assert set_remote_party(message, identity(OFFICE), party=b"called")
    assert remote_parties(message)[0].party == b"called"


PRIVATE = [
    ([b"<sip:a@b>;party=calling;privacy=off;screen=yes"],
     [b"<sip:a@b>;party=calling;screen=yes;privacy=full"]),
    ([b"<sip:a@b>"], [b"<sip:a@b>;privacy=full"]),
    ([b'A <sip:a@b> ; Privacy = "name,uri";x=";privacy=1"'],
     [b'A <sip:a@b>;x=";privacy=1";privacy=full']),
    ([b"<sip:a@b>;privacy=name, <sip:c@d>;privacy=full-network"],
     [b"<sip:a@b>;privacy=full, <sip:c@d>;privacy=full-network"]),
    ([b'"open', b"<sip:a@b>;privacy=full"], [b"<sip:a@b>;privacy=full"]),
    ([b'<sip:a@b>;x="', b"<sip:c@d>;=1"], []),
]  # fmt: skip


@pytest.mark.parametrize(("values", "wanted"), PRIVATE)
def test_remote_parties_become_private_or_go(values: list[bytes], wanted: list[bytes]) -> None:
    message = request(*[RPID + value for value in values])
    assert keep_remote_parties_private(message)
    assert message.fields(REMOTE_PARTY_ID) == wanted


def test_remote_parties_that_are_private_stay_octet_for_octet() -> None:
    message = request(RPID + b"<sip:a@b>;privacy=FULL", RPID + b"<sip:c@d>; privacy=full ;x")
    before = message.encode()
    assert not keep_remote_parties_private(message)
    assert not keep_remote_parties_private(request())
    assert message.encode() == before


# -- what a provider wants -----------------------------------------------------------------

OLD = (PAI + b"<sip:7@pbx>", b"P-Preferred-Identity: <sip:7@pbx>", RPID + b"<sip:7@pbx>")
WRITTEN = b'"Office" <sip:+4930123@p.example>'
OPEN = b";party=calling;screen=yes;privacy=off"

PROFILES = [
    ("pai", WRITTEN, None, None),
    ("ppi", None, WRITTEN, None),
    ("rpid", None, None, WRITTEN + OPEN),
    ("from", None, None, None),
    ("rpid pai", WRITTEN, None, WRITTEN + OPEN),
]


@pytest.mark.parametrize(("style", "pai", "ppi", "rpid"), PROFILES)
@pytest.mark.parametrize("lines", [(), OLD])
def test_the_next_hop_is_told_in_its_way_and_in_no_other(
    style: str, lines: tuple[bytes, ...], pai: bytes | None, ppi: bytes | None, rpid: bytes | None
) -> None:
    message = request(*lines)
    changed = assert_identity(message, OFFICE, b'"Office"', style)
    assert changed == (style != "from" or bool(lines))
    assert message.get(P_ASSERTED_IDENTITY) == pai
    assert message.get(P_PREFERRED_IDENTITY) == ppi
    assert message.get(REMOTE_PARTY_ID) == rpid
    assert message.get(b"privacy") is None
    assert not assert_identity(message, OFFICE, b'"Office"', style)


@pytest.mark.parametrize(
    ("style", "lines"),
    [
        ("ppi", [PAI + b"<sip:7@pbx>", b"P-Preferred-Identity: " + WRITTEN]),
        ("rpid", [PAI + b"<sip:7@pbx>", RPID + WRITTEN + OPEN]),
        ("pai", [PAI + WRITTEN, RPID + b"<sip:7@pbx>"]),
    ],
)
def test_a_change_is_told_where_the_identity_was_right_already(
    style: str, lines: list[bytes]
) -> None:
    assert assert_identity(request(*lines), OFFICE, b'"Office"', style)


def test_a_change_is_told_where_privacy_was_right_already() -> None:
    message = request(PAI + b"<sip:7@pbx>", b"Privacy: id")
    assert assert_identity(message, OFFICE, b"", "pai", private=True)
    assert not assert_identity(message, OFFICE, b"", "pai", private=True)


@pytest.mark.parametrize(
    ("style", "privacy"), [("pai", b"id"), ("ppi", b"id"), ("rpid", None), ("from", None)]
)
def test_the_identity_of_an_anonymous_caller_is_for_the_network_alone(
    style: str, privacy: bytes | None
) -> None:
    message = request()
    assert_identity(message, OFFICE, b"", style, private=True)
    assert message.get(b"privacy") == privacy
    if style == "rpid":
        assert remote_parties(message)[0].privacy == (b"full",)


def test_two_uris_go_into_p_asserted_identity_and_the_first_into_remote_party_id() -> None:
    message = request()
    assert_identity(message, OFFICE + b"  tel:+4930123", b"Office", "pai rpid")
    assert message.get(P_ASSERTED_IDENTITY) == (
        b"Office <sip:+4930123@p.example>, Office <tel:+4930123>"
    )
    assert message.get(REMOTE_PARTY_ID) == b"Office <sip:+4930123@p.example>" + OPEN


@pytest.mark.parametrize("style", ["", "pia", "pai from", "PAI"])
def test_a_style_that_is_none_is_refused_before_anything_changes(style: str) -> None:
    message: Message = request(*OLD)
    before = message.encode()
    with pytest.raises(FeatureError, match="identity style"):
        assert_identity(message, OFFICE, b"", style)
    assert message.encode() == before
