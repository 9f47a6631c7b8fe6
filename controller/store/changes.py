"""Hearing of changes: at once by PostgreSQL's LISTEN, on SQLite by looking again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.core.errors import DatabaseUnavailable
from controller.store.outages import outages_told
from controller.store.schema import head
from controller.store.transactions import CHANNEL, Transactions

LOOK_S = 0.2
"""Between two looks where nothing tells."""
RELOOK_S = 2.0
"""Where something does, should it not."""


async def revision(connection: AsyncConnection) -> int:
    return int((await connection.execute(select(head.c.revision))).scalar_one())


async def changes(transactions: Transactions) -> AsyncIterator[int]:
    """The newest revision, first as it is and then whenever it is another; `DatabaseUnavailable` while it is away."""
    told = asyncio.Event()
    last: int | None = None
    async with _listening(transactions, told) as heard:
        while True:
            told.clear()
            found = await transactions.read(revision)
            if found != last:
                last = found
                yield found
                continue
            await _wait(told, RELOOK_S if heard is not None else LOOK_S)
            if heard is not None and heard.is_closed():
                raise DatabaseUnavailable("the database went away")


@asynccontextmanager
async def _listening(transactions: Transactions, told: asyncio.Event) -> AsyncIterator[Any]:
    """Set `told` at every commit, whoever's. None where the database cannot tell."""
    if transactions.engine.dialect.name == "sqlite":
        yield None
        return
    with outages_told():
        async with transactions.engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await raw.add_listener(CHANNEL, lambda *_: told.set())
            raw.add_termination_listener(lambda _: told.set())
            try:
                yield raw
            finally:
                await connection.invalidate()  # closed, rather than given back with its listener


async def _wait(told: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(told.wait(), seconds)
    except TimeoutError:
        return
