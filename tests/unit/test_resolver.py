"""From a URI to targets (RFC 3263 4), with a look-up held in the hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred

from tests.support.log import KeptLog
from uacproxy.ports import Target
from uacproxy.resolve.resolver import MOST_QUESTIONS, NameResolver
from uacproxy.resolve.uri_resolver import UriResolver
from uacproxy.sip.uri import LONGEST_KEPT, parse_uri
from uacproxy.testing.clock import SteppingClock

UDP, TCP = b"UDP", b"TCP"
Answers = list[list[Target]]


class Bench:
    """A resolver whose look-ups wait until they are answered here."""

    def __init__(self, *, cache_max: int = 100) -> None:
        self.clock = SteppingClock()
        self.log = KeptLog()
        self.asked: list[tuple[str, Deferred[list[tuple[str, int]]]]] = []
        names = NameResolver(
            lookup=self._lookup,
            clock=self.clock,
            log=self.log,
            timeout=3.0,
            cache_max=cache_max,
            min_ttl=1.0,
            negative_ttl=5.0,
        )
        self.resolver = UriResolver(names.look_up, cache_max)

    def _lookup(self, name: str) -> Deferred[list[tuple[str, int]]]:
        asked: Deferred[list[tuple[str, int]]] = Deferred()
        self.asked.append((name, asked))
        return asked

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.asked]

    def resolve(self, uri: str) -> Answers:
        """Ask; the list grows by each answer."""
        answers: Answers = []
        self.resolver.resolve(parse_uri(uri.encode()), answers.append)
        return answers

    def answer(self, *found: tuple[str, int]) -> None:
        """Answer the latest look-up, and let the turn end."""
        self.asked[-1][1].callback(list(found))
        self.clock.advance(0)


LITERALS = [
    ("sip:192.0.2.1", Target(UDP, "192.0.2.1", 5060, False)),
    ("sip:bob@192.0.2.1:5080;transport=tcp", Target(TCP, "192.0.2.1", 5080, True)),
    ("sip:[2001:db8::1];transport=UDP", Target(UDP, "2001:db8::1", 5060, True)),
    ("sip:a.example:5070;maddr=192.0.2.9", Target(UDP, "192.0.2.9", 5070, False)),
    ("sip:a.example;maddr=[2001:db8::9]", Target(UDP, "2001:db8::9", 5060, False)),
]


@pytest.mark.parametrize(("uri", "target"), LITERALS)
def test_an_address_is_known_at_once(uri: str, target: Target) -> None:
    bench = Bench()
    assert bench.resolve(uri) == [[target]]
    assert bench.asked == []


def test_an_address_is_remembered_by_its_uri_unless_that_is_long() -> None:
    bench = Bench()
    for length, is_remembered in ((LONGEST_KEPT, True), (LONGEST_KEPT + 1, False)):
        uri = "sip:192.0.2.1;x=".ljust(length, "y")
        first, second = bench.resolve(uri)[0][0], bench.resolve(uri)[0][0]
        assert first == second == Target(UDP, "192.0.2.1", 5060, False)
        assert (first is second) is is_remembered


def test_no_more_addresses_are_remembered_than_told() -> None:
    bench = Bench(cache_max=2)
    uris = [f"sip:192.0.2.{number}" for number in range(1, 4)]
    first, second = [bench.resolve(uri)[0][0] for uri in uris[:2]]
    assert bench.resolve(uris[0])[0][0] is first
    assert bench.resolve(uris[1])[0][0] is second
    bench.resolve(uris[2])
    assert bench.resolve(uris[0])[0][0] is not first


@pytest.mark.parametrize(
    "uri",
    [
        "sips:192.0.2.1",
        "tel:+1",
        "mailto:a@b.example",
        "sip:192.0.2.1;transport=tls",
        "sip:192.0.2.1;transport=sctp",
        "sip:192.0.2.1:0",
        "sip:a.example;maddr=b:1",
        "sip:a.example;maddr=b c".replace(" ", "%"),
        "sip:" + "a" * 64 + ".example",
        "sip:" + "abcdefg." * 40 + "example",
        "sip:a..example",
    ],
)
def test_nowhere_to_go_is_known_at_once(uri: str) -> None:
    bench = Bench()
    assert bench.resolve(uri) == [[]]
    assert bench.asked == []


def test_a_name_is_looked_up_and_its_order_kept() -> None:
    bench = Bench()
    answers = bench.resolve("sip:bob@Gw.Example.com.:5070;transport=tcp")
    assert answers == []
    bench.answer(("192.0.2.2", 60), ("2001:db8::1", 60))
    assert answers == [
        [Target(TCP, "192.0.2.2", 5070, True), Target(TCP, "2001:db8::1", 5070, True)]
    ]
    assert bench.names == ["gw.example.com"]


def test_questions_for_one_name_share_a_look_up() -> None:
    bench = Bench()
    one = bench.resolve("sip:a.example")
    two = bench.resolve("sip:a.example:5070;transport=tcp")
    bench.answer(("192.0.2.1", 60))
    assert one == [[Target(UDP, "192.0.2.1", 5060, False)]]
    assert two == [[Target(TCP, "192.0.2.1", 5070, True)]]
    assert bench.names == ["a.example"]


def test_one_who_fails_on_his_answer_harms_no_other() -> None:
    bench = Bench()

    def fails(_: list[Target]) -> None:
        raise ZeroDivisionError

    bench.resolver.resolve(parse_uri(b"sip:a.example"), fails)
    answers = bench.resolve("sip:a.example")
    with pytest.raises(ZeroDivisionError):
        bench.answer(("192.0.2.1", 60))
    bench.clock.advance(0)
    assert len(answers) == 1


def test_an_answer_lives_as_long_as_its_shortest_record() -> None:
    bench = Bench()
    bench.resolve("sip:a.example")
    bench.answer(("192.0.2.1", 60), ("192.0.2.2", 30))
    bench.clock.run_for(29.0)
    assert len(bench.resolve("sip:a.example")) == 1
    bench.clock.run_for(2.0)
    assert bench.resolve("sip:a.example") == []
    assert len(bench.asked) == 2


def test_an_answer_without_life_is_kept_for_the_least_time() -> None:
    bench = Bench()
    bench.resolve("sip:a.example")
    bench.answer(("192.0.2.1", 0))
    assert len(bench.resolve("sip:a.example")) == 1
    bench.clock.run_for(1.1)
    assert bench.resolve("sip:a.example") == []


def test_a_name_without_address_is_remembered_for_a_while() -> None:
    bench = Bench()
    answers = bench.resolve("sip:a.example")
    bench.answer()
    assert answers == [[]]
    assert bench.resolve("sip:a.example") == [[]]
    bench.clock.run_for(5.1)
    assert bench.resolve("sip:a.example") == []


def test_a_failed_look_up_is_told_in_the_log_and_answered_with_nothing() -> None:
    bench = Bench()
    answers = bench.resolve("sip:a.example")
    bench.asked[0][1].errback(OSError("no server"))
    bench.clock.advance(0)
    assert answers == [[]]
    assert bench.log.told("info") == ["no address for a.example: no server"]


def test_a_look_up_that_takes_too_long_is_answered_with_nothing_once() -> None:
    bench = Bench()
    answers = bench.resolve("sip:a.example")
    bench.clock.run_for(3.0)
    assert answers == [[]]
    bench.answer(("192.0.2.1", 60))
    assert answers == [[]]


def test_an_answer_that_comes_late_serves_the_next_who_asks() -> None:
    bench = Bench()
    bench.resolve("sip:a.example")
    bench.clock.run_for(3.0)
    bench.answer(("192.0.2.1", 60))
    assert bench.resolve("sip:a.example") == [[Target(UDP, "192.0.2.1", 5060, False)]]


def test_a_look_up_still_under_way_is_not_begun_again() -> None:
    bench = Bench()
    bench.resolve("sip:a.example")
    bench.clock.run_for(9.0)
    answers = bench.resolve("sip:a.example")
    assert (answers, len(bench.asked)) == ([], 1)
    bench.clock.run_for(3.0)
    assert answers == [[]]


def test_the_oldest_answer_makes_room() -> None:
    bench = Bench(cache_max=2)
    for name in "abc":
        bench.resolve(f"sip:{name}.example")
        bench.answer(("192.0.2.1", 60))
    known: Callable[[str], bool] = lambda name: bench.resolve(f"sip:{name}.example") != []  # noqa: E731
    assert [known(name) for name in "cba"] == [True, True, False]


def test_no_answer_is_kept_in_a_cache_of_none() -> None:
    bench = Bench(cache_max=0)
    answers = bench.resolve("sip:a.example")
    bench.answer(("192.0.2.1", 60))
    assert len(answers) == 1
    assert bench.resolve("sip:a.example") == []


def test_too_many_questions_at_a_time_are_answered_with_nothing() -> None:
    bench = Bench()
    for number in range(MOST_QUESTIONS):
        bench.resolve(f"sip:h{number}.example")
    assert bench.resolve("sip:one-more.example") == [[]]
    assert bench.resolve("sip:h0.example") == []
