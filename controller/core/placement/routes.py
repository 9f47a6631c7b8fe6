"""Routes for the slices of a hard corridor: what each may use, how large the slices on it are, and what stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from controller.core.errors import Infeasible
from controller.core.graph import Graph, Objective
from controller.core.latency import delay_left
from controller.core.model import Container, Corridor, LinkKind, Slice, SliceHop
from controller.core.otn import LINES, narrowest
from controller.core.otn.grooming import Groomed, groom
from controller.core.path_constraints import search_constraints
from controller.core.paths import Constraints, Method, Path, Route, Terms, find, follow, holds, keeps
from controller.core.placement.branching import stays
from controller.core.placement.draft import Draft
from controller.core.placement.sizing import Size, packet_bytes, size_of

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Lane:
    """A route with the slots of a slice on it."""

    route: Route
    hops: tuple[SliceHop, ...]
    opened: int
    standing: Slice | None = None
    """The slice that it stays; None: a new one."""


Lanes = tuple[Size, tuple[Lane, ...]]
"""Working, and protection where there is one; both of one size."""


class HardRoutes:
    """What the optical layer has for one corridor; it lives for one call of `plan`."""

    def __init__(self, draft: Draft, corridor: Corridor) -> None:
        self.draft = draft
        self.corridor = corridor
        topology = draft.topology
        self.ends = topology.otn_of(corridor.a_end.node), topology.otn_of(corridor.z_end.node)
        ends = (corridor.a_end.node, corridor.z_end.node, *self.ends)
        self._nodes_us = sum(topology.nodes[end].processing_us for end in ends)

    @property
    def objective(self) -> Objective:
        return self.corridor.path_constraints.objective

    @cached_property
    def working(self) -> Slice | None:
        return self._standing[0] if self._standing else None

    @cached_property
    def protection(self) -> Slice | None:
        return self._standing[1] if self._standing and len(self._standing) > 1 else None

    @cached_property
    def _standing(self) -> tuple[Slice, ...]:
        """Slices that stand between these very ends."""
        standing, corridor = self.draft.standing, self.corridor
        if standing is None or (standing.a_end.node, standing.z_end.node) != (corridor.a_end.node, corridor.z_end.node):
            return ()
        return standing.leg.slices

    # -- sizes --------------------------------------------------------------------------------------------------------

    def constraints(self, size: Size) -> Constraints:
        """Of a slice of its own beside all that stands, this corridor's old one included: both stand until CLEAN."""
        return search_constraints(
            self.corridor,
            self.draft.topology,
            demand=size.claimed,
            reverse_demand=0,  # the room of a fibre is what is free both ways
            mtu_bytes=packet_bytes(self.corridor),
            max_delay_us=delay_left(self.corridor, self._nodes_us + size.serialisation_us),
        )

    def size_on(self, delay_us: int, line: Container) -> Size | None:
        """The size that keeps the latency bound on a route of this delay between its ends; None where none does."""
        bound = self.corridor.max_latency_us
        try:
            return size_of(self.corridor, line, bound - self._nodes_us - max(1, delay_us) if bound else None)
        except Infeasible:
            return None

    def graph(self, size: Size) -> Graph:
        """The optical layer with the room of the size's container."""
        layer = self.draft.layers.optical
        return layer if size.container is Container.FGODUFLEX else self.draft.tributaries(size.line)

    def terms(self, size: Size) -> Terms:
        return Terms(size.unit, self._nodes_us + size.serialisation_us, self.corridor.max_latency_us)

    @cached_property
    def lines(self) -> tuple[Container, ...]:
        """Kinds of lines that there are; the slots of an ODUflex are those of the smallest that it runs on."""
        present = {link.line for link in self.draft.topology.of_kind(LinkKind.FIBRE)}
        return tuple(line for line in LINES[::-1] if line in present) or (Container.ODU2,)

    def smallest_line(self, links: Iterable[str]) -> Container:
        return narrowest(self.draft.topology.links[name].line for name in links)

    # -- what stands --------------------------------------------------------------------------------------------------

    def path_of(self, part: Slice) -> Path:
        return follow(self.draft.layers.optical, self.ends[0], [hop.link for hop in part.hops])

    def kept_size(self, *parts: Slice) -> Size | None:
        """The size of standing slices as what is asked now has it; None where their routes or container do not serve.

        A switch or a new bound is no reason to move: where a slice is too thin for the bound, it gets more slots.
        """
        paths = [self.path_of(part) for part in parts]
        line = self.smallest_line(name for path in paths for name in path.links)
        size = self.size_on(max(path.delay_us for path in paths), line)
        if size is None or any(part.container is not size.container for part in parts):
            return None
        graph, constraints = self.draft.layers.optical, self.constraints(size)
        anyhow = replace(constraints, demand=0)
        return size if all(holds(graph, path, anyhow) and keeps(graph, path, constraints) for path in paths) else None

    def kept(self, part: Slice, size: Size) -> Lane | None:
        """A standing slice where its servers have room for its size: a slot number means nothing in another server."""
        links = tuple(hop.link for hop in part.hops)
        try:
            groomed = self._groom(links, size, part.hops)
        except Infeasible:
            return None
        if [hop.server for hop in groomed.hops] != [hop.server for hop in part.hops]:
            return None
        return Lane(Route(self.path_of(part), 0, Method.KEPT), groomed.hops, part.opened_servers, part)

    def single(self) -> Lanes | None:
        """The standing route where it serves, else the best one: by a branch off the standing slice or a new one."""
        size = self.kept_size(self.working) if self.working else None
        lane = self.kept(self.working, size) if self.working and size else None
        return (size, (lane,)) if size and lane else self._branched() or self._new()

    # -- what is new --------------------------------------------------------------------------------------------------

    def lane(self, route: Route, size: Size) -> Lane:
        """A new slice on a route."""
        groomed = self._groom(route.path.links, size, ())
        return Lane(route, groomed.hops, len(groomed.opened))

    def _branched(self) -> Lanes | None:
        """A branch off the standing slice to the best route, counting what it holds as its own; None where none is.

        Its size stays: while it is moved its nodes have three line ports of it, and no handshake runs.
        """
        part = self.working
        if part is None or self.protection is not None:
            return None
        found = self.settled(self.smallest_line(hop.link for hop in part.hops), self._credited, self.fastest)
        if found is None:
            return None
        size, route = found
        same = (size.container, size.claimed, size.active) == (part.container, part.claimed_slots, part.active_slots)
        staying = stays(part.hops, route.path.links) if same and self._alike(part, route.path) else None
        if staying is None:
            return None
        groomed = self._groom(route.path.links, size, staying)
        held = {(hop.link, hop.server) for hop in groomed.hops}
        if any((hop.link, hop.server) not in held for hop in staying):
            return None
        return size, (Lane(route, groomed.hops, len(groomed.opened), part),)

    def _alike(self, part: Slice, path: Path) -> bool:
        """Whether the slots of a slice carry on another route what they carry on its own: both its branches stand."""
        lines = self.smallest_line(hop.link for hop in part.hops), self.smallest_line(path.links)
        return part.container is Container.FGODUFLEX or lines[0] is lines[1]

    def _credited(self, size: Size) -> Route | None:
        """The best route where the fibres of the standing slice have room for it: that which it holds."""
        assert self.working is not None
        graph = self.graph(size)
        own = {
            (hop.link, way): max(size.claimed, int(graph.free[graph.arc(hop.link, way)]))
            for hop in self.working.hops
            for way in (0, 1)
        }
        return find(graph.with_free(own), *self.ends, self.constraints(size), self.objective)

    def _new(self) -> Lanes | None:
        """A new slice on the best route."""
        found = self.best(self.route, lambda route: route.cost)
        if found is None:
            return None
        size, route = found
        return size, (self.lane(route, size),)

    def route(self, size: Size) -> Route | None:
        return find(self.graph(size), *self.ends, self.constraints(size), self.objective)

    def best(
        self,
        search: Callable[[Size], Found | None],
        cost: Callable[[Found], int],
        slowest: Callable[[Size], int | None] | None = None,
    ) -> tuple[Size, Found] | None:
        """The cheapest of what a search finds, over the kinds of lines that an ODUflex may run on."""
        found = []
        for line in self.lines:
            one = self.settled(line, search, slowest or self.fastest)
            if one is not None:
                found.append(one)
                if one[0].container is Container.FGODUFLEX:
                    break
        return min(found, key=lambda each: cost(each[1]), default=None)

    def settled(
        self, line: Container, search: Callable[[Size], Found | None], slowest: Callable[[Size], int | None]
    ) -> tuple[Size, Found] | None:
        """What a search finds at the least size that the latency bound leaves.

        A thin slice may be too slow for the bound where more slots are not: what the best routes without that bound
        leave of it (`slowest`: their delay) says how many it takes; where those have no room for so many, the next do.
        """
        try:
            size: Size | None = size_of(self.corridor, line)
        except Infeasible:
            return None
        while size is not None:
            found = search(size) if self._in_time(size) else None
            if found is not None:
                return size, found
            size = self.thicker(size, slowest)
        return None

    @property
    def most_us(self) -> int:
        """What the latency bound leaves at most to the way between the ends: 1 µs to clock a packet in."""
        return self.corridor.max_latency_us - self._nodes_us - 1

    def _in_time(self, size: Size) -> bool:
        """Whether the latency bound leaves anything to the way between the ends."""
        bound = self.corridor.max_latency_us
        return not bound or self._nodes_us + size.serialisation_us < bound

    def thicker(self, size: Size, slowest: Callable[[Size], int | None]) -> Size | None:
        if not self.corridor.max_latency_us:
            return None
        delay_us = slowest(size)
        more = None if delay_us is None else self.size_on(delay_us, size.line)
        return more if more is not None and _rank(more) > _rank(size) else None

    def fastest(self, size: Size) -> int | None:
        """µs between the ends by the fastest route with room for a size, whatever the bound."""
        unbounded = replace(self.constraints(size), max_delay_us=0)
        route = find(self.graph(size), *self.ends, unbounded, Objective.DELAY)
        return route.path.delay_us if route else None

    def _groom(self, links: tuple[str, ...], size: Size, kept: tuple[SliceHop, ...]) -> Groomed:
        return groom(self.draft.topology, self.draft.ledger, links, size.container, size.claimed, kept)


def _rank(size: Size) -> tuple[bool, int]:
    """Sizes grow from search to search, and never back into the smaller container."""
    return size.container is not Container.FGODUFLEX, size.least
