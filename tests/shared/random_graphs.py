"""Random layers for property tests, as networkx sees them too: parallel links, risk groups, colours."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
from hypothesis import strategies as st

from controller.core.graph import Graph, build
from controller.core.model import Link, LinkKind, Node, NodeKind

COLOURS = ("gold", "leased", "submarine")


@dataclass(frozen=True)
class Layer:
    """A layer and what is left of (link, direction); links in `closed` may not be used."""

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    free: dict[tuple[str, int], int]
    closed: frozenset[str] = frozenset()

    def graph(self) -> Graph:
        graph = build(self.nodes, self.links).with_free(self.free)
        return graph.opened(dict.fromkeys(self.closed, False))

    def networkx(self, demand: int = 0, reverse_demand: int = 0) -> nx.MultiDiGraph:
        """Arcs with room only; edge key: link name; `link`, `direction`, and `delay` with the node at its head."""
        graph = nx.MultiDiGraph()
        processing = {node.name: node.processing_us for node in self.nodes}
        graph.add_nodes_from(processing)
        for link in self.links:
            ends = ((link.a_node, link.z_node), (link.z_node, link.a_node))
            for way, (u, v) in enumerate(ends):
                fits = self.free[link.name, way] >= demand and self.free[link.name, 1 - way] >= reverse_demand
                if fits and link.name not in self.closed:
                    delay = link.delay_us + processing[v]
                    graph.add_edge(u, v, key=link.name, link=link, direction=way, delay=delay)
        return graph


@st.composite
def layers(draw: st.DrawFn, min_nodes: int = 1, max_nodes: int = 8, max_links: int = 16) -> Layer:
    """Small multigraphs: few enough paths for brute force, metrics small enough for ties."""
    count = draw(st.integers(min_nodes, max_nodes))
    nodes = tuple(
        Node(f"n{i}", NodeKind.ROUTER, latitude=draw(_degrees), longitude=draw(_degrees), processing_us=draw(_small))
        for i in range(count)
    )
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda ends: ends[0] != ends[1])
    ends = draw(st.lists(pairs, max_size=max_links)) if count > 1 else []
    links = tuple(draw(_link(f"l{i}", f"n{a}", f"n{z}")) for i, (a, z) in enumerate(ends))
    free = {(link.name, way): draw(st.integers(0, link.capacity_kbps)) for link in links for way in (0, 1)}
    closed = frozenset(link.name for link in links if draw(st.integers(0, 9)) == 0)
    return Layer(nodes, links, free, closed)


_degrees = st.floats(-60, 60)
_small = st.integers(0, 9)


@st.composite
def _link(draw: st.DrawFn, name: str, a: str, z: str) -> Link:
    return Link(
        name,
        LinkKind.ADJACENCY,
        a,
        z,
        delay_us=draw(_small),
        capacity_kbps=draw(st.integers(0, 10)),
        igp_metric=draw(st.integers(1, 4)),
        te_metric=draw(_small),
        jitter_us=draw(_small),
        affinities=tuple(draw(st.sets(st.sampled_from(COLOURS)))),
        mtu_bytes=draw(st.sampled_from((1500, 9000))),
        srlgs=tuple(draw(st.sets(st.integers(1, 4), max_size=2))),
    )
