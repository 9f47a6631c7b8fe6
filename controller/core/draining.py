"""What draining a node or link would do, played through on a snapshot: which corridors move, which stay, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from controller.core.errors import Refused
from controller.core.hitless import Occasion, require_consent
from controller.core.maintenance import ENDS_HERE, Draining, Staying, ends_of, stood_on
from controller.core.model import Stage
from controller.core.plan import Plan, advance, plan
from controller.core.records import Record
from controller.core.snapshot import Snapshot
from controller.core.topology import DrainChanged, Topology


def on_it(topology: Topology, records: Iterable[Record], name: str) -> tuple[Record, ...]:
    """Those that stand on a node or link, or are about to or were: the highest priority first, then by name."""
    found = (r for r in records if any(name in stood_on(topology, each) for each in r.placements))
    return tuple(sorted(found, key=lambda record: (-record.corridor.priority, record.name)))


def ending_at(topology: Topology, record: Record, name: str) -> Staying | None:
    """Said of a corridor that no choice of path takes off a node or link."""
    ends = {end for each in record.placements for end in (each.a_end.node, each.z_end.node)}
    if name not in ends_of(topology, ends):
        return None
    return Staying(record.name, ENDS_HERE, f"it ends at {name}" if name in ends else f"an end of it hangs on {name}")


def moved_off(snapshot: Snapshot, record: Record) -> Plan:
    """The change that takes a settled corridor off what is drained. Raises `Refused` where there is none."""
    change = plan(snapshot, record.corridor)
    require_consent(snapshot.topology, change, Occasion.DRAINED)
    return change


def foreseen(snapshot: Snapshot, name: str) -> Draining:
    """One corridor after the other, each settled before the next; who found no room tries again when another left."""
    drained = name in snapshot.topology.drained
    snapshot = replace(snapshot, topology=snapshot.topology.apply(DrainChanged(name, True)))
    staying = {r.name: ending_at(snapshot.topology, r, name) for r in _on(snapshot, name)}
    moved: list[str] = []
    while True:
        before = len(moved)
        for record in _on(snapshot, name):
            if (stays := staying[record.name]) is not None and stays.reason == ENDS_HERE:
                continue
            try:
                snapshot = _settled(snapshot, moved_off(snapshot, record))
                staying[record.name] = None
                moved.append(record.name)
            except Refused as refusal:
                staying[record.name] = Staying(record.name, refusal.reason, refusal.message)
        if len(moved) == before:
            left = tuple(each for each in staying.values() if each is not None)
            return Draining(name, drained, tuple(moved), left)


def _on(snapshot: Snapshot, name: str) -> tuple[Record, ...]:
    return on_it(snapshot.topology, snapshot.records.values(), name)


def _settled(snapshot: Snapshot, change: Plan) -> Snapshot:
    """With a change made and through."""
    settled = replace(change.record, current=change.record.target, stage=Stage.SETTLED, previous=None)
    settled = replace(settled, corridor=replace(settled.corridor, stage=Stage.SETTLED, reconciling=False))
    through = advance(replace(snapshot, ledger=change.ledger, ids=change.ids), change.record, settled)
    layers = snapshot.layers.booked(snapshot.topology, through.ledger, change.rows | through.rows)
    records = {**snapshot.records, settled.name: settled}
    return replace(snapshot, ledger=through.ledger, ids=through.ids, records=records, kept=layers)
