"""Restarts of the controller and of what a router runs: the same entries stand again, and traffic goes on.

The kernel forwards without its agent. BMv2 forgets everything, and is filled again.
"""

from __future__ import annotations

import signal

import httpx
import pytest
from corridor_lab import Make
from held import entries, tables
from sites import EAST, WAYS, WEST, Mix, Site, body, both_ways, met, tenant_body

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import await_ping

SITES = (WEST, EAST)
KBPS = 1_000


@pytest.fixture(autouse=True)
def two(lab: Lab, corridor: Make) -> None:
    """A hard and a soft corridor; the hosts have found each other."""
    corridor("stays", body(only=2))
    corridor("beside", tenant_body("acme", "SOFT", only=2), "acme")
    met(lab)


def test_controller_stopped_and_killed(lab: Lab, controller: Controller) -> None:
    """Without writing a word to routers that have all: BMv2 would forget it with the same program pushed again."""
    before = [entries(lab, site.router) for site in SITES]
    with both_ways(lab, KBPS) as results:
        for how in (signal.SIGTERM, signal.SIGKILL):
            controller.stop(how)
            controller.start()
            wait_for("the routers are known", lambda: known(controller), 30)
        controller.await_topology()
        assert controller.settled("stays")["state"] == "UP"
    assert [(got["lost"], got["duplicated"]) for got in results] == [(0, 0)] * 2
    assert [entries(lab, site.router) for site in SITES] == before


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.place)
def test_what_a_router_runs(lab: Lab, controller: Controller, mix: Mix, site: Site) -> None:
    before = entries(lab, site.router)
    assert tables(before) >= {"policy", "classifier_v4", "classifier_v6", "local_sid", "next_hop", "port_role"}
    with both_ways(lab, KBPS) as results:
        lab.restart_router_agent(site.router)
        for source, sink in WAYS.values():
            await_ping(lab, source.host, sink.address[0], 30)
        # Not sooner: nobody may read from a BMv2 that is given its program.
        wait_for("the same entries", lambda: entries(lab, site.router) == before, 30)
        wait_for("the node answers again", lambda: status(controller, site.router) == "UP")
    target = mix[SITES.index(site)]
    assert [got["lost"] == 0 for got in results] == [target == "linux"] * 2
    assert entries(lab, site.router) == before
    controller.await_topology()
    controller.patch("stays", {"profiles": [{"name": "only", "bandwidthKbps": 3_000}]})  # written to the new one
    assert controller.settled("stays")["state"] == "UP"
    assert entries(lab, site.router) != before


def known(controller: Controller) -> bool:
    """False, too, while nobody listens."""
    try:
        return all(status(controller, site.router) == "UP" for site in SITES)
    except httpx.TransportError:
        return False


def status(controller: Controller, name: str) -> str:
    return next(str(n["status"]) for n in controller.topology()["nodes"] if n["name"].endswith(f"/{name}"))
