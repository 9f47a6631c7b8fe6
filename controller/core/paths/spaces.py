"""Kernels of `ranked`: spaces of paths, the search for the best one of a space, and how a space is parted by it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from controller.core.compiled import compiled
from controller.core.graph import HOP_BITS, Flags, Ints, Longs, Reals
from controller.core.paths.heap import pop, push
from controller.core.paths.tree import UNREACHED

MARK, FAR, BOUND, VIA = 0, 1, 2, 3
"""Columns of a node's state, as in `shortest`; a node of the prefix is marked with minus the search."""
AT, SPUR, HOPS, ARC, NEXT = 0, 1, 2, 3, 4
"""Columns of a space: where in the pool a path begins whose first SPUR arcs all its paths share; arcs of its best path,
which then begins there, -1 before it is known; an arc they do not go on by, and the space that rules out further."""
QUEUED, SPACES, POOLED, TURN = 0, 1, 2, 3
"""Counters: rows of the queue and of the spaces, arcs in the pool, searches made."""


class Question(NamedTuple):
    """What paths are asked for: arrays of the graph, K sums with a bound, ends, demands."""

    first: Ints
    tail: Ints
    head: Ints
    twin: Ints
    metric: Longs
    room: Longs
    out: Flags
    place: Reals
    known: Ints
    asked: Ints
    """Rows of `known` that say most of these ends."""
    use: Longs
    """K x A: what an arc adds to a sum."""
    to: Longs
    """K x N: least from a node to the target."""
    limits: Longs
    """K."""
    pace: float
    source: int
    target: int
    need: int
    back: int


@compiled
def shut(room: Longs, twin: Ints, out: Flags, need: int, back: int, a: int) -> bool:
    """True where no path may use an arc. (A kernel that asks this of each arc does not look up arrays each time.)"""
    return bool(room[a] < need or (back and room[twin[a]] < back) or (len(out) and out[a]))


@compiled
def weight(metric: Longs, a: int) -> int:
    return (int(metric[a]) << HOP_BITS) + 1


@compiled
def lead(q: Question, v: int) -> int:
    """No way from the source to v weighs less: neither straight through the earth nor by what the landmarks say."""
    x = q.place[v, 0] - q.place[q.source, 0]
    y = q.place[v, 1] - q.place[q.source, 1]
    z = q.place[v, 2] - q.place[q.source, 2]
    least = int(q.pace * np.sqrt(x * x + y * y + z * z))
    for row in q.asked:
        least = max(least, q.known[row, q.source] - q.known[row, v])
    return int(least) << HOP_BITS


@compiled
def approach(q: Question, behind: Longs, heap: Longs) -> int:
    """Weight of the best path, -1 where there is none: an A* from the target back to the source.

    `behind` (N x 4, zero) keeps what it saw, for `to_go`.
    """
    metric, room, twin, head, out, need, back = q.metric, q.room, q.twin, q.head, q.out, q.need, q.back
    behind[q.target, MARK] = 1
    size = push(heap, 0, 0, q.target)
    while size:
        key, u = heap[0, 0], heap[0, 1]
        size = pop(heap, size)
        if u == q.source:
            return int(behind[u, FAR])
        if key != behind[u, FAR] + behind[u, BOUND]:
            continue
        for a in range(q.first[u], q.first[u + 1]):
            arc, v = twin[a], head[a]
            if shut(room, twin, out, need, back, arc):
                continue
            reached = behind[u, FAR] + weight(metric, arc)
            if behind[v, MARK] == 0:
                behind[v, MARK] = 1
                behind[v, BOUND] = lead(q, v)
            elif reached >= behind[v, FAR]:
                continue
            behind[v, FAR] = reached
            size = push(heap, size, reached + behind[v, BOUND], v)
    return -1


@compiled
def to_go(q: Question, behind: Longs, best: int, v: int) -> int:
    """No way from v to the target weighs less, and none at all where `approach` settled v.

    What it did not settle it would have settled later: the way from v and the bound on that to v make `best` or more.
    """
    if behind[v, MARK] == 0:
        see(q, behind, v)
    return int(min(behind[v, FAR], max(best - behind[v, BOUND], 0)))


@compiled
def see(q: Question, behind: Longs, v: int) -> None:
    behind[v, MARK], behind[v, FAR], behind[v, BOUND] = 1, UNREACHED, lead(q, v)


@compiled
def advance(
    q: Question,
    behind: Longs,
    best: int,
    state: Longs,
    heap: Longs,
    queue: Longs,
    spaces: Longs,
    pool: Ints,
    count: Longs,
    last: int,
) -> tuple[int, Longs, Longs, Ints]:
    """(space whose best path is the next one, -1 where there is none; queue, spaces and pool, which may have grown).

    `last` is the space of the path before, still to be parted, -1 at the start.
    """
    if last >= 0:
        need = count[SPACES] + spaces[last, HOPS] + 1
        if need > len(spaces):
            spaces, queue = larger(spaces, need), larger(queue, need)
        part(q, behind, best, state, queue, spaces, pool, count, last)
    while count[QUEUED]:
        s = queue[0, 1]
        count[QUEUED] = pop(queue, count[QUEUED])
        if spaces[s, HOPS] >= 0:
            return s, queue, spaces, pool
        if not search(q, behind, best, state, heap, spaces, pool, count, s):
            continue
        start, hops = count[POOLED], spaces[s, HOPS]
        if start + hops + len(behind) > len(pool):
            more = np.empty(2 * (start + hops + len(behind)), np.int32)
            more[: start + hops] = pool[: start + hops]
            pool = more
        count[POOLED] += hops
        count[QUEUED] = push(queue, count[QUEUED], state[q.target, FAR], s)
    return -1, queue, spaces, pool


@compiled
def larger(rows: Longs, need: int) -> Longs:
    more = np.empty((2 * need, rows.shape[1]), np.int64)
    more[: len(rows)] = rows
    return more


@compiled
def search(
    q: Question,
    behind: Longs,
    best: int,
    state: Longs,
    heap: Longs,
    spaces: Longs,
    pool: Ints,
    count: Longs,
    s: int,
) -> bool:
    """Put the best path of a space at the end of the pool, its weight in the target's state; False where none is."""
    metric, room, twin, head, out, need, back = q.metric, q.room, q.twin, q.head, q.out, q.need, q.back
    at, fixed = spaces[s, AT], spaces[s, SPUR]
    start, begun, sums = retrace(q, state, pool, count, at, fixed)
    turn = count[TURN]
    state[start, MARK], state[start, FAR], state[start, VIA] = turn, begun, -1
    state[start, BOUND] = to_go(q, behind, best, start)
    size = push(heap, 0, begun + state[start, BOUND], start)
    while size:
        key, u = heap[0, 0], heap[0, 1]
        size = pop(heap, size)
        if u == q.target:
            write(q, state, spaces, pool, count[POOLED], s)
            return True
        if key != state[u, FAR] + state[u, BOUND]:
            continue
        for a in range(q.first[u], q.first[u + 1]):
            v, reached = head[a], state[u, FAR] + weight(metric, a)
            if state[v, MARK] == -turn or (state[v, MARK] == turn and reached >= state[v, FAR]):
                continue
            if shut(room, twin, out, need, back, a) or (u == start and not goes_on(q, spaces, s, sums, a)):
                continue
            if state[v, MARK] != turn:
                state[v, MARK], state[v, BOUND] = turn, to_go(q, behind, best, v)
            state[v, FAR], state[v, VIA] = reached, a
            size = push(heap, size, reached + state[v, BOUND], v)
    return False


@compiled
def retrace(q: Question, state: Longs, pool: Ints, count: Longs, at: int, fixed: int) -> tuple[int, int, Longs]:
    """Begin a search behind a prefix, whose nodes are marked: (node where it ends, its weight, its K sums)."""
    count[TURN] += 1
    u, begun, sums = q.source, 0, np.zeros(len(q.limits), np.int64)
    for i in range(at, at + fixed):
        state[u, MARK] = -count[TURN]
        u, begun = q.head[pool[i]], begun + weight(q.metric, pool[i])
        for kind in range(len(sums)):
            sums[kind] += q.use[kind, pool[i]]
    return u, begun, sums


@compiled
def goes_on(q: Question, spaces: Longs, s: int, sums: Longs, a: int) -> bool:
    """True where paths of a space may go on behind the prefix by an arc: it is not ruled out and breaks no bound."""
    ruled = s
    while ruled >= 0:
        if spaces[ruled, ARC] == a:
            return False
        ruled = spaces[ruled, NEXT]
    over = False
    for kind in range(len(sums)):
        over |= sums[kind] + q.use[kind, a] + q.to[kind, q.head[a]] > q.limits[kind]
    return not over


@compiled
def write(q: Question, state: Longs, spaces: Longs, pool: Ints, end: int, s: int) -> None:
    """Put prefix and what was found behind it at the end of the pool; the space begins there from now on."""
    at, fixed = spaces[s, AT], spaces[s, SPUR]
    hops, u = fixed, q.target
    while state[u, VIA] >= 0:
        hops, u = hops + 1, q.tail[state[u, VIA]]
    pool[end : end + fixed] = pool[at : at + fixed]
    i, u = end + hops - 1, q.target
    while state[u, VIA] >= 0:
        pool[i] = state[u, VIA]
        i, u = i - 1, q.tail[pool[i]]
    spaces[s, AT], spaces[s, HOPS] = end, hops


@compiled
def part(
    q: Question,
    behind: Longs,
    best: int,
    state: Longs,
    queue: Longs,
    spaces: Longs,
    pool: Ints,
    count: Longs,
    s: int,
) -> None:
    """Queue the spaces that a path leaves of its own: one per node from the spur on, where another arc is taken."""
    metric, room, twin, head, out, need, back = q.metric, q.room, q.twin, q.head, q.out, q.need, q.back
    at, fixed = spaces[s, AT], spaces[s, SPUR]
    u, begun, sums = retrace(q, state, pool, count, at, fixed)
    for i in range(fixed, spaces[s, HOPS]):
        new, arc = count[SPACES], pool[at + i]
        spaces[new, AT], spaces[new, SPUR], spaces[new, HOPS] = at, i, -1
        spaces[new, ARC], spaces[new, NEXT] = arc, s if i == fixed else -1
        least = UNREACHED
        for a in range(q.first[u], q.first[u + 1]):
            if state[head[a], MARK] == -count[TURN] or shut(room, twin, out, need, back, a):
                continue
            if goes_on(q, spaces, new, sums, a):
                least = min(least, begun + weight(metric, a) + to_go(q, behind, best, head[a]))
        if least < UNREACHED:
            count[QUEUED] = push(queue, count[QUEUED], least, new)
            count[SPACES] += 1
        state[u, MARK] = -count[TURN]
        u, begun = head[arc], begun + weight(metric, arc)
        for kind in range(len(sums)):
            sums[kind] += q.use[kind, arc]
