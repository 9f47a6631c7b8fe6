"""Moves under traffic: none is lost, few are overtaken and as many are told; what was not agreed to is not done."""

from __future__ import annotations

import math
from typing import Any

import httpx
from places import ADDRESS, YZ, ZGC, Make, body
from silence import silenced

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import Flow, Load, await_ping

DIRECT = "domains/metro-beijing/links/F-zgc-yz"
LOAD_KBPS = 10_000
SILENT_S = 30
"""A stage waits 10 s for a node that does not answer."""


def keeping_off(*links: str) -> dict[str, Any]:
    return {"pathConstraints": {"excludeLinks": list(links)}}


def detoured(lab: Lab, corridor: Make, corridor_id: str, **fields: Any) -> dict[str, Any]:
    """A corridor of 20 Mbit/s that was kept off the direct fibre."""
    made: dict[str, Any] = corridor(corridor_id, {**body(ZGC, YZ, only=20), **keeping_off(DIRECT), **fields})
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    return made


def both_ways(lab: Lab, seconds: float) -> list[Flow]:
    load = Load(LOAD_KBPS, seconds=seconds, steady=True)
    return [Flow(lab, ZGC, YZ, ADDRESS[YZ][1], load), Flow(lab, YZ, ZGC, ADDRESS[ZGC][1], load)]


def links(told: dict[str, Any]) -> list[str]:
    found: list[str] = told["legs"][0]["links"]
    return found


def conditions(told: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["message"] for each in told["conditions"]}


def held_up(got: dict[str, Any]) -> int:
    """Packets of a flow that this machine itself kept for a while: here nodes are processes that wait for their turn,
    and one that takes another road meanwhile overtakes them, whatever the fibres' lengths."""
    return math.ceil((got["one_way_us"]["max"] - got["one_way_us"]["min"]) * LOAD_KBPS / (8000 * 1400))


def test_a_move_under_two_flows_loses_nothing_and_tells_what_it_let_overtake(
    lab: Lab, controller: Controller, corridor: Make
) -> None:
    made = detoured(lab, corridor, "mover")
    wait_for("it is measured", lambda: controller.get("mover")["slo"]["measuredLatencyUs"])
    flows = both_ways(lab, 4)
    controller.patch("mover", keeping_off(links(made)[0]))
    moved = controller.settled("mover")
    assert links(moved) == [DIRECT]
    move, got = moved["lastMove"], [flow.result() for flow in flows]
    assert (move["hitless"], move["reason"]) == (True, "OWNER")
    assert move["fasterUs"] == made["legs"][0]["latencyUs"] - moved["legs"][0]["latencyUs"] > 0
    assert [each["lost"] for each in got] == [0, 0]
    measured = wait_for("both paths are measured", lambda: measured_move(controller), 15)
    print("moved", move, measured, [(each["reordered"], each["one_way_us"]) for each in got])
    for each in got:
        assert each["reordered"] <= move["overtakenPackets"] + held_up(each)


def test_where_order_is_guarded_a_faster_path_is_refused_and_nothing_changes(
    lab: Lab, controller: Controller, corridor: Make
) -> None:
    made = detoured(lab, corridor, "ordered", reordering="FORBID")
    flows = both_ways(lab, 3)
    answer = controller.client.patch("/v1/tenants/default/corridors/ordered", json=keeping_off(links(made)[0]))
    assert answer.status_code == httpx.codes.CONFLICT
    assert (answer.json()["reason"], answer.json()["metadata"]) == ("NEEDS_INTERRUPTION", {"loss": "REORDERING"})
    got = [flow.result() for flow in flows]
    assert [(each["lost"], each["reordered"]) for each in got] == [(0, 0), (0, 0)]
    now = controller.get("ordered")
    assert (now["legs"], now["generation"]) == (made["legs"], made["generation"])
    controller.patch("ordered", {**keeping_off(links(made)[0]), "allowInterruption": True})
    moved = controller.settled("ordered")
    assert links(moved) == [DIRECT]
    assert not moved["lastMove"]["hitless"]


def test_a_node_that_falls_silent_in_clean_keeps_nobody_from_the_next_change(
    lab: Lab, controller: Controller, corridor: Make
) -> None:
    """The node between the ends of the old route is asked for nothing before the traffic has left it."""
    made = detoured(lab, corridor, "waits")
    (middle,) = {"ft-o", "cp-o", "sg-o"} & {part for name in links(made) for part in passed(name)}
    flows = both_ways(lab, SILENT_S)
    with silenced(lab, f"line-card/{middle}"):
        controller.patch("waits", keeping_off(links(made)[0]))
        wait_for("it is up on the new path", lambda: links(controller.get("waits")) == [DIRECT])
        told = wait_for("one node is waited for", lambda: draining(controller), SILENT_S)
        assert middle in conditions(told)["Draining"]
        assert (told["state"], told["reconciling"]) == ("UP", False)
        controller.patch("waits", {"profiles": [{"name": "only", "bandwidthKbps": 30_000}]})
        assert controller.settled("waits")["legs"][0]["slices"][0]["activeSlots"] == 4
    wait_for("it has let go", lambda: "Draining" not in conditions(controller.get("waits")), SILENT_S)
    for flow in flows:
        flow.stop()
    assert [flow.result()["lost"] for flow in flows] == [0, 0]


def measured_move(controller: Controller) -> dict[str, Any] | None:
    move: dict[str, Any] = controller.get("mover")["lastMove"]
    return move if move["measured"] else None


def passed(fibre: str) -> tuple[str, ...]:
    """The OTN nodes at the ends of a fibre, by its name."""
    return tuple(f"{site}-o" for site in fibre.rsplit("/", 1)[1].split("-")[1:])


def draining(controller: Controller) -> dict[str, Any] | None:
    told = controller.get("waits")
    return told if "Draining" in conditions(told) and not told["reconciling"] else None
