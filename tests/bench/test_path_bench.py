"""The path benchmark at its smallest: its rows are well-formed, and an answer that differs makes it fail."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
KEYS = {"name", "value", "unit", "peer", "ratio", "goal", "met"}

for peer in ("igraph", "rustworkx", "scipy", "topohub"):
    pytest.importorskip(peer)


@pytest.fixture(autouse=True)
def beside_the_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


def test_rows_are_well_formed(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    command = [sys.executable, BENCH / "paths.py", "--small", "--rounds", "12", "--json", file]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert ran.returncode == 0, ran.stderr
    assert "skipped: CORONET" in ran.stdout
    rows = json.loads(file.read_text())
    assert all(row.keys() == KEYS for row in rows)
    assert all(row["value"] > 0 for row in rows)
    for row in rows:
        assert row["goal"] is None or row["met"] == ((row["ratio"] or row["value"]) <= row["goal"])
        assert (row["peer"] is None) == (row["ratio"] is None)
    libraries = {row["peer"]["name"].split()[0] for row in rows if row["peer"]}
    assert {"networkx", "igraph", "rustworkx", "scipy"} <= libraries


def test_answers_are_compared() -> None:
    rows = importlib.import_module("shared.rows")
    right = rows.Contender("right", lambda a, z: a + z, lambda answer, *_: answer)
    wrong = rows.Contender("wrong", lambda a, z: a - z, lambda answer, *_: answer)
    alike = rows.Contender("alike", lambda a, z: z + a, lambda answer, *_: answer)
    assert rows.race([right, alike], [(1, 2), (3, 4)]).keys() == {"right", "alike"}
    with pytest.raises(rows.Differ):
        rows.race([right, wrong], [(1, 2)])


def test_a_goal_says_what_limits_it() -> None:
    rows = importlib.import_module("shared.rows")
    with pytest.raises(ValueError, match="limits"):
        rows.row("bare", 1.0, "µs", goal=2)
