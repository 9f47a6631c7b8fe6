"""Link- and node-disjoint pairs against brute force, a flow program, and the topologies that trap greedy searches."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pair_oracle import best_pair, ends, explained, limits
from random_graphs import layers

from controller.core.graph import Objective
from controller.core.paths import Constraints, Method
from controller.core.paths.disjoint import Diversity, disjoint_pair

OBJECTIVES = st.sampled_from(list(Objective))
WITHOUT_GROUPS = st.sampled_from((Diversity.LINK, Diversity.NODE))


@given(st.data(), layers(min_nodes=2, max_nodes=7, max_links=13), WITHOUT_GROUPS, OBJECTIVES, st.booleans())
@settings(max_examples=1200, deadline=None)
def test_the_pair_is_the_best_of_all_pairs(data, layer, diversity, objective, maximal):
    a, z = ends(data, layer)
    limit = Constraints(demand=data.draw(st.integers(0, 3)), reverse_demand=data.draw(st.integers(0, 2)))
    pair = disjoint_pair(layer.graph(), a, z, diversity, limit, objective, maximal=maximal)
    assert explained(layer, a, z, diversity, limit, objective, pair) == best_pair(
        layer, a, z, diversity, limit, objective, maximal
    )
    assert pair is None or pair.method is Method.SUURBALLE


@given(st.data(), layers(min_nodes=2, max_nodes=6, max_links=11), WITHOUT_GROUPS, OBJECTIVES, st.booleans())
@settings(max_examples=250, deadline=None)
def test_both_paths_keep_to_bounds_and_exclusions(data, layer, diversity, objective, maximal):
    a, z = ends(data, layer)
    limit = limits(data, layer, a, z)
    pair = disjoint_pair(layer.graph(), a, z, diversity, limit, objective, maximal=maximal)
    assert explained(layer, a, z, diversity, limit, objective, pair) == best_pair(
        layer, a, z, diversity, limit, objective, maximal
    )
