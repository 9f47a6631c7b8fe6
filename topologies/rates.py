"""What the arrivals of numbered packets say: a flow's rate over time, when that changed, how long it broke.

Results are those of `sequenced_udp receive`; times are CLOCK_MONOTONIC in ns.
"""

from __future__ import annotations

from typing import Any

BIN_MS = 2
"""Width of the receiver's bins."""


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
        """Milliseconds from a call until the rate passes the threshold for good, in words.

        For good: over the next 10 ms and over the next 60 ms, so that what a busy machine held back and then lets
        go in one burst does not count. Within 30 ms of there, the step that fits best (least squares) is the answer.
        """
        short, long, near = 10 // BIN_MS, 60 // BIN_MS, 30 // BIN_MS
        for at in range(self._bin(called_ns), len(self._mbps) - long):
            means = (_mean(self._mbps[at : at + short]), _mean(self._mbps[at : at + long]))
            if all((mean > threshold) is above for mean in means):
                first = max(0, at - near)
                step = first + _best_split(self._mbps[first : at + near])
                return f"{max(0.0, (self._first_ns - called_ns) / 1e6 + step * BIN_MS):.0f} ms"
        return "not seen"

    def _bin(self, at_ns: int) -> int:
        return max(0, int((at_ns - self._first_ns) / 1e6 / BIN_MS))


def _best_split(values: list[float]) -> int:
    """Where to divide the values so that both parts are as even as possible."""

    def gain(n: int) -> float:
        return n * (len(values) - n) * (_mean(values[:n]) - _mean(values[n:])) ** 2

    return max(range(1, len(values)), key=gain)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
