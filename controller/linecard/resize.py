"""The in-band resizing protocol at one OTN node: a machine without clock or sockets.

Attempts. The commanded source numbers its attempts; every node follows the highest that it has seen of a slice, so
that nothing delayed can undo what came later. A source that starts again with its clock set back is refused, and told
how high its numbers were: it goes on so far above that none comes twice. One attempt goes through the forward
direction, then the reverse: REQUEST out, ACCEPT back, BWR_IND out, NCS back, RELEASE out, whereupon the far end does
the same the other way. Its RELEASE tells the commanded source that all is through: ten frames in sequence for each hop.

Sizes. On the way out a BWR_IND leaves a node with *at most* the target, on the way back an NCS with *just* the target.
So a shrinking direction commits from its source on, a growing one from its sink back, and at every instant each node
lets through at least what the node before it does, whatever sizes the attempt found and wherever it stops.

Loss. The two ends alone repeat themselves; nodes in transit answer duplicates by what they know. A request that fails
has changed nothing. After a BWR_IND the source takes all back by an attempt to the sizes before; if that fails
as well, the outcome is ONE_SIDED.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from controller.linecard.resize_attempts import Refused
from controller.linecard.resize_messages import MAX_SLOTS, Kind, Reason
from controller.linecard.resize_relay import Relay
from controller.linecard.resize_values import (
    ONE_SIDED,
    Attempt,
    Command,
    Commit,
    Notice,
    Output,
    Phase,
    ResizeState,
    Timing,
)
from controller.linecard.slot_table import FORWARD, REVERSE, SlotError, SlotTable, place

GAP = 1 << 24
"""Between the highest number that others know and the next: more attempts than were ever made without their knowing."""
HIGHEST = (1 << 64) - 2 * GAP
"""What is told beyond is no number of ours: there would soon be none left."""


class ResizeNode(Relay):
    """All slices of one node. Calls return what is to be done, in order; `now` is in seconds of any steady clock."""

    def __init__(self, node: str, table: SlotTable, incarnation: int, timing: Timing | None = None) -> None:
        """`incarnation`: another at each start of the program, best a higher one, below 2^32: the time of the start."""
        super().__init__(node, table, timing or Timing())
        self._number = incarnation << 32

    def command(self, slice_id: int, target: int, now: float) -> list[Output]:
        """Resize as the A end; the same target as one under way joins it. To the size that this node has already, the
        handshake runs as well: others may differ, after a failure or a restart.

        Raises `SlotError`: NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION.
        """
        self._now = now
        port = self._only_port(slice_id, target)
        attempt = self._attempt(slice_id)
        if attempt is not None and attempt.own == REVERSE:
            raise SlotError("FAILED_PRECONDITION", f"slice {slice_id} is resized from its other end")
        if attempt is not None and attempt.command is not None and attempt.open:
            return [*self._done(), self._joining(attempt.command, slice_id, target)]
        sizes = self._table.committed(slice_id) or (0, 0)
        self._outputs.append(Notice(slice_id, ResizeState.MODIFYING))
        self._start(slice_id, port, (target, target), Command(target, sizes))
        return self._done()

    def force(self, slice_id: int, count: int, now: float) -> list[Output]:
        """Commit both directions here alone. Raises `SlotError`: NOT_FOUND, FAILED_PRECONDITION."""
        self._now = now
        for direction in (FORWARD, REVERSE):
            self._table.commit(slice_id, direction, count)
            self._outputs.append(Commit(slice_id, direction, count))
        attempt = self._attempt(slice_id)
        if attempt is not None:
            self._forget(attempt)
        return self._done()

    def tick(self, now: float) -> list[Output]:
        """What falls due by `now`."""
        self._now = now
        for slice_id in [each.slice_id for each in self._attempts.values() if each.open and each.deadline <= now]:
            attempt = self._attempt(slice_id)
            if attempt is not None:
                self._due(attempt)
        return self._done()

    @property
    def next_deadline(self) -> float | None:
        """When to call `tick` next; None while nothing is under way."""
        return min((attempt.deadline for attempt in self._attempts.values() if attempt.open), default=None)

    def modifying(self, slice_id: int) -> bool:
        """A handshake is under way here."""
        attempt = self._attempt(slice_id)
        return attempt is not None and attempt.open

    # The command.

    def _only_port(self, slice_id: int, target: int) -> int:
        held = self._table.held(slice_id)
        if not held:
            raise SlotError("NOT_FOUND", f"no slice {slice_id}")
        if not 1 <= target <= MAX_SLOTS:
            raise SlotError("INVALID_ARGUMENT", f"a slice has 1 to {MAX_SLOTS} slots, not {target}")
        if len(held) > 1:
            raise SlotError(
                "FAILED_PRECONDITION", f"not an end of slice {slice_id}: it has {len(held)} line ports here"
            )
        if len(held[0].slots) < target:
            message = f"{len(held[0].slots)} slots of {place(held[0])} are reserved, not {target}"
            raise SlotError("FAILED_PRECONDITION", message)
        return held[0].line_port

    def _joining(self, command: Command, slice_id: int, target: int) -> Notice:
        if command.target != target:
            raise SlotError("FAILED_PRECONDITION", f"slice {slice_id} is being resized to {command.target} slots")
        return Notice(slice_id, ResizeState.MODIFYING)

    def _start(self, slice_id: int, port: int, targets: tuple[int, int], command: Command) -> None:
        self._number += 1
        since = self._table.since(slice_id)
        previous = list(self._table.committed(slice_id) or (0, 0))
        attempt = Attempt(slice_id, self._number, targets, previous, (None, port), since, command=command)
        self._attempts[slice_id] = attempt
        self._open(attempt, FORWARD)

    def _open(self, attempt: Attempt, direction: int) -> None:
        """As the source of a direction."""
        attempt.said = 0
        try:
            attempt.granted = self._segments(attempt, attempt.targets[direction])
        except Refused as refusal:
            self._source_failed(attempt, direction, Reason.REJECTED, f"{self._node}: {refusal}")
            return
        attempt.reach(direction, Phase.REQUESTED)
        self._repeat(attempt)

    def _end(self, attempt: Attempt, notice: Notice) -> None:
        """Of a command; what failed is released on the way out, so that nobody waits for more of it."""
        command, failed = attempt.command, notice.state is ResizeState.MODIFY_FAILED
        port = attempt.downstream(FORWARD)
        if failed and command is not None and port is not None and command.taking_back is not notice:
            reason = Reason.TIMEOUT if notice.reason == Reason.TIMEOUT.name else Reason.REJECTED
            self._say(port, attempt, FORWARD, Kind.RELEASE, reason, notice.message)
        attempt.close()
        self._outputs.append(notice)

    # What an end adds to a relay.

    def _source_granted(self, attempt: Attempt, direction: int) -> None:
        if attempt.phase[direction] is Phase.REQUESTED:
            attempt.reach(direction, Phase.INDICATED)
            attempt.said = 0
            self._repeat(attempt)

    def _source_confirmed(self, attempt: Attempt, direction: int) -> None:
        attempt.reach(direction, Phase.CLOSED)
        if direction == REVERSE:
            attempt.close()
            self._report(attempt)
            return
        attempt.said = 0
        self._repeat(attempt)

    def _source_overtaken(self, attempt: Attempt, latest: int) -> bool:
        command = attempt.command
        if command is None or latest > HIGHEST:
            return False
        self._number = max(self._number, latest + GAP)
        if command.overtaken or attempt.phase[FORWARD] is not Phase.REQUESTED:
            return False
        port = attempt.downstream(FORWARD) or 0
        self._start(attempt.slice_id, port, attempt.targets, replace(command, overtaken=True))
        return True

    def _source_failed(self, attempt: Attempt, direction: int, reason: Reason, detail: str) -> None:
        command = attempt.command
        if command is None:
            attempt.close(reason, detail)
            self._report(attempt)
            return
        failure = Notice(attempt.slice_id, ResizeState.MODIFY_FAILED, reason.name, detail)
        untouched = attempt.phase[FORWARD] < Phase.INDICATED
        if command.taking_back is not None:
            if attempt.phase[FORWARD] is Phase.REQUESTED and reason is Reason.REJECTED:
                return  # a node that restarted may know the slice again soon
            message = f"{command.taking_back.message}; could not be taken back: {detail}"
            self._end(attempt, replace(failure, reason=ONE_SIDED, message=message))
        elif untouched:
            self._end(attempt, failure)
        else:
            port = attempt.downstream(FORWARD) or 0
            back = Command(command.target, command.before, failure)
            self._start(attempt.slice_id, port, command.before, back)

    def _sink_released(self, attempt: Attempt, direction: int, reason: Reason, detail: str) -> None:
        if direction == FORWARD:
            if reason is Reason.NONE:
                self._turn(attempt)
        elif attempt.command is not None and attempt.open:
            if reason is Reason.NONE:
                self._succeeded(attempt, attempt.command)
            else:
                self._source_failed(attempt, FORWARD, reason, detail)

    def _turn(self, attempt: Attempt) -> None:
        """The far end starts the reverse direction, or reports again how that went."""
        if attempt.phase[REVERSE] is Phase.CLOSED:
            self._report(attempt)
        elif attempt.phase[REVERSE] is Phase.IDLE:
            attempt.open = True
            attempt.previous[REVERSE] = (self._table.committed(attempt.slice_id) or (0, 0))[REVERSE]
            self._open(attempt, REVERSE)

    def _report(self, attempt: Attempt) -> None:
        port = attempt.downstream(REVERSE)
        if attempt.failure[0] is Reason.NONE:
            self._commit(attempt, REVERSE, attempt.targets[REVERSE])
        if port is not None:
            self._say(port, attempt, REVERSE, Kind.RELEASE, *attempt.failure)

    def _succeeded(self, attempt: Attempt, command: Command) -> None:
        self._end(attempt, command.taking_back or Notice(attempt.slice_id, ResizeState.MODIFIED_OK))

    def _forget(self, attempt: Attempt) -> None:
        super()._forget(attempt)
        if attempt.command is not None and attempt.open:
            message = f"{self._node}: the slice was forced or went"
            self._outputs.append(Notice(attempt.slice_id, ResizeState.MODIFY_FAILED, ONE_SIDED, message))

    # Time.

    def _due(self, attempt: Attempt) -> None:
        own = attempt.own
        if own is None or not attempt.waiting:
            attempt.lapse()
            return
        limit = self._timing.waits if attempt.phase[own] is Phase.CLOSED else self._timing.attempts
        if attempt.said < limit:
            self._repeat(attempt)
        else:
            detail = f"{self._node}: no answer to {_SAYING[attempt.phase[own]].name}"
            self._source_failed(attempt, own, Reason.TIMEOUT, detail)

    def _repeat(self, attempt: Attempt) -> None:
        """Say what this end waits on, once more."""
        own = attempt.own
        port = None if own is None else attempt.downstream(own)
        if own is None or port is None:
            return
        attempt.said += 1
        attempt.deadline = self._now + self._timing.retry_s
        if attempt.phase[own] is Phase.INDICATED:
            self._shrink(attempt, own)
        elif attempt.phase[own] is Phase.CLOSED:
            self._commit(attempt, own, attempt.targets[own])
        self._say(port, attempt, own, _SAYING[attempt.phase[own]])


_SAYING: Mapping[Phase, Kind] = MappingProxyType(
    {Phase.REQUESTED: Kind.REQUEST, Phase.INDICATED: Kind.BWR_IND, Phase.CLOSED: Kind.RELEASE}
)
"""What the source of a direction repeats until it is answered."""
