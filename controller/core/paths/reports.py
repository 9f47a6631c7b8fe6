"""What is asked of many ends at once: which of several places is nearest, and the one-way delay between all pairs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from controller.core.errors import Invalid
from controller.core.graph import HOP_BITS, Graph, Ints, Longs, Objective
from controller.core.paths.admissible import blocked, metric_of, require_ends, require_places
from controller.core.paths.find import find
from controller.core.paths.path import NONE, Constraints, Route, path_of
from controller.core.paths.sums import cost_of, keeps
from controller.core.paths.tree import UNREACHED, grow, tree


def nearest(
    graph: Graph,
    source: str,
    targets: Iterable[str],
    constraints: Constraints = NONE,
    objective: Objective = Objective.DELAY,
) -> tuple[Route, ...]:
    """The best route from `source` to each of `targets` that has one, ascending: cost, then hops, then target's name.

    One search for all; only a target whose least path breaks a bound on a sum is searched for itself. A target named
    twice counts once; one that the constraints exclude has no route. `Invalid` where a name is unknown or the
    constraints contradict each other otherwise; `Infeasible` as in `find`.
    """
    require_ends(graph, source, source, constraints)
    require_places(graph, constraints)
    names = sorted({*targets})
    indices = {name: graph.node(name) for name in names}
    root, via = graph.node(source), _tree(graph, graph.node(source), constraints, objective)
    routes = []
    for name in names:
        if name in constraints.exclude_nodes or (via[indices[name]] < 0 and indices[name] != root):
            continue
        arcs = _arcs(graph, via, root, indices[name])
        route: Route | None = Route(path_of(graph, root, arcs), cost_of(graph, arcs, objective, constraints.demand))
        if constraints.bounded and route and not keeps(graph, route.path, constraints):
            route = find(graph, source, name, constraints, objective)
        if route:
            routes.append((route.cost, len(route.path.links), name, route))
    return tuple(route for *_, route in sorted(routes, key=lambda each: each[:3]))


def _tree(graph: Graph, root: int, constraints: Constraints, objective: Objective) -> Ints:
    """The arc that leads to each node on the least path from the root, of the fewest hops; -1 where none does."""
    shape, need, back = graph.shape, constraints.demand, constraints.reverse_demand
    weight = (metric_of(graph, objective, need) << HOP_BITS) + 1
    out = blocked(graph, constraints)
    return grow(shape.first, shape.head, shape.twin, weight, graph.room, out, root, need, back, False)[1]


def _arcs(graph: Graph, via: Ints, root: int, node: int) -> Ints:
    arcs = []
    while node != root:
        arcs.append(via[node])
        node = graph.shape.tail[via[node]]
    return np.array(arcs[::-1], np.int32)


NO_WAY = -1
"""Delay of a pair between which there is no path."""


@dataclass(frozen=True, eq=False, slots=True)
class Delays:
    """Least one-way delays between nodes."""

    names: tuple[str, ...]
    matrix: Longs
    """From row to column in µs, `NO_WAY` where no path leads; 0 on the diagonal."""

    def between(self, source: str, target: str) -> int | None:
        """µs, None where there is no path; `Invalid` where a name is not among `names`."""
        delay = int(self.matrix[self._index(source), self._index(target)])
        return None if delay == NO_WAY else delay

    def worst(self) -> tuple[str, str, int] | None:
        """(source, target, µs) of the pair farthest apart, the first of equals; None where no pair is joined."""
        if not self._joined():
            return None
        apart = self.matrix.copy()
        np.fill_diagonal(apart, NO_WAY)
        row, column = divmod(int(apart.argmax()), len(self.names))
        return self.names[row], self.names[column], int(apart[row, column])

    def share_within(self, bound_us: int) -> float:
        """Of the ordered pairs of different nodes, the share joined within a bound (1000: the 1 ms circle).

        A pair without a path is not within any bound; 1 where there are no pairs. `Invalid`: the bound is below 0.
        """
        if not bound_us >= 0:  # NaN is not
            raise Invalid.field("bound_us", "a number from 0")
        pairs = len(self.names) * (len(self.names) - 1)
        within = (self.matrix >= 0) & (self.matrix <= bound_us)
        return (int(within.sum()) - len(self.names)) / pairs if pairs else 1.0

    def unreachable(self) -> tuple[tuple[str, str], ...]:
        """Ordered pairs without a path, in order of the names."""
        return tuple((self.names[row], self.names[column]) for row, column in np.argwhere(self.matrix == NO_WAY))

    def _joined(self) -> bool:
        return int((self.matrix != NO_WAY).sum()) > len(self.names)

    def _index(self, name: str) -> int:
        try:
            return self.names.index(name)
        except ValueError:
            raise Invalid(f"{name} is not a node of this report", reason="UNKNOWN_NODE") from None


def delays(graph: Graph, constraints: Constraints = NONE, names: Iterable[str] | None = None) -> Delays:
    """Least one-way delays among `names` in their order, or all nodes: the links and the nodes in between.

    Demands and exclusions are heeded: an excluded node reaches nothing but itself. `Invalid` where a name is unknown or
    twice there, and where a bound on a sum or a place to pass is asked for, which no matrix of least delays answers.
    """
    if constraints.bounded:
        raise Invalid("a report of delays takes no bounds on sums and no places to pass", reason="CONTRADICTION")
    names = graph.shape.nodes if names is None else tuple(names)
    nodes = np.array([graph.node(name) for name in names], np.int64)
    if len({*names}) < len(names):
        raise Invalid.field("names", "each node once")
    matrix = np.empty((len(nodes), len(nodes)), np.int64)
    beyond = graph.shape.processing[nodes]
    for row, root in enumerate(nodes.tolist()):
        far = tree(graph, root, constraints)[0][nodes]
        matrix[row] = np.where(far == UNREACHED, NO_WAY, far - beyond)
        matrix[row, row] = 0
    return Delays(names, matrix)
