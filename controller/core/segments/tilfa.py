"""TI-LFA (RFC 9855): what a router does in the instant of a failure, before any other router knows of it.

The point of local repair sends a packet out of a surviving link with a repair list, so that routers that still
forward by their tables from before the failure carry it along the path that the IGP will converge to.

What is guaranteed, whatever the failure and however many equal-cost paths there are: every branch that a packet can
take is a shortest path of the network without what failed. So it is free of the failure, has no loop, costs what the
converged path costs, and is that very path where there is only one. No list with fewer ids does so. Every destination
that stays connected has one. A list does not prevent micro-loops of routers that converge at different times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from controller.core.errors import Invalid
from controller.core.graph import Flags, Graph, Ints, Longs
from controller.core.paths.path import Path, path_of
from controller.core.paths.tree import UNREACHED
from controller.core.segments.igp import Igp
from controller.core.segments.repair_search import BY_NODE_SEGMENT, IDS_SHIFT, Lists, Tables, row, search, trace


class Protects(StrEnum):
    """What is taken to have failed when a next hop is lost."""

    LINK = "LINK"
    NODE = "NODE"
    SRLG = "SRLG"


@dataclass(frozen=True, slots=True)
class Failure:
    """A link, a node, or a link with all that share a risk group with it; `element` is its name."""

    protects: Protects
    element: str


@dataclass(frozen=True, slots=True)
class RepairSegment:
    """uN of a node, or uA of a node's adjacency over `link`. Its node id routes to the node either way."""

    node: str
    link: str = ""

    @property
    def ids(self) -> int:
        """What it takes of a carrier: a node id, and a function id where there is a link."""
        return 2 if self.link else 1


@dataclass(frozen=True, slots=True)
class Repair:
    """How a packet for one destination is sent in the instant of the failure."""

    first_link: str
    """Out of the point of local repair."""
    segments: tuple[RepairSegment, ...]
    """Nothing where the neighbour at the end of `first_link` is a loop-free alternate on the post-convergence path."""
    path: Path
    """A post-convergence path that it follows; of several, that of the lowest arcs, from its end."""
    cost: int
    """Its IGP distance."""
    protects: Protects
    """LINK, too, where the node that fails is the destination itself: the most that can be done for it."""

    @property
    def ids(self) -> int:
        """Length of the list in C-SIDs."""
        return sum(segment.ids for segment in self.segments)


@dataclass(frozen=True, eq=False)
class _Cut:
    """What is gone. `out`: per arc; `watched`: open arcs, one of which is on any path that meets the cut."""

    out: Flags
    watched: Ints


@dataclass(frozen=True, eq=False)
class _Answer:
    """What the search says for one cut, for the nodes `asked`."""

    protects: Protects
    asked: NDArray[np.intp]
    lists: Lists


class TiLfa:
    """The repair lists of every router of one IGP algorithm.

    Distances from the routers that lists go through are kept: up to N x N x 8 bytes.
    """

    def __init__(self, igp: Igp) -> None:
        shape = igp.graph.shape
        n = len(shape.nodes)
        far, known = np.empty((n, n), np.int64), np.zeros(n, np.uint8)
        self.igp = igp
        self.tables = Tables(shape.first, shape.tail, shape.head, shape.twin, igp.metric, igp.closed, far, known)

    def repairs(self, node: str, failure: Failure) -> Repairs:
        """Of `node` for each destination whose next hop, or one of them, is lost by the failure.

        `Invalid` where the failure is not next to the node (RFC 9855: protection is local), or names nothing.
        """
        graph = self.igp.graph
        source = graph.node(node)
        lost = self._lost(source, failure)
        arcs = self._arc_cut(lost)
        if failure.protects is not Protects.NODE:
            return Repairs(
                self, node, failure, (self._answer(source, failure.protects, arcs, self._affected(source, lost)),)
            )
        itself, others = np.zeros(len(graph.shape.nodes), np.uint8), self._affected(source, lost)
        failed = graph.node(failure.element)
        itself[failed], others[failed] = others[failed], 0
        answers = (
            self._answer(source, Protects.NODE, self._node_cut(failed), others),
            self._answer(source, Protects.LINK, arcs, itself),
        )
        return Repairs(self, node, failure, answers)

    def every(self, protects: Protects) -> Iterator[Repairs]:
        """For each link (or node, by each of its neighbours) of the layer, one after the other."""
        shape = self.igp.graph.shape
        if protects is Protects.NODE:
            pairs = sorted({(int(v), int(u)) for u, v in zip(shape.tail, shape.head, strict=True)})
            for failed, neighbour in pairs:
                yield self.repairs(shape.nodes[neighbour], Failure(protects, shape.nodes[failed]))
            return
        for link, arcs in zip(shape.links, shape.arc, strict=True):
            for end in shape.tail[arcs]:
                yield self.repairs(shape.nodes[end], Failure(protects, link))

    def _row(self, node: int) -> Longs:
        """Pre-failure distances from a node."""
        row(self.tables, node)
        distances: Longs = self.tables.far[node]
        return distances

    def _lost(self, source: int, failure: Failure) -> Ints:
        """Arcs that the failure takes with it, both ways; of a node, those between it and the source alone."""
        graph = self.igp.graph
        shape = graph.shape
        if failure.protects is Protects.NODE:
            to_it = (shape.tail == source) & (shape.head == graph.node(failure.element))
            lost = np.flatnonzero(to_it | to_it[shape.twin]).astype(np.int32)
            beside = len(lost) > 0
        else:
            lost = shape.arc[_at_risk(graph, failure.element, failure.protects)].ravel()
            beside = source in shape.tail[shape.arc[graph.link(failure.element)]]
        if not beside:
            raise Invalid(f"{failure.element} is not next to {shape.nodes[source]}", reason="NOT_ADJACENT")
        return lost

    def _arc_cut(self, arcs: Ints) -> _Cut:
        out = np.zeros(len(self.igp.metric), np.uint8)
        out[arcs] = 1
        return _Cut(out, arcs[self.igp.closed[arcs] == 0])

    def _node_cut(self, node: int) -> _Cut:
        shape = self.igp.graph.shape
        out = (shape.tail == node) | (shape.head == node)
        into = np.flatnonzero((shape.head == node) & (self.igp.closed == 0)).astype(np.int32)
        return _Cut(out.astype(np.uint8), into)

    def _answer(self, source: int, protects: Protects, cut: _Cut, wanted: Flags) -> _Answer:
        lists = search(self.tables, cut.out, cut.watched, wanted, source)
        return _Answer(protects, np.flatnonzero(wanted), lists)

    def _affected(self, source: int, lost: Ints) -> Flags:
        """Per node, 1 where one of the next hops of `source` to it is over an arc that is lost."""
        igp, shape = self.igp, self.igp.graph.shape
        here, affected = self._row(source), np.zeros(len(shape.nodes), bool)
        for a in lost[(shape.tail[lost] == source) & (igp.closed[lost] == 0)]:
            affected |= igp.metric[a] + self._row(int(shape.head[a])) == here
        return affected.astype(np.uint8)


class Repairs(Mapping[str, Repair]):
    """What `node` does about `failure`, by destination; each is worked out when it is asked for."""

    def __init__(self, tilfa: TiLfa, node: str, failure: Failure, answers: tuple[_Answer, ...]) -> None:
        shape = tilfa.igp.graph.shape
        self.node = node
        self.failure = failure
        self._tilfa = tilfa
        self._source = tilfa.igp.graph.node(node)
        self._answers = {
            shape.nodes[d]: answer for answer in answers for d in answer.asked if answer.lists.after[d] != UNREACHED
        }
        self.disconnected = tuple(
            shape.nodes[d] for answer in answers for d in answer.asked if answer.lists.after[d] == UNREACHED
        )
        """Destinations that lose their next hop, and to which the failure leaves no way at all."""

    def __len__(self) -> int:
        return len(self._answers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._answers)

    def __getitem__(self, destination: str) -> Repair:
        answer, graph = self._answers[destination], self._tilfa.igp.graph
        shape, target = graph.shape, graph.node(destination)
        arcs, nodes, vias = trace(self._tilfa.tables, answer.lists, target)
        segments = [
            RepairSegment(shape.nodes[node], "" if via == BY_NODE_SEGMENT else shape.links[shape.link[via]])
            for node, via in zip(nodes.tolist(), vias.tolist(), strict=True)
        ]
        path = path_of(graph, self._source, arcs)
        return Repair(path.links[0], tuple(segments), path, int(answer.lists.after[target]), answer.protects)

    def ids(self) -> Mapping[str, int]:
        """Length of each list in C-SIDs, without the lists."""
        index = self._tilfa.igp.graph.shape.node_index
        return {name: int(answer.lists.given[index[name]] >> IDS_SHIFT) for name, answer in self._answers.items()}


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far the routers of a layer are protected."""

    protected: int
    """(Router, failure, destination) with a repair."""
    by_ids: Mapping[int, int]
    """Length of the list in C-SIDs to how many have it."""
    longest: tuple[str, Failure, str] | None
    """Router, failure and destination of the longest list, the first of them."""
    disconnected: tuple[tuple[str, Failure, tuple[str, ...]], ...]
    """Router, failure, and the destinations that no list can reach, for the failure cuts them off."""

    @property
    def share(self) -> float:
        """Protected of all that lose a next hop; what is missing is disconnected."""
        lost = sum(len(names) for _, _, names in self.disconnected)
        return self.protected / (self.protected + lost) if self.protected + lost else 1.0


def coverage(repairs: Iterable[Repairs]) -> Coverage:
    """The report over e.g. `TiLfa.every(Protects.LINK)`; nothing of what it has counted is kept."""
    by_ids: Counter[int] = Counter()
    most, longest, disconnected = -1, None, []
    for each in repairs:
        ids = each.ids()
        by_ids.update(ids.values())
        for name, count in ids.items():
            if count > most:
                most, longest = count, (each.node, each.failure, name)
        if each.disconnected:
            disconnected.append((each.node, each.failure, each.disconnected))
    return Coverage(by_ids.total(), dict(sorted(by_ids.items())), longest, tuple(disconnected))


def _at_risk(graph: Graph, link: str, protects: Protects) -> list[int]:
    """The link, and all that share a risk group with it where that is what fails."""
    index = graph.link(link)
    groups = graph.shape.srlgs.values() if protects is Protects.SRLG else ()
    return sorted({index}.union(*(members.tolist() for members in groups if index in members)))
