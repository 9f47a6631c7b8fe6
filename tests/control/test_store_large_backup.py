"""Backups that take their time, page by page, and files that cannot be written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from databases import execute
from postgres import Postgres

from controller.core.errors import FailedPrecondition
from controller.store import Store, backup, connecting
from controller.store.backup import back_up

EVENTS = """
    INSERT INTO events SELECT n, 'UPDATED', repeat('x', 1000), timestamp '2026-01-01'
    FROM generate_series(1, 20000) AS n
"""


async def empty(database: str) -> str:
    await (await Store.open(database)).close()
    return database


def sequences(file: Path) -> list[int]:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [line["row"]["sequence"] for line in lines if line.get("table") == "events"]


async def test_the_database_does_not_end_a_backup_that_is_slow_to_write(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 000 events take several times longer to write than such a session may stand idle here."""
    database = await empty(postgres.create())
    execute(database, EVENTS)
    monkeypatch.setitem(connecting.SESSION, "idle_in_transaction_session_timeout", "100")
    assert await back_up(database, tmp_path / "file") == 20_001
    assert sequences(tmp_path / "file") == list(range(1, 20_001))


@pytest.mark.parametrize("page", [1, 3])
async def test_page_by_page_every_row_is_there_once(
    tmp_path: Path, either_database: str, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    await empty(either_database)
    ids = ", ".join(f"('k{n % 2}', 'p{n % 3}', 'o{n}', {n})" for n in range(7))
    execute(either_database, f"INSERT INTO ids VALUES {ids}")
    links = ", ".join(f"('F{n}', {n}, 1, true)" for n in range(7))
    execute(either_database, f"INSERT INTO wiring VALUES {links}")
    monkeypatch.setattr(backup, "BATCH", page)
    assert await back_up(either_database, tmp_path / "file") == 15
    lines = [json.loads(line) for line in (tmp_path / "file").read_text().splitlines()]
    rows = [(line["table"], line["row"]) for line in lines if "table" in line]
    owners = sorted(row["owner"] for table, row in rows if table == "ids")
    assert owners == [f"o{n}" for n in range(7)]
    assert [row["link"] for table, row in rows if table == "wiring"] == [f"F{n}" for n in range(7)]


async def test_the_unfinished_file_of_another_backup_is_left_alone(tmp_path: Path, either_database: str) -> None:
    await empty(either_database)
    part = tmp_path / "file.part"
    part.write_text("another's")
    with pytest.raises(FailedPrecondition, match=r"file\.part.*exists"):
        await back_up(either_database, tmp_path / "file")
    assert part.read_text() == "another's"
    assert not (tmp_path / "file").exists()


async def test_a_full_disk_is_no_outage_of_the_database(
    tmp_path: Path, either_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await empty(either_database)

    def full(_: Path, _mode: str) -> object:
        return os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(FailedPrecondition, match="No space left on device"):
        await back_up(either_database, tmp_path / "file")
