"""What probes in the data path measured of corridors, in memory: nobody needs it after a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from controller.core.slo import Measurement

FRESH_S = 5.0
"""How old a reading may be: headends tell one a second."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement of the way that carries a corridor's traffic."""

    one_way_us: int
    """Half of the round trip: both ways run over the same links."""
    at_s: float
    """By the monotonic clock."""
    path: str
    """What tells the way that was measured from others."""


class Measured:
    """The newest reading of each corridor (`NetworkState.measured`): for drains, verdicts and reports of moves.

    Written by `Restoration.path_watched` alone. A corridor whose headend does not probe has none.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._readings: dict[str, Reading] = {}

    def measured_us(self, name: str, fresh_s: float = FRESH_S) -> int | None:
        """One way in µs between the headends of a corridor; None where nothing was measured in the last `fresh_s`."""
        reading = self._readings.get(name)
        return reading.one_way_us if reading and self._clock() - reading.at_s <= fresh_s else None

    def newest(self, name: str) -> Measurement | None:
        """The last one, however old."""
        reading = self._readings.get(name)
        return Measurement(reading.one_way_us, self._clock() - reading.at_s) if reading else None

    def note(self, name: str, round_trip_us: int, path: str = "") -> None:
        """A probe of the path that carries the corridor came back. `round_trip_us`: more than 0."""
        self._readings[name] = Reading(-(-round_trip_us // 2), self._clock(), path)

    def keep(self, name: str, paths: frozenset[str]) -> None:
        """The corridor stands on these paths now: what was measured of others says nothing of it."""
        reading = self._readings.get(name)
        if reading is not None and reading.path not in paths:
            del self._readings[name]
