"""One layer of the network as compressed sparse rows: what every path search runs on.

An *arc* is one direction of a link; the arcs of node `i` are `first[i]` to `first[i + 1]`, and the arc the other way is
its *twin*, so the arcs into a node are the twins of those out of it. A `Graph` is immutable; a link that goes up or
down, another delay, another residual give a new one that shares all that did not change: nothing is rebuilt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

from controller.core.errors import Invalid
from controller.core.geography import EARTH_RADIUS_KM
from controller.core.model import Link, Node
from controller.core.model import Objective as Objective  # searches and their callers know it from here

Longs = NDArray[np.int64]
Ints = NDArray[np.int32]
Flags = NDArray[np.uint8]
Reals = NDArray[np.float64]

HOP_BITS = 20
"""A weight is metric << HOP_BITS | 1: equal metrics are told apart by their hops, and no arc is free."""
MAX_METRIC = (1 << 24) - 1
"""Of one link or node: 16.8 s of delay, the widest IGP metric (RFC 5305). A sum over 2^18 hops fits a weight."""
MAX_ROOM = 1 << 42
"""4 Pbit/s in kbit/s."""
CLOSED = -1
"""Room of an arc that may not be used at all."""
MAX_COLOURS = 64
LARGE = 1000
"""Nodes from which their order matters to a processor."""
CURVE_BITS = 16
"""Per axis: cells of 200 m."""
_SAFE = 1 - 1e-9
"""Keeps the bound below the truth whatever the last bit of a square root is."""


@dataclass(frozen=True, eq=False)
class Shape:
    """What stands as long as the plan does: nodes, links, places. Arrays per node (N), link (L) or arc (A = 2 L)."""

    nodes: tuple[str, ...]
    links: tuple[str, ...]
    node_index: Mapping[str, int]
    link_index: Mapping[str, int]
    first: Ints
    """N + 1: where each node's arcs begin."""
    tail: Ints
    head: Ints
    twin: Ints
    link: Ints
    """A: the link of an arc."""
    way: Flags
    """A: 0 where the arc runs from the link's A end to its Z end, else 1."""
    arc: Ints
    """L x 2: the arc of a link in direction 0 and 1."""
    place: Reals
    """N x 3: km from the centre of the earth, so that straight lines bound distances from below."""
    processing: Longs
    """N: µs through a node."""
    capacity: Longs
    """A, in the unit of the room."""
    jitter: Longs
    """A: µs."""
    mtu: Longs
    """L: bytes."""
    least_mtu: int
    colours: Mapping[str, int]
    """Affinity name to bit number."""
    colour: NDArray[np.uint64]
    """L: affinity bits (RFC 5305 administrative group)."""
    srlgs: Mapping[int, Ints]
    """Risk group to the links in it."""


@dataclass(frozen=True, eq=False)
class Metric:
    """One additive figure per arc, and what bounds it from below."""

    values: Longs
    """DELAY: µs of the arc and of the node it leads to."""
    pace: float
    """What a km of straight line costs at least."""
    base: Metric | None = None
    """An earlier state that is nowhere above this one: what was learnt of its distances is a bound still."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A shape with what changes: metrics and room, int64 per arc."""

    shape: Shape
    metrics: Mapping[Objective, Metric]
    """DELAY, IGP and TE."""
    free: Longs
    """What the ledger has left: kbit/s of an adjacency, fine-grain slots of a fibre."""
    room: Longs
    """`free` where the link may be used, `CLOSED` where it may not."""

    @property
    def delay(self) -> Longs:
        """µs of each arc and of the node it leads to."""
        return self.metrics[Objective.DELAY].values

    def node(self, name: str) -> int:
        """Index of a node; `Invalid` where the layer has none of that name."""
        try:
            return self.shape.node_index[name]
        except KeyError:
            raise Invalid(f"{name} is not a node of this layer", reason="UNKNOWN_NODE") from None

    def link(self, name: str) -> int:
        """Index of a link; `Invalid` where the layer has none of that name."""
        try:
            return self.shape.link_index[name]
        except KeyError:
            raise Invalid(f"{name} is not a link of this layer", reason="UNKNOWN_LINK") from None

    def arc(self, link: str, direction: int) -> int:
        """Index of a link's arc in a direction (0: A to Z)."""
        return int(self.shape.arc[self.link(link), direction])

    def is_open(self, link: str) -> bool:
        return bool(self.room[self.shape.arc[self.link(link), 0]] != CLOSED)

    def opened(self, usable: Mapping[str, bool]) -> Graph:
        """With these links usable or not."""
        if not usable:
            return self
        room = self.room.copy()
        for name, may in usable.items():
            arcs = self.shape.arc[self.link(name)]
            room[arcs] = self.free[arcs] if may else CLOSED
        return replace(self, room=room)

    def with_free(self, free: Mapping[tuple[str, int], int]) -> Graph:
        """With this much left of (link, direction)."""
        if not free:
            return self
        everywhere, room = self.free.copy(), self.room.copy()
        for (name, way), amount in free.items():
            arc = self.shape.arc[self.link(name), way]
            everywhere[arc] = _natural(name, amount, MAX_ROOM)
            if room[arc] != CLOSED:
                room[arc] = amount
        return replace(self, free=everywhere, room=room)

    def with_metrics(self, objective: Objective, figures: Mapping[str, int]) -> Graph:
        """With this figure for links, both ways: a link's own delay in µs, or its IGP or TE metric."""
        old, shape = self.metrics[objective], self.shape
        values = old.values.copy()
        for name, figure in figures.items():
            arcs = shape.arc[self.link(name)]
            node = shape.processing[shape.head[arcs]] if objective is Objective.DELAY else 0
            values[arcs] = _natural(name, figure) + node
        base = old.base or old
        new = _metric(shape, values, base if (values >= base.values).all() else None)
        return replace(self, metrics={**self.metrics, objective: new})

    def clocked(self, packet_bytes: int) -> Graph:
        """With what it takes to clock a packet into each link (capacity in kbit/s) in the DELAY of its arcs."""
        old = self.metrics[Objective.DELAY]
        clocking = -(-packet_bytes * 8000 // np.maximum(self.shape.capacity, 1))
        return replace(
            self,
            metrics={**self.metrics, Objective.DELAY: replace(old, values=old.values + clocking, base=old.base or old)},
        )


def build(nodes: Iterable[Node], links: Iterable[Link], room: Mapping[str, int] | None = None) -> Graph:
    """The graph of a layer with every link usable; `room` (default: the capacity) per link, in the layer's unit.

    `Invalid` where a link ends at a node that is not given, or a figure is negative or not finite.
    """
    nodes, links = _by_nearness(tuple(nodes)), tuple(links)
    shape = _shape(nodes, links, room or {link.name: link.capacity_kbps for link in links})
    delay = _by_arc(shape, (link.delay_us for link in links)) + shape.processing[shape.head]
    igp, te = _by_arc(shape, (link.igp_metric for link in links)), _by_arc(shape, (link.te_metric for link in links))
    values = {Objective.DELAY: delay, Objective.IGP: igp, Objective.TE: te}
    free = shape.capacity.copy()
    return Graph(shape, {each: _metric(shape, of) for each, of in values.items()}, free, free.copy())


def _by_nearness(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Along a Z-order curve (Morton 1966): a search that spreads from node to node finds the next ones in its caches.

    In the order given where they are so few that all of them are there anyhow.
    """
    if len(nodes) < LARGE:
        return nodes
    places = np.array([_place(node) for node in nodes])
    cells = ((places / EARTH_RADIUS_KM + 1) * (2**CURVE_BITS - 1) / 2).astype(np.int64)
    along = sum((cells[:, axis] >> bit & 1) << 3 * bit + axis for axis in range(3) for bit in range(CURVE_BITS))
    return tuple(nodes[i] for i in np.argsort(along, kind="stable"))


def _shape(nodes: tuple[Node, ...], links: tuple[Link, ...], room: Mapping[str, int]) -> Shape:
    node_index = {node.name: i for i, node in enumerate(nodes)}
    ends = np.array([[_end(node_index, link, link.a_node), _end(node_index, link, link.z_node)] for link in links])
    ends = ends.reshape(-1, 2).astype(np.int32)
    tails, heads = ends.ravel(), ends[:, ::-1].ravel()  # arcs 2 l and 2 l + 1 of link l, before sorting
    names = np.array([link.name for link in links], dtype=object).repeat(2)
    order = np.lexsort((np.argsort(np.argsort(names, kind="stable")), heads, tails)).astype(np.int32)
    place_of = np.empty_like(order)
    place_of[order] = np.arange(len(order), dtype=np.int32)
    colours = {name: bit for bit, name in enumerate(sorted({c for link in links for c in link.affinities}))}
    if len(colours) > MAX_COLOURS:
        raise Invalid(f"{len(colours)} affinities, a layer has at most {MAX_COLOURS}", reason="TOO_MANY_AFFINITIES")
    groups = {
        group: [i for i, link in enumerate(links) if group in link.srlgs] for link in links for group in link.srlgs
    }
    link_of = (order // 2).astype(np.int32)
    return Shape(
        nodes=tuple(node.name for node in nodes),
        links=tuple(link.name for link in links),
        node_index=node_index,
        link_index={link.name: i for i, link in enumerate(links)},
        first=np.searchsorted(tails[order], np.arange(len(nodes) + 1)).astype(np.int32),
        tail=tails[order],
        head=heads[order],
        twin=place_of[order ^ 1],
        link=link_of,
        way=(order & 1).astype(np.uint8),
        arc=place_of.reshape(-1, 2),
        place=np.array([_place(node) for node in nodes], dtype=np.float64).reshape(-1, 3),
        processing=np.array([_natural(node.name, node.processing_us) for node in nodes], dtype=np.int64),
        capacity=np.array([_natural(link.name, room[link.name], MAX_ROOM) for link in links], dtype=np.int64)[link_of],
        jitter=np.array([_natural(link.name, link.jitter_us) for link in links], dtype=np.int64)[link_of],
        mtu=np.array([link.mtu_bytes for link in links], dtype=np.int64),
        least_mtu=min((link.mtu_bytes for link in links), default=0),
        colours=colours,
        colour=np.array([sum(1 << colours[c] for c in set(link.affinities)) for link in links], dtype=np.uint64),
        srlgs={group: np.array(members, dtype=np.int32) for group, members in groups.items()},
    )


def _end(index: Mapping[str, int], link: Link, node: str) -> int:
    try:
        return index[node]
    except KeyError:
        raise Invalid(f"{link.name} ends at {node}, which is not a node of this layer", reason="UNKNOWN_NODE") from None


def _natural(name: str, value: int, limit: int = MAX_METRIC) -> int:
    if not 0 <= value <= limit:  # NaN is neither
        raise Invalid(f"{name}: {value} is no figure from 0 to {limit}", reason="BAD_FIGURE")
    return int(value)


def _place(node: Node) -> tuple[float, float, float]:
    if not (abs(node.latitude) <= 90 and abs(node.longitude) <= 360):
        raise Invalid(f"{node.name}: no place on earth", reason="BAD_FIGURE")
    lat, lon = radians(node.latitude), radians(node.longitude)
    x, y, z = cos(lat) * cos(lon), cos(lat) * sin(lon), sin(lat)
    return EARTH_RADIUS_KM * x, EARTH_RADIUS_KM * y, EARTH_RADIUS_KM * z


def _by_arc(shape: Shape, figures: Iterable[int]) -> Longs:
    by_link = [_natural(name, figure) for name, figure in zip(shape.links, figures, strict=True)]
    return np.array(by_link, dtype=np.int64)[shape.link]


def _metric(shape: Shape, values: Longs, base: Metric | None = None) -> Metric:
    km = np.linalg.norm(shape.place[shape.tail] - shape.place[shape.head], axis=1)
    apart = km > 0
    pace = float((values[apart] / km[apart]).min()) * _SAFE if apart.any() else 0.0
    return Metric(values, pace, base)
