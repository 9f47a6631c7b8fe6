"""Records of corridors, as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.core.model import EventType
from controller.core.records import Record
from controller.store.rows import put_all
from controller.store.schema import records

_codec: TypeAdapter[Record] = TypeAdapter(Record)


async def stored_records(connection: AsyncConnection) -> Mapping[str, Record]:
    bodies = (await connection.execute(select(records.c.body))).scalars()
    return {record.name: record for record in map(_codec.validate_json, bodies)}


async def write_records(connection: AsyncConnection, changed: Mapping[str, tuple[Record, EventType]]) -> None:
    """By name."""
    gone = [name for name, (_, kind) in changed.items() if kind is EventType.DELETED]
    if gone:
        await connection.execute(delete(records).where(records.c.name.in_(gone)))
    stand = [record for name, (record, _) in changed.items() if name not in gone]
    await put_all(connection, records, [{"name": r.name, "body": _codec.dump_json(r).decode()} for r in stand])
