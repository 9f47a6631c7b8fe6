"""Both layers as graphs to search, kept in step with topology and ledger instead of being built again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from controller.core.addresses import A_TO_Z, Z_TO_A
from controller.core.graph import Graph, build
from controller.core.model import Container, Link, LinkKind, NodeKind, Status
from controller.core.otn import Ledger, RowKey
from controller.core.otn.grooming import most_room, room
from controller.core.topology import Topology


@dataclass(frozen=True, eq=False)
class Layers:
    """What a path may be looked for on. A link is open where new traffic may be placed on it."""

    packet: Graph
    """Routers and adjacencies; room in kbit/s on the wire."""
    optical: Graph
    """OTN nodes and fibres; room in fine-grain slots: of the largest slice that could be had."""

    @classmethod
    def of(cls, topology: Topology, ledger: Ledger) -> Layers:
        """Built from nothing: at the start, and wherever there is nothing to keep."""
        layers = []
        for kind, nodes in ((LinkKind.ADJACENCY, NodeKind.ROUTER), (LinkKind.FIBRE, NodeKind.OTN)):
            links = [link for link in topology.of_kind(kind) if link.status is not Status.UNPLANNED]
            most = {link.name: _capacity(link) for link in links}
            graph = build((n for n in topology.nodes.values() if n.kind is nodes), links, most)
            free = {key: left for link in links for key, left in _free(topology, link, ledger)}
            layers.append(graph.with_free(free).opened({link.name: topology.usable(link) for link in links}))
        return cls(*layers)

    def observed(self, before: Topology, after: Topology) -> Layers:
        """After events that changed the status of nodes and links."""
        if before is after:
            return self
        usable = {
            name: after.usable(link)
            for name, link in after.links.items()
            if name in before.links and after.usable(link) != before.usable(before.links[name])
        }
        return Layers(self.packet.opened(_of(self.packet, usable)), self.optical.opened(_of(self.optical, usable)))

    def booked(self, topology: Topology, ledger: Ledger, rows: Iterable[RowKey]) -> Layers:
        """After a change of these rows of the ledger."""
        free = {name: dict(_free(topology, topology.links[name], ledger)) for name in {row.link for row in rows}}

        def rebook(graph: Graph) -> Graph:
            return graph.with_free({key: left for each in _of(graph, free).values() for key, left in each.items()})

        return Layers(rebook(self.packet), rebook(self.optical))


T = TypeVar("T")


def _of(graph: Graph, by_link: Mapping[str, T]) -> dict[str, T]:
    return {name: value for name, value in by_link.items() if name in graph.shape.link_index}


def _capacity(link: Link) -> int:
    """In the unit of the layer."""
    return link.capacity_kbps if link.kind is LinkKind.ADJACENCY else most_room(link)


def _free(topology: Topology, link: Link, ledger: Ledger) -> Iterable[tuple[tuple[str, int], int]]:
    """((link, direction), what is left). The slots of a slice are the same numbers both ways."""
    if link.kind is LinkKind.FIBRE:
        left = room(topology, ledger, link.name, Container.FGODUFLEX)
        return [((link.name, way), left) for way in (A_TO_Z, Z_TO_A)]
    return [((link.name, way), ledger.row(RowKey(link.name, "", way)).free_kbps()) for way in (A_TO_Z, Z_TO_A)]
