"""What draining a node or link says: what was moved off, and what still stands on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Staying:
    """A corridor that could not be moved off."""

    corridor: str
    """`tenants/{tenant}/corridors/{corridor}`."""
    reason: str
    """A stable word for programs."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Draining:
    """Whether a node or link is kept free for maintenance, and what is still on it."""

    name: str = ""
    """`domains/{domain}/nodes/{node}` or `domains/{domain}/links/{link}`."""
    drained: bool = False
    """Nothing new is placed on it."""
    moved: tuple[str, ...] = ()
    """Corridors that were moved off by this call."""
    staying: tuple[Staying, ...] = ()
    """Corridors that still stand on it. Empty: it can be switched off."""
