"""Pairs without a common risk group against brute force and an independent program, and the traps that groups lay."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pair_oracle import best_pair, ends, explained, limits
from random_graphs import layers

from controller.core.graph import Objective
from controller.core.paths import Constraints
from controller.core.paths.disjoint import Diversity, disjoint_pair

OBJECTIVES = st.sampled_from(list(Objective))
WITH_GROUPS = st.sampled_from((Diversity.SRLG, Diversity.SRLG_NODE))


@given(st.data(), layers(min_nodes=2, max_nodes=7, max_links=14), WITH_GROUPS, OBJECTIVES)
@settings(max_examples=1000, deadline=None)
def test_the_pair_is_the_best_of_all_pairs(data, layer, diversity, objective):
    a, z = ends(data, layer)
    limit = Constraints(demand=data.draw(st.integers(0, 2)))
    pair = disjoint_pair(layer.graph(), a, z, diversity, limit, objective)
    assert explained(layer, a, z, diversity, limit, objective, pair) == best_pair(
        layer, a, z, diversity, limit, objective, maximal=False
    )


@given(st.data(), layers(min_nodes=2, max_nodes=6, max_links=11), WITH_GROUPS, OBJECTIVES)
@settings(max_examples=200, deadline=None)
def test_the_fewest_risks_are_shared_where_some_must_be(data, layer, diversity, objective):
    a, z = ends(data, layer)
    pair = disjoint_pair(layer.graph(), a, z, diversity, Constraints(), objective, maximal=True)
    assert explained(layer, a, z, diversity, Constraints(), objective, pair) == best_pair(
        layer, a, z, diversity, Constraints(), objective, maximal=True
    )


@given(st.data(), layers(min_nodes=2, max_nodes=6, max_links=11), WITH_GROUPS, OBJECTIVES, st.booleans())
@settings(max_examples=200, deadline=None)
def test_both_paths_keep_to_bounds_and_exclusions(data, layer, diversity, objective, maximal):
    a, z = ends(data, layer)
    limit = limits(data, layer, a, z)
    pair = disjoint_pair(layer.graph(), a, z, diversity, limit, objective, maximal=maximal)
    assert explained(layer, a, z, diversity, limit, objective, pair) == best_pair(
        layer, a, z, diversity, limit, objective, maximal
    )
