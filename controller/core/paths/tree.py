"""Distances from one node to all, or from all to one: shortest-path trees (Dijkstra)."""

from __future__ import annotations

import numpy as np

from controller.core.compiled import compiled
from controller.core.graph import Flags, Graph, Ints, Longs, Objective
from controller.core.paths.admissible import blocked, metric_of
from controller.core.paths.heap import pop, push
from controller.core.paths.path import NONE, Constraints

UNREACHED = 1 << 62
"""Distance of a node that no path leads to."""


def tree(
    graph: Graph,
    root: int,
    constraints: Constraints = NONE,
    objective: Objective = Objective.DELAY,
    *,
    inward: bool = False,
) -> tuple[Longs, Ints]:
    """(distance of every node from `root`, arc that leads to it), -1 where none does.

    `inward`: distances *to* the root, and the arc that each node takes first. Distances sum the metric over arcs; with
    DELAY an arc's metric holds the node at its head, the root's own when inward.
    """
    shape, metric = graph.shape, metric_of(graph, objective, constraints.demand)
    out = blocked(graph, constraints)
    need, back = constraints.demand, constraints.reverse_demand
    return grow(shape.first, shape.head, shape.twin, metric, graph.room, out, root, need, back, inward)


@compiled
def grow(
    first: Ints,
    head: Ints,
    twin: Ints,
    metric: Longs,
    room: Longs,
    out: Flags,
    root: int,
    need: int,
    back: int,
    inward: bool,
) -> tuple[Longs, Ints]:
    """The kernel of `tree`: an inward tree follows each arc out of a node against its direction, by its twin."""
    n = len(first) - 1
    far, via = np.full(n, UNREACHED, np.int64), np.full(n, -1, np.int32)
    heap = np.empty((len(head) + 1, 2), np.int64)
    far[root] = 0
    size = push(heap, 0, 0, root)
    while size:
        key, u = heap[0, 0], heap[0, 1]
        size = pop(heap, size)
        if key != far[u]:
            continue
        for a in range(first[u], first[u + 1]):
            arc = twin[a] if inward else a
            if room[arc] < need or room[twin[arc]] < back or (len(out) and out[arc]):
                continue
            v, reached = head[a], key + metric[arc]
            if reached < far[v]:
                far[v], via[v] = reached, arc
                size = push(heap, size, reached, v)
    return far, via
