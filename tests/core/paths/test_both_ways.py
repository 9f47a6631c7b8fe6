"""There and back against brute force: the same links both ways, or each direction by itself."""

from __future__ import annotations

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import Layer, layers

from controller.core.graph import Objective
from controller.core.paths import Constraints, Path, both_ways


def least(layer: Layer, source: str, target: str, demand: int, reverse: int) -> int | None:
    """Delay of the fastest way that has room, by networkx; None where there is none."""
    graph = layer.networkx(demand, reverse)
    processing = {node.name: node.processing_us for node in layer.nodes}
    try:
        return int(nx.dijkstra_path_length(graph, source, target, weight="delay")) - processing[target]
    except nx.NetworkXNoPath:
        return None


def has_room(layer: Layer, path: Path, demand: int) -> bool:
    ways = zip(path.links, path.directions, strict=True)
    return all(layer.free[link, way] >= demand and link not in layer.closed for link, way in ways)


@settings(max_examples=1000, deadline=None)
@given(layers(min_nodes=2), st.integers(0, 8), st.integers(0, 8))
def test_the_same_links_have_room_both_ways(layer: Layer, demand: int, reverse: int) -> None:
    found = both_ways(layer.graph(), "n0", "n1", Constraints(demand=demand, reverse_demand=reverse))
    best = least(layer, "n0", "n1", demand, reverse)
    assert (found is None) == (best is None)
    if found:
        there, back = found
        assert there.path.links == back.path.links[::-1]
        assert there.path.nodes == back.path.nodes[::-1]
        assert there.path.delay_us == back.path.delay_us == best
        assert has_room(layer, there.path, demand)
        assert has_room(layer, back.path, reverse)


@settings(max_examples=1000, deadline=None)
@given(layers(min_nodes=2), st.integers(0, 8), st.integers(0, 8))
def test_each_direction_is_the_best_of_its_own(layer: Layer, demand: int, reverse: int) -> None:
    wanted = Constraints(demand=demand, reverse_demand=reverse)
    found = both_ways(layer.graph(), "n0", "n1", wanted, symmetric=False)
    best = least(layer, "n0", "n1", demand, 0), least(layer, "n1", "n0", reverse, 0)
    if found is None:
        assert None in best
        return
    assert tuple(route.path.delay_us for route in found) == best
    assert has_room(layer, found[0].path, demand)
    assert has_room(layer, found[1].path, reverse)


@settings(max_examples=300, deadline=None)
@given(layers(min_nodes=2))
def test_a_load_is_that_of_its_own_direction(layer: Layer) -> None:
    graph = layer.graph()
    found = both_ways(graph, "n0", "n1", Constraints(demand=1, reverse_demand=2), Objective.LOAD)
    for route, demand in zip(found or (), (1, 2), strict=False):
        ways = list(zip(route.path.links, route.path.directions, strict=True))
        capacity = {link.name: link.capacity_kbps for link in layer.links}
        assert route.cost == sum(1000 * capacity[link] // max(1, layer.free[link, way] - demand) for link, way in ways)
