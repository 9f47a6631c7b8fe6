"""Nearest places and delays between all pairs: against every simple path of small layers, and networkx."""

from __future__ import annotations

from math import nan

import networkx as nx
import pytest
from every_path import kept
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import Layer, layers

from controller.core.errors import Invalid
from controller.core.graph import Graph, Objective, build
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.core.paths.path import NONE, Constraints
from controller.core.paths.reports import NO_WAY, Delays, delays, nearest

many = settings(max_examples=500, deadline=None)
some = settings(max_examples=300, deadline=None)
objectives = st.sampled_from(tuple(Objective))
bounds = st.one_of(st.just(0), st.integers(1, 25))


def expected(layer: Layer, targets: set[str], asked: Constraints, objective: Objective) -> list[tuple[int, int, str]]:
    """(cost, hops, target) of each that has a path; hops count among the cheapest paths."""
    answers = []
    for target in targets:
        paths = kept(layer, "n0", target, asked)
        if paths:
            answers.append((*min((path.cost(objective, asked.demand), len(path.hops)) for path in paths), target))
    return sorted(answers)


@many
@given(st.data(), layers(max_links=18), objectives)
def test_nearest_ranks_targets_as_brute_force_does(data: st.DataObject, layer: Layer, objective: Objective) -> None:
    targets = data.draw(st.sets(st.sampled_from([node.name for node in layer.nodes])))
    asked = Constraints(demand=data.draw(st.integers(0, 3)), reverse_demand=data.draw(st.integers(0, 2)))
    routes = nearest(layer.graph(), "n0", targets, asked, objective)
    found = [(route.cost, len(route.path.links), route.path.nodes[-1]) for route in routes]
    assert found == expected(layer, targets, asked, objective)


@many
@given(layers(min_nodes=3, max_links=18), objectives, bounds, bounds, st.integers(0, 4), st.booleans())
def test_nearest_keeps_to_bounds(
    layer: Layer, objective: Objective, delay: int, jitter: int, hops: int, exclude: bool
) -> None:
    targets, excluded = {node.name for node in layer.nodes}, frozenset({"n1"} if exclude else ())
    asked = Constraints(max_delay_us=delay, max_jitter_us=jitter, max_hops=hops, exclude_nodes=excluded)
    routes = nearest(layer.graph(), "n0", targets, asked, objective)
    found = {route.path.nodes[-1]: route.cost for route in routes}
    assert found == {target: cost for cost, _, target in expected(layer, targets, asked, objective)}
    assert [route.cost for route in routes] == sorted(found.values())
    for route in routes:
        paths = kept(layer, "n0", route.path.nodes[-1], asked)
        assert route.path.links in [tuple(link.name for link, _ in path.hops) for path in paths]


@some
@given(layers(max_nodes=12, max_links=24), st.integers(0, 4), st.integers(0, 2))
def test_delays_are_those_of_networkx(layer: Layer, demand: int, reverse: int) -> None:
    graph, processing = layer.networkx(demand, reverse), {node.name: node.processing_us for node in layer.nodes}
    report = delays(layer.graph(), Constraints(demand=demand, reverse_demand=reverse))
    assert report.names == tuple(node.name for node in layer.nodes)
    for source, reached in nx.all_pairs_dijkstra_path_length(graph, weight="delay"):
        for target in report.names:
            there = reached.get(target)
            own = 0 if source == target else processing[target]
            assert report.between(source, target) == (None if there is None else there - own)


@some
@given(st.data(), layers())
def test_a_report_among_some_names_is_a_part_of_the_whole(data: st.DataObject, layer: Layer) -> None:
    graph, every = layer.graph(), [node.name for node in layer.nodes]
    names = data.draw(st.permutations(every))[: data.draw(st.integers(0, len(every)))]
    part, whole = delays(graph, NONE, names), delays(graph)
    assert part.names == tuple(names)
    pairs = [(a, z, whole.between(a, z)) for a in names for z in names if a != z]
    assert [part.between(a, z) for a, z, _ in pairs] == [delay for *_, delay in pairs]
    joined = [(a, z, delay) for a, z, delay in pairs if delay is not None]
    assert part.worst() == (max(joined, key=lambda pair: pair[2]) if joined else None)
    assert list(part.unreachable()) == [(a, z) for a, z, delay in pairs if delay is None]
    for bound in (0, 5, 20):
        within = sum(delay <= bound for *_, delay in joined)
        assert part.share_within(bound) == (within / len(pairs) if pairs else 1.0)


def star(*delays_us: int) -> Graph:
    """hub to leaf 1, 2, … with these delays; 10 µs through the hub, 3 through a leaf; `island` has no link."""
    names = [f"leaf{i}" for i in range(1, len(delays_us) + 1)]
    nodes = [
        Node("hub", NodeKind.ROUTER, processing_us=10),
        *(Node(name, NodeKind.ROUTER, processing_us=3) for name in names),
        Node("island", NodeKind.ROUTER),
    ]
    links = [
        Link(f"hub-{name}", LinkKind.ADJACENCY, "hub", name, delay_us=delay, capacity_kbps=100)
        for name, delay in zip(names, delays_us, strict=True)
    ]
    return build(nodes, links)


def test_transit_counts_and_ends_do_not() -> None:
    report = delays(star(100, 200), names=("leaf1", "leaf2", "hub", "island"))
    assert report.matrix.tolist() == [[0, 310, 100, -1], [310, 0, 200, -1], [100, 200, 0, -1], [-1, -1, -1, 0]]
    assert report.worst() == ("leaf1", "leaf2", 310)
    assert report.share_within(200) == 4 / 12
    assert report.share_within(310) == 6 / 12
    assert report.share_within(10**9) == 6 / 12  # no bound reaches the island


def test_an_excluded_node_reaches_itself_alone() -> None:
    report = delays(star(100, 200), Constraints(exclude_nodes=frozenset({"hub"})), ("hub", "leaf1", "leaf2"))
    assert report.matrix.tolist() == [[0, NO_WAY, NO_WAY], [NO_WAY, 0, NO_WAY], [NO_WAY, NO_WAY, 0]]
    assert report.worst() is None


def test_nearest_breaks_ties_by_name_and_names_a_target_once() -> None:
    routes = nearest(star(7, 5, 7), "hub", ["leaf3", "leaf1", "leaf2", "leaf3", "island", "hub"])
    assert [(route.path.nodes[-1], route.cost) for route in routes] == [
        *(("hub", 0), ("leaf2", 5)),
        *(("leaf1", 7), ("leaf3", 7)),
    ]


def test_bad_input_is_refused() -> None:
    graph = star(1, 2)
    for source, targets in (("nowhere", ["hub"]), ("hub", ["nowhere"])):
        with pytest.raises(Invalid):
            nearest(graph, source, targets)
    for asked in (
        Constraints(exclude_nodes=frozenset({"hub"})),
        Constraints(include_nodes=frozenset({"leaf1"}), exclude_nodes=frozenset({"leaf1"})),
        Constraints(include_nodes=frozenset({"nowhere"})),
    ):
        with pytest.raises(Invalid):
            nearest(graph, "hub", ["leaf2"], asked)
    for names in (["hub", "nowhere"], ["hub", "hub"]):
        with pytest.raises(Invalid):
            delays(graph, names=names)
    for asked in (Constraints(max_delay_us=5), Constraints(include_nodes=frozenset({"hub"}))):
        with pytest.raises(Invalid):
            delays(graph, asked)
    report = delays(graph)
    for bound in (-1, nan):
        with pytest.raises(Invalid):
            report.share_within(bound)  # type: ignore[arg-type]
    with pytest.raises(Invalid):
        report.between("hub", "nowhere")


def test_the_smallest_reports() -> None:
    one = delays(build([Node("only", NodeKind.ROUTER)], []))
    assert (one.matrix.tolist(), one.worst(), one.share_within(0)) == ([[0]], None, 1.0)
    none = delays(build([], []))
    assert isinstance(none, Delays)
    assert (none.matrix.shape, none.worst(), none.share_within(0), none.unreachable()) == ((0, 0), None, 1.0, ())
    assert nearest(star(1), "hub", []) == ()
