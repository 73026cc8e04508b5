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
from collections.abc import Sequence
from typing import Any, Final, NoReturn, final

from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.task import react
from twisted.protocols.amp import AMP, AmpError

from uacproxy import __version__
from uacproxy.manage.amp import ask
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status; the reactor of the process is used up by it."""
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
    visit = _Visit(endpoint, verb, arguments, screen)
    try:
        react(visit.run)
    except SystemExit:
        return visit.status


@final
class _Visit:
    """One connection, one verb; ``status`` says how it went."""

    def __init__(self, endpoint: str, verb: str, arguments: Sequence[str], screen: Screen) -> None:
        self.status = INTERRUPTED
        self._endpoint = endpoint
        self._verb = verb
        self._arguments = arguments
        self._screen = screen

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
            await self._talk(reactor, connection)
            sys.stdout.flush()
            self.status = DONE
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

    async def _talk(self, reactor: Any, connection: AMP) -> None:
        pages = ask(connection, self._verb, self._arguments, patience=PATIENCE, clock=reactor)
        shape = "value"
        async for shape, content in pages:
            if shape == "list":
                self._screen.rows(content)
            else:
                self._screen.value(content)
        if shape == "list":
            self._screen.end()

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
    parser.add_argument(
        "--connect",
        metavar="ENDPOINT",
        default=os.environ.get("UACCTL_CONNECT") or DEFAULT_ENDPOINT,
        help="where the service listens, as [management] amp has it "
        "(default: UACCTL_CONNECT, else unix:uacproxy.sock)",
    )
    parser.add_argument("--json", action="store_true", help="answer as one JSON text")
    parser.add_argument("--version", action="version", version=f"uacctl {__version__}")
    parser.add_argument("verb", metavar="VERB", help="uacctl help lists them")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs="*")
    return parser


def _help(parser: argparse.ArgumentParser, names: Sequence[str]) -> int:
    """Print the table of verbs, or one verb with its arguments; needs no service."""
    if not names:
        print(parser.format_usage())
        widest = max(len(verb.usage) for verb in VERBS.values())
        for verb in VERBS.values():
            print(f"  {verb.usage:{widest}}  {verb.doc}")
        return DONE
    for name in names:
        if name not in VERBS:
            parser.error(unknown_verb(name))
        verb = VERBS[name]
        print(f"uacctl {verb.usage}\n  {verb.doc}")
        for argument in verb.arguments:
            print(f"  {argument.name.upper()} ({argument.type_name}): {argument.doc}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
