"""Loading a route script: all of it or nothing, faults with file and line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.calls import IMPORTS
from uacproxy.errors import ScriptError
from uacproxy.routing.script import Script, load_script

MAIN = "@request_route\ndef main(ctx):\n    return Relay()\n"


def load(body: str) -> Script:
    return load_script("/etc/route.py", IMPORTS + body)


def fault(body: str) -> tuple[str, int, str]:
    """Load what cannot be loaded; return file, line within ``body`` and why."""
    with pytest.raises(ScriptError) as caught:
        load(body)
    return caught.value.file, caught.value.line - IMPORTS.count("\n"), caught.value.why


def test_every_kind_of_handler_is_found_by_its_name() -> None:
    loaded = load(
        MAIN
        + """
@dialog_route
def inside(ctx): ...
@branch_route("B")
def branch(ctx): ...
@failure_route("F")
def failure(ctx): ...
@onreply_route("R")
def reply(ctx): ...
@event_route("uac:reply")
def event(ctx): ...
"""
    )
    names = [loaded.request, loaded.dialog, loaded.branch("B"), loaded.failure("F")]
    names += [loaded.onreply("R"), loaded.event("uac:reply")]
    found = [name.__name__ for name in names if name is not None]
    assert found == ["main", "inside", "branch", "failure", "reply", "event"]
    assert loaded.event("uac:registration") is None


def test_one_function_may_serve_as_several_routes() -> None:
    loaded = load(MAIN + '@failure_route("A")\n@failure_route("B")\ndef both(ctx): ...\n')
    assert loaded.failure("A") is loaded.failure("B")


def test_names_of_different_kinds_do_not_meet() -> None:
    loaded = load(
        MAIN + '@failure_route("X")\ndef f(ctx): ...\n@branch_route("X")\ndef b(ctx): ...\n'
    )
    assert loaded.failure("X") is not loaded.branch("X")


def test_a_function_whose_name_is_used_again_is_still_a_route() -> None:
    loaded = load(
        MAIN + '@failure_route("A")\ndef f(ctx): ...\n@failure_route("B")\ndef f(ctx): ...\n'
    )
    assert loaded.failure("A") is not loaded.failure("B")


def test_a_syntax_error_is_told_with_its_line() -> None:
    assert fault(MAIN + "def broken(:\n")[:2] == ("/etc/route.py", 4)


def test_what_cannot_be_compiled_at_all_is_told_too() -> None:
    assert fault(MAIN + "x = '\0'\n")[0] == "/etc/route.py"
    assert fault(MAIN + "x = " + "(" * 500 + ")" * 500)[0] == "/etc/route.py"
    assert fault(MAIN + "x = " + "-" * 200_000 + "1")[0] == "/etc/route.py"


def test_an_error_while_the_file_runs_is_told_with_the_line_that_raised() -> None:
    file, line, why = fault("def helper():\n    return 1 / 0\n\nhelper()\n" + MAIN)
    assert (file, line) == ("/etc/route.py", 2)
    assert why == "ZeroDivisionError: division by zero"


def test_a_file_that_leaves_the_program_is_an_error_like_any_other() -> None:
    assert fault("import sys\nsys.exit(3)\n")[1:] == (2, "SystemExit: 3")


def test_a_missing_import_is_told() -> None:
    assert "no_such_module" in fault("import no_such_module\n")[2]


def test_a_file_without_request_route_is_told() -> None:
    assert "request_route" in fault("x = 1\n")[2]


@pytest.mark.parametrize(
    ("again", "what"),
    [
        (MAIN, "a second request_route"),
        (MAIN.replace("main", "other"), "a second request_route"),
        (
            '@failure_route("F")\ndef a(ctx): ...\n@failure_route("F")\ndef b(ctx): ...\n',
            "a second failure_route('F')",
        ),
        (
            "@dialog_route\ndef a(ctx): ...\n@dialog_route\ndef b(ctx): ...\n",
            "a second dialog_route",
        ),
    ],
)
def test_two_handlers_for_one_route_are_told(again: str, what: str) -> None:
    file, line, why = fault(MAIN + again)
    assert (file, why) == ("/etc/route.py", what)
    assert line > 3


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ("@failure_route\ndef f(ctx): ...\n", '@failure_route("NAME")'),
        ("@branch_route()\ndef f(ctx): ...\n", "name"),
        ('@onreply_route("")\ndef f(ctx): ...\n', '@onreply_route("NAME")'),
        ('@request_route("main")\ndef f(ctx): ...\n', "before a function"),
    ],
)
def test_a_decorator_used_wrongly_is_told(mistake: str, hint: str) -> None:
    file, line, why = fault(MAIN + mistake)
    assert (file, line) == ("/etc/route.py", 4)
    assert hint in why


def test_annotations_of_a_script_are_its_own_affair() -> None:
    loaded = load("seen = []\ndef f(x: seen.append(1)): ...\nassert seen == [1]\n" + MAIN)
    assert loaded.request is not None


def test_handlers_of_another_file_count_where_they_are_imported_and_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = (
        '@failure_route("HERE")\ndef here(ctx): ...\n@failure_route("THERE")\ndef there(ctx): ...\n'
    )
    (tmp_path / "routes_of_another_file.py").write_text(IMPORTS + other)
    monkeypatch.syspath_prepend(str(tmp_path))
    for _ in range(2):
        loaded = load("from routes_of_another_file import here\n" + MAIN)
        assert sorted(name for _, name in loaded.routes) == ["HERE"]
    del sys.modules["routes_of_another_file"]


def test_a_route_that_does_not_exist_is_named() -> None:
    with pytest.raises(ScriptError, match=r"failure_route\('NONE'\)"):
        load(MAIN).failure("NONE")


def test_a_function_called_for_an_event_gets_its_name_and_stands_before_what_is_marked() -> None:
    script = load_script(
        "route.py",
        """
from uacproxy.routing import Reply, event_route, request_route
said = []
@request_route
def main(ctx):
    return Reply(404)
@event_route("uac:reply")
def marked(ctx):
    said.append("marked")
def told(ctx, event):
    return (ctx, event)
""",
    )
    assert not script.call_for_event("uac:reply", "nobody")
    assert script.call_for_event("uac:reply", "told")
    handler = script.event("uac:reply")
    assert handler is not None
    assert handler("the context") == ("the context", "uac:reply")
