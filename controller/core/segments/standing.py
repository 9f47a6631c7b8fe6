"""The segment lists that stand, as encodings again: which of them would leave their path if routes changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.core.ids import Ids
from controller.core.model import SegmentList
from controller.core.paths import follow
from controller.core.records import Placement, Record, decapsulation_ids
from controller.core.segments.encoding import Encoding, leaving
from controller.core.segments.igp import Underlay
from controller.core.segments.locators import sids_of
from controller.core.segments.sids import Tail
from controller.core.topology import Topology

_Key = tuple[tuple[str, ...], str, tuple[str, ...]]
"""Links, headend, carriers."""


def leaving_corridors(
    topology: Topology, ids: Ids, records: Iterable[Record], present: Underlay, coming: Underlay
) -> frozenset[str]:
    """Corridors with a list that keeps its path in the present underlay, and would not in the coming one."""
    owners: dict[_Key, set[str]] = {}
    standing: dict[_Key, Encoding] = {}
    for record in records:
        for encoding in _encodings(topology, ids, record, present):
            key = encoding.path.links, encoding.path.nodes[0], encoding.segments.carriers
            standing[key] = encoding  # who shares a list shares its fate
            owners.setdefault(key, set()).add(record.name)
    sids = sids_of(topology, ids)
    would = leaving(standing, sids, coming)
    already = leaving({key: standing[key] for key in would}, sids, present)  # which no route that stays would save
    return frozenset(name for key in would.keys() - already.keys() for name in owners[key])


def _encodings(topology: Topology, ids: Ids, record: Record, underlay: Underlay) -> Iterator[Encoding]:
    """Of all that a soft corridor holds; a slice leads to its tail itself, whatever the routes.

    Lists of a backup are as good as the others; probes keep to their paths where both lists do (`loops`).
    """
    for placement in record.placements:
        if placement.slice is None:
            a, z = placement.a_end.node, placement.z_end.node
            paths = (placement.leg, placement.leg.backup) if placement.leg.backup else (placement.leg,)
            for each in paths:
                yield from _way(ids, placement, underlay, a, z, each.links, (each.forward, each.forward_ipv4))
                yield from _way(ids, placement, underlay, z, a, each.links[::-1], (each.reverse, each.reverse_ipv4))


def _way(
    ids: Ids,
    placement: Placement,
    underlay: Underlay,
    head: str,
    tail: str,
    links: tuple[str, ...],
    lists: tuple[SegmentList, SegmentList],
) -> Iterator[Encoding]:
    path = follow(underlay.graph, head, links)
    for segments, key in zip(lists, decapsulation_ids(tail, placement.vrf), strict=True):
        yield Encoding(path, Tail(tail, ids[key], ""), segments)
