"""The demonstration tells the truth: 0 when every value was right, 1 when one was not."""

from __future__ import annotations

import sys

import pytest_twisted

from tests.support.child import spawn

DEMO = [sys.executable, "-m", "uacproxy.testing.demo"]


@pytest_twisted.ensureDeferred
async def test_the_demo_makes_both_calls_and_finds_every_value_right() -> None:
    status, out, err = await spawn(DEMO).ended
    assert (status, err) == (0, ""), out + err
    assert "✗" not in out
    for told in (
        "state: registered since",
        '* From "Office" <sip:70@itsp.example>;tag=p1 ',
        '= From "Alice" <sip:alice@pbx.example>;tag=p1 ',
        "* CSeq 2 INVITE ",
        "─ INVITE * sip:4433@127.0.0.1:",
        "─ INVITE sip:trunk1@127.0.0.1:",
        "✓ CSeq of BYE there (phone 1 sent 2)                   3\n",
        "✓ the last REGISTER asks for                           0 s\n",
        "✓ uacproxy ends on SIGTERM with                        exit status 0\n",
        " values were right, in ",
    ):
        assert told in out


@pytest_twisted.ensureDeferred
async def test_the_demo_in_a_pipe_has_no_colour_and_100_columns() -> None:
    status, out, _ = await spawn(DEMO, env={"COLUMNS": "40"}).ended
    assert status == 0
    assert "\x1b" not in out
    assert max(len(line) for line in out.splitlines() if "│" in line or "──" in line) == 100


@pytest_twisted.ensureDeferred
async def test_the_demo_does_without_anything_but_ascii() -> None:
    status, out, err = await spawn(DEMO, env={"PYTHONIOENCODING": "ascii"}).ended
    assert (status, err) == (0, "")
    assert out.isascii()
    assert '| = From "Alice" <sip:alice@pbx.example>;tag=p1  |' in out


@pytest_twisted.ensureDeferred
async def test_one_wrong_value_fails_the_demo_which_shows_both_and_the_log() -> None:
    status, out, _ = await spawn([*DEMO, "--spoil", "from"]).ended
    assert status == 1
    assert 'expected  "Office" <sip:71@itsp.example>;tag=p1\n' in out
    assert 'seen      "Office" <sip:70@itsp.example>;tag=p1\n' in out
    assert "Wrong: 1 of " in out
    assert "account trunk1: challenged -> registered: 200 OK" in out


@pytest_twisted.ensureDeferred
async def test_a_demo_that_cannot_go_on_shows_how_far_it_came() -> None:
    status, out, _ = await spawn([*DEMO, "--spoil", "password"]).ended
    assert status == 1
    assert "403 Forbidden ─│" in out
    assert "✗ what provider waits for  expected  a REGISTER with the right proof\n" in out
    assert "INVITE sip:" not in out
