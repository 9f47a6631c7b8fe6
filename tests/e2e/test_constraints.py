"""Constraints, refusals and routes, with packets: what is asked for is where the traffic runs, whatever comes back."""

from __future__ import annotations

from typing import Any

from places import ADDRESS, YZ, ZGC, Make, body

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import Flow, Load, await_ping, interface_bytes

LINKS = "domains/metro-beijing/links"
CORRIDORS = "/v1/tenants/default/corridors"
OTHERS = ("A-zgc-yz", "A-zgc-ft", "A-sg-zgc", "X-cp-yz", "A-cp-tz")


def round_about() -> dict[str, Any]:
    """zgc to yz by way of cp, sy and tz: the other ways are excluded."""
    asked = body(ZGC, YZ, "SOFT", only=20)
    return {**asked, "pathConstraints": {"excludeLinks": [f"{LINKS}/{name}" for name in OTHERS]}}


def status(controller: Controller, link: str) -> str:
    links = controller.topology()["links"]
    return next(str(each["status"]) for each in links if each["name"] == f"{LINKS}/{link}")


def test_a_mended_fibre_does_not_lead_a_standing_corridor_astray(
    lab: Lab,
    controller: Controller,
    fibres: list[str],
    corridor: Make,
) -> None:
    fibres.append("F-cp-tz")
    lab.cut("F-cp-tz")
    wait_for("A-cp-tz down", lambda: status(controller, "A-cp-tz") == "DOWN")
    before = corridor("astray", round_about())["legs"][0]
    assert [name.rsplit("/", 1)[1] for name in before["nodes"]] == ["zgc-r", "cp-r", "sy-r", "tz-r", "yz-r"]
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    flow = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(10_000, seconds=5))
    passed = interface_bytes(lab, "sy-r", "eth1")
    lab.mend("F-cp-tz")
    fibres.remove("F-cp-tz")
    after = wait_for("another list", lambda: renewed(controller, before))
    got = flow.result()
    assert after["links"] == before["links"]
    assert "sy-r" in after["forward"]["description"], "routes of cp lead to tz directly again"
    assert (got["lost"], got["reordered"]) == (0, 0)
    assert interface_bytes(lab, "sy-r", "eth1") - passed > got["received"] * 1400, "all of it passed sy"


def renewed(controller: Controller, before: dict[str, Any]) -> dict[str, Any] | None:
    now = controller.get("astray")
    leg: dict[str, Any] = now["legs"][0]
    return leg if now["state"] == "UP" and not now["reconciling"] and leg["forward"] != before["forward"] else None


def test_what_a_refusal_offers_is_accepted(controller: Controller, corridor: Make) -> None:
    asked = {**round_about(), **{key: body(ZGC, YZ, "SOFT", only=2_000)[key] for key in ("profiles", "activeProfile")}}
    answer = controller.client.post(CORRIDORS, params={"corridorId": "wide"}, json=asked)
    assert answer.status_code == 422, answer.text
    told = answer.json()["metadata"]
    kbps = int(told["maxBandwidthKbps"])
    assert int(told["have"]) < int(told["need"])
    one_more = {**asked, "profiles": [{"name": "only", "bandwidthKbps": kbps + 1}]}
    refused = controller.client.post(CORRIDORS, params={"corridorId": "wide"}, json=one_more)
    assert refused.status_code == answer.status_code
    corridor("wide", {**asked, "profiles": [{"name": "only", "bandwidthKbps": kbps}]})


def test_a_latency_that_cannot_be_kept_is_answered_with_the_one_that_can(
    controller: Controller, corridor: Make
) -> None:
    asked = {**round_about(), "maxLatencyUs": 400}
    told = controller.client.post(CORRIDORS, params={"corridorId": "late"}, json=asked).json()["metadata"]
    assert told["binding"].split(",")[0] == "LATENCY_BOUND"
    made = corridor("late", {**asked, "maxLatencyUs": int(told["minLatencyUs"])})
    assert made["legs"][0]["latencyUs"] == int(told["minLatencyUs"])
