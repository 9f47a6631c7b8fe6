"""Bounded paths: against every simple path of small layers, and the cases that a search gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from every_path import kept
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import Layer, layers

from controller.core.errors import Infeasible, Invalid
from controller.core.graph import MAX_METRIC, Graph, Objective, build
from controller.core.model import Link, LinkKind, Method, Node, NodeKind
from controller.core.paths.admissible import metric_of
from controller.core.paths.bounded import bounded
from controller.core.paths.find import find
from controller.core.paths.ground import Ground
from controller.core.paths.larac import larac
from controller.core.paths.path import NONE, Constraints, Route
from controller.core.paths.places import places

many = settings(max_examples=250, deadline=None)
some = settings(max_examples=120, deadline=None)
bounds = st.integers(1, 30)
maybe_bound = st.one_of(st.just(0), bounds)


@st.composite
def asked(draw: st.DrawFn, layer: Layer, most_places: int = 3) -> Constraints:
    """Any mix of demand, bounds and places; the ends are n0 and the last node."""
    nodes, links = [node.name for node in layer.nodes], [link.name for link in layer.links]
    between = nodes[1:-1]
    include_nodes = draw(st.sets(st.sampled_from(nodes), max_size=most_places))
    excluded = draw(st.sets(st.sampled_from(between), max_size=1)) if between else set()
    return Constraints(
        demand=draw(st.integers(0, 3)),
        reverse_demand=draw(st.integers(0, 2)),
        max_delay_us=draw(maybe_bound),
        max_hops=draw(st.one_of(st.just(0), st.integers(1, 6))),
        max_jitter_us=draw(maybe_bound),
        include_nodes=frozenset(include_nodes),
        include_links=frozenset(draw(st.sets(st.sampled_from(links), max_size=most_places)) if links else ()),
        exclude_nodes=frozenset(excluded - include_nodes),
    )


@st.composite
def just_kept(draw: st.DrawFn, layer: Layer) -> Constraints:
    """What one of the simple paths keeps to, with nothing to spare where there is a bound."""
    paths = kept(layer, "n0", layer.nodes[-1].name, NONE)
    if not paths:
        return NONE
    path = draw(st.sampled_from(paths))
    jitter = sum(each.jitter_us for each, _ in path.hops)
    bound, hop = st.booleans(), st.sampled_from([each.name for each, _ in path.hops] or [""])
    return Constraints(
        max_delay_us=path.delay if draw(bound) else 0,
        max_hops=len(path.hops) if draw(bound) else 0,
        max_jitter_us=jitter if draw(bound) else 0,
        include_nodes=draw(st.frozensets(st.sampled_from(path.nodes), max_size=2)),
        include_links=draw(st.frozensets(hop, max_size=2)) if path.hops else frozenset(),
    )


def some_delay(layer: Layer) -> st.SearchStrategy[int]:
    """The delay of one of the simple paths."""
    delays = {path.delay for path in kept(layer, "n0", layer.nodes[-1].name, NONE)} - {0}
    return st.sampled_from(sorted(delays)) if delays else bounds


Search = Callable[[Constraints, Objective], Route | None]


def check(layer: Layer, constraints: Constraints, search: Search) -> None:
    """By each objective the oracle's least cost, by a path that is among the oracle's."""
    paths = kept(layer, "n0", layer.nodes[-1].name, constraints)
    by_links = {(path.nodes, tuple(each.name for each, _ in path.hops)): path for path in paths}
    for objective in Objective:
        route = search(constraints, objective)
        if route is None:
            assert not paths
            continue
        same = by_links[route.path.nodes, route.path.links]
        assert route.path.directions == tuple(way for _, way in same.hops)
        assert route.path.delay_us == same.delay
        least = min(path.cost(objective, constraints.demand) for path in paths)
        assert route.cost == same.cost(objective, constraints.demand) == least
        assert route.gap == 0
        if objective is Objective.DELAY or replace(constraints, max_delay_us=0).bounded:
            tied = [path for path in paths if path.cost(objective, constraints.demand) == least]
            assert len(same.hops) == min(len(path.hops) for path in tied)


def bounded_on(layer: Layer) -> Search:
    graph, last = layer.graph(), len(layer.nodes) - 1
    return lambda constraints, objective: bounded(graph, 0, last, constraints, objective)


@many
@given(st.data(), layers())
def test_any_mix_of_constraints_is_answered_as_by_brute_force(data: st.DataObject, layer: Layer) -> None:
    check(layer, data.draw(asked(layer)), bounded_on(layer))


@many
@given(st.data(), layers(min_nodes=5, max_links=20))
def test_bounds_that_a_path_just_keeps_are_kept(data: st.DataObject, layer: Layer) -> None:
    check(layer, data.draw(just_kept(layer)), bounded_on(layer))


@many
@given(st.data(), layers(min_nodes=4, max_links=20))
def test_places_alone_are_passed_by_the_best_simple_path(data: st.DataObject, layer: Layer) -> None:
    drawn = data.draw(asked(layer, most_places=4))
    check(
        layer,
        Constraints(include_nodes=drawn.include_nodes, include_links=drawn.include_links),
        bounded_on(layer),
    )


@many
@given(st.data(), layers(min_nodes=4, max_links=20), st.integers(0, 2))
def test_cost_under_a_delay_bound_is_answered_as_by_brute_force(data: st.DataObject, layer: Layer, demand: int) -> None:
    bound = data.draw(st.one_of(bounds, some_delay(layer)))
    check(layer, Constraints(max_delay_us=bound, demand=demand), bounded_on(layer))


@some
@given(st.data(), layers())
def test_find_hands_over_where_one_metric_is_not_enough(data: st.DataObject, layer: Layer) -> None:
    graph, last = layer.graph(), layer.nodes[-1].name
    check(
        layer,
        data.draw(asked(layer)),
        lambda constraints, objective: find(graph, "n0", last, constraints, objective),
    )


@some
@given(st.data(), layers(min_nodes=4, max_links=20))
def test_larac_never_proves_too_much(data: st.DataObject, layer: Layer) -> None:
    target = len(layer.nodes) - 1
    bound = data.draw(some_delay(layer))
    constraints = Constraints(max_delay_us=bound)
    paths, graph = kept(layer, "n0", f"n{target}", constraints), layer.graph()
    ground = Ground.between(graph, 0, target, constraints)
    where = places(ground, constraints)
    assert where is not None
    delay = where.kind(ground, graph.delay)
    for objective in (Objective.IGP, Objective.TE, Objective.LOAD):
        cost = where.kind(ground, metric_of(graph, objective, 0))
        relaxed = larac(ground, where, cost, delay, bound + int(graph.shape.processing[target]))
        if relaxed is None:
            assert not paths
            continue
        costs = [path.cost(objective, 0) for path in paths]
        assert relaxed.least <= min(costs) <= relaxed.cost
        assert relaxed.cost in costs
        assert relaxed.cost * (1 - relaxed.gap) <= min(costs) + 1e-9


def link(name: str, a: str, z: str, delay: int, metric: int, jitter: int = 0) -> Link:
    return Link(name, LinkKind.ADJACENCY, a, z, delay_us=delay, igp_metric=metric, jitter_us=jitter, capacity_kbps=10)


def network(*links: Link) -> Graph:
    names = sorted({end for each in links for end in (each.a_node, each.z_node)})
    return build([Node(name, NodeKind.ROUTER) for name in names], links)


def hull() -> Graph:
    """Three ways from a to z; the middle one lies above the line between the others, where no multiplier finds it."""
    return network(link("dear", "a", "z", 1, 100), link("middle", "a", "z", 5, 60), link("cheap", "a", "z", 6, 1))


def test_labels_close_the_gap_that_no_multiplier_can() -> None:
    route = bounded(hull(), 0, 1, Constraints(max_delay_us=5), Objective.IGP)
    assert route is not None
    assert (route.path.links, route.cost, route.method, route.gap) == (("middle",), 60, Method.LABELS, 0)


def test_where_labels_run_out_laracs_path_comes_with_its_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.core.paths.bounded.MAX_LABELS", 1)
    route = bounded(hull(), 0, 1, Constraints(max_delay_us=5), Objective.IGP)
    assert route is not None
    assert (route.path.links, route.cost, route.method) == (("dear",), 100, Method.LARAC)
    assert 0.4 <= route.gap < 1, "60 is possible"


def test_where_labels_run_out_otherwise_nobody_says_that_there_is_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.core.paths.bounded.MAX_LABELS", 1)
    with pytest.raises(Infeasible) as refused:
        bounded(hull(), 0, 1, Constraints(max_delay_us=5, max_hops=1), Objective.IGP)
    assert refused.value.reason == "SEARCH_EXHAUSTED"


def test_larac_alone_is_said_to_have_answered_where_it_proves_the_best() -> None:
    graph = network(link("dear", "a", "z", 1, 9), link("cheap", "a", "z", 6, 1), link("useless", "a", "z", 7, 8))
    route = bounded(graph, 0, 1, Constraints(max_delay_us=3), Objective.IGP)
    assert route is not None
    assert (route.path.links, route.method, route.gap) == (("dear",), Method.LABELS, 0)
    tight = network(link("dear", "a", "z", 1, 2), link("cheap", "a", "z", 6, 1))
    route = bounded(tight, 0, 1, Constraints(max_delay_us=3), Objective.IGP)
    assert route is not None
    assert (route.path.links, route.method, route.gap) == (("dear",), Method.LARAC, 0)


def test_a_place_behind_one_node_is_on_no_simple_path() -> None:
    graph = network(link("l1", "a", "b", 1, 1), link("l2", "b", "z", 1, 1), link("spur", "b", "p", 1, 1))
    nodes = graph.shape.node_index
    assert bounded(graph, nodes["a"], nodes["z"], Constraints(include_nodes=frozenset({"p"}))) is None
    assert bounded(graph, nodes["a"], nodes["z"], Constraints(include_links=frozenset({"spur"}))) is None


def test_equal_costs_go_to_fewer_hops() -> None:
    graph = network(link("l1", "a", "b", 1, 0), link("l2", "b", "z", 1, 4), link("l3", "a", "z", 2, 4))
    route = bounded(graph, 0, 2, Constraints(max_jitter_us=5), Objective.IGP)
    assert route is not None
    assert route.path.links == ("l3",)


def test_two_links_to_pass_between_the_same_nodes_cannot_both_be_passed() -> None:
    graph = network(link("l1", "a", "b", 1, 1), link("l2", "a", "b", 1, 1), link("l3", "b", "z", 1, 1))
    assert bounded(graph, 0, 2, Constraints(include_links=frozenset({"l1", "l2"}))) is None
    assert bounded(graph, 0, 2, Constraints(include_links=frozenset({"l2"}))) is not None


def line(count: int) -> Graph:
    """n00 - n01 - … with two links at each step."""
    return network(
        *(
            link(f"{side}{i:02}", f"n{i:02}", f"n{i + 1:02}", 1 + (side == "b"), 1)
            for i in range(count)
            for side in "ab"
        )
    )


def test_sixteen_places_are_passed_and_seventeen_refused() -> None:
    graph = line(20)
    wanted = frozenset(f"b{i:02}" for i in range(16))
    route = bounded(graph, 0, 20, Constraints(include_links=wanted))
    assert route is not None
    assert set(route.path.links) == wanted | {f"a{i}" for i in range(16, 20)}
    with pytest.raises(Invalid) as refused:
        bounded(graph, 0, 20, Constraints(include_links=wanted | {"b16"}))
    assert refused.value.reason == "TOO_MANY_PLACES"


def test_the_largest_figures_are_answered_exactly_still() -> None:
    big = MAX_METRIC
    graph = network(
        link("dear", "a", "z", 1, big),
        link("middle", "a", "z", big - 5, big - 3),
        link("cheap", "a", "z", big, 1),
    )
    route = bounded(graph, 0, 1, Constraints(max_delay_us=big - 1), Objective.IGP)
    assert route is not None
    assert (route.path.links, route.gap) == (("middle",), 0)


def test_ends_that_are_one_node_are_joined_without_a_link() -> None:
    graph = network(link("l1", "a", "z", 9, 9))
    route = bounded(graph, 0, 0, Constraints(max_delay_us=1, max_hops=1, include_nodes=frozenset({"a"})))
    assert route is not None
    assert (route.path.nodes, route.path.links, route.cost) == (("a",), (), 0)
    assert bounded(graph, 0, 0, Constraints(include_nodes=frozenset({"z"}))) is None
    assert bounded(graph, 0, 0, Constraints(include_links=frozenset({"l1"}))) is None


def test_nodes_without_a_link_are_not_joined() -> None:
    graph = build([Node("a", NodeKind.ROUTER), Node("b", NodeKind.ROUTER), Node("c", NodeKind.ROUTER)], ())
    for objective in Objective:
        assert bounded(graph, 0, 2, Constraints(max_delay_us=9), objective) is None
        assert bounded(graph, 0, 2, Constraints(max_hops=9, include_nodes=frozenset({"b"})), objective) is None


@pytest.mark.parametrize(
    "constraints", [Constraints(include_nodes=frozenset({"?"})), Constraints(include_links=frozenset({"?"}))]
)
def test_unknown_places_are_refused(constraints: Constraints) -> None:
    for target in (0, 1):
        with pytest.raises(Invalid):
            bounded(hull(), 0, target, constraints)
