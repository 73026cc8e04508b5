"""The location table: what may replace what, and what is left after a restart (RFC 3261 10.3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.errors import StoreCorrupt
from uacproxy.ports import Target
from uacproxy.registrar.binding import Binding, canonical_aor
from uacproxy.registrar.binding_record import decode_bindings, encode_bindings
from uacproxy.registrar.bindings import SPACE, BindingTable, Outcome
from uacproxy.sip.uri import parse_uri
from uacproxy.store.memory import MemoryStore

ALICE = b"alice@example.com"
PHONE = b"sip:alice@192.0.2.1"
DESK = b"sip:alice@192.0.2.2"


def binding(
    contact: bytes = PHONE,
    *,
    until: float = 1060.0,
    cseq: int = 1,
    call_id: bytes = b"c1",
    q: float = 1.0,
    params: bytes = b"",
    behind_nat: bool = False,
    path: list[bytes] | None = None,
) -> Binding:
    return Binding(
        contact=contact,
        params=params,
        expires_at_utc=until,
        q=q,
        call_id=call_id,
        cseq=cseq,
        received=Target(b"UDP", "198.51.100.7", 40000),
        behind_nat=behind_nat,
        path=path if path is not None else [],
        instance=b"<urn:uuid:0>",
        reg_id=1,
    )


class Bench:
    """A table at 1000 s, and the store below it."""

    def __init__(self, *, max_contacts: int = 3, max_addresses: int = 100) -> None:
        self.now = 1000.0
        self.store = MemoryStore(lambda: self.now)
        self.max_contacts = max_contacts
        self.max_addresses = max_addresses
        self.table = self.restarted()

    def restarted(self) -> BindingTable:
        table = BindingTable(
            lambda: self.now, self.store, self.max_contacts, max_addresses=self.max_addresses
        )
        table.load(lambda: None)
        return table

    def update(self, *wanted: Binding, aor: bytes = ALICE) -> Outcome:
        return self.table.update(aor, list(wanted))

    def contacts(self, table: BindingTable | None = None) -> list[bytes]:
        table = table if table is not None else self.table
        return [found.contact for found in table.lookup(ALICE)]


class SlowStore:
    """A store whose scan tells at ``answer`` what was there when it was asked."""

    def __init__(self, store: MemoryStore) -> None:
        self.put = store.put
        self.delete = store.delete
        self.get = store.get
        self._store = store
        self._found: list[tuple[bytes, bytes, float]] = []

    def scan(
        self, space: str, each: Callable[[bytes, bytes, float], None], done: Callable[[], None]
    ) -> None:
        self._store.scan(space, lambda *row: self._found.append(row), lambda: None)
        self._each, self._done = each, done

    def answer(self) -> None:
        for row in self._found:
            self._each(*row)
        self._done()


@pytest.mark.parametrize(
    ("uri", "aor"),
    [
        (b"sip:alice@example.com", b"alice@example.com"),
        (b"sips:alice:pw@EXAMPLE.com:5061;user=phone?Subject=x", b"alice@example.com"),
        (b"sip:%61lice@example.com", b"alice@example.com"),
        (b"sip:Alice@example.com", b"Alice@example.com"),
        (b"sip:null-%00-null@example.com", b"null-\x00-null@example.com"),
        (b"sip:%00@[2001:DB8::1]", b"\x00@[2001:db8::1]"),
    ],
)
def test_an_address_of_record_has_one_form(uri: bytes, aor: bytes) -> None:
    assert canonical_aor(parse_uri(uri)) == aor


def test_bindings_are_found_highest_q_first_older_first_among_equals() -> None:
    bench = Bench()
    bench.update(binding(b"sip:a@h", q=0.5), binding(b"sip:b@h"), binding(b"sip:c@h"))
    assert bench.contacts() == [b"sip:b@h", b"sip:c@h", b"sip:a@h"]


def test_nobody_is_found_who_never_registered() -> None:
    assert Bench().table.lookup(b"bob@example.com") == []


UPDATES: list[tuple[Binding, Outcome, list[bytes]]] = [
    # after PHONE, Call-ID c1, CSeq 5: a REGISTER -> outcome, contacts
    (binding(PHONE, cseq=6), Outcome.DONE, [PHONE]),
    (binding(PHONE, cseq=5), Outcome.OUT_OF_ORDER, [PHONE]),
    (binding(PHONE, cseq=4), Outcome.OUT_OF_ORDER, [PHONE]),
    (binding(PHONE, cseq=4, call_id=b"c2"), Outcome.DONE, [PHONE]),
    (binding(PHONE, cseq=6, until=1000.0), Outcome.DONE, []),
    (binding(PHONE, cseq=4, until=1000.0), Outcome.OUT_OF_ORDER, [PHONE]),
    (binding(PHONE, cseq=1, call_id=b"c2", until=1000.0), Outcome.DONE, []),
    (binding(DESK, cseq=1), Outcome.DONE, [PHONE, DESK]),
    (binding(DESK, cseq=1, until=1000.0), Outcome.DONE, [PHONE]),
    (binding(b"sip:%61lice@192.0.2.1;x=y", cseq=6), Outcome.DONE, [b"sip:%61lice@192.0.2.1;x=y"]),
    (binding(b"sip:alice@192.0.2.1:5060"), Outcome.DONE, [PHONE, b"sip:alice@192.0.2.1:5060"]),
]


@pytest.mark.parametrize(("wanted", "outcome", "contacts"), UPDATES)
def test_update(wanted: Binding, outcome: Outcome, contacts: list[bytes]) -> None:
    bench = Bench()
    bench.update(binding(PHONE, cseq=5))
    assert bench.update(wanted) is outcome
    assert bench.contacts() == contacts


def test_escaped_nul_users_are_two_contacts() -> None:
    """RFC 4475 3.1.1.4."""
    bench = Bench()
    bench.update(binding(b"sip:%00@host5.example.com"), binding(b"sip:%00%00@host5.example.com"))
    assert len(bench.contacts()) == 2


def test_one_contact_out_of_order_changes_none() -> None:
    bench = Bench()
    bench.update(binding(PHONE, cseq=5))
    assert bench.update(binding(DESK, cseq=4), binding(PHONE, cseq=4)) is Outcome.OUT_OF_ORDER
    assert bench.contacts() == [PHONE]


def test_of_two_contacts_alike_in_one_request_the_later_counts() -> None:
    bench = Bench()
    assert bench.update(binding(PHONE, q=0.1), binding(PHONE, q=0.2)) is Outcome.DONE
    assert [found.q for found in bench.table.lookup(ALICE)] == [0.2]


@pytest.mark.parametrize(
    ("call_id", "cseq", "outcome", "left"),
    [
        (b"c1", 6, Outcome.DONE, 0),
        (b"c1", 5, Outcome.OUT_OF_ORDER, 2),
        (b"other", 1, Outcome.DONE, 0),
    ],
)
def test_all_bindings_go_or_none(call_id: bytes, cseq: int, outcome: Outcome, left: int) -> None:
    bench = Bench()
    bench.update(binding(DESK, call_id=b"c2"), binding(PHONE, cseq=5))
    assert bench.table.clear(ALICE, call_id, cseq) is outcome
    assert len(bench.contacts()) == left


def test_one_contact_too_many_changes_nothing() -> None:
    bench = Bench(max_contacts=2)
    bench.update(binding(b"sip:a@h"), binding(b"sip:b@h"))
    assert bench.update(binding(b"sip:c@h")) is Outcome.TOO_MANY
    assert bench.contacts() == [b"sip:a@h", b"sip:b@h"]
    gone = binding(b"sip:a@h", cseq=2, until=1000.0)
    assert bench.update(gone, binding(b"sip:c@h", cseq=2)) is Outcome.DONE


def test_whoever_has_more_contacts_than_a_lowered_limit_may_refresh_them() -> None:
    bench = Bench(max_contacts=2)
    bench.update(binding(b"sip:a@h"), binding(b"sip:b@h"))
    bench.max_contacts = 1
    table = bench.restarted()
    assert table.update(ALICE, [binding(b"sip:a@h", cseq=2)]) is Outcome.DONE


def test_a_full_table_keeps_whom_it_has_and_takes_nobody_new() -> None:
    bench = Bench(max_addresses=1)
    bench.update(binding())
    assert bench.update(binding(), aor=b"bob@example.com") is Outcome.TOO_MANY
    assert bench.update(binding(cseq=2)) is Outcome.DONE


# -- time -----------------------------------------------------------------------------


def test_an_expired_binding_is_not_found() -> None:
    bench = Bench()
    bench.update(binding(PHONE, until=1060.0), binding(DESK, until=1120.0))
    bench.now = 1060.0
    assert bench.contacts() == [DESK]


def test_what_is_due_is_dropped_once_and_what_was_renewed_stays() -> None:
    bench = Bench()
    bench.update(binding(PHONE, until=1060.0), binding(DESK, until=1060.0, call_id=b"c2"))
    bench.update(binding(PHONE, until=1120.0, cseq=2))
    bench.now = 1061.0
    assert [bench.table.expire_due(), bench.table.expire_due()] == [1, 0]
    bench.now = 1121.0
    assert bench.table.expire_due() == 1
    assert len(bench.table) == 0


def test_of_two_bindings_the_one_that_is_due_is_dropped() -> None:
    bench = Bench()
    bench.update(binding(PHONE, until=1060.0), binding(DESK, until=1120.0))
    bench.now = 1061.0
    assert bench.table.expire_due() == 1
    assert bench.contacts(bench.restarted()) == [DESK]


@pytest.mark.parametrize(("now", "left"), [(1000.0, 60), (1059.9, 1), (1060.0, 0), (1061.0, 0)])
def test_seconds_left_are_whole_and_not_0_before_the_end(now: float, left: int) -> None:
    assert binding(until=1060.0).seconds_left(now) == left


# -- store ----------------------------------------------------------------------------


def test_bindings_outlive_the_process() -> None:
    bench = Bench()
    bench.update(binding(PHONE, params=b';x="\xff"', behind_nat=True), binding(DESK, until=1010.0))
    bench.now = 1020.0
    found = bench.restarted().lookup(ALICE)
    assert [(one.contact, one.params, one.target) for one in found] == [
        (PHONE, b';x="\xff"', Target(b"UDP", "198.51.100.7", 40000))
    ]


def test_what_was_loaded_expires_like_the_rest() -> None:
    bench = Bench()
    bench.update(binding())
    table = bench.restarted()
    bench.now = 1061.0
    assert table.expire_due() == 1


@pytest.mark.parametrize("end", ["removed", "cleared", "expired"])
def test_what_has_gone_does_not_come_back_at_a_restart(end: str) -> None:
    bench = Bench()
    bench.update(binding(until=1060.0), binding(DESK, until=9000.0, call_id=b"c2"))
    if end == "removed":
        bench.update(binding(cseq=2, until=1000.0), binding(DESK, cseq=2, until=1000.0))
    elif end == "cleared":
        bench.table.clear(ALICE, b"c1", 2)
    else:
        bench.now = 1060.0
        bench.table.expire_due()
    assert bench.contacts(bench.restarted()) == ([DESK] if end == "expired" else [])


def test_a_registration_made_while_the_store_is_read_is_the_newer_one() -> None:
    bench = Bench()
    bench.update(binding(DESK))
    store = SlowStore(bench.store)
    late = BindingTable(lambda: bench.now, store, 3)
    late.load(lambda: None)
    late.update(ALICE, [binding(PHONE)])
    store.answer()
    assert bench.contacts(late) == [PHONE]


def test_a_record_that_cannot_be_read_is_counted_and_left() -> None:
    bench = Bench()
    bench.store.put(SPACE, ALICE, b"{}", 2000.0)
    table = bench.restarted()
    assert (table.unreadable, table.lookup(ALICE)) == (1, [])
    assert len(bench.store) == 1


GOOD = encode_bindings([binding()])


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"[]",
        b"null",
        b"[" * 100000,
        GOOD.replace(b'"version":1', b'"version":2'),
        GOOD.replace(b'"cseq":1', b'"cseq":"1"'),
        GOOD.replace(b'"cseq":1', b'"cseq":true'),
        GOOD.replace(b'"q":1.0', b'"q":null'),
        GOOD.replace(b"sip:alice", b"alice"),
        GOOD.replace(b'"call_id":"c1"', b'"call_id":"\\u2026"'),
        GOOD.replace(b'"path":[]', b'"path":[1]'),
        GOOD.replace(b",40000]", b"]"),
    ],
)
def test_what_is_no_record_of_ours_is_corrupt(octets: bytes) -> None:
    assert octets != GOOD
    with pytest.raises(StoreCorrupt):
        decode_bindings(octets)


@given(
    st.lists(
        st.builds(
            binding,
            st.sampled_from([PHONE, DESK, b"mailto:a@b"]),
            params=st.binary(),
            call_id=st.binary(),
            until=st.floats(allow_nan=False, allow_infinity=False),
            path=st.lists(st.binary()),
            behind_nat=st.booleans(),
        )
    )
)
def test_every_record_reads_back(bindings: list[Binding]) -> None:
    found = decode_bindings(encode_bindings(bindings))
    names = ["contact", "params", "expires_at_utc", "q", "call_id", "cseq"]
    names += ["received", "behind_nat", "path", "instance", "reg_id"]
    assert [[getattr(one, name) for name in names] for one in found] == [
        [getattr(one, name) for name in names] for one in bindings
    ]


# -- where to --------------------------------------------------------------------------


def test_a_contact_behind_nat_is_reached_where_it_was_seen() -> None:
    assert binding(behind_nat=True).target == Target(b"UDP", "198.51.100.7", 40000)
    assert binding().target is None


def test_a_path_comes_before_the_address_that_was_seen() -> None:
    assert binding(behind_nat=True, path=[b"<sip:edge.example;lr>"]).target is None


def test_a_store_that_was_emptied_is_given_every_binding_again() -> None:
    bench = Bench()
    bench.table.update(ALICE, [binding()])
    bench.store.delete(SPACE, ALICE)
    for _ in bench.table.written_again():
        pass
    assert [found.contact for found in bench.restarted().lookup(ALICE)] == [PHONE]
