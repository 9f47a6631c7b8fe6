"""The benchmark of bulk restoration at its smallest: well-formed rows, and none of corridors that did not move."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"


def test_rows_of_a_restoration_are_well_formed(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    command = [sys.executable, BENCH / "restore.py", "--small", "--seed", "3", "--json", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text())
    assert [row["unit"] for row in rows] == ["s"] * 4
    planned, first, last, gone = (row["value"] for row in rows)
    assert 0 < first <= last <= gone
    assert planned <= last
    assert rows[-1]["peer"]["value"] > 0
    assert "off the fibre" in done.stdout
