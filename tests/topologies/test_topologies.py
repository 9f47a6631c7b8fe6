"""The topologies that come with the project: resilience by networkx as the oracle, distances and slots by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import networkx as nx
import pytest

from controller.core.admission import completed
from controller.core.geography import great_circle_km
from controller.core.model import Capabilities, Corridor, EndPoint, LinkKind, Node, NodeKind
from controller.core.neighbors import require_neighbors
from controller.core.topology import Topology
from controller.topology_file import Role, Site, TopologyFile, load

TOPOLOGIES = Path(__file__).parents[2] / "topologies"


def at(place: Site | Node) -> tuple[float, float]:
    return place.latitude, place.longitude


@pytest.fixture(params=["metro-beijing", "east-west", "pair"])
def topology(request: pytest.FixtureRequest) -> TopologyFile:
    return load(TOPOLOGIES / f"{request.param}.yaml")


def graph(topology: TopologyFile, kind: LinkKind) -> nx.Graph:
    """Each link halved by a node of its own, so that two side by side are two ways."""
    drawn = nx.Graph()
    for link in topology.links:
        if link.kind is kind:
            drawn.add_edge(link.a_node, link.name, delay_us=link.delay_us)
            drawn.add_edge(link.name, link.z_node, delay_us=0)
    return drawn


@pytest.mark.parametrize("kind", [LinkKind.FIBRE, LinkKind.ADJACENCY])
def test_each_pair_has_two_disjoint_routes(topology: TopologyFile, kind: LinkKind) -> None:
    drawn = graph(topology, kind)
    wanted = NodeKind.OTN if kind is LinkKind.FIBRE else NodeKind.ROUTER
    places = {node.name for node in topology.nodes if node.kind is wanted}
    assert places <= set(drawn)
    assert all(len(list(nx.edge_disjoint_paths(drawn, a, z))) >= 2 for a, z in combinations(sorted(places), 2))


def test_no_risk_group_cuts_a_site_off(topology: TopologyFile) -> None:
    fibres = [link for link in topology.links if link.kind is LinkKind.FIBRE]
    for group in {group for fibre in fibres for group in fibre.srlgs}:
        rest = nx.Graph((f.a_node, f.z_node) for f in fibres if group not in f.srlgs)
        assert nx.is_connected(rest)
        assert len(rest) == sum(node.kind is NodeKind.OTN for node in topology.nodes)


def test_every_line_has_room_for_slices(topology: TopologyFile) -> None:
    for fibre in (link for link in topology.links if link.kind is LinkKind.FIBRE):
        assert sum(server.fgts for server in fibre.servers) >= 238


def test_metro_lies_within_a_1_ms_circle() -> None:
    drawn = graph(load(TOPOLOGIES / "metro-beijing.yaml"), LinkKind.FIBRE)
    delays = dict(nx.all_pairs_dijkstra_path_length(drawn, weight="delay_us"))
    assert max(delay for row in delays.values() for delay in row.values()) <= 1000


def test_metro_has_what_the_demo_needs() -> None:
    roles = [site.role for site in load(TOPOLOGIES / "metro-beijing.yaml").sites]
    assert roles.count(Role.COMPUTE) == 3
    assert {Role.ENTERPRISE, Role.MOBILE} <= set(roles)


@pytest.mark.parametrize("name", ["metro-beijing", "pair"])
def test_two_tenants_use_the_same_addresses(name: str) -> None:
    topology = load(TOPOLOGIES / f"{name}.yaml")
    by_tenant = {t: [(h.router, h.ipv4, h.ipv6) for h in topology.hosts if h.tenant == t] for t in ("acme", "globex")}
    assert len(by_tenant["acme"]) == 2
    assert by_tenant["acme"] == by_tenant["globex"]
    ports = {(node.name, port.name) for node in topology.nodes for port in node.access_ports}
    assert ports == {(host.router, host.port) for host in topology.hosts}


def test_national_lengths_follow_y1541() -> None:
    topology = load(TOPOLOGIES / "east-west.yaml")
    places = {node.name: node for node in topology.nodes}
    for fibre in (link for link in topology.links if link.kind is LinkKind.FIBRE):
        ground = great_circle_km(at(places[fibre.a_node]), at(places[fibre.z_node]))
        expected = 1.5 * ground if ground < 1000 else 1500 if ground <= 1200 else 1.25 * ground
        assert fibre.length_km == pytest.approx(expected, abs=0.06)


def test_known_distances() -> None:
    sites = {site.name: site for site in load(TOPOLOGIES / "east-west.yaml").sites}
    assert great_circle_km(at(sites["bj"]), at(sites["sh"])) == pytest.approx(1067, abs=5)
    assert great_circle_km(at(sites["bj"]), at(sites["gz"])) == pytest.approx(1889, abs=8)


def test_routers_that_find_nobody_know_somebody_in_every_subnet(topology: TopologyFile) -> None:
    """So that corridors between any two ports are the same on every kind of router."""
    able = Capabilities(resolves_neighbors=False)
    nodes = [replace(node, capabilities=able) if node.access_ports else node for node in topology.nodes]
    planned = Topology.planned(topology.domain, topology.srv6_block, nodes, topology.links)
    ends = [EndPoint(node.name, port.name) for node in nodes for port in node.access_ports]
    assert ends
    for a_end, z_end in zip(ends, ends[1:] + ends[:1], strict=True):
        wanted = completed(Corridor(name="tenants/t/corridors/c", a_end=a_end, z_end=z_end), planned)
        assert wanted.a_end.ipv4_prefixes
        assert wanted.a_end.ipv6_prefixes
        require_neighbors(wanted, planned, None)
