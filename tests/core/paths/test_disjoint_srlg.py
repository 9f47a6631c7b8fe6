"""Pairs without a common risk group against brute force and an independent program, and the traps that groups lay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_oracle import ends, limits, network, proved, scattered, wire
from random_graphs import layers
from scipy.optimize import Bounds, LinearConstraint, milp

from controller.core.errors import Infeasible
from controller.core.graph import Objective
from controller.core.paths import Constraints, Diversity, Method, disjoint_milp, disjoint_pair, disjoint_srlg

OBJECTIVES = st.sampled_from(list(Objective))
WITH_GROUPS = st.sampled_from((Diversity.SRLG, Diversity.SRLG_NODE))


@given(st.data(), layers(min_nodes=2, max_nodes=7, max_links=14), WITH_GROUPS, OBJECTIVES)
@settings(max_examples=400, deadline=None)
def test_the_pair_is_the_best_of_all_pairs(data, layer, diversity, objective):
    a, z = ends(data, layer)
    limit = Constraints(demand=data.draw(st.integers(0, 2)))
    proved(layer, a, z, diversity, limit, objective)


@given(st.data(), layers(min_nodes=2, max_nodes=6, max_links=11), WITH_GROUPS, OBJECTIVES)
@settings(max_examples=80, deadline=None)
def test_the_fewest_risks_are_shared_where_some_must_be(data, layer, diversity, objective):
    a, z = ends(data, layer)
    proved(layer, a, z, diversity, Constraints(), objective, maximal=True)


@given(st.data(), layers(min_nodes=2, max_nodes=6, max_links=11), WITH_GROUPS, OBJECTIVES, st.booleans())
@settings(max_examples=60, deadline=None)
def test_both_paths_keep_to_bounds_and_exclusions(data, layer, diversity, objective, maximal):
    a, z = ends(data, layer)
    limit = limits(data, layer, a, z)
    proved(layer, a, z, diversity, limit, objective, maximal=maximal)


@given(st.integers(0, 10**6), WITH_GROUPS)
@settings(max_examples=25, deadline=None)
def test_large_layers_agree_with_an_independent_program(seed, diversity):
    layer = scattered(seed, nodes=24, links=44, groups=30)
    pair = disjoint_pair(layer.graph(), "n0", "n23", diversity, objective=Objective.TE)
    assert (pair and pair.cost) == paired_program(layer, "n0", "n23", diversity)


def paired_program(layer, a, z, diversity):
    """Every two arcs that may not be used by different paths are forbidden as a pair; no group has a variable."""
    arcs = list(layer.networkx().edges(keys=True, data=True))
    names, n = [node.name for node in layer.nodes], len(arcs)
    cost = np.array([arc["link"].te_metric for *_, arc in arcs] * 2, float)
    flow = np.zeros((2 * len(names), 2 * n))
    wanted = np.zeros(2 * len(names))
    for p in (0, 1):
        wanted[p * len(names) + names.index(a)], wanted[p * len(names) + names.index(z)] = 1, -1
        for i, (u, v, *_) in enumerate(arcs):
            flow[p * len(names) + names.index(u), p * n + i] += 1
            flow[p * len(names) + names.index(v), p * n + i] -= 1
    never = [(i, n + j) for i in range(n) for j in range(n) if together(arcs[i], arcs[j], {a, z}, diversity)]
    rows = np.zeros((len(never), 2 * n))
    for row, pair in enumerate(never):
        rows[row, pair] = 1
    limits = [LinearConstraint(flow, wanted, wanted), LinearConstraint(rows, -np.inf, 1)]
    answer = milp(cost, integrality=np.ones(2 * n), bounds=Bounds(0, 1), constraints=limits)
    return round(answer.fun) if answer.success else None


def together(one, other, ends_, diversity):
    """True where one failure takes both arcs."""
    groups = set(one[3]["link"].srlgs) & set(other[3]["link"].srlgs)
    nodes = ({*one[:2]} & {*other[:2]}) - ends_ if diversity is Diversity.SRLG_NODE else ()
    return bool(one[2] == other[2] or groups or nodes)


def test_the_shortest_path_leaves_none_beside_it():
    """s-a-t is shortest; its groups are in every other path. The pair is made of the other two."""
    trap = network(
        *(wire("sa", "s", "a", 1, 1), wire("at", "a", "t", 1, 2)),
        *(wire("sb", "s", "b", 5, 1), wire("bt", "b", "t", 5, 3)),
        *(wire("sc", "s", "c", 6, 4), wire("ct", "c", "t", 6, 2)),
    ).graph()
    pair = disjoint_pair(trap, "s", "t", Diversity.SRLG)
    assert [route.path.nodes[1] for route in (pair.first, pair.second)] == ["b", "c"]
    assert (pair.method, pair.gap, pair.cost) == (Method.CONFLICTS, 0.0, 22)


def test_the_best_link_disjoint_pair_shares_a_group():
    trap = network(
        *(wire("x", "s", "t", 1, 7), wire("y", "s", "t", 2, 7)),
        *(wire("z1", "s", "m", 5), wire("z2", "m", "t", 5)),
    ).graph()
    assert disjoint_pair(trap, "s", "t", Diversity.LINK).cost == 3
    pair = disjoint_pair(trap, "s", "t", Diversity.SRLG)
    assert (pair.cost, pair.first.path.links, pair.second.path.links) == (11, ("x",), ("z1", "z2"))


def test_a_long_chain_of_traps():
    """At each of 12 stages the short way is in a group with the start of the long detour."""
    links = []
    for i in range(12):
        a, z = f"m{i:02}", f"m{i + 1:02}"
        links += [
            wire(f"up{i}", a, z, 1, 100 + i),
            wire(f"mid{i}", a, z, 2, 100 + i, 200 + i),
            wire(f"low{i}", a, z, 3, 200 + i),
        ]
    pair = disjoint_pair(network(*links).graph(), "m00", "m12", Diversity.SRLG)
    assert (pair.cost, pair.shared, pair.gap) == (48, 0, 0.0)


def test_one_group_in_every_path_is_named():
    ferry = network(wire("x", "s", "t", 1, 7), wire("y", "s", "t", 2, 7), wire("z", "s", "t", 9, 7, 8)).graph()
    assert disjoint_pair(ferry, "s", "t", Diversity.SRLG) is None
    pair = disjoint_pair(ferry, "s", "t", Diversity.SRLG, maximal=True)
    assert (pair.shared_srlgs, pair.shared_links, pair.cost, pair.method) == ((7,), (), 3, Method.MILP)


def test_what_was_not_searched_to_the_end_is_not_called_none(monkeypatch):
    monkeypatch.setattr(disjoint_srlg, "WORK", 0)
    monkeypatch.setattr(disjoint_milp, "ARCS", 0)
    trap = network(
        *(wire("sa", "s", "a", 1, 1), wire("at", "a", "t", 1, 2)),
        *(wire("sb", "s", "b", 5, 1), wire("bt", "b", "t", 5, 3)),
        *(wire("sc", "s", "c", 6, 4), wire("ct", "c", "t", 6, 2)),
    ).graph()
    with pytest.raises(Infeasible) as refusal:
        disjoint_pair(trap, "s", "t", Diversity.SRLG)
    assert refusal.value.reason == "SEARCH_EXHAUSTED"


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_a_search_given_up_tells_an_honest_gap(seed):
    layer = scattered(seed, nodes=24, links=44, groups=30)
    best = disjoint_pair(layer.graph(), "n0", "n23", Diversity.SRLG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disjoint_srlg, "WORK", 2000)
        patch.setattr(disjoint_milp, "ARCS", 0)
        try:
            pair = disjoint_pair(layer.graph(), "n0", "n23", Diversity.SRLG)
        except Infeasible:
            return
    assert (pair is None) == (best is None)
    assert pair is None or pair.cost * (1 - pair.gap) <= best.cost + 1e-6 <= pair.cost + 1


@given(st.integers(0, 10**6), WITH_GROUPS)
@settings(max_examples=15, deadline=None)
def test_the_program_goes_on_where_the_search_was_given_up(seed, diversity):
    layer = scattered(seed, nodes=24, links=44, groups=30)
    best = disjoint_pair(layer.graph(), "n0", "n23", diversity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disjoint_srlg, "WORK", 2000)
        pair = disjoint_pair(layer.graph(), "n0", "n23", diversity)
    assert (pair and (pair.cost, pair.gap)) == (best and (best.cost, 0.0))
