"""Follow a segment list over the layer as its routers would, carrier by carrier: the proof that it keeps to one path.

RFC 9800 4.1 (NEXT-C-SID): what a router consumes is shifted out of the destination; with nothing left there, the next
carrier takes its place. A router knows its node ids, and function ids below them; any other id is a route or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from controller.core.errors import Infeasible
from controller.core.graph import CLOSED, Objective
from controller.core.ip_addresses import ipv6_number, network_of
from controller.core.segments.igp import Underlay
from controller.core.segments.sids import Sids, Tail
from controller.core.srv6 import ID_BITS

Bound = Mapping[tuple[str, int], tuple[str, tuple[str, ...]]]
"""(router, function) of a binding SID to the link by which its packets leave, and the carriers that it puts around."""
MAX_LINKS = 4096
"""A list that is longer goes round."""


class Walked(NamedTuple):
    """The way of a packet."""

    nodes: tuple[str, ...]
    links: tuple[str, ...]


def expand(
    carriers: Iterable[str],
    headend: str,
    link: str,
    tail: Tail,
    sids: Sids,
    underlay: Underlay,
    bound: Bound | None = None,
) -> Walked:
    """The one way that a list, imposed at `headend` and sent over `link`, takes to its tail.

    `Infeasible` (LIST_LEAVES_PATH) where there are several or none: routes branch, a router meets an id that is neither
    its own nor routed, an instruction straddles two carriers, a link is down, something is left over at the end.
    """
    walk = _Walk(sids, underlay, tail, bound or {}, headend)
    walk.impose(carriers)
    walk.cross(link)
    while walk.process():
        pass
    return Walked(tuple(walk.nodes), tuple(walk.links))


@dataclass(slots=True)
class _Header:
    """An IPv6 header: the ids that follow the block in its destination, and the carriers still to come."""

    ids: list[int]
    coming: list[list[int]]

    def consume(self, count: int) -> bool:
        """Shift `count` ids out, or take the next carrier where nothing is left; False where that is not there."""
        self.ids = self.ids[count:] + [0] * count
        if any(self.ids):
            return True
        self.ids = self.coming.pop(0) if self.coming else []
        return bool(self.ids)

    @property
    def ended(self) -> bool:
        return not self.coming and not any(self.ids[2:])


class _Walk:
    """A packet on its way: the headers around it, outermost last, and where it has been."""

    def __init__(self, sids: Sids, underlay: Underlay, tail: Tail, bound: Bound, headend: str) -> None:
        self.sids = sids
        self.underlay = underlay
        self.tail = tail
        self.bound = bound
        self.headers: list[_Header] = []
        self.nodes = [headend]
        self.links: list[str] = []

    def impose(self, carriers: Iterable[str]) -> None:
        parts = [_ids(self.sids.block, text) for text in carriers]
        if not parts:
            self._leaves("there is no carrier")
        self.headers.append(_Header(parts[0], parts[1:]))

    def process(self) -> bool:
        """What the router does with the packet that it has; False once the packet is out of its tunnel."""
        ids, here = self.headers[-1].ids, self.nodes[-1]
        owner = self.sids.owners.get(ids[0])
        if owner is None:
            self._leaves(f"{here} meets {_words(ids[:2])}, which is nobody's")
        by, target = owner
        if target != here:
            self._route(by, target)
            return True
        function, underlay = ids[1], self.sids.underlay(here)
        link = self._adjacency(function)
        if link is not None:
            self._consume(2)
            self.cross(link)
        elif (here, function) in self.bound:
            first, carriers = self.bound[here, function]
            self._consume(2)
            self.impose(carriers)
            self.cross(first)
        elif function and ((here, function) == (self.tail.node, self.tail.function) or function == underlay):
            return self._decapsulate(function)
        else:
            self._consume(1)
        return True

    def cross(self, link: str) -> None:
        """Leave over a link, whatever the routes say."""
        graph, here = self.underlay.graph, self.nodes[-1]
        shape = graph.shape
        index, node = graph.link(link), graph.node(here)
        arcs = [int(arc) for arc in shape.arc[index] if shape.tail[arc] == node]
        if not arcs or graph.room[arcs[0]] == CLOSED:
            self._leaves(f"{here} has no {link} that is up")
        self._went(arcs)

    def _route(self, by: Objective, target: str) -> None:
        igp, graph, here = self.underlay.igps.get(by), self.underlay.graph, self.nodes[-1]
        if igp is None:
            self._leaves(f"{here} has no routes by {by}")
        source, end = graph.node(here), graph.node(target)
        arcs = igp.only_path(source, end)
        if arcs is None:
            branching = igp.branching(source, end)
            where = here if branching is None else graph.shape.nodes[branching]
            several = "no way" if branching is None else "several ways"
            self._leaves(f"{where} has {several} to {target}")
        self._went(arcs.tolist())

    def _went(self, arcs: list[int]) -> None:
        shape = self.underlay.graph.shape
        self.links += [shape.links[shape.link[arc]] for arc in arcs]
        self.nodes += [shape.nodes[shape.head[arc]] for arc in arcs]
        if len(self.links) > MAX_LINKS:
            self._leaves("the list goes round")

    def _adjacency(self, function: int) -> str | None:
        """The link whose uA this is here."""
        graph, here = self.underlay.graph, self.nodes[-1]
        shape, node = graph.shape, graph.node(here)
        if not function:
            return None
        out = shape.link[shape.first[node] : shape.first[node + 1]]
        mine = (shape.links[link] for link in out.tolist())
        return next((link for link in mine if self.sids.adjacency(here, link) == function), None)

    def _consume(self, count: int) -> None:
        if not self.headers[-1].consume(count):
            self._leaves(f"nothing follows at {self.nodes[-1]}")

    def _decapsulate(self, function: int) -> bool:
        """A decapsulating function is last of all (RFC 8986 4.6): what is inside is a packet, or one more tunnel."""
        header, here = self.headers.pop(), self.nodes[-1]
        if not header.ended:
            self._leaves(f"{here} decapsulates before the list ends")
        if self.headers and function == self.sids.underlay(here):
            return True
        if self.headers or (here, function) != (self.tail.node, self.tail.function):
            self._leaves(f"{here} decapsulates what it should not")
        return False

    def _leaves(self, why: str) -> NoReturn:
        raise Infeasible(f"the segment list leaves its path: {why}", reason="LIST_LEAVES_PATH")


def _words(ids: list[int]) -> str:
    return ":".join(f"{each:04x}" for each in ids)


def _ids(block: str, text: str) -> list[int]:
    """All ids of a carrier, the zeros of its end marker as well."""
    network = network_of(block)
    room, value = 128 - network.prefixlen, ipv6_number(text)
    if value >> room != int(network.network_address) >> room:
        raise Infeasible(f"the segment list leaves its path: {text} is not in {block}", reason="LIST_LEAVES_PATH")
    return [value >> shift & 0xFFFF for shift in range(room - ID_BITS, -1, -ID_BITS)]
