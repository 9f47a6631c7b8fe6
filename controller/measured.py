"""What probes in the data path measured of corridors, in memory: nobody needs it after a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

FRESH_S = 5.0
"""How old a reading may be: headends tell one a second."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement of the way that carries a corridor's traffic."""

    one_way_us: int
    """Half of the round trip: both ways run over the same links."""
    at_s: float
    """By the monotonic clock."""


class Measured:
    """The newest reading of each corridor (`NetworkState.measured`): for drains, verdicts and reports of moves.

    Written by `Restoration.path_watched` alone. A corridor whose headend does not probe has none, nor has one whose
    path has just changed: what was measured of another path says nothing of it.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._readings: dict[str, Reading] = {}

    def measured_us(self, name: str, fresh_s: float = FRESH_S) -> int | None:
        """One way in µs between the headends of a corridor; None where nothing was measured in the last `fresh_s`."""
        reading = self._readings.get(name)
        return reading.one_way_us if reading and self._clock() - reading.at_s <= fresh_s else None

    def note(self, name: str, round_trip_us: int) -> None:
        """A probe of the path that carries the corridor came back. `round_trip_us`: more than 0."""
        self._readings[name] = Reading(-(-round_trip_us // 2), self._clock())

    def forget(self, name: str) -> None:
        """The corridor is gone, or has another path."""
        self._readings.pop(name, None)
