"""The segment lists that stand, as encodings again: which of them would leave their path if routes changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from controller.core.ids import Ids
from controller.core.model import BackupPath, Leg, SegmentList
from controller.core.paths import follow
from controller.core.records import Record, decapsulation_ids
from controller.core.segments.encoding import Encoding, leaving
from controller.core.segments.igp import Underlay
from controller.core.segments.locators import sids_of
from controller.core.segments.sids import Tail
from controller.core.topology import Topology


class StandingList(NamedTuple):
    """A list that a headend imposes: who shares one shares its fate."""

    headend: str
    links: tuple[str, ...]
    carriers: tuple[str, ...]
    tail: str
    function: int


class Departures:
    """Which lists keep their path in the present underlay and would not in the coming one; each is walked once.

    Of no other underlays: it remembers what it found.
    """

    def __init__(self, present: Underlay, coming: Underlay) -> None:
        self.present, self.coming = present, coming
        self._leaves: dict[StandingList, bool] = {}

    def corridors(self, topology: Topology, ids: Ids, records: Iterable[Record]) -> frozenset[str]:
        """Those of these that hold such a list."""
        return frozenset(
            record.name
            for record in records
            if any(self._leaving(topology, ids, each) for each in lists_of(ids, record))
        )

    def _leaving(self, topology: Topology, ids: Ids, standing: StandingList) -> bool:
        known = self._leaves.get(standing)
        if known is None:
            strays = not _keeps(topology, ids, standing, self.coming)
            # One that strays already is saved by no route that stays.
            known = self._leaves[standing] = strays and _keeps(topology, ids, standing, self.present)
        return known


def lists_of(ids: Ids, record: Record) -> Iterator[StandingList]:
    """Of all that a soft corridor holds; a slice leads to its tail itself, whatever the routes.

    Lists of a backup are as good as the others; probes keep to their paths where both lists do (`loops`).
    """
    for placement in record.placements:
        if placement.slice is None:
            a, z = placement.a_end.node, placement.z_end.node
            tails = [[ids[key] for key in decapsulation_ids(end, placement.vrf)] for end in (a, z)]
            paths = (placement.leg, placement.leg.backup) if placement.leg.backup else (placement.leg,)
            for each in paths:
                yield from _both_ways(each, (a, z), (tails[0], tails[1]))


def _both_ways(
    path: Leg | BackupPath, ends: tuple[str, str], tails: tuple[list[int], list[int]]
) -> Iterator[StandingList]:
    there, back = (path.forward, path.forward_ipv4), (path.reverse, path.reverse_ipv4)
    for segments, function in zip(there, tails[1], strict=True):
        yield StandingList(ends[0], path.links, segments.carriers, ends[1], function)
    for segments, function in zip(back, tails[0], strict=True):
        yield StandingList(ends[1], path.links[::-1], segments.carriers, ends[0], function)


def _keeps(topology: Topology, ids: Ids, standing: StandingList, underlay: Underlay) -> bool:
    path = follow(underlay.graph, standing.headend, standing.links)
    encoding = Encoding(path, Tail(standing.tail, standing.function, ""), SegmentList(standing.carriers))
    return not leaving({standing: encoding}, sids_of(topology, ids), underlay)
