"""Carry a change through its stages: BUILD, STEER, CLEAN; each is stored before the devices hear of it.

What grows does so before it is used, what shrinks after: slices are resized in band between reservation and shaper.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from types import MappingProxyType
from typing import cast

from controller.background import background, stopped
from controller.core import slice_sizes
from controller.core.conditions import with_condition, without_condition
from controller.core.errors import Conflict, DeviceError, DeviceUnreachable
from controller.core.generation import next_generation
from controller.core.lifecycle import NEXT_STAGE, Happening, after
from controller.core.model import Corridor, EventType, ResizeState, Stage, State
from controller.core.plan import Plan, advance
from controller.core.records import Placement, Record
from controller.drivers.device import SliceResizer
from controller.resizing import HANDSHAKE_S, Overruled, Resizing
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
FORCE_AFTER = 3
"""Tries of a resize that has nothing to go back to, before nodes are forced."""
FORCED = "ForcedConsistency"
"""Condition of a corridor whose slices were not resized in band everywhere."""


class Step(Enum):
    CONVERGE = auto()
    """Devices hold what is desired of them: reservations, cross-connects, policies, shapers."""
    DRAIN = auto()
    """What was sent on its way before has arrived."""
    RESIZE = auto()
    """Slices have the size that the stage ends with (`slice_sizes.due`), both ways on every hop."""


STEPS: Mapping[Stage, tuple[Step, ...]] = MappingProxyType(
    {
        Stage.BUILD: (Step.CONVERGE, Step.RESIZE),
        Stage.STEER: (Step.CONVERGE, Step.DRAIN, Step.RESIZE),
        Stage.CLEAN: (Step.RESIZE, Step.CONVERGE),
    }
)
"""BUILD: reserved on every hop, then larger. STEER: less sent, all arrived, then smaller. CLEAN: nothing to resize but
after a roll-back or a restart; then reservations and old paths go."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try of a stage."""

    touched: Touched
    """What devices are not known to hold yet."""
    doubtful: bool = False
    """Which sizes slices have is not known: this run of the controller did not bring them there."""
    failures: int = 0
    """Of the stage so far."""


class Progress:
    """One task per corridor with a change under way."""

    def __init__(self, state: NetworkState, *, stage_timeout_s: float = STAGE_TIMEOUT_S) -> None:
        self._state = state
        self.resizing = Resizing(self._resizer, min(HANDSHAKE_S, stage_timeout_s))
        self._forced: dict[str, frozenset[str]] = {}
        """By corridor: nodes at which its slices were forced, until its record says so."""
        self._stage_timeout_s = stage_timeout_s
        self._retry_s = min(RETRY_S, stage_timeout_s)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._withdrawn: set[str] = set()
        """Corridors that somebody waits to take away."""

    def resume(self) -> None:
        """After a restart: every stored change goes on where it was."""
        for record in self._state.records.values():
            if record.stage is not Stage.SETTLED:
                self.drive(record.name, self._state.touching(record.name), doubtful=True)

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

    def drive(self, name: str, touched: Touched, *, doubtful: bool = False) -> None:
        """Take a change to its end in the background; `doubtful` where it was not committed just now."""
        task = background(self._drive(name, _Attempt(touched, doubtful)), f"progress {name}")
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
                self.drive(name, self._state.touching(name), doubtful=True)
            raise
        finally:
            self._withdrawn.discard(name)

    async def close(self) -> None:
        await stopped(self._tasks.values())

    async def _drive(self, name: str, attempt: _Attempt) -> None:
        while (record := self._state.records.get(name)) is not None and record.stage is not Stage.SETTLED:
            try:
                for step in STEPS[record.stage]:
                    await self._take(step, record, attempt)
            except DeviceError as failure:
                log.warning("%s: %s is blocked: %s", name, record.stage, failure)
                touched = await self._blocked(name, failure)
                if name in self._withdrawn and self._state.records[name].unborn:
                    return
                again = self._state.records[name].stage is record.stage
                attempt = _Attempt(touched, doubtful=True, failures=attempt.failures + 1 if again else 0)
                if again:
                    await asyncio.sleep(self._retry_s)
                continue
            attempt = _Attempt(await self._next(name))

    async def _take(self, step: Step, record: Record, attempt: _Attempt) -> None:
        match step:
            case Step.CONVERGE:
                await self._state.reconciler.converge(attempt.touched, self._stage_timeout_s)
            case Step.DRAIN:
                await asyncio.sleep(drain_s(record))
            case Step.RESIZE:
                await self._resize(record, attempt)

    async def _resize(self, record: Record, attempt: _Attempt) -> None:
        """In band; a growth that is refused is rolled back, anything else has to succeed in the end."""
        numbers = slice_sizes.in_doubt(record) if attempt.doubtful else slice_sizes.changing(record)
        resizes = slice_sizes.resizes(self._state.topology, record, numbers)
        if not resizes:
            return
        await self._modifying(record)
        overruled = Overruled.ALL if attempt.failures >= FORCE_AFTER else Overruled.ONE_SIDED
        if record.stage is Stage.BUILD and record.previous is not None:
            overruled = Overruled.NONE
        forced = await self.resizing.bring(resizes, overruled)
        self._forced[record.name] = self._forced.get(record.name, frozenset()) | forced

    async def _modifying(self, record: Record) -> None:
        """Say so where the size changes; what was forced before is over."""
        async with self._state.writer:
            before = self._state.records[record.name]
            after = slice_sizes.with_resize_state(before, slice_sizes.changing(before), ResizeState.MODIFYING)
            if after != before:
                after = replace(after, corridor=without_condition(after.corridor, FORCED))
                await self._state.commit(advance(self._state.snapshot(), before, after), EventType.UPDATED)

    async def _next(self, name: str) -> Touched:
        async with self._state.writer:
            before = self._state.records[name]
            now = self._state.now()
            record = self._confessed(next_record(before), now)
            gone = record.stage is Stage.SETTLED and record.target is None
            kind = EventType.DELETED if gone else EventType.UPDATED
            record = replace(record, corridor=replace(record.corridor, update_time=now))
            return await self._state.commit(advance(self._state.snapshot(), before, record), kind)

    def _confessed(self, record: Record, now: datetime) -> Record:
        """The record with a condition that says where force was used since it was last stored."""
        nodes = self._forced.pop(record.name, frozenset())
        return replace(record, corridor=with_force(record.corridor, nodes, now)) if nodes else record

    def _resizer(self, node: str) -> SliceResizer:
        """Every OTN node is one."""
        try:
            return cast(SliceResizer, self._state.reconciler.device(node))
        except KeyError:
            raise DeviceUnreachable(node, "it is not in the inventory") from None

    async def _blocked(self, name: str, failure: DeviceError) -> Touched:
        """Roll a change back that cannot be built; later stages and first builds are tried again until they hold."""
        async with self._state.writer:
            before = self._state.records[name]
            snapshot = self._state.snapshot()
            corridor = with_condition(
                before.corridor, "Blocked", True, type(failure).__name__, str(failure), snapshot.now
            )
            record = self._confessed(replace(before, corridor=corridor), snapshot.now)
            if before.stage is Stage.BUILD and before.previous is not None:
                record = rolled_back(record, before.previous, failure, snapshot.now)
                # Only what the given-up change was about to alter: elsewhere it has nothing to wait for.
                return await self._state.commit(advance(snapshot, before, record), EventType.UPDATED)
            if record != before:
                await self._state.commit(advance(snapshot, before, record), EventType.UPDATED)
            return self._state.touching(name)


def next_record(record: Record) -> Record:
    """The record one stage on; settled, it is what its change led to."""
    record = slice_sizes.with_resize_state(record, slice_sizes.changing(record), ResizeState.MODIFIED_OK)
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
    back = Record(corridor, record.target, record.current, Stage.CLEAN, request=record.request)
    return slice_sizes.with_resize_state(back, slice_sizes.changing(record), ResizeState.MODIFY_FAILED)


def with_force(corridor: Corridor, nodes: frozenset[str], now: datetime) -> Corridor:
    message = f"slices were resized by force at {', '.join(sorted(nodes))}: possibly traffic-affecting"
    return with_condition(corridor, FORCED, True, "Resized", message, now)


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
    if old is None or (new is not None and _carriage(new) == _carriage(old)):
        return 0.0
    resized = new is not None and _adjacency(new) == _adjacency(old)
    return 2 * old.leg.latency_us / 1e6 + DRAIN_MARGIN_S + (0.0 if resized else _backlog_s(old, new or old))


def _carriage(placement: Placement) -> tuple[object, ...]:
    """What it runs on, and how much of that."""
    return placement.leg.links, *((part.id, part.active_slots, part.hops) for part in placement.leg.slices)


def _adjacency(placement: Placement) -> tuple[int, tuple[str, ...]]:
    """What a packet is encapsulated for: what waits in the shaper goes the same way while this stays."""
    return placement.slice.id if placement.slice else 0, placement.leg.links


def _backlog_s(*placements: Placement) -> float:
    slowest = min(kbps for each in placements for kbps in (each.forward_kbps, each.reverse_kbps))
    return max(SHAPER_QUEUE_S, SHAPER_QUEUE_BYTES * 8 / 1000 / slowest)
