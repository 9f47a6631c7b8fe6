"""Repair lists by a simulation of routers that still forward by their tables from before the failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from random import Random

import networkx as nx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_graphs import Layer, layers

from controller.core.errors import Invalid
from controller.core.graph import Graph, Objective, build
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.core.segments.igp import Igp
from controller.core.segments.tilfa import Coverage, Failure, Protects, Repair, RepairSegment, TiLfa, coverage

PROTECTS = st.sampled_from(Protects)
OBJECTIVES = st.sampled_from((Objective.IGP, Objective.DELAY))
Hop = tuple[str, str, str]
"""Tail, head, link."""


def routers(graph: Graph, objective: Objective = Objective.IGP) -> nx.MultiDiGraph:
    """What every router knows before the failure: open links by name, `metric` at least 1."""
    shape, network = graph.shape, nx.MultiDiGraph()
    network.add_nodes_from(shape.nodes)
    values = graph.metrics[objective].values
    for arc, (u, v, link) in enumerate(zip(shape.tail, shape.head, shape.link, strict=True)):
        if graph.is_open(shape.links[link]):
            own = values[arc] - (shape.processing[v] if objective is Objective.DELAY else 0)
            network.add_edge(shape.nodes[u], shape.nodes[v], key=shape.links[link], metric=max(1, int(own)))
    return network


@dataclass(frozen=True)
class Dead:
    """What does not answer any more."""

    nodes: frozenset[str]
    links: frozenset[str]

    def without(self, network: nx.MultiDiGraph) -> nx.MultiDiGraph:
        left = network.copy()
        left.remove_nodes_from(self.nodes)
        left.remove_edges_from([hop for hop in network.edges(keys=True) if hop[2] in self.links])
        return left


def dead(links: tuple[Link, ...], failure: Failure, node: str, destination: str) -> Dead:
    """By the words of the RFC: a node that is the destination itself is only cut from the router that repairs."""
    if failure.protects is Protects.NODE and failure.element == destination:
        ends = {node, destination}
        return Dead(frozenset(), frozenset(link.name for link in links if {link.a_node, link.z_node} == ends))
    if failure.protects is Protects.NODE:
        return Dead(frozenset({failure.element}), frozenset())
    (failed,) = (link for link in links if link.name == failure.element)
    shared = {link.name for link in links if set(link.srlgs) & set(failed.srlgs)}
    return Dead(frozenset(), frozenset(shared if failure.protects is Protects.SRLG else ()) | {failed.name})


class Simulation:
    """Packets through routers with the tables of `network`, all equal-cost branches at once."""

    def __init__(self, network: nx.MultiDiGraph) -> None:
        self.network = network
        self.far = dict(nx.all_pairs_dijkstra_path_length(network, weight="metric"))

    def next_hops(self, node: str, target: str) -> list[Hop]:
        here = self.far[node].get(target)
        return [
            (node, v, link) for _, v, link, metric in self.network.out_edges(node, keys=True, data="metric")
            if here is not None and metric + self.far[v].get(target, 1 << 60) == here
        ]  # fmt: skip

    def branches(self, source: str, repair: tuple[str, tuple[RepairSegment, ...]], target: str) -> Iterator[list[Hop]]:
        """The hops of every branch; one that loops or ends without the target ends where it does so."""
        first_link, segments = repair
        (hop,) = ((source, v, link) for _, v, link in self.network.out_edges(source, keys=True) if link == first_link)
        waiting = [([hop], segments)]
        while waiting:
            hops, rest = waiting.pop()
            at = hops[-1][1]
            while rest and rest[0].node == at and not rest[0].link:
                rest = rest[1:]
            if rest and rest[0].node == at:
                links = [hop for hop in self.network.out_edges(at, keys=True) if hop[2] == rest[0].link]
                following, rest = links, rest[1:]
            else:
                following = self.next_hops(at, rest[0].node if rest else target)
            if (at == target and not rest and not following) or not following or len(hops) > 3 * len(self.far):
                yield hops
            else:
                waiting += [([*hops, hop], rest) for hop in following]

    def metric(self, hops: list[Hop]) -> int:
        return sum(self.network.edges[hop]["metric"] for hop in hops)

    def delivers(self, source: str, repair: tuple[str, tuple[RepairSegment, ...]], target: str, gone: Dead) -> set[int]:
        """Metrics of the branches; -1 among them where one fails, loops, or goes elsewhere."""
        return {
            self.metric(hops)
            if hops[-1][1] == target and not gone.links & {link for _, _, link in hops}
            and not gone.nodes & {v for _, v, _ in hops} and len({source, *(v for _, v, _ in hops)}) == len(hops) + 1
            else -1
            for hops in self.branches(source, repair, target)
        }  # fmt: skip


def loses(simulation: Simulation, links: tuple[Link, ...], failure: Failure, node: str, destination: str) -> bool:
    """True where a next hop is lost with the link, with the node, or with the risk group."""
    if failure.protects is Protects.NODE:
        return any(v == failure.element for _, v, _ in simulation.next_hops(node, destination))
    gone = dead(links, failure, node, destination)
    return any(link in gone.links for _, _, link in simulation.next_hops(node, destination))


def places(network: nx.MultiDiGraph, links: tuple[Link, ...], protects: Protects) -> list[tuple[str, Failure]]:
    """Every point of local repair with every failure next to it."""
    ends = [(link.name, link.a_node, link.z_node) for link in links]
    if protects is not Protects.NODE:
        return [(end, Failure(protects, name)) for name, *both in ends for end in both]
    return sorted({(u, Failure(protects, v)) for _, a, z in ends for u, v in ((a, z), (z, a))}, key=str)


def check(graph: Graph, links: tuple[Link, ...], objective: Objective, protects: Protects) -> int:
    """Everything that is promised, for every router, failure and destination; returns how many repairs there were."""
    network = routers(graph, objective)
    simulation, tilfa, count = Simulation(network), TiLfa(Igp(graph, objective)), 0
    for node, failure in places(network, links, protects):
        repairs = tilfa.repairs(node, failure)
        lost = {d for d in network if d != node and loses(simulation, links, failure, node, d)}
        assert {*repairs, *repairs.disconnected} == lost
        for destination in lost:
            gone = dead(links, failure, node, destination)
            left = gone.without(network)
            if not nx.has_path(left, node, destination):
                assert destination in repairs.disconnected
                continue
            repair = repairs[destination]
            best = nx.dijkstra_path_length(left, node, destination, weight="metric")
            assert repair.cost == best
            assert simulation.delivers(node, (repair.first_link, repair.segments), destination, gone) == {best}
            assert_path(simulation, node, destination, repair)
            assert repair.ids == repairs.ids()[destination]
            count += 1
    return count


def assert_path(simulation: Simulation, node: str, destination: str, repair: Repair) -> None:
    """The path that a repair shows is one of those that packets take."""
    path = repair.path
    assert (path.nodes[0], path.nodes[-1]) == (node, destination)
    hops = [*zip(path.nodes, path.nodes[1:], path.links, strict=False)]
    assert hops in [*simulation.branches(node, (repair.first_link, repair.segments), destination)]


@settings(max_examples=250, deadline=None)
@given(layers(max_nodes=7), OBJECTIVES, PROTECTS)
def test_repairs_deliver_on_post_convergence_paths(layer: Layer, objective: Objective, protects: Protects) -> None:
    check(layer.graph(), layer.links, objective, protects)


@dataclass(frozen=True)
class Mesh:
    """A ring with chords and parallel links, its metrics far apart and different by direction: lists get long."""

    links: tuple[Link, ...]
    graph: Graph


def mesh(seed: int, most: int) -> Mesh:
    draw = Random(seed)
    count = draw.randint(3, most)
    names = [f"n{i}" for i in range(count)]
    draw.shuffle(names)
    pairs = [(names[i - 1], names[i]) for i in range(count)]
    chords = [draw.sample(names, 2) for _ in range(draw.randint(0, count // 2))]
    hub = [(names[0], other) for other in names[2:-1]] if draw.random() < 0.4 else []
    links = tuple(
        Link(f"l{i}", LinkKind.ADJACENCY, a, z, srlgs=tuple({draw.randint(1, 2 * count)}), igp_metric=1)
        for i, (a, z) in enumerate([*pairs, *chords, *hub])
    )
    graph = build([Node(name, NodeKind.ROUTER) for name in sorted(names)], links)
    old, figures = graph.metrics[Objective.IGP], draw.choice(((1, 1, 2, 9, 30), (1, 2), (1, 40)))
    inner = [name in {names[0]} and len(hub) > 0 for name in graph.shape.nodes]
    values = np.array([draw.choice(figures) for _ in old.values], np.int64)
    values[[inner[u] or inner[v] for u, v in zip(graph.shape.tail, graph.shape.head, strict=True)]] = 1
    return Mesh(links, replace(graph, metrics={**graph.metrics, Objective.IGP: replace(old, values=values)}))


@settings(max_examples=350, deadline=None)
@given(st.integers(0, 1 << 32), PROTECTS)
def test_repairs_deliver_where_metrics_are_far_apart_and_differ_by_direction(seed: int, protects: Protects) -> None:
    made = mesh(seed, 9)
    check(made.graph, made.links, Objective.IGP, protects)


def lists(network: nx.MultiDiGraph, ids: int) -> Iterator[tuple[RepairSegment, ...]]:
    """Every list of at most so many ids."""
    yield ()
    for u in network if ids >= 1 else ():
        yield from ((RepairSegment(u), *rest) for rest in lists(network, ids - 1))
    for u, _, link in network.edges(keys=True) if ids >= 2 else ():
        yield from ((RepairSegment(u, link), *rest) for rest in lists(network, ids - 2))


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 1 << 32), PROTECTS)
def test_no_list_of_fewer_ids_delivers(seed: int, protects: Protects) -> None:
    made = mesh(seed, 5)
    network, tilfa = routers(made.graph), TiLfa(Igp(made.graph))
    simulation = Simulation(network)
    for node, failure in places(network, made.links, protects):
        for destination, repair in tilfa.repairs(node, failure).items():
            if 0 < repair.ids <= 4:
                gone = dead(made.links, failure, node, destination)
                starts = [link for _, _, link in gone.without(network).out_edges(node, keys=True)]
                for start, segments in product(starts, lists(network, repair.ids - 1)):
                    assert simulation.delivers(node, (start, segments), destination, gone) != {repair.cost}


def fewest_ids(simulation: Simulation, node: str, gone: Dead) -> dict[tuple[str, str], int]:
    """To ("to", destination): the least sum over all chains of segments that keep to post-convergence paths."""
    far, network = simulation.far, simulation.network
    left = gone.without(network)
    after = nx.single_source_dijkstra_path_length(left, node, weight="metric")
    tight = [
        hop for *hop, m in left.edges(keys=True, data="metric") if after.get(hop[0], 1 << 60) + m == after.get(hop[1])
    ]
    dead_hops = [(u, v, m) for u, v, k, m in network.edges(keys=True, data="metric") if not left.has_edge(u, v, k)]
    chains = nx.DiGraph()
    for u, v, _ in tight:
        start, ids = (("start", node), 0) if u == node else (("to", u), 2)
        chains.add_edge(start, ("at", v), ids=ids)
    for p in after:
        chains.add_edge(("to", p), ("at", p), ids=1)
        for v in after:
            length = far[v].get(p)
            crosses = any(far[v].get(x, 1 << 60) + m + far[y].get(p, 1 << 60) == length for x, y, m in dead_hops)
            if v != node and length == after[p] - after[v] and not crosses:
                chains.add_edge(("at", v), ("to", p), ids=0)
    found: dict[tuple[str, str], int] = nx.single_source_dijkstra_path_length(chains, ("start", node), weight="ids")
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), PROTECTS)
@example(331, Protects.LINK)  # what spans a node does not span what lies below it, an end on another branch does
@example(833, Protects.NODE)
def test_lists_are_shortest_on_larger_layers_too(seed: int, protects: Protects) -> None:
    made = mesh(seed, 14)
    simulation, tilfa = Simulation(routers(made.graph)), TiLfa(Igp(made.graph))
    for node, failure in places(simulation.network, made.links, protects)[:8]:
        ids = tilfa.repairs(node, failure).ids()
        others = {d: length for d, length in ids.items() if d != failure.element}
        best = fewest_ids(simulation, node, dead(made.links, failure, node, "")) if others else {}
        assert others == {d: best["to", d] for d in others}


def layer(*links: tuple[str, str, int], srlgs: dict[str, tuple[int, ...]] | None = None) -> Graph:
    """Links named by their ends, a second one with a prime: `ab`, `ab'`."""
    names = sorted({name for a, z, _ in links for name in (a, z)})
    nodes = [Node(name, NodeKind.ROUTER) for name in names]
    made: list[Link] = []
    for a, z, metric in links:
        name = a + z + "'" * sum({link.a_node, link.z_node} == {a, z} for link in made)
        made.append(
            Link(name, LinkKind.ADJACENCY, a, z, igp_metric=metric, capacity_kbps=1, srlgs=(srlgs or {}).get(name, ()))
        )
    return build(nodes, made)


def ring(count: int, metric: int = 1) -> Graph:
    names = "abcdefghijklmnop"[:count]
    return layer(*((names[i], names[(i + 1) % count], metric) for i in range(count)))


def repair(graph: Graph, node: str, protects: Protects, element: str, destination: str) -> tuple[str, list[str]]:
    """(first link, list in words)."""
    found = TiLfa(Igp(graph)).repairs(node, Failure(protects, element))[destination]
    return found.first_link, [segment.node + segment.link for segment in found.segments]


def test_a_loop_free_alternate_needs_no_list() -> None:
    triangle = layer(("a", "b", 1), ("b", "c", 1), ("a", "c", 1))
    assert repair(triangle, "a", Protects.LINK, "ab", "b") == ("ac", [])


def test_on_a_ring_the_pq_node_is_one_id_and_the_farthest_one() -> None:
    assert repair(ring(5), "a", Protects.LINK, "ab", "b") == ("ea", ["c"])

    assert repair(ring(4), "a", Protects.LINK, "ab", "b") == ("da", ["c"])


def test_a_dear_link_between_p_and_q_needs_its_adjacency() -> None:
    long_way = layer(("a", "b", 1), ("b", "c", 1), ("c", "d", 9), ("d", "a", 1))
    assert repair(long_way, "a", Protects.LINK, "ab", "b") == ("da", ["dcd"])


def test_around_a_hub_every_dear_link_needs_its_adjacency() -> None:
    spokes = [("h", rim, 1) for rim in "abcd"]
    wheel = layer(*spokes, ("a", "b", 9), ("b", "c", 9), ("c", "d", 9))
    assert repair(wheel, "a", Protects.NODE, "h", "d") == ("ab", ["bbc", "ccd"])
    assert repair(wheel, "a", Protects.LINK, "ha", "d") == ("ab", []), "the hub itself still forwards"


def test_a_node_that_is_the_destination_is_protected_against_its_links() -> None:
    pentagon = TiLfa(Igp(ring(5)))
    repairs = pentagon.repairs("a", Failure(Protects.NODE, "b"))
    assert repairs["b"].protects is Protects.LINK
    assert repairs["b"].path.nodes == ("a", "e", "d", "c", "b")
    assert repairs["c"].protects is Protects.NODE
    assert repairs["c"].path.nodes == ("a", "e", "d", "c")


def test_what_shares_a_risk_is_avoided_too() -> None:
    risky = {"ab": (7,), "ac": (7, 8)}
    square = layer(("a", "b", 1), ("a", "c", 1), ("c", "b", 1), ("a", "d", 5), ("d", "b", 5), srlgs=risky)
    assert repair(square, "a", Protects.LINK, "ab", "b") == ("ac", [])
    assert repair(square, "a", Protects.SRLG, "ab", "b") == ("ad", [])
    assert set(TiLfa(Igp(square)).repairs("a", Failure(Protects.SRLG, "ab"))) == {"b", "c"}, "ac is lost as well"


def test_a_surviving_equal_cost_next_hop_needs_no_list() -> None:
    assert repair(ring(4), "a", Protects.LINK, "ab", "c") == ("da", [])


def test_parallel_links_are_pinned_where_only_one_of_them_is_on_the_path() -> None:
    # from d the way to c leads back by a and b; of the two links between d and c, the cheaper one is meant
    pair = layer(("a", "b", 1), ("b", "c", 1), ("c", "d", 11), ("c", "d", 9), ("d", "a", 1))
    assert repair(pair, "a", Protects.LINK, "ab", "b") == ("da", ["dcd'"])


def report(graph: Graph, protects: Protects) -> Coverage:
    return coverage(TiLfa(Igp(graph)).every(protects))


def test_coverage_of_a_ring() -> None:
    found = report(ring(5), Protects.LINK)
    assert (found.share, found.protected, found.disconnected) == (1.0, 5 * 2 * 2, ())
    assert found.by_ids == {0: 10, 1: 10}, "the far neighbour is an alternate for what is two hops away"
    assert found.longest == ("a", Failure(Protects.LINK, "ab"), "b")
    assert report(ring(5), Protects.NODE).share == 1.0


def test_coverage_names_what_a_failure_disconnects() -> None:
    tail = layer(("a", "b", 1), ("b", "c", 1), ("c", "a", 1), ("c", "d", 1))
    found = report(tail, Protects.LINK)
    link, node = Failure(Protects.LINK, "cd"), Failure(Protects.NODE, "c")
    assert found.disconnected == (("c", link, ("d",)), ("d", link, ("a", "b", "c")))
    assert found.share == 8 / 12
    assert ("a", node, ("d",)) in report(tail, Protects.NODE).disconnected
    assert ("d", node, ("a", "b", "c")) in report(tail, Protects.NODE).disconnected


@settings(max_examples=60, deadline=None)
@given(layers(min_nodes=3), PROTECTS)
def test_coverage_is_full_where_no_failure_disconnects(layer: Layer, protects: Protects) -> None:
    network = routers(layer.graph())
    every = {*places(network, layer.links, protects)}
    found = coverage(TiLfa(Igp(layer.graph())).every(protects))
    assert {(node, failure) for node, failure, _ in found.disconnected} <= every
    cut_off = {
        (node, failure): names for node, failure in every
        if (names := tuple(
            d for d in network if d != node and loses(Simulation(network), layer.links, failure, node, d)
            and not nx.has_path(dead(layer.links, failure, node, d).without(network), node, d)
        ))
    }  # fmt: skip
    assert {(node, failure): tuple(sorted(names)) for node, failure, names in found.disconnected} == cut_off
    assert (found.share == 1.0) == (not cut_off)
    assert found.protected == sum(found.by_ids.values())


def test_a_link_that_is_closed_protects_nothing_and_needs_nothing() -> None:
    pentagon = ring(5).opened({"ab": False})
    assert not TiLfa(Igp(pentagon)).repairs("a", Failure(Protects.LINK, "ab"))
    assert TiLfa(Igp(pentagon)).repairs("c", Failure(Protects.LINK, "bc")).disconnected == ("b",)


def test_a_single_router_has_nothing_to_protect() -> None:
    alone = build([Node("a", NodeKind.ROUTER)], [])
    for protects in Protects:
        assert report(alone, protects) == Coverage(0, {}, None, ())
        assert report(alone, protects).share == 1.0


@pytest.mark.parametrize(
    ("node", "protects", "element", "reason"),
    [
        ("x", Protects.LINK, "ab", "UNKNOWN_NODE"),
        ("a", Protects.LINK, "xy", "UNKNOWN_LINK"),
        ("a", Protects.SRLG, "xy", "UNKNOWN_LINK"),
        ("a", Protects.NODE, "x", "UNKNOWN_NODE"),
        ("a", Protects.LINK, "cd", "NOT_ADJACENT"),
        ("a", Protects.NODE, "c", "NOT_ADJACENT"),
        ("a", Protects.NODE, "a", "NOT_ADJACENT"),
    ],
)
def test_bad_input(node: str, protects: Protects, element: str, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        TiLfa(Igp(ring(5))).repairs(node, Failure(protects, element))
    assert refused.value.reason == reason


def test_what_is_not_affected_has_no_repair() -> None:
    repairs = TiLfa(Igp(ring(5))).repairs("a", Failure(Protects.LINK, "ab"))
    assert {*repairs} == {"b", "c"}
    with pytest.raises(KeyError):
        repairs["e"]


def test_parallel_links() -> None:
    pair = layer(("a", "b", 1), ("a", "b", 1), ("b", "c", 1))
    assert repair(pair, "a", Protects.LINK, "ab", "c") == ("ab'", [])
    dear = layer(("a", "b", 1), ("a", "b", 5), ("b", "c", 1))
    assert repair(dear, "a", Protects.LINK, "ab", "c") == ("ab'", [])
