"""Whether OTN nodes still have settled slices at the size that was committed; where they do not, they are forced.

It listens to what the reconciler reads back anyway: on connect of a switch or return of a line card, and periodically.
A change under way is none of its business: that knows itself which sizes there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Mapping
from dataclasses import replace

from controller.background import background, stopped
from controller.core import slice_sizes
from controller.core.entries import Entry, SlotAssignment
from controller.core.errors import DeviceError
from controller.core.model import EventType, Stage
from controller.core.plan import advance
from controller.core.records import Record
from controller.core.slice_sizes import Resize
from controller.progress import Progress, with_force
from controller.state import NetworkState

log = logging.getLogger(__name__)


class SizeAudit:
    """To be made before any device is connected."""

    def __init__(self, state: NetworkState, progress: Progress) -> None:
        self._state = state
        self._resizing = progress.resizing
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """By corridor."""
        state.reconciler.when_read = self._read

    async def close(self) -> None:
        await stopped(self._tasks.values())

    def _read(self, device: str, entries: Mapping[Hashable, Entry]) -> None:
        # A size of 0 is that of two directions that differ: no settled slice has it.
        found = {entry.slice_id: entry.active for entry in entries.values() if isinstance(entry, SlotAssignment)}
        for record in self._state.records.values() if found else ():
            sizes = slice_sizes.sizes(record) if record.stage is Stage.SETTLED else {}
            if any(found.get(number, count) != count for number, count in sizes.items()):
                log.warning("%s: %s has another size of its slices", record.name, device)
                self._start(record)

    def _start(self, record: Record) -> None:
        name = record.name
        if name not in self._tasks:
            self._tasks[name] = background(self._look(record), f"sizes of {name}")
            self._tasks[name].add_done_callback(lambda _: self._tasks.pop(name))

    async def _look(self, record: Record) -> None:
        """Ask the nodes themselves: what was read may be older than the last change."""
        try:
            pairs = [
                (resize, node)
                for resize in slice_sizes.resizes(self._state.topology, record, slice_sizes.sizes(record))
                for node in await self._resizing.differing(resize)
            ]
            if pairs:
                await self._force(record, pairs)
        except DeviceError as failure:
            log.warning("%s: sizes of its slices are in doubt: %s", record.name, failure)

    async def _force(self, record: Record, pairs: list[tuple[Resize, str]]) -> None:
        """Under the writer, so that no change begins meanwhile."""
        async with self._state.writer:
            if self._state.records.get(record.name) is not record:
                return
            await self._resizing.force(pairs)
            nodes = frozenset(node for _, node in pairs)
            after = replace(record, corridor=with_force(record.corridor, nodes, self._state.now()))
            await self._state.commit(advance(self._state.snapshot(), record, after), EventType.UPDATED)
