"""Probe lists: out along a path by the very segments of its list, back along the reverse list, home to the sender.

The far end needs to know nothing of probes: it forwards them. Where the list out ends with the function that
decapsulates, the probe has the far end's uA over the first link of the way back in its place; where the list back
ends, the sender's own address. So a probe keeps to its path exactly where both lists do, under whatever routes: what is
true of the lists (`encoding`, `standing`) needs no second proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address

from controller.core import srv6
from controller.core.ids import RANGES, Ids
from controller.core.model import SegmentList
from controller.core.records import adjacency_ids
from controller.core.topology import Topology
from controller.core.watched import WatchedPath

MAX_PROBE_CARRIERS = 3
"""Of the actions of `path_probe`."""
Segments = tuple[tuple[int, ...], ...]
"""The ids of each, as they stand in a carrier."""


def probe_carriers(topology: Topology, ids: Ids, path: WatchedPath) -> tuple[int, ...]:
    """The carriers of a probe around a path, as many as it takes; the last is the sender's own address."""
    sender, block = topology.nodes[path.router], topology.srv6_block
    *out, (far, _) = _segments(block, path.out[0])
    *back, (home, _) = _segments(block, path.back[0])
    turn = far, ids[adjacency_ids(path.far, _last_slice(topology, path))[1]]
    # The own address is routed to as algorithm 0 does; a list that came by another goes on by that.
    last = [(home,)] if home != sender.node_id else []
    packed = srv6.packed([*out, turn, *back, *last])
    return (*(srv6.carrier(block, each) for each in packed), srv6.node_address(block, sender.node_id))


def most_carriers(topology: Topology, router: str) -> int:
    """That a probe of this router may have."""
    return min(MAX_PROBE_CARRIERS, topology.nodes[router].capabilities.max_carriers)


def first_slice(topology: Topology, path: WatchedPath) -> int:
    """The slice or trail by which probes leave."""
    return path.slice_id or topology.links[path.links[0]].slice_id


def _last_slice(topology: Topology, path: WatchedPath) -> int:
    return path.slice_id or topology.links[path.links[-1]].slice_id


def _segments(block: str, segments: SegmentList) -> Iterator[tuple[int, ...]]:
    """What a list is made of: a function belongs to the node id before it."""
    for text in segments.carriers:
        left = srv6.ids_of(block, int(IPv6Address(text)))
        while left:
            count = 2 if len(left) > 1 and left[1] >= RANGES["function"].low else 1
            yield tuple(left[:count])
            left = left[count:]
