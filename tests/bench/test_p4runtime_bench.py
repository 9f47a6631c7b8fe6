"""The benchmark of the driver at its smallest: well-formed rows, none without a switch or of a wrong write."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from types import ModuleType

import pytest
from machine import require

from topologies.bmv2 import PROGRAM

BENCH = Path(__file__).parents[2] / "bench"


def ran(file: Path, path: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCH / "p4runtime.py", "--small", "--json", file]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, env={**os.environ, "PATH": path})


@pytest.fixture
def southbound(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("shared.southbound")


def test_rows_of_a_driver_are_well_formed(tmp_path: Path) -> None:
    require(PROGRAM, root=False)
    file = tmp_path / "rows.json"
    done = ran(file, os.environ["PATH"])
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(file.read_text())}
    assert rows["one write, p99 of 160"]["goal"] == 3.0
    for row in rows.values():
        assert row.keys() == {"name", "value", "unit", "peer", "ratio", "goal", "met"}
        assert (row["peer"] is None) == (row["ratio"] is None)
        assert row["value"] > 0


def test_says_so_where_there_is_no_switch(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    done = ran(file, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "not measured: simple_switch_grpc is not on the path" in done.stdout
    assert json.loads(file.read_text()) == []


class Forgetful:
    """A device that loses one of its entries, or refuses it."""

    def __init__(self, southbound: ModuleType) -> None:
        self.held = {entry.key: entry for entry in (southbound.policy(1), southbound.policy(2, 11))}

    async def read(self) -> dict[object, object]:
        return self.held

    async def apply(self, changes: list[object]) -> list[object]:
        return changes[1:]


def test_a_write_that_does_not_stand_has_no_figure(southbound: ModuleType) -> None:
    device, wanted = Forgetful(southbound), [southbound.policy(1), southbound.policy(2)]
    with pytest.raises(southbound.Differ, match="1 of them wrong"):
        asyncio.run(southbound._check(device, wanted, 2))
    with pytest.raises(southbound.Differ, match="2 entries instead of 3"):
        asyncio.run(southbound._check(device, wanted[:1], 3))
    with pytest.raises(southbound.Differ, match="3 of 4 were refused"):
        asyncio.run(southbound._by_driver(device, southbound.steps([1])))


def test_entries_come_as_they_are_rendered_and_are_written_table_by_table(southbound: ModuleType) -> None:
    entries = southbound.corridors(1_000)
    assert len({entry.key for entry in entries}) == 1_000
    kinds = [kind for kind, _ in groupby(entry.key[0] for entry in entries)]
    assert len(kinds) > 800, "corridor by corridor"
    writes = southbound.diff.changes({}, {entry.key: entry for entry in entries})
    written = [kind for kind, _ in groupby(change.entry.key[0] for change in writes)]
    assert sorted(written) == sorted(set(kinds))


def test_a_corridor_is_written_and_gone(southbound: ModuleType) -> None:
    """Each step has a key that the one before left as the step wants it, so that none is answered with an error."""
    held: set[object] = set()
    for change in southbound.steps([1, 2]):
        key, what = change.entry.key, change.operation.value
        meter = "meter" in key[0]
        assert meter or (key in held) == (what != "INSERT")
        held.discard(key) if what == "DELETE" else held.add(key)
    assert {key[0] for key in held} == {"slice_meter"}
