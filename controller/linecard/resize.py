"""The in-band resizing protocol at one OTN node: a machine without clock or sockets.

Attempts. The commanded source numbers its attempts; every node follows the highest that it has seen of a slice, so
that nothing delayed can undo what came later. One attempt goes through the forward direction, then the reverse:
REQUEST out, ACCEPT back, BWR_IND out, NCS back, RELEASE out, whereupon the far end does the same the other way.

Sizes. On the way out a BWR_IND leaves a node with *at most* the target, on the way back an NCS with *just* the target.
So a shrinking direction commits from its source on, a growing one from its sink back, and at every instant each node
lets through at least what the node before it does, whatever sizes the attempt found and wherever it stops.

Loss. The two ends alone repeat themselves; nodes in transit answer duplicates by what they know. A request that fails
has changed nothing. After a BWR_IND the source takes all back by an attempt to the sizes before; if that fails
as well, the outcome is ONE_SIDED.
"""

from __future__ import annotations

from controller.linecard.resize_messages import ResizeMessage
from controller.linecard.resize_values import (
    Output,
    Timing,
)
from controller.linecard.slot_table import SlotTable


class ResizeNode:
    """All slices of one node. Calls return what is to be done, in order; `now` is in seconds of any steady clock."""

    def __init__(self, node: str, table: SlotTable, incarnation: int, timing: Timing | None = None) -> None:
        """`incarnation`: higher at each start of the program, below 2^32, such as the time of the start."""

    def command(self, slice_id: int, target: int, now: float) -> list[Output]:
        """Resize as the A end. Raises `SlotError`: NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION."""
        raise NotImplementedError

    def force(self, slice_id: int, count: int, now: float) -> list[Output]:
        """Commit both directions here alone. Raises `SlotError`: NOT_FOUND, FAILED_PRECONDITION."""
        raise NotImplementedError

    def received(self, line_port: int, message: ResizeMessage, now: float) -> list[Output]:
        raise NotImplementedError

    def tick(self, now: float) -> list[Output]:
        """What falls due by `now`."""
        raise NotImplementedError

    @property
    def next_deadline(self) -> float | None:
        """When to call `tick` next; None while nothing is under way."""
        raise NotImplementedError

    def modifying(self, slice_id: int) -> bool:
        """A handshake is under way here."""
        raise NotImplementedError
