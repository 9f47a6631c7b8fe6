"""Desired against actual, device by device."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from controller.core.diff import rank
from controller.core.entries import CrossConnect, Entry, ProtectionGroup, SliceMeter, SlotAssignment
from controller.core.entry_text import entry_text

MAX_LISTED = 100
"""Entries of one device."""


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
class ReadBack:
    """What was not as it shall be when a device was read back, before anything was put right."""

    desired: Mapping[Hashable, Entry]
    actual: Mapping[Hashable, Entry]
    at_s: float
    """By the monotonic clock."""

    @classmethod
    def of(cls, desired: Mapping[Hashable, Entry], actual: Mapping[Hashable, Entry], at_s: float) -> ReadBack:
        """Without what agrees: a device may hold very much."""
        odd = [key for key in desired.keys() | actual.keys() if desired.get(key) != actual.get(key)]
        here, there = ({key: each[key] for key in odd if key in each} for each in (desired, actual))
        return cls(here, there, at_s)


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


def differences(
    desired: Mapping[Hashable, Entry], actual: Mapping[Hashable, Entry], most: int = MAX_LISTED
) -> tuple[tuple[EntryDrift, ...], bool]:
    """(the first so many entries that differ, in order of reference; whether there are more)."""
    every = {**actual, **desired}
    odd = sorted((rank(each), str(key), key) for key, each in every.items() if desired.get(key) != actual.get(key))
    return tuple(_told(desired.get(key), actual.get(key)) for *_, key in odd[:most]), len(odd) > most


def _told(wanted: Entry | None, there: Entry | None) -> EntryDrift:
    if wanted is None:
        assert there is not None
        return EntryDrift(DriftKind.UNEXPECTED, entry_text(there))
    if there is None:
        return EntryDrift(DriftKind.MISSING, entry_text(wanted))
    return EntryDrift(DriftKind.DIFFERENT, entry_text(wanted), entry_text(there))


def foreign(
    known: Mapping[Hashable, Entry], actual: Mapping[Hashable, Entry], desired: Mapping[Hashable, Entry]
) -> frozenset[Hashable]:
    """Keys at which a device holds other than what was confirmed, and other than what it shall: somebody changed it."""
    keys = known.keys() | actual.keys()
    return frozenset(key for key in keys if actual.get(key) != known.get(key) and actual.get(key) != desired.get(key))


def lost_in_restart(known: Mapping[Hashable, Entry], actual: Mapping[Hashable, Entry]) -> frozenset[Hashable]:
    """Keys that are gone with all of their keeper: a device that restarts comes back empty, a line card by itself."""
    left = {_keeper(entry) for key, entry in known.items() if actual.get(key) == entry}
    return frozenset(key for key, entry in known.items() if key not in actual and _keeper(entry) not in left)


def _keeper(entry: Entry) -> str:
    """The program in a device that keeps it."""
    match entry:
        case SlotAssignment() | ProtectionGroup():
            return "line card"
        case CrossConnect() | SliceMeter():
            return "switch"
        case _:
            return "router"
