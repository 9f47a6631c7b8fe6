"""Link- and node-disjoint pairs of least sum, exact: Suurballe 1974, with the potentials of Suurballe and Tarjan 1984.

A second path is sought where the first one's arcs may be taken back (Bhandari 1999, "Survivable Networks"). Weights are
at least 1, so an optimal flow never runs both ways over a link: the two would cancel, and cost less. Arc-disjoint pairs
of least sum are therefore link-disjoint. A `penalty` lets the second path use what the first one uses, at that price
per link (and node): with one above any difference in cost the pair shares as little as there must be.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from controller.core.compiled import compiled
from controller.core.errors import Invalid
from controller.core.graph import HOP_BITS, Flags, Ints, Longs
from controller.core.paths.admissible import blocked, metric_of, usable
from controller.core.paths.heap import pop, push
from controller.core.paths.pair import Question
from controller.core.paths.tree import UNREACHED


def least_sum(question: Question, *, share: bool = False) -> tuple[Ints, Ints] | None:
    """Arcs of the two paths, the first as cheap as it can be in a pair of least sum; None where there is no pair.

    Links are disjoint, nodes in between too where the diversity says so. `share`: as disjoint as can be (fewest links,
    and nodes where they count), then of least sum. Risk groups and bounds on sums are not heeded.
    """
    graph, shape, constraints = question.graph, question.graph.shape, question.constraints
    may = usable(graph, constraints, blocked(graph, constraints)).astype(np.uint8)
    weight = weight_of(question)
    price = _price(shape.tail, weight, may)
    arcs = _flow(
        shape.first,
        shape.tail,
        shape.head,
        shape.twin,
        weight,
        may,
        question.source,
        question.target,
        question.diversity.of_nodes,
        price if share else 0,
    )
    if len(arcs) == 1 and arcs[0] < 0:
        raise _too_large()
    return _parted(shape.head, shape.tail, weight, arcs, question) if len(arcs) else None


def prices(question: Question, weight: Longs, may: Flags) -> Longs:
    """Per link, what two link-disjoint paths of least weight would pay for more of it: the dual of their flow.

    Where both pay it on top of the weights, each by itself is cheapest as one of the pair, and both together cost what
    the pair does, plus all prices. Needs a pair.
    """
    shape, source, target = question.graph.shape, question.source, question.target
    far, via = settled(shape.first, shape.head, weight, may, source, target)
    taken, _ = _taken(shape.tail, via, source, target)
    before = np.minimum(far, far[target])
    arrays = shape.first, shape.tail, shape.head, shape.twin, weight, may, taken, before
    more, _, _ = _second(*arrays, source, target, False, 0)
    potential = before + np.minimum(more[1::2], more[2 * target + 1])
    short = np.where(may != 0, potential[shape.head] - potential[shape.tail] - weight, 0)
    price: Longs = np.maximum(short[shape.arc].max(axis=1), 0)
    return price


def weight_of(question: Question) -> Longs:
    """Per arc: the metric of the objective, and one hop; `Invalid` where 64 bits cannot hold it."""
    metric = metric_of(question.graph, question.objective, question.constraints.demand)
    if metric.max(initial=0) >> 62 - HOP_BITS:
        raise _too_large()
    return (metric << HOP_BITS) + 1


def _too_large() -> Invalid:
    return Invalid("metrics are too large to be summed", reason="BAD_FIGURE")


def _price(tail: Ints, weight: Longs, may: Flags) -> int:
    """More than any path costs, for it leaves each node at most once; `Invalid` where 64 bits cannot hold a sum."""
    dearest: Longs = np.zeros(int(tail.max(initial=0)) + 1, np.int64)
    np.maximum.at(dearest, tail[may != 0], weight[may != 0])
    price: int = 2 * sum(dearest.tolist()) + 1
    if price * 4 >= UNREACHED:
        raise _too_large()
    return price


@compiled
def _flow(
    first: Ints,
    tail: Ints,
    head: Ints,
    twin: Ints,
    weight: Longs,
    may: Flags,
    source: int,
    target: int,
    nodes: bool,
    penalty: int,
) -> Ints:
    """Arcs that carry two units from source to target at least weight (shared ones twice); none where they cannot.

    A single -1 where 64 bits cannot hold what the second path would pay.
    """
    far, via = settled(first, head, weight, may, source, target)
    if far[target] == UNREACHED:
        return np.empty(0, np.int32)
    taken, hops = _taken(tail, via, source, target)
    if penalty > UNREACHED // (2 * hops + 2):
        return np.full(1, -1, np.int32)
    potential = np.minimum(far, far[target])
    _, back, by = _second(first, tail, head, twin, weight, may, taken, potential, source, target, nodes, penalty)
    if back[2 * target + 1] == -1:
        return np.empty(0, np.int32)
    return _joined(tail, head, twin, taken, back, by, source, target)


@compiled
def _taken(tail: Ints, via: Ints, source: int, target: int) -> tuple[Ints, int]:
    """The first path: its arc into each of its nodes, -1 for others, and how many they are."""
    taken, v, hops = np.full(len(via), -1, np.int32), target, 0
    while v != source:
        taken[v] = via[v]
        v, hops = tail[via[v]], hops + 1
    return taken, hops


@compiled
def settled(first: Ints, head: Ints, weight: Longs, may: Flags, source: int, target: int) -> tuple[Longs, Ints]:
    """Dijkstra until the target is settled: weights so far (unsettled: its own or more), arcs that lead there."""
    n = len(first) - 1
    far, via = np.full(n, UNREACHED, np.int64), np.full(n, -1, np.int32)
    heap = np.empty((len(head) + 1, 2), np.int64)
    far[source] = 0
    size = push(heap, 0, 0, source)
    while size:
        key, u = heap[0, 0], heap[0, 1]
        size = pop(heap, size)
        if u == target:
            break
        if key != far[u]:
            continue
        for a in range(first[u], first[u + 1]):
            v, reached = head[a], key + weight[a]
            if may[a] and reached < far[v]:
                far[v], via[v] = reached, a
                size = push(heap, size, reached, v)
    return far, via


@compiled
def _second(
    first: Ints,
    tail: Ints,
    head: Ints,
    twin: Ints,
    weight: Longs,
    may: Flags,
    taken: Ints,
    potential: Longs,
    source: int,
    target: int,
    nodes: bool,
    penalty: int,
) -> tuple[Longs, Ints, Ints]:
    """Dijkstra in what the first path leaves, on weights that its distances make non-negative (Johnson 1977).

    A node has two sides, 2 v where paths come in and 2 v + 1 where they go out; only the first path's own nodes, where
    nodes count, are not the same on both. Answers how far each side is, where it was reached from, and by which arc
    (-1: from its other side).
    """
    n = len(first) - 1
    far, back, by = np.full(2 * n, UNREACHED, np.int64), np.full(2 * n, -1, np.int32), np.full(2 * n, -1, np.int32)
    heap = np.empty((2 * len(head) + 2 * n + 1, 2), np.int64)
    far[2 * source + 1] = 0
    size = push(heap, 0, 0, 2 * source + 1)
    while size:
        key, at = heap[0, 0], heap[0, 1]
        size = pop(heap, size)
        u, inside = at >> 1, (at & 1) == 0
        if u == target:
            break
        if key != far[at]:
            continue
        if inside and penalty and key + penalty < far[at + 1]:
            far[at + 1], back[at + 1], by[at + 1] = key + penalty, at, -1
            size = push(heap, size, key + penalty, at + 1)
        for a in range(first[u], first[u + 1]):
            v = head[a]
            cost = _residual(a, taken[u], twin, head, weight, may, taken, inside, penalty)
            if cost == UNREACHED:
                continue
            cancels = taken[u] == twin[a]
            side = 2 * v if nodes and not cancels and v != target and taken[v] >= 0 else 2 * v + 1
            reached = key + cost + potential[u] - potential[v]
            if reached < far[side]:
                far[side], back[side], by[side] = reached, at, a
                size = push(heap, size, reached, side)
    return far, back, by


@compiled
def _residual(
    a: int, back: int, twin: Ints, head: Ints, weight: Longs, may: Flags, taken: Ints, inside: bool, penalty: int
) -> int:
    """What the second path pays for an arc, less than nothing to take `back` back; `UNREACHED` where it may not."""
    if back == twin[a]:
        return -int(weight[back])  # whatever the room that way: nothing will run there
    if inside or not may[a]:
        return UNREACHED
    if taken[head[a]] == a:
        return int(weight[a]) + penalty if penalty else UNREACHED
    return int(weight[a])


@compiled
def _joined(tail: Ints, head: Ints, twin: Ints, taken: Ints, back: Ints, by: Ints, source: int, target: int) -> Ints:
    """The arcs of the first path that were not taken back, and those of the second that take nothing back."""
    arcs, count, at = np.empty(2 * len(back), np.int32), 0, 2 * target + 1
    kept = taken.copy()
    while at != 2 * source + 1:
        a = by[at]
        if a >= 0 and taken[tail[a]] == twin[a]:
            kept[tail[a]] = -1
        elif a >= 0:
            arcs[count] = a
            count += 1
        at = back[at]
    for a in kept:
        if a >= 0:
            arcs[count] = a
            count += 1
    return arcs[:count]


def _parted(head: Ints, tail: Ints, weight: Longs, arcs: Ints, question: Question) -> tuple[Ints, Ints]:
    """Two paths of a flow: between two nodes where they meet the first takes the cheaper way."""
    onward: defaultdict[int, list[int]] = defaultdict(list)
    for arc in sorted(arcs.tolist(), reverse=True):
        onward[int(tail[arc])].append(arc)
    ways = [_followed(onward, head, question.source, question.target) for _ in range(2)]
    meets = {int(head[arc]) for arc in ways[0]} & {int(head[arc]) for arc in ways[1]}
    first: list[int] = []
    second: list[int] = []
    for legs in zip(*(_legs(way, head, meets) for way in ways), strict=True):
        cheap, dear = sorted(legs, key=lambda leg: (int(weight[leg].sum()), leg))
        first += cheap
        second += dear
    return np.array(first, np.int32), np.array(second, np.int32)


def _followed(onward: dict[int, list[int]], head: Ints, at: int, target: int) -> list[int]:
    way = []
    while at != target:
        way.append(onward[at].pop())
        at = int(head[way[-1]])
    return way


def _legs(way: list[int], head: Ints, meets: set[int]) -> list[list[int]]:
    """A path cut where it meets the other; a flow of least weight has no cycle, so both meet in the same order."""
    legs: list[list[int]] = [[]]
    for arc in way:
        legs[-1].append(arc)
        if int(head[arc]) in meets:
            legs.append([])
    return legs[:-1]
