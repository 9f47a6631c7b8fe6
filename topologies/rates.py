"""What the arrivals of numbered packets say: a flow's rate over time, when that changed, how long it broke.

Results are those of `sequenced_udp receive`; times are CLOCK_MONOTONIC in ns.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

BIN_MS = 2
"""Width of the receiver's bins."""
WINDOW = 500 // BIN_MS
"""Bins after a call in which its effect is looked for."""


def outage(result: dict[str, Any], cut_ns: int) -> str:
    """How long after the cut the first packet came after the longest run of lost ones, in words."""
    after = [burst for burst in result["loss_bursts"] if result["first_ns"] + burst["until_ms"] * 1e6 > cut_ns]
    if not after:
        return "nothing lost"
    worst = max(after, key=lambda burst: burst["packets"])
    if worst["sequence"] + worst["packets"] >= result["sent"]:
        return "traffic did not come back"
    return f"{(result['first_ns'] - cut_ns) / 1e6 + worst['until_ms']:.0f} ms"


class Rates:
    """The rate of a received flow over time, from its bins."""

    def __init__(self, result: dict[str, Any]) -> None:
        self._first_ns: int = result["first_ns"]
        self._mbps = [ip_bytes * 8 / BIN_MS / 1000 for ip_bytes in result["bins"]]

    def mean(self, from_ns: int, to_ns: int) -> float:
        """Mbit/s of IP between two times."""
        return _mean(self._mbps[self._bin(from_ns) : self._bin(to_ns)])

    def passes(self, called_ns: int, threshold: float, *, above: bool) -> str:
        """Milliseconds from a call until the rate changes sides of a threshold, in words.

        The turn of the cumulative sum of distances from the threshold: what a busy machine held back and then let go in
        one burst cancels out, and no step is dated before the call.
        """
        first = self._bin(called_ns)
        distances = [mbps - threshold if above else threshold - mbps for mbps in self._mbps[first : first + WINDOW]]
        sums = list(accumulate(distances, initial=0.0))
        turn = min(range(len(sums)), key=sums.__getitem__)
        if turn == len(distances):
            return "not seen"
        return f"{max(0.0, (self._first_ns - called_ns) / 1e6 + (first + turn) * BIN_MS):.0f} ms"

    def _bin(self, at_ns: int) -> int:
        return max(0, int((at_ns - self._first_ns) / 1e6 / BIN_MS))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
