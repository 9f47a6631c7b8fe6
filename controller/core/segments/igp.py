"""What an IGP computes on a layer of routers: distances, equal-cost next hops, and where there is one way only.

Algorithm 0 sums the IGP metric; algorithm 128 the minimum unidirectional link delay (RFC 9350 5.1, metric type 1),
which knows nothing of the time that a packet spends in nodes. An adjacency takes part where it is open, however full
it is: no IGP heeds reservations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from controller.core.compiled import compiled
from controller.core.errors import Invalid
from controller.core.graph import CLOSED, Graph, Ints, Longs, Objective
from controller.core.paths.admissible import EVERY_ARC
from controller.core.paths.heap import pop, push
from controller.core.paths.tree import UNREACHED, grow

ALGORITHM = {Objective.IGP: 0, Objective.DELAY: 128}
"""The number that an algorithm is advertised by (RFC 8665 3.1, RFC 9350 4)."""
LONGS_KEPT = 1 << 24
"""Distances that an `Igp` remembers; the oldest are forgotten first."""


class Igp:
    """One algorithm on one graph. What it has computed is kept: it is as immutable as its graph."""

    def __init__(self, graph: Graph, objective: Objective = Objective.IGP) -> None:
        """`Invalid` where no IGP has this objective."""
        if objective not in ALGORITHM:
            raise Invalid(f"no IGP routes by {objective}", reason="BAD_OBJECTIVE")
        shape = graph.shape
        values = graph.metrics[objective].values
        if objective is Objective.DELAY:
            values = values - shape.processing[shape.head]
        both = (graph.room != CLOSED) & (graph.room[shape.twin] != CLOSED)
        self.graph = graph
        self.objective = objective
        self.metric: Longs = np.maximum(values, 1)
        """Per arc, at least 1, as IS-IS and OSPF have it."""
        self.closed: Longs = np.where(both, 0, CLOSED)
        """Per arc, `CLOSED` where it takes no part: an adjacency is up both ways or not at all."""
        self._asked: set[int] = set()
        self._to: dict[int, Longs] = {}
        self._from: dict[int, Longs] = {}

    def distance_to(self, target: int) -> Longs:
        """Of every node; `UNREACHED` where there is no way. Not to be written to."""
        return self._kept(self._to, target, lambda: self._grow(target, True))

    def distance_from(self, source: int) -> Longs:
        """To every node; `UNREACHED` where there is no way. Not to be written to."""
        return self._kept(self._from, source, lambda: self._grow(source, False))

    def next_arcs(self, node: int, target: int) -> Ints:
        """The arcs over which `node` spreads what goes to `target`, ascending; none at the target or without a way."""
        far = self.distance_to(target)
        shape = self.graph.shape
        return _next_arcs(shape.first, shape.head, self.metric, self.closed, far, node)

    def only_path(self, source: int, target: int) -> Ints | None:
        """The arcs of the shortest path where there is exactly one, parallel links counted as different; else None."""
        shape = self.graph.shape
        if target not in self._to and target not in self._asked:  # worth a tree once it is asked for again
            self._asked.add(target)
            arcs = _nearby(shape.first, shape.tail, shape.head, self.metric, self.closed, source, target)
        else:
            far = self.distance_to(target)
            arcs = _only_path(shape.first, shape.head, self.metric, self.closed, far, source)
        return arcs if len(arcs) or source == target else None

    def branching(self, source: int, target: int) -> int | None:
        """The first node on the way that has several next arcs; None where none has, or there is no way."""
        node = source
        while len(arcs := self.next_arcs(node, target)) == 1:
            node = int(self.graph.shape.head[arcs[0]])
        return node if len(arcs) else None

    def reach(self, arcs: Ints, start: int = 0) -> int:
        """The largest `end` for which `arcs[start:end]` is the only shortest path between its ends; from `start`.

        What holds of a path holds of every part of it, so each end from `start` to there will do. One search, which
        goes no farther than that end is away.
        """
        if start >= len(arcs):
            return len(arcs)
        shape = self.graph.shape
        rest = np.ascontiguousarray(arcs[start:], dtype=np.int32)
        return start + _reach(shape.first, shape.tail, shape.head, self.metric, self.closed, rest)

    def _grow(self, root: int, inward: bool) -> Longs:
        shape = self.graph.shape
        far, _ = grow(shape.first, shape.head, shape.twin, self.metric, self.closed, EVERY_ARC, root, 0, 0, inward)
        return far

    def _kept(self, known: dict[int, Longs], node: int, compute: Callable[[], Longs]) -> Longs:
        far = known.get(node)
        if far is None:
            far = known[node] = compute()
            if len(known) * len(far) > LONGS_KEPT and len(known) > 1:
                known.pop(next(iter(known)), None)
        return far


class LinkMetrics(NamedTuple):
    """What an IGP knows of an adjacency that takes part, for both algorithms."""

    igp_metric: int
    delay_us: int


@dataclass(frozen=True, eq=False)
class Underlay:
    """How the routers of a layer forward: one graph, and the algorithms that every one of them takes part in."""

    graph: Graph
    igps: Mapping[Objective, Igp]

    @classmethod
    def of(cls, graph: Graph, algorithms: Iterable[Objective] = (Objective.IGP,)) -> Underlay:
        return cls(graph, {each: Igp(graph, each) for each in algorithms})

    @cached_property
    def links(self) -> Mapping[str, LinkMetrics]:
        """The adjacencies that take part: routes follow from them and nothing else."""
        graph, shape = self.graph, self.graph.shape
        arcs = shape.arc[:, 0]
        igp = graph.metrics[Objective.IGP].values[arcs]
        delay = graph.delay[arcs] - shape.processing[shape.head[arcs]]
        figures = zip(shape.links, (graph.room[arcs] != CLOSED).tolist(), igp.tolist(), delay.tolist(), strict=True)
        return {name: LinkMetrics(metric, us) for name, up, metric, us in figures if up}


@compiled
def _next_arcs(first: Ints, head: Ints, metric: Longs, closed: Longs, far: Longs, u: int) -> Ints:
    found = np.empty(first[u + 1] - first[u], np.int32)
    count = 0
    for a in range(first[u], first[u + 1]):
        if closed[a] == 0 and far[head[a]] != UNREACHED and metric[a] + far[head[a]] == far[u]:
            found[count] = a
            count += 1
    return found[:count].copy()


@compiled
def _only_path(first: Ints, head: Ints, metric: Longs, closed: Longs, far: Longs, source: int) -> Ints:
    """None (no arcs) where a node on the way has more than one next arc. Every metric is above 0, so that it ends."""
    arcs = np.empty(len(first), np.int32)
    hops, u = 0, source
    while far[u] and far[u] != UNREACHED:
        following = _next_arcs(first, head, metric, closed, far, u)
        if len(following) != 1:
            return np.empty(0, np.int32)
        arcs[hops] = following[0]
        u = head[following[0]]
        hops += 1
    return arcs[:hops].copy()


@compiled
def _nearby(first: Ints, tail: Ints, head: Ints, metric: Longs, closed: Longs, source: int, target: int) -> Ints:
    """The same for once, looking no farther than the target is away: Dijkstra that counts ways."""
    n = len(first) - 1
    far, via, ways = np.full(n, UNREACHED, np.int64), np.full(n, -1, np.int32), np.zeros(n, np.uint8)
    heap = np.empty((len(head) + 1, 2), np.int64)
    far[source], ways[source] = 0, 1
    size = push(heap, 0, 0, source)
    while size and heap[0, 1] != target:
        key, u = heap[0, 0], heap[0, 1]
        size = pop(heap, size)
        if key != far[u]:
            continue
        for a in range(first[u], first[u + 1]):
            v, reached = head[a], key + metric[a]
            if closed[a] != 0 or reached > far[target]:
                continue
            if reached < far[v]:
                far[v], via[v], ways[v] = reached, a, ways[u]
                size = push(heap, size, reached, v)
            elif reached == far[v]:
                ways[v] = 2
    if size == 0 or ways[target] != 1:
        return np.empty(0, np.int32)
    arcs, hops, u = np.empty(n, np.int32), n, target
    while u != source:
        hops -= 1
        arcs[hops] = via[u]
        u = tail[via[u]]
    return arcs[hops:].copy()


@compiled
def _reach(first: Ints, tail: Ints, head: Ints, metric: Longs, closed: Longs, path: Ints) -> int:
    """How many arcs of `path` are the only shortest path to where they lead: Dijkstra that counts ways.

    A node of the path at its distance along the path, by one way only, is reached by the path alone. The first one that
    is not bounds what is still looked at.
    """
    n = len(first) - 1
    limit, along, place = _measured(n, tail, head, metric, closed, path)
    far, ways = np.full(n, UNREACHED, np.int64), np.zeros(n, np.uint8)
    heap = np.empty((len(head) + 1, 2), np.int64)
    source, met = tail[path[0]], 0
    far[source], ways[source] = 0, 1
    size = push(heap, 0, 0, source)
    while size and met < limit:
        key, u = heap[0, 0], heap[0, 1]
        size = pop(heap, size)
        if key != far[u]:
            continue
        i = place[u]
        if 0 < i <= limit:
            if key == along[i] and ways[u] == 1:
                met += 1  # those before it are nearer, so they were met before
            else:
                limit = i - 1
        for a in range(first[u], first[u + 1]):
            v, reached = head[a], key + metric[a]
            if closed[a] != 0 or reached > along[limit]:
                continue
            if reached < far[v]:
                far[v], ways[v] = reached, ways[u]
                size = push(heap, size, reached, v)
            elif reached == far[v]:
                ways[v] = 2
    return limit


@compiled
def _measured(n: int, tail: Ints, head: Ints, metric: Longs, closed: Longs, path: Ints) -> tuple[int, Longs, Ints]:
    """(arcs before one is closed, does not join on, or returns; metric along the path; per node its place or 0)."""
    along, place = np.zeros(len(path) + 1, np.int64), np.zeros(n, np.int32)
    limit, source = len(path), tail[path[0]]
    for i in range(len(path)):
        a = path[i]
        joined = i == 0 or tail[a] == head[path[i - 1]]
        if closed[a] != 0 or not joined or head[a] == source or place[head[a]]:
            limit = i
            break
        along[i + 1] = along[i] + metric[a]
        place[head[a]] = i + 1
    return limit, along, place
