"""The best path under bounds on sums and with places to pass: NP-hard, answered exactly as long as that is possible.

A delay bound alone is relaxed first (LARAC); where that leaves a gap, labels decide. All else is for labels at once.
Where places make it worth walking in circles, the nodes that the best walk sees twice become critical, none of which is
seen twice any more, until the best walk is a path (Righini and Salani 2008; Boland et al. 2006).
"""

from __future__ import annotations

import numpy as np

from controller.core.errors import Infeasible
from controller.core.graph import Graph, Ints, Longs, Objective
from controller.core.paths.admissible import metric_of
from controller.core.paths.ground import NOTHING_AHEAD, Bits, Ground, Terms
from controller.core.paths.labels import FAR
from controller.core.paths.larac import Relaxed, larac
from controller.core.paths.path import Constraints, Method, Route, path_of
from controller.core.paths.places import Places, places
from controller.core.paths.sums import cost_of

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
    uses = _bounded_sums(ground, constraints)
    if objective is not Objective.DELAY and not where.every and _only_delay(constraints):
        answer = _relaxed_first(ground, cost, *uses[0])
    else:
        answer = _labelled(ground, where, cost, uses)
    if answer is None:
        return None
    arcs, method, gap = answer
    return Route(path_of(graph, source, arcs), cost_of(graph, arcs, objective, constraints.demand), method, gap)


def _stay(graph: Graph, node: int, constraints: Constraints) -> Route | None:
    """The path without a link, where the source is the target."""
    elsewhere = {graph.node(name) for name in constraints.include_nodes} - {node}
    links = {graph.link(name) for name in constraints.include_links}
    return None if elsewhere or links else Route(path_of(graph, node, np.empty(0, np.int32)), 0)


def _bounded_sums(ground: Ground, constraints: Constraints) -> list[tuple[Longs, int]]:
    """(per arc, bound) of each sum that has a bound: delay, hops, jitter."""
    shape = ground.graph.shape
    sums = (
        (ground.graph.delay, constraints.max_delay_us + int(shape.processing[ground.target])),
        (np.ones(len(shape.head), np.int64), constraints.max_hops),
        (shape.jitter, constraints.max_jitter_us),
    )
    asked = constraints.max_delay_us, constraints.max_hops, constraints.max_jitter_us
    return [each for each, bound in zip(sums, asked, strict=True) if bound]


def _only_delay(constraints: Constraints) -> bool:
    return bool(constraints.max_delay_us) and not (constraints.max_hops or constraints.max_jitter_us)


Answer = tuple[Ints, Method, float]


def _relaxed_first(ground: Ground, cost: Longs, delay: Longs, bound: int) -> Answer | None:
    """LARAC, and labels that look for something cheaper where it leaves a gap."""
    relaxed = larac(ground, cost, delay, bound)
    if relaxed is None:
        return None
    if not relaxed.gap:
        return relaxed.arcs, Method.LARAC, 0.0
    arcs, made = ground.search(_cheaper(relaxed, cost, delay, bound), MAX_LABELS)
    if len(arcs):
        return arcs, Method.LABELS, 0.0
    return relaxed.arcs, *((Method.LABELS, 0.0) if made < MAX_LABELS else (Method.LARAC, relaxed.gap))


def _cheaper(relaxed: Relaxed, cost: Longs, delay: Longs, bound: int) -> Terms:
    use, to = np.stack([cost, delay]), np.stack([relaxed.to_cost, relaxed.to_delay])[:, None, :]
    limits = np.array([relaxed.cost - 1, bound], np.int64)
    return Terms(use, np.ascontiguousarray(to), NOTHING_AHEAD.repeat(2, axis=0), limits)


def _labelled(ground: Ground, where: Places, cost: Longs, uses: list[tuple[Longs, int]]) -> Answer | None:
    """Labels, again with more critical nodes as long as the best walk sees a node twice."""
    terms = _terms(ground, where, cost, uses)
    bits = Bits(where.at_node, where.on_arc, np.zeros(len(where.at_node), np.int64))
    left, critical = MAX_LABELS, 0
    while True:
        arcs, made = ground.search(terms, left, bits)
        left -= made
        if left <= 0:
            raise _exhausted("labels")
        if not len(arcs):
            return None
        twice = _seen_twice(ground, arcs)
        if not len(twice):
            return arcs, Method.LABELS, 0.0
        if critical + len(twice) > MAX_CRITICAL:
            raise _exhausted("critical nodes")
        bits.critical[twice] = 1 << np.arange(critical, critical + len(twice))
        critical += len(twice)


def _seen_twice(ground: Ground, arcs: Ints) -> Ints:
    nodes, times = np.unique(ground.graph.shape.head[arcs], return_counts=True)
    twice: Ints = nodes[times > 1]
    return twice


def _exhausted(what: str) -> Infeasible:
    return Infeasible(f"the search ran out of {what}: there may be a path or not", reason="SEARCH_EXHAUSTED")


def _terms(ground: Ground, where: Places, cost: Longs, uses: list[tuple[Longs, int]]) -> Terms:
    """Cost with hops as its last bits, so that fewer hops win a tie; then what is bounded."""
    bits = _hop_bits(cost, len(where.at_node))
    kinds = [((cost << bits) + 1, FAR - 1), *uses]
    gates = [where.gates(ground, metric) for metric, _ in kinds]
    return Terms(
        np.stack([metric for metric, _ in kinds]),
        np.stack([to for to, _ in gates]),
        np.stack([ahead for _, ahead in gates]),
        np.array([limit for _, limit in kinds], np.int64),
    )


def _hop_bits(cost: Longs, nodes: int) -> int:
    """As many as the hops of any path, none where costs leave no room for them."""
    bits, dearest = nodes.bit_length(), int(cost.max(initial=0)) + 1
    return bits if (dearest * nodes) << bits < FAR else 0
