"""Which of its two lists a protected policy takes, by the sessions that watch them. Pure; times in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.linux.liveness.watched_path import Health, WatchedPath


class Reason(StrEnum):
    """What moved a policy."""

    SIGNAL_FAIL = "SIGNAL_FAIL"
    REVERTED = "REVERTED"
    BACKUP_LOST = "BACKUP_LOST"


@dataclass(frozen=True, slots=True)
class Backup:
    """An entry of `policy_backup`."""

    backup: int
    session: int
    backup_session: int
    hold_off_ms: int
    wait_to_restore_ms: int
    revertive: bool


@dataclass(slots=True)
class ProtectedPolicy:
    """Nothing moves on what is not known: a session that nobody watches, or that was never heard of."""

    entry: Backup
    on_backup: bool = False
    """At first: as the kernel has it."""
    reason: Reason | None = None

    def wanted(self, own: WatchedPath | None, backup: WatchedPath | None, now: float) -> Reason | None:
        """Why it should take the other list now; None: it should not."""
        if own is None:
            return None
        backup_health = Health.UNKNOWN if backup is None else backup.health
        if not self.on_backup:
            held_off = now >= own.since + self.entry.hold_off_ms / 1000
            failed = own.health is Health.DOWN and held_off and backup_health is Health.UP
            return Reason.SIGNAL_FAIL if failed else None
        if own.health is not Health.UP:
            return None
        if backup_health is Health.DOWN:
            return Reason.BACKUP_LOST
        restored = self.entry.revertive and now >= own.since + self.entry.wait_to_restore_ms / 1000
        return Reason.REVERTED if restored else None

    def wakes_at(self, own: WatchedPath | None, now: float) -> float | None:
        """When time alone may move it."""
        if own is None or (self.on_backup and not self.entry.revertive):
            return None
        wait_ms, waits_in = (
            (self.entry.wait_to_restore_ms, Health.UP) if self.on_backup else (self.entry.hold_off_ms, Health.DOWN)
        )
        due = own.since + wait_ms / 1000
        return due if own.health is waits_in and due > now else None

    def moved(self, reason: Reason) -> None:
        self.on_backup, self.reason = not self.on_backup, reason
