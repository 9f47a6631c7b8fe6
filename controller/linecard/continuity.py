"""Watches one end of a protected slice and says when its selector moves: 1:1, bidirectional, revertive. Pure.

Both paths carry one report per tick. A path has failed when it brings nothing for three ticks while the *other* one
brings newer reports: so a far end, or a process here, that stalls is never taken for a cut. How far the paths' lengths
set them apart is measured while both are whole; by as much as the other one is longer, the proof takes longer. When
both are silent neither is blamed: nothing could be gained.

Selectors follow the larger request of both ends (ITU-T G.873.1: signal fail, wait to restore, none), so the ends agree
without a master, and a lost frame is made up for by the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from controller.linecard.continuity_frames import Health, Path, Report, Request

LAG_MEMORY = 200
"""Ticks after which the largest lag seen may shrink by one report."""
SWING = 1
"""Reports by which the largest lag counts at most beyond the usual one: what is later was held up, not far away."""
TREND = 20
"""Ticks by which one side of the usual lag must outweigh the other to move it by one report."""
FIRST = 100
"""Ticks in which a lag has to be seen before any is usual."""
CLEAR_LOSSES = 2
"""Reports that must be overdue beyond the lag, besides the silent ticks: lag itself swings by one."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Counts are in ticks, or reports, of one period."""

    period_s: float = 0.005
    misses: int = 3
    """Make a signal fail."""
    good: int = 4
    """Ticks that bring reports without a gap make a path whole (again)."""
    silent: int = 10
    """Without anything on a path, and no proof that the far end lives: unknown."""
    hold: int = 40
    """Reports on the other path that prove a path failed that never was whole beside it."""
    wait_to_restore_s: float = 300.0


class Reason(StrEnum):
    """What moved a selector."""

    SIGNAL_FAIL = "SIGNAL_FAIL"
    FAR_END = "FAR_END"
    REVERTED = "REVERTED"


@dataclass(frozen=True, slots=True)
class Send:
    report: Report


@dataclass(frozen=True, slots=True)
class Select:
    on_protection: bool
    reason: Reason


Output: TypeAlias = Send | Select


@dataclass(slots=True)
class Arrivals:
    """What has come in on one path, and what that makes of it."""

    health: Health = Health.UNKNOWN
    session: int | None = None
    newest: int = 0
    known: bool = False
    """It was whole in this session: how far the paths are apart has been measured."""
    run: int = 0
    """Ticks in a row that brought reports without a gap."""
    fresh: bool = False
    """Something came since the last tick."""
    silent: int = 0
    """Ticks without anything."""
    overtaken: int = 0
    """Reports on the other path since the last one here."""
    lag: int | None = None
    """By how many reports the other path is ahead, at most, when one comes here …"""
    usual_lag: int = 0
    """… and as a rule: about the median."""
    _lag_age: int = 0
    _lags: int = 0
    """How often it was measured."""
    _trend: int = 0

    def take(self, report: Report) -> bool:
        """Whether it is new: not a copy, and not from before."""
        if report.session != self.session:
            self.session, self.run, self.lag, self.known = report.session, 0, None, False
        elif report.sequence <= self.newest:
            return False
        elif report.sequence != self.newest + 1:
            self.run = 0
        self.newest = report.sequence
        self.fresh, self.overtaken = True, 0
        return True

    def measure(self, other: Arrivals, in_time: bool) -> None:
        """Count this tick, and how far the other path is ahead where that can be told.

        Only while both bring something: when the far end falls silent, the longer path catches up with the shorter
        one. And only where the tick is in time: after a stall here everything is there at once.
        """
        self.silent = 0 if self.fresh else self.silent + 1
        self.run += self.fresh
        if in_time and self.fresh and other.fresh and self.session == other.session:
            self._measure_lag(other.newest - self.newest)

    def _measure_lag(self, ahead: int) -> None:
        if self.lag is None:
            self.lag, self._lags = ahead, 0
        self._lag_age, self._lags = self._lag_age + 1, self._lags + 1
        if ahead >= self.lag or self._lag_age >= LAG_MEMORY:
            self.lag, self._lag_age = max(ahead, self.lag - 1), 0
        self._trend += (ahead > self.usual_lag) - (ahead < self.usual_lag)
        if self._lags < FIRST:
            self.usual_lag, self._trend = self.lag, 0
        elif abs(self._trend) >= TREND:
            self.usual_lag, self._trend = self.usual_lag + (1 if self._trend > 0 else -1), 0

    def judge(self, other: Arrivals, timing: Timing) -> None:
        if self.known and self.health is not Health.FAILED and self._lost(other, timing):
            self.health, self.run = Health.FAILED, 0
        elif self.health is Health.WHOLE:
            if self.silent >= timing.silent and not self._proof_comes(other, timing):
                self.health = Health.UNKNOWN
        elif self.fresh and self.run >= timing.good:
            self.health, self.known = Health.WHOLE, True
        elif self.overtaken >= timing.hold:
            self.health = Health.FAILED

    def _proof_comes(self, other: Arrivals, timing: Timing) -> bool:
        """The other path still brings what it takes to tell a loss here from a silent far end."""
        return other.silent < timing.misses and self.lag is not None and self.session == other.session

    def _lost(self, other: Arrivals, timing: Timing) -> bool:
        if self.silent < timing.misses or self.lag is None or self.session != other.session:
            return False
        lag = min(self.lag, self.usual_lag + SWING)
        return other.newest - self.newest >= max(lag, 0) + CLEAR_LOSSES


@dataclass(slots=True)
class ProtectionEnd:
    """One end. `received` for all that is in the sockets, then `tick`, once a period; a tick that comes late is one."""

    working: int
    """Slice id that names the group."""
    session: int
    timing: Timing = field(default_factory=Timing)
    on_protection: bool = False
    """At first: as the switch has it."""
    reason: Reason | None = None
    paths: tuple[Arrivals, Arrivals] = field(default_factory=lambda: (Arrivals(), Arrivals()))
    """By `Path`."""
    _request: Request = Request.NONE
    _far: Report | None = None
    _sequence: int = 0
    _last_tick: float | None = None
    _was_late: bool = False
    _whole_since: float | None = None

    def __post_init__(self) -> None:
        if self.on_protection:
            self._request = Request.WAIT_TO_RESTORE

    def health(self, path: Path) -> Health:
        return self.paths[path].health

    def received(self, path: Path, report: Report) -> None:
        """A report that arrived on this path. Foreign ones, and those of the other path, count for nothing."""
        if report.working != self.working or report.path is not path or not self.paths[path].take(report):
            return
        self.paths[1 - path].overtaken += 1
        far = self._far
        if far is None or far.session != report.session or far.sequence < report.sequence:
            self._far = report

    def tick(self, now: float) -> list[Output]:
        """`now` in seconds of any monotonic clock."""
        working, protection = self.paths
        late = self._last_tick is not None and now - self._last_tick > 2 * self.timing.period_s
        for path, other in ((working, protection), (protection, working)):
            path.measure(other, in_time=not late)
        if not self._stalled(now, late):
            working.judge(protection, self.timing)
            protection.judge(working, self.timing)
        working.fresh = protection.fresh = False
        self._ask(now)
        return [*self._choose(), *self._send()]

    def _stalled(self, now: float, late: bool) -> bool:
        """The first tick after a stall judges nothing: what came meanwhile may have been too much for the sockets."""
        first, self._was_late, self._last_tick = late and not self._was_late, late, now
        return first

    def _ask(self, now: float) -> None:
        whole = self.health(Path.WORKING) is Health.WHOLE
        if self._request is not Request.WAIT_TO_RESTORE:
            self._whole_since = None
        if self.health(Path.WORKING) is Health.FAILED:
            self._request = Request.SIGNAL_FAIL
        elif not self.on_protection:
            self._request = Request.NONE
        elif self._request is Request.SIGNAL_FAIL:
            self._request = Request.WAIT_TO_RESTORE
        elif self._request is Request.WAIT_TO_RESTORE and whole:
            self._whole_since = now if self._whole_since is None else self._whole_since
            if now - self._whole_since >= self.timing.wait_to_restore_s:
                self._request = Request.NONE

    def _choose(self) -> Iterator[Select]:
        far = self._far
        if far is None:
            return
        here = self.health(Path.WORKING), self.health(Path.PROTECTION)
        there = far.working_health, far.protection_health
        both = tuple(zip(here, there, strict=True))
        wanted = max(self._request, far.request) is not Request.NONE
        if not self.on_protection:
            if wanted and both[Path.PROTECTION] == (Health.WHOLE, Health.WHOLE):
                yield self._select(True, Reason.SIGNAL_FAIL if self._request else Reason.FAR_END)
        elif both[Path.WORKING] == (Health.WHOLE, Health.WHOLE):
            if Health.FAILED in both[Path.PROTECTION]:
                own = here[Path.PROTECTION] is Health.FAILED
                yield self._select(False, Reason.SIGNAL_FAIL if own else Reason.FAR_END)
            elif not wanted:
                yield self._select(False, Reason.REVERTED)

    def _select(self, on_protection: bool, reason: Reason) -> Select:
        self.on_protection, self.reason = on_protection, reason
        return Select(on_protection, reason)

    def _send(self) -> Iterator[Send]:
        self._sequence += 1
        for path in Path:
            yield Send(
                Report(
                    self.working,
                    path,
                    self.session,
                    self._sequence,
                    self.health(Path.WORKING),
                    self.health(Path.PROTECTION),
                    self._request,
                    self.on_protection,
                )
            )
