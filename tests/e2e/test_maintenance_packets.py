"""Nodes and a fibre taken out of service under traffic: corridors leave them without losing a packet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from places import ADDRESS, CP, FT, SY, YZ, Make, body

from topologies.lab import Lab
from topologies.system import Controller
from topologies.traffic import Flow, Load, await_ping

KBPS, LEAST = 10_000, 800
"""Of a flow, and packets that it has a second at least."""


@pytest.fixture
def drain(controller: Controller) -> Iterator[Any]:
    """Drain a node or link by name; whatever was drained is in use again after the test."""
    drained: list[str] = []

    def ask(name: str, action: str = "drain", **body: Any) -> dict[str, Any]:
        answer = controller.client.post(f"/v1/{name}:{action}", json=body, timeout=60.0).raise_for_status().json()
        if action == "drain" and not body:
            drained.append(name)
        return dict(answer)

    yield ask
    for name in drained:
        ask(name, "undrain")


@pytest.fixture
def two(lab: Lab, corridor: Make) -> list[dict[str, Any]]:
    """A hard and a soft corridor, each over a node that neither ends at."""
    made = [corridor("hard", body(SY, YZ, only=20)), corridor("soft", body(CP, FT, "SOFT", only=20))]
    await_ping(lab, SY, ADDRESS[YZ][1])
    await_ping(lab, CP, ADDRESS[FT][1])
    return made


def otn_nodes(controller: Controller, made: dict[str, Any]) -> set[str]:
    """Those that its fibres end at."""
    links = {link["name"]: link for link in controller.topology()["links"]}
    fibres = {fibre for name in made["legs"][0]["links"] for fibre in (links[name]["trail"] or [name])}
    return {links[fibre][end] for fibre in fibres for end in ("aNode", "zNode")}


def at_ends(controller: Controller, *made: dict[str, Any]) -> set[str]:
    """OTN nodes that the ends of corridors hang on."""
    routers = {each[end]["node"] for each in made for end in ("aEnd", "zEnd")}
    clients = [link for link in controller.topology()["links"] if link["kind"] == "CLIENT"]
    return {link[end] for link in clients for end in ("aNode", "zNode") if routers & {link["aNode"], link["zNode"]}}


def test_a_node_is_emptied_under_two_flows_and_given_back(
    lab: Lab, controller: Controller, two: list[dict[str, Any]], drain: Any
) -> None:
    """Whatever transit nodes they have, one after the other; 0 packets of either flow are lost or come twice."""
    between = [otn_nodes(controller, each) - at_ends(controller, *two) for each in two]
    node = sorted(between[0] & between[1] or between[0] or between[1])[0]
    on_it = {each["name"] for each, nodes in zip(two, between, strict=True) if node in nodes}
    told = drain(node, validateOnly=True)
    assert (set(told["moved"]), told["staying"]) == (on_it, [])
    flows = [Flow(lab, a, z, ADDRESS[z][1], Load(KBPS, seconds=6)) for a, z in ((SY, YZ), (CP, FT))]
    done = drain(node)
    assert (done["drained"], set(done["moved"]), done["staying"]) == (True, on_it, [])
    undone = drain(node, "undrain")
    assert not undone["drained"]
    for flow in flows:
        got = flow.result()
        assert got["received"] > 6 * LEAST
        assert (got["lost"], got["duplicated"]) == (0, 0)
    for each in (controller.settled("hard"), controller.settled("soft")):
        if each["name"] in on_it:
            assert node not in otn_nodes(controller, each)
            assert (each["lastMove"]["reason"], each["lastMove"]["hitless"]) == ("DRAINED", True)


def test_a_fibre_that_is_drained_can_be_cut(
    lab: Lab, controller: Controller, two: list[dict[str, Any]], drain: Any, fibres: list[str]
) -> None:
    """Nobody notices: that is what it was drained for."""
    links = {link["name"]: link for link in controller.topology()["links"]}
    fibre = two[0]["legs"][0]["links"][0]
    assert links[fibre]["kind"] == "FIBRE"
    done = drain(fibre)
    assert two[0]["name"] in done["moved"]
    assert done["staying"] == []
    flow = Flow(lab, SY, YZ, ADDRESS[YZ][1], Load(KBPS, seconds=3))
    fibres.append(fibre.rpartition("/")[2])
    lab.cut(fibres[-1])
    got = flow.result()
    assert got["received"] > 3 * LEAST
    assert got["lost"] == 0


def test_desired_is_actual_on_every_device(controller: Controller, two: list[dict[str, Any]]) -> None:
    address = f"/v1/domains/{controller.lab.domain}/topology:drift"
    for read_now in ("false", "true"):
        found = controller.client.get(address, params={"readNow": read_now}, timeout=60.0).raise_for_status().json()
        assert len(found["devices"]) == len(controller.topology()["nodes"])
        assert [each["entries"] for each in found["devices"] if each["entries"]] == []
        assert all(each["connected"] and each["desired"] and not each["trouble"] for each in found["devices"])
