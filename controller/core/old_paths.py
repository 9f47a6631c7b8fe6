"""Paths under bandwidth, delay and usability limits, and why there is none.

Part 1 searches by delay with networkx; part 2 replaces the search, not the shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import networkx as nx

from controller.core.errors import Infeasible
from controller.core.model import Link
from controller.core.paths import Path
from controller.core.topology import Topology, other_end

Fits = Callable[[Link, int], bool]
"""True where a link may be used in a direction (0: A to Z)."""


def shortest_path(topology: Topology, source: str, target: str, fits: Fits) -> Path | None:
    """The least-delay simple path over the links that fit; ties go to the lower link name. None where there is none."""
    cost = _delay_cost(topology, fits)
    try:
        _, nodes = nx.single_source_dijkstra(topology.graph, source, target, weight=cost)
    except nx.NetworkXNoPath:
        return None
    links = tuple(_best(topology, u, v, fits) for u, v in pairwise(nodes))
    return walk(topology, tuple(nodes), links)


def walk(topology: Topology, nodes: tuple[str, ...], links: tuple[str, ...]) -> Path:
    """A path with its delay: links, and the processing of the nodes in between."""
    delay = sum(topology.links[name].delay_us for name in links)
    delay += sum(topology.nodes[name].processing_us for name in nodes[1:-1])
    ways = tuple(0 if topology.links[k].a_node == node else 1 for node, k in zip(nodes, links, strict=False))
    return Path(nodes, links, ways, delay)


def chain(topology: Topology, start: str, links: tuple[str, ...]) -> Path:
    """The path that follows `links` from `start`."""
    nodes = [start]
    for name in links:
        nodes.append(other_end(topology.links[name], nodes[-1]))
    return walk(topology, tuple(nodes), links)


def _delay_cost(topology: Topology, fits: Fits) -> Callable[[str, str, Mapping[str, Any]], float | None]:
    def cost(_u: str, v: str, edges: Mapping[str, Any]) -> float | None:
        delays = [d["link"].delay_us for d in edges.values() if fits(d["link"], d["direction"])]
        if not delays:
            return None
        return float(min(delays) + topology.nodes[v].processing_us) + 1e-6  # a hop is never free: ties go to fewer hops

    return cost


def _best(topology: Topology, u: str, v: str, fits: Fits) -> str:
    edges = topology.graph[u][v]
    usable: list[Link] = [d["link"] for d in edges.values() if fits(d["link"], d["direction"])]
    return min(usable, key=lambda link: (link.delay_us, link.name)).name


def require_path(topology: Topology, source: str, target: str, usable: Fits, fits: Fits, what: str) -> Path:
    """The least-delay path that fits, or `Infeasible` saying whether reachability or `what` is missing."""
    path = shortest_path(topology, source, target, fits)
    if path is not None:
        return path
    bare = shortest_path(topology, source, target, usable)
    if bare is None:
        raise Infeasible(
            f"no usable path from {source} to {target}",
            reason="NO_PATH",
            metadata={"source": source, "target": target},
        )
    blocking = [
        name for name, way in zip(bare.links, bare.directions, strict=True) if not fits(topology.links[name], way)
    ]
    raise Infeasible(
        f"no path from {source} to {target} with {what}; on the shortest one {', '.join(blocking)} cannot hold it",
        reason="NO_CAPACITY",
        metadata={"links": ",".join(blocking), "asked": what},
    )
