"""The best path under constraints: the search that is enough for them, and which one that was."""

from __future__ import annotations

from controller.core.graph import Graph, Objective
from controller.core.paths.admissible import require_ends, require_places
from controller.core.paths.bounded import bounded
from controller.core.paths.path import NONE, Constraints, Route
from controller.core.paths.shortest import shortest
from controller.core.paths.sums import keeps


def find(
    graph: Graph,
    source: str,
    target: str,
    constraints: Constraints = NONE,
    objective: Objective = Objective.DELAY,
) -> Route | None:
    """The path of least `objective`; None where nothing keeps to the constraints. Ties go to fewer hops (`bounded`:
    the same path each time).

    `Invalid` where a name is unknown or the constraints contradict each other; `Infeasible` as in `bounded`.
    """
    a, z = require_ends(graph, source, target, constraints)
    require_places(graph, constraints)
    route = shortest(graph, a, z, constraints, objective)
    if route and constraints.bounded and not keeps(graph, route.path, constraints):
        return bounded(graph, a, z, constraints, objective)
    return route
