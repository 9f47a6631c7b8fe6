"""Carry a change through its stages: BUILD, STEER, CLEAN; each is stored before the devices hear of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from controller.background import background, stopped
from controller.core.conditions import with_condition
from controller.core.errors import Conflict, DeviceError
from controller.core.generation import next_generation
from controller.core.lifecycle import NEXT_STAGE, Happening, after
from controller.core.model import Corridor, EventType, Stage, State
from controller.core.plan import Plan, advance
from controller.core.records import Placement, Record
from controller.state import NetworkState, Touched

log = logging.getLogger(__name__)

STAGE_TIMEOUT_S = 10.0
"""A stage that a device blocks for longer is rolled back (or, with nothing to go back to, tried again)."""
RETRY_S = 1.0
"""Between two tries of a stage that has nothing to go back to."""
DRAIN_MARGIN_S = 0.02
"""Beside twice the one-way latency."""
SHAPER_QUEUE_S, SHAPER_QUEUE_BYTES = 0.05, 1 << 16
"""What an ingress shaper may still hold, the larger of both; it was encapsulated for the old path."""


class Progress:
    """One task per corridor with a change under way."""

    def __init__(self, state: NetworkState, *, stage_timeout_s: float = STAGE_TIMEOUT_S) -> None:
        self._state = state
        self._stage_timeout_s = stage_timeout_s
        self._retry_s = min(RETRY_S, stage_timeout_s)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._withdrawn: set[str] = set()
        """Corridors that somebody waits to take away."""

    def resume(self) -> None:
        """After a restart: every stored change goes on where it was."""
        for record in self._state.records.values():
            if record.stage is not Stage.SETTLED:
                self.drive(record.name, self._state.touching(record.name))

    async def begin(self, change: Plan, kind: EventType) -> None:
        """Under the writer: store a change and drive it. Both or neither, even if the caller is cancelled meanwhile."""
        work = asyncio.ensure_future(self._begin(change, kind))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait({work})
            if not work.cancelled():
                work.exception()  # nobody is left to hear a refusal
            raise

    async def _begin(self, change: Plan, kind: EventType) -> None:
        self.drive(change.record.name, await self._state.commit(change, kind))

    def drive(self, name: str, touched: Touched) -> None:
        """Take a freshly committed change to its end in the background."""
        task = background(self._drive(name, touched), f"progress {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._tasks.pop(name) if self._tasks.get(name) is done else None)

    async def settled(self, name: str, stages: int = 1) -> None:
        """Until no change of a corridor is under way; `Conflict` when that takes longer than so many stages may."""
        task = self._tasks.get(name)
        if task is None or task.done():
            return
        await asyncio.wait({task}, timeout=stages * (self._stage_timeout_s + self._retry_s))
        if not task.done():
            raise Conflict(f"a change of {name} is still under way", reason="CHANGE_UNDER_WAY")

    async def finished(self, name: str) -> None:
        """Until no change of a corridor is under way, however long that takes."""
        while (task := self._tasks.get(name)) is not None and not task.done():
            await asyncio.wait({task})

    @asynccontextmanager
    async def undisturbed(self, name: str) -> AsyncIterator[None]:
        """The writer, at a moment when no change of a corridor is under way; `Conflict` when that takes too long."""
        while True:
            await self.settled(name)
            async with self._state.writer:
                task = self._tasks.get(name)
                if task is not None and not task.done():
                    continue  # another one that waited was faster
                yield
                return

    @asynccontextmanager
    async def withdrawn(self, name: str) -> AsyncIterator[None]:
        """As `undisturbed`, but a first build that a device blocks is given up: it never carried anything."""
        self._withdrawn.add(name)
        try:
            await self.settled(name, stages=2)
            async with self.undisturbed(name):
                yield
        except BaseException:
            record = self._state.records.get(name)
            if record is not None and record.stage is not Stage.SETTLED and name not in self._tasks:
                self.drive(name, self._state.touching(name))
            raise
        finally:
            self._withdrawn.discard(name)

    async def close(self) -> None:
        await stopped(self._tasks.values())

    async def _drive(self, name: str, touched: Touched) -> None:
        while (record := self._state.records.get(name)) is not None and record.stage is not Stage.SETTLED:
            try:
                await self._state.reconciler.converge(touched, self._stage_timeout_s)
            except DeviceError as failure:
                log.warning("%s: %s is blocked: %s", name, record.stage, failure)
                touched = await self._blocked(name, failure)
                if name in self._withdrawn and self._state.records[name].unborn:
                    return
                if self._state.records[name].stage is record.stage:
                    await asyncio.sleep(self._retry_s)
                continue
            if record.stage is Stage.STEER:
                await asyncio.sleep(drain_s(record))
            touched = await self._next(name)

    async def _next(self, name: str) -> Touched:
        async with self._state.writer:
            before = self._state.records[name]
            record = next_record(before)
            gone = record.stage is Stage.SETTLED and record.target is None
            kind = EventType.DELETED if gone else EventType.UPDATED
            record = replace(record, corridor=replace(record.corridor, update_time=self._state.now()))
            return await self._state.commit(advance(self._state.snapshot(), before, record), kind)

    async def _blocked(self, name: str, failure: DeviceError) -> Touched:
        """Roll a change back that cannot be built; later stages and first builds are tried again until they hold."""
        async with self._state.writer:
            before = self._state.records[name]
            snapshot = self._state.snapshot()
            corridor = with_condition(
                before.corridor, "Blocked", True, type(failure).__name__, str(failure), snapshot.now
            )
            record = replace(before, corridor=corridor)
            if before.stage is Stage.BUILD and before.previous is not None:
                record = rolled_back(record, before.previous, failure, snapshot.now)
            if record != before:
                await self._state.commit(advance(snapshot, before, record), EventType.UPDATED)
            return self._state.touching(name)


def next_record(record: Record) -> Record:
    """The record one stage on; settled, it is what its change led to."""
    stage = NEXT_STAGE[record.stage]
    corridor = replace(record.corridor, stage=stage)
    if stage is not Stage.SETTLED:
        return replace(record, corridor=corridor, stage=stage)
    return Record(_settled(corridor), record.target, record.target, stage, request=record.request)


def rolled_back(record: Record, previous: Corridor, failure: DeviceError, now: datetime) -> Record:
    """On the way back to what stood. Claims of both states are held until every device has let go of the new one."""
    corridor = next_generation(
        replace(
            previous,
            state=record.corridor.state,
            conditions=record.corridor.conditions,
            generation=record.corridor.generation,
            observed_generation=record.corridor.observed_generation,
            stage=Stage.CLEAN,
            reconciling=True,
        ),
        now,
    )
    corridor = with_condition(corridor, "RolledBack", True, type(failure).__name__, str(failure), now)
    return Record(corridor, record.target, record.current, Stage.CLEAN, request=record.request)


def _settled(corridor: Corridor) -> Corridor:
    """What a change that is through led to; one that was rolled back says so until the next, and heals no path."""
    undone = any(c.type == "RolledBack" for c in corridor.conditions)
    over = ("Blocked",) if undone else ("Blocked", "PathLost")
    stays = undone or corridor.state is State.DELETING
    return replace(
        corridor,
        state=corridor.state if stays else after(corridor.state, Happening.SETTLED),
        reconciling=False,
        observed_generation=corridor.generation,
        conditions=tuple(c for c in corridor.conditions if c.type not in over),
    )


def drain_s(record: Record) -> float:
    """How long packets on the old path may still be under way: nothing is taken from under them."""
    old, new = record.current, record.target
    if old is None or (new is not None and new.leg.slices == old.leg.slices and new.leg.links == old.leg.links):
        return 0.0
    resized = new is not None and _adjacency(new) == _adjacency(old)
    return 2 * old.leg.latency_us / 1e6 + DRAIN_MARGIN_S + (0.0 if resized else _backlog_s(old, new or old))


def _adjacency(placement: Placement) -> tuple[int, tuple[str, ...]]:
    """What a packet is encapsulated for: what waits in the shaper goes the same way while this stays."""
    return placement.slice.id if placement.slice else 0, placement.leg.links


def _backlog_s(*placements: Placement) -> float:
    slowest = min(kbps for each in placements for kbps in (each.forward_kbps, each.reverse_kbps))
    return max(SHAPER_QUEUE_S, SHAPER_QUEUE_BYTES * 8 / 1000 / slowest)
