"""Rows put in whether or not they are there, and taken out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ClauseElement, Table, bindparam, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


async def put(connection: AsyncConnection, table: Table, **values: Any) -> None:
    """One row, in place of the one with its key."""
    await put_all(connection, table, [values])


async def put_all(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of the same columns, each in place of the one with its key."""
    if not rows:
        return
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(table)
    keys = [column.name for column in table.primary_key]
    changed = {name: insert.excluded[name] for name in rows[0] if name not in keys}
    if any(isinstance(value, ClauseElement) for row in rows for value in row.values()):
        insert, rows = insert.values(rows), ()
    await connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changed), rows or None)


async def remove(
    connection: AsyncConnection, table: Table, columns: tuple[str, ...], keys: Iterable[tuple[object, ...]]
) -> None:
    """Rows by these columns."""
    rows = [{f"old_{name}": part for name, part in zip(columns, key, strict=True)} for key in keys]
    if rows:
        mine = [table.c[name] == bindparam(f"old_{name}") for name in columns]
        await connection.execute(delete(table).where(*mine), rows)
