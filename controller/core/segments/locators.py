"""The underlay of a domain: which ids its routers answer to, which adjacencies carry routes, and the routes.

Every router has a locator per algorithm (RFC 9350): its planned node id for algorithm 0, an assigned one for 128.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from controller.core import srv6
from controller.core.entries import Entry, Exact, Lpm, MatchValue
from controller.core.errors import Invalid
from controller.core.graph import Graph, Objective
from controller.core.ids import IdKey, Ids
from controller.core.model import Status
from controller.core.records import adjacency_ids
from controller.core.render_packet import UNDERLAY_VRF, entry, node_ids
from controller.core.segments.igp import LinkMetrics, Underlay
from controller.core.segments.sids import Sids
from controller.core.topology import Topology

ALGORITHMS = (Objective.IGP, Objective.DELAY)


def with_locators(topology: Topology, ids: Ids, now: datetime) -> tuple[Topology, Ids]:
    """The topology with each router's node id of algorithm 128. `Invalid` where a planned id is already another's."""
    nodes = dict(topology.nodes)
    planned = {router.node_id: router.name for router in topology.routers}
    for router in topology.routers:
        key = IdKey("locator", "", f"{router.name}/128")
        if key not in ids.assigned:
            ids = _free_of(planned, ids, now)
        ids = ids.assign(key, now)
        if ids[key] in planned:
            raise Invalid(f"{planned[ids[key]]}: node id {ids[key]:#06x} is {router.name}'s in algorithm 128")
        nodes[router.name] = replace(router, delay_node_id=ids[key])
    return replace(topology, nodes=MappingProxyType(nodes)), ids


def _free_of(planned: Mapping[int, str], ids: Ids, now: datetime) -> Ids:
    """With every planned id that the next assignment would meet marked as taken."""
    while (value := ids.lowest("locator", "", now)) in planned:
        ids = ids.bind(IdKey("locator", "", planned[value]), value)
    return ids


def sids_of(topology: Topology, ids: Ids) -> Sids:
    """What the routers of the domain answer to."""
    routers = topology.routers

    def adjacency(router: str, link: str) -> int | None:
        return ids.assigned.get(adjacency_ids(router, topology.links[link].slice_id)[1])

    return Sids(
        block=topology.srv6_block,
        locators={
            Objective.IGP: {router.name: router.node_id for router in routers},
            Objective.DELAY: {router.name: router.delay_node_id for router in routers},
        },
        adjacency=adjacency,
        max_carriers=lambda router: topology.nodes[router].capabilities.max_carriers,
    )


def routed(topology: Topology, packet: Graph) -> Graph:
    """The packet layer with those adjacencies open that carry routes: wired, and not known to be down.

    Whether a node answers its controller does not matter: its routes stay.
    """
    links = [topology.links[name] for name in packet.shape.links]
    return packet.opened({link.name: topology.wired(link) and link.status is not Status.DOWN for link in links})


def as_it_was(packet: Graph, links: Mapping[str, LinkMetrics]) -> Graph:
    """The packet layer with these adjacencies open, by the metrics that they had; what is gone since is left out."""
    known = {name: each for name, each in links.items() if name in packet.shape.link_index}
    graph = packet.opened({name: name in known for name in packet.shape.links})
    graph = graph.with_metrics(Objective.IGP, {name: each.igp_metric for name, each in known.items()})
    return graph.with_metrics(Objective.DELAY, {name: each.delay_us for name, each in known.items()})


def underlay_of(topology: Topology, packet: Graph) -> Underlay:
    """How the routers forward where routes follow the topology at once."""
    return Underlay.of(routed(topology, packet), ALGORITHMS)


def locator_routes(topology: Topology, ids: Ids, underlay: Underlay) -> Iterator[tuple[str, Entry]]:
    """(router, entry) pairs: of several equal ways the first, lists never depend on which."""
    shape = underlay.graph.shape
    for target in topology.routers:
        end = shape.node_index[target.name]
        for by, number in zip(ALGORITHMS, node_ids(target), strict=True):
            prefix = srv6.locator(topology.srv6_block, number)
            match: dict[str, MatchValue] = {"vrf": Exact(UNDERLAY_VRF), "dst": Lpm(*prefix)}
            for router in topology.routers:
                arcs = underlay.igps[by].next_arcs(shape.node_index[router.name], end)
                if len(arcs):
                    slice_id = topology.links[shape.links[shape.link[arcs[0]]]].slice_id
                    hop = ids[adjacency_ids(router.name, slice_id)[0]]
                    yield router.name, entry("route_v6", match, "set_next_hop", next_hop=hop)
