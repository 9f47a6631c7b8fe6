"""Bounded paths: against every simple path of small layers, and the cases that a search gets wrong."""

from __future__ import annotations

from every_path import kept
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import Layer, layers

from controller.core.graph import Objective
from controller.core.paths.bounded import bounded
from controller.core.paths.find import find
from controller.core.paths.path import Constraints, Route

many = settings(max_examples=700, deadline=None)
some = settings(max_examples=300, deadline=None)
objectives = st.sampled_from(tuple(Objective))
maybe_bound = st.one_of(st.just(0), st.integers(1, 30))


@st.composite
def asked(draw: st.DrawFn, layer: Layer, places: int = 3) -> Constraints:
    """Any mix of demand, bounds and places; the ends are n0 and the last node."""
    nodes, links = [node.name for node in layer.nodes], [link.name for link in layer.links]
    between = nodes[1:-1]
    include_nodes = draw(st.sets(st.sampled_from(nodes), max_size=places))
    excluded = draw(st.sets(st.sampled_from(between), max_size=1)) if between else set()
    return Constraints(
        demand=draw(st.integers(0, 3)),
        reverse_demand=draw(st.integers(0, 2)),
        max_delay_us=draw(maybe_bound),
        max_hops=draw(st.one_of(st.just(0), st.integers(1, 6))),
        max_jitter_us=draw(maybe_bound),
        include_nodes=frozenset(include_nodes),
        include_links=frozenset(draw(st.sets(st.sampled_from(links), max_size=places)) if links else ()),
        exclude_nodes=frozenset(excluded - include_nodes),
    )


def check(layer: Layer, constraints: Constraints, objective: Objective, route: Route | None, target: str) -> None:
    """The oracle's least cost, by a path that is among the oracle's."""
    paths = kept(layer, "n0", target, constraints)
    if route is None:
        assert not paths
        return
    costs = [path.cost(objective, constraints.demand) for path in paths]
    (same,) = [
        path
        for path in paths
        if path.nodes == route.path.nodes and tuple(link.name for link, _ in path.hops) == route.path.links
    ]
    assert route.path.directions == tuple(way for _, way in same.hops)
    assert route.path.delay_us == same.delay
    assert route.cost == same.cost(objective, constraints.demand) == min(costs)
    assert route.gap == 0


@many
@given(st.data(), layers(), objectives)
def test_any_mix_of_constraints_is_answered_as_by_brute_force(
    data: st.DataObject, layer: Layer, objective: Objective
) -> None:
    constraints, target = data.draw(asked(layer)), len(layer.nodes) - 1
    check(layer, constraints, objective, bounded(layer.graph(), 0, target, constraints, objective), f"n{target}")


@many
@given(st.data(), layers(min_nodes=4, max_nodes=8, max_links=20), objectives)
def test_places_alone_are_passed_by_the_best_simple_path(
    data: st.DataObject, layer: Layer, objective: Objective
) -> None:
    drawn, target = data.draw(asked(layer, places=4)), len(layer.nodes) - 1
    constraints = Constraints(include_nodes=drawn.include_nodes, include_links=drawn.include_links)
    check(layer, constraints, objective, bounded(layer.graph(), 0, target, constraints, objective), f"n{target}")


@many
@given(layers(min_nodes=4, max_links=20), objectives, st.integers(1, 40), st.integers(0, 2))
def test_cost_under_a_delay_bound_is_answered_as_by_brute_force(
    layer: Layer, objective: Objective, bound: int, demand: int
) -> None:
    constraints, target = Constraints(max_delay_us=bound, demand=demand), len(layer.nodes) - 1
    check(layer, constraints, objective, bounded(layer.graph(), 0, target, constraints, objective), f"n{target}")


@some
@given(st.data(), layers(), objectives)
def test_find_hands_over_where_one_metric_is_not_enough(
    data: st.DataObject, layer: Layer, objective: Objective
) -> None:
    constraints, target = data.draw(asked(layer)), f"n{len(layer.nodes) - 1}"
    check(layer, constraints, objective, find(layer.graph(), "n0", target, constraints, objective), target)
