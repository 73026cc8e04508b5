"""HA1s of local users out of the table ``subscriber``."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from uacproxy.accounts.subscribers import MAX_ASKING, REMEMBERED_FOR, SqlSubscribers
from uacproxy.errors import ConfigError, StoreUnavailable, UacproxyError

REALM = "example.com"
HA1 = "0123456789abcdef" * 2


def md5_ha1(username: str, password: str) -> str:
    return hashlib.md5(f"{username}:{REALM}:{password}".encode()).hexdigest()


class Bench:
    """Subscribers in a file, a thread held in the hand, and a clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 1000.0
        self.answers: list[str | None] = []
        self.errors: list[UacproxyError] = []
        self.asked: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.subscribers = SqlSubscribers(
            f"sqlite:///{path}", run_in_thread=self._run, seconds=lambda: self.now
        )
        self.ask("nobody")
        self.answers.clear()

    def _run(self, work: Callable[[], Any]) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.asked.append((work, answer))
        return answer

    def insert(self, username: str, password: str, ha1: str = "", domain: str = REALM) -> None:
        with sqlite3.connect(self.path) as database:
            database.execute(
                "INSERT INTO subscriber (username, domain, password, ha1) VALUES (?, ?, ?, ?)",
                (username, domain, password, ha1),
            )
        database.close()

    def want(self, username: str) -> None:
        self.subscribers.ha1_of(username, REALM, self.answers.append, self.errors.append)

    def work(self) -> int:
        """Let the thread answer; return how many questions it had."""
        asked, self.asked = self.asked, []
        for work, answer in asked:
            try:
                answer.callback(work())
            except UacproxyError as error:
                answer.errback(error)
        return len(asked)

    def ask(self, username: str) -> str | None:
        self.want(username)
        self.work()
        return self.answers[-1]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "accounts.db")


def test_the_column_ha1_wins_over_the_password(bench: Bench) -> None:
    bench.insert("alice", "geheim", HA1.upper())
    assert bench.ask("alice") == HA1


def test_a_password_alone_becomes_the_ha1_of_the_realm(bench: Bench) -> None:
    bench.insert("alice", "geheim")
    assert bench.ask("alice") == md5_ha1("alice", "geheim")


def test_a_broken_ha1_gives_way_to_the_password(bench: Bench) -> None:
    bench.insert("alice", "geheim", "not hexadecimal")
    assert bench.ask("alice") == md5_ha1("alice", "geheim")


def test_a_user_without_any_secret_is_as_good_as_unknown(bench: Bench) -> None:
    bench.insert("alice", "")
    assert bench.ask("alice") is None
    assert bench.ask("bob") is None


def test_the_row_of_the_realm_wins_over_one_without_a_domain(bench: Bench) -> None:
    bench.insert("alice", "any", domain="")
    bench.insert("alice", "geheim")
    bench.insert("alice", "other", domain="other.example")
    bench.insert("bob", "any", domain="")
    bench.insert("carol", "other", domain="other.example")
    assert bench.ask("alice") == md5_ha1("alice", "geheim")
    assert bench.ask("bob") == md5_ha1("bob", "any")
    assert bench.ask("carol") is None


def test_an_answer_is_remembered_for_a_while_an_unknown_user_too(bench: Bench) -> None:
    assert bench.ask("alice") is None
    bench.insert("alice", "geheim")
    assert bench.ask("alice") is None
    assert not bench.asked
    bench.now += REMEMBERED_FOR
    assert bench.ask("alice") == md5_ha1("alice", "geheim")


def test_forget_asks_anew(bench: Bench) -> None:
    assert bench.ask("alice") is None
    bench.insert("alice", "geheim")
    bench.subscribers.forget()
    assert bench.ask("alice") == md5_ha1("alice", "geheim")


def test_the_same_question_is_asked_once_for_all_who_wait(bench: Bench) -> None:
    bench.insert("alice", "geheim")
    for _ in range(5):
        bench.want("alice")
    assert bench.work() == 1
    assert bench.answers == [md5_ha1("alice", "geheim")] * 5


def test_a_flood_of_names_is_bounded(bench: Bench) -> None:
    for number in range(MAX_ASKING + 3):
        bench.want(f"user{number}")
    assert [type(error) for error in bench.errors] == [StoreUnavailable] * 3
    assert bench.work() == MAX_ASKING


@pytest.mark.parametrize("username", ["\udcff", "a\0b", "a" * 256])
def test_a_name_no_row_can_hold_is_unknown_without_a_question(bench: Bench, username: str) -> None:
    bench.want(username)
    assert bench.answers == [None]
    assert not bench.asked


def test_a_name_of_sql_is_only_a_name(bench: Bench) -> None:
    bench.insert("alice", "geheim")
    assert bench.ask("' OR '1'='1") is None


def test_trouble_with_the_database_is_told_and_not_remembered(bench: Bench) -> None:
    with sqlite3.connect(bench.path) as database:
        database.execute("ALTER TABLE subscriber RENAME TO moved")
    database.close()
    bench.want("alice")
    bench.want("alice")
    bench.work()
    assert [type(error) for error in bench.errors] == [StoreUnavailable] * 2
    with sqlite3.connect(bench.path) as database:
        database.execute("ALTER TABLE moved RENAME TO subscriber")
    database.close()
    bench.insert("alice", "geheim")
    assert bench.ask("alice") == md5_ha1("alice", "geheim")


def test_a_database_without_the_table_is_the_operators_to_mend(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE location (id INTEGER)")
    database.close()
    errors: list[UacproxyError] = []

    def at_once(work: Callable[[], Any]) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        try:
            answer.callback(work())
        except UacproxyError as error:
            answer.errback(error)
        return answer

    subscribers = SqlSubscribers(
        f"sqlite:///{tmp_path}/other.db", run_in_thread=at_once, seconds=lambda: 0.0
    )
    subscribers.ha1_of("alice", REALM, lambda _: None, errors.append)
    assert isinstance(errors[0], ConfigError)
    assert str(errors[0]).startswith("[registrar] subscriber_db_url: sqlite:///")
