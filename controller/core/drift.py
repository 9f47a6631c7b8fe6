"""Desired against actual, device by device."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DriftKind(StrEnum):
    MISSING = "MISSING"
    """Desired, not there."""
    UNEXPECTED = "UNEXPECTED"
    """There under our mark, not desired."""
    DIFFERENT = "DIFFERENT"
    """There with another value."""


@dataclass(frozen=True, slots=True)
class EntryDrift:
    """One entry that a device does not hold as it shall."""

    kind: DriftKind
    entry: str
    """What is desired, or what is there where nothing is, for people."""
    actual: str = ""
    """What is there instead; of DIFFERENT only."""


@dataclass(frozen=True, slots=True)
class DeviceDrift:
    """One device: desired against actual."""

    node: str
    """`domains/{domain}/nodes/{node}`."""
    connected: bool = False
    trouble: str = ""
    """Why it is not connected; empty where it is."""
    desired: int = 0
    """Number of entries that it shall hold."""
    entries: tuple[EntryDrift, ...] = ()
    """At most 100 of them; empty: in line."""
    truncated: bool = False
    """True where more differ than are listed."""
    read_time: datetime | None = None
    """When it was last read back; None: not since this controller started."""
    repaired: int = 0
    """Entries of ours that somebody else changed or removed, repaired since this controller started."""
    repair_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    devices: tuple[DeviceDrift, ...] = ()
