"""``uacctl [--connect ENDPOINT] [--json] VERB ...``: the command line over AMP.

The verbs, their arguments and their words are those of ``operations.VERBS``. Exit
status: 0 done, 1 the service answered a fault, 2 the command line is wrong, 69
(EX_UNAVAILABLE) the service cannot be reached.
"""

# mypy: untyped-calls-exclude="twisted"

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final, NoReturn, final

from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.task import react
from twisted.protocols.amp import AMP, AmpError

from uacproxy import __version__
from uacproxy.errors import OwnMistake
from uacproxy.manage import account_command
from uacproxy.manage.amp import Page, ask
from uacproxy.manage.endpoint import client_description
from uacproxy.manage.operations import VERBS, unknown_verb
from uacproxy.manage.screen import JsonScreen, PlainScreen, Screen, stop_writing
from uacproxy.manage.verb import Fault

DEFAULT_ENDPOINT: Final = "unix:uacproxy.sock"
PATIENCE: Final = 30.0  # s for each answer

DONE: Final = 0
FAULT: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 69
INTERRUPTED: Final = 130


def main(
    argv: Sequence[str] | None = None,
    open_database: Callable[[str], account_command.Ask] | None = None,
) -> int:
    """Run one verb and return the exit status; the reactor of the process is used up by it.

    Args:
        argv: the words; None for those of the process.
        open_database: opens the database of accounts that an ini file names, for
            ``account --config``; None where that cannot be done.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if "account" in words:
        before = words[: words.index("account")]
        if not [word for word in before if word == "help"]:
            return _account(words, open_database)
    parser = _parser()
    try:
        options = parser.parse_intermixed_args(argv)
        verb, arguments = options.verb, options.arguments
        if verb == "help":
            return _help(parser, arguments)
        if verb not in VERBS:
            parser.error(unknown_verb(verb))
        if not VERBS[verb].takes(len(arguments)):
            parser.error(f"the verb is used as: {VERBS[verb].usage}")
        try:
            endpoint = client_description(options.connect)
        except ValueError as error:
            parser.error(f"--connect: {error}")
    except SystemExit as stop:  # argparse has said why
        return stop.code if isinstance(stop.code, int) else USAGE
    screen: Screen
    if options.json:
        screen = JsonScreen(sys.stdout)
    else:
        screen = PlainScreen(sys.stdout, VERBS[verb].columns)

    async def talk(ask_for: Ask) -> int:
        shape = "value"
        async for shape, content in ask_for(verb, arguments):
            if shape == "list":
                screen.rows(content)
            else:
                screen.value(content)
        if shape == "list":
            screen.end()
        return DONE

    return _visited(endpoint, talk)


def _account(
    words: Sequence[str], open_database: Callable[[str], account_command.Ask] | None
) -> int:
    """Run ``uacctl account ...``, through the service or on the database itself."""
    parser = _common(_Parser(prog="uacctl"))
    account = parser.add_subparsers(dest="verb", required=True).add_parser("account")
    account_command.add_arguments(account)
    try:
        options = parser.parse_args(words)
        endpoint = client_description(options.connect)
    except ValueError as error:
        print(f"uacctl: error: --connect: {error}", file=sys.stderr)
        return USAGE
    except SystemExit as stop:  # argparse has said why
        return stop.code if isinstance(stop.code, int) else USAGE

    async def talk(ask_for: Ask) -> int:
        async def asked(verb: str, arguments: Sequence[str]) -> Any:
            rows: list[Any] = []
            async for shape, content in ask_for(verb, arguments):
                if shape == "value":
                    return content
                rows += content
            return rows

        return await account_command.run(options, asked, sys.stdout, sys.stderr)

    try:
        if not options.config or open_database is None:
            return _visited(endpoint, talk)
        asked = open_database(options.config)
        return _at_once(account_command.run(options, asked, sys.stdout, sys.stderr))
    except account_command.WrongUsage as error:
        print(f"uacctl: error: {error}", file=sys.stderr)
        return USAGE
    except Fault as fault:
        print(fault, file=sys.stderr)
        return FAULT


def _at_once(work: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine that never has to wait."""
    try:
        work.send(None)
    except StopIteration as stop:
        return int(stop.value)
    raise OwnMistake("the database has made us wait")


def _visited(endpoint: str, talk: Talk) -> int:
    visit = _Visit(endpoint, talk)
    try:
        react(visit.run)
    except SystemExit:
        pass
    if visit.mistake is not None:
        raise visit.mistake
    return visit.status


Ask = Callable[[str, Sequence[str]], AsyncIterator[Page]]
Talk = Callable[[Ask], Coroutine[Any, Any, int]]


@final
class _Visit:
    """One connection and what is said over it; ``status`` says how it went."""

    def __init__(self, endpoint: str, talk: Talk) -> None:
        self.status = INTERRUPTED
        self.mistake: account_command.WrongUsage | None = None
        self._endpoint = endpoint
        self._talk = talk

    async def run(self, reactor: Any) -> None:
        try:
            endpoint = clientFromString(reactor, self._endpoint)
        except (ValueError, TypeError) as error:
            self._ended(USAGE, f"uacctl: error: --connect {self._endpoint}: {error}")
            return
        try:
            connection = await connectProtocol(endpoint, AMP())
        except (ConnectError, DNSLookupError, OSError) as error:
            self._ended(UNAVAILABLE, _unreachable(self._endpoint, _reason(error)))
            return
        try:
            self.status = await self._talk(
                lambda verb, arguments: ask(
                    connection, verb, arguments, patience=PATIENCE, clock=reactor
                )
            )
            sys.stdout.flush()
        except account_command.WrongUsage as mistake:
            self.mistake = mistake
        except Fault as fault:
            sys.stdout.flush()
            self._ended(FAULT, str(fault))
        except BrokenPipeError:  # the reader has seen enough
            stop_writing()
            self.status = DONE
        except NoAnswer:
            why = f"connected, but no answer within {PATIENCE:.0f} s"
            self._ended(UNAVAILABLE, _unreachable(self._endpoint, why))
        except (ConnectionClosed, AmpError) as error:
            why = f"connected, but the talk broke off: {_reason(error)}"
            self._ended(UNAVAILABLE, _unreachable(self._endpoint, why))
        finally:
            connection.transport.loseConnection()

    def _ended(self, status: int, words: str) -> None:
        self.status = status
        print(words, file=sys.stderr)


def _unreachable(endpoint: str, why: str) -> str:
    kind, _, path = endpoint.partition("unix:path=")
    where = f"unix:{os.path.abspath(path)}" if not kind else endpoint
    return (
        f"uacctl: no service at {where}: {why}\n"
        "Is uacproxy running, and is this the endpoint of amp in [management] of its ini file?\n"
        "Another endpoint: uacctl --connect ENDPOINT, or UACCTL_CONNECT in the environment."
    )


def _reason(error: BaseException) -> str:
    code = error.osError if isinstance(error, ConnectError) else getattr(error, "errno", None)
    return os.strerror(code) if isinstance(code, int) else str(error) or type(error).__name__


class _Parser(argparse.ArgumentParser):
    """Says what is wrong and how to go on in two lines, where argparse would repeat the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"uacctl: error: {message}\nTry: uacctl help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="uacctl",
        description="Operate a running uacproxy.",
        epilog="Exit status: 0 done, 1 the service answered a fault, 2 usage, 69 no service.",
    )
    _common(parser)
    parser.add_argument("verb", metavar="VERB", help="uacctl help lists them")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs="*")
    return parser


def _common(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--connect",
        metavar="ENDPOINT",
        default=os.environ.get("UACCTL_CONNECT") or DEFAULT_ENDPOINT,
        help="where the service listens, as [management] amp has it "
        "(default: UACCTL_CONNECT, else unix:uacproxy.sock)",
    )
    parser.add_argument("--json", action="store_true", help="answer as one JSON text")
    parser.add_argument("--version", action="version", version=f"uacctl {__version__}")
    return parser


def _help(parser: argparse.ArgumentParser, names: Sequence[str]) -> int:
    """Print the table of verbs, or one verb with its arguments; needs no service."""
    if not names:
        print(parser.format_usage())
        widest = max(len(verb.usage) for verb in VERBS.values())
        for verb in VERBS.values():
            print(f"  {verb.usage:{widest}}  {verb.doc}")
        print("\nAccounts are edited with: uacctl account add|set|remove|list|import|export --help")
        return DONE
    for name in names:
        if name not in VERBS:
            parser.error(unknown_verb(name))
        verb = VERBS[name]
        print(f"uacctl {verb.usage}\n  {verb.doc}")
        for argument in verb.arguments:
            print(f"  {argument.name.upper()} ({argument.type_name}): {argument.doc}")
    return DONE
