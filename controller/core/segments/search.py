"""The cheapest segment list along a path: fewest carriers, then fewest ids.

What a segment forces from one place of the path it forces from any later place short of its end, so that of all lists
of one price only the one that has come farthest matters. Taking the farthest segment each time is still not enough: a
uA takes two ids and comes one link farther, and what does not fit begins another carrier.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush

from controller.core.errors import Invalid
from controller.core.graph import CLOSED, Graph, Ints, Objective
from controller.core.paths.path import Path, arcs_of
from controller.core.segments.igp import Igp, Underlay
from controller.core.segments.sids import Sids, Tail
from controller.core.srv6 import IDS_PER_CARRIER, Segment


@dataclass(frozen=True, slots=True)
class Step:
    """A list so far: it has brought the packet to `place`, an index into the nodes of the path."""

    place: int
    carriers: int
    used: int
    """Ids in the last carrier."""
    ids: int
    segment: Segment | None = None
    before: Step | None = None

    def plus(self, segment: Segment, place: int) -> Step:
        """One segment more; its ids stay in one carrier."""
        size = len(segment.ids)
        fits = self.used + size <= IDS_PER_CARRIER
        carriers, used = (self.carriers, self.used + size) if fits else (self.carriers + 1, size)
        return Step(place, carriers, used, self.ids + size, segment, self)

    @property
    def price(self) -> tuple[int, int, int]:
        return self.carriers, self.ids, self.used

    def segments(self) -> tuple[Segment, ...]:
        found, step = [], self
        while step.segment is not None and step.before is not None:
            found.append(step.segment)
            step = step.before
        return tuple(reversed(found))


class Course:
    """A path as the routers of one or more underlays see it: how far along it each algorithm alone keeps a packet."""

    def __init__(self, path: Path, sids: Sids, underlays: Sequence[Underlay]) -> None:
        """`Invalid` where the path does not hold together or a layer has not all of it."""
        self.path = path
        self.sids = sids
        self.end = len(path.nodes) - 1
        self.algorithms = [by for by in sids.locators if all(by in each.igps for each in underlays)]
        self._arcs = [(each, _whole(each.graph, path)) for each in underlays]
        self._views: dict[Objective, list[tuple[Igp, Ints]]] = {
            by: [(each.igps[by], arcs) for each, arcs in self._arcs] for by in self.algorithms
        }
        self._reach: dict[tuple[Objective, int], int] = {}

    def reach(self, by: Objective, place: int) -> int:
        """The last place that a packet at `place` can be sent to without leaving the path, in every underlay."""
        known = self._reach.get((by, place))
        if known is None:
            known = min(igp.reach(arcs, place) for igp, arcs in self._views[by])
            self._reach[by, place] = known
        return known

    def reached(self, step: Step, place: int) -> Iterator[Objective]:
        """The algorithms that carry a packet from where it is to `place`, by the path alone."""
        return (by for by in self.algorithms if step.place <= place <= self.reach(by, step.place))

    @cached_property
    def open(self) -> list[bool]:
        """Per link of the path, whether it is up."""
        return [all(each.graph.room[arcs[i]] != CLOSED for each, arcs in self._arcs) for i in range(self.end)]

    def ends(self, step: Step, tail: Tail) -> Iterator[Step]:
        """The list complete: a last segment that decapsulates at the path's end."""
        for by in self.reached(step, self.end):
            last = self.sids.end(by, tail)
            if last is not None:
                yield step.plus(last, self.end)

    def onward(self, step: Step) -> Iterator[Step]:
        """One segment more, as far along the path as one of its kind comes."""
        for by in self.algorithms:
            limit = self.reach(by, step.place)
            for candidates in (self._nodes(by, step.place, limit), self._links(by, step.place, limit)):
                farthest = next(iter(candidates), None)
                if farthest is not None:
                    yield step.plus(*farthest)

    def _nodes(self, by: Objective, place: int, limit: int) -> Iterator[tuple[Segment, int]]:
        for at in range(limit, place, -1):
            segment = self.sids.un(by, self.path.nodes[at])
            if segment is not None:
                yield segment, at

    def _links(self, by: Objective, place: int, limit: int) -> Iterator[tuple[Segment, int]]:
        nodes, links = self.path.nodes, self.path.links
        for at in range(min(limit, self.end - 1), place - 1, -1):
            segment = self.sids.ua(by, nodes[at], links[at], nodes[at + 1]) if self.open[at] else None
            if segment is not None:
                yield segment, at + 1


def steps(course: Course, place: int) -> Iterator[Step]:
    """Lists from a place of the path on, cheapest first; none that another one, no dearer, has come as far as."""
    waiting = [(Step(place, 1, 0, 0).price, 0, Step(place, 1, 0, 0))]
    kept: list[Step] = []
    order = 0
    while waiting:
        step = heappop(waiting)[2]
        if any(_as_good(other, step) for other in kept):
            continue
        kept.append(step)
        yield step
        for following in course.onward(step):
            order += 1
            heappush(waiting, (following.price, order, following))


def cheapest(course: Course, place: int, tail: Tail) -> Step | None:
    """The complete list of least price from a place of the path on; None where nothing forces the path."""
    best: Step | None = None
    for step in steps(course, place):
        if best is not None and (step.carriers, step.ids + 2) >= best.price[:2]:
            break
        best = least([*([best] if best else []), *course.ends(step, tail)])
    return best


def least(found: Iterable[Step]) -> Step | None:
    """The first of least price."""
    return min(found, key=lambda step: step.price[:2], default=None)


def _as_good(one: Step, other: Step) -> bool:
    return (
        one.place >= other.place and one.ids <= other.ids and (one.carriers, one.used) <= (other.carriers, other.used)
    )


def _whole(graph: Graph, path: Path) -> Ints:
    """The path in the arcs of a graph; `Invalid` where it does not hold together or the graph has not all of it."""
    shape = graph.shape
    if len(path.nodes) != len(path.links) + 1 or len(path.links) != len(path.directions):
        raise Invalid("a path has one node more than links", reason="BAD_PATH")
    arcs = arcs_of(shape, path)
    for i, (name, arc) in enumerate(zip(path.links, arcs, strict=True)):
        if (shape.tail[arc], shape.head[arc]) != (graph.node(path.nodes[i]), graph.node(path.nodes[i + 1])):
            raise Invalid(f"{name} does not lead from {path.nodes[i]} to {path.nodes[i + 1]}", reason="BAD_PATH")
    if len({*path.nodes}) != len(path.nodes):
        raise Invalid("a path visits no node twice", reason="BAD_PATH")
    return arcs
