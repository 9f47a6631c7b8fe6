"""Label setting with dominance: the least-cost path under bounds on further sums that passes every place asked for.

A label is one way to reach a node: its sums, which places it passed, which critical nodes it saw. Labels are settled in
the order of the least cost that a path over them can have, so that the first one settled at the target is the best:
cost so far and least to go, or what a Lagrange multiplier says if that is more (Carlyle, Royset and Wood 2008). A label
is dropped where one settled at the same node is no worse in any sum, passed the same places or more, and saw the same
critical nodes or fewer (Desrochers and Soumis 1988; Feillet et al. 2004), or where what is left to go breaks a bound.
"""

from __future__ import annotations

import numpy as np

from controller.core.compiled import compiled
from controller.core.graph import Flags, Ints, Longs
from controller.core.paths.heap import pop, push

FAR = 1 << 60
"""A sum that no path has: twice it is an integer still."""
NODE, VIA, PARENT, NEXT, PASSED, SEEN, SUM = range(7)
"""Columns of a label: where, by which arc, after which label, settled there before; bits of places and critical nodes;
then one sum per kind, cost first."""


@compiled
def search(
    first: Ints,
    head: Ints,
    shut: Flags,
    use: Longs,
    to: Longs,
    ahead: Longs,
    limits: Longs,
    at_node: Longs,
    on_arc: Longs,
    critical: Longs,
    scale: int,
    discount: int,
    source: int,
    target: int,
    most: int,
) -> tuple[Ints, int]:
    """(arcs from source to another node, labels made); no arcs: nothing better than the limits, or `most` was reached.

    K kinds of sums, J gates (0: the target), M sets of places: `use` K x A, what an arc adds; `to` K x J x N, least
    from a node to a gate; `ahead` K x M x J, least from before a gate to the end; `limits` K, the greatest allowed.
    `at_node` N, `on_arc` A: bits of places; `critical` N: bit of a node that no path sees twice, else 0. Where `scale`
    is not 0, the last kind is scale x cost + prices x other kinds, and `discount` prices x their limits.
    """
    labels, heap = np.zeros((1024, SUM + len(limits)), np.int64), np.empty((1024, 2), np.int64)
    settled = np.full(len(first) - 1, -1, np.int64)
    trial = np.zeros(SUM + len(limits), np.int64)
    labels[0, NODE], labels[0, VIA], labels[0, PARENT] = source, -1, -1
    labels[0, SEEN] = critical[source]
    size, count = push(heap, 0, 0, 0), 1
    while size:
        i = heap[0, 1]
        size = pop(heap, size)
        u = labels[i, NODE]
        if dominated(labels, settled[u], labels[i]):
            continue
        if u == target:
            return walk_back(labels, i), count
        labels[i, NEXT], settled[u] = settled[u], i
        for a in range(first[u], first[u + 1]):
            if shut[a] or labels[i, SEEN] & critical[head[a]]:
                continue
            trial[NODE], trial[VIA], trial[PARENT] = head[a], a, i
            trial[PASSED] = labels[i, PASSED] | at_node[head[a]] | on_arc[a]
            trial[SEEN] = labels[i, SEEN] | critical[head[a]]
            key = extended(labels[i], trial, use, to, ahead, limits, scale, discount)
            if key == FAR or dominated(labels, settled[head[a]], trial):
                continue
            if count == most:
                return np.empty(0, np.int32), most
            if count == len(labels):
                labels, heap = doubled(labels), doubled(heap)
            labels[count] = trial
            size = push(heap, size, key, count)
            count += 1
    return np.empty(0, np.int32), count


@compiled
def extended(
    label: Longs, trial: Longs, use: Longs, to: Longs, ahead: Longs, limits: Longs, scale: int, discount: int
) -> int:
    """Sum `label` and an arc up in `trial`; its cost with what is left to go at least, FAR where a limit breaks."""
    key, reach = FAR, 0
    for kind in range(len(limits)):
        trial[SUM + kind] = label[SUM + kind] + use[kind, trial[VIA]]
        left = FAR
        for gate in range(to.shape[1]):
            left = min(left, to[kind, gate, trial[NODE]] + ahead[kind, trial[PASSED], gate])
        reach = trial[SUM + kind] + left
        if reach > limits[kind]:
            return FAR
        if kind == 0:
            key = reach
    return max(key, -((discount - reach) // scale)) if scale else key


@compiled
def dominated(labels: Longs, latest: int, trial: Longs) -> bool:
    """True where a label settled at the same node is at least as good for every way on."""
    j = latest
    while j >= 0:
        if trial[PASSED] & ~labels[j, PASSED] == 0 and labels[j, SEEN] & ~trial[SEEN] == 0:
            worse = False
            for column in range(SUM, len(trial)):
                if labels[j, column] > trial[column]:
                    worse = True
                    break
            if not worse:
                return True
        j = labels[j, NEXT]
    return False


@compiled
def doubled(rows: Longs) -> Longs:
    more = np.empty((2 * len(rows), rows.shape[1]), np.int64)
    more[: len(rows)] = rows
    return more


@compiled
def walk_back(labels: Longs, last: int) -> Ints:
    hops, i = 0, last
    while labels[i, PARENT] >= 0:
        hops, i = hops + 1, labels[i, PARENT]
    arcs, i = np.empty(hops, np.int32), last
    for k in range(hops - 1, -1, -1):
        arcs[k] = labels[i, VIA]
        i = labels[i, PARENT]
    return arcs
