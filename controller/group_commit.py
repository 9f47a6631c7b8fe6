"""Steps of many corridors, stored as one: whoever gets the writer takes along all that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass

from controller.core.model import EventType
from controller.core.records import Record

Touched = dict[str, frozenset[Hashable]]
"""Devices whose desired entries a change altered, with the keys of those entries."""
Make = Callable[[Record], tuple[Record, EventType]]
"""From a record as it stands to what it is to be."""


@dataclass(eq=False)
class Step:
    """A change of one record that was asked for, and what became of it."""

    name: str
    make: Make
    touched: Touched | None = None
    failure: Exception | None = None

    @property
    def done(self) -> bool:
        return self.touched is not None or self.failure is not None


class GroupCommit:
    """Under a lock, all steps that wait are taken in the order in which they were asked for."""

    def __init__(self, writer: asyncio.Lock, take: Callable[[Sequence[Step]], Awaitable[None]]) -> None:
        """`take` stores steps and says in each what became of it; what it raises is said in all."""
        self._writer = writer
        self._take = take
        self._waiting: list[Step] = []

    async def stored(self, name: str, make: Make) -> Touched:
        """The step once it is stored, with what it changes in devices. Raises what `make` raises, or the store.

        Whoever is cancelled while he waits has asked for nothing; those whom he took along ask for themselves.
        """
        mine = Step(name, make)
        self._waiting.append(mine)
        try:
            async with self._writer:
                if not mine.done:
                    await self._take_all(tuple(self._waiting))
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
        if mine.failure is not None:
            raise mine.failure
        assert mine.touched is not None
        return mine.touched

    async def _take_all(self, steps: tuple[Step, ...]) -> None:
        try:
            await self._take(steps)
        except Exception as failure:  # noqa: BLE001 - told to everybody whom it concerns
            for step in steps:
                step.failure = step.failure or failure
        self._waiting = [step for step in self._waiting if not step.done]
