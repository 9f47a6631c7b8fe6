"""Profiles switched under traffic, ten times up and down: nothing is lost; in the wrong order it would be."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from corridor_lab import channel, switch
from places import ADDRESS, YZ, ZGC, Make, body
from shapers import await_drained, busiest
from silence import silenced

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import Flow, Load, await_ping, shaper_counts

SWITCHES = 10


def up_and_down(controller: Controller, corridor_id: str) -> None:
    for _ in range(SWITCHES):
        for profile in ("training", "inference"):
            switch(controller, corridor_id, profile)
            time.sleep(0.05)  # traffic between two switches


@pytest.fixture
def made(lab: Lab, corridor: Make) -> dict[str, Any]:
    made = corridor("switched", body(ZGC, YZ, inference=20, training=60))
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    return made


def test_a_flow_that_fits_both_loses_nothing(lab: Lab, controller: Controller, made: dict[str, Any]) -> None:
    flow = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(15_000, seconds=8))
    up_and_down(controller, "switched")
    got = flow.result()
    assert got["sent"] > 8_000
    assert (got["lost"], got["reordered"], got["duplicated"]) == (0, 0, 0)


def test_a_backlogged_flow_loses_nothing_behind_the_shaper(
    lab: Lab, controller: Controller, made: dict[str, Any]
) -> None:
    before = shaper_counts(lab, "zgc-r")
    flow = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(75_000, seconds=8))
    up_and_down(controller, "switched")
    got = flow.result()
    await_drained(lab, "zgc-r")
    sent = busiest(before, shaper_counts(lab, "zgc-r"))
    assert got["lost"] > 0  # it was backlogged indeed
    assert sent.packets == got["received"]
    assert got["reordered"] == 0


def test_the_wrong_order_loses_packets(lab: Lab, controller: Controller, made: dict[str, Any]) -> None:
    """Shrink the optical layer while the shaper still sends at the larger size: the counts come apart.

    Its line card says nothing meanwhile: every second it looks at its meters, and would put this one right.
    """
    switch(controller, "switched", "training")
    meter = re.search(rf"dl_dst={channel(made)} actions=meter:(\d+)", lab.ofctl("zgc-o", "dump-flows"))
    assert meter
    before = shaper_counts(lab, "zgc-r")
    flow = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(75_000, seconds=2))
    with silenced(lab, "line-card/zgc-o"):
        lab.ofctl("zgc-o", "mod-meter", f"meter={meter[1]},kbps,burst,stats,bands=type=drop,rate=30027,burst_size=7506")
        got = flow.result()
    wait_for("the line card answers", lambda: answers(controller, "zgc-o"))
    await_drained(lab, "zgc-r")
    sent = busiest(before, shaper_counts(lab, "zgc-r"))
    assert sent.packets > got["received"] * 1.1


def answers(controller: Controller, name: str) -> bool:
    node = next(node for node in controller.topology()["nodes"] if node["name"].endswith(f"/{name}"))
    return node["status"] == "UP" and not node["trouble"]


def test_switching_is_quick(lab: Lab, controller: Controller, made: dict[str, Any]) -> None:
    """Not a benchmark: only that no step waits for a timer of seconds."""
    assert min(switch(controller, "switched", p) for p in ("training", "inference", "training")) < 2.0


def test_a_move_under_a_backlog_loses_nothing_behind_the_shaper(
    lab: Lab, controller: Controller, corridor: Make
) -> None:
    """Built on a detour, then kept from it: what waits in the shaper still takes the old slice."""
    lab.cut("F-zgc-yz")
    wait_for("the cut is known", lambda: fibre_status(controller, "F-zgc-yz") == "DOWN")
    detour = corridor("mover", body(ZGC, YZ, only=20))["legs"][0]
    lab.mend("F-zgc-yz")
    controller.await_topology()
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    before = shaper_counts(lab, "zgc-r")
    flow = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(30_000, seconds=3))
    time.sleep(1)  # the queue is full
    controller.patch("mover", {"pathConstraints": {"excludeLinks": detour["links"][:1]}})
    assert controller.settled("mover")["legs"][0]["links"] != detour["links"]
    got = flow.result()
    await_drained(lab, "zgc-r")
    assert got["lost"] > 0  # it was backlogged indeed
    assert busiest(before, shaper_counts(lab, "zgc-r")).packets == got["received"]


def fibre_status(controller: Controller, name: str) -> str:
    return next(link["status"] for link in controller.topology()["links"] if link["name"].endswith(f"/{name}"))
