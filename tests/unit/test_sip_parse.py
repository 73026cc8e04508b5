"""From octets to a message: start lines, fields, bodies, limits (RFC 3261 7, 18.3)."""

from __future__ import annotations

import pytest

from uacproxy.errors import ParseError
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.message import Message
from uacproxy.sip.names import CALL_ID, CONTENT_LENGTH, CSEQ, FROM, TO, VIA
from uacproxy.sip.parse import MalformedMessage, check_required, describe, parse_message

FIELDS = (
    b"Via: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n"
    b"From: <sip:a@a.example>;tag=1\r\n"
    b"To: <sip:b@b.example>\r\n"
    b"Call-ID: 1\r\n"
    b"CSeq: 1 OPTIONS\r\n"
)
START = b"OPTIONS sip:b@b.example SIP/2.0\r\n"


def refused(octets: bytes, limits: LimitSettings | None = None) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        parse_message(octets, limits or LimitSettings())
    return caught.value


def unsound(message: Message) -> ParseError:
    with pytest.raises(ParseError) as caught:
        check_required(message)
    return caught.value


def test_a_request_has_a_method_and_a_uri() -> None:
    message = parse_message(START + FIELDS + b"\r\n")
    check_required(message)
    assert (message.is_request, message.method, message.status) == (True, b"OPTIONS", 0)
    assert message.request_uri == b"sip:b@b.example"


@pytest.mark.parametrize(
    ("start", "status", "reason"),
    [
        (b"SIP/2.0 200 OK", 200, b"OK"),
        (b"SIP/2.0 100 ", 100, b""),
        (b"SIP/2.0 699", 699, b""),
        (b"SIP/2.0 404 Not \xc3\xa9 found, at all", 404, b"Not \xc3\xa9 found, at all"),
    ],
)
def test_a_response_has_a_status_and_a_reason(start: bytes, status: int, reason: bytes) -> None:
    message = parse_message(start + b"\r\n" + FIELDS + b"\r\n")
    assert (message.is_request, message.status, message.reason) == (False, status, reason)


@pytest.mark.parametrize(
    ("start", "sent"),
    [
        (b"OPTIONS sip:b@b.example sip/2.0", b"OPTIONS sip:b@b.example SIP/2.0"),
        (b"sip/2.0 200 OK", b"SIP/2.0 200 OK"),
    ],
)
def test_the_version_in_small_letters_goes_on_in_capitals(start: bytes, sent: bytes) -> None:
    message = parse_message(start + b"\r\n" + FIELDS + b"\r\n")
    assert message.encode() == sent + b"\r\n" + FIELDS + b"\r\n"


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"OPTIONS sip:b SIP/7.0", 505),
        (b"OPTIONS sip:b SIP/2", 505),
        (b"OPTIONS sip:b HTTP/1.1", 400),
        (b"OPTIONS sip:b", 400),
        (b"OPTIONS", 400),
        (b"OPTIONS  sip:b SIP/2.0", 400),
        (b"OPTIONS sip:b  SIP/2.0", 400),
        (b"OPTIONS sip:b SIP/2.0 ", 400),
        (b"OPTIONS sip:b c SIP/2.0", 400),
        (b"OPTIONS  SIP/2.0", 400),
        (b"OPT(IONS sip:b SIP/2.0", 400),
        (b" sip:b SIP/2.0", 400),
        (b"OPTIONS\tsip:b\tSIP/2.0", 400),
        (b"OPTIONS sip:b\nX: SIP/2.0", 400),
        (b"OPTIONS sip:" + b"b" * 9000 + b" SIP/2.0", 414),
    ],
)
def test_a_malformed_request_line_is_refused_with_enough_to_answer(
    start: bytes, status: int
) -> None:
    error = refused(start + b"\r\n" + FIELDS + b"\r\n")
    assert error.status == status
    assert error.message is not None and error.message.is_request
    assert error.message.via.host == b"a.example"


@pytest.mark.parametrize(
    "start",
    [
        b"SIP/2.0",
        b"SIP/2.0 ",
        b"SIP/2.0 OK",
        b"SIP/2.0 99 x",
        b"SIP/2.0 0200 OK",
        b"SIP/2.0 4294967301 better not break",
        b"SIP/2.0 700 x",
        b"SIP/2.0  200 OK",
        b"SIP/2.0 2\xb20 OK",
        b"SIP/3.0 200 OK",
        b"sip/3.0 200 OK",
    ],
)
def test_a_malformed_status_line_is_no_request(start: bytes) -> None:
    error = refused(start + b"\r\n" + FIELDS + b"\r\n")
    assert error.message is not None and not error.message.is_request


@pytest.mark.parametrize(
    "line",
    [
        b"no colon",
        b": no name",
        b"two words: x",
        b"na(me: x",
        b"n\xc3\xa9: x",
        b" From : begins with a space",
        b"",
    ],
)
def test_a_line_that_is_no_field_is_refused(line: bytes) -> None:
    begin = START + (line if line.startswith(b" ") else b"A: 1\r\n" + line) + b"\r\n"
    if not line:
        begin = START + b"A: 1\r\n\r\n"  # the head ends here: what follows is body
        assert unsound(parse_message(begin + FIELDS)).status == 400
        return
    error = refused(begin + FIELDS + b"\r\n")
    assert error.status == 400
    assert error.message is not None and error.message.call_id == b"1"


@pytest.mark.parametrize("stray", [b"\n", b"\r", b"\n\n", b"\r\r\n", b"\n\r"])
@pytest.mark.parametrize("line", [b"X: a%b", b'X: "\\%b"', b"X: a\r\n %b", b"%X: a", b"X%: a"])
def test_a_cr_or_lf_that_ends_no_line_is_refused_and_goes_nowhere(
    line: bytes, stray: bytes
) -> None:
    octets = START + b"A: 1\r\n" + line.replace(b"%", stray) + b"\r\n" + FIELDS + b"\r\n"
    error = refused(octets)
    assert error.status == 400
    assert error.message is not None and error.message.via.host == b"a.example"
    for kept in error.message.lines:
        rest = kept.replace(b"\r\n", b"")
        assert b"\r" not in rest and b"\n" not in rest


def test_a_field_may_be_folded_as_often_as_a_peer_likes() -> None:
    folds = b"\r\n x" * 20_000
    limits = LimitSettings(max_message=200_000, max_field=200_000)
    message = parse_message(START + b"Subject:" + folds + b"\r\n" + FIELDS + b"\r\n", limits)
    assert message.get(b"subject") == b" ".join([b"x"] * 20_000)
    assert message.encode() == START + b"Subject:" + folds + b"\r\n" + FIELDS + b"\r\n"


def test_the_start_line_cannot_be_folded() -> None:
    assert refused(START[:-2] + b"\r\n :x\r\n" + FIELDS + b"\r\n").status == 400


def test_empty_lines_before_the_start_line_are_skipped() -> None:
    message = parse_message(b"\r\n\r\n\r\n" + START + FIELDS + b"\r\n")
    assert message.encode() == START + FIELDS + b"\r\n"


@pytest.mark.parametrize("octets", [b"", b"\r\n", b"\r\n\r\n", b"x", b"\0" * 50, START, START * 2])
def test_what_has_no_end_of_its_fields_is_refused(octets: bytes) -> None:
    assert refused(octets).status == 400


def test_a_message_cut_off_in_its_fields_can_still_be_answered() -> None:
    error = refused(START + FIELDS)
    assert error.message is not None and error.message.cseq.number == 1


BINARY = b"--b\r\nContent-Type: a/b\r\n\r\n\0\r\n\r\n\n\r\xff\r\n--b--\r\n"


def test_a_body_is_as_long_as_it_says_and_kept_octet_for_octet() -> None:
    head = START + FIELDS + b"Content-Type: multipart/mixed;boundary=b\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(BINARY)
    message = parse_message(head + BINARY + b"INVITE sip:x SIP/2.0\r\n\r\n")
    assert message.body == BINARY
    assert message.encode() == head + BINARY


def test_without_a_length_the_body_is_all_the_rest() -> None:
    assert parse_message(START + FIELDS + b"\r\n" + BINARY).body == BINARY


@pytest.mark.parametrize("length", [b"-1", b"", b"x", b"5, 5", b"99", b"1" * 30, b"0x1"])
def test_a_length_that_cannot_be_is_refused(length: bytes) -> None:
    error = refused(START + FIELDS + b"Content-Length: " + length + b"\r\n\r\n12345")
    assert (error.status, error.field) == (400, CONTENT_LENGTH)


def test_two_lengths_must_agree() -> None:
    both = START + FIELDS + b"Content-Length: 2\r\nl: %d\r\n\r\n12345"
    message = parse_message(both % 2)
    check_required(message)
    assert message.body == b"12"
    assert message.encode() == both.replace(b"345", b"") % 2
    assert refused(both % 5).field == CONTENT_LENGTH


@pytest.mark.parametrize("name", [VIA, FROM, TO, CALL_ID, CSEQ])
def test_a_required_field_must_be_there(name: bytes) -> None:
    message = parse_message(START + FIELDS + b"\r\n")
    octets = b"\r\n".join(
        [
            START[:-2],
            *[line for at, line in zip(message.names, message.lines, strict=True) if at != name],
            b"",
            b"",
        ]
    )
    error = unsound(parse_message(octets))
    assert (error.status, error.field) == (400, name)
    assert b"required field missing" in describe(error)


@pytest.mark.parametrize("name", [FROM, TO, CALL_ID, CSEQ])
@pytest.mark.parametrize("before", [b"", b"l: 0\r\nl: 0\r\n"])
@pytest.mark.parametrize("behind", [b"", b"l: 0\r\nl: 0\r\n"])
def test_a_field_that_may_stand_once_is_refused_twice(
    name: bytes, before: bytes, behind: bytes
) -> None:
    message = parse_message(START + FIELDS + b"\r\n")
    again = message.lines[message.find(name)] + b"\r\n"
    error = unsound(parse_message(START + before + FIELDS + again + behind + b"\r\n"))
    assert (error.status, error.field) == (400, name)


@pytest.mark.parametrize(
    ("old", "new", "field", "status"),
    [
        (b"SIP/2.0/UDP", b"SIP/7.0/UDP", b"", 505),
        (b"SIP/2.0/UDP a.example", b"SIP/2.0/UDP", VIA, 400),
        (b"branch=z9hG4bK1", b"branch=z9hG4bK", VIA, 400),
        (b";branch=z9hG4bK1", b";;,;,,", VIA, 400),
        (b"SIP/2.0/UDP a.example;branch=z9hG4bK1", b",", VIA, 400),
        (b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE", b"", 400),
        (b"CSeq: 1 OPTIONS", b"CSeq: OPTIONS", CSEQ, 400),
        (b"CSeq: 1 OPTIONS", b"CSeq: 36893488147419103232 OPTIONS", CSEQ, 400),
        (b"Call-ID: 1", b"Call-ID:", b"", 400),
        (b"<sip:b@b.example>", b'"B <sip:b@b.example>', TO, 400),
        (b"<sip:b@b.example>", b'<sip:b@b.example>;x="', TO, 400),
        (b"<sip:a@a.example>", b"A, B <sip:a@a.example>", FROM, 400),
        (b"<sip:a@a.example>", b"", FROM, 400),
    ],
)
def test_a_required_field_must_be_sound(old: bytes, new: bytes, field: bytes, status: int) -> None:
    assert old in FIELDS
    error = unsound(parse_message(START + FIELDS.replace(old, new) + b"\r\n"))
    assert (error.status, error.field) == (status, field)


def test_a_branch_of_2543_needs_no_cookie() -> None:
    for branch in (b";branch=1", b"", b";branch"):
        check_required(parse_message(START + FIELDS.replace(b";branch=z9hG4bK1", branch) + b"\r\n"))


def test_the_cseq_of_a_response_may_name_any_method() -> None:
    check_required(parse_message(b"SIP/2.0 200 OK\r\n" + FIELDS + b"\r\n"))


def test_a_message_over_the_limit_is_too_large_but_can_be_answered() -> None:
    limits = LimitSettings(max_message=1300)
    whole = START + FIELDS + b"\r\n"
    body = b"x" * (1300 - len(whole))
    assert parse_message(whole + body, limits).body == body
    error = refused(whole + body + b"x", limits)
    assert (error.status, error.cause) == (513, "too-large")
    assert error.message is not None
    check_required(error.message)


def test_too_many_fields_are_too_large_but_can_be_answered() -> None:
    limits = LimitSettings(max_fields=16)
    assert len(parse_message(START + FIELDS + b"X: 1\r\n" * 11 + b"\r\n", limits).names) == 16
    error = refused(START + FIELDS + b"X: 1\r\n" * 12 + b"\r\n", limits)
    assert error.status == 513
    assert error.message is not None and len(error.message.names) == 16
    assert error.message.call_id == b"1"


def test_a_field_over_the_limit_is_too_large_folds_counted() -> None:
    limits = LimitSettings(max_field=256)
    fits = b"Subject:\r\n " + b"x" * (256 - 11)
    parse_message(START + FIELDS + fits + b"\r\n\r\n", limits)
    error = refused(START + FIELDS + fits + b"x\r\n\r\n", limits)
    assert error.status == 513
    assert error.message is not None and not error.message.has(b"subject")


def test_comments_nested_too_deep_are_too_large() -> None:
    limits = LimitSettings(max_nesting=2)
    flat = START + FIELDS + b"User-Agent: a (b) (c) (d (e))\r\n\r\n"
    assert parse_message(flat, limits).encode() == flat
    error = refused(START + FIELDS + b"User-Agent: a (b (c (d)))\r\n\r\n", limits)
    assert (error.status, error.field) == (513, b"user-agent")
    parse_message(START + FIELDS + b'Subject: "(((("\r\n\r\n((((((', limits)


def test_the_answer_says_which_field_was_at_fault() -> None:
    error = refused(START + FIELDS + b"l: x\r\n\r\n")
    assert describe(error) == b"not a number (Content-Length)"
    assert describe(ParseError("white space")) == b"white space"
