"""Keep a node or link free for maintenance: nothing new is placed on it, and what can is moved off, hitless."""

from __future__ import annotations

import asyncio
import logging

from controller.core.conditions import ConditionType
from controller.core.draining import ending_at, foreseen, moved_off, on_it
from controller.core.errors import NotFound, Refused
from controller.core.hitless import Occasion
from controller.core.maintenance import Draining, Staying, stood_on
from controller.core.model import EventType, Stage, Status
from controller.core.records import Record
from controller.progress import Progress
from controller.state import NetworkState

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Corridors that are moved at the same time."""
CHANGE_UNDER_WAY, NOT_MOVED = "CHANGE_UNDER_WAY", "NOT_MOVED"
"""Reasons of who stays."""


class Maintenance:
    """One drain at a time; drained is what was told so until it is told otherwise, whoever runs the controller."""

    def __init__(self, state: NetworkState, progress: Progress) -> None:
        self._state = state
        self._progress = progress
        self._draining = asyncio.Lock()

    async def drain(self, name: str, *, validate_only: bool) -> Draining:
        """Answers when every corridor on it was moved, or has to stay. Called again, it tries again."""
        name = self._known(name)
        if validate_only:
            return foreseen(self._state.snapshot(), name)
        async with self._draining:
            async with self._state.writer:  # what was planned before is stored by now, and is seen below
                if not self._drained(name):
                    await self._state.drain(name, True)
            moved, refused = await self._clear(name)
            return Draining(name, self._drained(name), tuple(moved), self._staying(name, refused))

    async def undrain(self, name: str) -> Draining:
        """At once, even while it is being drained: that ends with what was moved so far."""
        name = self._known(name)
        async with self._state.writer:
            if self._drained(name):
                await self._state.drain(name, False)
        return Draining(name)

    def _known(self, name: str) -> str:
        topology = self._state.topology
        name = name.replace("domains/-/", f"domains/{topology.domain}/", 1)
        thing = topology.nodes.get(name) or topology.links.get(name)
        if thing is None or thing.status is Status.UNPLANNED:
            raise NotFound(f"no node or link {name!r}", metadata={"name": name})
        return name

    def _drained(self, name: str) -> bool:
        return name in self._state.topology.drained

    def _on_it(self, name: str) -> tuple[Record, ...]:
        return on_it(self._state.topology, self._state.records.values(), name)

    async def _clear(self, name: str) -> tuple[list[str], dict[str, Staying]]:
        """Round after round, while somebody leaves: whoever did has made room for others."""
        moved: list[str] = []
        refused: dict[str, Staying] = {}
        while self._drained(name):
            todo = [r.name for r in self._on_it(name) if ending_at(self._state.topology, r, name) is None]
            turn = asyncio.Semaphore(AT_ONCE)
            outcomes = await asyncio.gather(*(self._in_turn(turn, corridor, name) for corridor in todo))
            refused = {each.corridor: each for each in outcomes if isinstance(each, Staying)}
            went = [corridor for corridor, outcome in zip(todo, outcomes, strict=True) if outcome is True]
            moved += went
            if not went:
                break
        return moved, refused

    async def _in_turn(self, turn: asyncio.Semaphore, corridor: str, name: str) -> Staying | bool:
        async with turn:
            try:
                return await self._move(corridor, name)
            except Refused as refusal:
                log.info("%s stays on %s: %s", corridor, name, refusal)
                return Staying(corridor, refusal.reason, refusal.message)

    async def _move(self, corridor: str, name: str) -> Staying | bool:
        """Make-before-break; True where this moved it, False where there was nothing to move."""
        async with self._progress.undisturbed(corridor):
            record = self._state.records.get(corridor)
            if record is None or not self._stands_on(record, name) or not self._drained(name):
                return False
            await self._progress.begin(moved_off(self._state.snapshot(), record), EventType.UPDATED, Occasion.DRAINED)
        await self._progress.settled(corridor, stages=len(Stage))
        record = self._state.records.get(corridor)
        if record is None or not self._stands_on(record, name):
            return True
        told = [each.message for each in record.corridor.conditions if each.type == ConditionType.ROLLED_BACK]
        return Staying(corridor, NOT_MOVED, "; ".join(["it was moved back", *told]))

    def _stands_on(self, record: Record, name: str) -> bool:
        return record.target is not None and name in stood_on(self._state.topology, record.target)

    def _staying(self, name: str, refused: dict[str, Staying]) -> tuple[Staying, ...]:
        """All that stand on it now, and why."""
        under_way = "a change of it is under way"
        return tuple(
            ending_at(self._state.topology, record, name)
            or refused.get(record.name, Staying(record.name, CHANGE_UNDER_WAY, under_way))
            for record in self._on_it(name)
        )
