"""What a path adds up to: its cost by an objective, and whether it keeps to bounds on sums and passes where it must."""

from __future__ import annotations

import numpy as np

from controller.core.graph import Graph, Ints, Longs, Objective
from controller.core.paths.admissible import metric_of
from controller.core.paths.path import Constraints, Path, arcs_of


def cost_of(graph: Graph, arcs: Ints, objective: Objective, demand: int = 0) -> int:
    """Sum of an objective over the arcs of a path; DELAY counts the nodes in between, as `Path.delay_us` does."""
    if not len(arcs):
        return 0
    total = int(metric_of(graph, objective, demand)[arcs].sum())
    return total - int(graph.shape.processing[graph.shape.head[arcs[-1]]]) if objective is Objective.DELAY else total


def jitter_of(graph: Graph, path: Path) -> int:
    """Sum over the links, µs."""
    return int(graph.shape.jitter[arcs_of(graph.shape, path)].sum())


def bounds_of(graph: Graph, target: int, constraints: Constraints) -> list[tuple[Longs, int]]:
    """(per arc, bound) of each sum that has a bound: delay, hops, jitter.

    The delay of arcs holds that of the target, a path's does not: the bound is that much higher.
    """
    shape = graph.shape
    sums = (
        (graph.delay, constraints.max_delay_us, int(shape.processing[target])),
        (np.ones(len(shape.head), np.int64), constraints.max_hops, 0),
        (shape.jitter, constraints.max_jitter_us, 0),
    )
    return [(each, bound + beyond) for each, bound, beyond in sums if bound]


def keeps(graph: Graph, path: Path, constraints: Constraints) -> bool:
    """True where a path keeps to the bounds on its sums and passes where it must."""
    jitter = jitter_of(graph, path) if constraints.max_jitter_us else 0
    bounds = (
        (path.delay_us, constraints.max_delay_us),
        (len(path.links), constraints.max_hops),
        (jitter, constraints.max_jitter_us),
    )
    within = all(not bound or value <= bound for value, bound in bounds)
    return within and constraints.include_nodes <= {*path.nodes} and constraints.include_links <= {*path.links}
