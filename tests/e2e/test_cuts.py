"""Fibre cuts: the corridor moves to another route and says where it is; cut off wholly, it says so."""

from __future__ import annotations

import pytest
from places import ADDRESS, YZ, ZGC, Make, body

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import Flow, Load, await_ping, ping


@pytest.mark.parametrize("isolation", ["HARD", "SOFT"])
def test_a_cut_moves_the_corridor(
    lab: Lab, controller: Controller, fibres: list[str], corridor: Make, isolation: str
) -> None:
    made = corridor("moved", body(ZGC, YZ, isolation, only=20))
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    flow = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(10_000, seconds=5))
    fibres.append("F-zgc-yz")
    lab.cut("F-zgc-yz")
    after = wait_for("another path", lambda: moved(controller, made))
    got = flow.result()
    assert "F-zgc-yz" not in "".join(after["legs"][0]["links"])
    assert got["received"] > 0.6 * got["sent"]
    assert got["longest_gap_ms"] < 2000
    assert ping(lab, ZGC, ADDRESS[YZ][1]) == 3


def moved(controller: Controller, made: dict[str, object]) -> dict[str, object] | None:
    now = controller.get("moved")
    settled = now["state"] == "UP" and not now["reconciling"]
    return now if settled and now["legs"][0]["links"] != made["legs"][0]["links"] else None  # type: ignore[index]


def test_cut_off_it_is_down_and_comes_back(lab: Lab, controller: Controller, fibres: list[str], corridor: Make) -> None:
    corridor("cut-off", body(ZGC, YZ, only=20))
    for fibre in ("F-zgc-yz", "F-zgc-cp", "F-sg-zgc", "F-zgc-ft"):
        fibres.append(fibre)
        lab.cut(fibre)
    wait_for("DOWN", lambda: state(controller, "cut-off") == "DOWN")
    down = controller.get("cut-off")
    lost = [c for c in down["conditions"] if c["type"] == "PathLost"]
    assert lost
    lab.mend("F-zgc-ft")
    fibres.remove("F-zgc-ft")
    wait_for("UP again", lambda: state(controller, "cut-off") == "UP", 30)
    await_ping(lab, ZGC, ADDRESS[YZ][1])


def state(controller: Controller, corridor_id: str) -> str:
    return str(controller.get(corridor_id)["state"])
