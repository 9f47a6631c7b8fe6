"""The use cases that only read what is stored: a leader and its followers serve them alike."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from controller.core import names
from controller.core.enforcement import with_enforcement
from controller.core.errors import Invalid, NotFound
from controller.core.model import Corridor, CorridorEvent, EventType
from controller.core.topology import Topology

ALL_TENANTS = "tenants/-"
DEFAULT_PAGE = 50
MAX_PAGE = 1000


class Kept(Protocol):
    """What is kept of a corridor."""

    @property
    def corridor(self) -> Corridor: ...


class Books(Protocol):
    """Where a controller has its corridors from: its own state, or what another one stored."""

    @property
    def records(self) -> Mapping[str, Kept]: ...

    @property
    def topology(self) -> Topology: ...

    @property
    def sequence(self) -> int:
        """Of the newest event that `records` know of."""
        ...

    def now(self) -> datetime: ...

    def watch(self) -> asyncio.Queue[CorridorEvent]:
        """New events; who falls far behind loses the oldest, sees the gap in their sequence, and asks for `events`."""
        ...

    def unwatch(self, queue: asyncio.Queue[CorridorEvent]) -> None: ...

    async def events(self, after: int) -> tuple[CorridorEvent, ...]:
        """Stored events past a sequence, oldest first, in portions."""
        ...


class Reading:
    """Get, list and watch corridors. Errors are those of `core.errors`."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def get_corridor(self, name: str) -> Corridor:
        return self._shown(name)

    async def list_corridors(
        self, parent: str, page_size: int = 0, page_token: str = ""
    ) -> tuple[tuple[Corridor, ...], str]:
        """A page in order of name, and the token of the next (AIP-158); `tenants/-` lists all tenants."""
        if parent != ALL_TENANTS:
            names.tenant_of(parent)
        if page_size < 0:
            raise Invalid.field("page_size", "a page has no negative size")
        size = min(page_size or DEFAULT_PAGE, MAX_PAGE)
        start = _after(page_token)
        found = sorted(name for name in self._books.records if _within(parent, name) and name > start)
        token = base64.urlsafe_b64encode(found[size - 1].encode()).decode() if len(found) > size else ""
        return tuple(map(self._shown, found[:size])), token

    async def watch_corridors(self, parent: str, after_sequence: int = 0) -> AsyncIterator[CorridorEvent]:
        """The present state, or what happened past a sequence number, and then every change as it happens."""
        queue = self._books.watch()
        try:
            last = after_sequence or self._books.sequence
            for event in () if after_sequence else self._standing(parent, last):
                yield event
            async for event in self._following(queue, last):
                if _within(parent, event.corridor.name):
                    yield replace(event, corridor=self._told(event.corridor))
        finally:
            self._books.unwatch(queue)

    def _standing(self, parent: str, sequence: int) -> tuple[CorridorEvent, ...]:
        now, found = self._books.now(), (name for name in sorted(self._books.records) if _within(parent, name))
        return tuple(CorridorEvent(sequence, EventType.CREATED, self._shown(name), now) for name in found)

    async def _following(self, queue: asyncio.Queue[CorridorEvent], last: int) -> AsyncIterator[CorridorEvent]:
        """Every event past `last`: from the queue while it has each, from the store wherever it does not."""
        async for event in self._past(last):
            last = event.sequence
            yield event
        while True:
            newest = await queue.get()
            if newest.sequence == last + 1:
                last = newest.sequence
                yield newest
            elif newest.sequence > last:
                async for event in self._past(last):
                    last = event.sequence
                    yield event

    async def _past(self, last: int) -> AsyncIterator[CorridorEvent]:
        """All that the store has past `last`; it gives it in portions."""
        while portion := await self._books.events(last):
            last = portion[-1].sequence
            for event in portion:
                yield event

    def _shown(self, name: str) -> Corridor:
        kept = self._books.records.get(name)
        if kept is None:
            raise missing(name)
        return self._told(kept.corridor)

    def _told(self, corridor: Corridor) -> Corridor:
        """A corridor as callers see it: with what only the present topology tells."""
        return with_enforcement(corridor, self._books.topology)


def missing(name: str) -> NotFound:
    """No such corridor; raises `Invalid` where the name is none of a corridor."""
    names.tenant_of_corridor(name)
    return NotFound(f"no corridor {name!r}", metadata={"name": name})


def _within(parent: str, name: str) -> bool:
    return parent == ALL_TENANTS or name.startswith(f"{parent}/corridors/")


def _after(page_token: str) -> str:
    try:
        return base64.b64decode(page_token, altchars="-_", validate=True).decode()
    except ValueError:
        raise Invalid.field("page_token", "not a token that a list gave") from None
