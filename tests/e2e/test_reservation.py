"""A growth that cannot be had at one hop changes nothing at any: the corridor stands as it stood, and says why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from otn_nodes import everything, expected, free_slots, meters, otn_nodes, slice_ids, slots
from places import ADDRESS, SG, SY, Make, body

from topologies.lab import Lab
from topologies.system import Controller, profiles, wait_for
from topologies.traffic import Flow, Load, await_ping

FIBRES = ("F-sg-zgc", "F-zgc-cp", "F-cp-sy")
"""The shortest way from Shougang to Shunyi: the reservations of its third hop are in cp-o and sy-o."""


@pytest.fixture
def narrow(lab: Lab, controller: Controller) -> Iterator[str]:
    """The line card at the end of the third hop knows of three slots in its server, of 238."""
    node = "sy-o"
    fibre = next(link for link in controller.topology()["links"] if link["name"].endswith("/F-cp-sy"))
    port = fibre["aPort"] if fibre["aNode"].endswith("/sy-o") else fibre["zPort"]
    lab.restart_line_card(node, "--server", f"{port}:odu1-1=3")
    yield node
    lab.restart_line_card(node)


def await_refilled(lab: Lab, controller: Controller, corridor: dict[str, Any]) -> None:
    ours = slice_ids(corridor)
    wanted = expected(controller, [corridor])
    nodes = otn_nodes(controller)
    wait_for("the line card holds all again", lambda: (slots(lab, nodes, ours), meters(lab, nodes, ours)) == wanted)


def test_a_reservation_rejected_at_the_third_hop_leaves_all_as_it_was(
    lab: Lab, controller: Controller, corridor: Make, request: pytest.FixtureRequest
) -> None:
    made = corridor("narrow", body(SG, SY, only=20))
    assert tuple(link.rpartition("/")[2] for link in made["legs"][0]["links"]) == FIBRES
    await_ping(lab, SG, ADDRESS[SY][1])
    request.getfixturevalue("narrow")
    await_refilled(lab, controller, made)
    nodes = otn_nodes(controller)
    before, free = everything(lab, nodes), free_slots(controller)
    flow = Flow(lab, SG, SY, ADDRESS[SY][1], Load(15_000, seconds=4))
    controller.patch("narrow", {"profiles": profiles(only=60)})
    after = wait_for("rolled back", lambda: rolled_back(controller, "narrow"))
    assert flow.result()["lost"] == 0
    assert "sy-o" in next(c["message"] for c in after["conditions"] if c["type"] == "RolledBack")
    assert after["profiles"] == made["profiles"]
    assert after["legs"][0]["slices"][0]["hops"] == made["legs"][0]["slices"][0]["hops"]
    assert everything(lab, nodes) == before
    assert free_slots(controller) == free


def rolled_back(controller: Controller, corridor_id: str) -> dict[str, Any] | None:
    now = controller.get(corridor_id)
    told = [c for c in now["conditions"] if c["type"] == "RolledBack"]
    return now if told and not now["reconciling"] else None
