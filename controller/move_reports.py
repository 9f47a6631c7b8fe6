"""Reports of moves by what was measured: of the old path before the traffic left it, of the new one after."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from controller.background import background, stopped
from controller.core.hitless import measured_move
from controller.core.model import EventType
from controller.core.plan import advance
from controller.core.promises import Move
from controller.state import NetworkState

QUIET_S = 2.5
"""Headends tell a delay once a second: what is older than this when it is told may be of the old path."""
PATIENCE_S = 8.0
"""A path that nobody measured by then keeps the computed report."""
LOOK_AGAIN_S = 0.25


class MoveReports:
    """One task per corridor that was moved and is measured."""

    def __init__(self, state: NetworkState) -> None:
        self._state = state
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, name: str, move: Move, old_us: int) -> None:
        """A corridor was just steered to its new path. `old_us`: one way over the old one, as it was measured."""
        if (earlier := self._tasks.pop(name, None)) is not None:
            earlier.cancel()
        task = background(self._report(name, move, old_us), f"report of a move of {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._tasks.pop(name) if self._tasks.get(name) is done else None)

    async def close(self) -> None:
        await stopped(self._tasks.values())

    async def _report(self, name: str, move: Move, old_us: int) -> None:
        clock = asyncio.get_running_loop().time
        steered = clock()
        while clock() < steered + PATIENCE_S:
            newest = self._state.measured.newest(name)
            if newest is not None and clock() - newest.age_s > steered + QUIET_S:
                await self._store(name, move, old_us, newest.one_way_us)
                return
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _store(self, name: str, move: Move, old_us: int, new_us: int) -> None:
        async with self._state.writer:
            before = self._state.records.get(name)
            if before is None or before.corridor.last_move != move:
                return  # it was moved again
            told = measured_move(before.corridor, move, old_us, new_us)
            record = replace(before, corridor=replace(before.corridor, last_move=told, update_time=self._state.now()))
            await self._state.commit(advance(self._state.snapshot(), before, record), EventType.UPDATED)
