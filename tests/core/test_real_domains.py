"""Every pair of customer ports of the domains that ship: planned, rendered, and walked through."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from journeys import all_arrive, consistent, not_overcommitted
from networks import Network

from controller.core.model import Corridor, EndPoint, Isolation, Profile
from controller.core.topology import Topology
from controller.topology_file import load

TOPOLOGIES = Path(__file__).parents[2] / "topologies"


def pairs(topology: Topology) -> list[tuple[str, EndPoint, EndPoint]]:
    """(tenant, one end, other end) of all ports that one tenant has at different routers."""
    ends = []
    for node in topology.routers:
        for port in node.access_ports:
            v4, v6 = (_network(text) for text in (port.ipv4_gateway, port.ipv6_gateway))
            ends.append((port.tenant, EndPoint(node.name, port.name, v4, v6)))
    return [(a[0], a[1], z[1]) for a, z in combinations(ends, 2) if a[0] == z[0] and a[1].node != z[1].node]


def _network(gateway: str) -> tuple[str, ...]:
    """All gateways that ship are the first host of a /24 or /64 written in full."""
    address, length = gateway.split("/")
    assert address.endswith("1")
    assert length in ("24", "64")
    return (f"{address[:-1]}{'0' if '.' in address else ''}/{length}",)


@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("name", ["metro-beijing", "east-west"])
def test_all_pairs_at_once(name: str, isolation: Isolation) -> None:
    file = load(TOPOLOGIES / f"{name}.yaml")
    net = Network.of(Topology.planned(file.domain, file.srv6_block, file.nodes, file.links))
    wanted = pairs(net.topology)
    assert len(wanted) > 10
    for number, (tenant, a, z) in enumerate(wanted):
        profiles = (Profile("low", 1_000), Profile("high", 2_000))
        net.stand(Corridor(f"tenants/{tenant}/corridors/c{number}", "", "", a, z, isolation, profiles=profiles,
                           active_profile="high"))  # fmt: skip
    consistent(net.tables())
    all_arrive(net)
    not_overcommitted(net)


def test_places_of_one_city_are_within_a_millisecond() -> None:
    """Metro circle of 1 ms one way: fibre, equipment and clocking into a 100 Mbit/s slice together."""
    file = load(TOPOLOGIES / "metro-beijing.yaml")
    for tenant, a, z in pairs(Topology.planned(file.domain, file.srv6_block, file.nodes, file.links)):
        net = Network.of(Topology.planned(file.domain, file.srv6_block, file.nodes, file.links))
        profiles = (Profile("p", 100_000),)
        net.stand(Corridor(f"tenants/{tenant}/corridors/c", "", "", a, z, profiles=profiles, active_profile="p",
                           max_latency_us=1000))  # fmt: skip
