"""Backup and restore: from either kind of database into either, whole or not at all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from databases import Rows, dump, execute
from postgres import Postgres
from typer.testing import CliRunner, Result

from controller.cli import app
from controller.core.errors import OutOfRange
from controller.core.ids import IdKey, Ids
from controller.core.model import Capabilities, Corridor, EventType, Stage
from controller.core.otn import Claim, Ledger, Row, RowKey
from controller.core.plan import Plan
from controller.core.records import Record
from controller.core.segments.igp import LinkMetrics
from controller.store import Store, Wiring
from controller.store.backup import AHEAD

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
WIDEST = 2**32 - 1


async def fill(database: str) -> None:
    """A row in every table, with what is hard to carry."""
    store = await Store.open(database)
    await store.acquire_lease("me", "g", "r", 600.0)
    fibre = RowKey("domains/d/links/F", "odu1-1", 0)
    before, key = Ledger({fibre: Row(952, kbps=0), RowKey("A", "", 1): Row(WIDEST)}), IdKey("slice", "", "ä\n“'")
    after = before.change(
        frozenset(), frozenset({Claim("c", fibre, 1 << 951), Claim("c", RowKey("A", "", 1), 0, WIDEST)})
    )
    await store.open_ledger(before)
    record = Record(
        Corridor(name="tenants/t/corridors/c", display_name='走廊 \\ " \x00 \u2028'), None, None, Stage.SETTLED
    )
    ids = Ids({key: 1, IdKey("vrf", "", "t"): 2})
    await store.commit(Plan(None, record, after, ids), before, Ids(), EventType.CREATED, NOW)
    await store.put_ids(ids, ids.free(frozenset({key}), NOW))
    await store.put_wiring("F", Wiring(WIDEST, 0, down=True))
    await store.put_routed({"A": LinkMetrics(10, WIDEST)})
    await store.put_capabilities("r", Capabilities(shaping=False))
    await store.put_drained("domains/d/nodes/r", True)
    await store.close()


async def command(*arguments: str) -> Result:
    """In a thread: it runs a loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["db", *arguments])


async def corridor(*arguments: str) -> None:
    result = await command(*arguments)
    assert result.exit_code == 0, result.output


def rows(database: str) -> Rows:
    """Without what is of one database only: who leads it, and how far its numbers are."""
    found = dump(database)
    return {name: rows for name, rows in found.items() if name not in ("lease", "head")}


async def test_there_and_back_nothing_is_lost(tmp_path: Path, postgres: Postgres) -> None:
    databases = [f"sqlite:///{tmp_path / 'a.db'}", postgres.create(), f"sqlite:///{tmp_path / 'b.db'}"]
    await fill(databases[0])
    assert all(rows(databases[0])[name] for name in rows(databases[0]) if name != "claims")
    for n, (old, new) in enumerate(pairwise(databases)):
        file = tmp_path / f"{n}.jsonl"
        await corridor("backup", str(file), "--db", old)
        await corridor("restore", str(file), "--db", new)
    assert rows(databases[2]) == rows(databases[0])
    first, second, third = [await Store.open(each) for each in databases]
    assert await first.load() == await second.load() == await third.load()
    for each in first, second, third:
        await each.close()


async def test_a_restored_database_is_ahead_of_all_that_was_told_after_the_backup(
    tmp_path: Path, either_database: str
) -> None:
    """Devices refuse epochs below those that they know; a watcher must not take another event for the next one."""
    old = f"sqlite:///{tmp_path / 'old.db'}"
    await fill(old)
    await corridor("backup", str(tmp_path / "file"), "--db", old)
    store = await Store.open(old)
    later = [await store.raise_epoch() for _ in range(5)]
    await store.close()
    await corridor("restore", str(tmp_path / "file"), "--db", either_database)
    restored = await Store.open(either_database)
    assert await restored.lease() is None
    epoch = await restored.raise_epoch()
    assert later[-1] < epoch <= AHEAD + 2
    for told in 1, 2, 30:
        with pytest.raises(OutOfRange) as refusal:
            await restored.events(told)
        assert refusal.value.reason == "EVENTS_GONE"
    record = Record(Corridor(name="tenants/t/corridors/d"), None, None, Stage.SETTLED)
    event = await restored.commit(Plan(None, record, Ledger(), Ids()), Ledger(), Ids(), EventType.CREATED, NOW)
    assert event.sequence == 1 + AHEAD + 1
    assert await restored.events(event.sequence - 1) == (event,)
    with pytest.raises(OutOfRange):
        await restored.events(30)
    await restored.close()


@pytest.mark.parametrize("spoilt", ["cut", "foreign", "line", "newer", "table"])
async def test_what_is_no_whole_backup_leaves_the_database_empty(
    tmp_path: Path, either_database: str, spoilt: str
) -> None:
    old, file = f"sqlite:///{tmp_path / 'old.db'}", tmp_path / "file"
    await fill(old)
    await corridor("backup", str(file), "--db", old)
    lines = file.read_text().splitlines(keepends=True)
    lines = {
        "cut": lines[:-1],
        "foreign": ["{}\n", *lines[1:]],
        "line": [*lines[:4], lines[4][:20]],
        "newer": [lines[0].replace('"0', '"9'), *lines[1:]],
        "table": [line.replace('"wiring"', '"wires"') for line in lines],
    }[spoilt]
    file.write_text("".join(lines))
    result = await command("restore", str(file), "--db", either_database)
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    assert not any(dump(either_database).values())


async def test_only_an_empty_database_is_filled(tmp_path: Path, either_database: str) -> None:
    old, file = f"sqlite:///{tmp_path / 'old.db'}", tmp_path / "file"
    await fill(old)
    await fill(either_database)
    await corridor("backup", str(file), "--db", old)
    execute(either_database, "DELETE FROM records")
    stood = dump(either_database)
    result = await command("restore", str(file), "--db", either_database)
    assert (result.exit_code, "not empty" in result.output) == (1, True)
    assert dump(either_database) == stood


async def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    database = f"sqlite:///{tmp_path / 'a.db'}"
    await corridor("migrate", "--db", database)
    assert (await command("backup", str(tmp_path / "file"), "--db", database)).exit_code != 0
    assert (tmp_path / "file").read_text() == "precious"
