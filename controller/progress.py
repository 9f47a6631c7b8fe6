"""Carry a change through its stages: BUILD, STEER, CLEAN; each is stored before the devices hear of it.

What grows does so before it is used, what shrinks after: slices are resized in band between reservation and shaper.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from types import MappingProxyType
from typing import cast

from controller.background import background, stopped, to_the_end
from controller.core import leftovers, slice_sizes
from controller.core.conditions import ConditionType, with_condition, without_condition
from controller.core.errors import Conflict, DeviceError, DeviceUnreachable
from controller.core.hitless import Occasion, require_consent, with_move
from controller.core.model import Corridor, EventType, ResizeState, Stage
from controller.core.plan import Plan, advance
from controller.core.records import Placement, Record, paths_of
from controller.core.stages import abandoned, is_hopeless, next_record, rolled_back
from controller.drivers.device import SliceResizer
from controller.move_reports import MoveReports
from controller.releases import Releases
from controller.resizing import HANDSHAKE_S, Overruled, Resizing
from controller.state import NetworkState, Touched

log = logging.getLogger(__name__)

STAGE_TIMEOUT_S = 10.0
"""A stage that a device blocks for longer is rolled back (or, with nothing to go back to, tried again)."""
RETRY_S, LAST_RETRY_S = 1.0, 8.0
"""Between two tries of a stage that has nothing to go back to: at first, and at most."""
DRAIN_MARGIN_S = 0.02
"""Beside twice the one-way latency."""
SHAPER_QUEUE_S, SHAPER_QUEUE_BYTES = 0.05, 1 << 16
"""What an ingress shaper may still hold, the larger of both; it was encapsulated for the old path."""
FORCE_AFTER = 3
"""Tries of a resize that has nothing to go back to, before nodes are forced."""


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
    old_us: int | None = None
    """One way over the path that is left, as it was measured before the traffic left it."""
    silent: frozenset[str] = frozenset()
    """Of CLEAN: nodes that have not let go; their answer is no longer waited for."""


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
        self._closed = False
        self._withdrawn: set[str] = set()
        """Corridors that somebody waits to take away."""
        self._resized: set[str] = set()
        """Corridors whose change under way has begun to resize slices."""
        self._releases = Releases(state, stage_timeout_s, self._retry_s)
        self._reports = MoveReports(state)

    def resume(self) -> None:
        """After a restart: every stored change goes on where it was."""
        for record in self._state.records.values():
            if record.leftovers:
                self._releases.await_nodes(record.name)
            if record.stage is not Stage.SETTLED:
                self.drive(record.name, self._state.touching(record.name), doubtful=True)

    async def begin(self, change: Plan, kind: EventType, occasion: Occasion = Occasion.RESTORED) -> None:
        """Under the writer: store a change and drive it. Both or neither, even if the caller is cancelled meanwhile.

        `FailedPrecondition` (NEEDS_INTERRUPTION) where it loses packets, or their order, against the owner's will.
        """
        topology, now = self._state.topology, self._state.now()
        require_consent(topology, change, occasion)
        await to_the_end(self._begin([(with_move(topology, change, occasion, now), kind)]))

    async def begin_all(self, changes: Sequence[Plan]) -> None:
        """As `begin` of restorations, each planned on the one before; of what is settled something is said."""
        topology, now = self._state.topology, self._state.now()
        moves = [with_move(topology, change, Occasion.RESTORED, now) for change in changes]
        await to_the_end(self._begin([(change, EventType.UPDATED) for change in moves]))

    async def _begin(self, changes: Sequence[tuple[Plan, EventType]]) -> None:
        touched = await self._state.commit_all(changes)
        for (change, _), each in zip(changes, touched, strict=True):
            if change.record.stage is not Stage.SETTLED:
                self.drive(change.record.name, each)

    def drive(self, name: str, touched: Touched, *, doubtful: bool = False) -> None:
        """Take a change to its end in the background; `doubtful` where it was not committed just now."""
        if self._closed:
            return  # what is stored is resumed by the next controller
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

    def under_way(self, name: str) -> bool:
        """Whether a change of a corridor is."""
        task = self._tasks.get(name)
        return task is not None and not task.done()

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
        self._closed = True
        await self._releases.close()
        await self._reports.close()
        await stopped(self._tasks.values())

    async def _drive(self, name: str, attempt: _Attempt) -> None:
        while (record := self._state.records.get(name)) is not None and record.stage is not Stage.SETTLED:
            try:
                for step in STEPS[record.stage]:
                    attempt = await self._take(step, record, attempt)
            except DeviceError as failure:
                log.warning("%s: %s is blocked: %s", name, record.stage, failure)
                touched = await self._blocked(name, failure)
                if name in self._withdrawn and self._state.records[name].unborn:
                    return
                again = self._state.records[name].stage is record.stage
                doubtful = attempt.doubtful or name in self._resized
                attempt = _Attempt(touched, doubtful, attempt.failures + 1 if again else 0, attempt.old_us)
                if again:
                    await asyncio.sleep(self._pause_s(attempt.failures))
                continue
            if record.stage is Stage.STEER:
                self._report(record, attempt.old_us)
            old_us = self._state.measured.measured_us(name)
            attempt = _Attempt(await self._next(name, attempt.silent), old_us=old_us)
        self._resized.discard(name)

    def _report(self, record: Record, old_us: int | None) -> None:
        """Of a change of path that was just made, where the old path was measured."""
        move = record.corridor.last_move
        if move is not None and old_us is not None and record.previous and record.previous.last_move != move:
            self._reports.begin(record.name, move, old_us)

    def _pause_s(self, failures: int) -> float:
        """Longer from try to try: a node that comes back is heard of within one."""
        return float(min(self._retry_s * 2 ** min(failures - 1, 10), LAST_RETRY_S, self._stage_timeout_s))

    async def _take(self, step: Step, record: Record, attempt: _Attempt) -> _Attempt:
        match step:
            case Step.CONVERGE if record.stage is Stage.CLEAN:
                return replace(attempt, silent=await self._silent(record, attempt.touched))
            case Step.CONVERGE:
                await self._state.reconciler.converge(attempt.touched, self._stage_timeout_s)
            case Step.DRAIN:
                await asyncio.sleep(drain_s(record, attempt.old_us))
            case Step.RESIZE:
                await self._resize(record, attempt)
        return attempt

    async def _silent(self, record: Record, touched: Touched) -> frozenset[str]:
        """Once all nodes that answer have let go: those that do not. Raises `DeviceRejected` where one refuses to, and
        `DeviceUnreachable` where what comes next needs a silent one."""
        converge, within_s = self._state.reconciler.converge, self._stage_timeout_s
        works = (converge({node: keys}, within_s) for node, keys in touched.items())
        results = await asyncio.gather(*works, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, DeviceUnreachable):
                raise result
        silent = frozenset(node for node, result in zip(touched, results, strict=True) if result is not None)
        needed = leftovers.holders(self._state.topology, record.then) if record.then else set()
        if silent & needed:
            raise DeviceUnreachable(min(silent & needed), "it may still hold the slots that the new path needs")
        return silent

    async def _resize(self, record: Record, attempt: _Attempt) -> None:
        """In band; a growth that is refused is rolled back, anything else has to succeed in the end."""
        numbers = slice_sizes.in_doubt(record) if attempt.doubtful else slice_sizes.changing(record)
        resizes = slice_sizes.resizes(self._state.topology, record, numbers)
        if not resizes:
            return
        self._resized.add(record.name)
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
                after = replace(after, corridor=without_condition(after.corridor, ConditionType.FORCED_CONSISTENCY))
                await self._state.commit(advance(self._state.snapshot(), before, after), EventType.UPDATED)

    async def _next(self, name: str, silent: frozenset[str] = frozenset()) -> Touched:
        """One stage on. `silent`: nodes that may still hold what CLEAN takes away."""

        def staged(before: Record) -> tuple[Record, EventType]:
            now = self._state.now()
            record = self._confessed(next_record(self._state.topology, before, now), now)
            if before.stage is Stage.CLEAN:
                record = leftovers.settled(self._state.topology, record, before.current, silent)
            return _dated(record, now)

        touched = await self._state.step(name, staged)
        if name in self._state.records and self._state.records[name].leftovers:
            self._releases.await_nodes(name)
        return touched

    async def _stored(self, before: Record, record: Record, now: datetime) -> Touched:
        """Under the writer."""
        record, kind = _dated(record, now)
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
            reason = type(failure).__name__
            corridor = with_condition(before.corridor, ConditionType.BLOCKED, True, reason, str(failure), snapshot.now)
            record = self._confessed(replace(before, corridor=corridor), snapshot.now)
            if before.stage is Stage.BUILD and before.previous is not None:
                record = rolled_back(record, before.previous, failure, snapshot.now)
                # Only what the given-up change was about to alter: elsewhere it has nothing to wait for.
                return await self._state.commit(advance(snapshot, before, record), EventType.UPDATED)
            if isinstance(failure, DeviceUnreachable) and is_hopeless(snapshot.topology, before):
                return await self._abandoned(before, record)
            if record != before:
                await self._state.commit(advance(snapshot, before, record), EventType.UPDATED)
            return self._state.touching(name)

    async def _abandoned(self, before: Record, record: Record) -> Touched:
        """Under the writer. Settled, as there is nothing to wait for; what it leaves goes where nodes answer."""
        after = abandoned(self._state.topology, record, self._state.now())
        after = leftovers.settled(self._state.topology, after, before.current, self._state.topology.nodes)
        touched = await self._stored(before, after, self._state.now())
        self._releases.await_nodes(record.name)
        if before.current is None:
            self._state.when_released()  # its path may have died before it was its own: nobody looks after it yet
        return touched


def _dated(record: Record, now: datetime) -> tuple[Record, EventType]:
    """As it is stored, and what that is for those who watch."""
    record = replace(record, corridor=replace(leftovers.told(record, now), update_time=now))
    return record, EventType.DELETED if record.gone else EventType.UPDATED


def with_force(corridor: Corridor, nodes: frozenset[str], now: datetime) -> Corridor:
    message = f"slices were resized by force at {', '.join(sorted(nodes))}: possibly traffic-affecting"
    return with_condition(corridor, ConditionType.FORCED_CONSISTENCY, True, "Resized", message, now)


def drain_s(record: Record, measured_us: int | None = None) -> float:
    """How long packets on the old path may still be under way: nothing is taken from under them.

    `measured_us`: one way over the old path; None where nobody measured it lately, and the computed delay counts.
    """
    old, new = record.current, record.target
    if old is None or (new is not None and _carriage(new) == _carriage(old)):
        return 0.0
    resized = new is not None and _adjacency(new) == _adjacency(old)
    delay_us = old.leg.latency_us if measured_us is None else measured_us
    return 2 * delay_us / 1e6 + DRAIN_MARGIN_S + (0.0 if resized else _backlog_s(old, new or old))


def _carriage(placement: Placement) -> tuple[object, ...]:
    """What it runs on, and how much of that."""
    return paths_of(placement.leg), *((part.id, part.active_slots, part.hops) for part in placement.leg.slices)


def _adjacency(placement: Placement) -> tuple[object, ...]:
    """What a packet is encapsulated for: what waits in the shaper goes the same way while this stays."""
    return placement.slice.id if placement.slice else 0, paths_of(placement.leg)


def _backlog_s(*placements: Placement) -> float:
    slowest = min(kbps for each in placements for kbps in (each.forward_kbps, each.reverse_kbps))
    return max(SHAPER_QUEUE_S, SHAPER_QUEUE_BYTES * 8 / 1000 / slowest)
