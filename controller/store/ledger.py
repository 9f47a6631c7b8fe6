"""Ledger rows, each updated only at the version that planning saw (compare-and-set), and who holds which slots.

The rows decide; the claims are held against them, so that a fault here or in planning is refused by the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.core.errors import Conflict
from controller.core.otn import Ledger, Row, RowKey
from controller.core.otn.slots import runs_of
from controller.core.records import Record, claims_of
from controller.store.rows import remove
from controller.store.schema import claims, ledger


class Held(NamedTuple):
    """A run of slots that a corridor holds of a row."""

    link: str
    server: str
    direction: int
    first: int
    last: int
    owner: str


async def open_ledger(connection: AsyncConnection, whole: Ledger, records: Iterable[Record]) -> None:
    """Every row anew, and every claim of these records."""
    rows = [_row(key, row) for key, row in whole.rows.items()]
    await connection.execute(delete(ledger))
    if rows:
        await connection.execute(insert(ledger), rows)
    await connection.execute(delete(claims))
    held = [each._asdict() for record in records for each in _held(record)]
    if held:
        await connection.execute(insert(claims), held)


async def write_ledger(connection: AsyncConnection, before: Ledger, after: Ledger) -> None:
    """Rows that come, change and go; `Conflict` where one is not as it was."""
    for key, seen, row in before.changed(after):
        mine = [ledger.c[name] == value for name, value in key._asdict().items()]
        stale = Conflict(f"{key.link} was claimed by another writer", reason="CONCURRENT_CHANGE")
        if seen is None and row is not None:
            try:
                await connection.execute(insert(ledger).values(_row(key, row)))
            except IntegrityError as clash:
                raise stale from clash
            continue
        assert seen is not None
        write = delete(ledger) if row is None else update(ledger).values(_row(key, row))
        if (await connection.execute(write.where(*mine, ledger.c.version == seen.version))).rowcount != 1:
            raise stale


async def write_claims(connection: AsyncConnection, before: Iterable[Record], after: Iterable[Record]) -> None:
    """What differs between these records; `IntegrityError` where another holds a slot of it."""
    old, new = ({each for record in records for each in _held(record)} for records in (before, after))
    await remove(connection, claims, Held._fields, old - new)
    if new - old:
        await connection.execute(insert(claims), [each._asdict() for each in sorted(new - old)])


def _held(record: Record) -> Iterator[Held]:
    for claim in claims_of(record):
        for first, last in runs_of(claim.bitmap):
            yield Held(*claim.row, first, last, claim.owner)


def _row(key: RowKey, row: Row) -> dict[str, object]:
    """Without what is booked: that follows from the records."""
    return {**key._asdict(), "bitmap": f"{row.bitmap:x}", "kbps": row.kbps, "version": row.version}
