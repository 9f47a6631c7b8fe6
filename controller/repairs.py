"""Say of a corridor that somebody else changed entries of it in a device, and that they were put right."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from dataclasses import replace

from controller.background import background, stopped
from controller.core.conditions import ConditionType, with_condition
from controller.core.errors import Refused
from controller.core.model import EventType
from controller.core.names import short
from controller.core.plan import advance
from controller.state import NetworkState

log = logging.getLogger(__name__)


class Repairs:
    """Hears of each repair. Who was told of the same before is not told again: the drift of devices counts them."""

    def __init__(self, state: NetworkState) -> None:
        self._state = state
        self._untold: dict[str, str] = {}
        """By corridor, the device."""
        self._task: asyncio.Task[None] | None = None
        state.reconciler.when_repaired = self._repaired

    async def close(self) -> None:
        await stopped([self._task] if self._task else [])

    def _repaired(self, device: str, keys: frozenset[Hashable]) -> None:
        self._untold |= dict.fromkeys(self._state.owners(device, keys), device)
        if self._untold and (self._task is None or self._task.done()):
            self._task = background(self._tell(), "repairs")

    async def _tell(self) -> None:
        while self._untold:
            name, device = self._untold.popitem()
            try:
                await self._say(name, device)
            except Refused as refusal:
                log.warning("%s: a repair at %s is not told: %s", name, device, refusal)

    async def _say(self, name: str, device: str) -> None:
        async with self._state.writer:
            record = self._state.records.get(name)
            if record is None:
                return
            text = f"entries at {short(device)} were changed or removed by somebody else; they are put right"
            now = self._state.now()
            corridor = with_condition(record.corridor, ConditionType.REPAIRED, True, "DRIFT", text, now)
            if corridor != record.corridor:
                after = replace(record, corridor=replace(corridor, update_time=now))
                await self._state.commit(advance(self._state.snapshot(), record, after), EventType.UPDATED)
