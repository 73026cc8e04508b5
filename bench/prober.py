"""Calls of our own beside the load, each message timed on both sides of the proxy.

    python -m bench.prober --secs 10 --rate 50 --json FILE

SIPp's clock has steps of 4 ms and its latency is that of SIPp as well. Here a message's way
begins just before ``sendto`` (on loopback it is in the proxy's socket when that returns) and
ends when the kernel took what the proxy sent on (SO_TIMESTAMPNS of the receiving socket), so
neither side's own lateness counts. Of each call six messages pass through: INVITE, 180, 200,
ACK, BYE and its 200. A message whose ``sendto`` lasted, because this process lost the core
meanwhile, is left out.

The file has ``messages`` (what, ns of the epoch when it was sent, ns it took), counts of calls,
answers and what was left out, and of each status by which a call was refused. Nothing is sent
again, so a call that was neither answered nor refused lost a datagram.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import struct
import sys
import time
from pathlib import Path
from random import Random
from typing import Final

from bench.messages import build_answer, build_answers, build_request, fields_of

SO_TIMESTAMPNS: Final = 35
CALLER: Final = ("127.7.0.5", 5064)
CALLEE: Final = ("127.7.0.6", 5072)
USER: Final = b"probe"  # of the Request-URI; the proxy sends such calls to our callee
LASTED: Final = 200_000  # ns, of a sendto that says nothing
LINGER: Final = 1.0  # s, for the last answers


class Prober:
    """Both sides of the calls."""

    def __init__(self, proxy: tuple[str, int]) -> None:
        self._proxy = proxy
        self._caller = timed_socket(CALLER)
        self._callee = timed_socket(CALLEE)
        self._sent: dict[tuple[bytes, bytes], tuple[int, bool]] = {}  # when (ns); is it sound
        self.messages: list[tuple[str, int, int]] = []
        self.calls = self.answered = self.left_out = 0
        self.refused: dict[str, int] = {}  # calls, by status

    def run(self, rate: float, secs: float) -> None:
        """Make calls, at a pace that keeps step with no beat of anybody's."""
        random = Random(4242)
        began = time.monotonic()
        due, until = began, began + secs
        while (now := time.monotonic()) < until + LINGER:
            if now >= due and due < until:
                self.calls += 1
                invite = build_request(b"INVITE", self.calls, CALLER, user=USER)
                self._send(self._caller, invite, b"INVITE")
                due += random.uniform(0.5, 1.5) / rate
            wait = (due if due < until else until + LINGER) - time.monotonic()
            ready, _, _ = select.select([self._caller, self._callee], [], [], max(0.0, wait))
            for each in ready:
                self._receive(each)

    def _send(self, by: socket.socket, message: bytes, what: bytes) -> None:
        began = time.time_ns()
        by.sendto(message, self._proxy)
        is_sound = time.time_ns() - began < LASTED
        self._sent.setdefault((call_id(message), what), (began, is_sound))

    def _receive(self, by: socket.socket) -> None:
        message, ancillary, _, _ = by.recvmsg(65535, 64)
        at = next((nanoseconds(octets) for _, kind, octets in ancillary if kind), 0)
        what = message.split(b" ", 2)[1 if message.startswith(b"SIP/2.0") else 0]
        if what == b"100":
            return
        if what == b"200" and b"BYE" in fields_of(message, b"CSeq"):
            what = b"200 of BYE"
        if b"300" <= what <= b"699":
            self._refused(message, what)
            return
        sent = self._sent.pop((call_id(message), what), None)
        if sent is None:
            return  # it came again
        began, is_sound = sent
        if is_sound:
            self.messages.append((what.decode(), began, at - began))
        else:
            self.left_out += 1
        self._follow(what, message)

    def _refused(self, refusal: bytes, status: bytes) -> None:
        """Take a final refusal of an INVITE, and acknowledge it (RFC 3261 17.1.1.3)."""
        number = int(call_id(refusal).partition(b"-")[0])
        if self._sent.pop((call_id(refusal), b"INVITE"), None) is not None:
            self.refused[status.decode()] = self.refused.get(status.decode(), 0) + 1
        ack = build_request(b"ACK", number, CALLER, user=USER)
        for name in (b"Via", b"To"):
            ack = ack.replace(fields_of(ack, name), fields_of(refusal, name))
        self._caller.sendto(ack, self._proxy)

    def _follow(self, what: bytes, message: bytes) -> None:
        number = int(call_id(message).partition(b"-")[0])
        if what == b"INVITE":
            for answer in build_answers(number, message, CALLEE):
                self._send(self._callee, answer, answer.split(b" ", 2)[1])
        elif what == b"BYE":
            self._send(self._callee, build_answer(b"200 OK", message), b"200 of BYE")
        elif what == b"200":
            self.answered += 1
            for method in (b"ACK", b"BYE"):
                request = build_request(method, number, CALLER, answer=message)
                self._send(self._caller, request, method)


def timed_socket(where: tuple[str, int]) -> socket.socket:
    """Return a socket that says when the kernel took each datagram."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind(where)
    return made


def nanoseconds(octets: bytes) -> int:
    """Return a timespec as ns of the epoch."""
    seconds, rest = struct.unpack("qq", octets)
    return int(seconds * 1_000_000_000 + rest)


def call_id(message: bytes) -> bytes:
    """Return the Call-ID."""
    return fields_of(message, b"Call-ID").partition(b":")[2].strip()


def main() -> int:
    """Probe and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--proxy", default="127.7.0.1:5060")
    parser.add_argument("--rate", type=float, default=50, help="calls/s")
    parser.add_argument("--secs", type=float, default=10)
    parser.add_argument("--after", type=float, default=0, help="s before the first call")
    parser.add_argument("--json", required=True)
    arguments = parser.parse_args()
    try:  # the load beside us is not to keep us from the core
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass
    host, _, port = arguments.proxy.partition(":")
    prober = Prober((host, int(port)))
    time.sleep(arguments.after)
    prober.run(arguments.rate, arguments.secs)
    found = {
        "calls": prober.calls,
        "answered": prober.answered,
        "left_out": prober.left_out,
        "refused": prober.refused,
        "messages": prober.messages,
    }
    Path(arguments.json).write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
