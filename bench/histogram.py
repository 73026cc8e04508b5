"""Latencies in buckets whose edges double, and the usual percentiles."""

from __future__ import annotations

from collections.abc import Sequence

FIRST_EDGE = 50.0  # us
BAR = 50  # characters of the longest
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def percentiles(found: Sequence[float]) -> dict[str, float]:
    """Return p50, p90, p99, p999 and max, in the unit of the values."""
    ordered = sorted(found)
    named = {
        name: ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        for name, share in PERCENTILES.items()
    }
    return {**named, "max": ordered[-1]}


def buckets(found: Sequence[float]) -> list[tuple[float, int]]:
    """Return upper edge (us) and count of each bucket, from the first that is not empty."""
    edges = [FIRST_EDGE]
    while edges[-1] < max(found):
        edges.append(edges[-1] * 2)
    counts = [0] * len(edges)
    for value in found:
        counts[next(at for at, edge in enumerate(edges) if value <= edge)] += 1
    return list(zip(edges, counts, strict=True))


def lines(found: Sequence[tuple[float, int]]) -> list[str]:
    """Return buckets as text, one a line; a bucket of one is still seen."""
    shown = []
    total = sum(count for _, count in found)
    most = max(count for _, count in found)
    for edge, count in found:
        bar = "#" * -(-BAR * count // most)
        shown.append(f"<= {edge / 1000:8.2f} ms {count:7d} {100 * count / total:7.3f} % {bar}")
    return shown
