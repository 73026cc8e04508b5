"""Privacy, anonymous callers, and hiding them in every field but From (RFC 3323, RFC 3325)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.errors import OwnMistake
from uacproxy.sip.message import Message
from uacproxy.sip.parse import parse_message
from uacproxy.sip.uri import parse_uri
from uacproxy.uac.contact_user import ContactSeal
from uacproxy.uac.hiding import (
    FOR_THE_NETWORK,
    ON_REQUEST,
    PASSED_ON,
    TRUSTED,
    UNTRUSTED,
    hide_caller,
    parse_hide_policy,
    policy_of_route,
    route_value,
    unmet_privacy,
)
from uacproxy.uac.privacy import (
    add_privacy,
    anonymity,
    from_names_caller,
    is_anonymous,
    privacy_of,
    set_privacy,
)

ALICE = b'"Alice Miller" <sip:alice@a.example>;tag=at1'
ANONYMOUS = b'"Anonymous" <sip:anonymous@anonymous.invalid>;tag=at1'
SEAL = ContactSeal([b"k" * 32])


def request(*lines: bytes, from_: bytes = ALICE, to: bytes = b"<sip:bob@b.example>") -> Message:
    return parse_message(
        b"\r\n".join(
            [
                b"INVITE sip:bob@b.example SIP/2.0",
                b"Via: SIP/2.0/UDP a.example;branch=z9hG4bKa",
                b"From: " + from_,
                b"To: " + to,
                b"Call-ID: c1",
                b"CSeq: 1 INVITE",
                *lines,
                b"Content-Length: 0",
                b"",
                b"",
            ]
        )
    )


def response(*lines: bytes) -> Message:
    encoded = request(*lines).encode()
    return parse_message(b"SIP/2.0 200 OK\r\n" + encoded.partition(b"\r\n")[2])


# -- Privacy -------------------------------------------------------------------------------

PRIVACIES = [
    ([], []),
    ([b"Privacy: id"], [b"id"]),
    ([b"Privacy: user;id ;critical"], [b"user", b"id", b"critical"]),
    ([b"Privacy: USER; Id"], [b"user", b"id"]),
    ([b"Privacy: id, header"], [b"id", b"header"]),
    ([b"privacy: id", b"Privacy: user;id"], [b"id", b"user"]),
    ([b"Privacy:"], []),
    ([b"Privacy: ;;id;"], [b"id"]),
    ([b"Privacy: id;\r\n user"], [b"id", b"user"]),
    ([b'Privacy: "x y"; id;\x01'], [b"id"]),
]


@pytest.mark.parametrize(("lines", "values"), PRIVACIES)
def test_the_values_of_privacy_are_read_as_they_are_found(
    lines: list[bytes], values: list[bytes]
) -> None:
    assert privacy_of(request(*lines)) == values


def test_privacy_is_written_with_semicolons_into_one_field() -> None:
    message = request(b"Privacy: id", b"Subject: x", b"Privacy: user")
    assert set_privacy(message, [b"user", b"id", b"user", b"critical"])
    assert message.fields(b"privacy") == [b"user;id;critical"]


def test_a_single_privacy_field_keeps_its_place_and_its_spelling() -> None:
    message = request(b"PRIVACY: id", b"Subject: x")
    assert set_privacy(message, [b"header"])
    assert b"CSeq: 1 INVITE\r\nPRIVACY: header\r\nSubject: x\r\n" in message.encode()


@pytest.mark.parametrize("values", [[], [b"critical"]])
@pytest.mark.parametrize("line", [b"Privacy: id;critical", b"Privacy:", b"Privacy: critical"])
def test_privacy_with_nothing_left_to_ask_for_goes(values: list[bytes], line: bytes) -> None:
    message = request(line)
    assert set_privacy(message, values)
    assert not message.has(b"privacy")


def test_a_privacy_that_says_so_already_stays_octet_for_octet() -> None:
    message = request(b"Privacy: Id , user")
    before = message.encode()
    assert not set_privacy(message, [b"id", b"user"])
    assert not add_privacy(message, b"user")
    assert not add_privacy(message, b"id")
    assert not set_privacy(request(), [])
    assert message.encode() == before


@pytest.mark.parametrize("value", [b"id\r\nEvil: 1", b"id;user", b"i d", b""])
def test_a_privacy_value_that_is_no_token_is_refused(value: bytes) -> None:
    message = request()
    with pytest.raises(OwnMistake):
        set_privacy(message, [value])
    assert not message.has(b"privacy")


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ([], b"id"),
        ([b"Privacy: user"], b"user;id"),
        ([b'Privacy: user;"x y"'], b"user;id"),
        ([b"Privacy: none"], b"id"),
        ([b"Privacy: none;id"], b"id"),
    ],
)
def test_a_value_is_added_to_those_there_and_takes_the_place_of_none(
    lines: list[bytes], value: bytes
) -> None:
    message = request(*lines)
    assert add_privacy(message, b"id")
    assert message.get(b"privacy") == value


# -- who is anonymous ----------------------------------------------------------------------

CALLERS = [
    (ALICE, [], ()),
    (ANONYMOUS, [], (b"from", b"display")),
    (b"<sip:anonymous@anonymous.invalid>;tag=1", [], (b"from",)),
    (b"sip:c8oqz84zk7z@Anonymous.Invalid.;tag=1", [], (b"from",)),
    (b"<sip:x@privacy.anonymous.invalid>;tag=1", [], (b"from",)),
    (b"<sip:Anonymous@provider.example>;tag=1", [], (b"from",)),
    (b"<sip:anonymous2@provider.example>;tag=1", [], ()),
    (b"<sip:alice@not-anonymous.invalid>;tag=1", [], ()),
    (b"ANONYMOUS <sip:4930123@p.example>;tag=1", [], (b"display",)),
    (b'"an\\onymous " <tel:+4930123>;tag=1', [], (b"display",)),
    (b'"Anonymous Ltd" <sip:4930123@p.example>;tag=1', [], ()),
    (b"<sip:%zz@[>;tag=1", [], ()),
    (ALICE, [b"Privacy: id"], (b"id",)),
    (ALICE, [b"Privacy: header;user;session"], (b"user", b"header")),
    (ALICE, [b"Privacy: session;critical;history"], ()),
    (ANONYMOUS, [b"Privacy: id"], (b"from", b"display", b"id")),
    (ANONYMOUS, [b"Privacy: none"], ()),
    (ANONYMOUS, [b"Privacy: none;id"], (b"from", b"display", b"id")),
]


@pytest.mark.parametrize(("from_", "lines", "reasons"), CALLERS)
def test_what_makes_a_caller_anonymous_is_told(
    from_: bytes, lines: list[bytes], reasons: tuple[bytes, ...]
) -> None:
    message = request(*lines, from_=from_)
    assert anonymity(message) == reasons
    assert is_anonymous(message) == bool(reasons)


@pytest.mark.parametrize(
    ("from_", "names"),
    [
        (ALICE, True),
        (ANONYMOUS, False),
        (b"sip:anonymous@anonymous.invalid;tag=1", False),
        (b"anonymous <sip:anonymous@provider.example>;tag=1", False),
        (b'"Alice" <sip:anonymous@anonymous.invalid>;tag=1', True),
        (b'"Anonymous" <sip:4930123@p.example>;tag=1', True),
    ],
)
def test_from_names_the_caller_by_uri_or_by_display_name(from_: bytes, names: bool) -> None:
    assert from_names_caller(request(b"Privacy: id", from_=from_)) == names


# -- the policy in an operator's words -----------------------------------------------------

POLICIES = [
    ("", False, set(), set()),
    ("untrusted", False, set(), set()),
    ("trusted", True, set(), set()),
    ("trusted trusted", True, set(), set()),
    ("Trusted Contact", True, {b"contact"}, set()),
    ("contact trusted user-agent subject", True, {b"contact"}, set()),
    ("keep:user-agent", False, set(), {b"user-agent", b"server"}),
    ("keep:server keep:contact", False, set(), {b"user-agent", b"server", b"contact"}),
    ("untrusted keep:from", False, set(), {b"from"}),
    ("x-account-id p-com.x", False, None, None),
    ("untrusted x-account p-early proxy-authorization", False,
     {b"x-account", b"p-early", b"proxy-authorization"}, set()),
]  # fmt: skip


@pytest.mark.parametrize(("words", "trusted", "more", "less"), POLICIES)
def test_a_policy_is_read_from_one_line(
    words: str, trusted: bool, more: set[bytes] | None, less: set[bytes] | None
) -> None:
    if more is None or less is None:
        with pytest.raises(ValueError, match=r"p-com\.x"):
            parse_hide_policy(words)
        return
    policy = parse_hide_policy(words)
    standard = TRUSTED if trusted else UNTRUSTED
    assert policy.trusted == trusted
    assert policy.removed == (standard.removed | more) - less
    assert policy.hides_from == (b"from" not in less)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("trusted untrusted", "either trusted or untrusted"),
        ("subject keep:subject", "'subject' is both hidden and kept"),
        ("user-agnet", "'user-agnet' is no field to hide.*user-agent"),
        ("via", "'via' is no field to hide"),
        ("keep:", "'' is no field"),
        ("record-route", "no field to hide"),
        ("x-", "no field to hide"),
    ],
)
def test_a_word_that_is_no_policy_is_refused_with_the_reason(words: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_hide_policy(words)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("", "untrusted"),
        ("contact", "untrusted"),
        ("user-agent contact trusted", "trusted contact"),
        ("x-b x-a keep:server untrusted", "untrusted x-a x-b keep:user-agent"),
    ],
)
def test_a_policy_is_shown_in_the_fewest_words(typed: str, shown: str) -> None:
    assert str(parse_hide_policy(typed)) == shown


# -- hiding --------------------------------------------------------------------------------

NAMING = [
    b"P-Asserted-Identity: <sip:+4930123@p.example>, <tel:+4930123>",
    b"P-Preferred-Identity: <sip:+4930123@p.example>",
    b"Remote-Party-ID: <sip:+4930123@p.example>;party=calling;privacy=off",
    b"Organization: Miller & Sons",
    b"s: Call me",
    b"User-Agent: MillerPBX 1.0",
    b"Call-Info: <http://miller.example/alice.jpg>;purpose=icon",
    b"Reply-To: <sip:alice@a.example>",
    b"b: <sip:alice@a.example>",
    b"In-Reply-To: 1@a.example",
    b"History-Info: <sip:alice@a.example>;index=1",
    b"Diversion: <sip:alice@a.example>;reason=unconditional",
    b"Geolocation: <cid:alice@a.example>",
    b"Geolocation-Routing: yes",
    b"y: eyJhbGc...;info=<https://a.example/c.pem>",
    b"n: <https://a.example/c.pem>",
    b"P-Access-Network-Info: 3GPP; utran-cell-id-3gpp=alice",
    b"P-Charge-Info: <sip:alice@a.example>",
    b"P-Served-User: <sip:alice@a.example>",
]


def test_an_untrusted_next_hop_gets_no_field_that_names_the_caller() -> None:
    message = request(*NAMING, b"Contact: <sip:alice@192.0.2.1>", b"Allow: INVITE", from_=ANONYMOUS)
    assert hide_caller(message, UNTRUSTED, None)
    assert (
        message.encode()
        == request(
            b"Contact: <sip:anonymous@192.0.2.1>", b"Allow: INVITE", from_=ANONYMOUS
        ).encode()
    )


def test_the_standard_lists_are_what_the_test_message_holds() -> None:
    names = request(*NAMING).names
    assert {*PASSED_ON, *FOR_THE_NETWORK} == {*names[5:-1], b"server"}
    assert not ON_REQUEST & (PASSED_ON | FOR_THE_NETWORK)


def test_a_trusted_next_hop_is_told_who_calls_and_to_keep_it_to_itself() -> None:
    message = request(*NAMING, b"Contact: <sip:alice@192.0.2.1>", from_=ANONYMOUS)
    assert hide_caller(message, TRUSTED, SEAL)
    kept = [line for line in NAMING if line.partition(b":")[0] not in
            (b"Organization", b"s", b"User-Agent", b"Call-Info", b"Reply-To", b"b",
             b"In-Reply-To")]  # fmt: skip
    kept[2] = b"Remote-Party-ID: <sip:+4930123@p.example>;party=calling;privacy=full"
    wanted = request(*kept, b"Contact: <sip:alice@192.0.2.1>", from_=ANONYMOUS)
    wanted.append(b"privacy", b"id")
    assert message.encode() == wanted.encode()


def test_a_kept_field_stays_and_a_named_one_goes() -> None:
    message = request(b"User-Agent: U", b"Subject: S", b"X-Account: 7", b"x-other: 8")
    hide_caller(message, parse_hide_policy("keep:user-agent x-account"), None)
    assert message.names[5:-1] == [b"user-agent", b"x-other"]


def test_every_field_of_a_name_goes() -> None:
    message = request(b"History-Info: <sip:a@a>;index=1", b"Allow: X", b"history-info: <sip:b@b>")
    hide_caller(message, UNTRUSTED, None)
    assert message.names[5:-1] == [b"allow"]


def test_privacy_stays_as_it_came_for_an_untrusted_next_hop() -> None:
    message = request(b"Privacy: User;id", b"Subject: x")
    hide_caller(message, UNTRUSTED, None)
    assert message.fields(b"privacy") == [b"User;id"]


def test_hiding_from_a_trusted_next_hop_takes_the_place_of_none() -> None:
    message = request(b"Privacy: none", from_=ANONYMOUS)
    hide_caller(message, TRUSTED, None)
    assert message.fields(b"privacy") == [b"id"]


def test_a_change_is_told_where_privacy_was_right_already() -> None:
    assert hide_caller(request(b"Privacy: id", b"Subject: x"), TRUSTED, None)
    assert not hide_caller(request(b"Privacy: id"), TRUSTED, None)


def test_within_the_dialog_privacy_goes_only_where_an_identity_is_named() -> None:
    bye = request(to=b"<sip:bob@b.example>;tag=bt")
    assert not hide_caller(bye, TRUSTED, None)
    for name in (b"P-Asserted-Identity", b"P-Preferred-Identity"):
        update = request(name + b": <tel:+4930123>", to=b"<sip:bob@b.example>;tag=bt")
        assert hide_caller(update, TRUSTED, None)
        assert update.get(b"privacy") == b"id"


@pytest.mark.parametrize("policy", [TRUSTED, UNTRUSTED])
def test_a_response_of_the_hidden_side_is_hidden_alike(policy: object) -> None:
    message = response(b"Server: MillerPBX", b"Organization: Miller", b"Allow: INVITE")
    assert hide_caller(message, UNTRUSTED if policy is UNTRUSTED else TRUSTED, None)
    assert message.names[5:-1] == [b"allow"]


def test_a_message_that_names_nobody_is_not_touched() -> None:
    message = request(b"Allow: INVITE", b"Contact: <sip:192.0.2.1:5060>", from_=ANONYMOUS)
    header, before = message.header, message.lines
    assert not hide_caller(message, UNTRUSTED, SEAL)
    assert message.header is header
    assert message.lines == before


FIELDS = st.sampled_from(
    [*NAMING, b"Contact: <sip:alice@h>", b"m: Al <sip:alice:pw@h;ob>;+sip.instance=\"<alice>\"",
     b"Contact: tel:+4930123", b"Contact: \"Alice <sip:", b"Allow: X", b"Privacy: none",
     b"Remote-Party-ID: \"alice", b"Privacy: user;\"x y;\xff"]
)  # fmt: skip


@given(
    lines=st.lists(FIELDS, max_size=12),
    words=st.sampled_from(["untrusted", "trusted", "trusted contact", "keep:user-agent"]),
    sealed=st.booleans(),
)
def test_hiding_twice_changes_nothing_more_and_nothing_of_the_caller_is_left(
    lines: list[bytes], words: str, sealed: bool
) -> None:
    policy = parse_hide_policy(words)
    message = request(*lines, from_=ANONYMOUS)
    hide_caller(message, policy, SEAL if sealed else None)
    once = message.encode()
    assert not hide_caller(message, policy, SEAL if sealed else None)
    assert message.encode() == once
    assert len(message.names) == len(message.lines)
    assert parse_message(once).names == message.names
    if not policy.trusted:
        for word in (b"alice", b"4930123", b"iller\r", b"Miller &", b"\r\nContact: tel"):
            assert word not in once.lower()


# -- critical ------------------------------------------------------------------------------

CRITICALS = [
    (b"id", "untrusted", []),
    (b"header;session", "untrusted", []),
    (b"id;user;critical", "untrusted", []),
    (b"id;critical", "trusted", []),
    (b"id;critical", "keep:p-asserted-identity", [b"id"]),
    (b"user;critical", "keep:subject", [b"user"]),
    (b"user;critical", "keep:from", [b"user"]),
    (b"history;critical", "untrusted", []),
    (b"history;critical", "trusted", []),
    (b"history;critical", "keep:history-info", [b"history"]),
    (b"critical;header;id;session;odd", "untrusted", [b"header", b"session", b"odd"]),
    (b"none;critical", "untrusted", []),
]


@pytest.mark.parametrize(("privacy", "words", "unmet"), CRITICALS)
def test_what_is_critical_and_cannot_be_given_is_told(
    privacy: bytes, words: str, unmet: list[bytes]
) -> None:
    assert unmet_privacy(request(b"Privacy: " + privacy), parse_hide_policy(words)) == unmet


# -- along the route -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", ["untrusted", "trusted contact x-b keep:user-agent", "untrusted keep:from x-a p-z"]
)
def test_a_policy_comes_back_in_the_route(words: str) -> None:
    policy = parse_hide_policy(words)
    own = b"sip:192.0.2.9;lr;hide=" + route_value(policy)
    assert policy_of_route(parse_uri(own)) == policy


def test_a_policy_whose_plus_was_escaped_on_its_way_comes_back_as_well() -> None:
    own = parse_uri(b"sip:192.0.2.9;lr;hide=trusted%2Bcontact")
    assert policy_of_route(own) == parse_hide_policy("trusted contact")


def test_without_a_policy_in_the_route_nobody_is_hidden() -> None:
    assert policy_of_route(parse_uri(b"sip:192.0.2.9;lr")) is None


@pytest.mark.parametrize("value", [b"=via", b"=trusted+untrusted", b"=%FF", b"=", b""])
def test_an_altered_policy_hides_everything(value: bytes) -> None:
    assert policy_of_route(parse_uri(b"sip:192.0.2.9;lr;hide" + value)) == UNTRUSTED
