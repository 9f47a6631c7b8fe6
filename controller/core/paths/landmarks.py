"""Lower bounds by landmarks (ALT, Goldberg and Harrelson 2005): what is known of a few nodes bounds the way to any.

d(v, t) >= d(v, L) - d(t, L) and >= d(L, t) - d(L, v). Distances are those of the whole layer with every link usable, so
that a link that is down or full leaves them true, and a metric that grows as well; only one that falls makes them void.
Both hold as well where distances are cut off at `FARTHEST`, of which nothing more than that is known.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from controller.core.graph import Graph, Ints, Longs, Metric, Objective, Shape
from controller.core.paths.admissible import EVERY_ARC
from controller.core.paths.tree import UNREACHED, grow

COUNT = 16
WORTH_IT = 256
"""Nodes below which a search is over before landmarks would help."""
FARTHEST = 2**31 - 1
"""Distance to or from a landmark that is out of reach, or too far to write down."""
NOTHING: Ints = np.zeros((0, 0), np.int32)

_known: WeakKeyDictionary[Metric, Ints] = WeakKeyDictionary()


def known_distances(graph: Graph, objective: Objective) -> Ints:
    """2 COUNT x N: of every node, the distance to each landmark and then, negated, from it: so a row r bounds the way
    from v to t by r[v] - r[t], either kind.

    Measured at the first question of a metric, some 16 searches of the whole layer; none where that is not worth it.
    """
    if objective is Objective.LOAD or len(graph.shape.nodes) < WORTH_IT:
        return NOTHING
    metric = graph.metrics[objective]
    metric = metric.base or metric
    found = _known.get(metric)
    return found if found is not None else _known.setdefault(metric, _measure(graph.shape, metric.values))


def _measure(shape: Shape, metric: Longs) -> Ints:
    """Landmarks far from each other: each next one is the node farthest from those before."""
    n, every = len(shape.nodes), np.zeros(len(shape.head), np.int64)
    distance = np.zeros((2 * COUNT, n), np.int32)
    nearest, at = np.full(n, UNREACHED, np.int64), 0
    for k in range(min(COUNT, n)):
        arrays = shape.first, shape.head, shape.twin, metric, every, EVERY_ARC
        to, _ = grow(*arrays, at, 0, 0, True)
        away, _ = grow(*arrays, at, 0, 0, False)
        distance[k], distance[COUNT + k] = np.minimum(to, FARTHEST), -np.minimum(away, FARTHEST)
        nearest = np.minimum(nearest, to)
        nearest[at] = -1
        at = int(np.argmax(np.where(nearest == UNREACHED, 0, nearest)))
    return distance
