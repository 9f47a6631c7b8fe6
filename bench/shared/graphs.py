"""Layers that the path benchmarks run on: a country of any size, graphs of the Topology Zoo, CORONET.

A `Layer` holds our graph and, made from the same links but not by our code, the arcs that the peers' graphs are built
from: arc `i` and `i + links` are the two directions of link `i`.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import topohub
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.spatial import cKDTree

from controller.core.geography import EARTH_RADIUS_KM
from controller.core.graph import Graph, build
from controller.core.model import Link, LinkKind, Node, NodeKind

US_PER_KM = 4.9
CAPACITY_KBPS = 100_000_000
DEMAND_KBPS = 20_000_000
"""Residuals are uniform in 0..capacity, so that this prunes one arc in five."""
IGP_US = 50
SLOWNESS = (1, 2, 4)
"""The IGP metric is 10 and one more for each 50 µs, times 1, 2 or 4 by the speed of a link: not the delay."""
LINKS_PER_NODE = 4
NEIGHBOURS = 12

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Layer:
    """One graph, as each contender needs it."""

    name: str
    graph: Graph
    names: tuple[str, ...]
    tail: Integers
    head: Integers
    delay: Integers
    room: Integers
    xyz: NDArray[np.float64]
    """N x 3: places on the unit sphere."""
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    """Link `i` is arcs `i` and `i + L`."""

    def pruned(self, demand: int) -> Layer:
        """Only the links that have room both ways: pruned once and for all contenders, none of which prunes then."""
        keep = (self.room >= demand).reshape(2, -1).all(axis=0)
        links = tuple(link for link, kept in zip(self.links, keep.tolist(), strict=True) if kept)
        arcs = np.tile(keep, 2)
        left = {"tail": self.tail[arcs], "head": self.head[arcs], "delay": self.delay[arcs], "room": self.room[arcs]}
        return replace(self, graph=build(self.nodes, links), links=links, **left)

    def pairs(self, count: int, seed: int, demand: int = DEMAND_KBPS) -> list[tuple[int, int]]:
        """Ends drawn at random, of those that the demand can join."""
        chance, fits, found = np.random.default_rng(seed), self.room >= demand, []
        shape = (len(self.names), len(self.names))
        open_arcs = csr_matrix((np.ones(fits.sum(), np.int8), (self.tail[fits], self.head[fits])), shape=shape)
        while len(found) < count:
            a, z = chance.choice(len(self.names), 2, replace=False).tolist()
            if z in breadth_first_order(open_arcs, a, return_predecessors=False):
                found.append((a, z))
        return found


def country(nodes: int, seed: int) -> Layer:
    """A geometric random graph over the latitudes and longitudes of China: 4 links a node, connected.

    A minimum spanning tree, and then the shortest of the links to near neighbours; fibre is 1.2 to 1.6 times as long as
    the great circle.
    """
    chance = np.random.default_rng(seed)
    places = np.column_stack([chance.uniform(21, 45, nodes), chance.uniform(85, 124, nodes)])
    xyz = on_sphere(places)
    apart, near = cKDTree(xyz).query(xyz, k=min(NEIGHBOURS + 1, nodes))
    first, second = np.repeat(np.arange(nodes), near.shape[1]), near.ravel()
    ends, index = np.unique(np.sort(np.column_stack([first, second])), axis=0, return_index=True)
    chord = apart.ravel()[index]
    ends, chord = ends[chord > 0], chord[chord > 0]
    trunk = minimum_spanning_tree(coo_matrix((chord, (ends[:, 0], ends[:, 1])), shape=(nodes, nodes))).tocoo()
    if trunk.nnz != nodes - 1:
        raise ValueError(f"seed {seed} gives no connected country of {nodes} nodes")
    in_trunk = np.isin(ends @ [nodes, 1], trunk.row * nodes + trunk.col)
    chosen = np.lexsort((chord, ~in_trunk))[: LINKS_PER_NODE * nodes]
    km = 2 * EARTH_RADIUS_KM * np.arcsin(chord[chosen] / 2) * chance.uniform(1.2, 1.6, len(chosen))
    return layer(f"country of {nodes}", places, ends[chosen], km, chance)


def zoo(name: str, instances: Path | None, seed: int) -> Layer | None:
    """A graph of the Topology Zoo: from the `topohub` package, else from DIR/topozoo/NAME.gml or
    DIR/repetita/NAME.graph; None where none of them has it. Fibres are 1.4 times the great circle.

    Nodes without a place are put between their neighbours.
    """
    read = _topohub(name) or _gml(name, instances) or _repetita(name, instances)
    if read is None:
        return None
    places, ends = read
    xyz = on_sphere(places)
    chord = np.linalg.norm(xyz[ends[:, 0]] - xyz[ends[:, 1]], axis=1)
    km = 1.4 * 2 * EARTH_RADIUS_KM * np.arcsin(chord / 2)
    return layer(name.rpartition("/")[2], places, ends, km, np.random.default_rng(seed))


def layer(
    name: str, places: NDArray[np.float64], ends: Integers, km: NDArray[np.float64], chance: Any, empty_kbps: int = 0
) -> Layer:
    """A layer of these links, with residuals drawn per direction or, where it is given, `empty_kbps` everywhere."""
    delay = np.maximum(np.rint(km * US_PER_KM), 1).astype(np.int64)
    room = chance.integers(0, CAPACITY_KBPS + 1, 2 * len(ends))
    room = np.full_like(room, empty_kbps) if empty_kbps else room
    slowness = chance.choice(SLOWNESS, len(ends)).tolist()
    names = tuple(f"domains/cn/nodes/n{i}" for i in range(len(places)))
    nodes = [Node(n, NodeKind.ROUTER, latitude=lat, longitude=lon) for n, (lat, lon) in zip(names, places, strict=True)]
    links = [
        Link(
            *(f"domains/cn/links/l{i}", LinkKind.ADJACENCY, names[a], names[z]),
            delay_us=us,
            igp_metric=(10 + us // IGP_US) * slow,
            capacity_kbps=empty_kbps or CAPACITY_KBPS,
        )
        for i, ((a, z), us, slow) in enumerate(zip(ends.tolist(), delay.tolist(), slowness, strict=True))
    ]
    count = len(links)
    free = {(link.name, way): int(room[i + way * count]) for i, link in enumerate(links) for way in (0, 1)}
    graph = build(nodes, links).with_free(free)
    both = np.concatenate([ends, ends[:, ::-1]])
    arrays = both[:, 0], both[:, 1], np.tile(delay, 2), room, on_sphere(places)
    return Layer(name, graph, names, *arrays, tuple(nodes), tuple(links))


def on_sphere(places: NDArray[np.float64]) -> NDArray[np.float64]:
    lat, lon = np.radians(places.T)
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


Read = tuple[NDArray[np.float64], Integers]


def _topohub(name: str) -> Read | None:
    try:
        found = topohub.get(name if "/" in name else f"topozoo/{name}")
    except KeyError:
        return None
    index = {node["id"]: i for i, node in enumerate(found["nodes"])}
    places = [tuple(reversed(node["pos"])) for node in found["nodes"]]
    return np.array(places), np.array([(index[edge["source"]], index[edge["target"]]) for edge in found["edges"]])


def _gml(name: str, instances: Path | None) -> Read | None:
    file = instances and instances / "topozoo" / f"{name}.gml"
    if not file or not file.exists():
        return None
    unsaid = "graph [\n multigraph 1"  # there are parallel links, of which one is kept
    graph = nx.Graph(nx.parse_gml(file.read_text().replace("graph [", unsaid, 1), label="id"))
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    graph = graph.subgraph(max(nx.connected_components(graph), key=len))
    order = {node: i for i, node in enumerate(graph)}
    places = {n: (d["Latitude"], d["Longitude"]) for n, d in graph.nodes(data=True) if "Latitude" in d}
    while len(places) < len(order):
        for node in [n for n in order if n not in places]:
            near = [places[n] for n in graph[node] if n in places]
            if near:
                places[node] = tuple(np.mean(near, axis=0))
    return np.array([places[n] for n in order]), np.array([(order[a], order[z]) for a, z in graph.edges])


def _repetita(name: str, instances: Path | None) -> Read | None:
    """Its delays are not physical, so that only the places are taken."""
    file = instances and instances / "repetita" / f"{name}.graph"
    if not file or not file.exists():
        return None
    rows = list(csv.reader(file.read_text().splitlines(), delimiter=" "))
    count = int(rows[0][1])
    places = np.array([(float(row[2]), float(row[1])) for row in rows[2 : 2 + count]])
    ends = {tuple(sorted((int(row[1]), int(row[2])))) for row in rows if row and row[0].startswith("edge_")}
    return places, np.array(sorted(ends))


def coronet(instances: Path | None, seed: int, empty_kbps: int) -> Layer | None:
    """CORONET CONUS with its fibre lengths, from DIR/coronet; None where it is not there."""
    file = instances and instances / "coronet" / "CORONET_CONUS_Topology.json"
    if not file or not file.exists():
        return None
    read = json.loads(file.read_text())
    sites = {e["uid"][4:]: e["metadata"]["location"] for e in read["elements"] if e["type"] == "Transceiver"}
    index = {site: i for i, site in enumerate(sites)}
    km: dict[tuple[int, int], float] = {}
    for fibre in (e for e in read["elements"] if e["type"] == "Fiber"):
        a, z = fibre["uid"].removeprefix("fiber (").rpartition(")")[0].split(" → ")
        km[min(index[a], index[z]), max(index[a], index[z])] = fibre["params"]["length"]
    places = np.array([(site["latitude"], site["longitude"]) for site in sites.values()])
    chance, lengths = np.random.default_rng(seed), np.array(list(km.values()))
    return layer("CORONET CONUS", places, np.array(list(km)), lengths, chance, empty_kbps)
