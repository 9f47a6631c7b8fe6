"""A transaction that is cancelled, wherever it waits at that moment, keeps nobody else from writing."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from controller.core.ids import Ids
from controller.core.model import Corridor, EventType, Stage
from controller.core.otn import Ledger
from controller.core.plan import Plan
from controller.core.records import Record
from controller.store import Store

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AT_ONCE_S = 4.0
"""SQLite waits 5 s for the write lock before it tells that it is held."""
MOST_WAITS = 60


@pytest.fixture
async def stores(either_database: str) -> AsyncIterator[list[Store]]:
    opened = [await Store.open(either_database) for _ in range(2)]
    yield opened
    for each in opened:
        await each.close()


async def commit(store: Store, number: int) -> None:
    record = Record(Corridor(name=f"tenants/t/corridors/c{number}"), None, None, Stage.SETTLED)
    await store.commit(Plan(None, record, Ledger(), Ids()), Ledger(), Ids(), EventType.CREATED, NOW)


async def win(store: Store, number: int) -> None:
    await store.acquire_lease("a", "g", "r", 600.0)


async def start(store: Store, number: int) -> None:
    await store.open_ledger(Ledger())


@types.coroutine
def cancelled_at(wait: int, work: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
    """As much of it as comes before that wait, which the task that runs it is cancelled in; 1 is the first."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    thrown: asyncio.CancelledError | None = None
    for number in count(1):
        try:
            awaited = work.throw(thrown) if thrown else work.send(None)
        except StopIteration:
            return
        if number == wait:
            loop.call_soon(task.cancel)
        thrown = None
        try:
            yield awaited
        except asyncio.CancelledError as error:
            thrown = error


@pytest.mark.parametrize("work", [commit, win, start])
async def test_another_writes_at_once(stores: list[Store], work: Callable[[Store, int], Awaitable[None]]) -> None:
    store, other = stores
    kept: list[asyncio.Task[None]] = []
    """Whoever cancels may hold on to what he cancelled."""
    for wait in range(1, MOST_WAITS):
        task = asyncio.ensure_future(_run(wait, work(store, wait)))
        await asyncio.wait([task])
        kept.append(task)
        async with asyncio.timeout(AT_ONCE_S):
            await other.put_drained("F", bool(wait % 2))
        if not task.cancelled():
            break
    assert 10 < len(kept) < MOST_WAITS - 1, "every wait was tried"
    await task
    await work(store, MOST_WAITS)


async def _run(wait: int, work: Any) -> None:
    await cancelled_at(wait, work)
