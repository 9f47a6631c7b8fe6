"""Migrations: the only way to a schema, from nothing, and from what controllers before them made."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import dump, execute
from setuptools import find_packages
from sqlalchemy import Connection

from controller.core.errors import Invalid
from controller.core.otn import RowKey
from controller.store import Store, Wiring
from controller.store.connecting import engine_of
from controller.store.schema import metadata

BEFORE_REVISIONS = (
    "CREATE TABLE settings (key VARCHAR NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (key))",
    "CREATE TABLE records (name VARCHAR NOT NULL, body TEXT NOT NULL, PRIMARY KEY (name))",
    "CREATE TABLE ledger (link VARCHAR NOT NULL, server VARCHAR NOT NULL, direction INTEGER NOT NULL, bitmap TEXT NOT"
    " NULL, kbps INTEGER NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (link, server, direction))",
    "CREATE TABLE ids (kind VARCHAR NOT NULL, place VARCHAR NOT NULL, owner VARCHAR NOT NULL, value INTEGER NOT NULL,"
    " PRIMARY KEY (kind, place, owner), UNIQUE (kind, place, value))",
    "CREATE TABLE resting_ids (kind VARCHAR NOT NULL, place VARCHAR NOT NULL, value INTEGER NOT NULL, freed_at DATETIME"
    " NOT NULL, PRIMARY KEY (kind, place, value))",
    "CREATE TABLE wiring (link VARCHAR NOT NULL, a_port INTEGER NOT NULL, z_port INTEGER NOT NULL, down BOOLEAN NOT"
    " NULL, PRIMARY KEY (link))",
    "CREATE TABLE routed (link VARCHAR NOT NULL, igp_metric INTEGER NOT NULL, delay_us INTEGER NOT NULL,"
    " PRIMARY KEY (link))",
    "CREATE TABLE events (sequence INTEGER NOT NULL, type VARCHAR NOT NULL, body TEXT NOT NULL, event_time DATETIME"
    " NOT NULL, PRIMARY KEY (sequence))",
)
"""As SQLAlchemy wrote it for the controllers before this one."""


def pilot(folder: Path, tables: int = len(BEFORE_REVISIONS)) -> str:
    """A database of then, with a corridor in it."""
    database = f"sqlite:///{folder / 'pilot.db'}"
    for statement in BEFORE_REVISIONS[:tables]:
        execute(database, statement)
    body = (Path(__file__).parent / "record_without_path_constraints.json").read_text()
    execute(database, "INSERT INTO settings VALUES ('epoch', 41)")
    execute(database, "INSERT INTO records VALUES ('tenants/acme/corridors/c1', :body)", {"body": body})
    execute(database, "INSERT INTO ledger VALUES ('F', 'odu1-1', 0, 'ff', 0, 12)")
    execute(database, "INSERT INTO wiring VALUES ('F', 3, 4, 1)")
    if tables == len(BEFORE_REVISIONS):
        event = {"body": json.dumps(json.loads(body)["corridor"]), "at": "2026-01-01 00:00:00.000000"}
        for sequence in (1, 2, 7):
            execute(database, f"INSERT INTO events VALUES ({sequence}, 'UPDATED', :body, :at)", event)
    return database


async def test_a_database_of_before_revisions_goes_on_where_it_was(tmp_path: Path) -> None:
    store = await Store.open(pilot(tmp_path))
    stored = await store.load()
    assert [*stored.records] == ["tenants/acme/corridors/c1"]
    assert stored.ledger_versions == {RowKey("F", "odu1-1", 0): 12}
    assert stored.wiring == {"F": Wiring(3, 4, down=True)}
    assert await store.newest_sequence() == 7
    assert len(await store.events(6)) == 1
    assert await store.raise_epoch() == 42
    await store.close()


async def test_one_that_was_made_before_its_last_tables_gets_them(tmp_path: Path) -> None:
    store = await Store.open(pilot(tmp_path, 6))
    assert len((await store.load()).records) == 1
    assert await store.newest_sequence() == 0
    await store.close()


async def test_migrations_lead_to_the_schema_that_the_store_speaks(either_database: str) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {"compare_type": True}
        return [*compare_metadata(MigrationContext.configure(connection, opts=options), metadata)]

    await (await Store.open(either_database)).close()
    engine = engine_of(either_database)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_any_number_may_open_an_empty_one_at_once(either_database: str) -> None:
    stores = await asyncio.gather(*(Store.open(either_database) for _ in range(6)))
    assert sorted(await asyncio.gather(*(each.raise_epoch() for each in stores))) == list(range(1, 7))
    for each in stores:
        await each.close()
    assert len(dump(either_database)["head"]) == len(dump(either_database)["alembic_version"]) == 1


async def test_one_of_a_newer_controller_is_refused_and_left_alone(either_database: str) -> None:
    await (await Store.open(either_database)).close()
    execute(either_database, "UPDATE alembic_version SET version_num = '9999'")
    stood = dump(either_database)
    with pytest.raises(Invalid, match="9999"):
        await Store.open(either_database)
    assert dump(either_database) == stood


@pytest.mark.parametrize("url", ["mysql://u@h/d", "corridor.db", ""])
async def test_what_is_no_database_is_named(url: str) -> None:
    with pytest.raises(Invalid):
        await Store.open(url)


def test_an_installed_controller_has_its_migrations() -> None:
    root = Path(__file__).parents[2]
    assert "controller.store.migrations.versions" in find_packages(str(root), include=["controller*"])
