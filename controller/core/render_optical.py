"""Render slices into what OTN nodes hold: cross-connects, meters and slots, in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controller.core.addresses import A_TO_Z, Z_TO_A, channel_address, router_mac
from controller.core.entries import CrossConnect, Entry, SliceMeter, SlotAssignment
from controller.core.topology import Topology, other_end, port_at

SOURCE_BURST_S = 0.25
"""A policer has no queue: TCP needs about a quarter of a second of burst behind it."""
TRANSIT_BURST_FACTOR = 2
"""What the source's meter let in, a transit meter never drops: same rate, twice the burst."""


@dataclass(frozen=True, slots=True)
class SlotsAt:
    """The slots of a slice on one fibre."""

    link: str
    server: str
    slots: tuple[int, ...]
    active: int


@dataclass(frozen=True, slots=True)
class Connection:
    """A slice or trail between two routers, over fibres listed A to Z."""

    slice_id: int
    a_router: str
    z_router: str
    hops: tuple[SlotsAt, ...]
    rate_kbps: int
    """Frame bits per second / 1000 that its meters let through."""


def connection_entries(topology: Topology, connection: Connection) -> Iterator[tuple[str, Entry]]:
    """(OTN node, entry) pairs of a connection, both directions."""
    ways = (
        (A_TO_Z, connection.a_router, connection.z_router, connection.hops),
        (Z_TO_A, connection.z_router, connection.a_router, connection.hops[::-1]),
    )
    for direction, source, sink, hops in ways:
        yield from _direction(topology, connection, direction, source, sink, tuple(hop.link for hop in hops))
    for hop in connection.hops:
        link = topology.links[hop.link]
        for node in (link.a_node, link.z_node):
            yield node, SlotAssignment(connection.slice_id, port_at(link, node), hop.server, hop.slots, hop.active)


def _direction(
    topology: Topology, connection: Connection, direction: int, source: str, sink: str, links: tuple[str, ...]
) -> Iterator[tuple[str, Entry]]:
    node, in_port = topology.otn_of(source), port_at(topology.client_links[source], topology.otn_of(source))
    channel = channel_address(connection.slice_id, direction)
    for name in links:
        link = topology.links[name]
        yield node, _meter(connection, direction, first=name == links[0])
        yield node, CrossConnect(connection.slice_id, direction, in_port, channel, port_at(link, node))
        node = other_end(link, node)
        in_port = port_at(link, node)
    client = topology.client_links[sink]
    mac = router_mac(topology.nodes[sink].node_id, port_at(client, sink))
    yield node, _meter(connection, direction, first=not links)
    yield node, CrossConnect(connection.slice_id, direction, in_port, channel, port_at(client, node), mac)


def _meter(connection: Connection, direction: int, *, first: bool) -> SliceMeter:
    burst = int(connection.rate_kbps * SOURCE_BURST_S)
    return SliceMeter(
        connection.slice_id, direction, connection.rate_kbps, burst if first else TRANSIT_BURST_FACTOR * burst
    )
