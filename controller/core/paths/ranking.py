"""The k best loopless paths, one after the other: Yen (1971) with Lawler's partition (1972), searched only when due.

What is left after a path is parted into *spaces* that share no path with each other: all that begin with the same arcs
and do not go on by some. A space waits in the queue at the least that its paths can cost; only when its turn comes is
the best of them searched (postponed spur searches, Kurz and Mutzel 2016), and it waits again at what that one costs.
Every search is an A* whose bounds come from one search towards the source that all share.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from controller.core.errors import Infeasible, Invalid
from controller.core.graph import Graph, Ints, Objective
from controller.core.paths.admissible import blocked, metric_of, require_ends, require_places
from controller.core.paths.find import find
from controller.core.paths.landmarks import known_distances
from controller.core.paths.path import NONE, Constraints, Path, Route, path_of
from controller.core.paths.spaces import Question, advance, approach
from controller.core.paths.sums import bounds_of, cost_of, keeps
from controller.core.paths.tree import grow

LANDMARKS = 4
"""How many a search asks."""
MAX_PATHS = 10_000
"""Paths looked at, whether or not they keep to the bounds on their sums."""


def ranked(
    graph: Graph,
    source: str,
    target: str,
    k: int,
    constraints: Constraints = NONE,
    objective: Objective = Objective.DELAY,
) -> tuple[Route, ...]:
    """The k simple paths of least `objective` that keep to `constraints`, best first; fewer where there are fewer.

    Ties go to fewer hops, then to the same path each time; parallel links make different paths. `Invalid` as in `find`
    and where k is not from 1 to 10 000; `Infeasible` SEARCH_EXHAUSTED where of the 10 000 best by the objective fewer
    than k keep to the bounds on sums, and there are more to look at.
    """
    if not (isinstance(k, int) and 1 <= k <= MAX_PATHS):
        raise Invalid.field("k", f"a whole number from 1 to {MAX_PATHS}")
    a, z = require_ends(graph, source, target, constraints)
    require_places(graph, constraints)
    if a == z:
        only = find(graph, source, target, constraints, objective)
        return (only,) if only else ()
    routes: list[Route] = []
    for looked_at, arcs in enumerate(ranked_arcs(graph, a, z, constraints, objective)):
        if looked_at == MAX_PATHS:
            raise _exhausted(len(routes))
        path = path_of(graph, a, arcs)
        if _over(path, constraints, objective):
            break
        if not constraints.bounded or keeps(graph, path, constraints):
            routes.append(Route(path, cost_of(graph, arcs, objective, constraints.demand)))
            if len(routes) == k:
                break
    return tuple(routes)


def _over(path: Path, constraints: Constraints, objective: Objective) -> bool:
    """True where this path and all dearer ones take too long."""
    return objective is Objective.DELAY and 0 < constraints.max_delay_us < path.delay_us


def _exhausted(found: int) -> Infeasible:
    return Infeasible(
        f"of the {MAX_PATHS} best paths {found} keep to the bounds: there may be more or not",
        reason="SEARCH_EXHAUSTED",
        metadata={"lookedAt": str(MAX_PATHS), "found": str(found)},
    )


def ranked_arcs(
    graph: Graph, source: int, target: int, constraints: Constraints = NONE, objective: Objective = Objective.DELAY
) -> Iterator[Ints]:
    """Arcs of the simple paths between two node indices, best first, as far as the caller goes.

    Places to pass are not heeded; bounds on sums leave out some paths that break them, not all (`keeps` tells).
    """
    if source == target:
        yield np.empty(0, np.int32)
        return
    question = _question(graph, source, target, constraints, objective)
    n, arcs = len(graph.shape.nodes), len(graph.shape.head)
    behind, state, heap = np.zeros((n, 4), np.int64), np.zeros((n, 4), np.int64), np.empty((arcs + 1, 2), np.int64)
    best = approach(question, behind, heap)
    if best < 0:
        return
    queue, spaces, pool = np.zeros((64, 2), np.int64), np.full((64, 5), -1, np.int64), np.empty(n + 64, np.int32)
    count, last = np.array([1, 1, 0, 0], np.int64), -1
    spaces[0, :2] = 0
    while True:
        last, queue, spaces, pool = advance(question, behind, best, state, heap, queue, spaces, pool, count, last)
        if last < 0:
            return
        start, hops = int(spaces[last, 0]), int(spaces[last, 2])
        yield pool[start : start + hops].copy()


def _question(graph: Graph, source: int, target: int, constraints: Constraints, objective: Objective) -> Question:
    shape, need, back = graph.shape, constraints.demand, constraints.reverse_demand
    out = blocked(graph, constraints)
    known = known_distances(graph, objective)
    bounds = bounds_of(graph, target, constraints)
    use = [each for each, _ in bounds]
    to = [grow(shape.first, shape.head, shape.twin, each, graph.room, out, target, need, back, True)[0] for each in use]
    return Question(
        first=shape.first,
        tail=shape.tail,
        head=shape.head,
        twin=shape.twin,
        metric=metric_of(graph, objective, need),
        room=graph.room,
        out=out,
        place=shape.place,
        known=known,
        asked=_telling(known, source, target),
        use=np.array(use, np.int64).reshape(len(bounds), len(shape.head)),
        to=np.array(to, np.int64).reshape(len(bounds), len(shape.nodes)),
        limits=np.array([bound for _, bound in bounds], np.int64),
        pace=graph.metrics[objective].pace if objective in graph.metrics else 0.0,
        source=source,
        target=target,
        need=need,
        back=back,
    )


def _telling(known: Ints, source: int, target: int) -> Ints:
    """Rows of the landmarks that say most of this pair."""
    if not len(known):
        return np.empty(0, np.int32)
    words = known[:, source].astype(np.int64) - known[:, target]
    return np.argsort(-words, kind="stable")[:LANDMARKS].astype(np.int32)
