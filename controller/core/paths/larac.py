"""Least cost under one bound by Lagrange relaxation (LARAC, Jüttner et al. 2001), with a proven lower bound.

A multiplier is a fraction of integers: arcs weigh scale x cost + price x delay, so that all is exact. Where both would
overflow they are halved together, which leaves every bound true and only makes it a little less tight.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

from controller.core.graph import Ints, Longs
from controller.core.paths.ground import NOTHING_AHEAD, Ground, Terms
from controller.core.paths.labels import FAR

ROUNDS = 64
"""More than ever needed: each multiplier is a steeper face of a hull with few corners."""


@dataclass(frozen=True, eq=False)
class Relaxed:
    """The best path found within the bound, and what no path within it goes below."""

    arcs: Ints
    cost: int
    least: int
    to_cost: Longs
    """N: least cost to the target."""
    to_delay: Longs

    @property
    def gap(self) -> float:
        return (self.cost - self.least) / self.cost if self.cost else 0.0


def larac(ground: Ground, cost: Longs, delay: Longs, bound: int) -> Relaxed | None:
    """Of least `cost` with `delay` within `bound`, both per arc. None where no path keeps to the bound."""
    to_cost, by_cost = ground.toward(ground.target, cost)
    to_delay, by_delay = ground.toward(ground.target, delay)
    if to_delay[ground.source] > bound:
        return None
    cheap, good = _sums(ground.follow(by_cost), cost, delay), _sums(ground.follow(by_delay), cost, delay)
    if cheap.delay <= bound:
        return Relaxed(cheap.arcs, cheap.cost, cheap.cost, to_cost, to_delay)
    best, least = good, cheap.cost
    for _ in range(ROUNDS):
        scale, price = _multiplier(good, cheap, _span(cost, to_cost), _span(delay, to_delay))
        weight, to_go = scale * cost + price * delay, _weighted(scale, to_cost, price, to_delay)
        known = min(scale * each.cost + price * each.delay for each in (good, cheap))
        arcs = _below(ground, weight, to_go, known)
        found = _sums(arcs, cost, delay) if len(arcs) else None
        lightest = scale * found.cost + price * found.delay if found else known
        least = max(least, -((price * bound - lightest) // scale))
        if found is None:
            break
        if found.delay <= bound:
            good = found
            best = min(best, good, key=lambda each: each.cost)
        else:
            cheap = found
    return Relaxed(best.arcs, best.cost, least, to_cost, to_delay)


@dataclass(frozen=True, eq=False)
class _Sums:
    arcs: Ints
    cost: int
    delay: int


def _sums(arcs: Ints, cost: Longs, delay: Longs) -> _Sums:
    return _Sums(arcs, int(cost[arcs].sum()), int(delay[arcs].sum()))


def _multiplier(good: _Sums, cheap: _Sums, cost_span: int, delay_span: int) -> tuple[int, int]:
    """(scale, price) at which both paths weigh the same, small enough for sums of what a search may meet."""
    scale, price = cheap.delay - good.delay, good.cost - cheap.cost
    common = gcd(scale, price)
    scale, price = scale // common, price // common
    while scale * cost_span + price * delay_span >= FAR:
        scale, price = max(scale >> 1, 1), price >> 1
    return scale, price


def _span(metric: Longs, to: Longs) -> int:
    """More than a label on a way to the target adds up to, with what is left to go and one arc too many."""
    reached = to[to < FAR]
    return 2 * int(reached.max()) + int(metric.max())


def _weighted(scale: int, to_cost: Longs, price: int, to_delay: Longs) -> Longs:
    out_of_reach = (to_cost >= FAR) | (to_delay >= FAR)
    near = scale * np.where(out_of_reach, 0, to_cost) + price * np.where(out_of_reach, 0, to_delay)
    weighted: Longs = np.where(out_of_reach, FAR, near)
    return weighted


def _below(ground: Ground, weight: Longs, to_go: Longs, known: int) -> Ints:
    """The lightest path, if it is lighter than `known`; `to_go` is a consistent bound, so that a node is left once."""
    limits = np.array([known - 1], np.int64)
    arcs, _ = ground.search(Terms(weight[None, :], to_go[None, None, :], NOTHING_AHEAD, limits), len(weight) + 2)
    return arcs
