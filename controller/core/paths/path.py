"""What a path search is asked and what it answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np

from controller.core.errors import Invalid
from controller.core.graph import Graph, Ints, Shape
from controller.core.model import Method

_AT_LEAST_ZERO = ("demand", "reverse_demand", "max_delay_us", "max_hops", "max_jitter_us", "mtu_bytes")


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a path must keep to. Zero and empty mean no bound."""

    demand: int = 0
    """Room needed on every arc, in the layer's unit (kbit/s, or fine-grain slots)."""
    reverse_demand: int = 0
    """Room needed on the way back over the same links: the symmetric case."""
    max_delay_us: int = 0
    """Links, and the nodes in between (`Path.delay_us`)."""
    max_hops: int = 0
    max_jitter_us: int = 0
    """Sum over the links."""
    mtu_bytes: int = 0
    include_nodes: frozenset[str] = frozenset()
    """Visited in whatever order."""
    include_links: frozenset[str] = frozenset()
    exclude_nodes: frozenset[str] = frozenset()
    exclude_links: frozenset[str] = frozenset()
    exclude_srlgs: frozenset[int] = frozenset()
    include_any: frozenset[str] = frozenset()
    """Affinities, RFC 3209 4.7.4: a link has one of these …"""
    include_all: frozenset[str] = frozenset()
    """… and all of these …"""
    exclude_any: frozenset[str] = frozenset()
    """… and none of these."""

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ZERO:
            if not 0 <= getattr(self, name) < 1 << 42:  # NaN is neither
                raise Invalid.field(name, "a whole number from 0")

    @property
    def bounded(self) -> bool:
        """True where no search for a single metric answers: a bound on a sum, or a place to pass."""
        return bool(
            self.max_delay_us or self.max_hops or self.max_jitter_us or self.include_nodes or self.include_links
        )

    @property
    def excludes(self) -> bool:
        """True where whole links are out of the question, whatever their room and size."""
        out = self.exclude_nodes or self.exclude_links or self.exclude_srlgs or self.exclude_any
        return bool(out or self.include_any or self.include_all)


NONE = Constraints()


@dataclass(frozen=True, slots=True)
class Path:
    """A simple path: `links[i]` joins `nodes[i]` and `nodes[i + 1]`; delay one-way in µs, transit nodes included."""

    nodes: tuple[str, ...]
    links: tuple[str, ...]
    directions: tuple[int, ...]
    """Per link, 0 where it is used from its A end to its Z end, 1 otherwise."""
    delay_us: int


@dataclass(frozen=True, slots=True)
class Route:
    """A path, what it costs by the objective asked for, and how sure that is the least."""

    path: Path
    cost: int
    """Sum of the objective's metric over the links (DELAY: the path's delay)."""
    method: Method = Method.SHORTEST
    gap: float = field(default=0.0)
    """(cost - proven lower bound) / cost: 0 is optimal."""


def path_of(graph: Graph, source: int, arcs: Ints) -> Path:
    """The path that follows `arcs` from `source`."""
    shape = graph.shape
    if not len(arcs):
        return Path((shape.nodes[source],), (), (), 0)
    heads = shape.head[arcs]
    delay = int(graph.delay[arcs].sum()) - int(shape.processing[heads[-1]])
    return named(shape, source, heads.tolist(), shape.link[arcs].tolist(), shape.way[arcs].tolist(), delay)


def named(shape: Shape, source: int, heads: list[int], links: list[int], ways: list[int], delay_us: int) -> Path:
    """The path over these links to these nodes, one after the other."""
    nodes = (shape.nodes[source], *picked(shape.nodes, heads))
    return Path(nodes, picked(shape.links, links), tuple(ways), delay_us)


def picked(names: tuple[str, ...], indices: list[int]) -> tuple[str, ...]:
    """The names at these indices, at one go."""
    return itemgetter(*indices)(names) if len(indices) > 1 else tuple(names[i] for i in indices)


def arcs_of(shape: Shape, path: Path) -> Ints:
    """The arcs of a path; `Invalid` where a link is unknown. Whether they hang together is not looked at."""
    try:
        links = [shape.link_index[name] for name in path.links]
    except KeyError as unknown:
        raise Invalid(f"{unknown.args[0]} is not a link of this layer", reason="UNKNOWN_LINK") from None
    arcs: Ints = shape.arc[links, list(path.directions)]
    return arcs


def follow(graph: Graph, start: str, links: Iterable[str]) -> Path:
    """The path over `links` from `start`; `Invalid` where they do not hang together."""
    shape, node, arcs = graph.shape, graph.node(start), []
    for name in links:
        one, other = (int(arc) for arc in shape.arc[graph.link(name)])
        arc = one if shape.tail[one] == node else other
        if shape.tail[arc] != node:
            raise Invalid(f"{name} does not start at {shape.nodes[node]}", reason="NO_PATH")
        arcs.append(arc)
        node = int(shape.head[arc])
    return path_of(graph, graph.node(start), np.array(arcs, np.int32))
