"""What a corridor carries between two routers of any kind: its bandwidth in IP bits, shaped or policed, no more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from corridor_lab import Make, channel
from rates import carries, flooded_kbps
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from sites import EAST, PATIENCE_S, WAYS, WEST, Mix, body, ended, met, tenant_body

from topologies.lab import Lab
from topologies.system import Controller
from topologies.traffic import Flow, Load, await_ping, ping

SECONDS, TOLERANCE = 3.0, 0.03
QUEUED_US = 50_000
"""Longer than a packet waits anywhere but in the queue of a shaper that is offered too much."""
STRANGERS = ("10.7.0.2", "2001:db8:7::2")
"""Nobody's, and in no corridor."""


@dataclass(frozen=True, slots=True)
class Excess:
    """Half as much again as a corridor carries, in one direction."""

    target: str
    """What the router runs that has to hold it to its profile."""
    kbps: int
    flow: Flow


def too_much(lab: Lab, mix: Mix, tenant: str, mbps: int, family: int) -> Iterator[Excess]:
    """Both ways."""
    load = Load(mbps * 1500, seconds=PATIENCE_S)
    for target, (a, z) in zip(mix, WAYS.values(), strict=True):
        flow = Flow(lab, a.tenant_host(tenant), z.tenant_host(tenant), z.tenant_address[family], load)
        yield Excess(target, mbps * 1000, flow)


def served(flows: list[Excess]) -> float:
    """The least part of its bandwidth that a flow got; none got more. What is too much waits, or is dropped at once."""
    time.sleep(SECONDS)
    found = list(zip(flows, ended([each.flow for each in flows]), strict=True))
    parts = [got["ip_kbps"] / each.kbps for each, got in found]
    assert max(parts) <= 1 + TOLERANCE, parts
    for each, got in found:
        waited = got["one_way_us"]["p50"] > QUEUED_US
        assert waited == (each.target == "linux") or min(parts) < 1 - TOLERANCE, (each, got["one_way_us"])
    return float(min(parts))


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("mbps", [2, 10])
def test_carries_its_bandwidth_both_ways_and_not_more(
    lab: Lab, corridor: Make, mix: Mix, mbps: int, family: int
) -> None:
    """A hard one, beside another tenant's soft one with the other bandwidth, at the same addresses."""
    wanted = {"acme": ("HARD", mbps), "globex": ("SOFT", 12 - mbps)}
    for tenant, (isolation, size) in wanted.items():
        corridor("rate", tenant_body(tenant, isolation, only=size), tenant)
        for a, z in WAYS.values():
            await_ping(lab, a.tenant_host(tenant), z.tenant_address[family])

    def worst_of_all() -> float:
        return served([e for name, (_, size) in wanted.items() for e in too_much(lab, mix, name, size, family)])

    carries(1.0, TOLERANCE, worst_of_all)


def test_slots_carry_ten_megabits_each_and_not_more(lab: Lab, corridor: Make) -> None:
    """Flooded past the router, straight at the OTN client port: the slots are the limit."""
    made = corridor("slots", body(only=2))
    slots = made["legs"][0]["slices"][0]["activeSlots"]
    assert slots == 1
    frame = bytes(Ether(dst=channel(made), src="06:00:00:01:00:01", type=0x88B5) / Raw(bytes(1386)))
    carries(10_000, 0.05, lambda: flooded_kbps(lab, WEST.router, EAST.router, frame, 20_000))


@pytest.mark.parametrize(("way", "family"), [("eastward", 0), ("westward", 1)])
def test_traffic_without_a_corridor_goes_nowhere(lab: Lab, corridor: Make, way: str, family: int) -> None:
    """The same VRF, other destinations: nothing of it leaves the router."""
    source, sink = WAYS[way]
    corridor("only", body(only=2))
    met(lab)
    with lab.capture(source.router, "eth1", "ip6 proto 41 or ip6 proto 4") as capture:
        assert ping(lab, source.host, STRANGERS[family]) == 0
        assert ping(lab, source.host, sink.address[family]) == 3
    inner = {v4 or v6.split(",")[-1] for v4, v6 in capture.fields("ip.dst", "ipv6.dst")}
    assert inner == {sink.address[family], source.address[family]}


def test_deleted_is_gone(lab: Lab, controller: Controller) -> None:
    controller.create("brief", body(only=2))
    met(lab)
    controller.delete("brief")
    for family, (source, sink) in enumerate(WAYS.values()):
        assert ping(lab, source.host, sink.address[family]) == 0
