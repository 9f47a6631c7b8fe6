"""Link- and node-disjoint pairs against brute force, a flow program, and the topologies that trap greedy searches."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_oracle import ends, limits, network, proved, scattered, wire
from random_graphs import layers

from controller.core.errors import Invalid
from controller.core.graph import MAX_METRIC, Objective
from controller.core.paths import Constraints, Diversity, Method, disjoint_pair

OBJECTIVES = st.sampled_from(list(Objective))
WITHOUT_GROUPS = st.sampled_from((Diversity.LINK, Diversity.NODE))


@given(st.data(), layers(min_nodes=2, max_nodes=7, max_links=13), WITHOUT_GROUPS, OBJECTIVES, st.booleans())
@settings(max_examples=500, deadline=None)
def test_the_pair_is_the_best_of_all_pairs(data, layer, diversity, objective, maximal):
    a, z = ends(data, layer)
    limit = Constraints(demand=data.draw(st.integers(0, 3)), reverse_demand=data.draw(st.integers(0, 2)))
    pair = proved(layer, a, z, diversity, limit, objective, maximal=maximal)
    assert pair is None or pair.method is Method.SUURBALLE


@given(st.data(), layers(min_nodes=2, max_nodes=6, max_links=11), WITHOUT_GROUPS, OBJECTIVES, st.booleans())
@settings(max_examples=100, deadline=None)
def test_both_paths_keep_to_bounds_and_exclusions(data, layer, diversity, objective, maximal):
    a, z = ends(data, layer)
    limit = limits(data, layer, a, z)
    proved(layer, a, z, diversity, limit, objective, maximal=maximal)


@given(st.integers(0, 10**6), WITHOUT_GROUPS)
@settings(max_examples=60, deadline=None)
def test_large_layers_agree_with_a_flow_program(seed, diversity):
    layer = scattered(seed, nodes=60, links=110)
    pair = disjoint_pair(layer.graph(), "n0", "n59", diversity, objective=Objective.TE)
    assert (pair and pair.cost) == flow_program(layer, "n0", "n59", diversity)


def flow_program(layer, a, z, diversity):
    """Two units of flow of least cost (network simplex), each node a pair of nodes with an arc between."""
    split = nx.DiGraph()
    for node in layer.nodes:
        split.add_edge((node.name, 0), (node.name, 1), capacity=1 if diversity is Diversity.NODE else 2, weight=0)
    for u, v, name, arc in layer.networkx().edges(keys=True, data=True):
        way = (name, u)  # a node in the middle keeps parallel links apart
        split.add_edge((u, 1), way, capacity=1, weight=arc["link"].te_metric)
        split.add_edge(way, (v, 0), capacity=1, weight=0)
    split.nodes[a, 1]["demand"], split.nodes[z, 0]["demand"] = -2, 2
    try:
        return nx.network_simplex(split)[0]
    except nx.NetworkXUnfeasible:
        return None


def test_the_shortest_path_is_given_up_for_a_pair():
    trap = network(
        wire("sa", "s", "a", 1),
        wire("ab", "a", "b", 1),
        wire("bt", "b", "t", 1),
        wire("sb", "s", "b", 5),
        wire("at", "a", "t", 6),
    ).graph()
    for diversity in Diversity:
        pair = disjoint_pair(trap, "s", "t", diversity)
        assert [route.path.links for route in (pair.first, pair.second)] == [("sb", "bt"), ("sa", "at")]
        assert (pair.cost, pair.shared, pair.gap) == (13, 0, 0.0)


def test_a_trap_opens_though_the_link_to_be_given_back_has_no_room_backwards():
    trap = network(
        wire("sa", "s", "a", 1),
        wire("ab", "a", "b", 1),
        wire("bt", "b", "t", 1),
        wire("sb", "s", "b", 5),
        wire("at", "a", "t", 6),
    )
    one_way = trap.graph().with_free({("ab", 1): 0})
    assert disjoint_pair(one_way, "s", "t", Diversity.LINK, Constraints(demand=5)).cost == 13


def test_a_link_used_in_opposite_directions_is_shared():
    """Both paths can pass c and d by one link only, one this way and one that way: arcs differ, the link does not."""
    ladder = network(
        wire("sc", "s", "c", 1),
        wire("cd", "c", "d", 1),
        wire("dt", "d", "t", 1),
        wire("sd", "s", "d", 9),
        wire("ct", "c", "t", 9),
    ).graph()
    through = Constraints(include_links=frozenset({"cd"}))
    assert disjoint_pair(ladder, "s", "t", Diversity.LINK, through) is None
    pair = disjoint_pair(ladder, "s", "t", Diversity.LINK, through, maximal=True)
    assert pair.shared_links == ("cd",)
    assert (pair.first.path.directions, pair.second.path.directions, pair.cost) == ((0, 0, 0), (0, 1, 0), 22)


def test_paths_may_cross_at_a_node_unless_nodes_count():
    hourglass = network(
        *(wire(f"s{x}", "s", x, 1) for x in "ab"),
        *(wire(f"{x}m", x, "m", 1) for x in "ab"),
        *(wire(f"m{x}", "m", x, 1) for x in "cd"),
        *(wire(f"{x}t", x, "t", 1) for x in "cd"),
    ).graph()
    assert disjoint_pair(hourglass, "s", "t", Diversity.LINK).shared_nodes == ()
    assert disjoint_pair(hourglass, "s", "t", Diversity.NODE) is None
    assert disjoint_pair(hourglass, "s", "t", Diversity.NODE, maximal=True).shared_nodes == ("m",)


def test_where_paths_cross_the_first_takes_the_cheaper_way_on():
    crossing = network(
        wire("s1", "s", "m", 1), wire("s2", "s", "m", 5), wire("t1", "m", "t", 7), wire("t2", "m", "t", 2)
    ).graph()
    pair = disjoint_pair(crossing, "s", "t", Diversity.LINK)
    assert (pair.first.path.links, pair.second.path.links) == (("s1", "t2"), ("s2", "t1"))


def test_a_bridge_is_named():
    bridge = network(
        wire("a1", "s", "u", 1),
        wire("a2", "s", "u", 2),
        wire("b", "u", "v", 3),
        wire("c1", "v", "t", 1),
        wire("c2", "v", "t", 1),
    ).graph()
    assert disjoint_pair(bridge, "s", "t", Diversity.LINK) is None
    assert disjoint_pair(bridge, "s", "t", Diversity.LINK, maximal=True).shared_links == ("b",)
    pair = disjoint_pair(bridge, "s", "t", Diversity.NODE, maximal=True)
    assert (pair.shared_nodes, pair.shared_links, pair.cost) == (("u", "v"), ("b",), 11)


def test_parallel_links_are_links_of_their_own():
    pair = disjoint_pair(network(wire("x", "s", "t", 4), wire("y", "s", "t", 4)).graph(), "s", "t", Diversity.NODE)
    assert {pair.first.path.links, pair.second.path.links} == {("x",), ("y",)}


def test_a_cycle_beside_a_path_passes_nowhere():
    """With metrics of 0 a ring around x would cost next to nothing: no path passes it."""
    ring = network(
        wire("one", "s", "t", 1),
        wire("two", "s", "t", 1),
        wire("xy", "x", "y", 0),
        wire("yz", "y", "z", 0),
        wire("zx", "z", "x", 0),
    ).graph()
    assert disjoint_pair(ring, "s", "t", Diversity.LINK, Constraints(include_nodes=frozenset("x"))) is None


def test_no_pair_where_there_is_no_second_path_or_none_at_all():
    line = network(wire("st", "s", "t", 1), nodes="u").graph()
    for diversity in Diversity:
        assert disjoint_pair(line, "s", "t", diversity) is None
        assert disjoint_pair(line, "s", "u", diversity, maximal=True) is None
        alone = disjoint_pair(line, "s", "t", diversity, maximal=True)
        assert alone.first == alone.second
        assert alone.shared_links == ("st",)


def test_a_place_is_apart_from_itself():
    graph = network(nodes="s").graph()
    pair = disjoint_pair(graph, "s", "s", Diversity.SRLG_NODE)
    assert (pair.cost, pair.first.path.nodes, pair.shared) == (0, ("s",), 0)


def test_zero_capacity_carries_no_demand():
    graph = network(wire("x", "s", "t", 1, room=0), wire("y", "s", "t", 1)).graph()
    assert disjoint_pair(graph, "s", "t", Diversity.LINK, Constraints(demand=1)) is None
    assert disjoint_pair(graph, "s", "t", Diversity.LINK).cost == 2


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda g: disjoint_pair(g, "s", "nowhere", Diversity.LINK), "UNKNOWN_NODE"),
        (
            lambda g: disjoint_pair(g, "s", "t", Diversity.LINK, Constraints(include_nodes=frozenset({"q"}))),
            "UNKNOWN_NODE",
        ),
        (
            lambda g: disjoint_pair(g, "s", "t", Diversity.LINK, Constraints(include_links=frozenset({"q"}))),
            "UNKNOWN_LINK",
        ),
        (
            lambda g: disjoint_pair(g, "s", "t", Diversity.LINK, Constraints(exclude_links=frozenset({"q"}))),
            "UNKNOWN_LINK",
        ),
        (
            lambda g: disjoint_pair(g, "s", "t", Diversity.LINK, Constraints(exclude_nodes=frozenset({"t"}))),
            "CONTRADICTION",
        ),
    ],
)
def test_nonsense_is_invalid(ask, reason):
    with pytest.raises(Invalid) as refusal:
        ask(network(wire("x", "s", "t", 1), wire("y", "s", "t", 1)).graph())
    assert refusal.value.reason == reason


def test_the_largest_metrics_are_summed_exactly():
    links = [wire(f"{a}{z}{i}", a, z, MAX_METRIC) for a, z in ("sa", "ab", "bt") for i in (1, 2)]
    pair = disjoint_pair(network(*links).graph(), "s", "t", Diversity.LINK)
    assert pair is not None
    assert pair.cost == 6 * MAX_METRIC
