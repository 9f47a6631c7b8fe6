"""Both layers as graphs to search, kept in step with topology and ledger instead of being built again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from controller.core.addresses import A_TO_Z, Z_TO_A
from controller.core.graph import Graph, build
from controller.core.model import Container, Link, LinkKind, NodeKind, Status
from controller.core.otn import Ledger, RowKey
from controller.core.otn.grooming import most_room, room
from controller.core.otn.servers import slots_of_line
from controller.core.topology import Topology


@dataclass(frozen=True, eq=False)
class Layers:
    """What a path may be looked for on. A link is open where new traffic may be placed on it."""

    packet: Graph
    """Routers and adjacencies; room in kbit/s on the wire."""
    optical: Graph
    """OTN nodes and fibres; room in fine-grain slots: of the largest slice that could be had."""
    lines: Graph
    """The same; room in tributary slots of the lines, for what is carried in them directly."""

    @classmethod
    def of(cls, topology: Topology, ledger: Ledger) -> Layers:
        """Built from nothing: at the start, and wherever there is nothing to keep."""
        return cls(*(_layer(topology, ledger, unit) for unit in (_PACKET, _OPTICAL, _LINES)))

    def observed(self, before: Topology, after: Topology) -> Layers:
        """After events that changed the status of nodes and links."""
        if before is after:
            return self
        usable = {
            name: after.usable(link)
            for name, link in after.links.items()
            if name in before.links and after.usable(link) != before.usable(before.links[name])
        }
        return Layers(*(graph.opened(_of(graph, usable)) for graph in (self.packet, self.optical, self.lines)))

    def booked(self, topology: Topology, ledger: Ledger, rows: Iterable[RowKey]) -> Layers:
        """After a change of these rows of the ledger."""
        links = [topology.links[name] for name in {row.link for row in rows}]

        def rebook(graph: Graph, unit: Unit) -> Graph:
            return graph.with_free(
                {
                    key: left
                    for link in links
                    if link.kind is unit.kind
                    for key, left in unit.free(topology, link, ledger)
                }
            )

        return Layers(rebook(self.packet, _PACKET), rebook(self.optical, _OPTICAL), rebook(self.lines, _LINES))


T = TypeVar("T")


def _of(graph: Graph, by_link: Mapping[str, T]) -> dict[str, T]:
    return {name: value for name, value in by_link.items() if name in graph.shape.link_index}


Left = Iterator[tuple[tuple[str, int], int]]
"""((link, direction), what is left)."""


def _kbps(_topology: Topology, link: Link, ledger: Ledger) -> Left:
    return (((link.name, way), ledger.row(RowKey(link.name, "", way)).free_kbps()) for way in (A_TO_Z, Z_TO_A))


def _slots(container: Container) -> Callable[[Topology, Link, Ledger], Left]:
    """Of the largest slice in a container: its slots are the same numbers both ways."""

    def free(topology: Topology, link: Link, ledger: Ledger) -> Left:
        left = room(topology, ledger, link.name, container)
        return (((link.name, way), left) for way in (A_TO_Z, Z_TO_A))

    return free


@dataclass(frozen=True)
class Unit:
    """What a layer consists of and what its room is counted in."""

    nodes: NodeKind
    kind: LinkKind
    capacity: Callable[[Link], int]
    free: Callable[[Topology, Link, Ledger], Left]


_PACKET = Unit(NodeKind.ROUTER, LinkKind.ADJACENCY, lambda link: link.capacity_kbps, _kbps)
_OPTICAL = Unit(NodeKind.OTN, LinkKind.FIBRE, most_room, _slots(Container.FGODUFLEX))
_LINES = Unit(NodeKind.OTN, LinkKind.FIBRE, slots_of_line, _slots(Container.ODUFLEX))


def _layer(topology: Topology, ledger: Ledger, unit: Unit) -> Graph:
    links = [link for link in topology.of_kind(unit.kind) if link.status is not Status.UNPLANNED]
    most = {link.name: unit.capacity(link) for link in links}
    graph = build((n for n in topology.nodes.values() if n.kind is unit.nodes), links, most)
    free = {key: left for link in links for key, left in unit.free(topology, link, ledger)}
    return graph.with_free(free).opened({link.name: topology.usable(link) for link in links})
