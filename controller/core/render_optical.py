"""Render slices into what OTN nodes hold: cross-connects, meters, slots and protection groups, in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.core.addresses import A_TO_Z, Z_TO_A, channel_address, router_mac
from controller.core.entries import SELECTOR, CrossConnect, Entry, ProtectionGroup, SliceMeter, SlotAssignment
from controller.core.model import Link, Slice, SliceRole
from controller.core.otn import FGTS_ETHERNET_BPS, LINE, narrowest, parse_slots, slot_bps
from controller.core.otn.metering import limit, limit_of_rate
from controller.core.records import Placement
from controller.core.topology import Topology, other_end, port_at
from controller.core.trails import trail_slots


@dataclass(frozen=True, slots=True)
class SlotsAt:
    """The slots of a connection on one fibre."""

    link: str
    server: str
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Connection:
    """A slice or trail between two routers, over fibres listed A to Z."""

    slice_id: int
    a_router: str
    z_router: str
    hops: tuple[SlotsAt, ...]
    active: int = 0
    """Slots that carry it when a node first hears of it; line cards resize it from then on."""
    slot_bps: int = FGTS_ETHERNET_BPS
    """Frame bits per second of each slot; of no account where the rate is fixed."""
    fixed_kbps: int = 0
    """Rate of a connection that uses all of its slots and is never resized; 0: its meters follow its slots."""
    role: SliceRole = SliceRole.WORKING
    protected: bool = False
    """Working: a line card decides at either end which of two slices its frames take."""

    def meter(self, direction: int, *, transit: bool) -> SliceMeter:
        if self.fixed_kbps:
            return SliceMeter(self.slice_id, direction, *limit_of_rate(self.fixed_kbps, transit), transit=transit)
        return SliceMeter(self.slice_id, direction, *limit(self.active, self.slot_bps, transit), True, transit)


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction of a connection."""

    connection: Connection
    direction: int
    source: str
    sink: str
    links: tuple[str, ...]


def placement_entries(
    topology: Topology, placement: Placement, counts: Mapping[int, int]
) -> Iterator[tuple[str, Entry]]:
    """(OTN node, entry) pairs of all slices of a placement; `counts`: slots that carry each."""
    parts = placement.leg.slices
    protected = any(part.role is SliceRole.PROTECTION for part in parts)
    for part in parts:
        yield from connection_entries(topology, _slice_connection(topology, placement, part, counts, protected))
    yield from _protection_groups(topology, placement)


def connection_entries(topology: Topology, connection: Connection) -> Iterator[tuple[str, Entry]]:
    """(OTN node, entry) pairs of a connection, both directions."""
    links = tuple(hop.link for hop in connection.hops)
    ends = connection.a_router, connection.z_router
    yield from _direction(topology, _Way(connection, A_TO_Z, *ends, links))
    yield from _direction(topology, _Way(connection, Z_TO_A, *ends[::-1], links[::-1]))
    for hop in connection.hops:
        link = topology.links[hop.link]
        for node in (link.a_node, link.z_node):
            held = connection.slice_id, port_at(link, node), hop.server, hop.slots
            active = len(hop.slots) if connection.fixed_kbps else connection.active
            yield node, SlotAssignment(*held, active, 0 if connection.fixed_kbps else connection.slot_bps)


def trail_connection(topology: Topology, link: Link) -> Connection:
    """The long-lived OTN connection under an IP adjacency: whole tributary slots of lines, never resized."""
    hops = tuple(SlotsAt(fibre, LINE, slots) for fibre, slots in trail_slots(topology, link))
    return Connection(link.slice_id, link.a_node, link.z_node, hops, fixed_kbps=link.capacity_kbps)


def _slice_connection(
    topology: Topology, placement: Placement, part: Slice, counts: Mapping[int, int], protected: bool
) -> Connection:
    hops = tuple(SlotsAt(hop.link, hop.server, parse_slots(hop.slots)) for hop in part.hops)
    ends = placement.a_end.node, placement.z_end.node
    each = _slot_bps(topology, part)
    return Connection(part.id, *ends, hops, counts[part.id], each, role=part.role, protected=protected)


def _slot_bps(topology: Topology, part: Slice) -> int:
    """An ODUflex has the slots of the smallest line that it runs on."""
    return slot_bps(part.container, narrowest(topology.links[hop.link].line for hop in part.hops))


def _direction(topology: Topology, way: _Way) -> Iterator[tuple[str, Entry]]:
    connection, direction = way.connection, way.direction
    node = topology.otn_of(way.source)
    in_port = port_at(topology.client_links[way.source], node)
    channel = channel_address(connection.slice_id, direction)
    for index, name in enumerate(way.links):
        link = topology.links[name]
        out_port = _first_out_port(connection, port_at(link, node)) if index == 0 else port_at(link, node)
        if out_port is not None:
            yield node, connection.meter(direction, transit=index > 0)
            yield node, CrossConnect(connection.slice_id, direction, in_port, channel, out_port)
        node = other_end(link, node)
        in_port = port_at(link, node)
    client = topology.client_links[way.sink]
    mac = router_mac(topology.nodes[way.sink].node_id, port_at(client, way.sink))
    yield node, connection.meter(direction, transit=bool(way.links))
    yield node, CrossConnect(connection.slice_id, direction, in_port, channel, port_at(client, node), mac)


def _first_out_port(connection: Connection, line_port: int) -> int | None:
    """Routers only know the working slice; what protects it is entered through the selector."""
    if connection.role is SliceRole.PROTECTION:
        return None
    return SELECTOR if connection.protected else line_port


def _protection_groups(topology: Topology, placement: Placement) -> Iterator[tuple[str, Entry]]:
    by_role = {part.role: part for part in placement.leg.slices}
    working, protection = by_role.get(SliceRole.WORKING), by_role.get(SliceRole.PROTECTION)
    if working is None or protection is None:
        return
    for direction, router, end in ((A_TO_Z, placement.a_end.node, 0), (Z_TO_A, placement.z_end.node, -1)):
        node = topology.otn_of(router)
        ports = _ports_at(topology, node, (working, protection), end)
        yield node, ProtectionGroup(working.id, protection.id, direction, *ports)


def _ports_at(topology: Topology, node: str, parts: Sequence[Slice], end: int) -> tuple[int, ...]:
    return tuple(port_at(topology.links[part.hops[end].link], node) for part in parts)
