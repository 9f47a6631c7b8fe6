"""The engine's loop: probes out and in, paths judged, policies moved, and news for the target when it listens.

A turn that comes late is made up for in time: what has come back meanwhile is taken first, and nothing is judged for
as long again as the engine was not there. Real cuts are so found late at worst; what is well is never found broken.
Between two judgements that is `LONGEST_GRACE_S` in all: on a machine that is never in time, paths are judged as well.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from controller.linux.liveness.messages import Framed, PolicyNews, SessionNews, Watch, encode_news
from controller.linux.liveness.probing import Probing
from controller.linux.liveness.protected_policy import ProtectedPolicy, Reason
from controller.linux.liveness.switch_table import Move, SwitchTable
from controller.linux.liveness.watched_path import Health, WatchedPath

log = logging.getLogger(__name__)

_News = TypeVar("_News", SessionNews, PolicyNews)

LATE_S, LONGEST_GRACE_S = 0.002, 0.1
ROUND_TRIPS_S = 1.0
RETRY_S = 0.1
"""After the kernel refused to move a policy."""
LONGEST_SLEEP_S = 1.0


@dataclass(slots=True)
class _Moves:
    """A policy's messages, made when its entry came."""

    out: Move
    back: Move


class Engine:
    def __init__(
        self, target: socket.socket, probing: Probing, table: SwitchTable, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._target = Framed(target)
        self._probing = probing
        self._table = table
        self._clock = clock
        self._sessions: dict[int, WatchedPath] = {}
        self._policies: dict[int, ProtectedPolicy] = {}
        self._moves: dict[int, _Moves] = {}
        self._told_sessions: dict[int, SessionNews] = {}
        self._told_policies: dict[int, PolicyNews] = {}
        self._round_trips_at = 0.0
        self._judge_from = 0.0
        self._grace_left_s = LONGEST_GRACE_S
        """By which judging may still be put off before it is done."""
        self._retry_at = 0.0
        self._fresh = True

    def run(self) -> None:
        """Until the target is gone."""
        while True:
            planned = self._wakes_at(self._clock())
            wants_to_write = [self._target.socket] if self._target.pending else []
            readable, _, _ = select.select(
                [self._target.socket, self._probing.returns, self._probing.carriers.socket],
                wants_to_write,
                [],
                max(0.0, planned - self._clock()),
            )
            now = self._clock()
            if now - planned > LATE_S:
                self._put_off(now, now - planned)
            if self._target.socket in readable and not self._hear():
                return
            self.turn(self._clock())

    def turn(self, now: float) -> None:
        self._probing.take()
        self._probing.lose(now)
        if now >= self._judge_from:
            self._grace_left_s = LONGEST_GRACE_S
            self._probing.judge(now)
        # Before new probes leave: traffic first.
        self._switch(now)
        self._probing.send(now)
        self._tell(now)

    def _put_off(self, now: float, late_s: float) -> None:
        """Judge nothing for as long as this turn is late, or for what is left of the grace."""
        from_when = max(self._judge_from, now)
        until = now + min(late_s, self._grace_left_s)
        if until > from_when:
            self._grace_left_s -= until - from_when
            self._judge_from = until

    def follow(self, watch: Watch) -> None:
        """What the entries say from now on. Traffic stays as it is, but for a policy that is protected no more."""
        self._sessions = self._probing.follow(watch.sessions, watch.ports)
        fresh, self._fresh = self._fresh, False
        # What the kernel has refused may be another thing now.
        self._retry_at = 0.0
        standing = watch.switched if fresh else self._on_backup()
        backups = {number: entry.backup for number, entry in watch.policies.items()}
        # What an engine before this one has left may be another backup than it is taken for.
        gone = [number for number, backup in standing.items() if fresh or backups.get(number) != backup]
        moves = [Move(number, None) for number in gone]
        # Also what stands already: somebody may have emptied the kernel's table meanwhile.
        moves += [Move(number, entry.backup) for number, entry in watch.policies.items() if number in standing]
        for error in self._table.make(moves) if moves else ():
            if error:
                log.error("a changed policy_backup meets error %d of the kernel", error)
        reasons = {number: policy.reason for number, policy in self._policies.items()}
        self._policies = {
            number: ProtectedPolicy(entry, number in standing, reasons.get(number))
            for number, entry in watch.policies.items()
        }
        self._moves = {n: _Moves(Move(n, entry.backup), Move(n, None)) for n, entry in watch.policies.items()}
        self._told_sessions = {n: news for n, news in self._told_sessions.items() if n in self._sessions}
        self._told_policies = {n: news for n, news in self._told_policies.items() if n in self._policies}

    def _on_backup(self) -> dict[int, int]:
        """Policy to backup, of those that are."""
        return {number: policy.entry.backup for number, policy in self._policies.items() if policy.on_backup}

    def _hear(self) -> bool:
        """What the target has to say; False where it is gone."""
        watches = self._target.receive()
        if watches is None:
            return False
        if watches:
            self.follow(Watch.decoded(watches[-1]))
        return True

    def _switch(self, now: float) -> None:
        if now < self._retry_at:
            return
        wanted: dict[int, Reason] = {}
        for number, policy in self._policies.items():
            entry = policy.entry
            reason = policy.wanted(self._sessions.get(entry.session), self._sessions.get(entry.backup_session), now)
            if reason is not None:
                wanted[number] = reason
        if not wanted:
            return
        moves = [self._moves[n].back if self._policies[n].on_backup else self._moves[n].out for n in wanted]
        for (number, reason), error in zip(wanted.items(), self._table.make(moves), strict=True):
            if error:
                log.error("policy %d stays, the kernel refuses with error %d", number, error)
                self._retry_at = now + RETRY_S
                continue
            self._policies[number].moved(reason)

    def _tell(self, now: float) -> None:
        """What has changed; nothing while the target does not take what it was told before."""
        if self._target.pending and not self._target.flush():
            return
        with_round_trips = now >= self._round_trips_at + ROUND_TRIPS_S
        if with_round_trips:
            self._round_trips_at = now
        sessions = self._session_news(with_round_trips)
        policies = {
            number: PolicyNews(number, policy.on_backup, policy.reason or "")
            for number, policy in self._policies.items()
        }
        new_sessions = _changed(self._told_sessions, sessions)
        new_policies = _changed(self._told_policies, policies)
        if new_sessions or new_policies:
            self._target.send(encode_news(new_sessions.values(), new_policies.values()))

    def _session_news(self, with_round_trips: bool) -> dict[int, SessionNews]:
        """Of paths that were judged. A round trip is the median of a second, and stands until the next one's."""
        found: dict[int, SessionNews] = {}
        for number, path in self._sessions.items():
            told = self._told_sessions.get(number)
            round_trip = told.round_trip_us if told is not None else 0
            if path.health is Health.DOWN:
                round_trip = 0
            elif with_round_trips or not round_trip:
                round_trip = path.round_trip_us or round_trip
            if path.health is not Health.UNKNOWN:
                found[number] = SessionNews(number, path.health is Health.UP, round_trip)
        if with_round_trips:
            for path in self._sessions.values():
                path.round_trips.clear()
        return found

    def _wakes_at(self, now: float) -> float:
        probe, deadline = self._probing.wakes_at()
        times = [now + LONGEST_SLEEP_S]
        if probe is not None:
            times.append(probe)
        if deadline is not None:
            times.append(max(deadline, self._judge_from))
        for policy in self._policies.values():
            wakes = policy.wakes_at(self._sessions.get(policy.entry.session), now)
            if wakes is not None:
                times.append(wakes)
        return max(min(times), now)


def _changed(told: dict[int, _News], found: Mapping[int, _News]) -> dict[int, _News]:
    """What differs from what was told, which it then is."""
    changed = {key: value for key, value in found.items() if told.get(key) != value}
    told.update(changed)
    return changed
