"""From a batch of changes to OpenFlow messages in an order that never breaks traffic. Pure.

Phase by phase, with a barrier after each: meters that flows will need, flows (new ones and those that must let go of
a meter), flows that go, and last the meters that go, because deleting a meter deletes every flow that still uses it.
What is refused in one phase keeps the later ones of the same slice and direction from being sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from controller.core.addresses import A_TO_Z, Z_TO_A, channel_address
from controller.core.entries import SELECTOR, Change, CrossConnect, Operation, SliceMeter
from controller.drivers import otn_flows as flows
from controller.drivers.openflow_stream import Message
from controller.drivers.otn_flows import Crossing, CrossingKey, Holdings, Metering, SliceDirection


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
    if entry.direction not in (A_TO_Z, Z_TO_A):
        return f"direction {entry.direction} is neither 0 nor 1"
    if isinstance(entry, SliceMeter):
        bad_rate = change.operation is not Operation.DELETE and entry.rate_kbps < 1
        return f"rate of {entry.rate_kbps} kbit/s" if bad_rate else None
    if entry.channel != channel_address(entry.slice_id, entry.direction):
        return f"{entry.channel:012x} is not the channel address of slice {entry.slice_id} direction {entry.direction}"
    if entry.out_port == SELECTOR and entry.rewrite is not None:
        return "what goes to the selector keeps its channel address"
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
        meters: dict[SliceDirection, Change] = {}
        crossings: dict[CrossingKey, Change] = {}
        for change in changes:
            if isinstance(change.entry, SliceMeter):
                meters[flows.way_of(change.entry)] = change
            elif isinstance(change.entry, CrossConnect):
                crossings[flows.crossing_key(change.entry)] = change
        for way, change in meters.items():
            self._meter(way, change)
        for key, change in crossings.items():
            self._crossing(key, change)
        for key, old in self.held.crossings.items():
            if key not in crossings and key.way in meters:
                self._follow_meter(old, meters[key.way])
        return self.batch

    def _write(self, phase: Phase, change: Change, message: Message) -> None:
        entry = change.entry
        assert isinstance(entry, CrossConnect | SliceMeter)
        self.batch.phases[phase].append(Write(message, change, flows.way_of(entry)))

    def _meter(self, way: SliceDirection, change: Change) -> None:
        assert isinstance(change.entry, SliceMeter)
        old = self.held.meterings.get(way)
        if change.operation is Operation.DELETE:
            if old is not None:
                self._write(Phase.METERS_GO, change, flows.metering_delete(self.datapath, old.meter_id))
                del self.batch.after.meterings[way]
                self.batch.after.meter_ids.discard(old.meter_id)
        elif old is None:
            new = Metering(self._free_meter_id(), change.entry)
            self._write(Phase.METERS, change, flows.metering_add(self.datapath, new))
            self._write(Phase.FLOWS, change, flows.directory_add(self.datapath, self.generation, new))
            self.batch.after.meterings[way] = new
        elif old.entry != change.entry:
            self._change_meter(old, Metering(old.meter_id, change.entry), change)

    def _change_meter(self, old: Metering, new: Metering, change: Change) -> None:
        """The rate of a meter that already follows its slots is the line card's."""
        if not (old.entry.follows and new.entry.follows):
            self._write(Phase.METERS, change, flows.metering_modify(self.datapath, new))
        if flows.directory_of(old.entry) != flows.directory_of(new.entry):
            self._write(Phase.FLOWS, change, flows.directory_add(self.datapath, self.generation, new))
            self._write(Phase.FLOWS_GO, change, flows.directory_delete(self.datapath, old.entry))
        self.batch.after.meterings[flows.way_of(new.entry)] = new

    def _free_meter_id(self) -> int:
        """The lowest that neither stands nor is given out in this batch; one that goes in this batch goes last."""
        while self.next_meter_id in self.held.meter_ids:
            self.next_meter_id += 1
        self.batch.after.meter_ids.add(self.next_meter_id)
        self.next_meter_id += 1
        return self.next_meter_id - 1

    def _crossing(self, key: CrossingKey, change: Change) -> None:
        """Key and match say the same: another way out of the same port in replaces the flow at once."""
        assert isinstance(change.entry, CrossConnect)
        if change.operation is Operation.DELETE:
            self._write(Phase.FLOWS_GO, change, flows.crossing_delete(self.datapath, change.entry))
            self.batch.after.crossings.pop(key, None)
        else:
            self._put_crossing(change.entry, change)

    def _follow_meter(self, old: Crossing, change: Change) -> None:
        """A flow that stands takes up the slice's new meter, or lets go of the one that goes."""
        metering = self.batch.after.meterings.get(flows.way_of(old.entry))
        if old.meter_id != (metering.meter_id if metering else None):
            self._put_crossing(old.entry, change)

    def _put_crossing(self, entry: CrossConnect, change: Change) -> None:
        metering = self.batch.after.meterings.get(flows.way_of(entry))
        new = Crossing(entry, metering.meter_id if metering else None)
        self._write(Phase.FLOWS, change, flows.crossing_add(self.datapath, self.generation, new))
        self.batch.after.crossings[flows.crossing_key(entry)] = new
