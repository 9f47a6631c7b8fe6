"""Kernels of TI-LFA: for one cut, the segment lists of fewest ids that keep to what the IGP will converge to.

A segment may go from v to p where p lies below v on the post-convergence shortest paths and no pre-failure shortest
path from v to p crosses the cut (p is in the P-space of v, v in the Q-space of p: RFC 7490 2): v *spans* p. All of
these are then post-convergence shortest paths themselves: none is longer, for those that converge are free of the cut
and so existed before; none is shorter, for they survive it. So one pass in the order of distance settles every node.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from controller.core.compiled import compiled
from controller.core.graph import Flags, Ints, Longs
from controller.core.paths.admissible import EVERY_ARC
from controller.core.paths.tree import UNREACHED, grow

IDS_SHIFT = 16
NODE_SEGMENT = 1 << IDS_SHIFT | 1
ADJACENCY_SEGMENT = 2 << IDS_SHIFT | 1
"""Costs: ids << 16 | segments, so that equal ids are told apart by the number of segments, mostly."""
BY_NODE_SEGMENT = -1
"""Instead of the arc that leads to an end of a segment."""


class Tables(NamedTuple):
    """A layer as its IGP knew it before the failure. Arrays per node (N) or arc (A)."""

    first: Ints
    tail: Ints
    head: Ints
    twin: Ints
    metric: Longs
    """A, above 0."""
    closed: Longs
    """A: 0 where the arc takes part."""
    far: Longs
    """N x N: distances from each router whose row was needed …"""
    known: Flags
    """N: … which are these."""


class Lists(NamedTuple):
    """Segment lists from one router after one cut, per node."""

    source: int
    watched: Ints
    """Arcs; any path across the cut takes one of them."""
    after: Longs
    """Post-convergence distance, `UNREACHED` where there is no way."""
    tight: Flags
    """Per arc, 1 where it is on a post-convergence shortest path."""
    given: Longs
    """Cost of the list for the node as a destination."""
    ends: Longs
    """Cost of the list up to where the node itself is the end of a segment."""
    over: Ints
    """The last end of a segment on the way to the node as a destination; itself where the list brings it there."""
    by: Ints
    """The arc by which the node becomes an end, or `BY_NODE_SEGMENT`."""


@compiled
def row(tables: Tables, v: int) -> None:
    """See to it that the pre-failure distances from v are there."""
    if not tables.known[v]:
        first, head, twin = tables.first, tables.head, tables.twin
        tables.far[v], _ = grow(first, head, twin, tables.metric, tables.closed, EVERY_ARC, v, 0, 0, False)
        tables.known[v] = 1


@compiled
def search(tables: Tables, out: Flags, watched: Ints, wanted: Flags, source: int) -> Lists:
    """Lists from `source` to every node that is `wanted`, with the arcs `out` gone (per node and per arc, 0 or 1)."""
    n, head = len(tables.first) - 1, tables.head
    after, _ = grow(tables.first, head, tables.twin, tables.metric, tables.closed, out, source, 0, 0, False)
    tight = _tight(tables, out, after)
    given, ends = np.full(n, UNREACHED, np.int64), np.full(n, UNREACHED, np.int64)
    over, by = np.full(n, -1, np.int32), np.full(n, BY_NODE_SEGMENT, np.int32)
    lists = Lists(source, watched, after, tight, given, ends, over, by)
    for a in watched:
        row(tables, head[a])
    order = np.argsort(after)
    needed = _needed(tables, tight, wanted, order)
    seen, found = np.full(n, -1, np.int32), np.empty(n + len(head), np.int32)
    for p in order:
        if needed[p] and p != source and after[p] != UNREACHED:
            _settle(tables, lists, p, seen, found)
    return lists


@compiled
def _tight(tables: Tables, out: Flags, after: Longs) -> Flags:
    tight = np.zeros(len(out), np.uint8)
    for a in range(len(out)):
        u = tables.tail[a]
        if tables.closed[a] == 0 and not out[a] and after[u] != UNREACHED:
            tight[a] = after[u] + tables.metric[a] == after[tables.head[a]]
    return tight


@compiled
def _needed(tables: Tables, tight: Flags, wanted: Flags, order: Longs) -> Flags:
    """What is wanted, and all that lies above it."""
    needed = wanted.copy()
    for p in order[::-1]:
        if needed[p]:
            for a in range(tables.first[p], tables.first[p + 1]):
                if tight[tables.twin[a]]:
                    needed[tables.head[a]] = 1
    return needed


@compiled
def _settle(tables: Tables, lists: Lists, p: int, seen: Ints, found: Ints) -> None:
    """The least costs of p, all that lies above it being settled. `seen` (N) and `found` (N + A) are memory to use."""
    arrival, arc = _arrival(tables, lists, p)
    reach, start = _from_neighbour(tables, lists, p)
    if reach > 0 and arrival > 0:
        count, floor = _beside(tables, lists, p, found)
        reach, start = _from_any(tables, lists, p, found[:count], arrival)
        if min(reach, arrival) >> IDS_SHIFT != floor >> IDS_SHIFT:
            count = _above(tables, lists, p, seen, found)
            reach, start = _from_any(tables, lists, p, found[:count], arrival)
    lists.given[p], lists.over[p] = (arrival, p) if arrival <= reach else (reach, start)
    lists.ends[p] = min(arrival, reach + NODE_SEGMENT)
    if arrival <= reach + NODE_SEGMENT:
        lists.by[p] = arc


@compiled
def _arrival(tables: Tables, lists: Lists, p: int) -> tuple[int, int]:
    """(least cost, arc) of reaching p over an arc of the path: the first of the path, or an adjacency segment."""
    least, arc = UNREACHED, -1
    for a in range(tables.first[p], tables.first[p + 1]):
        u, into = tables.head[a], tables.twin[a]
        if lists.tight[into]:
            cost = 0 if u == lists.source else lists.given[u] + ADJACENCY_SEGMENT
            if cost < least:
                least, arc = cost, into
    return least, arc


@compiled
def _from_neighbour(tables: Tables, lists: Lists, p: int) -> tuple[int, int]:
    """(0, neighbour) where a neighbour needs no list for p: a loop-free alternate on the post-convergence path."""
    for a in range(tables.first[lists.source], tables.first[lists.source + 1]):
        v = tables.head[a]
        if lists.tight[a] and v != p:
            row(tables, v)
            if _spans(tables, lists, v, p):
                return 0, v
    return UNREACHED, -1


@compiled
def _beside(tables: Tables, lists: Lists, p: int, found: Ints) -> tuple[int, int]:
    """Finds the nodes just above p, and what those are reached from: (how many, least cost of any list for p).

    Part of a list will do for part of its path: p costs no less than the cheapest of the nodes above it.
    """
    count, floor = 0, UNREACHED
    for a in range(tables.first[p], tables.first[p + 1]):
        u = tables.head[a]
        if lists.tight[tables.twin[a]] and u != lists.source:
            found[count], found[count + 1] = lists.over[u], u
            count, floor = count + 2, min(floor, lists.given[u])
    return count, floor


@compiled
def _above(tables: Tables, lists: Lists, p: int, seen: Ints, found: Ints) -> int:
    """Finds the nodes between the source and p on post-convergence shortest paths; returns how many."""
    count, done, u = 0, 0, p
    seen[lists.source] = seen[p] = p
    while True:
        for a in range(tables.first[u], tables.first[u + 1]):
            v = tables.head[a]
            if lists.tight[tables.twin[a]] and seen[v] != p:
                seen[v] = p
                found[count] = v
                count += 1
        if done == count:
            return count
        u = found[done]
        done += 1


@compiled
def _from_any(tables: Tables, lists: Lists, p: int, ends: Ints, limit: int) -> tuple[int, int]:
    """(cost, end) of the cheapest of `ends` that spans p, below `limit`; of equals the farthest: it spans the most."""
    reach, start = UNREACHED, -1
    for v in ends:
        cost = lists.ends[v]
        if cost >= limit or cost > reach or (cost == reach and not _farther(lists.after, v, start)):
            continue
        row(tables, v)
        if _spans(tables, lists, v, p):
            reach, start = cost, v
    return reach, start


@compiled
def _farther(after: Longs, v: int, other: int) -> bool:
    return bool(after[v] > after[other] or (after[v] == after[other] and v < other))


@compiled
def _spans(tables: Tables, lists: Lists, v: int, p: int) -> bool:
    """True where every pre-failure shortest path from v to p is a post-convergence one."""
    far, there = tables.far, tables.far[v, p]
    clear = there != UNREACHED and lists.after[v] + there == lists.after[p]
    for a in lists.watched:
        clear = clear and far[v, tables.tail[a]] + tables.metric[a] + far[tables.head[a], p] != there
    return bool(clear)


@compiled
def trace(tables: Tables, lists: Lists, target: int) -> tuple[Ints, Ints, Ints]:
    """A list read back: (arcs of one path that it takes, node and arc or `BY_NODE_SEGMENT` of each segment).

    Of several paths, the lowest arc at each node from the end.
    """
    n, over, by = len(lists.over), lists.over, lists.by
    arcs, nodes, vias = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    at = segment = n
    end, p = over[target], target
    while p != lists.source:
        while p != end:
            at -= 1
            arcs[at] = _last(tables, end, p)
            p = tables.tail[arcs[at]]
        if by[end] != BY_NODE_SEGMENT:
            at -= 1
            arcs[at] = by[end]
            p = tables.tail[by[end]]
        if p != lists.source:
            segment -= 1
            nodes[segment], vias[segment] = p, by[end]
            end = over[p]
    return arcs[at:].copy(), nodes[segment:].copy(), vias[segment:].copy()


@compiled
def _last(tables: Tables, start: int, p: int) -> int:
    """The lowest arc by which a pre-failure shortest path from `start` comes to p."""
    far, lowest = tables.far[start], len(tables.tail)
    for a in tables.twin[tables.first[p] : tables.first[p + 1]]:
        if tables.closed[a] == 0 and far[tables.tail[a]] + tables.metric[a] == far[p]:
            lowest = min(lowest, a)
    return lowest
