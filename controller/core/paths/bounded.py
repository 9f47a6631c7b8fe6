"""The best path under bounds on sums and with places to pass: NP-hard, answered exactly as long as that is possible.

A delay bound alone is relaxed first (LARAC); where that leaves a gap, labels decide. All else is for labels at once.
Where places make it worth walking in circles, a node that the best walk sees twice becomes critical, that is, no walk
sees it twice any more, and so on until the best walk is a path (Righini and Salani 2008; Boland et al. 2006).
"""

from __future__ import annotations

import numpy as np

from controller.core.errors import Infeasible
from controller.core.graph import Graph, Ints, Longs, Objective
from controller.core.model import Method
from controller.core.paths.admissible import metric_of
from controller.core.paths.ground import Ground, Kind, Limits
from controller.core.paths.labels import FAR
from controller.core.paths.larac import larac, multipliers
from controller.core.paths.path import Constraints, Route, path_of
from controller.core.paths.places import Places, places
from controller.core.paths.sums import bounds_of, cost_of

MAX_LABELS = 2_000_000
"""Some hundred MB, and a second or two."""
MAX_CRITICAL = 62
"""Bits of a label."""


def bounded(
    graph: Graph, source: int, target: int, constraints: Constraints, objective: Objective = Objective.DELAY
) -> Route | None:
    """The path of least `objective` between node indices that keeps to all of `constraints`; None where none does.

    Exact, but for a gap above 0 where labels run out under a delay bound alone. Paths of equal cost: the same one each
    time. `Invalid` where a name is unknown or there are more than 16 places to pass; `Infeasible` SEARCH_EXHAUSTED
    where labels run out otherwise.
    """
    if source == target:
        return _stay(graph, source, constraints)
    ground = Ground.between(graph, source, target, constraints)
    cost = metric_of(graph, objective, constraints.demand)
    where = places(ground, constraints)
    if where is None:
        return None
    bounds = [(where.kind(ground, use), bound) for use, bound in bounds_of(graph, target, constraints)]
    if objective is not Objective.DELAY and not where.every and _only_delay(constraints):
        answer = _relaxed_first(ground, where, where.kind(ground, cost), *bounds[0])
    else:
        answer = _labelled(ground, where, cost, bounds)
    if answer is None:
        return None
    arcs, method, gap = answer
    return Route(path_of(graph, source, arcs), cost_of(graph, arcs, objective, constraints.demand), method, gap)


def _stay(graph: Graph, node: int, constraints: Constraints) -> Route | None:
    """The path without a link, where the source is the target."""
    elsewhere = {graph.node(name) for name in constraints.include_nodes} - {node}
    links = {graph.link(name) for name in constraints.include_links}
    return None if elsewhere or links else Route(path_of(graph, node, np.empty(0, np.int32)), 0)


def _only_delay(constraints: Constraints) -> bool:
    return bool(constraints.max_delay_us) and not (constraints.max_hops or constraints.max_jitter_us)


Answer = tuple[Ints, Method, float]
Bound = tuple[Kind, int]


def _relaxed_first(ground: Ground, where: Places, cost: Kind, delay: Kind, bound: int) -> Answer | None:
    """LARAC, and labels that look for something cheaper where it leaves a gap."""
    relaxed = larac(ground, where, cost, delay, bound)
    if relaxed is None:
        return None
    if not relaxed.gap:
        return relaxed.arcs, Method.LARAC, 0.0
    terms = _priced(ground, where, cost, [(delay, bound)], (relaxed.scale, [relaxed.price]), relaxed.cost - 1)
    arcs, made = ground.search(terms, where.bits, MAX_LABELS)
    if len(arcs):
        return arcs, Method.LABELS, 0.0
    return relaxed.arcs, *((Method.LABELS, 0.0) if made < MAX_LABELS else (Method.LARAC, relaxed.gap))


def _labelled(ground: Ground, where: Places, cost: Longs, bounds: list[Bound]) -> Answer | None:
    """Labels, again with one more critical node as long as the best walk sees a node twice."""
    kind = where.kind(ground, (cost << _hop_bits(cost, len(ground.graph.shape.nodes))) + 1)
    terms = _priced(ground, where, kind, bounds, multipliers(ground, where, kind, bounds))
    bits, left, critical = where.bits, MAX_LABELS, 0
    while True:
        arcs, made = ground.search(terms, bits, left)
        left -= made
        if left <= 0:
            raise _exhausted("labels")
        if not len(arcs):
            return None
        node = _circled(ground, arcs)
        if node is None:
            return arcs, Method.LABELS, 0.0
        if critical == MAX_CRITICAL:
            raise _exhausted("critical nodes")
        bits.critical[node] = 1 << critical
        critical += 1


def _priced(
    ground: Ground,
    where: Places,
    cost: Kind,
    bounds: list[Bound],
    multiplier: tuple[int, list[int]],
    most: int = FAR - 1,
) -> Limits:
    """Cost of at most `most` and what is bounded, with the weight that a multiplier makes of them."""
    scale, prices = multiplier
    kinds, limits = (cost, *(kind for kind, _ in bounds)), (most, *(bound for _, bound in bounds))
    if not any(prices):
        return Limits(kinds, limits)
    weight = scale * cost.use + sum(price * kind.use for price, (kind, _) in zip(prices, bounds, strict=True))
    discount = sum(price * bound for price, (_, bound) in zip(prices, bounds, strict=True))
    heaviest = min(scale * most + discount, FAR - 1)
    return Limits((*kinds, where.kind(ground, weight)), (*limits, heaviest), scale, discount)


def _circled(ground: Ground, arcs: Ints) -> int | None:
    """The node at which the shortest circle of a walk closes; None where it is a path."""
    last: dict[int, int] = {}
    circles = []
    for step, node in enumerate(ground.graph.shape.head[arcs].tolist()):
        if node in last:
            circles.append((step - last[node], node))
        last[node] = step
    return min(circles)[1] if circles else None


def _exhausted(what: str) -> Infeasible:
    return Infeasible(f"the search ran out of {what}: there may be a path or not", reason="SEARCH_EXHAUSTED")


def _hop_bits(cost: Longs, nodes: int) -> int:
    """Of a cost, so that fewer hops win a tie: enough for any path, none where costs leave no room for them."""
    bits, dearest = nodes.bit_length(), int(cost.max(initial=0)) + 1
    return bits if (dearest * nodes) << bits < FAR else 0
