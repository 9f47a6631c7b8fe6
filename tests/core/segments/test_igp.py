"""Distances, equal-cost next hops and only paths against networkx and all simple paths of small layers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import Layer, layers

from controller.core.errors import Invalid
from controller.core.graph import Graph, Objective, build
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.core.paths.tree import UNREACHED
from controller.core.segments.igp import Igp

ALGORITHMS = st.sampled_from((Objective.IGP, Objective.DELAY))


def routed(graph: Graph, layer: Layer, objective: Objective) -> nx.MultiDiGraph:
    """Arcs of open links by index, `metric` read off the links themselves."""
    shape, seen = graph.shape, nx.MultiDiGraph()
    seen.add_nodes_from(range(len(shape.nodes)))
    for link in layer.links:
        metric = link.igp_metric if objective is Objective.IGP else link.delay_us
        for way, (u, v) in enumerate(((link.a_node, link.z_node), (link.z_node, link.a_node))):
            if link.name not in layer.closed:
                arc = int(shape.arc[shape.link_index[link.name], way])
                seen.add_edge(shape.node_index[u], shape.node_index[v], key=arc, metric=max(1, metric))
    return seen


def shortest(seen: nx.MultiDiGraph, source: int, target: int) -> list[list[int]]:
    """Every shortest path as its arcs, by looking at all simple paths."""
    if source == target:
        return [[]]
    every = [[arc for _, _, arc in path] for path in nx.all_simple_edge_paths(seen, source, target)]
    metric = {arc: figure for _, _, arc, figure in seen.edges(keys=True, data="metric")}
    sums = [sum(metric[arc] for arc in path) for path in every]
    return [path for path, total in zip(every, sums, strict=True) if total == min(sums)]


@settings(max_examples=250, deadline=None)
@given(layers(max_nodes=6, max_links=12), ALGORITHMS)
def test_distances_next_arcs_and_only_paths_are_those_of_all_simple_paths(layer: Layer, by: Objective) -> None:
    graph = layer.graph()
    igp, seen = Igp(graph, by), routed(graph, layer, by)
    for s, t in product(seen, seen):
        ways = shortest(seen, s, t)
        far = nx.shortest_path_length(seen, s, t, "metric") if ways else UNREACHED
        assert far == igp.distance_to(t)[s] == igp.distance_from(s)[t]
        assert igp.next_arcs(s, t).tolist() == sorted({way[0] for way in ways if way})
        only = igp.only_path(s, t)
        once = Igp(graph, by).only_path(s, t)
        for each in (only, once):
            assert (None if each is None else each.tolist()) == (ways[0] if len(ways) == 1 else None)


@settings(max_examples=250, deadline=None)
@given(layers(max_nodes=7), ALGORITHMS, st.data())
def test_reach_is_as_far_as_the_path_is_the_only_shortest_one(layer: Layer, by: Objective, data: st.DataObject) -> None:
    graph = layer.graph()
    igp, seen, head = Igp(graph, by), routed(graph, layer, by), graph.shape.head
    source = data.draw(st.sampled_from([*seen]))
    for target in seen:
        for path in nx.all_simple_edge_paths(seen, source, target) if source != target else []:
            arcs = [arc for _, _, arc in path]
            start = data.draw(st.integers(0, len(arcs) - 1))
            begin = int(graph.shape.tail[arcs[start]])
            alone = [
                end for end in range(start, len(arcs) + 1)
                if shortest(seen, begin, int(head[arcs[end - 1]]) if end > start else begin) == [arcs[start:end]]
            ]  # fmt: skip
            assert igp.reach(np.array(arcs, np.int32), start) == max(alone)
            assert alone == [*range(start, max(alone) + 1)], "closed under parts"


def line(*metrics: int, parallel: bool = False) -> Graph:
    nodes = [Node(f"n{i}", NodeKind.ROUTER) for i in range(len(metrics) + 1)]
    links = [
        Link(f"l{i}", LinkKind.ADJACENCY, f"n{i}", f"n{i + 1}", igp_metric=m, capacity_kbps=1)
        for i, m in enumerate(metrics)
    ]
    twins = [replace(link, name=f"{link.name}b") for link in links if parallel]
    return build(nodes, [*links, *twins])


def test_parallel_links_are_two_ways() -> None:
    igp = Igp(line(1, 1, parallel=True))
    assert len(igp.next_arcs(0, 2)) == 2
    assert igp.only_path(0, 2) is None
    assert igp.reach(np.array([igp.next_arcs(0, 2)[0]], np.int32)) == 0


def test_a_full_link_takes_part_and_a_closed_one_does_not() -> None:
    graph = line(1, 1)
    assert Igp(graph.with_free({("l0", 0): 0})).distance_to(2)[0] == 2
    cut = Igp(graph.opened({"l0": False}))
    assert cut.distance_to(2)[0] == cut.distance_from(0)[2] == UNREACHED
    assert cut.only_path(0, 2) is None
    assert not len(cut.next_arcs(0, 2))


def test_no_metric_is_below_one() -> None:
    igp = Igp(line(0, 0))
    assert igp.distance_to(2).tolist() == [2, 1, 0]
    path = igp.only_path(0, 2)
    assert path is not None
    assert igp.reach(path) == 2


def test_a_node_alone_reaches_itself() -> None:
    igp = Igp(line())
    assert igp.distance_to(0).tolist() == [0]
    only = igp.only_path(0, 0)
    assert only is not None
    assert not len(only)
    assert igp.reach(np.zeros(0, np.int32)) == 0


def test_a_way_that_does_not_hold_together_has_no_reach_beyond_the_break() -> None:
    graph = line(1, 1, 1)
    arcs = [int(graph.shape.arc[i, 0]) for i in range(3)]
    back = int(graph.shape.arc[0, 1])
    igp = Igp(graph)
    assert igp.reach(np.array([arcs[0], arcs[2]], np.int32)) == 1
    assert igp.reach(np.array([arcs[0], back], np.int32)) == 1
    assert igp.reach(np.array(arcs, np.int32), 3) == 3


def test_only_what_an_igp_advertises_is_routed_by() -> None:
    with pytest.raises(Invalid):
        Igp(line(1), Objective.LOAD)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.core.segments.igp.LONGS_KEPT", 6)
    igp = Igp(line(1, 1))
    assert [igp.distance_to(t).tolist() for t in (0, 1, 2, 0)] == [[0, 1, 2], [1, 0, 1], [2, 1, 0], [0, 1, 2]]
    assert igp.distance_to(0) is igp.distance_to(0)
