"""One call in this process: real parts and real sockets, a clock and peers of our own.

W1 is the plain trunk call, W1D the same with identities kept by the dialog, W2 the same
challenged by the provider, a new nonce for each call.

The peers' work is not in the figures: only ``doRead`` of the listener and the beats of the
clock are timed. Calls come in batches, as datagrams do under load, and time passes between
batches as it would at ``rate``, so that transactions end as fast as they begin.

    python -m bench.micro.whole_call                  # microseconds per call, best of many batches
    python -m bench.micro.whole_call --workload w2    # or w1d
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
from typing import Any

from bench.micro.core import kind_of_core
from uacproxy.collector import Collector
from uacproxy.config.ini import read_config
from uacproxy.config.script import read_script
from uacproxy.parts import Parts
from uacproxy.transaction.timers import BeatClock

BEAT = 0.02  # s
KEY = bytes(range(32))

SDP = (
    b"v=0\r\no=alice 2890844526 2890844526 IN IP4 127.0.0.1\r\ns=call\r\nc=IN IP4 127.0.0.1\r\n"
    b"t=0 0\r\nm=audio 6000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
)

INI = """\
[sip]
listen = udp:127.0.0.1:0
[store]
url = memory:
[limits]
max_transactions = 1000000
[uac]
{uac}
[management]
amp =
[rule:trunk]
{rule}
replace_from = sip:trunk01@provider.example.net
relay = sip:127.0.0.1:{port}
"""

WORKLOADS = {  # lines of [uac], of the rule
    "w1": ("", ""),
    "w1d": ("restore_dlg = yes", "track = yes"),
    "w2": ("credential = trunk01:provider.example.net:s3cret01", "auth = trunk01"),
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


def fields_of(message: bytes, *names: bytes) -> bytes:
    """Return the lines of a message whose names are among these, in the message's order."""
    head = message.partition(b"\r\n\r\n")[0]
    lines = [line for line in head.split(b"\r\n")[1:] if line.partition(b":")[0] in names]
    return b"".join(line + b"\r\n" for line in lines)


class Bench:
    """A proxy, a caller and a callee."""

    def __init__(self, workload: str) -> None:
        self.challenges = workload == "w2"
        uac, rule = WORKLOADS[workload]
        self.caller = peer()
        self.callee = peer()
        self.now = 1000.0
        with tempfile.TemporaryDirectory() as folder:
            ini = Path(folder, "uacproxy.ini")
            ini.write_text(INI.format(port=self.callee.getsockname()[1], uac=uac, rule=rule))
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

    # -- the workload ------------------------------------------------------------------

    def batch(self, size: int, passes: float) -> float:
        """Make ``size`` calls side by side, then let time pass; return microseconds per call."""
        self.spent = 0
        numbers = range(self.calls, self.calls + size)
        self.calls += size
        port = self.caller.getsockname()[1]
        for number in numbers:
            self.caller.sendto(self.request(b"INVITE", number, port), self.proxy)
        self.read(1 + size // 64)
        invites = [self.callee.recv(65535) for _ in numbers]
        expect(self.caller, b"SIP/2.0 100", size)
        if self.challenges:
            invites = self.challenge(numbers, invites)
        for number, invite in zip(numbers, invites, strict=True):
            for response in self.responses(number, invite):
                self.callee.sendto(response, self.proxy)
        self.read(1 + 3 * size // 64)
        answers = expect(self.caller, b"SIP/2.0 200", size, also=b"SIP/2.0 180")
        for number, answer in zip(numbers, answers, strict=True):
            self.caller.sendto(self.request(b"ACK", number, port, answer), self.proxy)
            self.caller.sendto(self.request(b"BYE", number, port, answer), self.proxy)
        self.read(1 + 2 * size // 64)
        byes = expect(self.callee, b"BYE ", size, also=b"ACK ")
        for bye in byes:
            self.callee.sendto(self.answer(b"200 OK", bye), self.proxy)
        self.read(1 + size // 64)
        expect(self.caller, b"SIP/2.0 200", size)
        self.now += passes
        self.beat()
        return self.spent / size / 1000

    def challenge(self, numbers: range, invites: list[bytes]) -> list[bytes]:
        """Answer INVITEs 407; return those that come with credentials, behind their ACKs."""
        for number, invite in zip(numbers, invites, strict=True):
            asked = (
                b'Proxy-Authenticate: Digest realm="provider.example.net", nonce="a1b2c34242d4e5f6'
                b'%d", qop="auth", algorithm=MD5, opaque="5ccc069c403ebaf9f0171e9517f40e41"\r\n'
                % number
            )
            status, tag = b"407 Proxy Authentication Required", b";tag=77c%d" % number
            response = self.answer(status, invite, tag, asked, routed=False)
            self.callee.sendto(response, self.proxy)
        self.read(1 + len(invites) // 64)
        return expect(self.callee, b"INVITE ", len(invites), also=b"ACK ")

    def request(self, method: bytes, number: int, port: int, answer: bytes = b"") -> bytes:
        """Return what the caller sends; inside the dialog from its second request on."""
        fields = b"Via: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK-4242-%d-%b;rport\r\n" % (
            port,
            number,
            method,
        )
        uri = b"sip:+4930555%d@provider.example.net" % number
        to = b"To: <%b>\r\n" % uri
        if answer:
            uri = b"sip:127.0.0.1:%d;transport=udp" % self.callee.getsockname()[1]
            to = fields_of(answer, b"To")
            fields += fields_of(answer, b"Record-Route").replace(b"Record-Route", b"Route")
        fields += (
            b"Max-Forwards: 70\r\n"
            b'From: "Alice Example" <sip:alice@pbx.example.com>;tag=4242a%d\r\n'
            % number
            + to
            + b"Call-ID: %d-4242@127.0.0.1\r\nCSeq: %d %b\r\n"
            % (number, 2 if method == b"BYE" else 1, method)
            + b"Contact: <sip:alice@127.0.0.1:%d;transport=udp>\r\n" % port
        )
        body = b""
        if method == b"INVITE":
            body = SDP
            fields += (
                b"Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, "
                b"PUBLISH, MESSAGE\r\nSupported: replaces, timer, norefersub\r\n"
            )
        fields += b"User-Agent: ExamplePBX/20.5.0 (load generator)\r\n"
        if method == b"INVITE":
            fields += b"X-Correlation-ID: 7f3a9b0e-5c1d-4a52-9c2e-000%d\r\n" % number
            fields += b"Content-Type: application/sdp\r\n"
        if method == b"BYE":
            fields += b'Reason: Q.850;cause=16;text="Normal call clearing"\r\n'
        fields += b"Content-Length: %d\r\n\r\n" % len(body)
        return method + b" " + uri + b" SIP/2.0\r\n" + fields + body

    def responses(self, number: int, invite: bytes) -> list[bytes]:
        """Return what the callee answers to an INVITE."""
        tag = b";tag=77p%d" % number
        contact = b"Contact: <sip:127.0.0.1:%d;transport=udp>\r\n" % self.callee.getsockname()[1]
        return [
            self.answer(b"100 Trying", invite, server=False),
            self.answer(b"180 Ringing", invite, tag, contact),
            self.answer(b"200 OK", invite, tag, contact, SDP),
        ]

    def answer(
        self,
        status: bytes,
        request: bytes,
        tag: bytes = b"",
        contact: bytes = b"",
        body: bytes = b"",
        *,
        server: bool = True,
        routed: bool = True,
    ) -> bytes:
        """Return a response with the usual fields of the request."""
        head = b"SIP/2.0 " + status + b"\r\n" + fields_of(request, b"Via")
        if tag and routed:
            head += fields_of(request, b"Record-Route")
        head += fields_of(request, b"From")
        head += fields_of(request, b"To")[:-2] + tag + b"\r\n"
        head += fields_of(request, b"Call-ID", b"CSeq")
        if server:
            head += b"Server: ProviderSBC/7.2\r\n"
        head += contact
        if body:
            head += b"Content-Type: application/sdp\r\n"
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


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
    parser.add_argument("--workload", choices=WORKLOADS, default="w1")
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
        f"whole call {arguments.workload}, {kind}: best {figures[0]:.1f}, "
        f"median {figures[len(figures) // 2]:.1f}, "
        f"mean {sum(figures) / len(figures):.1f} us; {kept} transactions alive, "
        f"{memory * 1024 / max(1, arguments.rate * 32):.0f} octets a call kept"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
