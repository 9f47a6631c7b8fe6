"""Those who watch events as they come: each has a queue of its own, and nobody waits for the slow."""

from __future__ import annotations

import asyncio

from controller.core.model import CorridorEvent

BACKLOG = 256
"""Events kept in memory for each watcher."""


class Audience:
    """Who falls far behind loses the oldest, sees the gap in their sequence, and asks the store."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[CorridorEvent]] = set()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def join(self) -> asyncio.Queue[CorridorEvent]:
        queue: asyncio.Queue[CorridorEvent] = asyncio.Queue(BACKLOG)
        self._queues.add(queue)
        return queue

    def leave(self, queue: asyncio.Queue[CorridorEvent]) -> None:
        self._queues.discard(queue)

    def tell(self, event: CorridorEvent) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()  # the store has it still
            queue.put_nowait(event)
