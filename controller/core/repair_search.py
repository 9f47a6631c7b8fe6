"""Kernels of TI-LFA: for one cut, the segment lists of fewest ids that keep to what the IGP will converge to.

A segment may go from v to p where p lies below v on the post-convergence shortest paths and no pre-failure shortest
path from v to p crosses the cut (p is in the P-space of v, v in the Q-space of p: RFC 7490 2). All of these are
then post-convergence shortest paths themselves: none is longer, for those that converge are free of the cut and so
existed before; none is shorter, for they survive it. So one pass in the order of distance settles every destination.
"""

from __future__ import annotations

import numpy as np

from controller.core.compiled import compiled
from controller.core.graph import Flags, Ints, Longs
from controller.core.paths.tree import UNREACHED, grow

NODE_SEGMENT = 1 << 16 | 1
ADJACENCY_SEGMENT = 2 << 16 | 1
"""Costs: ids << 16 | segments, so that equal ids are told apart by the number of segments."""
BY_NODE_SEGMENT = -1
"""Instead of the arc that leads to an end of a segment."""


@compiled
def row(first: Ints, head: Ints, twin: Ints, metric: Longs, closed: Longs, far: Longs, known: Flags, v: int) -> None:
    """See to it that `far[v]` (N x N, filled as needed) holds the pre-failure distances from v."""
    if not known[v]:
        far[v], _ = grow(first, head, twin, metric, closed, np.empty(0, np.uint8), v, 0, 0, False)
        known[v] = 1


@compiled
def search(
    first: Ints,
    tail: Ints,
    head: Ints,
    twin: Ints,
    metric: Longs,
    closed: Longs,
    out: Flags,
    watched: Ints,
    wanted: Flags,
    source: int,
    far: Longs,
    known: Flags,
) -> tuple[Longs, Longs, Ints, Ints]:
    """Lists from `source` to every node that is `wanted` (N), with the arcs `out` (A) gone.

    `watched` are arcs that any path across the cut takes one of. Returns per node: the post-convergence distance
    (`UNREACHED` where there is no way), the cost of the list, the last end of a segment from which the node is
    reached (itself where it is one), and the arc that leads to it as an end, or `BY_NODE_SEGMENT`.
    """
    n = len(first) - 1
    after, _ = grow(first, head, twin, metric, closed, out, source, 0, 0, False)
    tight = _tight(tail, head, metric, closed, out, after)
    order = np.argsort(after)
    needed = _needed(first, head, twin, tight, wanted, order)
    given, ends = np.full(n, UNREACHED, np.int64), np.full(n, UNREACHED, np.int64)
    over, by = np.full(n, -1, np.int32), np.full(n, BY_NODE_SEGMENT, np.int32)
    stamp, stack = np.full(n, -1, np.int32), np.empty(n, np.int32)
    for a in watched:
        row(first, head, twin, metric, closed, far, known, head[a])
    for p in order:
        if after[p] == UNREACHED:
            break
        if p == source or not needed[p]:
            continue
        arrival, arc = _arrival(first, head, twin, tight, given, source, p)
        reach, start = _from_neighbour(
            first, tail, head, twin, metric, closed, tight, watched, after, far, known, source, p
        )
        if reach > 0 and arrival > 0:
            count = _above(first, head, twin, tight, source, p, stamp, stack)
            for v in stack[:count]:
                if ends[v] > reach or ends[v] >= arrival or (ends[v] == reach and not _nearer(after, v, start)):
                    continue
                row(first, head, twin, metric, closed, far, known, v)
                if _spans(tail, head, metric, watched, after, far, v, p):
                    reach, start = ends[v], v
        given[p], over[p] = (arrival, p) if arrival <= reach else (reach, start)
        ends[p] = min(arrival, reach + NODE_SEGMENT)
        if arrival <= reach + NODE_SEGMENT:
            by[p] = arc
    return after, given, over, by


@compiled
def _tight(tail: Ints, head: Ints, metric: Longs, closed: Longs, out: Flags, after: Longs) -> Flags:
    """Arcs on post-convergence shortest paths from the root of `after`."""
    tight = np.zeros(len(head), np.uint8)
    for a in range(len(head)):
        u, v = tail[a], head[a]
        if closed[a] == 0 and not out[a] and after[u] != UNREACHED and after[u] + metric[a] == after[v]:
            tight[a] = 1
    return tight


@compiled
def _needed(first: Ints, head: Ints, twin: Ints, tight: Flags, wanted: Flags, order: Longs) -> Flags:
    """What is wanted, and all that lies above it."""
    needed = wanted.copy()
    for p in order[::-1]:
        if needed[p]:
            for a in range(first[p], first[p + 1]):
                if tight[twin[a]]:
                    needed[head[a]] = 1
    return needed


@compiled
def _arrival(first: Ints, head: Ints, twin: Ints, tight: Flags, given: Longs, source: int, p: int) -> tuple[int, int]:
    """(least cost, arc) of reaching p over an arc of the path: the first of the path, or an adjacency segment."""
    least, arc = UNREACHED, -1
    for a in range(first[p], first[p + 1]):
        if not tight[twin[a]]:
            continue
        cost = 0 if head[a] == source else given[head[a]] + ADJACENCY_SEGMENT
        if cost < least:
            least, arc = cost, twin[a]
    return least, arc


@compiled
def _from_neighbour(
    first: Ints,
    tail: Ints,
    head: Ints,
    twin: Ints,
    metric: Longs,
    closed: Longs,
    tight: Flags,
    watched: Ints,
    after: Longs,
    far: Longs,
    known: Flags,
    source: int,
    p: int,
) -> tuple[int, int]:
    """(0, neighbour) where a neighbour needs no list for p: an LFA on the post-convergence path."""
    for a in range(first[source], first[source + 1]):
        if tight[a] and head[a] != p:
            row(first, head, twin, metric, closed, far, known, head[a])
            if _spans(tail, head, metric, watched, after, far, head[a], p):
                return 0, head[a]
    return UNREACHED, -1


@compiled
def _above(first: Ints, head: Ints, twin: Ints, tight: Flags, source: int, p: int, stamp: Ints, stack: Ints) -> int:
    """Writes into `stack` the nodes between the source and p on post-convergence shortest paths; returns how many."""
    count, done, u = 0, 0, p
    stamp[source] = stamp[p] = p
    while True:
        for a in range(first[u], first[u + 1]):
            if tight[twin[a]] and stamp[head[a]] != p:
                stamp[head[a]] = p
                stack[count] = head[a]
                count += 1
        if done == count:
            return count
        u = stack[done]
        done += 1


@compiled
def _nearer(after: Longs, v: int, other: int) -> bool:
    return other < 0 or after[v] < after[other] or (after[v] == after[other] and v < other)


@compiled
def _spans(tail: Ints, head: Ints, metric: Longs, watched: Ints, after: Longs, far: Longs, v: int, p: int) -> bool:
    """True where every pre-failure shortest path from v to p is a post-convergence one."""
    there = far[v, p]
    if there == UNREACHED or after[v] + there != after[p]:
        return False
    clear = True
    for a in watched:
        clear = clear and far[v, tail[a]] + metric[a] + far[head[a], p] != there
    return clear
