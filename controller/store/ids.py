"""Ids that devices see, unique in their scope, and those that rest."""

from __future__ import annotations

from datetime import UTC

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.core.ids import IdKey, Ids
from controller.store.rows import put_all, remove
from controller.store.schema import ids, resting


async def stored_ids(connection: AsyncConnection) -> Ids:
    assigned = await connection.execute(select(ids.c.kind, ids.c.place, ids.c.owner, ids.c.value))
    freed = await connection.execute(select(resting.c.kind, resting.c.place, resting.c.value, resting.c.freed_at))
    return Ids(
        {IdKey(kind, place, owner): value for kind, place, owner, value in assigned},
        {(kind, place, value): at.replace(tzinfo=UTC) for kind, place, value, at in freed},
    )


async def write_ids(connection: AsyncConnection, before: Ids, after: Ids) -> None:
    """What differs: freed first, so that a value may pass from one to another."""
    if after is before:
        return
    gone = set(before.assigned) - set(after.assigned)
    await remove(connection, ids, ("kind", "place", "owner"), gone)
    new = [
        {"kind": key.kind, "place": key.where, "owner": key.owner, "value": value}
        for key, value in after.assigned.items()
        if key not in before.assigned
    ]
    if new:
        await connection.execute(insert(ids), new)
    await _write_resting(connection, before, after)


async def _write_resting(connection: AsyncConnection, before: Ids, after: Ids) -> None:
    gone = set(before.resting) - set(after.resting)
    await remove(connection, resting, ("kind", "place", "value"), gone)
    rows = [
        {"kind": kind, "place": place, "value": value, "freed_at": freed.astimezone(UTC).replace(tzinfo=None)}
        for (kind, place, value), freed in after.resting.items()
        if before.resting.get((kind, place, value)) != freed
    ]
    await put_all(connection, resting, rows)
