"""Disjoint pairs: two paths of least sum that no single failure takes together, or that share as little as can be."""

from __future__ import annotations

import numpy as np

from controller.core.graph import Graph, Ints, Objective
from controller.core.model import Method
from controller.core.paths.admissible import require_ends, require_places
from controller.core.paths.disjoint_flow import least_sum
from controller.core.paths.disjoint_milp import programmed
from controller.core.paths.disjoint_srlg import without_common_risk
from controller.core.paths.pair import Diversity, Pair, Question, pair_of
from controller.core.paths.path import NONE, Constraints
from controller.core.paths.sums import keeps


def disjoint_pair(
    graph: Graph,
    source: str,
    target: str,
    diversity: Diversity,
    constraints: Constraints = NONE,
    objective: Objective = Objective.DELAY,
    *,
    maximal: bool = False,
) -> Pair | None:
    """Two paths of least summed `objective` that share nothing of the `diversity`; None where there provably are none.

    Both keep to the constraints, each by itself. `maximal`: where they must share something, the fewest nodes, links
    and risk groups, then the least sum; a shared arc then needs room for the demand once, since one path carries the
    traffic of the corridor at a time. `Invalid` where a name is unknown or the constraints contradict each other;
    `Infeasible` (SEARCH_EXHAUSTED) where the search was given up before it found a pair or proved that there is none.
    """
    a, z = require_ends(graph, source, target, constraints)
    require_places(graph, constraints)
    question = Question(graph, a, z, diversity, constraints, objective)
    if a == z:
        return _at_home(question)
    paths = least_sum(question)
    pair = _disjoint(question, *paths) if paths else None
    return pair or (_least_shared(question) if maximal else None)


def _at_home(question: Question) -> Pair | None:
    nowhere = np.zeros(0, np.int32)
    pair = pair_of(question, nowhere, nowhere, Method.SUURBALLE)
    return pair if _both_keep(question, pair) else None


def _both_keep(question: Question, pair: Pair) -> bool:
    return all(keeps(question.graph, route.path, question.constraints) for route in (pair.first, pair.second))


def _disjoint(question: Question, one: Ints, other: Ints) -> Pair | None:
    """The best pair, given the best one that heeds neither risk groups nor bounds: no pair can cost less."""
    pair = pair_of(question, one, other, Method.SUURBALLE)
    if question.constraints.bounded:
        return pair if not pair.shared and _both_keep(question, pair) else programmed(question)
    return without_common_risk(question, one, other) if pair.shared else pair


def _least_shared(question: Question) -> Pair | None:
    """The pair that shares least, where no pair is disjoint."""
    paths = least_sum(question, share=True)
    if paths is None:
        return None
    pair = pair_of(question, *paths, Method.SUURBALLE)
    if not question.diversity.of_groups and _both_keep(question, pair):
        return pair
    return programmed(question, share=True)
