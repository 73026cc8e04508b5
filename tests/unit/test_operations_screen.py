"""What uacctl writes to a terminal, to a pipe and to a program."""

from __future__ import annotations

import io
import json

import pytest

from uacproxy.manage.screen import JsonScreen, PlainScreen, printable


def test_pages_make_one_json_array() -> None:
    out = io.StringIO()
    screen = JsonScreen(out)
    screen.rows([{"a": 1}, {"a": 2}])
    screen.rows([{"a": 3}])
    screen.end()
    assert json.loads(out.getvalue()) == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_an_empty_list_is_an_empty_array() -> None:
    out = io.StringIO()
    screen = JsonScreen(out)
    screen.rows([])
    screen.end()
    assert json.loads(out.getvalue()) == []


def test_pages_make_one_table_with_one_heading() -> None:
    out = io.StringIO()
    screen = PlainScreen(out, ["name", "state"])
    screen.rows([{"name": "a-long-name", "state": "up", "more": "not a column"}])
    screen.rows([{"name": "b", "state": "down"}])
    screen.end()
    lines = out.getvalue().splitlines()
    assert [line.split() for line in lines] == [
        ["name", "state"],
        ["a-long-name", "up"],
        ["b", "down"],
    ]
    assert lines[1].index("up") == lines[2].index("down") == lines[0].index("state")


def test_a_pipe_gets_whole_values_however_long() -> None:
    out = io.StringIO()
    PlainScreen(out, ["uri"]).rows([{"uri": "sip:" + "x" * 500}])
    assert "sip:" + "x" * 500 in out.getvalue().splitlines()


def test_a_record_is_a_block_of_keys_and_values() -> None:
    out = io.StringIO()
    PlainScreen(out, []).value({"l_uuid": "a", "expires": 360, "realm": None})
    assert out.getvalue() == "l_uuid:  a\nexpires: 360\nrealm:\n"


def test_words_come_as_they_are() -> None:
    out = io.StringIO()
    PlainScreen(out, []).value("registered [200 OK]\nrefresh in 99 s")
    assert out.getvalue() == "registered [200 OK]\nrefresh in 99 s\n"


def test_an_empty_list_says_so() -> None:
    out = io.StringIO()
    screen = PlainScreen(out, ["name"])
    screen.rows([])
    screen.end()
    assert out.getvalue() == "none\n"


def test_what_a_peer_sent_cannot_steer_the_terminal() -> None:
    assert printable("\x1b[2J\x9b1m\r\udcff") == r"\x1b[2J\x9b1m\x0d\xdcff"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_table_too_with_one_heading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    screen = PlainScreen(out, ["name", "state"])
    screen.rows([{"name": "a-long-name", "state": "up"}])
    screen.rows([{"name": "[b]", "state": "down"}])
    screen.end()
    lines = out.getvalue().splitlines()
    assert [line.split() for line in lines] == [
        ["name", "state"],
        ["a-long-name", "up"],
        ["[b]", "down"],
    ]
    assert lines[1].index("up") == lines[2].index("down")
