"""From a batch of changes to OpenFlow messages in an order that never breaks traffic. Pure.

Phase by phase, with a barrier after each: meters that flows will need, flows (new ones and those that must let go of
a meter), flows that go, and last the meters that go, because deleting a meter deletes every flow that still uses it.
What is refused in one phase keeps the later ones of the same slice and direction from being sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

from controller.core.entries import Change, CrossConnect, Operation, SliceMeter
from controller.drivers import otn_flows as flows
from controller.drivers.openflow_stream import Message
from controller.drivers.otn_flows import Crossing, Holdings, Metering, SliceDirection

FlowKey: TypeAlias = tuple[type, SliceDirection]


class Phase(IntEnum):
    METERS = 0
    FLOWS = 1
    FLOWS_GO = 2
    METERS_GO = 3


@dataclass(frozen=True, slots=True)
class Write:
    """One message and the change that it is for."""

    message: Message
    change: Change
    key: SliceDirection


@dataclass(slots=True)
class Batch:
    phases: dict[Phase, list[Write]] = field(default_factory=lambda: {phase: [] for phase in Phase})
    after: Holdings = field(default_factory=Holdings)
    """What the switch holds when every message was obeyed."""


def refusal(change: Change) -> str | None:
    """Why a change cannot even be asked of the switch."""
    entry = change.entry
    if not isinstance(entry, CrossConnect | SliceMeter):
        return f"an OTN node has no {type(entry).__name__}"
    if not 0 < entry.slice_id < 1 << 32:
        return f"slice id {entry.slice_id} is not within 1..2^32-1"
    if isinstance(entry, CrossConnect) and entry.channel & 0xFF != entry.direction:
        return f"channel address {entry.channel:012x} is not of direction {entry.direction}"
    if isinstance(entry, SliceMeter) and change.operation is not Operation.DELETE and entry.rate_kbps < 1:
        return f"rate of {entry.rate_kbps} kbit/s"
    return None


@dataclass(slots=True)
class Planner:
    """Changes are idempotent: insert or modify makes it so, delete makes it gone. The last word on a key counts."""

    datapath: Any
    generation: int
    held: Holdings
    batch: Batch = field(default_factory=Batch)
    next_meter_id: int = 1

    def plan(self, changes: Sequence[Change]) -> Batch:
        """All changes must be free of `refusal`."""
        self.batch.after = self.held.copy()
        last: dict[FlowKey, Change] = {}
        for change in changes:
            last[type(change.entry), self._key(change)] = change
        meters = {key: change for (kind, key), change in last.items() if kind is SliceMeter}
        crossings = {key: change for (kind, key), change in last.items() if kind is CrossConnect}
        for key, change in meters.items():
            self._meter(key, change)
        for key, change in crossings.items():
            self._crossing(key, change)
        for key, change in meters.items():
            if key not in crossings:
                self._follow_meter(key, change)
        return self.batch

    @staticmethod
    def _key(change: Change) -> SliceDirection:
        assert isinstance(change.entry, CrossConnect | SliceMeter)
        return flows.key_of(change.entry)

    def _write(self, phase: Phase, change: Change, message: Message) -> None:
        self.batch.phases[phase].append(Write(message, change, self._key(change)))

    def _meter(self, key: SliceDirection, change: Change) -> None:
        assert isinstance(change.entry, SliceMeter)
        old = self.held.meterings.get(key)
        if change.operation is Operation.DELETE:
            if old is not None:
                self._write(Phase.METERS_GO, change, flows.metering_delete(self.datapath, old.meter_id))
                del self.batch.after.meterings[key]
                self.batch.after.meter_ids.discard(old.meter_id)
        elif old is None:
            new = Metering(self._free_meter_id(), change.entry)
            self._write(Phase.METERS, change, flows.metering_add(self.datapath, new))
            self._write(Phase.FLOWS, change, flows.directory_add(self.datapath, self.generation, new))
            self.batch.after.meterings[key] = new
        elif old.entry != change.entry:
            new = Metering(old.meter_id, change.entry)
            self._write(Phase.METERS, change, flows.metering_modify(self.datapath, new))
            self.batch.after.meterings[key] = new

    def _free_meter_id(self) -> int:
        """The lowest that neither stands nor is given out in this batch; one that goes in this batch goes last."""
        while self.next_meter_id in self.held.meter_ids:
            self.next_meter_id += 1
        self.batch.after.meter_ids.add(self.next_meter_id)
        self.next_meter_id += 1
        return self.next_meter_id - 1

    def _crossing(self, key: SliceDirection, change: Change) -> None:
        assert isinstance(change.entry, CrossConnect)
        old = self.held.crossings.get(key)
        if change.operation is Operation.DELETE:
            entry = old.entry if old else change.entry
            self._write(Phase.FLOWS_GO, change, flows.crossing_delete(self.datapath, entry))
            self.batch.after.crossings.pop(key, None)
            return
        self._put_crossing(key, change.entry, change)
        if old and (old.entry.in_port, old.entry.channel) != (change.entry.in_port, change.entry.channel):
            self._write(Phase.FLOWS_GO, change, flows.crossing_delete(self.datapath, old.entry))

    def _follow_meter(self, key: SliceDirection, change: Change) -> None:
        """A flow that stands takes up the slice's new meter, or lets go of the one that goes."""
        old, metering = self.held.crossings.get(key), self.batch.after.meterings.get(key)
        if old and old.meter_id != (metering.meter_id if metering else None):
            self._put_crossing(key, old.entry, change)

    def _put_crossing(self, key: SliceDirection, entry: CrossConnect, change: Change) -> None:
        metering = self.batch.after.meterings.get(key)
        new = Crossing(entry, metering.meter_id if metering else None)
        self._write(Phase.FLOWS, change, flows.crossing_add(self.datapath, self.generation, new))
        self.batch.after.crossings[key] = new
