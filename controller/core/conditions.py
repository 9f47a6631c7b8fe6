"""Conditions of a corridor: one per type, with the time since it holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from controller.core.model import Condition, Corridor


def with_condition(corridor: Corridor, kind: str, status: bool, reason: str, message: str, now: datetime) -> Corridor:
    """The corridor with its condition of a type set; `since` stays where status and reason stay."""
    old = next((c for c in corridor.conditions if c.type == kind), None)
    same = old is not None and (old.status, old.reason) == (status, reason)
    since = old.since if old is not None and same else now
    new = Condition(kind, status, reason, message, since, corridor.generation)
    return replace(corridor, conditions=(*(c for c in corridor.conditions if c.type != kind), new))


def without_condition(corridor: Corridor, kind: str) -> Corridor:
    return replace(corridor, conditions=tuple(c for c in corridor.conditions if c.type != kind))
