"""A server ODU freed under traffic: the corridor that moves loses nothing, and the nodes hold what the ledger says."""

from __future__ import annotations

from typing import Any

from otn_nodes import expected, free_slots, meters, otn_nodes, slice_ids, slots
from places import ADDRESS, YZ, ZGC, Make, body

from topologies.lab import Lab
from topologies.system import Controller
from topologies.traffic import Flow, Load, await_ping

LARGE = 900
"""Mbit/s: two of them fill an ODU1 but for 48 slots."""


def told_apart(number: int) -> dict[str, Any]:
    """By their code points, between the same ports; the traffic here has none."""
    wanted = body(ZGC, YZ, only=LARGE)
    for end in ("aEnd", "zEnd"):
        wanted[end]["dscp"] = number
    return wanted


def test_a_server_is_freed_without_loss(lab: Lab, controller: Controller, corridor: Make) -> None:
    corridor("stays", told_apart(1))
    controller.create("leaves", told_apart(2))
    moved = corridor("moves", told_apart(0))
    controller.delete("leaves")
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    flow = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(20_000, seconds=4))
    address = f"/v1/domains/{lab.domain}/topology:defragment"
    done = controller.client.post(address, json={"maxMoves": 3}).raise_for_status().json()
    assert flow.result()["lost"] == 0
    assert [(move["corridor"].rpartition("/")[2], move["done"]) for move in done["moves"]] == [("moves", True)]
    assert (done["stopped"], done["exhaustive"]) == ("", True)
    (freed,) = done["freed"]
    assert freed["server"] == moved["legs"][0]["slices"][0]["hops"][0]["server"]
    standing = [controller.settled(corridor_id) for corridor_id in ("stays", "moves")]
    assert {hop["server"] for each in standing for hop in each["legs"][0]["slices"][0]["hops"]} == {"odu1-1"}
    assert free_slots(controller).get(("F-zgc-yz", freed["server"]), (238, 238)) == (238, 238)
    ours = {each for corridor_ in standing for each in slice_ids(corridor_)}
    nodes = otn_nodes(controller)
    assert (slots(lab, nodes, ours), meters(lab, nodes, ours)) == expected(controller, standing)
