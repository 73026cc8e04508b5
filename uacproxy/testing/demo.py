"""``make demo``: uacproxy at its main job, on real sockets, in a few seconds.

Starts ``twistd uacproxy`` on SQLite files in a folder of its own, a small provider and two
phones; registers, calls out, calls in, stops; prints each act as a ladder and then every
value that had to be right. Exit status 0 only if all were.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from textwrap import indent
from typing import Any, Final, NoReturn, final

from rich.console import Console
from rich.text import Text
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.task import react

import uacproxy
from uacproxy.sip import message
from uacproxy.sip.grammar import text
from uacproxy.sip.names import CONTACT, CSEQ, EXPIRES, TO
from uacproxy.testing import demo_acts as act
from uacproxy.testing.arrows import SHOWN, rows_of
from uacproxy.testing.checks import Checks
from uacproxy.testing.demo_office import (
    ACCOUNT,
    ALICE,
    BOB,
    PROVIDER,
    RULES,
    Passwords,
    free_port,
    write_accounts,
    write_ini,
)
from uacproxy.testing.demo_service import ServiceProcess
from uacproxy.testing.ladder import Ladder, open_console, print_legend, print_line, print_title
from uacproxy.testing.peer import LOOPBACK, OffScript

PLAYS_WITHIN: Final = 22.0  # s; what STOPS_WITHIN adds makes 30
LOG_TAIL: Final = 30  # lines

REGISTRATION: Final = " Account trunk1 registers with the provider, Bob with uacproxy itself."
CALL_OUT: Final = """\
 Alice dials 4433. Rule out replaces From and To, and answers the challenge for account trunk1.
 The far end sends a re-INVITE; Alice hangs up."""
CALL_IN: Final = """\
 Carol calls back. The provider calls the Contact of account trunk1; rule in finds that its local
 user is Bob, and the registrar that Bob is at phone 2."""
THE_END: Final = " On SIGTERM uacproxy takes its binding back before it leaves."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration and return the exit status; the reactor is used up by it."""
    parser = argparse.ArgumentParser(prog="python -m uacproxy.testing.demo", description=__doc__)
    parser.add_argument(
        "--spoil",
        choices=("password", "from"),
        help="see a failure: the provider knows another password, or another From is expected",
    )
    options = parser.parse_args(argv)
    demo = Demo(open_console(), options.spoil or "")
    try:
        react(demo.run)
    except SystemExit:
        return demo.status


@final
class Demo:
    """One run; ``status`` is the exit status, 0 once every value was right."""

    def __init__(self, console: Console, spoil: str) -> None:
        self.status = 1
        self._console = console
        self._spoil = spoil
        self._checks = Checks()

    async def run(self, reactor: Any) -> None:
        """Play all acts within the time, clean up, and tell how it went."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="uacproxy-demo-") as folder:
            here = (LOOPBACK, free_port())
            passwords = Passwords()
            asked = "another" if self._spoil == "password" else passwords.trunk
            stage = act.Stage(reactor, here, passwords, asked)
            if self._spoil == "from":
                stage.trunk = stage.trunk.replace(b"70", b"71")
            write_accounts(Path(folder), stage.provider.address, passwords)
            config = write_ini(Path(folder), here, stage.provider.address)
            service = ServiceProcess(reactor, Path(folder), config)
            playing = Deferred.fromCoroutine(self._play(stage, service))
            playing.addTimeout(PLAYS_WITHIN, reactor)
            try:
                await playing
            except OffScript as error:
                self._checks.off_script(error)
            except TookTooLong:
                self._checks.same("the whole is over within", f"{PLAYS_WITHIN:g} s", "more")
            finally:
                await service.stop()
                await stage.close()
        self._conclude(service, time.monotonic() - began)

    async def _play(self, stage: act.Stage, service: ServiceProcess) -> None:
        self._introduce(stage, service)
        await service.listens()
        checks = self._checks
        playing = act.registrations(stage, service, checks)
        await self._show(
            stage, "Registration", "phone 2", REGISTRATION, playing, (TO, CONTACT, CSEQ)
        )
        await self._explain(service)
        playing = act.call_out(stage, checks)
        await self._show(stage, "A call out", "phone 1", CALL_OUT, playing)
        playing = act.call_in(stage, checks)
        await self._show(stage, "A call in", "phone 2", CALL_IN, playing)
        playing = act.stop(stage, service, checks)
        await self._show(stage, "The end", "", THE_END, playing, (TO, CONTACT, EXPIRES, CSEQ))

    async def _show(
        self,
        stage: act.Stage,
        title: str,
        phone: str,
        words: str,
        playing: Awaitable[None],
        shown: Sequence[bytes] = SHOWN,
    ) -> None:
        """Play one act, and draw it however far it came."""
        start = len(stage.record)
        try:
            await playing
        finally:
            print_title(self._console, title, words)
            provider = stage.provider.name
            rows = rows_of(stage.record[start:], provider, shown)
            Ladder(self._console, phone, provider).draw(rows)

    async def _explain(self, service: ServiceProcess) -> None:
        words = str(await service.ask("explain", ACCOUNT))
        self._say(f"\n $ uacctl explain {ACCOUNT}", "bold")
        for line in words.splitlines():
            self._say(f"   {line}")

    # -- words around the ladders ----------------------------------------------------------

    def _introduce(self, stage: act.Stage, service: ServiceProcess) -> None:
        core = "plain Python" if str(message.__file__).endswith(".py") else "compiled"
        print_title(self._console, f"uacproxy {uacproxy.__version__}, {core} core")
        self._say(f" {' '.join(service.command)}   (process {service.pid})\n")
        for peer, who in (
            (stage.alice, text(ALICE)),
            (stage.bob, text(BOB)),
            (stage.provider, f"{text(PROVIDER)}, with a gateway to Carol"),
        ):
            self._say(f" {peer.name:<9} udp:{LOOPBACK}:{peer.address[1]:<6} {who}")
        where = "{}:{}".format(*stage.provider.address)
        self._say("\n" + indent(RULES.format(provider=where).rstrip(), " "), "dim")
        self._say("")
        print_legend(self._console)

    def _conclude(self, service: ServiceProcess, seconds: float) -> None:
        checks = self._checks
        print_title(self._console, "What had to be right")
        checks.print(self._console)
        failed = len(checks.failed)
        if failed:
            print_title(self._console, "The service's last words")
            for line in service.log.splitlines()[-LOG_TAIL:]:
                self._say(f" {line}")
            self._say(f"\n Wrong: {failed} of {len(checks)} values.", "bold red")
        else:
            self._say(f"\n All {len(checks)} values were right, in {seconds:.1f} s.", "bold green")
            self.status = 0

    def _say(self, words: str, style: str = "") -> None:
        print_line(self._console, Text(words, style))


def _run() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    _run()
