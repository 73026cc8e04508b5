"""Whatever arrives is a message or a counted error; what is valid comes out as it went in."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from uacproxy.errors import ParseError
from uacproxy.sip import header
from uacproxy.sip.build import build_ack, build_cancel, build_response
from uacproxy.sip.fields import contact_expires, expires_of, retry_after
from uacproxy.sip.framing import PING, Framer, StreamBroken
from uacproxy.sip.message import Message
from uacproxy.sip.names import CONTACT, FROM, ROUTE, TO, VIA, canonical
from uacproxy.sip.parse import MalformedMessage, check_required, describe, parse_message

# -- any octets ----------------------------------------------------------------------------

PIECE = st.sampled_from(
    [
        b"INVITE sip:a@b SIP/2.0\r\n",
        b"SIP/2.0 200 OK\r\n",
        b"Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\n",
        b"From: <sip:a@b>;tag=1\r\n",
        b"To: ",
        b"Call-ID: 1\r\n",
        b"CSeq: 1 INVITE\r\n",
        b"Contact: *\r\n",
        b"Route: ",
        b"l: 3\r\n",
        b"Max-Forwards: ",
        b"\r\n",
        b"\r\n\r\n",
        b"\r\n ",
        b"\n",
        b"\r",
        b"<sip:a@[::1]",
        b">",
        b'"',
        b"\\",
        b",",
        b";",
        b"=",
        b":",
        b"%",
        b" ",
        b"\0",
        b"\xff",
        b"0",
    ]
)
OCTETS = st.one_of(st.binary(max_size=200), st.lists(PIECE, max_size=24).map(b"".join))

LOOKS: list[Callable[[Message], object]] = [
    check_required,
    lambda message: message.via,
    lambda message: message.via.marked("192.0.2.1", 5060),
    lambda message: message.cseq,
    lambda message: message.from_.address,
    lambda message: message.to.param(b"tag"),
    lambda message: message.call_id,
    lambda message: message.uri,
    lambda message: message.max_forwards,
    lambda message: message.values(VIA),
    lambda message: [each.address for each in message.addresses(ROUTE)],
    lambda message: [contact_expires(each) for each in message.addresses(CONTACT)],
    lambda message: message.values(b"call-id"),
    expires_of,
    retry_after,
]


def look_everywhere(message: Message) -> None:
    """Ask for every typed view; a ParseError is an answer."""
    for look in LOOKS:
        try:
            look(message)
        except ParseError as error:
            found = error
        else:
            continue
        assert 400 <= found.status < 700
        assert describe(found).isascii()


@given(OCTETS)
@example(b"INVITE sip:a SIP/2.0\r\nVia: ,\r\nRoute: ,\r\nContact: ,\r\n\r\n")
def test_any_octets_are_a_message_or_a_malformed_one(octets: bytes) -> None:
    try:
        message = parse_message(octets)
    except MalformedMessage as error:
        found = error
    else:
        look_everywhere(message)
        assert message.encode() in octets or b"sip/2.0" in octets.lower()
        assert parse_message(message.encode()).encode() == message.encode()
        return
    assert found.status in (400, 414, 505, 513)
    if found.message is not None:
        look_everywhere(found.message)


@given(OCTETS, OCTETS)
def test_a_response_can_be_built_from_whatever_has_its_fields(octets: bytes, more: bytes) -> None:
    try:
        request = parse_message(b"INVITE sip:a SIP/2.0\r\nTo: <sip:a>\r\n" + octets + b"\r\n\r\n")
    except MalformedMessage as error:
        if error.message is None:
            return
        request = error.message
    response = build_response(request, 400, to_tag=b"tt")
    again = parse_message(response.encode())
    assert (again.status, again.body) == (400, b"")
    assert again.lines == response.lines


# -- valid messages ------------------------------------------------------------------------

TOKEN = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=8).map(str.encode)
HOST = st.sampled_from([b"a.example", b"A.Example:5061", b"192.0.2.1", b"[2001:db8::1]:5070"])
USER = st.sampled_from([b"", b"alice@", b"a;b=c%40@", b"+1-2:p%20w@", b"%00?/@", b"\xc3\xa9@"])
URI = st.builds(
    lambda scheme, user, host, rest: scheme + user + host + rest,
    st.sampled_from([b"sip:", b"SIPS:"]),
    USER,
    HOST,
    st.sampled_from([b"", b";lr", b";transport=TCP;x=%20", b"?a=b&c="]),
)
DISPLAY = st.sampled_from(
    [b"", b'"" ', b"Bob ", b'"A, \\"B\\" <sip:x@y>;tag=no" ', b"J\xc3\xbc ", b'"\\\0\\\x7f"\r\n ']
)
ADDRESS = st.builds(lambda display, uri: display + b"<" + uri + b">", DISPLAY, URI)
SPACE = st.sampled_from([b"", b" ", b"\t", b"  \r\n  ", b" \r\n\t"])
TEXT = st.sampled_from([b"", b"x", b";;,,;;,;", b"a\r\n b\r\n\tc", b"\xe2\x82\xac", b'"q (', b"\0"])


def spelled(name: bytes, compact: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from([name, name.lower(), name.upper(), compact, compact.upper()])


def line(
    names: st.SearchStrategy[bytes], values: st.SearchStrategy[bytes]
) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda name, before, after, value: name + before + b":" + after + value,
        names,
        st.sampled_from([b"", b" ", b"\t "]),
        SPACE,
        values,
    )


VIA_VALUE = st.builds(
    lambda transport, host, tail: b"SIP/2.0/" + transport + b" " + host + tail,
    st.sampled_from([b"UDP", b"TCP", b"TLS", b"UNKNOWN"]),
    HOST,
    st.sampled_from(
        [b";branch=z9hG4bKa", b" ; rport;\r\n branch = z9hG4bKb", b';x="a;,b";branch=1']
    ),
)
VIAS = st.lists(
    line(spelled(b"Via", b"v"), st.lists(VIA_VALUE, min_size=1, max_size=3).map(b" , ".join)),
    min_size=1,
    max_size=3,
)
OTHERS = st.lists(
    st.one_of(
        line(spelled(b"Contact", b"m"), st.lists(ADDRESS, min_size=1, max_size=3).map(b", ".join)),
        line(st.just(b"Route"), st.lists(ADDRESS, min_size=1, max_size=2).map(b",".join)),
        line(spelled(b"Subject", b"s"), TEXT),
        line(st.builds(lambda rest: b"X-" + rest, TOKEN), TEXT),
    ),
    max_size=5,
)
BODY = st.one_of(st.just(b""), st.binary(max_size=60), st.just(b"--b\r\n\r\n\0\r\n\r\n--b--\r\n"))


@st.composite
def valid_messages(draw: st.DrawFn) -> bytes:
    method = draw(st.one_of(st.sampled_from([b"INVITE", b"BYE", b"MESSAGE"]), TOKEN))
    start = draw(
        st.one_of(
            URI.map(lambda uri: method + b" " + uri + b" SIP/2.0"),
            st.sampled_from([b"SIP/2.0 200 OK", b"SIP/2.0 404 ", b"SIP/2.0 699 \xc3\xa9 x"]),
        )
    )
    body = draw(BODY)
    lines = [
        *draw(VIAS),
        draw(line(spelled(b"From", b"f"), ADDRESS)) + b";tag=" + draw(TOKEN),
        draw(line(spelled(b"To", b"t"), ADDRESS)),
        draw(line(spelled(b"Call-ID", b"i"), TOKEN)),
        draw(line(st.sampled_from([b"CSeq", b"CSEQ"]), st.just(b"007\r\n " + method))),
        draw(line(spelled(b"Content-Length", b"l"), st.just(b"%d" % len(body)))),
        *draw(OTHERS),
    ]
    return b"\r\n".join([start, *draw(st.permutations(lines)), b"", body])


@given(valid_messages())
def test_a_valid_message_is_sound_and_comes_out_as_it_went_in(octets: bytes) -> None:
    message = parse_message(octets)
    check_required(message)
    _ = message.addresses(CONTACT), message.addresses(ROUTE), message.values(VIA)
    assert message.from_.tag and message.via.branch
    assert message.cseq.number == 7
    assert message.encode() == octets
    assert message.branch_copy().encode() == octets


@given(valid_messages(), TOKEN)
def test_an_edit_and_its_reverse_leave_no_trace(octets: bytes, value: bytes) -> None:
    message = parse_message(octets)
    message.push(VIA, b"SIP/2.0/UDP p.example;branch=z9hG4bK" + value)
    assert message.via.host == b"p.example"
    message.push(b"record-route", b"<sip:p.example;lr>")
    message.append(b"x-" + value, value)
    assert parse_message(message.encode()).lines == message.lines
    message.pop(VIA)
    message.remove(b"record-route")
    header.cut(message.header, header.count(message.header) - 1)
    assert message.encode() == octets


@given(valid_messages(), ADDRESS)
def test_a_swapped_head_is_there_and_the_tail_stays(octets: bytes, address: bytes) -> None:
    message = parse_message(octets)
    head = b" ".join(part.strip() for part in address.split(b"\r\n"))
    for name, view in ((FROM, message.from_), (TO, message.to)):
        message.swap_value(name, view.head, head)
    again = parse_message(message.encode())
    assert (again.from_.head, again.to.head) == (head, head)
    assert again.from_.tag == parse_message(octets).from_.tag


@given(valid_messages())
def test_what_is_built_from_a_valid_request_is_valid(octets: bytes) -> None:
    request = parse_message(octets)
    if not request.is_request or request.method == b"ACK":
        return
    response = build_response(request, 486, to_tag=b"tt")
    check_required(parse_message(response.encode()))
    assert parse_message(response.encode()).to.tag == b"tt"
    for built in (build_ack(request, response), build_cancel(request, [])):
        check_required(parse_message(built.encode()))
        assert built.via.branch == request.via.branch
        assert len(built.fields(VIA)) == len(built.values(VIA)) == 1


# -- framing ---------------------------------------------------------------------------------


def cut(chunks: list[bytes]) -> tuple[list[bytes], int]:
    """Return the frames, and the status of the break or what is pending."""
    framer = Framer()
    frames: list[bytes] = []
    try:
        for chunk in chunks:
            framer.feed(chunk, frames)
    except StreamBroken as error:
        return frames, error.status
    return frames, -framer.pending


def chunked(octets: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({at % (len(octets) + 1) for at in cuts} | {0, len(octets)})
    return [octets[begin:end] for begin, end in pairwise(ends)]


CUTS = st.lists(st.integers(min_value=0, max_value=2000), max_size=12)


@given(st.lists(valid_messages(), max_size=4), CUTS)
def test_messages_are_cut_where_they_end_however_they_come(
    messages: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(messages)
    whole = cut([stream])
    assert whole == (messages, 0)
    assert cut(chunked(stream, cuts)) == whole
    assert cut([stream[at : at + 1] for at in range(len(stream))]) == whole


@given(st.lists(st.one_of(valid_messages(), st.sampled_from([b"\r\n", PING])), max_size=6), CUTS)
def test_keep_alives_between_messages_change_no_message(
    parts: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(parts)
    frames, rest = cut([stream])
    assert [frame for frame in frames if frame != PING] == [
        part for part in parts if part not in (b"\r\n", PING)
    ]
    assert rest in (0, -2)
    assert cut(chunked(stream, cuts)) == (frames, rest)
    assert cut([stream[at : at + 1] for at in range(len(stream))]) == (frames, rest)


@given(OCTETS, OCTETS, CUTS)
def test_any_stream_is_cut_the_same_however_it_comes(
    one: bytes, other: bytes, cuts: list[int]
) -> None:
    stream = one + other
    whole = cut([stream])
    assert cut(chunked(stream, cuts)) == whole
    assert cut([stream[at : at + 1] for at in range(len(stream))]) == whole
    for frame in whole[0]:
        try:
            parse_message(frame)
        except MalformedMessage:
            continue


@given(st.binary(max_size=12))
def test_a_name_is_canonical_once(name: bytes) -> None:
    assert canonical(canonical(name)) == canonical(name)
    assert canonical(name.upper()) == canonical(name.lower())
