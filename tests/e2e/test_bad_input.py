"""Bad requests against the live system: each gets a problem that names the field, and nothing changes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from places import YZ, ZGC, Make, body

from topologies.lab import Lab
from topologies.system import Controller

Spoil = Callable[[dict[str, Any]], None]
SPOILT: dict[str, tuple[Spoil, str]] = {
    "unknown node": (lambda b: b["aEnd"].update(node="domains/metro-beijing/nodes/nowhere"), "aEnd.node"),
    "unknown port": (lambda b: b["zEnd"].update(port="attic"), "zEnd.port"),
    "zero bandwidth": (lambda b: b["profiles"][0].update(bandwidthKbps=0), "bandwidthKbps"),
    "negative bandwidth": (lambda b: b["profiles"][0].update(bandwidthKbps=-5), "bandwidthKbps"),
    "absurd bandwidth": (lambda b: b["profiles"][0].update(bandwidthKbps=4_000_000_000), "bandwidthKbps"),
    "not a number": (lambda b: b["profiles"][0].update(bandwidthKbps="much"), "bandwidthKbps"),
    "faster than light": (lambda b: b.update(maxLatencyUs=30), "maxLatencyUs"),
    "same ends": (lambda b: b.update(zEnd=b["aEnd"]), "zEnd"),
    "unknown profile": (lambda b: b.update(activeProfile="sleep"), "activeProfile"),
    "unknown field": (lambda b: b.update(colour="red"), "colour"),
    "infrastructure prefix": (lambda b: b["aEnd"].update(ipv6Prefixes=["fcbb:bb00:1::/48"]), "ipv6Prefixes"),
    "no prefix": (lambda b: b["aEnd"].update(ipv4Prefixes=["ten/8"]), "ipv4Prefixes"),
    "tiny mtu": (lambda b: b.update(mtuBytes=100), "mtuBytes"),
}


def everything(lab: Lab, controller: Controller) -> tuple[Any, ...]:
    links = controller.topology()["links"]
    return (
        controller.client.get("/v1/tenants/-/corridors").json(),
        [(link["name"], link.get("servers"), link.get("reservedForwardKbps")) for link in links],
        [line.split("actions=")[-1] for line in lab.ofctl("zgc-o", "dump-flows").splitlines()],
    )


@pytest.mark.parametrize("case", SPOILT)
def test_refused_and_nothing_changed(lab: Lab, controller: Controller, case: str) -> None:
    spoil, field = SPOILT[case]
    asked = copy.deepcopy(body(ZGC, YZ))
    spoil(asked)
    before = everything(lab, controller)
    answer = controller.client.post("/v1/tenants/default/corridors", params={"corridorId": "bad"}, json=asked)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in answer.text
    assert everything(lab, controller) == before


def test_infeasible_says_what_binds(lab: Lab, controller: Controller) -> None:
    answer = controller.client.post(
        "/v1/tenants/default/corridors", params={"corridorId": "tight"}, json={**body(ZGC, YZ), "maxLatencyUs": 150}
    )
    assert 400 <= answer.status_code < 500
    assert "latencyUs" in answer.text


def test_stale_etag(controller: Controller, corridor: Make) -> None:
    made = corridor("tagged", body(ZGC, YZ, only=20))
    controller.patch("tagged", {"displayName": "second"})
    path = "/v1/tenants/default/corridors/tagged"
    answer = controller.client.patch(path, json={"displayName": "third"}, headers={"If-Match": f'"{made["etag"]}"'})
    assert answer.status_code in (409, 412)
    assert controller.get("tagged")["displayName"] == "second"


def test_the_same_traffic_twice(controller: Controller, corridor: Make) -> None:
    corridor("first", body(ZGC, YZ, only=20))
    answer = controller.client.post(
        "/v1/tenants/default/corridors", params={"corridorId": "second"}, json=body(ZGC, YZ, only=20)
    )
    assert 400 <= answer.status_code < 500
    assert "first" in answer.text
