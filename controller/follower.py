"""What a controller that does not lead knows: what the leader stored, told again as soon as it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from controller.audience import Audience
from controller.background import background, stopped
from controller.core.errors import OutOfRange, Unavailable
from controller.core.model import Capabilities, Corridor, CorridorEvent, EventType
from controller.core.topology import NodeChanged, Topology
from controller.leadership import RETRY_AFTER_S
from controller.store import Store

log = logging.getLogger(__name__)

RETRY_S = 0.5
"""After the database did not answer."""


@dataclass(frozen=True, slots=True)
class Known:
    """A corridor as it was last stored."""

    corridor: Corridor


class Replica:
    """`reading.Books` out of the database alone. Nothing of it writes."""

    def __init__(self, store: Store, planned: Topology) -> None:
        self._store = store
        self._topology = planned
        self._records: dict[str, Known] = {}
        self._audience = Audience()
        self._task: asyncio.Task[None] | None = None
        self._sequence = 0
        self.loaded = False
        """Whether there is anything to read yet."""

    # Before anything is read these three refuse: no corridor, and no event, is missing yet.

    @property
    def records(self) -> Mapping[str, Known]:
        self._require_loaded()
        return self._records

    @property
    def sequence(self) -> int:
        self._require_loaded()
        return self._sequence

    @property
    def topology(self) -> Topology:
        """As planned, with what the leader stored of its nodes' capabilities: all that corridors are told by."""
        return self._topology

    @property
    def watched(self) -> bool:
        return bool(self._audience)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def watch(self) -> asyncio.Queue[CorridorEvent]:
        self._require_loaded()
        return self._audience.join()

    def unwatch(self, queue: asyncio.Queue[CorridorEvent]) -> None:
        self._audience.leave(queue)

    async def events(self, after: int) -> tuple[CorridorEvent, ...]:
        return await self._store.events(after)

    def start(self) -> None:
        self._task = background(self._follow(), "replica: follow")

    async def close(self) -> None:
        if self._task is not None:
            await stopped((self._task,))

    def _require_loaded(self) -> None:
        if not self.loaded:
            why = f"nothing is read from the database yet; try again in {RETRY_AFTER_S} s"
            raise Unavailable(why, reason="NOT_READY", metadata={"retryAfterS": str(RETRY_AFTER_S)})

    async def _follow(self) -> None:
        while True:
            try:
                async for _ in self._store.changes():
                    await (self._catch_up() if self.loaded else self._load())
            except (Unavailable, OSError) as silent:
                log.warning("what the leader stores is not to be read: %s", silent)
                await asyncio.sleep(RETRY_S)

    async def _load(self) -> None:
        """All of it; events that are stored meanwhile are taken over once more, which does no harm."""
        sequence = await self._store.newest_sequence()
        stored = await self._store.load()
        self._equip(stored.capabilities)
        self._records = {name: Known(record.corridor) for name, record in stored.records.items()}
        self._sequence, self.loaded = sequence, True

    async def _catch_up(self) -> None:
        """Events tell of corridors; what nodes can do is read with them."""
        self._equip(await self._store.capabilities())
        try:
            while portion := await self._store.events(self._sequence):
                for event in portion:
                    self._take(event)
        except OutOfRange:  # this controller was away for longer than events are kept
            await self._load()

    def _equip(self, capabilities: Mapping[str, Capabilities]) -> None:
        for name, able in capabilities.items():
            node = self._topology.nodes.get(name)
            if node is not None and node.capabilities != able:
                self._topology = self._topology.apply(NodeChanged(name, node.status, able))

    def _take(self, event: CorridorEvent) -> None:
        if event.type is EventType.DELETED:
            self._records.pop(event.corridor.name, None)
        else:
            self._records[event.corridor.name] = Known(event.corridor)
        self._sequence = event.sequence
        self._audience.tell(event)
