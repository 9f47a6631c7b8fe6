"""Brute force over all pairs of simple paths, on the networkx view of a layer: what `disjoint_pair` must answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import networkx as nx
from hypothesis import strategies as st
from random_graphs import Layer

from controller.core.graph import Objective
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.core.paths import Constraints, Diversity, Pair, disjoint_pair

Answer = tuple[int, int, int] | None
"""(shared risks, summed cost, summed hops)."""


@dataclass(frozen=True)
class Way:
    nodes: tuple[str, ...]
    links: tuple[Link, ...]
    cost: int
    risks: frozenset[tuple[str, object]]


def best_pair(
    layer: Layer, a: str, z: str, diversity: Diversity, limit: Constraints, objective: Objective, maximal: bool
) -> Answer:
    """The least (shared, cost, hops) of all pairs; shared is 0 unless `maximal`."""
    ways = all_ways(layer, a, z, diversity, limit, objective)
    best: Answer = None
    for i, one in enumerate(ways):
        for other in ways[i:]:
            shared = len(one.risks & other.risks)
            answer = shared, one.cost + other.cost, len(one.links) + len(other.links)
            if (maximal or not shared) and (best is None or answer < best):
                best = answer
    return best


def all_ways(layer: Layer, a: str, z: str, diversity: Diversity, limit: Constraints, objective: Objective) -> list[Way]:
    """Every simple path that keeps to the constraints."""
    graph = layer.networkx(limit.demand, limit.reverse_demand)
    edges = nx.all_simple_edge_paths(graph, a, z) if a != z else [[]]
    ways = [_way(layer, graph, a, list(path), diversity, limit, objective) for path in edges]
    return [way for way in ways if _keeps(layer, way, limit)]


def _way(layer: Layer, graph, a: str, edges, diversity, limit: Constraints, objective: Objective) -> Way:
    nodes = (a, *(v for _, v, _ in edges))
    arcs = [graph.edges[edge] for edge in edges]
    links = tuple(arc["link"] for arc in arcs)
    cost = sum(_figure(layer, arc, limit.demand, objective) for arc in arcs)
    if objective is Objective.DELAY:
        cost += _inside(layer, nodes)
    risks: set[tuple[str, object]] = {("link", link.name) for link in links}
    if diversity in (Diversity.NODE, Diversity.SRLG_NODE):
        risks |= {("node", node) for node in nodes[1:-1]}
    if diversity in (Diversity.SRLG, Diversity.SRLG_NODE):
        risks |= {("group", group) for link in links for group in link.srlgs}
    return Way(nodes, links, cost, frozenset(risks))


def _inside(layer: Layer, nodes: tuple[str, ...]) -> int:
    processing = {node.name: node.processing_us for node in layer.nodes}
    return sum(processing[node] for node in nodes[1:-1])


def _figure(layer: Layer, arc, demand: int, objective: Objective) -> int:
    link = arc["link"]
    left = max(1, layer.free[link.name, arc["direction"]] - demand)
    return {
        Objective.DELAY: link.delay_us,
        Objective.IGP: link.igp_metric,
        Objective.TE: link.te_metric,
        Objective.LOAD: 1000 * link.capacity_kbps // left,
    }[objective]


def _keeps(layer: Layer, way: Way, limit: Constraints) -> bool:
    delay = sum(link.delay_us for link in way.links) + _inside(layer, way.nodes)
    names = {link.name for link in way.links}
    groups = {group for link in way.links for group in link.srlgs}
    sums = (
        (delay, limit.max_delay_us),
        (len(way.links), limit.max_hops),
        (sum(link.jitter_us for link in way.links), limit.max_jitter_us),
    )
    return (
        all(not bound or figure <= bound for figure, bound in sums)
        and limit.include_nodes <= {*way.nodes}
        and limit.include_links <= names
        and not limit.exclude_nodes & {*way.nodes}
        and not limit.exclude_links & names
        and not limit.exclude_srlgs & groups
    )


def proved(
    layer: Layer, a: str, z: str, diversity: Diversity, limit: Constraints, objective: Objective, maximal: bool = False
) -> Pair | None:
    """The answer, after it was found to be as good as the best of all pairs."""
    pair = disjoint_pair(layer.graph(), a, z, diversity, limit, objective, maximal=maximal)
    best = best_pair(layer, a, z, diversity, limit, objective, maximal)
    assert explained(layer, a, z, diversity, limit, objective, pair) == best
    return pair


def explained(
    layer: Layer, a: str, z: str, diversity: Diversity, limit: Constraints, objective: Objective, pair: Pair | None
) -> Answer:
    """What the answer says of itself, after it was found true: both are paths there are, at that cost, sharing that."""
    if pair is None:
        return None
    ways = {
        (way.nodes, tuple(link.name for link in way.links)): way
        for way in all_ways(layer, a, z, diversity, limit, objective)
    }
    one, other = (ways[route.path.nodes, route.path.links] for route in (pair.first, pair.second))
    assert (one.cost, other.cost, one.cost + other.cost) == (pair.first.cost, pair.second.cost, pair.cost)
    assert (one.cost, len(one.links)) <= (other.cost, len(other.links))
    named = {("link", name) for name in pair.shared_links} | {("node", name) for name in pair.shared_nodes}
    assert named | {("group", group) for group in pair.shared_srlgs} == one.risks & other.risks
    assert pair.gap == 0.0
    return pair.shared, pair.cost, len(one.links) + len(other.links)


def ends(data: st.DataObject, layer: Layer) -> tuple[str, str]:
    names = [node.name for node in layer.nodes]
    a = data.draw(st.sampled_from(names))
    return a, data.draw(st.sampled_from([name for name in names if name != a]))


def limits(data: st.DataObject, layer: Layer, a: str, z: str) -> Constraints:
    """Bounds, places to pass and exclusions, any of them absent most of the time."""
    places = sorted({node.name for node in layer.nodes} - {a, z})
    links = sorted(link.name for link in layer.links)
    out_nodes, out_links = _some(data, places), _some(data, links)
    return Constraints(
        demand=data.draw(st.integers(0, 2)),
        max_delay_us=data.draw(st.sampled_from((0, 0, 15, 25, 40))),
        max_hops=data.draw(st.sampled_from((0, 0, 2, 3, 4))),
        max_jitter_us=data.draw(st.sampled_from((0, 0, 8, 14))),
        include_nodes=_some(data, places) - out_nodes,
        include_links=_some(data, links) - out_links,
        exclude_nodes=out_nodes,
        exclude_links=out_links,
        exclude_srlgs=frozenset(data.draw(st.sets(st.integers(1, 9), max_size=1))),
    )


def _some(data: st.DataObject, names: list[str]) -> frozenset[str]:
    if not names or data.draw(st.integers(0, 3)):
        return frozenset()
    return frozenset({data.draw(st.sampled_from(names))})


def wire(name: str, a: str, z: str, delay: int, *groups: int, room: int = 10, **more: int) -> Link:
    return Link(name, LinkKind.ADJACENCY, a, z, delay_us=delay, capacity_kbps=room, srlgs=groups, **more)


def network(*links: Link, nodes: str = "") -> Layer:
    """A layer of these links, all of it free."""
    names = sorted({end for link in links for end in (link.a_node, link.z_node)} | {*nodes})
    free = {(link.name, way): link.capacity_kbps for link in links for way in (0, 1)}
    return Layer(tuple(Node(name, NodeKind.ROUTER) for name in names), links, free)


def scattered(seed: int, nodes: int, links: int, groups: int = 0) -> Layer:
    """A connected layer, larger than brute force can search; each link in one of the groups, half of them in two."""
    dice = Random(seed)
    names = [f"n{i}" for i in range(nodes)]
    ends = [(names[i], names[dice.randrange(max(0, i - 6), i)]) for i in range(1, nodes)]
    while len(ends) < links:
        i = dice.randrange(nodes)
        ends.append((names[i], names[(i + dice.randrange(1, 9)) % nodes]))
    made = [
        wire(f"l{i}", a, z, dice.randrange(1, 50), *_groups(dice, groups), te_metric=dice.randrange(50))
        for i, (a, z) in enumerate(ends)
    ]
    layer = network(*made)
    slow = tuple(replace(node, processing_us=dice.randrange(30)) for node in layer.nodes)
    return Layer(slow, layer.links, layer.free, frozenset(link.name for link in made if not dice.randrange(20)))


def _groups(dice: Random, groups: int) -> list[int]:
    return sorted({dice.randrange(groups) for _ in range(dice.randrange(1, 3))}) if groups else []
