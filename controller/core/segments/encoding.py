"""Segment lists that force a path, as short as can be: encoded, verified, and found again when routes change.

The first link is the policy's own next hop, so that a list starts at the second node. Where it is longer than its
headend can impose, a binding SID on the way puts the rest around the packet, and the tail takes both off.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeVar

from controller.core import srv6
from controller.core.errors import Infeasible, Invalid, Refused
from controller.core.model import SegmentList
from controller.core.paths.path import Path
from controller.core.segments.igp import Underlay
from controller.core.segments.search import Course, Step, cheapest, least, steps
from controller.core.segments.sids import Sids, Tail
from controller.core.segments.walk import Bound, expand

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Binding:
    """A policy on the way (End.B6.Encaps.Red): its SID, the link by which it sends, and what it puts around."""

    node: str
    function: int
    link: str
    segments: SegmentList


@dataclass(frozen=True, slots=True)
class Encoding:
    """A path, and what forces it."""

    path: Path
    tail: Tail
    segments: SegmentList
    bindings: tuple[Binding, ...] = ()
    """In the order in which the packet meets them."""

    @property
    def overhead_bytes(self) -> int:
        """Around the customer's packet where it is largest: each binding adds to what is there."""
        return self.segments.overhead_bytes + sum(each.segments.overhead_bytes for each in self.bindings)

    @property
    def bound(self) -> Bound:
        return {(each.node, each.function): (each.link, each.segments.carriers) for each in self.bindings}


def encode(path: Path, tail: Tail, sids: Sids, underlays: Sequence[Underlay]) -> Encoding:
    """The list of fewest carriers, then ids, that forces a path to its tail in each of the underlays.

    Two underlays, before and after a change, make a list that may replace another before routes change.
    `Infeasible` where the headend cannot impose it and no binding SID helps (SEGMENT_LIST_TOO_LONG), or where nothing
    forces the path (LIST_LEAVES_PATH). `Invalid` where the path does not hold together or does not end at the tail.
    """
    if not path.links or path.nodes[-1] != tail.node:
        raise Invalid(f"a list forces at least one link, and ends at {tail.node}", reason="BAD_PATH")
    course = Course(path, sids, underlays)
    encoding = _assembled(_plan(course, tail), tail, course)
    for underlay in underlays:
        require_path(encoding, sids, underlay)
    return encoding


def require_path(encoding: Encoding, sids: Sids, underlay: Underlay) -> None:
    """`Infeasible` (LIST_LEAVES_PATH) unless a packet takes exactly the path."""
    path = encoding.path
    walked = expand(
        encoding.segments.carriers, path.nodes[0], path.links[0], encoding.tail, sids, underlay, encoding.bound
    )
    if walked != (path.nodes, path.links):
        pairs = zip(walked.links, path.links, strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        raise Infeasible(f"the segment list leaves its path at {path.nodes[common]}", reason="LIST_LEAVES_PATH")


def leaving(standing: Mapping[K, Encoding], sids: Sids, underlay: Underlay) -> dict[K, str]:
    """Of the standing lists, those that would leave their path in another underlay, and why: to be encoded again."""
    found = {}
    for key, encoding in standing.items():
        try:
            require_path(encoding, sids, underlay)
        except Refused as refusal:
            found[key] = refusal.message
    return found


@dataclass(frozen=True, slots=True)
class _Plan:
    """The list that the node at `place` imposes, and the policy that it is bound to on the way."""

    place: int
    list: Step
    rest: _Plan | None = None

    @property
    def depth(self) -> int:
        return 1 + self.rest.depth if self.rest else 0

    @property
    def overhead(self) -> int:
        return srv6.overhead_bytes(self.list.carriers) + (self.rest.overhead if self.rest else 0)

    @property
    def preference(self) -> tuple[int, int, int]:
        """Fewer tunnels in tunnels, then the smaller packet, then the shorter way with both."""
        return self.depth, self.overhead, -self.rest.place if self.rest else 0


def _plan(course: Course, tail: Tail) -> _Plan:
    found = _best(course, 0, tail, {})
    if found is not None:
        return found
    direct, headend = cheapest(course, 1, tail), course.path.nodes[0]
    if direct is None:
        place = max(step.place for step in steps(course, 1))
        raise Infeasible(
            f"no segment keeps a packet on its path beyond {course.path.nodes[place]}", reason="LIST_LEAVES_PATH"
        )
    limit = course.sids.max_carriers(headend)
    raise Infeasible(
        f"the path needs {direct.carriers} carriers, its headend imposes {limit} (RFC 9352 H.Encaps MSD)",
        reason="SEGMENT_LIST_TOO_LONG",
        metadata={"carriers": str(direct.carriers), "maxCarriers": str(limit)},
    )


def _best(course: Course, place: int, tail: Tail, known: dict[int, _Plan | None]) -> _Plan | None:
    """What the node at `place` imposes: one list if it can, else one that is bound to a policy on the way."""
    if place in known:
        return known[place]
    limit = course.sids.max_carriers(course.path.nodes[place])
    direct = cheapest(course, place + 1, tail)
    if direct is not None and direct.carriers <= limit:
        known[place] = _Plan(place, direct)
        return known[place]
    inner = course.sids.underlay_tail(tail.node)
    plans = []
    for at, step in _bound(course, place, tail, limit) if inner else ():
        rest = _best(course, at, inner, known) if inner else None
        if rest is not None:
            plans.append(_Plan(place, step, rest))
    known[place] = min(plans, key=lambda plan: plan.preference, default=None)
    return known[place]


def _bound(course: Course, place: int, tail: Tail, limit: int) -> Iterator[tuple[int, Step]]:
    """(place of a binding SID, the cheapest list by way of it): the policy there brings the packet to the tail."""
    sids, nodes = course.sids, course.path.nodes
    lasts = (sids.end(by, tail) for by in course.algorithms)
    last = next((segment for segment in lasts if segment), None)
    begun = [*takewhile(lambda step: step.carriers <= limit, steps(course, place + 1))]
    for at in range(place + 1, course.end) if last else ():
        made = least(
            step.plus(segment, at).plus(last, course.end)
            for step in begun
            for by in course.reached(step, at)
            if last and (segment := sids.bound(by, nodes[at]))
        )
        if made is not None and made.carriers <= limit:
            yield at, made


def _assembled(plan: _Plan, tail: Tail, course: Course) -> Encoding:
    path, sids = course.path, course.sids
    bindings, rest = [], plan.rest
    while rest is not None:
        node = path.nodes[rest.place]
        function = sids.binding(node)
        assert function is not None, "it was bound there"
        bindings.append(Binding(node, function, path.links[rest.place], _list(rest, course)))
        rest = rest.rest
    return Encoding(path, tail, _list(plan, course), tuple(bindings))


def _list(plan: _Plan, course: Course) -> SegmentList:
    limit = course.sids.max_carriers(course.path.nodes[plan.place])
    return srv6.segment_list(course.sids.block, plan.list.segments(), limit)
