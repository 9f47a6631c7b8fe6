"""Least-delay paths against all simple paths of small random graphs, and refusals that name what binds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import acos, cos, pi, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Network, all_up, domain, domains, fibre, link_name, node_name, otn_node, router, square

from controller.core.errors import Infeasible
from controller.core.geography import great_circle_km, light_floor_us
from controller.core.model import Link, LinkKind, Status
from controller.core.old_paths import chain, require_path, shortest_path
from controller.core.topology import NodeChanged, Topology


@dataclass(frozen=True)
class Edge:
    """One fibre in one direction, as a plain tuple of names: the oracle knows no graph library."""

    link: str
    source: str
    target: str
    delay_us: int
    direction: int


def edges_of(topology: Topology) -> list[Edge]:
    found = []
    for link in topology.of_kind(LinkKind.FIBRE):
        found.append(Edge(link.name, link.a_node, link.z_node, link.delay_us, 0))
        found.append(Edge(link.name, link.z_node, link.a_node, link.delay_us, 1))
    return found


def simple_paths(edges: list[Edge], source: str, target: str, seen: tuple[str, ...] = ()) -> Iterator[list[Edge]]:
    if source == target:
        yield []
        return
    for edge in edges:
        if edge.source == source and edge.target not in (*seen, source):
            for rest in simple_paths(edges, edge.target, target, (*seen, source)):
                yield [edge, *rest]


def delay(topology: Topology, path: list[Edge]) -> int:
    """Fibres, and the nodes in between."""
    return sum(e.delay_us for e in path) + sum(topology.nodes[e.target].processing_us for e in path[:-1])


def fibres_only(link: Link, _direction: int) -> bool:
    return link.kind is LinkKind.FIBRE


@settings(max_examples=150, deadline=None)
@given(domains(), st.data())
def test_against_all_simple_paths(planned: Topology, data: st.DataObject) -> None:
    nodes = {n: replace(v, processing_us=data.draw(st.integers(0, 100))) for n, v in planned.nodes.items()}
    topology = replace(planned, nodes=nodes)
    edges = edges_of(topology)
    barred = data.draw(st.sets(st.sampled_from([(e.link, e.direction) for e in edges])))
    source, target = (node_name(f"o{site}") for site in data.draw(st.permutations(range(1, len(nodes) // 2 + 1)))[:2])

    def fits(link: Link, direction: int) -> bool:
        return fibres_only(link, direction) and (link.name, direction) not in barred

    open_edges = [e for e in edges if (e.link, e.direction) not in barred]
    every = [path for path in simple_paths(open_edges, source, target) if path]
    found = shortest_path(topology, source, target, fits)
    if found is None:
        assert not every
        return
    assert found.delay_us == min(delay(topology, path) for path in every)
    walked = next(path for path in every if tuple(e.link for e in path) == found.links)
    assert found.nodes == (source, *(e.target for e in walked))
    assert found.directions == tuple(e.direction for e in walked)
    assert delay(topology, walked) == found.delay_us
    assert chain(topology, source, found.links) == found


def test_ties_go_to_fewer_hops_and_then_to_the_lower_name() -> None:
    links = [fibre("F-b", 1, 2, 50), fibre("F-a", 2, 1, 50), fibre("F-13", 1, 3, 25), fibre("F-32", 3, 2, 25)]
    topology = domain((1, 2, 3), links)
    topology = replace(topology, nodes={n: replace(v, processing_us=0) for n, v in topology.nodes.items()})
    found = shortest_path(topology, node_name("o1"), node_name("o2"), fibres_only)
    assert found is not None
    assert found.links == (link_name("F-a"),)


def test_a_slow_node_is_worth_a_detour() -> None:
    links = [fibre("F-12", 1, 2, 10), fibre("F-23", 2, 3, 10), fibre("F-13", 1, 3, 100)]
    topology = domain((1, 2, 3), links)
    for slow, links_taken in ((79, ("F-12", "F-23")), (81, ("F-13",))):
        nodes = {**topology.nodes, node_name("o2"): replace(otn_node(2), processing_us=slow)}
        found = shortest_path(replace(topology, nodes=nodes), node_name("o1"), node_name("o3"), fibres_only)
        assert found is not None
        assert found.links == tuple(map(link_name, links_taken))


def test_the_refusal_names_the_links_that_bind() -> None:
    topology = all_up(square())
    full = {link_name("F-13"), link_name("F-12")}

    def fits(link: Link, _direction: int) -> bool:
        return fibres_only(link, 0) and link.name not in full | {link_name("F-41")}

    with pytest.raises(Infeasible) as refusal:
        require_path(topology, node_name("o1"), node_name("o3"), fibres_only, fits, "7 fine-grain slots")
    assert refusal.value.reason == "NO_CAPACITY"
    assert refusal.value.metadata == {"links": link_name("F-13"), "asked": "7 fine-grain slots"}
    assert "7 fine-grain slots" in str(refusal.value)


def test_the_refusal_tells_no_way_from_no_room() -> None:
    topology = all_up(square())
    with pytest.raises(Infeasible) as refusal:
        require_path(topology, node_name("o1"), node_name("o3"), lambda *_: False, lambda *_: False, "anything")
    assert refusal.value.reason == "NO_PATH"
    assert refusal.value.metadata == {"source": node_name("o1"), "target": node_name("o3")}


def central_angle_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Spherical law of cosines, degrees in, on a sphere of 6371.0088 km."""
    (lat_a, lon_a), (lat_b, lon_b) = ([x * pi / 180 for x in p] for p in (a, b))
    cosine = sin(lat_a) * sin(lat_b) + cos(lat_a) * cos(lat_b) * cos(lon_b - lon_a)
    return 6371.0088 * acos(max(-1.0, min(1.0, cosine)))


@given(*[st.floats(-90, 90), st.floats(-180, 180)] * 2)
def test_great_circle_against_the_law_of_cosines(a: float, b: float, c: float, d: float) -> None:
    assert great_circle_km((a, b), (c, d)) == pytest.approx(central_angle_km((a, b), (c, d)), abs=0.2)


def test_light_from_beijing_to_guian_needs_about_six_milliseconds() -> None:
    topology = domain((1, 2), [])
    far = {"r1": (39.9042, 116.4074), "r2": (26.40, 106.50)}
    nodes = {node_name(n): replace(router(1), latitude=lat, longitude=lon) for n, (lat, lon) in far.items()}
    floor = light_floor_us(replace(topology, nodes=nodes), node_name("r1"), node_name("r2"))
    assert floor == int(central_angle_km(far["r1"], far["r2"]) / 299_792.458 * 1e6)
    assert 5_500 < floor < 6_500


# ---- the live topology that paths are searched in --------------------------------------------------------------------


def test_a_topology_never_changes_under_its_holder() -> None:
    before = Network.of(square()).topology
    assert before.usable(before.links[link_name("F-12")])
    after = before.apply(NodeChanged(node_name("o2"), Status.UNREACHABLE))
    assert before.usable(before.links[link_name("F-12")])
    assert not after.usable(after.links[link_name("F-12")])
    assert after.usable(after.links[link_name("F-34")])
    assert after.version == before.version + 1
    assert after.apply(NodeChanged(node_name("o2"), Status.UNREACHABLE)) is after


def test_the_public_view_has_both_layers_both_ways() -> None:
    topology = Network.of(square()).topology
    graph = topology.graph
    assert set(graph.nodes) == set(topology.nodes)
    assert graph.number_of_edges() == 2 * len(topology.links)
    data = graph[node_name("r2")][node_name("r3")][link_name("A-32")]
    assert (data["link"].name, data["direction"]) == (link_name("A-32"), 1)
