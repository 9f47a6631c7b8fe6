"""What a defragmentation says: the moves to make or made, and the server ODUs that they free."""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.model import SliceRole


@dataclass(frozen=True, slots=True)
class ServerChange:
    """One hop of a slice that goes into another server ODU of the same fibre."""

    slice_id: int
    """Of the slice that goes; the one that takes its place has another id."""
    role: SliceRole
    link: str
    """`domains/{domain}/links/{link}` of a fibre."""
    from_server: str
    to_server: str


@dataclass(frozen=True, slots=True)
class SliceMove:
    """One corridor, whose slices are built anew on their own routes before the old ones go."""

    corridor: str
    """`tenants/{tenant}/corridors/{corridor}`."""
    changes: tuple[ServerChange, ...] = ()
    """Where the server is another; elsewhere it gets other slots of the same."""
    done: bool = False


@dataclass(frozen=True, slots=True)
class FreedServer:
    """A server ODU that nothing is left in."""

    link: str
    server: str
    fgts: int
    """Fine-grain slots that it offers."""
    after_moves: int
    """How many of the moves, from the first, it takes."""


@dataclass(frozen=True, slots=True)
class Defragmentation:
    """Moves in the order in which they are made, those of the best value first, and what they free."""

    moves: tuple[SliceMove, ...] = ()
    freed: tuple[FreedServer, ...] = ()
    exhaustive: bool = False
    """No such moves within the bound free more; else it is the best of those that were tried."""
    stopped: str = ""
    """Why not every move was made; empty where all were, and of a plan."""
