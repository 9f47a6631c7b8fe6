"""Places that a path must pass in whatever order, and the least that is left to go through those not yet passed.

A node is passed by one gate, a link by two: one per direction. What is left is bounded by the best order of the gates
(Held and Karp 1962), each kind of sum for itself; a path that keeps to several bounds and is simple can only be dearer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.core.compiled import compiled
from controller.core.errors import Invalid
from controller.core.graph import Ints, Longs
from controller.core.paths.ground import Bits, Ground, Kind
from controller.core.paths.labels import FAR
from controller.core.paths.path import Constraints

MAX_PLACES = 16


@dataclass(frozen=True, eq=False)
class Places:
    """Gates (J, the first is the target) and bits of the places that nodes and arcs are."""

    entry: Ints
    """J: the node before a gate."""
    exit: Ints
    """J: the node behind it."""
    arc: Ints
    """J: the arc that a gate is, -1 for a node."""
    bit: Longs
    """J: the place that it passes, 0 for the target."""
    every: int
    """All bits."""
    bits: Bits

    def kind(self, ground: Ground, metric: Longs) -> Kind:
        """A metric as a kind of sum on the way through these places."""
        to = np.stack([ground.toward(int(node), metric) for node in self.entry])
        through = np.array([metric[arc] if arc >= 0 else 0 for arc in self.arc], np.int64)
        between = np.ascontiguousarray(to[:, self.exit].T)
        return Kind(metric, to, _ahead(between, through, self.bit, self.every))


def places(ground: Ground, constraints: Constraints) -> Places | None:
    """The places to pass between the ends. None where no path passes one; `Invalid` where they are too many."""
    graph, shape = ground.graph, ground.graph.shape
    nodes = {graph.node(name) for name in constraints.include_nodes} - {ground.source, ground.target}
    links = {graph.link(name) for name in constraints.include_links}
    if len(nodes) + len(links) > MAX_PLACES:
        description = f"{len(nodes) + len(links)} places to pass, at most {MAX_PLACES}"
        raise Invalid.field("include_nodes", description, "TOO_MANY_PLACES")
    at_node, on_arc = np.zeros(len(shape.nodes), np.int64), np.zeros(len(shape.head), np.int64)
    gates, bit = [(ground.target, ground.target, -1, 0)], 1
    for node in sorted(nodes):
        gates.append((node, node, -1, bit))
        at_node[node], bit = bit, bit << 1
    for link in sorted(links):
        arcs = [int(arc) for arc in shape.arc[link] if not ground.shut[arc]]
        gates += [(int(shape.tail[arc]), int(shape.head[arc]), arc, bit) for arc in arcs]
        on_arc[shape.arc[link]], bit = bit, bit << 1
        if not arcs:
            return None
    columns = np.array(gates, np.int64).T
    entry, exit_, arc = (np.ascontiguousarray(column, np.int32) for column in columns[:3])
    return Places(
        entry, exit_, arc, np.ascontiguousarray(columns[3]), bit - 1, Bits(at_node, on_arc, np.zeros_like(at_node))
    )


@compiled
def _ahead(between: Longs, through: Longs, bit: Longs, every: int) -> Longs:
    """`between` J x J: least from behind a gate to before another; `through` J: what a gate adds."""
    count = len(bit)
    ahead = np.full((every + 1, count), FAR, np.int64)
    ahead[every, 0] = 0
    for passed in range(every - 1, -1, -1):
        for gate in range(1, count):
            if passed & bit[gate]:
                continue
            left, after = FAR, passed | bit[gate]
            for later in range(count):
                left = min(left, between[gate, later] + ahead[after, later])
            ahead[passed, gate] = min(FAR, through[gate] + left)
    return ahead
