"""What a path adds up to: its cost by an objective, and whether it keeps to bounds on sums and passes where it must."""

from __future__ import annotations

from controller.core.graph import Graph, Ints, Objective
from controller.core.paths.admissible import metric_of
from controller.core.paths.path import Constraints, Path


def cost_of(graph: Graph, arcs: Ints, objective: Objective, demand: int = 0) -> int:
    """Sum of an objective over the arcs of a path; DELAY counts the nodes in between, as `Path.delay_us` does."""
    if not len(arcs):
        return 0
    total = int(metric_of(graph, objective, demand)[arcs].sum())
    return total - int(graph.shape.processing[graph.shape.head[arcs[-1]]]) if objective is Objective.DELAY else total


def keeps(graph: Graph, path: Path, constraints: Constraints) -> bool:
    """True where a path keeps to the bounds on its sums and passes where it must."""
    jitter = sum(int(graph.shape.jitter[graph.shape.arc[graph.link(name), 0]]) for name in path.links)
    bounds = (
        (path.delay_us, constraints.max_delay_us),
        (len(path.links), constraints.max_hops),
        (jitter, constraints.max_jitter_us),
    )
    within = all(not bound or value <= bound for value, bound in bounds)
    return within and constraints.include_nodes <= {*path.nodes} and constraints.include_links <= {*path.links}
