"""Every list that there is along a path: what the encoder's answer is held against."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import product

from forced_paths import Case

from controller.core.graph import Objective

State = tuple[int, int, int, int]
"""Carriers, ids, ids in the last carrier, place on the path."""


def states(cases: Sequence[Case], start: int, most: int | None = None) -> set[State]:
    """Every instruction of every router tried at every place: place `count` is out of the tunnel, at the tail.

    All that `most` carriers hold, or all that is no dearer than what is complete.
    """
    its, waiting, seen = cases[0], [(1, 0, 0, start)], set[State]()
    found = {place: moves(cases, place) for place in range(start, its.count)}
    best = None
    while waiting:
        state = carriers, ids, used, place = heappop(waiting)
        if state in seen or (best and state[:2] > best) or (most and carriers > most):
            continue
        seen.add(state)
        if place == its.count:
            best = best or (None if most else state[:2])
            continue
        for size, where in found[place]:
            heappush(waiting, (*plus((carriers, ids, used), size), where))
    return seen


def plus(used: tuple[int, int, int], size: int) -> tuple[int, int, int]:
    """Carriers, ids and ids in the last carrier after one instruction more."""
    fits = used[2] + size <= 6
    return used[0] + (not fits), used[1] + size, used[2] + size if fits else size


def moves(cases: Sequence[Case], place: int) -> set[tuple[int, int]]:
    """(ids, place afterwards) of each instruction that keeps to the path in every case."""
    its, found = cases[0], set()
    for by, node in product(its.algorithms, its.nodes):
        if (by, node) in its.unnamed or not all(alone(each, by, place, node) for each in cases):
            continue
        at = its.nodes.index(node)
        if at > place:
            found.add((1, at))
        if at == its.count - 1:
            found.add((2, its.count))
        elif (node, its.path.links[at]) not in its.unbound:
            found.add((2, at + 1))
    return found


def alone(its: Case, by: Objective, place: int, node: str) -> bool:
    """True where all branches from a place of the path to a router are the path."""
    at, path = its.nodes.index(node), its.path
    return at >= place and all(
        [link.name for link in its.network.routes(by, path.nodes[i], node)] == [path.links[i]] for i in range(place, at)
    )
