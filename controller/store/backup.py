"""Backup and restore: one form for both databases, JSON lines.

The first line says what it is and of which revision of the schema, each other one holds a row, the last one how many
there are: a file that was cut off is not taken for a whole one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from sqlalchemy import (
    Connection,
    DateTime,
    MetaData,
    Row,
    Table,
    func,
    insert,
    literal,
    select,
    text,
    tuple_,
    update,
)

from controller.core.errors import FailedPrecondition, Invalid
from controller.store.connecting import engine_of, reading, writing
from controller.store.migrating import newest_revision, revision_of, serialise, upgrade
from controller.store.outages import outages_told

KIND = "corridor-controller backup"
NOT_KEPT = ("alembic_version", "lease")
"""The revision stands in the first line; who leads is no matter of the network's."""
AHEAD = 1 << 20
"""Devices have heard epochs, and watchers events, of after the backup: those of the restored database are past them."""
BATCH = 500


async def back_up(url: str, file: Path) -> int:
    """Write all that stands at one moment, while controllers go on; the number of rows.

    `FailedPrecondition` where the file system refuses, or another backup into this file is under way.
    """
    engine = engine_of(url)
    part = file.with_name(f"{file.name}.part")
    with _file_faults(part):
        sink = part.open("x")
    try:
        with _file_faults(part), sink:
            with outages_told():
                async with reading(engine).begin() as connection:
                    count = await connection.run_sync(_dump, sink, part)
            sink.flush()
            os.fsync(sink.fileno())
        part.rename(file)
        return count
    finally:
        part.unlink(missing_ok=True)
        await engine.dispose()


async def restore(url: str, file: Path) -> int:
    """Fill an empty database, all or nothing, and bring it to the present schema; the number of rows.

    `FailedPrecondition` where it is not empty, `Invalid` where the file is no whole backup.
    """
    engine = engine_of(url)
    try:
        with outages_told(), file.open() as source:
            async with writing(engine).begin() as connection:
                await connection.run_sync(serialise)
                return await connection.run_sync(_fill, source, file)
    finally:
        await engine.dispose()


def _dump(connection: Connection, sink: IO[str], part: Path) -> int:
    if connection.dialect.name == "postgresql":  # a file system may be slower than any change is
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    revision, count = revision_of(connection), 0
    if revision is None:
        raise FailedPrecondition("the database is empty, or of a controller before revisions: migrate it first")
    print(json.dumps({"kind": KIND, "revision": revision}), file=sink)
    for table in _tables(connection):
        for page in _pages(connection, table):
            with _file_faults(part):
                for row in page:
                    line = {"table": table.name, "row": _plain(row._asdict())}
                    print(json.dumps(line, ensure_ascii=False), file=sink)
            count += len(page)
    print(json.dumps({"rows": count}), file=sink)
    return count


def _pages(connection: Connection, table: Table) -> Iterator[Sequence[Row[Any]]]:
    """All rows by the primary key, never many at once: neither memory nor the time of a statement grows with them."""
    key = [*table.primary_key]
    first = select(table).order_by(*key).limit(BATCH)
    page = connection.execute(first).all()
    while page:
        yield page
        last = page[-1]._mapping
        past = tuple_(*key) > tuple_(*(literal(last[column], column.type) for column in key))
        page = connection.execute(first.where(past)).all()


@contextmanager
def _file_faults(file: Path) -> Iterator[None]:
    """Told as what they are: the database has nothing to do with them."""
    try:
        yield
    except FileExistsError as present:
        why = f"{file} exists: another backup is writing it, or one that was broken off has left it; then remove it"
        raise FailedPrecondition(why) from present
    except OSError as refusal:
        raise FailedPrecondition(f"{file} cannot be written: {refusal.strerror or refusal}") from refusal


def _fill(connection: Connection, source: IO[str], file: Path) -> int:
    lines = _lines(source, file)
    revision = str(next(lines).get("revision"))
    _require_empty(connection)
    upgrade(connection, revision)
    tables = {table.name: table for table in _tables(connection)}
    connection.execute(tables["head"].delete())
    count, told = 0, None
    while batch := list(islice(lines, BATCH)):
        for name, rows in _by_table(batch, file).items():
            if name not in tables:
                raise Invalid(f"{file}: revision {revision} has no table {name!r}")
            connection.execute(insert(tables[name]), [_typed(tables[name], row) for row in rows])
            count += len(rows)
        told = batch[-1].get("rows")
    if told != count:
        raise Invalid(f"{file}: not a whole backup: {count} rows of {told or 'more'}")
    head = tables["head"].c
    connection.execute(update(tables["head"]).values(epoch=head.epoch + AHEAD, sequence=head.sequence + AHEAD))
    upgrade(connection, newest_revision())
    return count


def _lines(source: IO[str], file: Path) -> Iterator[dict[str, Any]]:
    try:
        first = json.loads(source.readline())
        if not isinstance(first, dict) or first.get("kind") != KIND:
            raise Invalid(f"{file}: not a backup of this controller")
        yield first
        yield from map(json.loads, source)
    except ValueError as wrong:
        raise Invalid(f"{file}: not a whole backup: {wrong}") from wrong


def _by_table(batch: list[dict[str, Any]], file: Path) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for line in batch:
        if "table" in line:
            rows.setdefault(line["table"], []).append(line["row"])
        elif line is not batch[-1] or "rows" not in line:
            raise Invalid(f"{file}: neither a row nor the end: {sorted(line)}")
    return rows


def _require_empty(connection: Connection) -> None:
    """No tables at all, or those of a controller that has never stored anything."""
    filled = [
        table.name
        for table in _tables(connection)
        if table.name != "head" and connection.execute(select(func.count()).select_from(table)).scalar_one()
    ]
    if filled:
        raise FailedPrecondition(f"the database is not empty: {', '.join(filled)}", reason="NOT_EMPTY")


def _tables(connection: Connection) -> list[Table]:
    """As they are there, of whatever revision."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name not in NOT_KEPT]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _typed(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    moments = {column.name for column in table.c if isinstance(column.type, DateTime)}
    return {name: datetime.fromisoformat(value) if name in moments else value for name, value in row.items()}
