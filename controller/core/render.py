"""Render: from records, topology and ids to the entries that each device shall hold. Pure, and the whole of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from ipaddress import IPv6Network
from typing import TypeAlias

from controller.core.addresses import A_TO_Z, Z_TO_A
from controller.core.admission import INFRASTRUCTURE
from controller.core.entries import Entry, SlotAssignment
from controller.core.ids import Ids
from controller.core.model import LinkKind, Stage
from controller.core.records import Placement, Record
from controller.core.render_optical import connection_entries, placement_entries, trail_connection
from controller.core.render_packet import (
    adjacency_entries,
    customer_entries,
    headend_entries,
    node_entries,
)
from controller.core.render_watch import switch_entries, watch_entries
from controller.core.segments.igp import Underlay
from controller.core.segments.locators import locator_routes
from controller.core.slice_sizes import sizes
from controller.core.topology import Topology

Desired: TypeAlias = dict[str, dict[Hashable, Entry]]
"""Per device, its entries by key."""


def render_record(topology: Topology, ids: Ids, record: Record) -> Desired:
    """What one corridor asks of the devices in its present stage (lifecycle.NEXT_STAGE says what each is for)."""
    head, other = record.target, record.current if record.stage is Stage.STEER else None
    if record.stage is Stage.BUILD:
        head, other = record.current, record.target
    desired: Desired = {}
    counts = sizes(record)
    # Where both say something of one thing, such as the port behind which a prefix is, or the way of a slice that
    # branches off, the one that carries wins.
    for placement in (other, head):
        if placement is not None:
            _add(desired, _body(topology, ids, placement))
            _add(desired, placement_entries(topology, placement, counts))
            _add(desired, watch_entries(topology, ids, record.name, placement))
    if head is not None:
        _add(desired, headend_entries(topology, ids, record.name, head))
        _add(desired, switch_entries(topology, ids, record.name, head))
    return desired


def render_infrastructure(topology: Topology, ids: Ids, underlay: Underlay) -> Desired:
    """What stands whether or not there is a corridor: locators, trails as IP adjacencies, routes of the underlay."""
    desired: Desired = {}
    block = IPv6Network(topology.srv6_block)
    filtered = [(int(net.network_address), net.prefixlen) for net in (block, INFRASTRUCTURE)]
    wired = [link for link in topology.of_kind(LinkKind.ADJACENCY) if topology.wired(link)]
    for router in topology.routers:
        _add(desired, ((router.name, e) for e in node_entries(topology, router.name, filtered)))
    for link in wired:
        _add(desired, connection_entries(topology, trail_connection(topology, link)))
        _add(desired, _adjacency(topology, ids, link.a_node, link.z_node, link.slice_id))
    _add(desired, locator_routes(topology, ids, underlay))
    return desired


def merged(parts: Iterable[Mapping[Hashable, Entry]]) -> dict[Hashable, Entry]:
    """One device's entries out of several parts."""
    whole: dict[Hashable, Entry] = {}
    for part in parts:
        for key, value in part.items():
            whole[key] = _larger(whole[key], value) if key in whole else value
    return whole


def _body(topology: Topology, ids: Ids, placement: Placement) -> Iterator[tuple[str, Entry]]:
    """All that routers hold of a placement but what steers traffic into it."""
    for end in (placement.a_end, placement.z_end):
        yield from ((end.node, e) for e in customer_entries(topology, ids, end, placement.vrf))
    if placement.slice is not None:
        yield from _adjacency(topology, ids, placement.a_end.node, placement.z_end.node, placement.slice.id)


def _adjacency(topology: Topology, ids: Ids, a: str, z: str, slice_id: int) -> Iterator[tuple[str, Entry]]:
    """Both ends of the adjacency that rides a slice or trail."""
    for router, direction in ((a, A_TO_Z), (z, Z_TO_A)):
        yield from ((router, e) for e in adjacency_entries(topology, ids, router, slice_id, direction))


def _add(desired: Desired, pairs: Iterable[tuple[str, Entry]]) -> None:
    for device, value in pairs:
        entries = desired.setdefault(device, {})
        entries[value.key] = _larger(entries[value.key], value) if value.key in entries else value


def _larger(old: Entry, new: Entry) -> Entry:
    """Old and new slots of one slice side by side: one list begins like the other, and the longer one is held."""
    if isinstance(old, SlotAssignment) and isinstance(new, SlotAssignment):
        return max(new, old, key=lambda held: len(held.slots))
    return new
