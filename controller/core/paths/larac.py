"""Least cost under a bound by Lagrange relaxation (LARAC, Jüttner et al. 2001), with a proven lower bound.

A multiplier is a fraction of integers, price / scale: arcs weigh scale x cost + price x delay, so that all is exact.
Where that would overflow both are halved, which leaves every bound true and only makes it a little less tight. Several
bounds are relaxed one after the other (coordinate ascent). With places to pass, walks are as good as paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

from controller.core.graph import Ints
from controller.core.paths.ground import Ground, Kind, Limits, mixed
from controller.core.paths.labels import FAR
from controller.core.paths.places import Places

ROUNDS = 64
"""More than ever needed: each multiplier is a steeper face of a hull with few corners."""
MAX_LABELS = 200_000
"""Of one relaxed search."""
_COARSE = 1 << 40
"""Room that several bounds' weights leave for the next one's multiplier."""


@dataclass(frozen=True, eq=False)
class Relaxed:
    """The best path found within the bound, and what no path within it goes below."""

    arcs: Ints
    cost: int
    least: int
    scale: int
    price: int
    """The multiplier that says so: price / scale."""

    @property
    def gap(self) -> float:
        return (self.cost - self.least) / self.cost if self.cost else 0.0


@dataclass(frozen=True, eq=False)
class _Sums:
    arcs: Ints
    cost: int
    delay: int

    def weight(self, scale: int, price: int) -> int:
        return scale * self.cost + price * self.delay


def larac(ground: Ground, where: Places, cost: Kind, delay: Kind, bound: int) -> Relaxed | None:
    """Of least `cost` with `delay` within `bound`. None where no path keeps to the bound, or none was found."""

    def lightest(kind: Kind, below: int = FAR) -> tuple[_Sums | None, bool]:
        """The path of least sum, if less than `below`; False where labels ran out."""
        arcs, made = ground.search(Limits((kind,), (below - 1,)), where.bits, most)
        found = _Sums(arcs, int(cost.use[arcs].sum()), int(delay.use[arcs].sum())) if len(arcs) else None
        return found, made < most

    most = MAX_LABELS + len(cost.use)  # without places a node is left once: they never run out
    (cheap, _), (good, _) = lightest(cost), lightest(delay)
    if cheap is None or good is None or good.delay > bound:
        return None
    if cheap.delay <= bound:
        return Relaxed(cheap.arcs, cheap.cost, cheap.cost, 1, 0)
    best, proof, spans = good, (cheap.cost, 1, 0), (cost.span, delay.span)
    for _ in range(ROUNDS):
        scale, price = _multiplier(good, cheap, *spans)
        known = min(good.weight(scale, price), cheap.weight(scale, price))
        found, sure = lightest(mixed(((scale, cost), (price, delay))), known)
        if sure:
            least = found.weight(scale, price) if found else known
            proof = max(proof, (-((price * bound - least) // scale), scale, price))
        if found is None:
            break
        if found.delay <= bound:
            good = found
            best = min(best, good, key=lambda each: each.cost)
        else:
            cheap = found
    return Relaxed(best.arcs, best.cost, *proof)


def _multiplier(good: _Sums, cheap: _Sums, cost_span: int, delay_span: int) -> tuple[int, int]:
    """(scale, price) at which both paths weigh the same, small enough for sums of what a search may meet."""
    scale, price = cheap.delay - good.delay, good.cost - cheap.cost
    common = gcd(scale, price)
    scale, price = scale // common, price // common
    while scale * cost_span + price * delay_span >= FAR:
        scale, price = max(scale >> 1, 1), price >> 1
    return scale, price


def multipliers(ground: Ground, where: Places, cost: Kind, bounds: Sequence[tuple[Kind, int]]) -> tuple[int, list[int]]:
    """(scale, price of each bound): some that make the lower bound on cost high; (1, 0 …) where nothing was learnt."""
    found = [Fraction(0)] * len(bounds)
    for i, (kind, bound) in enumerate(bounds):
        scale, prices = _whole(found, cost, bounds, _COARSE)
        weighed = mixed([(scale, cost), *((price, each) for price, (each, _) in zip(prices, bounds, strict=True))])
        relaxed = larac(ground, where, weighed, kind, bound)
        if relaxed:
            found[i] = Fraction(relaxed.price, relaxed.scale * scale)
    return _whole(found, cost, bounds, FAR)


def _whole(found: list[Fraction], cost: Kind, bounds: Sequence[tuple[Kind, int]], room: int) -> tuple[int, list[int]]:
    """Multipliers as integers over one scale, sums of which stay below `room` (scale 1 apart)."""
    span = cost.span + sum(price * kind.span for price, (kind, _) in zip(found, bounds, strict=True))
    scale = 1 << max(0, int(room / span).bit_length() - 2)
    return scale, [int(price * scale) for price in found]
