"""The least-metric path under room and exclusions: A*, exact whatever its bounds, for they never exceed the truth."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from controller.core.compiled import compiled
from controller.core.graph import HOP_BITS, Flags, Graph, Ints, Longs, Objective, Reals, Shape
from controller.core.paths.admissible import blocked, metric_of
from controller.core.paths.heap import pop, push, replace
from controller.core.paths.landmarks import known_distances
from controller.core.paths.path import NONE, Constraints, Route, named

ACTIVE = 8
"""Landmarks that a search asks: those that say most of its own two ends."""
MARK, FAR, BOUND, VIA = 0, 1, 2, 3
"""Columns of a node's state: the search that last saw it, weight from the source, least to the target, arc there."""


class Scratch(NamedTuple):
    """Memory of one search, used again by the next: clearing it would cost more than most searches."""

    state: Longs
    """N + 1 rows; the last one's mark counts the searches."""
    heap: Longs
    answer: Longs
    """Weight of the path found; its arcs; the nodes they lead to; their links; their ways."""


_pools: WeakKeyDictionary[Shape, deque[Scratch]] = WeakKeyDictionary()


def shortest(
    graph: Graph, source: int, target: int, constraints: Constraints = NONE, objective: Objective = Objective.DELAY
) -> Route | None:
    """The path of least metric between node indices; ties go to fewer hops. None where there is none.

    Bounds on sums and places to pass are not heeded here (`find` does).
    """
    shape = graph.shape
    pool, scratch = _scratch(shape)
    hops = _search(graph, source, target, constraints, objective, scratch)
    rows = scratch.answer[: 4 * hops + 1].tolist() if hops >= 0 else []
    pool.append(scratch)
    return _route(graph, source, hops, rows, objective) if rows else None


def _route(graph: Graph, source: int, hops: int, rows: list[int], objective: Objective) -> Route:
    """What `rows`, as in `Scratch.answer`, say."""
    cost, arcs, heads = rows[0] >> HOP_BITS, rows[1 : hops + 1], rows[hops + 1 : 2 * hops + 1]
    links, ways = rows[2 * hops + 1 : 3 * hops + 1], rows[3 * hops + 1 :]
    last = int(graph.shape.processing[heads[-1]]) if hops else 0
    if objective is Objective.DELAY:
        cost = delay = cost - last
    else:
        delay = int(graph.delay[arcs].sum()) - last if hops else 0
    return Route(named(graph.shape, source, heads, links, ways, delay), cost)


def _search(
    graph: Graph, source: int, target: int, constraints: Constraints, objective: Objective, scratch: Scratch
) -> int:
    """Hops of the path that the scratch then holds, -1 where there is none."""
    shape = graph.shape
    return _a_star(
        shape.first,
        shape.head,
        shape.twin,
        shape.link,
        shape.way,
        metric_of(graph, objective, constraints.demand),
        graph.room,
        blocked(graph, constraints),
        shape.place,
        graph.metrics[objective].pace if objective in graph.metrics else 0.0,
        known_distances(graph, objective),
        source,
        target,
        constraints.demand,
        constraints.reverse_demand,
        *scratch,
    )


def _scratch(shape: Shape) -> tuple[deque[Scratch], Scratch]:
    """A free scratch of this shape, and where it goes back to: two threads never share one."""
    pool = _pools.get(shape)
    if pool is None:
        pool = _pools.setdefault(shape, deque())
    try:
        return pool, pool.pop()
    except IndexError:
        nodes, arcs = len(shape.nodes), len(shape.head)
        state, heap = np.zeros((nodes + 1, 4), np.int64), np.empty((arcs + 1, 2), np.int64)
        return pool, Scratch(state, heap, np.empty(4 * nodes + 1, np.int64))


@compiled
def _a_star(
    first: Ints,
    head: Ints,
    twin: Ints,
    link: Ints,
    way: Flags,
    metric: Longs,
    room: Longs,
    out: Flags,
    place: Reals,
    pace: float,
    known: Ints,
    source: int,
    target: int,
    need: int,
    back: int,
    state: Longs,
    heap: Longs,
    answer: Longs,
) -> int:
    """Hops from source to target, -1 where there is no way. The bounds are consistent: no node is settled twice."""
    state[-1, MARK] += 1
    turn = state[-1, MARK]
    state[source, MARK], state[source, FAR], state[source, BOUND], state[source, VIA] = turn, 0, 0, -1
    straight = _straight(place, pace, source, target)
    asked = _active(known, source, target, straight)
    guided, masked = len(asked) > 0, len(out) > 0
    size = push(heap, 0, 0, source)
    while size:
        key, u = heap[0, 0], heap[0, 1]
        if u == target:
            return _walk_back(head, twin, link, way, state, target, answer)
        vacant = True  # row 0 is done with, and most often the first arc on has something to put there
        far = state[u, FAR]
        if key == far + state[u, BOUND]:  # else it was reached on a shorter way meanwhile
            for a in range(first[u], first[u + 1]):
                if room[a] < need or (back and room[twin[a]] < back) or (masked and out[a]):
                    continue
                v, reached = head[a], far + (metric[a] << HOP_BITS) + 1
                if state[v, MARK] != turn:
                    state[v, MARK] = turn
                    least = _word(known, asked, v) if guided else _straight(place, pace, v, target)
                    bound = least << HOP_BITS
                    state[v, BOUND] = bound
                elif reached >= state[v, FAR]:
                    continue
                else:
                    bound = state[v, BOUND]
                state[v, FAR], state[v, VIA] = reached, a
                if vacant:
                    replace(heap, size, reached + bound, v)
                    vacant = False
                else:
                    size = push(heap, size, reached + bound, v)
        if vacant:
            size = pop(heap, size)
    return -1


@compiled
def _straight(place: Reals, pace: float, v: int, target: int) -> int:
    """No way from v to the target has a smaller metric: not even straight through the earth."""
    x, y, z = place[v, 0] - place[target, 0], place[v, 1] - place[target, 1], place[v, 2] - place[target, 2]
    return int(pace * np.sqrt(x * x + y * y + z * z))


@compiled
def _word(known: Ints, asked: Longs, v: int) -> int:
    """Nor than what the landmarks asked say."""
    least = 0
    for i in range(len(asked)):
        least = max(least, int(known[asked[i, 0], v]) - int(asked[i, 1]))
    return least


@compiled
def _active(known: Ints, source: int, target: int, straight: int) -> Longs:
    """(row, what it says of the target) of the landmarks that say most of this pair; none where the straight line says
    more than any."""
    words = np.empty(len(known), np.int64)
    for row in range(len(known)):
        words[row] = known[row, source] - known[row, target]
    if not len(known) or words.max() <= straight:
        return np.empty((0, 2), np.int64)
    asked = np.empty((ACTIVE, 2), np.int64)
    for i in range(ACTIVE):
        row = int(np.argmax(words))
        asked[i, 0], asked[i, 1], words[row] = row, known[row, target], -1
    return asked


@compiled
def _walk_back(head: Ints, twin: Ints, link: Ints, way: Flags, state: Longs, target: int, answer: Longs) -> int:
    hops, u = 0, target
    while state[u, VIA] >= 0:
        hops, u = hops + 1, head[twin[state[u, VIA]]]
    answer[0], u = state[target, FAR], target
    for i in range(hops, 0, -1):
        arc = state[u, VIA]
        answer[i], answer[hops + i], answer[2 * hops + i], answer[3 * hops + i] = arc, u, link[arc], way[arc]
        u = head[twin[arc]]
    return hops
