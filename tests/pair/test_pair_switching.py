"""Profiles switched and corridors moved under traffic: a flow that always fits loses nothing, shaped or policed."""

from __future__ import annotations

from typing import Any

import pytest
from corridor_lab import Make, switch
from sites import WAYS, body, both_ways, met

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import await_ping

FITS_KBPS = 1_500
TIMES = 5
RESTORED_MS = 5_000
"""On a busy machine too: no restoration waits for a timer of that length."""
LINKS = "domains/pair/links"
DIRECT = {"HARD": "F-west-east", "SOFT": "A-direct"}
ISOLATIONS = pytest.mark.parametrize("isolation", ["HARD", "SOFT"])
NOTHING = [(0, 0, 0)] * 2


def mishaps(results: list[dict[str, Any]]) -> list[tuple[int, int, int]]:
    assert all(got["sent"] > 50 for got in results)
    return [(got["lost"], got["reordered"], got["duplicated"]) for got in results]


@ISOLATIONS
def test_a_flow_that_fits_both_profiles_loses_nothing(
    lab: Lab, controller: Controller, corridor: Make, isolation: str
) -> None:
    corridor("switched", body(isolation, inference=2, training=10))
    met(lab)
    with both_ways(lab, FITS_KBPS) as results:
        took = [switch(controller, "switched", name) for _ in range(TIMES) for name in ("training", "inference")]
    assert mishaps(results) == NOTHING
    assert min(took) < 2.0  # no step waits for a timer of seconds


def test_each_profile_is_what_its_flow_gets(lab: Lab, controller: Controller, corridor: Make) -> None:
    """Up, a flow that needs the larger profile loses nothing; down, such a flow gets the smaller one."""
    corridor("switched", body(inference=2, training=10))
    met(lab)
    switch(controller, "switched", "training")
    with both_ways(lab, 9_000) as results:
        assert controller.get("switched")["state"] == "UP"
    assert mishaps(results) == NOTHING
    switch(controller, "switched", "inference")
    with both_ways(lab, 4_000) as results:
        assert controller.get("switched")["state"] == "UP"
    assert all(1_000 < got["ip_kbps"] < 2_300 for got in results)


@ISOLATIONS
def test_a_corridor_is_moved_before_it_is_broken(
    lab: Lab, controller: Controller, corridor: Make, isolation: str
) -> None:
    made = corridor("mover", body(isolation, only=2))
    met(lab)
    assert made["legs"][0]["links"] == [f"{LINKS}/{DIRECT[isolation]}"]
    with both_ways(lab, FITS_KBPS) as results:
        controller.patch("mover", {"pathConstraints": {"excludeLinks": made["legs"][0]["links"]}})
        moved = controller.settled("mover")
    assert moved["legs"][0]["links"] != made["legs"][0]["links"]
    assert mishaps(results) == NOTHING


def test_a_cut_moves_the_corridor(lab: Lab, controller: Controller, fibres: list[str], corridor: Make) -> None:
    made = corridor("moved", body("SOFT", only=2))
    met(lab)
    with both_ways(lab, FITS_KBPS, ip_bytes=200) as results:
        fibres.append("F-west-east")
        lab.cut("F-west-east")
        wait_for("another path", lambda: elsewhere(controller, made))
        for source, sink in WAYS.values():
            await_ping(lab, source.host, sink.address[1])
    told = [(got["sent"], got["lost"], got["longest_gap_ms"]) for got in results]
    assert all(0 < lost < sent and gap_ms < RESTORED_MS for sent, lost, gap_ms in told), told


def elsewhere(controller: Controller, made: dict[str, Any]) -> bool:
    now = controller.get(made["name"].rpartition("/")[2])
    settled = now["state"] == "UP" and not now["reconciling"]
    return bool(settled and now["legs"][0]["links"] != made["legs"][0]["links"])
