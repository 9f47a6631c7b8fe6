"""The optical benchmark at its smallest: well-formed rows, lists that repeat, and a slot held twice makes it fail."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from controller.core.otn.filling import fill

BENCH = Path(__file__).parents[2] / "bench"

for peer in ("scipy", "topohub"):
    pytest.importorskip(peer)


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("shared.slices")


def test_rows_are_well_formed(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    command = [sys.executable, BENCH / "otn.py", "--small", "--seed", "3", "--json", file]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert ran.returncode == 0, ran.stderr
    assert "skipped: CORONET" in ran.stdout
    rows = {row["name"]: row for row in json.loads(file.read_text())}
    whole = rows["metro-beijing, filled, planned as a whole"]
    assert whole["goal"] == 0.995
    assert whole["met"] == (whole["ratio"] >= 0.995)
    for name, row in rows.items():
        assert row.keys() == {"name", "value", "unit", "peer", "ratio", "goal", "met"}
        assert (row["peer"] is None) == (row["ratio"] is None)
        if row["peer"] and row["peer"]["name"] == "optimum of the linear program":
            assert 0 < row["ratio"] <= 1, name


def test_the_list_is_the_seed_s(slices: ModuleType) -> None:
    network = slices.metro(2)
    demands, _ = slices.arrivals.__wrapped__(network, 5)
    assert demands == slices.arrivals.__wrapped__(network, 5)[0]
    assert demands != slices.arrivals.__wrapped__(network, 6)[0]


def test_the_list_ends_after_500_refusals_in_a_row(slices: ModuleType) -> None:
    demands, online = slices.arrivals(slices.metro(2), 5)
    placed = [demand.name in online.placed for demand in demands]
    assert not any(placed[-500:])
    assert placed[-501]
    assert max(map(len, "".join("x" if each else "." for each in placed[:-500]).split("x"))) < 500
    assert {1, 119} <= {demand.slots for demand in demands} <= set(range(1, 120))


def test_a_plan_is_no_worse_than_first_fit(slices: ModuleType) -> None:
    network = slices.metro(4)
    for count in (48, 64):
        demands, online = slices.arrivals(network, 1)[0][:count], slices.Online(network, slices.nearest)
        for demand in demands:
            online.offer(demand)
        plan = fill(demands, slices.rooms_of(network.topology, network.ledger))
        assert plan.carried >= online.carried


def test_the_recount_sees_what_is_held_twice(slices: ModuleType) -> None:
    rows = importlib.import_module("shared.rows")
    network = slices.metro(2)
    demands, online = slices.arrivals(network, 5)
    assert slices.recount(network, demands, online.placed, online.ledger) == online.carried
    first, hops = next(iter(online.placed.items()))
    twins = [replace(demands[0], name=name) for name in ("one", "two")]
    assert first == demands[0].name
    held_once = slices.allocated(network.ledger, {"one": hops})
    with pytest.raises(rows.Differ, match="of its own"):
        slices.recount(network, twins, {"one": hops, "two": hops}, held_once)
    bound = 0.9 * slices.relax(slices.grouped(demands), network.room()).bound
    with pytest.raises(rows.Differ):
        slices.require_optimum(network, demands, bound)
    missing = {name: hops for name, hops in online.placed.items() if name != first}
    with pytest.raises(rows.Differ):
        slices.recount(network, demands, missing, online.ledger)
