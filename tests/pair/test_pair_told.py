"""What the controller says of routers that differ, and what follows: enforcement, protection."""

from __future__ import annotations

import pytest
from corridor_lab import Make
from line_cards import all_watched, selectors
from sites import EAST, WAYS, WEST, Mix, body, both_ways, met

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import await_ping

OTN_NODES = ("west-o", "east-o")
CORRIDORS = "/v1/tenants/default/corridors"
ENFORCEMENT = {"linux": "SHAPED", "bmv2": "POLICED"}
ABLE = {
    "linux": {"shaping": True, "liveness": "REMOTE", "resolvesNeighbors": True, "fenced": True},
    "bmv2": {"shaping": False, "liveness": "LOCAL_PORT", "resolvesNeighbors": False, "fenced": False},
}


def test_nodes_tell_what_they_can_do(controller: Controller, mix: Mix) -> None:
    nodes = {node["name"].rpartition("/")[2]: node for node in controller.topology()["nodes"]}
    for site, target in zip((WEST, EAST), mix, strict=True):
        able = nodes[site.router]["capabilities"]
        assert {name: able[name] for name in ABLE[target]} == ABLE[target]


@pytest.mark.parametrize("isolation", ["HARD", "SOFT"])
def test_each_direction_tells_how_it_is_held_to_its_profile(corridor: Make, mix: Mix, isolation: str) -> None:
    leg = corridor("held", body(isolation, only=2))["legs"][0]
    told = leg["forwardEnforcement"], leg["reverseEnforcement"]
    assert told == tuple(ENFORCEMENT[target] for target in mix)


def test_soft_protection_is_refused_where_a_headend_sees_its_own_ports_only(controller: Controller, mix: Mix) -> None:
    if "bmv2" not in mix:
        return
    asked = body("SOFT", only=2) | {"protection": "PROTECT"}
    answer = controller.client.post(CORRIDORS, params={"corridorId": "unsafe"}, json=asked)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "PROTECT_NOT_OFFERED" in answer.text
    assert "LOCAL_PORT" in answer.text
    assert controller.client.get(f"{CORRIDORS}/unsafe").status_code == 404


def test_soft_protection_takes_the_way_around_where_both_headends_see_beyond_their_ports(
    corridor: Make, mix: Mix
) -> None:
    """Of the two trails neither shares a fibre, nor a node but the ends, with the other: the longer one stands in."""
    if "bmv2" in mix:
        return
    leg = corridor("safe", body("SOFT", only=2) | {"protection": "PROTECT"})["legs"][0]
    ways = leg["links"], leg["backup"]["links"]
    assert [[link.rpartition("/")[2] for link in way] for way in ways] == [["A-direct"], ["A-around"]]


def test_hard_protection_is_the_optical_layer_s(
    lab: Lab, controller: Controller, corridor: Make, fibres: list[str]
) -> None:
    """The line cards switch over and the routers never hear of it: same slices, and hardly a gap."""
    made = corridor("protected", body(only=2) | {"protection": "PROTECT"})
    slices = made["legs"][0]["slices"]
    assert [part["role"] for part in slices] == ["WORKING", "PROTECTION"]
    met(lab)
    wait_for("both slices watched", lambda: all_watched(lab, *OTN_NODES))
    with both_ways(lab, 1_000, ip_bytes=200) as results:
        fibres.append("F-west-east")
        lab.cut("F-west-east")
        wait_for("switched over", lambda: all(end.on_protection for end in selectors(lab, *OTN_NODES).values()))
        wait_for("the controller knows", lambda: "ProtectionSwitched" in conditions(controller))
        for source, sink in WAYS.values():
            await_ping(lab, source.host, sink.address[1])
    assert all(got["longest_gap_ms"] < 500 for got in results), [got["longest_gap_ms"] for got in results]
    assert controller.get("protected")["legs"][0]["slices"] == slices


def conditions(controller: Controller) -> set[str]:
    return {condition["type"] for condition in controller.get("protected")["conditions"]}
