"""What was sealed, opened, parsed or looked up of late: bounded, and no answer to anything else."""

from __future__ import annotations

import pytest

from tests.support.world import invite
from uacproxy.errors import RestoreFailed
from uacproxy.proxy.route_mark import MOST_KEPT as MOST_MARKS
from uacproxy.proxy.route_mark import RouteMark
from uacproxy.settings import parse_listen
from uacproxy.sip import digest_hash, uri
from uacproxy.sip.message import Message
from uacproxy.sip.names import FROM, TO
from uacproxy.sip.parse import parse_message
from uacproxy.sip.uri import Uri, parse_uri
from uacproxy.testing.clock import SteppingClock
from uacproxy.transport.addresses import LocalAddresses
from uacproxy.transport.own_names import MAX_ANSWERS, OwnNames
from uacproxy.uac.auth_param import MOST_KEPT as MOST_SOURCES
from uacproxy.uac.auth_param import AuthSeal, DialogAuth
from uacproxy.uac.replace import Identities
from uacproxy.uac.rr_param import MOST_KEPT as MOST_OPENED
from uacproxy.uac.rr_param import MOST_SEALED, SealedCodec

KEY = b"k" * 32
ALICE = Identities(b"<sip:alice@a.example>", b"<sip:7@trunk.example>")


def codec(*keys: bytes) -> SealedCodec:
    return SealedCodec(b"vsf", b"vst", list(keys or (KEY,)))


def route(params: list[tuple[bytes, bytes]]) -> Uri:
    tail = b"".join(b";" + name + b"=" + value for name, value in params)
    return parse_uri(b"sip:192.0.2.100;lr;ftag=at1" + tail)


def request(call_id: bytes = b"one", tag: bytes = b"at1") -> Message:
    from_ = b"<sip:a@a.example>;tag=" + tag
    return parse_message(invite(call_id=call_id, from_=from_, to=b"<sip:b@b.example>;tag=bt1"))


def names() -> OwnNames:
    made = OwnNames(None, LocalAddresses(SteppingClock().seconds))
    made.add(parse_listen("udp:192.0.2.1:5060"))
    return made


# -- bounded ---------------------------------------------------------------------------


def test_identities_are_remembered_in_bounded_space() -> None:
    made = codec()
    for number in range(MOST_OPENED + 10):
        made.params(ALICE, b"%d" % number, b"at1")
    assert 0 < len(made._sealed) <= MOST_SEALED
    assert 0 < len(made._opened) <= MOST_OPENED


def test_whose_credentials_answer_is_remembered_in_bounded_space() -> None:
    made = AuthSeal([KEY], b"boot")
    for number in range(MOST_SOURCES + 10):
        made.seal(DialogAuth(b"realm", b""), b"%d" % number, b"at1")
    assert 0 < len(made._sealed) <= MOST_SOURCES
    assert 0 < len(made._opened) <= MOST_SOURCES


def test_marks_are_remembered_in_bounded_space_and_none_of_what_is_long() -> None:
    made = RouteMark([KEY])
    for number in range(MOST_MARKS + 10):
        made.mark(b"%d" % number, b"at1")
    assert 0 < len(made._made) <= MOST_MARKS
    before = len(made._made)
    made.mark(b"x" * 4000, b"at1")
    assert len(made._made) == before


def test_uris_names_and_hashes_are_remembered_in_bounded_space() -> None:
    ours = names()
    md5 = digest_hash.find_algorithm(b"MD5")
    assert md5 is not None
    for number in range(max(uri.MOST_KEPT, MAX_ANSWERS) + 10):
        parse_uri(b"sip:%d@a.example" % number)
        ours.is_ours(b"%d.example" % number, 5060, b"UDP")
        digest_hash.compute_response(
            md5, ha1=b"", nonce=b"", method=b"REGISTER", uri=b"sip:%d" % number
        )
    assert 0 < len(uri._PARSED) <= uri.MOST_KEPT
    assert 0 < len(ours._answers) <= MAX_ANSWERS
    assert 0 < len(digest_hash._OF_REGISTRARS) <= digest_hash.MOST_REGISTRARS


# -- and of that alone -----------------------------------------------------------------


@pytest.mark.parametrize("is_new", [False, True], ids=["remembered", "after a restart"])
def test_an_identity_is_that_of_its_dialog_field_and_direction(is_new: bool) -> None:
    made = codec()
    own = route(made.params(ALICE, b"one", b"at1"))
    if is_new:
        made = codec(b"n" * 32, KEY)
    moved = route([(b"vst", value) for name, value in own.params if name == b"vsf"])
    toward_caller = parse_message(
        invite(call_id=b"one", from_=b"<sip:b@b>;tag=bt1", to=b"<sip:7@t>;tag=at1")
    )
    for _ in range(2):
        assert made.head(FROM, request(), own, True) == ALICE.from_shown
        assert made.head(FROM, toward_caller, own, False) == ALICE.from_original
        for replaced, asked, by in (
            (FROM, request(call_id=b"two"), own),
            (FROM, request(tag=b"at2"), own),
            (TO, request(), moved),
        ):
            with pytest.raises(RestoreFailed):
                made.head(replaced, asked, by, True)


@pytest.mark.parametrize("is_new", [False, True], ids=["remembered", "after a restart"])
def test_whose_credentials_answer_is_that_of_its_dialog_and_sides(is_new: bool) -> None:
    made = AuthSeal([KEY], b"boot")
    value = made.seal(DialogAuth(b"account:7", b"user:bob"), b"one", b"at1")
    if is_new:
        made = AuthSeal([b"n" * 32, KEY], b"next")
    for _ in range(2):
        opened = made.open(value, b"one", b"at1")
        assert (opened.to_callee, opened.to_caller) == (b"account:7", b"user:bob")
        assert opened.is_of_this_run is not is_new
        for call_id, tag in ((b"two", b"at1"), (b"one", b"at2")):
            with pytest.raises(RestoreFailed):
                made.open(value, call_id, tag)


@pytest.mark.parametrize("is_new", [False, True], ids=["remembered", "after a restart"])
def test_a_mark_is_that_of_its_dialog_caller_and_policy(is_new: bool) -> None:
    made = RouteMark([KEY])
    plain = made.mark(b"one", b"at1")
    hidden = made.mark(b"one", b"at1", b"untrusted")
    if is_new:
        made = RouteMark([b"n" * 32, KEY])

    def entry(mark: bytes, *more: tuple[bytes, bytes]) -> Uri:
        return route([(b"ck", mark), *more])

    back = request(tag=b"x")
    back = parse_message(back.encode().replace(b"tag=bt1", b"tag=at1"))
    for _ in range(2):
        assert made.direction(entry(plain), request()) is True
        assert made.direction(entry(plain), back) is False
        assert made.direction(entry(hidden, (b"hide", b"untrusted")), back) is False
        assert made.direction(entry(hidden), back) is None
        assert made.direction(entry(plain, (b"hide", b"untrusted")), back) is None
        assert made.direction(entry(hidden, (b"hide", b"trusted")), back) is None
        assert made.direction(entry(plain), request(call_id=b"two")) is None
        assert made.direction(entry(plain), request(tag=b"at2")) is None
