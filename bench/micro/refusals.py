"""What refusing a call costs: INVITE, 503, ACK through real parts and real sockets.

Only ``doRead`` of the listener is timed or counted, as in ``whole_call``. The queue is told
that everything is late, so each INVITE is refused.

    python -m bench.micro.refusals
    valgrind --tool=callgrind --toggle-collect=functools_reduce \
        python -m bench.micro.refusals --batches 10
"""

from __future__ import annotations

import argparse
import sys
import time

from bench.messages import build_request
from bench.micro.whole_call import Bench, expect
from uacproxy.transport.datagrams import READ_IN_CROWD
from uacproxy.transport.overload import SETTLES


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=100, help=f"of {READ_IN_CROWD} calls")
    arguments = parser.parse_args()
    bench = Bench("w1")
    datagrams = bench.listener._datagrams
    datagrams._backlog = lambda: (9.0, 1.0)
    queue = datagrams._queue
    queue.seen(9.0, 1.0)
    time.sleep(SETTLES)
    queue.seen(9.0, 1.0)
    caller = bench.caller.getsockname()
    figures = []
    for number in range(arguments.batches):
        bench.spent = 0
        numbers = range(number * READ_IN_CROWD, (number + 1) * READ_IN_CROWD)
        for one in numbers:
            bench.caller.sendto(build_request(b"INVITE", one, caller), bench.proxy)
        bench.read(1)
        answers = expect(bench.caller, b"SIP/2.0 503", len(numbers))
        for one, answer in zip(numbers, answers, strict=True):
            ack = build_request(b"ACK", one, caller, answer=answer)
            bench.caller.sendto(ack, bench.proxy)
        bench.read(1)
        figures.append(bench.spent / len(numbers) / 1000)
    figures.sort()
    counters = bench.parts.overload_counters
    assert counters.refused == arguments.batches * READ_IN_CROWD
    print(f"a refusal: best {figures[0]:.1f}, median {figures[len(figures) // 2]:.1f} us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
