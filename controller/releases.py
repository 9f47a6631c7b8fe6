"""Wait for nodes that were set aside: when one has let go of what it may have held, its claims are released."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import replace

from controller.background import background, stopped
from controller.core import leftovers
from controller.core.errors import DeviceError
from controller.core.model import EventType
from controller.core.plan import advance
from controller.core.records import Leftover, Record
from controller.state import NetworkState

Waited = tuple[Leftover, str]
"""A node that is waited for, and for what."""


class Releases:
    """One task per corridor with leftovers, beside whatever else is done to the corridor."""

    def __init__(self, state: NetworkState, patience_s: float, retry_s: float) -> None:
        self._state = state
        self._patience_s = patience_s
        self._retry_s = retry_s
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def await_nodes(self, name: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = background(self._until_released(name), f"leftovers of {name}")
            self._tasks[name].add_done_callback(lambda _: self._tasks.pop(name))

    async def close(self) -> None:
        await stopped(self._tasks.values())

    async def _until_released(self, name: str) -> None:
        while (record := self._state.records.get(name)) is not None and record.leftovers:
            waited = [(each, node) for each in record.leftovers for node in each.nodes]
            works = [self._has_let_go(record, *each) for each in waited]
            found = await asyncio.gather(*works)
            gone = [each for each, done in zip(waited, found, strict=True) if done]
            if gone:
                await self._release(name, gone)
            else:
                await asyncio.sleep(self._retry_s)

    async def _has_let_go(self, record: Record, leftover: Leftover, node: str) -> bool:
        """Whether a node answers, and holds what is desired of it and no more."""
        snapshot = self._state.snapshot()
        keys: frozenset[Hashable] = leftovers.keys_at(snapshot.topology, snapshot.ids, record, leftover)[node]
        try:
            await self._state.reconciler.converge({node: keys}, self._patience_s)
        except DeviceError:
            return False
        return True

    async def _release(self, name: str, gone: list[Waited]) -> None:
        """A corridor that was taken away is gone with the last of them."""
        async with self._state.writer:
            before = self._state.records.get(name)
            if before is None:
                return
            record = leftovers.released(self._state.topology, before, gone)
            now = self._state.now()
            record = replace(record, corridor=replace(leftovers.told(record, now), update_time=now))
            kind = EventType.DELETED if record.gone else EventType.UPDATED
            await self._state.commit(advance(self._state.snapshot(), before, record), kind)
