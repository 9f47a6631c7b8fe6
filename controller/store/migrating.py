"""The way a schema comes to be: migrations, one process at a time."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from controller.core.errors import DatabaseUnavailable, Invalid
from controller.store.connecting import writing
from controller.store.outages import outages_told, patiently

log = logging.getLogger(__name__)

STEPS = Path(__file__).parent / "migrations"
LOCK = 0x636F7272
"""PostgreSQL advisory lock of who migrates."""


async def migrate(engine: AsyncEngine) -> None:
    """Bring a database, empty or of any earlier controller, to the present schema: wholly or not at all.

    `Invalid` where a newer controller has been here.
    """
    with outages_told():
        async with engine.connect() as connection:
            if await connection.run_sync(revision_of) == newest_revision():
                return
        async with writing(engine).begin() as connection:
            await connection.run_sync(serialise)
            await connection.run_sync(upgrade, newest_revision())


async def migrate_patiently(engine: AsyncEngine, patience_s: float, *, endless: bool = False) -> None:
    """As `migrate`, once the database answers. `endless`: however long that takes, and saying so now and then.

    What keeps a file from being opened is told at once: it does not go by itself.
    """
    if engine.dialect.name == "sqlite":
        await migrate(engine)
        return
    while True:
        try:
            await patiently(lambda: migrate(engine), patience_s)
            return
        except DatabaseUnavailable as away:
            if not endless:
                raise
            log.warning("waiting for the database: %s", away)


def revision_of(connection: Connection) -> str | None:
    """Of the schema that a database has; None where it is empty, or of before there were revisions."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def newest_revision() -> str:
    newest = ScriptDirectory(str(STEPS)).get_current_head()
    assert newest is not None
    return newest


def serialise(connection: Connection) -> None:
    """Until the end of the transaction no other process changes the schema (SQLite's transactions see to it alone)."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))


def upgrade(connection: Connection, revision: str) -> None:
    """In the transaction of the connection; nothing where it is there already."""
    config = Config()
    config.set_main_option("script_location", str(STEPS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as unknown:
        raise Invalid(f"this controller does not know the database's revision: {unknown}") from unknown
