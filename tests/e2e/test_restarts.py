"""Restarts: of the controller, of an agent, of an OTN switch. The same entries stand again, traffic goes on."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
from places import ADDRESS, CP, FT, YZ, ZGC, Make, body

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import Flow, Load, await_ping

COUNTERS = re.compile(r"packets \d+ bytes \d+")
FLOW = re.compile(
    r"cookie=0x(?P<tag>c0de)\w{4}(?P<slice>\w{8}).* table=0,.* (?P<match>priority=\S+) actions=(?P<actions>\S+)"
)
METER = re.compile(r"meter=(\d+) .*\n.*rate=(\d+) burst_size=(\d+)")


def router_state(lab: Lab, router: str) -> dict[str, Any]:
    """What the kernel of a router holds of ours."""

    def routes(*options: str) -> list[str]:
        output = lab.run(router, ["ip", "-j", *options, "route", "show", "table", "all", "proto", "200"]).stdout
        return sorted(json.dumps(each, sort_keys=True) for each in json.loads(output or "[]"))

    return {
        "routes": (routes("-6"), routes("-4")),
        "rules": sorted(lab.run(router, ["ip", "-6", "rule"]).stdout.splitlines()),
        "nft": COUNTERS.sub("", lab.run(router, ["nft", "list", "table", "inet", "corridor"]).stdout),
        "classes": sorted(re.findall(r"class htb .*", lab.run(router, ["tc", "class", "show", "dev", "eth1"]).stdout)),
    }


def switch_state(lab: Lab, node: str) -> set[tuple[str, ...]]:
    """Our flows of an OTN node: slice, match, actions, and the rate and burst of the meter that they go through."""
    meters = {number: (rate, burst) for number, rate, burst in METER.findall(lab.ofctl(node, "dump-meters"))}
    found = set()
    for flow in FLOW.finditer(lab.ofctl(node, "dump-flows")):
        meter = re.search(r"meter:(\d+)", flow["actions"])
        actions = re.sub(r"meter:\d+", "meter", flow["actions"])
        found.add((flow["slice"], flow["match"], actions, *(meters.get(meter[1], ("?",)) if meter else ())))
    return found


@pytest.fixture
def two(lab: Lab, controller: Controller, corridor: Make) -> None:
    corridor("stays", body(ZGC, YZ, only=20))
    corridor("shared", body(CP, FT, "SOFT", only=20))
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    await_ping(lab, CP, ADDRESS[FT][1])


def both_flows(lab: Lab, during: Callable[[], None], seconds: float) -> list[dict[str, Any]]:
    flows = [
        Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(10_000, seconds=seconds)),
        Flow(lab, CP, FT, ADDRESS[FT][1], Load(10_000, seconds=seconds)),
    ]
    during()
    return [flow.result() for flow in flows]


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_controller(lab: Lab, controller: Controller, how: signal.Signals) -> None:
    before = [router_state(lab, "zgc-r"), switch_state(lab, "zgc-o"), switch_state(lab, "yz-o")]

    def restart() -> None:
        controller.stop(how)
        controller.start()
        controller.await_topology()

    for got in both_flows(lab, restart, 12):
        assert got["lost"] == 0
    for number, now in enumerate([router_state(lab, "zgc-r"), switch_state(lab, "zgc-o"), switch_state(lab, "yz-o")]):
        assert now == before[number]
    assert controller.settled("stays")["state"] == "UP"


@pytest.mark.usefixtures("two")
def test_agent(lab: Lab, controller: Controller) -> None:
    before = router_state(lab, "zgc-r")

    def restart() -> None:
        lab.restart_router_agent("zgc-r")
        wait_for("the node answers again", lambda: node_status(controller, "zgc-r") == "UP")

    for got in both_flows(lab, restart, 6):
        assert got["lost"] == 0
    assert router_state(lab, "zgc-r") == before
    controller.patch("stays", {"displayName": "written through the new agent"})


@pytest.mark.usefixtures("two")
def test_switch(lab: Lab, controller: Controller) -> None:
    """An OTN switch comes back empty and is filled again."""
    before = switch_state(lab, "zgc-o")
    assert len(before) > 12  # two flows for each of its five trails, two for the slice, punt and drop
    lab.restart_otn_switch("zgc-o")
    wait_for("the same flows and meters", lambda: switch_state(lab, "zgc-o") == before, 30)
    await_ping(lab, ZGC, ADDRESS[YZ][1], 20)
    controller.await_topology()


def node_status(controller: Controller, name: str) -> str:
    return next(n["status"] for n in controller.topology()["nodes"] if n["name"].endswith(f"/{name}"))


@pytest.mark.usefixtures("two")
def test_foreign_entries_are_left_alone(lab: Lab, controller: Controller) -> None:
    lab.run("zgc-r", ["ip", "-6", "route", "replace", "2001:db8:ffff::/48", "dev", "eth1", "metric", "4000"])
    lab.ofctl("zgc-o", "add-flow", "cookie=0x1234,priority=5,dl_type=0x88b6,actions=drop")
    controller.patch("stays", {"profiles": [{"name": "only", "bandwidthKbps": 30_000}]})
    controller.settled("stays")
    assert "2001:db8:ffff::/48" in lab.run("zgc-r", ["ip", "-6", "route"]).stdout
    assert "0x1234" in lab.ofctl("zgc-o", "dump-flows")
    lab.run("zgc-r", ["ip", "-6", "route", "del", "2001:db8:ffff::/48", "dev", "eth1", "metric", "4000"])
    lab.ofctl("zgc-o", "del-flows", "cookie=0x1234/-1")
