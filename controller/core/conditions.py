"""Conditions of a corridor: one per type, with the time since it holds. All types stand here."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from controller.core.model import Condition, Corridor


class ConditionType(StrEnum):
    """What can be said of a corridor beside its state; docs/conditions.md has a line for each, with its reasons."""

    BLOCKED = "Blocked"
    """A stage of its change waits for a device, and is tried again."""
    ROLLED_BACK = "RolledBack"
    """Its last change could not be made; what stood before stands."""
    DRAINING = "Draining"
    """It stands on its new path; nodes that do not answer may still hold the former one."""
    INTERRUPTED = "Interrupted"
    """It is taken away from its old path before it is built on the new one: nothing carries it meanwhile."""
    PATH_LOST = "PathLost"
    """Nothing carries it."""
    PROTECTION_SWITCHED = "ProtectionSwitched"
    """Its protection carries the traffic."""
    PROTECTION_LOST = "ProtectionLost"
    """Nothing protects it, against the promise."""
    FORCED_CONSISTENCY = "ForcedConsistency"
    """Slices were resized by force: possibly traffic-affecting."""
    REPAIRED = "Repaired"
    """Somebody else changed or removed entries of it in a device; they are put right. Until its next change."""


def with_condition(corridor: Corridor, kind: str, status: bool, reason: str, message: str, now: datetime) -> Corridor:
    """The corridor with its condition of a type set; `since` stays where status and reason stay."""
    kind = str(ConditionType(kind))
    old = next((c for c in corridor.conditions if c.type == kind), None)
    same = old is not None and (old.status, old.reason) == (status, reason)
    since = old.since if old is not None and same else now
    new = Condition(kind, status, reason, message, since, corridor.generation)
    return replace(corridor, conditions=(*(c for c in corridor.conditions if c.type != kind), new))


def without_condition(corridor: Corridor, kind: str) -> Corridor:
    return replace(corridor, conditions=tuple(c for c in corridor.conditions if c.type != kind))
