"""What a bounded search walks on: the arcs that it may use between two ends, and the least ways over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from controller.core.graph import Flags, Graph, Ints, Longs
from controller.core.paths.admissible import blocked, usable
from controller.core.paths.labels import FAR, search
from controller.core.paths.path import Constraints
from controller.core.paths.tree import grow


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of sum over a path: what an arc adds, and the least that is left to go; shapes as in `labels.search`."""

    use: Longs
    """A."""
    to: Longs
    """J x N: least from a node to a gate."""
    ahead: Longs
    """M x J: least from before a gate to the end."""

    @property
    def span(self) -> int:
        """More than any label that can still reach the target sums up to, with what is left to go."""
        return 2 * _most(self.to) + 2 * _most(self.ahead) + int(self.use.max(initial=0)) + 1


def mixed(parts: Iterable[tuple[int, Kind]]) -> Kind:
    """The sum of kinds, each times its factor; what is left to go is a bound only."""
    parts = tuple(parts)
    return Kind(
        np.asarray(sum(factor * kind.use for factor, kind in parts), np.int64),
        _mix([(factor, kind.to) for factor, kind in parts]),
        _mix([(factor, kind.ahead) for factor, kind in parts]),
    )


def _mix(parts: list[tuple[int, Longs]]) -> Longs:
    beyond = np.logical_or.reduce([least >= FAR for _, least in parts])
    near = sum(factor * np.where(beyond, 0, least) for factor, least in parts)
    least: Longs = np.where(beyond, FAR, near)
    return least


def _most(least: Longs) -> int:
    return int(np.where(least < FAR, least, 0).max(initial=0))


@dataclass(frozen=True, eq=False)
class Limits:
    """What a search sums up and within which limits; the rest as in `labels.search`."""

    kinds: tuple[Kind, ...]
    limits: tuple[int, ...]
    scale: int = 0
    discount: int = 0


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

    def toward(self, root: int, metric: Longs) -> Longs:
        """Least metric from each node to `root`, FAR where no way leads."""
        shape = self.graph.shape
        far, _ = grow(shape.first, shape.head, shape.twin, metric, self.graph.room, self.shut, root, 0, 0, True)
        far[far > FAR] = FAR
        return far

    def search(self, terms: Limits, bits: Bits, most: int) -> tuple[Ints, int]:
        """`labels.search` on this ground."""
        shape = self.graph.shape
        return search(
            shape.first,
            shape.head,
            self.shut,
            np.stack([kind.use for kind in terms.kinds]),
            np.stack([kind.to for kind in terms.kinds]),
            np.stack([kind.ahead for kind in terms.kinds]),
            np.array(terms.limits, np.int64),
            bits.at_node,
            bits.on_arc,
            bits.critical,
            terms.scale,
            terms.discount,
            self.source,
            self.target,
            most,
        )
