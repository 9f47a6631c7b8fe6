"""When the network changes under a corridor: find a new path, or say that there is none and try again later."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from controller.background import background, stopped
from controller.core.conditions import with_condition, without_condition
from controller.core.errors import Conflict, Infeasible, Refused
from controller.core.lifecycle import Happening, after
from controller.core.model import Corridor, EventType, Link, LinkKind, Protection, Stage, State, Status
from controller.core.plan import advance, plan
from controller.core.records import Record
from controller.core.topology import Event, LinkChanged
from controller.progress import Progress
from controller.state import NetworkState

log = logging.getLogger(__name__)


class Restoration:
    """Hears of every change of the topology; acts on the corridors concerned, the highest priority first."""

    def __init__(self, state: NetworkState, progress: Progress) -> None:
        self._state = state
        self._progress = progress
        self._tasks: set[asyncio.Task[None]] = set()

    async def observe(self, *events: Event) -> None:
        """Take observations over as one, then look after the corridors that they concern."""
        before = self._state.topology
        for event in events:
            await self._state.observe(event)
        links = [self._state.topology.links[e.link] for e in events if isinstance(e, LinkChanged)]
        changed = [link for link in links if link.status is not before.links[link.name].status]
        for fibre in tuple(changed):
            changed += await self._trails_follow(fibre)
        if any(link.status in (Status.DOWN, Status.UP) for link in changed):
            self._start(changed)

    async def _trails_follow(self, fibre: Link) -> list[Link]:
        """An IP adjacency is down the moment a fibre of its trail is; it is up again when its own probes say so."""
        if fibre.kind is not LinkKind.FIBRE or fibre.status is not Status.DOWN:
            return []
        hit = [
            link
            for link in self._state.topology.of_kind(LinkKind.ADJACENCY)
            if fibre.name in link.trail and link.status is Status.UP
        ]
        for link in hit:
            await self._state.observe(LinkChanged(link.name, Status.DOWN))
        return [self._state.topology.links[link.name] for link in hit]

    def _start(self, changed: list[Link]) -> None:
        down = {link.name for link in changed if link.status is Status.DOWN}
        back = any(link.status is Status.UP for link in changed)
        concerned = [
            record
            for record in self._state.records.values()
            if record.target is not None
            and (down & set(record.target.leg.links) or (back and record.corridor.state is State.DOWN))
        ]
        concerned.sort(key=lambda record: (-record.corridor.priority, record.name))
        task = background(self._restore_all([record.name for record in concerned]), "restoration")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _restore_all(self, names: list[str]) -> None:
        await asyncio.gather(*(self._restore(name) for name in names))

    async def _restore(self, name: str) -> None:
        try:
            await self._progress.settled(name)
        except Conflict as busy:
            log.warning("%s", busy)
            return
        async with self._state.writer:
            record = self._state.records.get(name)
            if record is None or record.target is None or record.stage is not Stage.SETTLED:
                return
            if self._stands(record):
                await self._path_back(record)
            else:
                await self._move(record)

    def _stands(self, record: Record) -> bool:
        assert record.target is not None
        return all(self._state.topology.links[name].status is Status.UP for name in record.target.leg.links)

    async def _path_back(self, record: Record) -> None:
        if record.corridor.state is State.DOWN:
            corridor = without_condition(record.corridor, "PathLost")
            await self._note(record, replace(corridor, state=after(corridor.state, Happening.PATH_BACK)))

    async def _move(self, record: Record) -> None:
        """Plan anew under the same promise; the old path stays claimed until the traffic has left it."""
        assert record.target is not None
        links = self._state.topology.links
        reason = f"{', '.join(n for n in record.target.leg.links if links[n].status is not Status.UP)} is down"
        corridor = replace(record.corridor, state=after(record.corridor.state, Happening.PATH_LOST))
        now = self._state.now()
        if corridor.protection is Protection.UNPROTECTED:
            await self._note(record, with_condition(corridor, "PathLost", True, "UNPROTECTED", reason, now))
            return
        corridor = with_condition(corridor, "PathLost", True, "RESTORING", reason, now)
        try:
            change = plan(self._state.snapshot(), corridor)
        except Refused as refusal:
            why = refusal.reason if isinstance(refusal, Infeasible) else "REFUSED"
            await self._note(record, with_condition(corridor, "PathLost", True, why, f"{reason}; {refusal}", now))
            return
        touched = await self._state.commit(change, EventType.UPDATED)
        self._progress.drive(record.name, touched)

    async def _note(self, record: Record, corridor: Corridor) -> None:
        """Only what is said of the corridor changes."""
        if corridor == record.corridor:
            return
        corridor = replace(corridor, update_time=self._state.now())
        change = advance(self._state.snapshot(), record, replace(record, corridor=corridor))
        await self._state.commit(change, EventType.UPDATED)

    async def close(self) -> None:
        await stopped(self._tasks)
