"""REGISTER in, answer out (RFC 3261 10.3 and 22, RFC 4475)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from uacproxy.ports import Flow, Target
from uacproxy.registrar.bindings import BindingTable
from uacproxy.registrar.digest_server import DigestServer
from uacproxy.registrar.registrar import Registrar
from uacproxy.registrar.settings import RegistrarSettings
from uacproxy.sip.digest import DigestCredentials, read_challenges
from uacproxy.sip.digest_hash import compute_ha1, compute_response, find_algorithm
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    AUTHORIZATION,
    CONTACT,
    CSEQ,
    MIN_EXPIRES,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    RECORD_ROUTE,
    WWW_AUTHENTICATE,
)
from uacproxy.sip.parse import parse_message
from uacproxy.sip.via import Via
from uacproxy.store.memory import MemoryStore

ALICE = b"alice@example.com"
NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


class FlowFrom(Flow):
    """A UDP flow from one address."""

    sent_by = b"192.0.2.200:5060"

    def __init__(self, host: str = "192.0.2.1", port: int = 5060) -> None:
        super().__init__(b"UDP", (host, port), ("192.0.2.200", 5060), reliable=False)

    def send(self, octets: bytes, failed: Callable[[], None] | None) -> None: ...

    def answering(self, via: Via) -> Flow:
        return self


class Digits:
    """Randomness that counts."""

    def __init__(self) -> None:
        self.count = 0

    def token(self) -> bytes:
        self.count += 1
        return b"%016x" % self.count

    def uniform(self, low: float, high: float) -> float:
        return low


class Bench:
    """A registrar for example.com, with or without a user alice whose password is secret."""

    def __init__(self, *, authenticate: bool = False, **settings: Any) -> None:
        self.now = NOW
        self.cseq = 0
        self.secrets: dict[bytes, str] = {}
        self.waiting: list[Callable[[], None]] = []
        kept = RegistrarSettings(**settings)
        self.bindings = BindingTable(
            lambda: self.now, MemoryStore(lambda: self.now), kept.max_contacts
        )
        self.registrar = Registrar(
            settings=kept,
            bindings=self.bindings,
            is_our_domain=lambda host: host == b"example.com",
            digest=DigestServer(b"example.com", b"k" * 32, lambda: self.now, 300.0),
            ha1_of=self.ha1_of if authenticate else None,
            now_utc=lambda: self.now,
            random=Digits(),
        )
        algorithm = find_algorithm(b"MD5")
        assert algorithm is not None
        self.md5 = algorithm
        self.secrets[b"alice"] = compute_ha1(
            algorithm, b"alice", b"example.com", b"secret"
        ).decode()

    def ha1_of(self, user: bytes, realm: bytes, then: Callable[[str | None], None]) -> None:
        self.waiting.append(lambda: then(self.secrets.get(user)))

    def request(
        self,
        *fields: bytes,
        to: bytes = b"<sip:alice@example.com>",
        call_id: bytes = b"c1",
        via: bytes = b"192.0.2.1",
    ) -> Message:
        self.cseq += 1
        return parse_message(
            b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP %b;branch=z9hG4bKa\r\n"
            b"From: <sip:alice@example.com>;tag=1\r\nTo: %b\r\nCall-ID: %b\r\n"
            b"CSeq: %d REGISTER\r\n%bContent-Length: 0\r\n\r\n"
            % (via, to, call_id, self.cseq, b"".join(field + b"\r\n" for field in fields))
        )

    def answer(self, request: Message, flow: FlowFrom | None = None) -> Message:
        answers: list[Message] = []
        self.registrar.register(request, flow or FlowFrom(), answers.append)
        while self.waiting:
            self.waiting.pop(0)()
        assert len(answers) == 1
        return answers[0]

    def register(self, *fields: bytes) -> Message:
        return self.answer(self.request(*fields))

    def prove(
        self,
        request: Message,
        challenged: Message,
        *,
        username: bytes = b"alice",
        password: bytes = b"secret",
        proxy: bool = False,
    ) -> Message:
        asked = challenged.need(PROXY_AUTHENTICATE if proxy else WWW_AUTHENTICATE)
        nonce = read_challenges(asked)[0].nonce
        ha1 = compute_ha1(self.md5, username, b"example.com", password)
        credentials = DigestCredentials(
            username=username,
            realm=b"example.com",
            nonce=nonce,
            uri=b"sip:example.com",
            response=compute_response(
                self.md5,
                ha1=ha1,
                nonce=nonce,
                method=request.method,
                uri=b"sip:example.com",
                qop=b"auth",
                nc=b"00000001",
                cnonce=b"c",
            ),
            qop=b"auth",
            nc=b"00000001",
            cnonce=b"c",
        )
        self.cseq += 1
        again = request.branch_copy()
        again.set(CSEQ, b"%d REGISTER" % self.cseq)
        again.append(PROXY_AUTHORIZATION if proxy else AUTHORIZATION, credentials.encode())
        return again


# -- bindings --------------------------------------------------------------------------


def test_a_contact_is_granted_what_it_asks_for() -> None:
    answer = Bench().register(b"Contact: <sip:alice@192.0.2.1>;expires=120")
    assert answer.encode() == (
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n"
        b"From: <sip:alice@example.com>;tag=1\r\n"
        b"To: <sip:alice@example.com>;tag=0000000000000001\r\n"
        b"Call-ID: c1\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n"
        b"Contact: <sip:alice@192.0.2.1>;expires=120\r\n"
        b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("fields", "expires"),
    [
        ([b"Contact: <sip:a@h>;expires=120", b"Expires: 240"], 120),
        ([b"Contact: <sip:a@h>", b"Expires: 240"], 240),
        ([b"Contact: <sip:a@h>"], 600),
        ([b"Contact: <sip:a@h>;expires=999999999999"], 3600),
        ([b"Contact: <sip:a@h>;expires=soon"], 600),
        ([b"Contact: <sip:a@h>;expires=60"], 60),
    ],
)
def test_expires_of_the_contact_comes_before_that_of_the_request(
    fields: list[bytes], expires: int
) -> None:
    answer = Bench().register(*fields)
    assert answer.get(CONTACT) == b"<sip:a@h>;expires=%d" % expires


def test_every_binding_is_told_with_the_time_it_has_left() -> None:
    bench = Bench()
    bench.register(b"Contact: <sip:a@h>;expires=120;q=0.5")
    bench.now += 20
    answer = bench.register(b"m: sip:b@h, <sip:c@h>;q=0.7;expires=300")
    assert answer.fields(CONTACT) == [
        b"<sip:b@h>;expires=600",
        b"<sip:c@h>;q=0.7;expires=300",
        b"<sip:a@h>;q=0.5;expires=100",
    ]


def test_a_register_without_contact_asks_and_changes_nothing() -> None:
    bench = Bench()
    bench.register(b"Contact: <sip:a@h>;expires=120")
    assert bench.register().fields(CONTACT) == [b"<sip:a@h>;expires=120"]


@pytest.mark.parametrize(
    "fields",
    [
        [b"Contact: <sip:a@h>;expires=0"],
        [b"Contact: <sip:a@h>", b"Expires: 0"],
        [b"Contact: *", b"Expires: 0"],
    ],
)
def test_expires_0_removes(fields: list[bytes]) -> None:
    bench = Bench()
    bench.register(b"Contact: <sip:a@h>")
    answer = bench.register(*fields)
    assert (answer.status, answer.fields(CONTACT)) == (200, [])
    assert bench.bindings.lookup(ALICE) == []


@pytest.mark.parametrize(
    "fields",
    [
        [b"Contact: *"],
        [b"Contact: *", b"Expires: 1"],
        [b"Contact: *", b"Expires: never"],
        [b"Contact: *, <sip:a@h>", b"Expires: 0"],
        [b"Contact: *", b"Contact: *", b"Expires: 0"],
        [b"Contact: *;expires=0"],
        [b"Contact: alice"],
        [b"Contact: <sip:a@h"],
        [b'Contact: <sip:a@h>;x=y"'],
        [b"Contact: <sip:a@h>;x=<y"],
        [b'Contact: <sip:a@h>;x="y'],
        [b"Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E"],  # RFC 4475 3.1.2.13
    ],
)
def test_a_contact_that_cannot_be_is_a_bad_request_and_changes_nothing(fields: list[bytes]) -> None:
    bench = Bench()
    bench.register(b"Contact: <sip:a@h>")
    assert bench.register(b"Contact: <sip:b@h>", *fields).status == 400
    assert [found.contact for found in bench.bindings.lookup(ALICE)] == [b"sip:a@h"]


@pytest.mark.parametrize("wish", [1, 59])
def test_a_wish_too_brief_is_told_the_minimum(wish: int) -> None:
    bench = Bench()
    answer = bench.register(b"Contact: <sip:b@h>", b"Contact: <sip:a@h>;expires=%d" % wish)
    assert (answer.status, answer.get(MIN_EXPIRES)) == (423, b"60")
    assert bench.bindings.lookup(ALICE) == []


def test_an_hour_is_never_too_brief() -> None:
    bench = Bench(min_expires=7200, max_expires=7200, default_expires=7200)
    assert bench.register(b"Contact: <sip:a@h>;expires=3600").status == 200
    assert bench.register(b"Contact: <sip:a@h>;expires=3599").status == 423


def test_an_older_request_of_the_same_call_is_refused() -> None:
    bench = Bench()
    older = bench.request(b"Contact: <sip:a@h>;expires=0")
    bench.register(b"Contact: <sip:a@h>")
    assert bench.answer(older).status == 400
    assert len(bench.bindings.lookup(ALICE)) == 1


def test_a_further_contact_than_allowed_is_refused() -> None:
    bench = Bench(max_contacts=1)
    bench.register(b"Contact: <sip:a@h>")
    assert bench.register(b"Contact: <sip:b@h>").status == 503


@pytest.mark.parametrize(
    ("to", "status"),
    [
        (b"<sip:alice@example.org>", 404),
        (b"<sip:example.com>", 404),
        (b"<tel:+4930123>", 404),
        (b"<isbn:2983792873>", 400),  # RFC 4475 3.3.4
        (b"<sip:alice@:5060>", 400),
        (b"Alice", 400),
        (b'"Alice" <sips:alice@EXAMPLE.COM:5061;user=phone>', 200),
    ],
)
def test_only_addresses_of_our_domains_are_registered(to: bytes, status: int) -> None:
    bench = Bench()
    assert bench.answer(bench.request(b"Contact: <sip:a@h>", to=to)).status == status


def test_record_route_is_not_given_back() -> None:
    answer = Bench().register(b"Record-Route: <sip:p;lr>", b"Contact: <sip:a@h>")
    assert not answer.has(RECORD_ROUTE)


def test_the_path_is_kept_and_given_back() -> None:
    """RFC 3327 5.3."""
    bench = Bench()
    answer = bench.register(b"Path: <sip:p1;lr>, <sip:p2;lr>", b"Contact: <sip:a@h>")
    assert answer.fields(b"path") == [b"<sip:p1;lr>, <sip:p2;lr>"]
    assert bench.bindings.lookup(ALICE)[0].path == [b"<sip:p1;lr>", b"<sip:p2;lr>"]


def test_instance_and_reg_id_are_kept() -> None:
    bench = Bench()
    bench.register(b'Contact: <sip:a@h>;+sip.instance="<urn:uuid:1>";reg-id=2')
    found = bench.bindings.lookup(ALICE)[0]
    assert (found.instance, found.reg_id) == (b"<urn:uuid:1>", 2)


@pytest.mark.parametrize(
    ("q", "found"),
    [(b"0.25", 0.25), (b"1", 1.0), (b"1.5", 1.0), (b".5", 0.5), (b"0", 0.0), (b"x", 1.0)],
)
def test_q_is_read(q: bytes, found: float) -> None:
    bench = Bench()
    bench.register(b"Contact: <sip:a@h>;q=" + q)
    assert bench.bindings.lookup(ALICE)[0].q == found


@pytest.mark.parametrize(
    ("contact", "given_back"),
    [
        # RFC 4475 3.3.12, 3.3.13, 3.3.14
        (b"sip:+1972@gw1.example.net;unknownparam", b"<sip:+1972@gw1.example.net>;unknownparam"),
        (b"<sip:+1972@gw1.example.net;unknownparam>", b"<sip:+1972@gw1.example.net;unknownparam>"),
        (b"<sip:u@h?Route=%3Csip:s.example%3E>", b"<sip:u@h?Route=%3Csip:s.example%3E>"),
        (b'"A" <sip:a@h>;X="1;2" ;expires=600', b'<sip:a@h>;x="1;2"'),
    ],
)
def test_parameters_stay_where_they_belong(contact: bytes, given_back: bytes) -> None:
    answer = Bench().register(b"Contact: " + contact)
    assert answer.get(CONTACT) == given_back + b";expires=600"


# -- NAT -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contact", "via", "source", "seen"),
    [
        (b"sip:a@10.0.0.5:5062", b"10.0.0.5:5062", "198.51.100.7", True),
        (b"sip:a@10.0.0.5", b"10.0.0.5", "10.0.0.5", False),
        (b"sip:a@[2001:db8::5]", b"[2001:DB8::5]", "2001:db8:0::5", False),
        (b"sip:a@[2001:db8::5]", b"[2001:db8::5]", "2001:db8::6", True),
        (b"sip:a@192.0.2.9", b"10.0.0.5", "198.51.100.7", False),
        (b"sip:a@phone.example", b"phone.example", "198.51.100.7", False),
        (b"sip:a@x1y2z3.invalid", b"x1y2z3.invalid", "198.51.100.7", True),
        (b"sip:a@10.0.0.5", b"10.0.0.5, SIP/2.0/UDP 10.0.0.6", "198.51.100.7", False),
        (b"mailto:a@10.0.0.5", b"10.0.0.5", "198.51.100.7", False),
    ],
)
def test_where_nat_hides_a_phone_it_is_reached_where_it_was_seen(
    contact: bytes, via: bytes, source: str, seen: bool
) -> None:
    bench = Bench()
    request = bench.request(b"Contact: <" + contact + b">", via=via)
    bench.answer(request, FlowFrom(source, 40000))
    target = Target(b"UDP", source, 40000) if seen else None
    assert bench.bindings.lookup(ALICE)[0].target == target


# -- authentication --------------------------------------------------------------------


def test_a_register_without_proof_is_challenged_and_changes_nothing() -> None:
    bench = Bench(authenticate=True)
    answer = bench.register(b"Contact: <sip:a@h>")
    challenge = read_challenges(answer.need(WWW_AUTHENTICATE))[0]
    assert (answer.status, challenge.realm, challenge.stale) == (401, b"example.com", False)
    assert bench.bindings.lookup(ALICE) == []


def test_the_right_password_registers() -> None:
    bench = Bench(authenticate=True)
    request = bench.request(b"Contact: <sip:a@h>")
    assert bench.answer(bench.prove(request, bench.answer(request))).status == 200
    assert len(bench.bindings.lookup(ALICE)) == 1


def test_an_empty_username_proves_nothing() -> None:
    bench = Bench(authenticate=True)
    bench.secrets[b""] = compute_ha1(bench.md5, b"", b"example.com", b"secret").decode()
    request = bench.request(b"Contact: <sip:a@h>")
    assert bench.answer(bench.prove(request, bench.answer(request), username=b"")).status == 401


@pytest.mark.parametrize(("username", "password"), [(b"alice", b"wrong"), (b"nobody", b"secret")])
def test_a_wrong_password_and_an_unknown_user_look_alike(username: bytes, password: bytes) -> None:
    bench = Bench(authenticate=True)
    request = bench.request(b"Contact: <sip:a@h>")
    proof = bench.prove(request, bench.answer(request), username=username, password=password)
    answer = bench.answer(proof)
    assert answer.status == 401
    assert not read_challenges(answer.need(WWW_AUTHENTICATE))[0].stale
    assert bench.bindings.lookup(ALICE) == []


def test_an_old_nonce_is_called_stale() -> None:
    bench = Bench(authenticate=True)
    request = bench.request(b"Contact: <sip:a@h>")
    proof = bench.prove(request, bench.answer(request))
    bench.now += 301
    answer = bench.answer(proof)
    assert answer.status == 401
    assert read_challenges(answer.need(WWW_AUTHENTICATE))[0].stale


def test_an_unknown_scheme_is_as_no_credentials() -> None:
    """RFC 4475 3.3.7."""
    bench = Bench(authenticate=True)
    request = bench.request(b"Authorization: NoOneKnowsThisScheme opaque-data=here")
    assert bench.answer(request).status == 401


def test_credentials_for_another_realm_are_passed_over() -> None:
    bench = Bench(authenticate=True)
    request = bench.request(
        b'Authorization: Digest username="alice", realm="other", nonce="n", response="0"'
    )
    assert bench.answer(bench.prove(request, bench.answer(request))).status == 200


@pytest.mark.parametrize(
    ("username", "status"), [(b"alice@example.com", 200), (b"bob", 403), (b"alice@x", 403)]
)
def test_a_user_registers_nobody_else(username: bytes, status: int) -> None:
    bench = Bench(authenticate=True)
    ha1 = compute_ha1(bench.md5, username, b"example.com", b"secret")
    bench.secrets[username] = ha1.decode()
    request = bench.request(b"Contact: <sip:a@h>")
    proof = bench.prove(request, bench.answer(request), username=username)
    assert bench.answer(proof).status == status


def test_a_subscriber_table_that_is_away_is_not_a_wrong_password() -> None:
    bench = Bench(authenticate=True)
    bench.secrets[b"alice"] = ""
    request = bench.request(b"Contact: <sip:a@h>")
    assert bench.answer(bench.prove(request, bench.answer(request))).status == 503


def test_a_call_of_a_local_user_is_challenged_as_a_proxy_does() -> None:
    bench = Bench(authenticate=True)
    told: list[tuple[bytes, Message | None]] = []
    request = bench.request()

    def hear(username: bytes, refusal: Message | None) -> None:
        told.append((username, refusal))

    bench.registrar.check_user(request, True, hear)
    refusal = told[0][1]
    assert refusal is not None
    assert refusal.status == 407
    bench.registrar.check_user(bench.prove(request, refusal, proxy=True), True, hear)
    bench.waiting.pop()()
    assert told[1:] == [(b"alice", None)]


def test_nobody_is_asked_where_there_are_no_secrets() -> None:
    told: list[tuple[bytes, Message | None]] = []
    bench = Bench()
    bench.registrar.check_user(bench.request(), True, lambda *what: told.append(what))
    assert told == [(b"", None)]
