"""How many slots carry each slice of a corridor while it changes, and which resizes lead there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from controller.core.model import ResizeState, Slice, Stage
from controller.core.records import Placement, Record
from controller.core.topology import Topology, other_end


@dataclass(frozen=True, slots=True)
class Resize:
    """One slice and the size that it shall have on every hop."""

    slice_id: int
    count: int
    """Slots, each way."""
    nodes: tuple[str, ...]
    """OTN nodes, A to Z. The first is the source, which alone is commanded."""


def sizes(record: Record) -> Mapping[int, int]:
    """By slice: its slots when the present stage begins, which a node that first hears of the slice is told.

    A slice that keeps its id is resized in band at the end of BUILD where it grows, at the end of STEER where it
    shrinks: so it has the old size in BUILD, the larger one in STEER, and the new one from CLEAN on.
    """
    old, new = _active(record.current), _active(record.target)
    if record.stage is Stage.BUILD:
        return {**new, **old}
    if record.stage is Stage.STEER:
        return {number: max(old.get(number, 0), new.get(number, 0)) for number in old.keys() | new.keys()}
    return {**old, **new}


def due(record: Record) -> Mapping[int, int]:
    """By slice: the size that it shall have when the present stage ends."""
    old, new = _active(record.current), _active(record.target)
    if record.stage is Stage.BUILD:
        return {number: max(count, old.get(number, 0)) for number, count in new.items()}
    return new


def changing(record: Record) -> frozenset[int]:
    """Slices that are resized in the present stage."""
    before = sizes(record)
    return frozenset(number for number, count in due(record).items() if before[number] != count)


def in_doubt(record: Record) -> frozenset[int]:
    """Slices that may have either size while the change is under way, whoever began it: all that it resizes.

    Those that it only moves, by a branch say, keep theirs, and so does a new one, which is told its size when it is
    made: no handshake is asked of a path that may be the very reason for the move.
    """
    old, new = _active(record.current), _active(record.target)
    return frozenset(number for number in old.keys() & new.keys() if old[number] != new[number])


def resizes(topology: Topology, record: Record, numbers: Collection[int]) -> tuple[Resize, ...]:
    """What brings these slices of the target to the size that they shall have when the stage ends."""
    if record.target is None:
        return ()
    counts, a_end = due(record), record.target.a_end.node
    return tuple(
        Resize(part.id, counts[part.id], otn_nodes(topology, a_end, part))
        for part in record.target.leg.slices
        if part.id in numbers
    )


def otn_nodes(topology: Topology, a_router: str, part: Slice) -> tuple[str, ...]:
    """The OTN nodes of a slice, A to Z."""
    nodes = [topology.otn_of(a_router)]
    for hop in part.hops:
        nodes.append(other_end(topology.links[hop.link], nodes[-1]))
    return tuple(nodes)


def with_resize_state(record: Record, numbers: frozenset[int], state: ResizeState) -> Record:
    """The record with the state of these slices of its target, in its public face too."""
    if record.target is None or not numbers:
        return record
    leg = record.target.leg
    parts = tuple(replace(part, resize_state=state) if part.id in numbers else part for part in leg.slices)
    leg = replace(leg, slices=parts)
    corridor = replace(record.corridor, legs=(leg,))
    return replace(record, corridor=corridor, target=replace(record.target, leg=leg))


def _active(placement: Placement | None) -> dict[int, int]:
    return {part.id: part.active_slots for part in placement.leg.slices} if placement else {}
