"""The kernel of restoration in bulk: every corridor of a batch in turn, over one array of what is left.

Where many are bound for one target, its tree over all that is open tells the best path of each: nothing is shorter, so
it is the answer wherever every arc of it has room, and no search is needed. Where not, the tree's distances guide A*.
"""

from __future__ import annotations

import numpy as np

from controller.core.compiled import compiled
from controller.core.graph import HOP_BITS, Flags, Ints, Longs
from controller.core.paths.heap import pop, push, replace
from controller.core.paths.tree import grow

FOUND, NO_PATH, NO_ROOM, BOUND = 0, 1, 2, 3
"""What became of a corridor."""
DEMAND, REVERSE, TARGET, MASK, DELAY, HOPS, JITTER, BEGIN, END, SOURCE, GOAL = range(11)
"""Columns of an order: claims, target, row of `masks`, bounds (0: none), its old arcs in `old`, source, what it shares
with all of its target and mask."""
LATE, FROM, TO, ORIGIN, SHAKEN = 0, 1, 2, 3, 4
"""Columns of a path: delay, begin and end in `answer`, source, jitter."""
FAR, VIA, MARK = 0, 1, 2
NOWHERE = 1 << 61
"""Ahead of a node from which no path leads to the target: twice that is a number still."""
UNSEEN = -2


@compiled
def reroute(
    first: Ints,
    head: Ints,
    twin: Ints,
    metric: Longs,
    delay: Longs,
    jitter: Longs,
    processing: Longs,
    shut: Flags,
    masks: Flags,
    orders: Longs,
    old: Longs,
    grown: Longs,
    least: Longs,
    row: Longs,
    free: Longs,
    later: Longs,
    shared: bool,
    at_once: bool,
    result: Longs,
    paths: Longs,
    answer: Longs,
) -> int:
    """Reroute order by order; `free` is what is left, `later` what is given back when all are through (both written).

    `grown`: per goal, the tree to grow for it, -1 where A* with `least[row[target]]` does without. `result` rows: (what
    became of it, row of `paths` or -1); `answer`: the arcs of `paths`, room for two through every node per order.
    Returns how many paths there are; those of no room hold the arcs of the shortest open path that lack it.
    """
    nodes, trees = len(first) - 1, grown.max() + 1
    weight, claim = (metric << HOP_BITS) + 1, np.zeros(len(head), np.int64)
    far, via = np.empty((trees, nodes), np.int64), np.empty((trees, nodes), np.int32)
    best, ready = np.full((trees, nodes), UNSEEN, np.int64), np.zeros(trees, np.uint8)
    state, heap = np.zeros((nodes + 1, 3), np.int64), np.empty((len(head) + 1, 2), np.int64)
    count = 0
    for i in range(len(orders)):
        order, tree = orders[i], grown[orders[i, GOAL]]
        source, target, out = order[SOURCE], order[TARGET], masks[order[MASK]]
        _add(twin, order, old, order[BEGIN], order[END], int(shared), free)
        fill, open_ = paths[count - 1, TO] if count else 0, UNSEEN
        if tree >= 0:
            if not ready[tree]:
                far[tree], via[tree] = grow(first, head, twin, weight, claim, shut | out, target, 0, 0, True)
                ready[tree] = 1
            if best[tree, source] == UNSEEN:
                hops = _descend(head, via[tree], source, target, answer, fill)
                best[tree, source] = _keep(paths, count, order, delay, jitter, processing, answer, fill, hops)
                count, fill = count + (hops >= 0), fill + max(hops, 0)
            open_ = best[tree, source]
        found = open_
        if open_ == UNSEEN or (open_ >= 0 and not _fits(twin, order, free, answer, paths[open_])):
            ahead = far[tree] if tree >= 0 else least[row[target]]
            hops = _seek(first, head, twin, weight, shut, out, ahead, order, free, True, state, heap, answer, fill)
            found = _keep(paths, count, order, delay, jitter, processing, answer, fill, hops)
            if found < 0 and open_ == UNSEEN:
                hops = _seek(first, head, twin, weight, shut, out, ahead, order, free, False, state, heap, answer, fill)
                open_ = _keep(paths, count, order, delay, jitter, processing, answer, fill, hops)
            if found < 0 and open_ >= 0:
                _lacking(twin, order, free, answer, fill, paths, open_, count)
            count += found >= 0 or open_ >= 0
        result[i, 0], result[i, 1] = _outcome(order, paths, found, open_, count)
        if result[i, 0] == FOUND:
            begin, end = paths[found, FROM], paths[found, TO]
            _book(twin, order, old, answer, begin, end, shared, at_once, free, later, claim)
        else:
            _add(twin, order, old, order[BEGIN], order[END], -int(shared), free)
    return count


@compiled
def _keep(
    paths: Longs,
    count: int,
    order: Longs,
    delay: Longs,
    jitter: Longs,
    processing: Longs,
    answer: Longs,
    fill: int,
    hops: int,
) -> int:
    """Note the path at `fill` as row `count`, which is returned; -1 where there is none."""
    if hops < 0:
        return -1
    late = shaken = 0
    for k in range(fill, fill + hops):
        late += delay[answer[k]]
        shaken += jitter[answer[k]]
    path = paths[count]
    path[LATE], path[SHAKEN], path[ORIGIN] = late - processing[order[TARGET]], shaken, order[SOURCE]
    path[FROM], path[TO] = fill, fill + hops
    return count


@compiled
def _outcome(order: Longs, paths: Longs, found: int, open_: int, count: int) -> tuple[int, int]:
    """(what became of an order, row of its path); -1 for the row where there is none."""
    if found < 0:
        return (NO_ROOM, count - 1) if open_ >= 0 else (NO_PATH, -1)
    path = paths[found]
    late = order[DELAY] > 0 and path[LATE] > order[DELAY]
    long = order[HOPS] > 0 and path[TO] - path[FROM] > order[HOPS]
    if late or long or (order[JITTER] > 0 and path[SHAKEN] > order[JITTER]):
        return BOUND, -1
    return FOUND, found


@compiled
def _add(twin: Ints, order: Longs, arcs: Longs, begin: int, end: int, times: int, figures: Longs) -> None:
    """A corridor's claims along its arcs, added to `figures` so many times."""
    need, back = times * order[DEMAND], times * order[REVERSE]
    for k in range(begin, end):
        figures[arcs[k]] += need
        figures[twin[arcs[k]]] += back


@compiled
def _book(
    twin: Ints,
    order: Longs,
    old: Longs,
    new: Longs,
    begin: int,
    end: int,
    shared: bool,
    at_once: bool,
    free: Longs,
    later: Longs,
    claim: Longs,
) -> None:
    """Take the new claims; give the old ones back, but while the move lasts what the ledger holds of both."""
    if not shared:
        _add(twin, order, old, order[BEGIN], order[END], 1, free)
    _add(twin, order, new, begin, end, -1, free)
    if at_once:
        return
    if shared:
        _add(twin, order, new, begin, end, 1, claim)
    need, reverse = order[DEMAND], order[REVERSE]
    for k in range(order[BEGIN], order[END]):
        there, back = old[k], twin[old[k]]
        held = max(0, need - claim[there])
        free[there] -= held
        later[there] += held
        held = max(0, reverse - claim[back])
        free[back] -= held
        later[back] += held
    if shared:
        _add(twin, order, new, begin, end, -1, claim)


@compiled
def _lacking(
    twin: Ints, order: Longs, free: Longs, answer: Longs, fill: int, paths: Longs, open_: int, count: int
) -> None:
    """Note in row `count` the arcs without room of the path in row `open_`."""
    need, back, kept = order[DEMAND], order[REVERSE], fill
    for k in range(paths[open_, FROM], paths[open_, TO]):
        a = answer[k]
        if free[a] < need or (back and free[twin[a]] < back):
            answer[kept] = a
            kept += 1
    paths[count, FROM], paths[count, TO] = fill, kept


@compiled
def _fits(twin: Ints, order: Longs, free: Longs, answer: Longs, path: Longs) -> bool:
    """True where every arc of a path has room."""
    need, back = order[DEMAND], order[REVERSE]
    for k in range(path[FROM], path[TO]):
        a = answer[k]
        if free[a] < need or (back and free[twin[a]] < back):
            return False
    return True


@compiled
def _descend(head: Ints, via: Ints, source: int, target: int, answer: Longs, fill: int) -> int:
    """Down the tree into `answer` at `fill`; hops, -1 where the tree does not reach the source."""
    u, hops = source, 0
    while u != target:
        if via[u] < 0:
            return -1
        answer[fill + hops] = via[u]
        u, hops = head[via[u]], hops + 1
    return hops


@compiled
def _seek(
    first: Ints,
    head: Ints,
    twin: Ints,
    weight: Longs,
    shut: Flags,
    out: Flags,
    ahead: Longs,
    order: Longs,
    free: Longs,
    heed_room: bool,
    state: Longs,
    heap: Longs,
    answer: Longs,
    fill: int,
) -> int:
    """A* with consistent bounds `ahead`; hops of the path put into `answer` at `fill`, -1 where none."""
    state[-1, MARK] += 1
    turn, source, target = state[-1, MARK], order[SOURCE], order[TARGET]
    need, back = order[DEMAND], order[REVERSE]
    state[source, MARK], state[source, FAR], state[source, VIA] = turn, 0, -1
    size = push(heap, 0, min(ahead[source], NOWHERE), source)
    while size:
        key, u = heap[0, 0], heap[0, 1]
        if u == target:
            return _trace(head, twin, state, target, answer, fill)
        sofar, vacant = state[u, FAR], True  # row 0 is done with: the first arc on fills it most often
        if key == sofar + min(ahead[u], NOWHERE):  # else it was reached on a shorter way meanwhile
            for a in range(first[u], first[u + 1]):
                if shut[a] or out[a]:
                    continue
                if heed_room and (free[a] < need or (back and free[twin[a]] < back)):
                    continue
                v, reached = head[a], sofar + weight[a]
                if state[v, MARK] == turn and reached >= state[v, FAR]:
                    continue
                state[v, MARK], state[v, FAR], state[v, VIA] = turn, reached, a
                if vacant:
                    replace(heap, size, reached + min(ahead[v], NOWHERE), v)
                    vacant = False
                else:
                    size = push(heap, size, reached + min(ahead[v], NOWHERE), v)
        if vacant:
            size = pop(heap, size)
    return -1


@compiled
def _trace(head: Ints, twin: Ints, state: Longs, target: int, answer: Longs, fill: int) -> int:
    hops, u = 0, target
    while state[u, VIA] >= 0:
        hops, u = hops + 1, head[twin[state[u, VIA]]]
    u = target
    for k in range(fill + hops - 1, fill - 1, -1):
        answer[k] = state[u, VIA]
        u = head[twin[answer[k]]]
    return hops
