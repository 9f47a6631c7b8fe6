"""Fibres of a protected soft corridor cut under traffic: its headends switch over by themselves, controller or not."""

from __future__ import annotations

import json
import signal
import statistics
from collections.abc import Callable
from typing import Any

import outages
import pytest
from outages import PROMISE_MS
from places import ADDRESS, ENDS, SG, SY, YZ, ZGC, Make, body

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import Flow, Load, await_ping

CUTS = 20
CUTS_ALONE = 4
WAIT_TO_RESTORE_S = 1
HEADENDS = ("sg-r", "sy-r")


def switched(lab: Lab, router: str) -> int:
    """Policies of a router that are on their backups, by what its kernel forwards by."""
    output = lab.run(router, ["nft", "-j", "list", "map", "inet", "corridor", "switched"]).stdout
    (found,) = (each["map"] for each in json.loads(output)["nftables"] if "map" in each)
    return len(found.get("elem", []))


def on_path(lab: Lab) -> bool:
    return not any(switched(lab, router) for router in HEADENDS)


def all_is_well(lab: Lab, controller: Controller) -> bool:
    return on_path(lab) and controller.get("protected")["state"] == "UP"


def fibres_of(controller: Controller, links: list[str]) -> list[str]:
    """Short names of the fibres under adjacencies."""
    trails = {link["name"]: link.get("trail", []) for link in controller.topology()["links"]}
    return [fibre.rpartition("/")[2] for name in links for fibre in trails[name]]


def protection(controller: Controller, a: str, z: str) -> dict[str, Any]:
    """What to ask for, where these routers can."""
    nodes = {node["name"].rpartition("/")[2]: node for node in controller.topology()["nodes"]}
    if any(nodes[ENDS[end][0]]["capabilities"]["liveness"] != "REMOTE" for end in (a, z)):
        pytest.skip("these routers see failures of their own ports only")
    recovery = {"waitToRestoreS": WAIT_TO_RESTORE_S}
    return body(a, z, "SOFT", only=20) | {"protection": "PROTECT", "recovery": recovery}


@pytest.fixture
def protected(lab: Lab, controller: Controller, corridor: Make) -> dict[str, Any]:
    made: dict[str, Any] = corridor("protected", protection(controller, SG, SY))
    leg = made["legs"][0]
    path, backup = (set(fibres_of(controller, links)) for links in (leg["links"], leg["backup"]["links"]))
    assert path.isdisjoint(backup)
    await_ping(lab, SG, ADDRESS[SY][1])
    wait_for("traffic on the path", lambda: all_is_well(lab, controller))
    return made


def outage_ms(lab: Lab, fibre: str, there: bool) -> float | None:
    source, sink = (SG, SY) if there else (SY, SG)
    return outages.outage_ms(lab, source, sink, ADDRESS[sink][1], fibre, lambda: on_path(lab))


@pytest.mark.timeout(400)
def test_twenty_cuts_of_a_soft_corridor(
    lab: Lab,
    controller: Controller,
    protected: dict[str, Any],
    fibres: list[str],
    record_property: Callable[[str, object], None],
) -> None:
    """Each fibre of the path in turn, traffic one way and the other; each is mended, and reverted from."""
    path = fibres_of(controller, protected["legs"][0]["links"])

    def cut(number: int) -> float | None:
        fibre = path[number % len(path)]
        fibres.append(fibre)
        outage = outage_ms(lab, fibre, there=number // len(path) % 2 == 0)
        assert outage is None or all(switched(lab, router) for router in HEADENDS)
        lab.mend(fibre)
        fibres.remove(fibre)
        wait_for("traffic is back on the path", lambda: all_is_well(lab, controller), 30)
        return outage

    found = outages.of_cuts(CUTS, cut)
    now = controller.settled("protected")
    assert now["legs"][0]["links"] == protected["legs"][0]["links"]  # nobody has moved it meanwhile
    for name, figure in found.figures.items():
        record_property(name, figure)
    print(found)
    assert max(found.outages) < PROMISE_MS, found
    assert statistics.median(found.outages) > 0  # they were cut indeed


@pytest.mark.timeout(200)
def test_cuts_with_the_controller_gone(
    lab: Lab, controller: Controller, protected: dict[str, Any], fibres: list[str]
) -> None:
    path = fibres_of(controller, protected["legs"][0]["links"])
    controller.stop(signal.SIGKILL)
    try:

        def cut(number: int) -> float | None:
            fibre = path[number % len(path)]
            fibres.append(fibre)
            outage = outage_ms(lab, fibre, there=number % 2 == 0)
            lab.mend(fibre)
            fibres.remove(fibre)
            wait_for("traffic is back on the path", lambda: on_path(lab), 30)
            return outage

        found = outages.of_cuts(CUTS_ALONE, cut)
    finally:
        controller.start()
        controller.await_topology()
    print(found)
    assert max(found.outages) < PROMISE_MS, found
    wait_for("the controller finds it as it was", lambda: all_is_well(lab, controller), 30)
    assert controller.settled("protected")["legs"] == protected["legs"]


def test_reverting_and_repairing_lose_nothing(
    lab: Lab, controller: Controller, protected: dict[str, Any], fibres: list[str]
) -> None:
    """Traffic goes back while both paths carry: what is under way on either arrives."""
    path = fibres_of(controller, protected["legs"][0]["links"])
    fibres.append(path[0])
    lab.cut(path[0])
    wait_for("switched over", lambda: all(switched(lab, router) for router in HEADENDS))
    wait_for("it is told", lambda: controller.get("protected")["state"] == "DEGRADED")
    flow = Flow(lab, SG, SY, ADDRESS[SY][1], Load(4_000, ip_bytes=200, seconds=8))
    lab.mend(path[0])
    fibres.remove(path[0])
    wait_for("traffic is back on the path", lambda: all_is_well(lab, controller), 30)
    got = flow.result()
    assert (got["lost"], got["duplicated"]) == (0, 0)


def test_a_path_that_stays_away_is_left_for_good_without_loss(
    lab: Lab, controller: Controller, corridor: Make, fibres: list[str]
) -> None:
    """The backup carries, becomes the path with another one beside it, and traffic loses nothing thereby."""
    made = corridor("protected", protection(controller, ZGC, YZ))
    first = made["legs"][0]
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    (fibre,) = fibres_of(controller, first["links"])
    fibres.append(fibre)
    lab.cut(fibre)
    ends = ("zgc-r", "yz-r")
    wait_for("switched over", lambda: all(switched(lab, router) for router in ends))
    flow = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(4_000, ip_bytes=200, seconds=20))
    wait_for("another pair", lambda: controller.get("protected")["legs"][0]["links"] == first["backup"]["links"], 30)
    again = controller.settled("protected")["legs"][0]
    wait_for("no need of the backup", lambda: not any(switched(lab, router) for router in ends), 30)
    got = flow.result()
    assert (got["lost"], got["duplicated"]) == (0, 0)
    assert fibre not in fibres_of(controller, [*again["links"], *again["backup"]["links"]])
