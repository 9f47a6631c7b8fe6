"""The kernel of restoration in bulk: every corridor of a batch in turn, over one array of what is left."""

from __future__ import annotations

from controller.core.compiled import compiled
from controller.core.graph import HOP_BITS, Flags, Ints, Longs
from controller.core.paths.heap import pop, push

FOUND, NO_PATH, NO_ROOM, BOUND = 0, 1, 2, 3
"""What became of a corridor."""
DEMAND, REVERSE, TARGET, MASK, DELAY, HOPS, JITTER, BEGIN, END, SOURCE, ROW = range(11)
"""Columns of an order: claims, target, row of `masks`, bounds (0: none), its old arcs in `old`, source, bound row."""
FAR, VIA, MARK = 0, 1, 2


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
    least: Longs,
    orders: Longs,
    old: Longs,
    free: Longs,
    later: Longs,
    shared: bool,
    at_once: bool,
    state: Longs,
    heap: Longs,
    result: Longs,
    answer: Longs,
) -> None:
    """Reroute row by row; `free` is what is left, `later` what is given back when all are through (both written).

    `result` rows: (what became of it, delay, begin, end in `answer`); `answer`: arcs found, or those of
    the shortest open path that lack room; it has room for a path through every node per order.
    """
    fill = 0
    claim = free * 0
    for i in range(len(orders)):
        order = orders[i]
        out = masks[order[MASK]]
        if shared:
            _add(twin, order, old, order[BEGIN], order[END], 1, free)
        hops = _seek(
            first, head, twin, metric, shut, out, least[order[ROW]], order, free, True, state, heap, answer, fill
        )
        result[i, 0], result[i, 2], result[i, 3] = FOUND, fill, fill
        if hops < 0:
            hops = _seek(
                first, head, twin, metric, shut, out, least[order[ROW]], order, free, False, state, heap, answer, fill
            )
            result[i, 0] = NO_ROOM if hops >= 0 else NO_PATH
            hops = _lacking(twin, order, free, answer, fill, hops)
        else:
            end = fill + hops
            result[i, 1] = _sum(delay, answer, fill, end) - processing[order[TARGET]]
            if _breaks(order, result[i, 1], hops, _sum(jitter, answer, fill, end)):
                result[i, 0] = BOUND
        fill += hops
        result[i, 3] = fill
        if result[i, 0] == FOUND:
            _book(twin, order, old, answer, result[i, 2], fill, shared, at_once, free, later, claim)
        elif shared:
            _add(twin, order, old, order[BEGIN], order[END], -1, free)


@compiled
def _add(twin: Ints, order: Longs, arcs: Longs, begin: int, end: int, times: int, figures: Longs) -> None:
    """A corridor's claims along its arcs, added to `figures` so many times."""
    for k in range(begin, end):
        figures[arcs[k]] += times * order[DEMAND]
        figures[twin[arcs[k]]] += times * order[REVERSE]


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
    for k in range(order[BEGIN], order[END]):
        there, back = old[k], twin[old[k]]
        held = max(0, order[DEMAND] - claim[there])
        free[there] -= held
        later[there] += held
        held = max(0, order[REVERSE] - claim[back])
        free[back] -= held
        later[back] += held
    if shared:
        _add(twin, order, new, begin, end, -1, claim)


@compiled
def _lacking(twin: Ints, order: Longs, free: Longs, answer: Longs, fill: int, hops: int) -> int:
    """Keep of the path at `fill` the arcs without room; how many these are."""
    kept = 0
    for k in range(fill, fill + hops):
        if not _fits(twin, order, free, answer[k]):
            answer[fill + kept] = answer[k]
            kept += 1
    return kept


@compiled
def _fits(twin: Ints, order: Longs, free: Longs, arc: int) -> bool:
    return bool(free[arc] >= order[DEMAND] and (order[REVERSE] == 0 or free[twin[arc]] >= order[REVERSE]))


@compiled
def _sum(figures: Longs, arcs: Longs, begin: int, end: int) -> int:
    total = 0
    for k in range(begin, end):
        total += figures[arcs[k]]
    return total


@compiled
def _breaks(order: Longs, delay: int, hops: int, jitter: int) -> bool:
    late = order[DELAY] > 0 and delay > order[DELAY]
    far = order[HOPS] > 0 and hops > order[HOPS]
    return bool(late or far or (order[JITTER] > 0 and jitter > order[JITTER]))


@compiled
def _seek(
    first: Ints,
    head: Ints,
    twin: Ints,
    metric: Longs,
    shut: Flags,
    out: Flags,
    least: Longs,
    order: Longs,
    free: Longs,
    heed_room: bool,
    state: Longs,
    heap: Longs,
    answer: Longs,
    fill: int,
) -> int:
    """A* with `least` to the target, consistent; hops of the path put into `answer` at `fill`, -1 where none."""
    state[-1, MARK] += 1
    turn, source, target = state[-1, MARK], order[SOURCE], order[TARGET]
    state[source, MARK], state[source, FAR], state[source, VIA] = turn, 0, -1
    size = push(heap, 0, least[source], source)
    while size:
        key, u = heap[0, 0], heap[0, 1]
        if u == target:
            return _trace(head, twin, state, target, answer, fill)
        size = pop(heap, size)
        if key != state[u, FAR] + least[u]:
            continue
        for a in range(first[u], first[u + 1]):
            if shut[a] or out[a] or (heed_room and not _fits(twin, order, free, a)):
                continue
            v, reached = head[a], state[u, FAR] + (metric[a] << HOP_BITS) + 1
            if state[v, MARK] != turn or reached < state[v, FAR]:
                state[v, MARK], state[v, FAR], state[v, VIA] = turn, reached, a
                size = push(heap, size, reached + least[v], v)
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
