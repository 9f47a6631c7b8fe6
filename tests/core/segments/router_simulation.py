"""Routers that forward 128-bit destinations hop by hop: NEXT-C-SID as RFC 9800 4.1 writes it, routes from networkx.

It shares nothing with the code under test: routes come from every shortest path that networkx finds, and a packet that
meets equal-cost next hops takes them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from ipaddress import IPv6Address

import networkx as nx

from controller.core.model import Link

BLOCK = "fcbb:bb00::/32"
PREFIX = 0xFCBBBB00
TAIL, UNDERLAY, BINDING, ADJACENCY = 0xE0F0, 0xE0F6, 0xE0F8, 0xE000
HOP_LIMIT = 255
MOST_HOPS = 1000
"""Of all branches together; one that does not branch has fewer."""


class _Several(Exception):
    """The branches are too many to be followed."""


@dataclass(frozen=True)
class Header:
    """An outer IPv6 header with its SRH: `listed[i]` is Segment List[i], the last segment first (RFC 8754 2)."""

    destination: int
    listed: tuple[int, ...] = ()
    segments_left: int = 0


def encapsulated(carriers: tuple[str, ...]) -> Header:
    """H.Encaps.Red (RFC 8986 5.2): the first segment is in the destination only."""
    numbers = [int(IPv6Address(text)) for text in carriers]
    return Header(numbers[0], tuple(reversed(numbers[1:])), len(numbers) - 1)


@dataclass(frozen=True)
class Outcome:
    """The end of one branch: links crossed, where, and the function that delivered it (None: dropped)."""

    links: tuple[str, ...]
    node: str
    function: int | None


@dataclass
class Network:
    """Routers by name; the function of the uA over the i-th link that a router has is ADJACENCY + i."""

    nodes: tuple[str, ...]
    links: tuple[Link, ...]
    metrics: Mapping[str, Mapping[str, int]]
    """Per algorithm, the metric of each link."""
    node_ids: Mapping[str, Mapping[str, int]]
    """Per algorithm, the node id of each router."""
    down: frozenset[str] = frozenset()
    policies: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """Router with a binding SID to (link by which its packets leave, carriers)."""

    def __post_init__(self) -> None:
        self.routes = cache(self._routes)
        self.hops = 0

    def ports(self, node: str) -> list[Link]:
        return [link for link in self.links if node in (link.a_node, link.z_node)]

    def adjacency(self, node: str, name: str) -> int:
        return ADJACENCY + [link.name for link in self.ports(node)].index(name)

    def send(self, headend: str, link: str, carriers: tuple[str, ...]) -> set[Outcome]:
        """What becomes of a packet in every branch; nothing where they are too many to be followed."""
        self.hops = 0
        out = next(each for each in self.links if each.name == link)
        try:
            return self._cross(headend, out, (encapsulated(carriers),), (), HOP_LIMIT)
        except _Several:
            return set()

    def _cross(
        self, here: str, link: Link, packet: tuple[Header, ...], been: tuple[str, ...], hops: int
    ) -> set[Outcome]:
        self.hops += 1
        if self.hops > MOST_HOPS:
            raise _Several
        if link.name in self.down:
            return {Outcome(been, here, None)}
        there = link.z_node if here == link.a_node else link.a_node
        return self._receive(there, packet, (*been, link.name), hops - 1)

    def _receive(self, node: str, packet: tuple[Header, ...], been: tuple[str, ...], hops: int) -> set[Outcome]:
        dropped = {Outcome(been, node, None)}
        destination = packet[-1].destination
        if hops == 0 or destination >> 96 != PREFIX:
            return dropped
        node_id, function = destination >> 80 & 0xFFFF, destination >> 64 & 0xFFFF
        owner = next(
            ((a, n) for a, ids in self.node_ids.items() for n, number in ids.items() if number == node_id), None
        )
        if owner is None:
            return dropped
        algorithm, target = owner
        if target == node:
            return self._endpoint(node, function, packet, been, hops)
        branches = [self._cross(node, link, packet, been, hops) for link in self.routes(algorithm, node, target)]
        return set().union(*branches) or dropped

    def _endpoint(
        self, node: str, function: int, packet: tuple[Header, ...], been: tuple[str, ...], hops: int
    ) -> set[Outcome]:
        """The longest prefix wins: functions (/64) before the locator (/48)."""
        dropped = {Outcome(been, node, None)}
        outer, ports = packet[-1], self.ports(node)
        if function in (TAIL, UNDERLAY):
            if outer.segments_left or outer.destination & (1 << 64) - 1:
                return dropped  # routers may overlook ids behind the last function: no list may rest on that
            if len(packet) > 1:
                return self._receive(node, packet[:-1], been, hops) if function == UNDERLAY else dropped
            return {Outcome(been, node, function)}
        if ADJACENCY <= function < ADJACENCY + len(ports):
            left = advanced(outer, 64)
            return self._cross(node, ports[function - ADJACENCY], (*packet[:-1], left), been, hops) if left else dropped
        if function == BINDING and node in self.policies:
            link, carriers = self.policies[node]
            left, out = advanced(outer, 64), next(each for each in self.links if each.name == link)
            return self._cross(node, out, (*packet[:-1], left, encapsulated(carriers)), been, hops) if left else dropped
        left = advanced(outer, 48)
        return self._receive(node, (*packet[:-1], left), been, hops) if left else dropped

    def _routes(self, algorithm: str, node: str, target: str) -> tuple[Link, ...]:
        """Every link that begins a shortest path."""
        graph = self._graph(algorithm)
        try:
            paths = [*nx.all_shortest_paths(graph, node, target, "metric")]
        except nx.NetworkXNoPath:
            return ()
        metric, following = self.metrics[algorithm], {path[1] for path in paths}
        return tuple(
            link
            for link in self.ports(node)
            for v in following
            if {node, v} == {link.a_node, link.z_node}
            and link.name not in self.down
            and metric[link.name] == graph[node][v]["metric"]
        )

    def _graph(self, algorithm: str) -> nx.Graph:
        graph, metric = nx.Graph(), self.metrics[algorithm]
        graph.add_nodes_from(self.nodes)
        up = [link for link in self.links if link.name not in self.down]
        for link in sorted(up, key=lambda each: metric[each.name], reverse=True):
            graph.add_edge(link.a_node, link.z_node, metric=metric[link.name])
        return graph


def advanced(header: Header, consumed: int) -> Header | None:
    """Argument into the place of what was consumed (bits from the left: block 32); if it is zero, the next segment."""
    size = 128 - consumed
    argument = header.destination & (1 << size) - 1
    if argument:
        return replace(header, destination=PREFIX << 96 | argument << consumed - 32)
    if not header.segments_left:
        return None
    left = header.segments_left - 1
    return replace(header, segments_left=left, destination=header.listed[left])
