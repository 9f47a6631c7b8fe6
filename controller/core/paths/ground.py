"""What a bounded search walks on: the arcs that it may use between two ends, and the least ways over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.core.graph import Flags, Graph, Ints, Longs
from controller.core.paths.admissible import blocked, usable
from controller.core.paths.labels import FAR, search
from controller.core.paths.path import Constraints
from controller.core.paths.tree import grow

NOTHING_AHEAD: Longs = np.zeros((1, 1, 1), np.int64)
"""`Terms.ahead` of one kind of sum with no place to pass."""


@dataclass(frozen=True, eq=False)
class Terms:
    """What a search sums up and within which limits; shapes as in `labels.search`."""

    use: Longs
    to: Longs
    ahead: Longs
    limits: Longs


@dataclass(frozen=True, eq=False)
class Bits:
    """Which nodes and arcs a label remembers: places to pass (N, A), nodes not to be seen twice (N)."""

    at_node: Longs
    on_arc: Longs
    critical: Longs


@dataclass(frozen=True, eq=False)
class Ground:
    """A graph between two different nodes; no simple path comes back to the source or goes on from the target."""

    graph: Graph
    source: int
    target: int
    shut: Flags
    """A: 1 where an arc may not be used."""

    @classmethod
    def between(cls, graph: Graph, source: int, target: int, constraints: Constraints) -> Ground:
        may = usable(graph, constraints, blocked(graph, constraints))
        shut = ~may | (graph.shape.head == source) | (graph.shape.tail == target)
        return cls(graph, source, target, shut.astype(np.uint8))

    def toward(self, root: int, metric: Longs) -> tuple[Longs, Ints]:
        """(least metric from each node to `root`, FAR where no way leads; the arc that a node takes first)."""
        shape = self.graph.shape
        far, via = grow(shape.first, shape.head, shape.twin, metric, self.graph.room, self.shut, root, 0, 0, True)
        return np.minimum(far, FAR), via

    def follow(self, via: Ints) -> Ints:
        """The arcs from source to target that an inward tree takes."""
        arcs, at = [], self.source
        while at != self.target:
            arcs.append(via[at])
            at = self.graph.shape.head[via[at]]
        return np.array(arcs, np.int32)

    def search(self, terms: Terms, most: int, bits: Bits | None = None) -> tuple[Ints, int]:
        """`labels.search` on this ground."""
        shape = self.graph.shape
        bits = bits or self.no_bits()
        return search(
            shape.first,
            shape.head,
            self.shut,
            terms.use,
            terms.to,
            terms.ahead,
            terms.limits,
            bits.at_node,
            bits.on_arc,
            bits.critical,
            self.source,
            self.target,
            most,
        )

    def no_bits(self) -> Bits:
        nodes = np.zeros(len(self.graph.shape.nodes), np.int64)
        return Bits(nodes, np.zeros(len(self.graph.shape.head), np.int64), nodes)
