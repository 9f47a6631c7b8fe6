"""What a corridor is promised beside its path: how failures are met, whether packets may overtake, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

DEFAULT_WAIT_TO_RESTORE_S = 30


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a failure is met, and how its end."""

    revertive: bool = True
    """Traffic goes back to the first path when that is whole again; else it stays until it must."""
    hold_off_ms: int = 0
    """From the failure to the switch-over, so that a layer below can act first; 0: at once."""
    wait_to_restore_s: int = DEFAULT_WAIT_TO_RESTORE_S
    """How long the first path has been whole before traffic goes back."""


class Reordering(StrEnum):
    """Whether packets may overtake each other when a corridor is moved."""

    ALLOW = "ALLOW"
    """A move to a faster path lets at most (difference of delay × rate) packets overtake."""
    FORBID = "FORBID"
    """A move to a faster path is an interruption: it needs `allow_interruption`."""


class Verdict(StrEnum):
    MET = "MET"
    MISSED = "MISSED"
    UNKNOWN = "UNKNOWN"
    """Nobody measures it, or what was measured is too old."""


@dataclass(frozen=True, slots=True)
class Slo:
    """Whether a corridor gets what it was promised."""

    verdict: Verdict = Verdict.UNKNOWN
    reason: str = ""
    """A stable word for programs: which part of the promise, or why nothing is known."""
    message: str = ""
    measured_latency_us: int = 0
    """One way, half of the round trip that was measured last; 0: not measured."""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """One change of a corridor's path."""

    hitless: bool = True
    """No packet was lost for it by design. False where it was an interruption that `allow_interruption` permitted, or
    where the old path carried nothing any more."""
    reason: str = ""
    """A stable word: OWNER, RESTORED, REVERTED, DRAINED, DEFRAGMENTED."""
    faster_us: int = 0
    """Old path minus new, one way; 0 where the new one is slower."""
    overtaken_packets: int = 0
    """Packets of the reference size that can have been overtaken at most, of both directions the worse."""
    measured: bool = False
    """True where both delays were measured, false where one is computed."""
    time: datetime | None = None
