"""Events: appended, numbered in the order of their commits without a gap, and kept for a while.

A number comes from the row of `head`, which the change holds until it has committed: nobody reads event n + 1 before
he could have read event n.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from pydantic import TypeAdapter
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.core.errors import OutOfRange
from controller.core.model import Corridor, CorridorEvent, EventType
from controller.store.schema import events, head

KEEP_EVENTS = 100_000
"""Some hundred megabytes at most."""
PRUNED_AT_ONCE = 16
"""With each that comes: after a lower limit the old ones go in steps that nobody waits for."""

_codec: TypeAdapter[Corridor] = TypeAdapter(Corridor)


async def append(connection: AsyncConnection, happened: Sequence[CorridorEvent]) -> None:
    rows = [
        {
            "type": each.type.value,
            "body": _codec.dump_json(each.corridor).decode(),
            "sequence": each.sequence,
            "event_time": each.event_time.astimezone(UTC).replace(tzinfo=None),
        }
        for each in happened
    ]
    await connection.execute(insert(events), rows)


async def prune(connection: AsyncConnection, newest: int, keep: int, come: int = 1) -> None:
    """Forget the oldest of more than so many, a few for each that comes."""
    oldest = select(func.min(events.c.sequence)).scalar_subquery()
    gone = (events.c.sequence <= newest - keep) & (events.c.sequence < oldest + come * PRUNED_AT_ONCE)
    await connection.execute(delete(events).where(gone))


async def newest_sequence(connection: AsyncConnection) -> int:
    return int((await connection.execute(select(head.c.sequence))).scalar_one())


async def events_past(connection: AsyncConnection, after: int, limit: int) -> tuple[CorridorEvent, ...]:
    """The events past a number, oldest first; `OutOfRange` where they are not all there, or the number never was."""
    query = select(events).where(events.c.sequence > after).order_by(events.c.sequence).limit(limit)
    found = tuple(
        CorridorEvent(
            row.sequence, EventType(row.type), _codec.validate_json(row.body), row.event_time.replace(tzinfo=UTC)
        )
        for row in await connection.execute(query)
    )
    if not found or found[0].sequence != after + 1:
        await _require_newest(connection, after)
    return found


async def _require_newest(connection: AsyncConnection, after: int) -> None:
    """Nothing comes next after this number: right only if it is the last there is."""
    newest = await newest_sequence(connection)
    least = (await connection.execute(select(func.min(events.c.sequence)))).scalar()
    oldest = newest + 1 if least is None else int(least)
    figures = {"oldest": str(oldest), "newest": str(newest)}
    if after > newest:
        raise OutOfRange(f"no event {after} yet: the newest is {newest}", reason="EVENTS_AHEAD", metadata=figures)
    if after < newest:
        raise OutOfRange(
            f"what came after event {after} is not kept: the oldest is {oldest}", reason="EVENTS_GONE", metadata=figures
        )
