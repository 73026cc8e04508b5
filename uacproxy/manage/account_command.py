"""``uacctl account``: the table of accounts for people who do not want SQL.

It goes through the running service, which takes up at once what was written; with
``--config FILE`` it opens the database that the file names itself, for a service that does
not run. No password is echoed, and none is printed unless asked for.
"""

from __future__ import annotations

import argparse
import csv
import getpass
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, TextIO, final

from uacproxy.manage.screen import JsonScreen, PlainScreen, Screen
from uacproxy.uac.account_edit import ADD, CHECK, PUT, SECRETS, SET, WRITABLE, unknown_name

ROWS_AT_ONCE: Final = 50  # of an import
OCTETS_AT_ONCE: Final = 60_000  # of an import, on its way; an AMP value ends at 65,535
SHOWN: Final = ("l_uuid", "l_username", "l_domain", "r_username", "r_domain", "auth_proxy")

Ask = Callable[[str, Sequence[str]], Awaitable[Any]]
"""Runs one verb; the value, or all rows of a list. Raises Fault."""


@final
class WrongUsage(Exception):
    """The command line, or a file it names, is wrong; the lines say where."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the words after ``account``."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="open the database that this ini file names, without a running service",
    )
    verbs = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    names = "columns of uacreg and settings, as NAME=VALUE; see docs/accounts.md"
    for what, words in ((ADD, "add an account"), (SET, "change an account")):
        one = verbs.add_parser(what, help=words)
        one.add_argument("l_uuid", metavar="L_UUID")
        one.add_argument("values", metavar="NAME=VALUE", nargs="*", help=names)
        one.add_argument("--password-file", metavar="FILE", help="first line; - is standard input")
        one.add_argument("--password", action="store_true", help="ask for the password")
    one = verbs.add_parser("remove", help="remove an account")
    one.add_argument("l_uuid", metavar="L_UUID")
    verbs.add_parser("list", help="list the accounts")
    one = verbs.add_parser("import", help="add or change the accounts of a CSV file")
    one.add_argument("file", metavar="FILE.csv", help="its first line names the columns")
    one = verbs.add_parser("export", help="write all accounts as CSV to standard output")
    one.add_argument("--with-secrets", action="store_true", help="passwords and HA1s too")


async def run(options: argparse.Namespace, ask: Ask, out: TextIO, err: TextIO) -> int:
    """Do what ``options`` say; return the exit status 0 or 1.

    Raises:
        Fault: as the service answered.
        WrongUsage: before anything was written.
    """
    if options.what in (ADD, SET):
        return await _write_one(options, ask, err)
    if options.what == "remove":
        await ask("account.remove", [options.l_uuid])
        return 0
    if options.what == "import":
        return await _import(options.file, ask, out, err)
    with_secrets = options.what == "export" and options.with_secrets
    rows = await ask("account.list", ["1"] if with_secrets else [])
    if options.what == "list":
        _show(rows, out, as_json=options.json)
    else:
        names = [name for name in WRITABLE if with_secrets or name not in SECRETS]
        writer = csv.DictWriter(out, names, extrasaction="ignore", restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return 0


async def _write_one(options: argparse.Namespace, ask: Ask, err: TextIO) -> int:
    row = {"l_uuid": options.l_uuid}
    for word in options.values:
        name, equals, value = word.partition("=")
        if not equals:
            raise WrongUsage(f"{word!a} is not NAME=VALUE")
        if name not in WRITABLE or name == "l_uuid":
            raise WrongUsage(unknown_name(name))
        row[name] = value
    password = _password(options, row)
    if password is not None:
        row["auth_password"] = password
    answer = await ask("account.put", [options.what, json.dumps([row])])
    for _, why in answer["wrong"]:
        print(why, file=err)
    return 1 if answer["wrong"] else 0


def _password(options: argparse.Namespace, row: dict[str, str]) -> str | None:
    """Return the password from where the command line says, None for none to be set."""
    if options.password_file == "-":
        return sys.stdin.readline().rstrip("\r\n")
    if options.password_file:
        try:
            with open(options.password_file, encoding="utf-8") as file:
                return file.readline().rstrip("\r\n")
        except (OSError, UnicodeError) as error:
            raise WrongUsage(f"--password-file {options.password_file}: {_reason(error)}") from None
    if options.password or (
        options.what == ADD and not SECRETS.intersection(row) and sys.stdin.isatty()
    ):
        return getpass.getpass(f"Password of {options.l_uuid}: ")
    return None


async def _import(path: str, ask: Ask, out: TextIO, err: TextIO) -> int:
    """Check every line, then write; nothing is written where a line is wrong."""
    lines, wrong = read_csv(path)
    for handful in _handfuls(lines):
        answer = await ask("account.put", [CHECK, json.dumps([row for _, row in handful])])
        wrong += [(handful[number][0], why) for number, why in answer["wrong"]]
    if wrong:
        for number, why in sorted(wrong):
            print(f"{path}:{number}: {why}", file=err)
        print(f"{len(wrong)} errors; nothing was written", file=err)
        return 1
    written = 0
    for handful in _handfuls(lines):
        answer = await ask("account.put", [PUT, json.dumps([row for _, row in handful])])
        written += answer["written"]
        if err.isatty():
            print(f"\r{written} of {len(lines)} accounts", end="", file=err, flush=True)
    if err.isatty():
        print(file=err)
    print(f"{written} accounts written", file=out)
    return 0


Line = tuple[int, dict[str, str]]


def read_csv(path: str) -> tuple[list[Line], list[tuple[int, str]]]:
    """Return the rows with the number of their line, and what is wrong with some.

    Raises:
        WrongUsage: the file cannot be read, or its first line names no columns.
    """
    lines: list[Line] = []
    wrong: list[tuple[int, str]] = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            names = [name.strip() for name in next(reader, [])]
            _check_header(path, names)
            first: dict[str, int] = {}
            for values in reader:
                number = reader.line_num
                if not any(value.strip() for value in values):
                    continue
                row = dict(zip(names, values, strict=False))
                if len(values) != len(names):
                    wrong.append((number, f"{len(values)} values for {len(names)} columns"))
                elif row["l_uuid"] in first:
                    wrong.append((number, f"l_uuid: is that of line {first[row['l_uuid']]} too"))
                else:
                    first[row["l_uuid"]] = number
                    lines.append((number, row))
    except (OSError, UnicodeError, csv.Error) as error:
        raise WrongUsage(f"{path}: {_reason(error)}") from None
    return lines, wrong


def _reason(error: Exception) -> str:
    """Return what is wrong without the name of the file, which stands before it."""
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def _check_header(path: str, names: Sequence[str]) -> None:
    if "l_uuid" not in names:
        raise WrongUsage(f"{path}:1: the first line names no column l_uuid")
    errors = [unknown_name(name) for name in names if name not in WRITABLE]
    errors += [f"{name} is there twice" for name in {n for n in names if names.count(n) > 1}]
    if errors:
        raise WrongUsage("\n".join(f"{path}:1: {why}" for why in errors))


def _handfuls(lines: list[Line]) -> Iterator[list[Line]]:
    """Give the lines in as many requests as they need; one too long for any goes alone."""
    handful: list[Line] = []
    octets = 0
    for line in lines:
        more = len(json.dumps(json.dumps(line[1])))  # as ``account.put`` is asked: JSON in JSON
        if handful and (len(handful) == ROWS_AT_ONCE or octets + more > OCTETS_AT_ONCE):
            yield handful
            handful, octets = [], 0
        handful.append(line)
        octets += more
    if handful:
        yield handful


def _show(rows: list[dict[str, Any]], out: TextIO, *, as_json: bool) -> None:
    screen: Screen = JsonScreen(out) if as_json else PlainScreen(out, SHOWN)
    screen.rows(rows)
    screen.end()
