"""One way around a path: which of its probes came back, and what that makes of it. Pure; times in seconds, monotonic.

A path is down when nothing came back for the detection time. That time is counted in probes that were really sent:
`detect = misses x interval + rest`, and it is over when the last of so many probes in a row has been out for the rest
and a usual round trip. So a sender that was not scheduled never takes its own silence for the path's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

GOOD = 3
"""Probes in a row that make a path whole."""
FIRST_ANSWER_S = 0.5
"""How long the first answer may take at least, as long as nobody knows how far the way is."""
LEAST_SWING_S, MOST_SWING_S = 0.002, 0.010
"""By which a round trip may be longer than usual."""
REMEMBERED = 256
"""Times of the latest probes."""


class Health(Enum):
    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(slots=True)
class WatchedPath:
    interval_s: float
    detect_s: float
    health: Health = Health.UNKNOWN
    since: float = 0.0
    """When it got this health."""
    sequence: int = 0
    """Of the latest probe; the first one is 1."""
    newest: int = 0
    """The latest probe that came back."""
    run: int = 0
    """Probes that came back in a row."""
    round_trips: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """Since they were last taken."""
    _usual: float = 0.0
    _swing: float = 0.0
    _sent: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    @property
    def misses(self) -> int:
        """Probes in a row that must be lost."""
        return max(1, int(self.detect_s / self.interval_s + 1e-9))

    @property
    def round_trip_us(self) -> int:
        """The median of `round_trips`, at least 1; 0 where there is none."""
        ordered = sorted(self.round_trips)
        return max(1, round(ordered[len(ordered) // 2] * 1e6)) if ordered else 0

    def send(self, now: float) -> int:
        """The number of the probe that leaves now."""
        self.sequence += 1
        self._sent.append(now)
        return self.sequence

    def returned(self, sequence: int, round_trip_s: float, now: float) -> bool:
        """A probe is back; whether that changed the health. Copies and overtaken ones count for nothing."""
        if not self.newest < sequence <= self.sequence:
            return False
        self.run = self.run + 1 if sequence == self.newest + 1 else 1
        self.newest = sequence
        self._measure(max(round_trip_s, 0.0))
        return self.run >= GOOD and self._become(Health.UP, now)

    def judge(self, now: float) -> bool:
        """Whether the path is found to be down only now. Call it when all that has come back was taken."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return False
        self.run = 0
        return self._become(Health.DOWN, now)

    def fail(self, now: float) -> bool:
        """Found down by other means than probes."""
        self.run = 0
        return self._become(Health.DOWN, now)

    def deadline(self) -> float | None:
        """When the path is down if nothing comes back until then; None: not before another probe was sent."""
        if self.health is Health.DOWN or self.sequence - self.newest < self.misses:
            return None
        sent = self._sent_at(self.newest + self.misses)
        rest = self.detect_s - self.misses * self.interval_s
        if not self._usual:
            return sent + rest + FIRST_ANSWER_S
        return sent + rest + self._usual + min(max(4 * self._swing, LEAST_SWING_S), MOST_SWING_S)

    def _sent_at(self, sequence: int) -> float:
        age = self.sequence - sequence
        return self._sent[-1 - age] if age < len(self._sent) else self._sent[0]

    def _measure(self, round_trip_s: float) -> None:
        """Usual round trip and swing as RFC 6298 clause 2 has them."""
        self.round_trips.append(round_trip_s)
        if not self._usual:
            self._usual, self._swing = max(round_trip_s, 1e-6), round_trip_s / 2
            return
        self._swing += (abs(round_trip_s - self._usual) - self._swing) / 4
        self._usual += (round_trip_s - self._usual) / 8

    def _become(self, health: Health, now: float) -> bool:
        if self.health is health:
            return False
        self.health, self.since = health, now
        return True
