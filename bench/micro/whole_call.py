"""One call in this process: real parts and real sockets, a clock and peers of our own.

W1 is the plain trunk call, W1D the same with identities kept by the dialog, W2 the same
challenged by the provider, a new nonce for each call, W4 the same bridged.

The peers' work is not in the figures: only ``doRead`` of the listener and the beats of the
clock are timed. Calls come in batches, as datagrams do under load, and time passes between
batches as it would at ``rate``, so that transactions end as fast as they begin.

    python -m bench.micro.whole_call                  # microseconds per call, best of many batches
    python -m bench.micro.whole_call --workload w2    # or w1d, w4
    python -m bench.micro.whole_call --rate 1000      # 32,000 ended calls in memory, as in service
    valgrind --tool=callgrind --toggle-collect=functools_reduce \
        python -m bench.micro.whole_call --batches 10 # instructions, see CONTRIBUTING.md
"""

from __future__ import annotations

import argparse
import functools
import gc
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from bench.messages import build_answer, build_answers, build_request
from bench.micro.core import kind_of_core
from uacproxy.collector import Collector
from uacproxy.config.ini import read_config
from uacproxy.config.script import read_script
from uacproxy.parts import Parts
from uacproxy.transaction.timers import BeatClock

BEAT = 0.02  # s
KEY = bytes(range(32))

INI = """\
[sip]
listen = udp:127.0.0.1:0
domains = pbx.example
[store]
url = memory:
[limits]
max_transactions = 1000000
[management]
amp =
[uac]
{uac}
[rule:trunk]
{rule}
replace_from = sip:trunk01@provider.example.net
{target} = sip:127.0.0.1:{port}
"""

WORKLOADS = {  # lines of [uac], of the rule, and what it does
    "w1": ("", "", "relay"),
    "w1d": ("restore_dlg = yes", "track = yes", "relay"),
    "w2": ("credential = trunk01:provider.example.net:s3cret01", "auth = trunk01", "relay"),
    "w4": ("", "", "bridge"),
    "w6": ("[registrar]\nauthenticate = no", "", "relay"),
}


class Reactor:
    """As much of a reactor as a listener asks for; nothing runs by itself."""

    def seconds(self) -> float:
        """Return the time, s."""
        return time.monotonic()

    def getThreadPool(self) -> None:  # noqa: N802
        """Have no threads."""

    def callLater(self, delay: float, call: Callable[..., object], *args: Any) -> None:  # noqa: N802
        """Refuse: no call of the workload is to need it."""
        raise AssertionError(f"{call} later")

    def addReader(self, reader: object) -> None:  # noqa: N802
        """Watch nothing."""

    removeReader = addWriter = removeWriter = addReader  # noqa: N815


def peer() -> socket.socket:
    """Return the socket of one side."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind(("127.0.0.1", 0))
    made.settimeout(5)
    return made


class Bench:
    """A proxy, a caller and a callee."""

    def __init__(self, workload: str = "w1") -> None:
        self.challenges = workload == "w2"
        uac, rule, target = WORKLOADS[workload]
        self.caller = peer()
        self.callee = peer()
        self.now = 1000.0
        with tempfile.TemporaryDirectory() as folder:
            ini = Path(folder, "uacproxy.ini")
            port = self.callee.getsockname()[1]
            ini.write_text(INI.format(port=port, uac=uac, rule=rule, target=target))
            config = read_config(str(ini))
            script = read_script(config)
        self.parts = Parts(config, Reactor())
        self.parts.clock = BeatClock(lambda: self.now, self._failed)
        self.parts.open_store()
        self.parts.build(script, [KEY])
        self.parts.transports.open()
        (listener,) = self.parts.transports._udp.values()
        self.listener: Any = listener
        self.proxy = ("127.0.0.1", listener.listening.port)
        self.calls = 0
        self.spent = 0  # ns

    def _failed(self, error: Exception) -> None:
        raise error

    # -- what is measured --------------------------------------------------------------

    def read(self, wanted: int) -> None:
        """Let the proxy work on what was sent to it."""
        do_read = self.listener.doRead
        began = time.perf_counter_ns()
        functools.reduce(lambda _, __: do_read(), range(wanted), None)
        self.spent += time.perf_counter_ns() - began

    def beat(self) -> None:
        """Run what is due."""
        beat = self.parts.clock.beat
        began = time.perf_counter_ns()
        functools.reduce(lambda _, __: beat(), (0,), None)
        self.spent += time.perf_counter_ns() - began

    def let(self, seconds: float) -> None:
        """Let time pass, beat by beat as far as anything is due."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 0.5)
            self.beat()

    # -- the workload ------------------------------------------------------------------

    def batch(self, size: int, passes: float) -> float:
        """Make ``size`` calls side by side, then let time pass; return microseconds per call."""
        self.spent = 0
        numbers = self.numbers(size)
        answers = self.answer(numbers, self.invite(numbers))
        self.hang_up(numbers, answers)
        self.now += passes
        self.beat()
        return self.spent / size / 1000

    def stand(self, size: int) -> None:
        """Make ``size`` calls that nobody ends."""
        numbers = self.numbers(size)
        answers = self.answer(numbers, self.invite(numbers))
        caller = self.caller.getsockname()
        for number, answer in zip(numbers, answers, strict=True):
            request = build_request(b"ACK", number, caller, answer=answer)
            self.caller.sendto(request, self.proxy)
        self.read(1 + size // 64)
        expect(self.callee, b"ACK ", size)

    def numbers(self, size: int) -> range:
        """Return the numbers of the next calls."""
        self.calls += size
        return range(self.calls - size, self.calls)

    def invite(self, numbers: range) -> list[bytes]:
        """Begin calls; return the INVITEs as they reach the callee."""
        caller = self.caller.getsockname()
        for number in numbers:
            self.caller.sendto(build_request(b"INVITE", number, caller), self.proxy)
        self.read(1 + len(numbers) // 64)
        invites = [self.callee.recv(65535) for _ in numbers]
        expect(self.caller, b"SIP/2.0 100", len(numbers))
        return self.challenge(numbers, invites) if self.challenges else invites

    def challenge(self, numbers: range, invites: list[bytes]) -> list[bytes]:
        """Answer INVITEs 407; return those that come with credentials, behind their ACKs."""
        for number, invite in zip(numbers, invites, strict=True):
            asked = (
                b'Proxy-Authenticate: Digest realm="provider.example.net", nonce="a1b2c34242d4e5f6'
                b'%d", qop="auth", algorithm=MD5, opaque="5ccc069c403ebaf9f0171e9517f40e41"\r\n'
                % number
            )
            status, tag = b"407 Proxy Authentication Required", b";tag=77c%d" % number
            response = build_answer(status, invite, tag, asked, is_routed=False)
            self.callee.sendto(response, self.proxy)
        self.read(1 + len(invites) // 64)
        return expect(self.callee, b"INVITE ", len(invites), also=b"ACK ")

    def answer(self, numbers: range, invites: list[bytes]) -> list[bytes]:
        """Answer calls; return the 200s as they reach the caller."""
        callee = self.callee.getsockname()
        for number, invite in zip(numbers, invites, strict=True):
            for response in build_answers(number, invite, callee):
                self.callee.sendto(response, self.proxy)
        self.read(1 + 3 * len(numbers) // 64)
        return expect(self.caller, b"SIP/2.0 200", len(numbers), also=b"SIP/2.0 180")

    def hang_up(self, numbers: range, answers: list[bytes]) -> None:
        """Acknowledge calls and end them."""
        size, caller = len(numbers), self.caller.getsockname()
        for number, answer in zip(numbers, answers, strict=True):
            for method in (b"ACK", b"BYE"):
                request = build_request(method, number, caller, answer=answer)
                self.caller.sendto(request, self.proxy)
        self.read(1 + 2 * size // 64)
        byes = expect(self.callee, b"BYE ", size, also=b"ACK ")
        for bye in byes:
            self.callee.sendto(build_answer(b"200 OK", bye), self.proxy)
        self.read(1 + size // 64)
        expect(self.caller, b"SIP/2.0 200", size)

    # -- its end -----------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the sockets."""
        self.listener.close()
        self.caller.close()
        self.callee.close()


def expect(who: socket.socket, start: bytes, count: int, also: bytes = b"") -> list[bytes]:
    """Return ``count`` messages that begin so, in order; as many of the other kind pass by."""
    found: list[bytes] = []
    others = 0
    while len(found) < count or (also and others < count):
        message = who.recv(65535)
        if message.startswith(start):
            found.append(message)
        elif also and message.startswith(also):
            others += 1
        else:
            raise AssertionError(f"not expected: {message!r}")
    return found


def resident() -> float:
    """Return the memory of this process, kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1])
    return 0.0


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", default="w1", choices=["w1", "w1d", "w2", "w4"])
    parser.add_argument("--batch", type=int, default=20, help="calls side by side")
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--rate", type=float, default=20, help="calls/s of the simulated clock")
    parser.add_argument("--warm", type=float, default=40, help="s of the simulated clock")
    arguments = parser.parse_args()
    bench = Bench(arguments.workload)
    passes = arguments.batch / arguments.rate
    warm = int(arguments.warm / passes) + 3  # until as many transactions end as begin
    before = resident()
    Collector(lambda: 0).start()
    for _ in range(warm):
        bench.batch(arguments.batch, passes)
    kept = bench.parts.table.servers + bench.parts.table.clients
    memory = resident() - before
    gc.collect()
    figures = sorted(bench.batch(arguments.batch, passes) for _ in range(arguments.batches))
    kind = kind_of_core()
    print(
        f"whole {arguments.workload} call, {kind}: best {figures[0]:.1f}, "
        f"median {figures[len(figures) // 2]:.1f}, mean {sum(figures) / len(figures):.1f} us; "
        f"{kept} transactions alive, "
        f"{memory * 1024 / max(1, arguments.rate * 32):.0f} octets a call kept"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
