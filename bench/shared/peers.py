"""The libraries, each on a graph of its own that was built before, by every call of theirs that returns a path."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from math import dist
from typing import Any

import igraph
import networkx as nx
import numpy as np
import rustworkx as rx
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from shared.graphs import US_PER_KM, Layer
from shared.rows import Contender

from controller.core.geography import EARTH_RADIUS_KM
from controller.core.paths import Constraints, Route, find

LEAST_US_PER_KM = 0.999 * US_PER_KM
"""A straight line is no longer than the great circle, and no fibre is shorter than that."""


def ours(layer: Layer, demand: int) -> Contender:
    """`find` on the whole graph: it prunes while it searches."""
    graph, names, constraints = layer.graph, layer.names, Constraints(demand=demand)

    def call(source: int, target: int) -> Route | None:
        return find(graph, names[source], names[target], constraints)

    return Contender("ours", call, lambda route, *_: route and route.path.delay_us)


class Pruned:
    """Graphs of the peers with the arcs that lack room deleted: what pruning costs them is not counted."""

    def __init__(self, layer: Layer, demand: int) -> None:
        fits = layer.room >= demand
        self.nodes = len(layer.names)
        self.arcs = list(zip(layer.tail[fits].tolist(), layer.head[fits].tolist(), strict=True))
        self.delay = layer.delay[fits].astype(float).tolist()
        self.places = [tuple(place) for place in (layer.xyz * EARTH_RADIUS_KM * LEAST_US_PER_KM).tolist()]

    def apart(self, a: int, z: int) -> float:
        """µs that no path from a to z can beat."""
        return dist(self.places[a], self.places[z])

    @cached_property
    def weights(self) -> dict[tuple[int, int], float]:
        return dict(zip(self.arcs, self.delay, strict=True))

    def length(self, nodes: Any) -> float:
        """Delay along nodes; the graphs have no parallel links."""
        return sum(self.weights[arc] for arc in pairwise(nodes))

    @cached_property
    def networkx(self) -> list[Contender]:
        graph = nx.DiGraph()
        graph.add_nodes_from(range(self.nodes))
        graph.add_weighted_edges_from((*arc, delay) for arc, delay in zip(self.arcs, self.delay, strict=True))
        by_nodes = lambda nodes, *_: self.length(nodes)  # noqa: E731
        return [
            Contender(
                "networkx bidirectional_dijkstra",
                lambda a, z: nx.bidirectional_dijkstra(graph, a, z),
                lambda answer, *_: answer[0],
            ),
            Contender("networkx astar_path", lambda a, z: nx.astar_path(graph, a, z, self.apart), by_nodes),
        ]

    @cached_property
    def rustworkx(self) -> list[Contender]:
        graph = rx.PyDiGraph(multigraph=False)
        graph.add_nodes_from(range(self.nodes))
        graph.add_edges_from([(*arc, delay) for arc, delay in zip(self.arcs, self.delay, strict=True)])
        by_nodes = lambda nodes, *_: self.length(nodes)  # noqa: E731
        in_dict = lambda paths, _, z: self.length(paths[z])  # noqa: E731
        return [
            Contender(
                "rustworkx digraph_dijkstra_shortest_paths",
                lambda a, z: rx.digraph_dijkstra_shortest_paths(graph, a, target=z, weight_fn=float),
                in_dict,
            ),
            Contender(
                "rustworkx digraph_astar_shortest_path",
                lambda a, z: rx.digraph_astar_shortest_path(
                    graph, a, lambda node: node == z, float, lambda node: self.apart(node, z)
                ),
                by_nodes,
            ),
        ]

    @cached_property
    def rustworkx_length(self) -> Contender:
        """Its fastest call of all, which says how far, not which way."""
        graph = rx.PyDiGraph(multigraph=False)
        graph.add_nodes_from(range(self.nodes))
        graph.add_edges_from([(*arc, delay) for arc, delay in zip(self.arcs, self.delay, strict=True)])
        return Contender(
            "rustworkx digraph_dijkstra_shortest_path_lengths",
            lambda a, z: rx.digraph_dijkstra_shortest_path_lengths(graph, a, float, goal=z),
            lambda lengths, _, z: lengths[z],
        )

    @cached_property
    def graph_of_igraph(self) -> Any:
        graph = igraph.Graph(self.nodes, self.arcs, directed=True)
        graph.es["delay"] = self.delay
        return graph

    @cached_property
    def igraph(self) -> list[Contender]:
        graph = self.graph_of_igraph
        by_nodes = lambda nodes, *_: self.length(nodes)  # noqa: E731
        return [
            Contender(
                "igraph get_shortest_path, list",
                lambda a, z: graph.get_shortest_path(a, z, weights=self.delay),
                by_nodes,
            ),
            Contender(
                "igraph get_shortest_path, attribute",
                lambda a, z: graph.get_shortest_path(a, z, weights="delay"),
                by_nodes,
            ),
            Contender(
                "igraph get_shortest_path_astar",
                lambda a, z: graph.get_shortest_path_astar(
                    a, z, lambda _, node, end: self.apart(node, end), weights="delay"
                ),
                by_nodes,
            ),
        ]

    @cached_property
    def scipy(self) -> list[Contender]:
        rows, columns = zip(*self.arcs, strict=True)
        matrix = csr_matrix((self.delay, (rows, columns)), shape=(self.nodes, self.nodes))
        return [
            Contender(
                "scipy dijkstra, predecessors",
                lambda a, z: dijkstra(matrix, indices=a, return_predecessors=True),
                lambda answer, _, z: answer[0][z],
            )
        ]


def pruning(layer: Layer, demand: int) -> dict[str, Callable[[], Contender]]:
    """The same libraries where each request brings its own demand: pruning is part of what is timed."""
    nodes, delay, room = len(layer.names), layer.delay.astype(float), layer.room
    arcs = np.column_stack([layer.tail, layer.head]).tolist()
    length = Pruned(layer, demand).length
    far = float("inf")

    def scipy() -> Contender:
        matrix = csr_matrix((np.arange(len(arcs)) + 1.0, (layer.tail, layer.head)), shape=(nodes, nodes))
        order = matrix.data.astype(int) - 1
        delays, rooms, indices, indptr = delay[order], room[order], matrix.indices, matrix.indptr

        def call(a: int, z: int) -> Any:
            weights = np.where(rooms >= demand, delays, far)
            weighted = csr_matrix((weights, indices, indptr), shape=(nodes, nodes))
            return dijkstra(weighted, indices=a, return_predecessors=True)

        return Contender("scipy dijkstra, pruning", call, lambda answer, _, z: answer[0][z])

    def rustworkx() -> Contender:
        graph = rx.PyDiGraph(multigraph=False)
        graph.add_nodes_from(range(nodes))
        payloads = zip(delay.tolist(), room.tolist(), strict=True)
        graph.add_edges_from([(*arc, payload) for arc, payload in zip(arcs, payloads, strict=True)])

        def call(a: int, z: int) -> Any:
            def weight(edge: tuple[float, int]) -> float:
                return edge[0] if edge[1] >= demand else far

            return rx.digraph_dijkstra_shortest_paths(graph, a, target=z, weight_fn=weight)

        return Contender("rustworkx dijkstra, pruning", call, lambda paths, _, z: length(paths[z]))

    def igraph_() -> Contender:
        graph = igraph.Graph(nodes, arcs, directed=True)

        def call(a: int, z: int) -> Any:
            return graph.get_shortest_path(a, z, weights=np.where(room >= demand, delay, far).tolist())

        return Contender("igraph get_shortest_path, pruning", call, lambda answer, *_: length(answer))

    return {"scipy": scipy, "rustworkx": rustworkx, "igraph": igraph_}
