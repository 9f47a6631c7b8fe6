"""Ledger rows, each updated only at the version that planning saw (compare-and-set)."""

from __future__ import annotations

from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.core.errors import Conflict
from controller.core.otn import Ledger, Row, RowKey
from controller.store.schema import ledger


async def open_ledger(connection: AsyncConnection, whole: Ledger) -> None:
    """Every row anew."""
    rows = [_row(key, row) for key, row in whole.rows.items()]
    await connection.execute(delete(ledger))
    if rows:
        await connection.execute(insert(ledger), rows)


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


def _row(key: RowKey, row: Row) -> dict[str, object]:
    """Without what is booked: that follows from the records."""
    return {**key._asdict(), "bitmap": f"{row.bitmap:x}", "kbps": row.kbps, "version": row.version}
