"""Any database, read and written behind the controller's back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

Rows = dict[str, list[tuple[Any, ...]]]


def dump(database: str) -> Rows:
    """Every row of every table."""

    def read(connection: Connection) -> Rows:
        tables = inspect(connection).get_table_names()
        found = {table: connection.execute(text(f"SELECT * FROM {table}")) for table in tables}
        return {table: sorted(tuple(row) for row in rows) for table, rows in found.items()}

    return _with(database, read)


def execute(database: str, statement: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """One statement, committed; the rows it gives."""

    def run(connection: Connection) -> list[tuple[Any, ...]]:
        result = connection.execute(text(statement), values or {})
        return [tuple(row) for row in result] if result.returns_rows else []

    return _with(database, run)


def _with(database: str, work: Any) -> Any:
    """In a thread with a loop of its own: a test that calls it may be running in one."""
    driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    scheme, rest = database.split("://", 1)

    async def run() -> Any:
        engine = create_async_engine(f"{driver[scheme]}://{rest}", poolclass=NullPool)
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()
