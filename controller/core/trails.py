"""Trails: the long-lived OTN connections of the topology file, and the line slots that they and the servers take.

The layout follows from the file alone, so that a restart finds the same: servers first, then trails by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from controller.core.addresses import A_TO_Z, Z_TO_A
from controller.core.ids import IdKey, Ids
from controller.core.model import Link, LinkKind
from controller.core.otn import LINE, Claim, Ledger, Row, RowKey, bitmap_of, tributary_slots
from controller.core.otn.servers import slots_of_line, standing_slots
from controller.core.records import adjacency_ids
from controller.core.segments.locators import with_locators
from controller.core.topology import Topology


def trail_slots(topology: Topology, link: Link) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(fibre, tributary slots) of an adjacency's trail, A to Z."""
    for fibre in link.trail:
        yield fibre, _layout(topology, fibre)[link.name]


def _layout(topology: Topology, fibre: str) -> dict[str, tuple[int, ...]]:
    """Tributary slots of every server and trail on a fibre's line."""
    link = topology.links[fibre]
    layout = standing_slots(link)
    first = 1 + sum(map(len, layout.values()))
    for trail in sorted(topology.of_kind(LinkKind.ADJACENCY), key=lambda each: each.name):
        if fibre in trail.trail:
            size = tributary_slots(trail.container, link.line)
            layout[trail.name] = tuple(range(first, first + size))
            first += size
    return layout


def initial_ledger(topology: Topology) -> Ledger:
    """Every row of the domain, with what servers and trails take of the lines."""
    rows: dict[RowKey, Row] = {}
    claims: set[Claim] = set()
    for link in topology.links.values():
        for direction in (A_TO_Z, Z_TO_A):
            if link.kind is LinkKind.ADJACENCY:
                rows[RowKey(link.name, "", direction)] = Row(link.capacity_kbps)
            elif link.kind is LinkKind.FIBRE:
                rows[RowKey(link.name, LINE, direction)] = Row(slots_of_line(link))
                rows |= {RowKey(link.name, server.name, direction): Row(server.fgts) for server in link.servers}
                claims |= {
                    Claim(owner, RowKey(link.name, LINE, direction), bitmap_of(slots))
                    for owner, slots in _layout(topology, link.name).items()
                }
    return Ledger(rows).change(frozenset(), frozenset(claims))


def with_ids(topology: Topology, ids: Ids, now: datetime) -> tuple[Topology, Ids]:
    """The planned topology with what is assigned to it: slice ids of trails, node ids of further algorithms."""
    return with_locators(*with_trail_ids(topology, ids, now), now)


def with_trail_ids(topology: Topology, ids: Ids, now: datetime) -> tuple[Topology, Ids]:
    """The topology with each adjacency's slice id, and the ids of both its ends."""
    links = dict(topology.links)
    for link in sorted(topology.of_kind(LinkKind.ADJACENCY), key=lambda each: each.name):
        key = IdKey("slice", "", f"trail:{link.name}")
        ids = ids.assign(key, now)
        links[link.name] = replace(link, slice_id=ids[key])
        for router in (link.a_node, link.z_node):
            for each in adjacency_ids(router, ids[key]):
                ids = ids.assign(each, now)
    return replace(topology, links=MappingProxyType(links)), ids
