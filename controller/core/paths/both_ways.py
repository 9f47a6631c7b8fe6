"""A path there and one back: over the same links, or each the best of its own direction."""

from __future__ import annotations

from dataclasses import replace

from controller.core.graph import Graph, Objective
from controller.core.paths.find import find
from controller.core.paths.path import NONE, Constraints, Route, arcs_of, follow
from controller.core.paths.sums import cost_of


def both_ways(
    graph: Graph,
    source: str,
    target: str,
    constraints: Constraints = NONE,
    objective: Objective = Objective.DELAY,
    *,
    symmetric: bool = True,
) -> tuple[Route, Route] | None:
    """(there, back); None where either is missing. `demand` is there, `reverse_demand` back; bounds hold for each.

    Symmetric: the best path there of those whose links have room for both, and the same links back. Not symmetric: each
    direction by itself, with its own demand; where both come to run over one link they use its two directions.
    """
    if symmetric:
        there = find(graph, source, target, constraints, objective)
        return None if there is None else (there, _turned(graph, there, constraints, objective))
    there = find(graph, source, target, replace(constraints, reverse_demand=0), objective)
    turned = replace(constraints, demand=constraints.reverse_demand, reverse_demand=0)
    back = find(graph, target, source, turned, objective) if there else None
    return (there, back) if there and back else None


def _turned(graph: Graph, there: Route, constraints: Constraints, objective: Objective) -> Route:
    """The same links the other way; a delay is the same both ways, a load is not."""
    path = follow(graph, there.path.nodes[-1], there.path.links[::-1])
    arcs = arcs_of(graph.shape, path)
    return replace(there, path=path, cost=cost_of(graph, arcs, objective, constraints.reverse_demand))
