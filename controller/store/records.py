"""Records of corridors, as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.core.model import EventType
from controller.core.records import Record
from controller.store.rows import put
from controller.store.schema import records

_codec: TypeAdapter[Record] = TypeAdapter(Record)


async def stored_records(connection: AsyncConnection) -> Mapping[str, Record]:
    bodies = (await connection.execute(select(records.c.body))).scalars()
    return {record.name: record for record in map(_codec.validate_json, bodies)}


async def write_record(connection: AsyncConnection, record: Record, kind: EventType) -> None:
    if kind is EventType.DELETED:
        await connection.execute(delete(records).where(records.c.name == record.name))
    else:
        await put(connection, records, name=record.name, body=_codec.dump_json(record).decode())
