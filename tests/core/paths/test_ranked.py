"""Ranked paths: against every simple path of small layers, networkx on larger ones, and the cases of bad input."""

from __future__ import annotations

from itertools import islice
from math import dist, nan
from random import Random

import networkx as nx
import pytest
from every_path import kept
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import COLOURS, Layer, layers

from controller.core.errors import Infeasible, Invalid
from controller.core.graph import Objective, build
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.core.paths.find import find
from controller.core.paths.path import NONE, Constraints, Route
from controller.core.paths.ranking import ranked, ranked_arcs

many = settings(max_examples=400, deadline=None)
some = settings(max_examples=150, deadline=None)
objectives = st.sampled_from(tuple(Objective))
maybe_bound = st.one_of(st.just(0), st.integers(1, 40))


def one_at_most(names: list[str]) -> st.SearchStrategy[frozenset[str]]:
    """None of the names in three of four cases."""
    return st.sampled_from([frozenset[str]()] * max(1, 3 * len(names)) + [frozenset((name,)) for name in names])


@st.composite
def asked(draw: st.DrawFn, layer: Layer) -> Constraints:
    """Any mix of demand, exclusions, bounds and places; the ends are n0 and the last node."""
    nodes, links = [node.name for node in layer.nodes], [link.name for link in layer.links]
    between, some_link = one_at_most(nodes[1:-1]), one_at_most(links)
    include_nodes, include_links = draw(between), draw(some_link)
    return Constraints(
        demand=draw(st.integers(0, 3)),
        reverse_demand=draw(st.integers(0, 2)),
        max_delay_us=draw(maybe_bound),
        max_hops=draw(st.one_of(st.just(0), st.integers(1, 6))),
        max_jitter_us=draw(maybe_bound),
        mtu_bytes=draw(st.sampled_from((0, 0, 9000))),
        include_nodes=include_nodes,
        include_links=include_links,
        exclude_nodes=draw(between) - include_nodes,
        exclude_links=draw(some_link) - include_links,
        exclude_srlgs=frozenset(draw(st.sets(st.integers(1, 4), max_size=1))),
        exclude_any=frozenset(draw(st.sets(st.sampled_from(COLOURS), max_size=1))),
    )


def check(
    layer: Layer, constraints: Constraints, objective: Objective, k: int, routes: tuple[Route, ...], target: str
) -> None:
    """The k least (cost, hops) of the oracle, each by a path of its own that the oracle has."""
    paths = {
        (path.nodes, tuple((link.name, way) for link, way in path.hops)): path
        for path in kept(layer, "n0", target, constraints)
    }
    costs = sorted((path.cost(objective, constraints.demand), len(path.hops)) for path in paths.values())
    assert [(route.cost, len(route.path.links)) for route in routes] == costs[:k]
    keys = [(r.path.nodes, tuple(zip(r.path.links, r.path.directions, strict=True))) for r in routes]
    assert len({*keys}) == len(keys)
    for key, route in zip(keys, routes, strict=True):
        assert route.path.delay_us == paths[key].delay
        assert route.cost == paths[key].cost(objective, constraints.demand)


@many
@given(layers(max_links=18), objectives, st.integers(1, 60), st.integers(0, 3), st.integers(0, 2))
def test_ranks_as_brute_force_does(layer: Layer, objective: Objective, k: int, demand: int, reverse: int) -> None:
    target, constraints = layer.nodes[-1].name, Constraints(demand=demand, reverse_demand=reverse)
    check(layer, constraints, objective, k, ranked(layer.graph(), "n0", target, k, constraints, objective), target)


@many
@given(layers(min_nodes=4, max_links=20), objectives, st.just(10_000))
def test_ranks_every_simple_path_once(layer: Layer, objective: Objective, k: int) -> None:
    target = layer.nodes[-1].name
    check(layer, NONE, objective, k, ranked(layer.graph(), "n0", target, k, NONE, objective), target)


@many
@given(st.data(), layers(min_nodes=3, max_links=18), objectives, st.integers(1, 20))
def test_every_path_keeps_to_any_mix_of_constraints(
    data: st.DataObject, layer: Layer, objective: Objective, k: int
) -> None:
    constraints, target = data.draw(asked(layer)), layer.nodes[-1].name
    check(layer, constraints, objective, k, ranked(layer.graph(), "n0", target, k, constraints, objective), target)


@some
@given(st.data(), layers(min_nodes=2, max_links=18), objectives)
def test_the_best_is_what_find_finds(data: st.DataObject, layer: Layer, objective: Objective) -> None:
    constraints, target, graph = data.draw(asked(layer)), layer.nodes[-1].name, layer.graph()
    best = find(graph, "n0", target, constraints, objective)
    routes = ranked(graph, "n0", target, 1, constraints, objective)
    assert [route.cost for route in routes] == ([best.cost] if best else [])


def national(count: int, seed: int) -> Layer:
    """A layer in the plane where landmarks and straight lines count: near nodes joined, some twice, a third of it full
    or closed."""
    random = Random(seed)
    nodes = tuple(
        Node(f"n{i}", NodeKind.ROUTER, latitude=random.uniform(25, 45), longitude=random.uniform(100, 120))
        for i in range(count)
    )
    ends = []
    for i, node in enumerate(nodes):
        near = sorted(range(count), key=lambda j: dist(places(node), places(nodes[j])))
        ends += [(i, j) for j in near[1:4]]
    links, free = [], {}
    for number, (i, j) in enumerate(ends):
        km = 111 * dist(places(nodes[i]), places(nodes[j]))
        metrics = {"igp_metric": random.randint(1, 20), "te_metric": random.randint(0, 3), "delay_us": int(6 * km)}
        link = Link(f"l{number}", LinkKind.ADJACENCY, f"n{i}", f"n{j}", capacity_kbps=10, **metrics)
        links.append(link)
        free |= {(link.name, way): 0 if random.random() < 0.1 else 10 for way in (0, 1)}
    closed = frozenset(link.name for link in links if random.random() < 0.1)
    return Layer(nodes, tuple(links), free, closed)


def places(node: Node) -> tuple[float, float]:
    return node.latitude, node.longitude


def by_networkx(layer: Layer, weight: str, source: str, target: str, k: int, demand: int) -> list[tuple[int, int]]:
    """(cost, hops) of the k best, each link with a node of its own in the middle so that parallel ones count."""
    split = nx.DiGraph()
    for tail, head, key, data in layer.networkx(demand).edges(keys=True, data=True):
        cost = data["delay"] if weight == "delay" else getattr(data["link"], weight)
        middle = (key, data["direction"])
        split.add_edge(tail, middle, cost=cost * 1000 + 1)
        split.add_edge(middle, head, cost=0)
    if source not in split or target not in split or not nx.has_path(split, source, target):
        return []
    paths = islice(nx.shortest_simple_paths(split, source, target, weight="cost"), k)
    return [divmod(nx.path_weight(split, path, "cost"), 1000) for path in paths]


@pytest.mark.parametrize("seed", range(4))
def test_ranks_as_networkx_does_where_landmarks_and_places_guide(seed: int) -> None:
    layer = national(260, seed)
    graph = layer.graph()
    for objective, weight in (
        (Objective.DELAY, "delay"),
        (Objective.IGP, "igp_metric"),
        (Objective.TE, "te_metric"),
    ):
        source, target = (f"n{i}" for i in Random(f"{seed}{weight}").sample(range(260), 2))
        routes = ranked(graph, source, target, 8, Constraints(demand=5), objective)
        found = [(route.cost, len(route.path.links)) for route in routes]
        assert found == by_networkx(layer, weight, source, target, 8, 5)


@pytest.mark.parametrize("seed", range(8))
def test_no_guide_misleads(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far down the ranking, where paths leave what the shared search saw, and only bounds are left to go by."""
    monkeypatch.setattr("controller.core.paths.landmarks.WORTH_IT", 0)
    layer = national(8, seed)
    for objective in (Objective.DELAY, Objective.IGP):
        routes = ranked(layer.graph(), "n0", "n7", 300, NONE, objective)
        check(layer, NONE, objective, 300, routes, "n7")


def test_a_detour_from_behind_the_target_takes_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shared search never sees y, for it lies behind what is as far as the target: its bound must stay low."""
    monkeypatch.setattr("controller.core.paths.landmarks.WORTH_IT", 0)
    nodes = [Node(name, NodeKind.ROUTER) for name in "styx"]
    spans = (("s", "t", 100), ("s", "t", 150), ("s", "y", 90), ("y", "x", 25), ("x", "t", 25))
    links = [
        Link(f"l{i}", LinkKind.ADJACENCY, a, z, igp_metric=metric, capacity_kbps=1)
        for i, (a, z, metric) in enumerate(spans)
    ]
    routes = ranked(build(nodes, links), "s", "t", 5, NONE, Objective.IGP)
    assert [route.cost for route in routes] == [100, 140, 150]


def ladder(rungs: int) -> tuple[list[Node], list[Link]]:
    """Nodes n0, n1, … joined one by one by two parallel links each, of 1 and 2 µs: 2 ^ rungs paths."""
    nodes = [Node(f"n{i}", NodeKind.ROUTER) for i in range(rungs + 1)]
    links = [
        Link(f"{kind}{i}", LinkKind.ADJACENCY, f"n{i}", f"n{i + 1}", delay_us=delay, jitter_us=jitter, capacity_kbps=1)
        for i in range(rungs)
        for kind, delay, jitter in (("fast", 1, 1), ("slow", 2, 0))
    ]
    return nodes, links


def test_parallel_links_are_different_paths() -> None:
    graph = build(*ladder(3))
    routes = ranked(graph, "n0", "n3", 100)
    assert [route.cost for route in routes] == [3, 4, 4, 4, 5, 5, 5, 6]
    assert len({route.path.links for route in routes}) == 8
    assert ranked(graph, "n0", "n3", 100) == routes
    assert ranked(graph, "n0", "n3", 3) == routes[:3]


def test_thousands_of_paths_in_order() -> None:
    costs = [route.cost for route in ranked(build(*ladder(12)), "n0", "n12", 10_000)]
    assert costs == sorted(12 + bits.bit_count() for bits in range(1 << 12))


def test_bounds_on_sums_cut_the_enumeration_short() -> None:
    """21 of a million paths keep to the bound on jitter, the dearest ones: what cannot keep to it is not looked at."""
    graph = build(*ladder(20))
    costs = [route.cost for route in ranked(graph, "n0", "n20", 1000, Constraints(max_jitter_us=1))]
    assert costs == [39] * 20 + [40]


def test_an_exhausted_search_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.core.paths.ranking.MAX_PATHS", 50)
    graph = build(*ladder(8))
    asked = Constraints(include_links=frozenset(f"slow{i}" for i in range(8)))
    with pytest.raises(Infeasible) as refused:
        ranked(graph, "n0", "n8", 1, asked)
    assert refused.value.reason == "SEARCH_EXHAUSTED"
    assert refused.value.metadata == {"lookedAt": "50", "found": "0"}


def test_as_many_paths_as_there_are_is_no_exhaustion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.core.paths.ranking.MAX_PATHS", 8)
    asked = Constraints(include_links=frozenset({"slow0", "slow1", "slow2"}))
    assert [route.cost for route in ranked(build(*ladder(3)), "n0", "n3", 2, asked)] == [6]


def test_the_caller_stops_the_enumeration() -> None:
    graph = build(*ladder(40))
    paths = [arcs.tolist() for arcs in islice(ranked_arcs(graph, 0, 40), 5)]
    assert [len(arcs) for arcs in paths] == [40] * 5


def test_bad_input_is_refused() -> None:
    graph = build(*ladder(2))
    for k in (0, -1, 10_001, nan, 1.5, "2", None):
        with pytest.raises(Invalid):
            ranked(graph, "n0", "n1", k)  # type: ignore[arg-type]
    for source, target, asked in (
        ("nowhere", "n1", NONE),
        ("n0", "nowhere", NONE),
        ("n0", "n1", Constraints(exclude_nodes=frozenset({"n1"}))),
        ("n0", "n2", Constraints(include_nodes=frozenset({"n1"}), exclude_nodes=frozenset({"n1"}))),
        ("n0", "n2", Constraints(include_links=frozenset({"none"}))),
        ("n0", "n2", Constraints(exclude_links=frozenset({"none"}))),
    ):
        with pytest.raises(Invalid):
            ranked(graph, source, target, 2, asked)


def test_no_path_and_no_link() -> None:
    apart = build([Node("n0", NodeKind.ROUTER), Node("n1", NodeKind.ROUTER)], [])
    assert ranked(apart, "n0", "n1", 3) == ()
    (stay,) = ranked(apart, "n0", "n0", 3)
    assert (stay.path.nodes, stay.cost) == (("n0",), 0)
    assert ranked(apart, "n0", "n0", 3, Constraints(include_nodes=frozenset({"n1"}))) == ()
    nodes, links = ladder(2)
    shut = build(nodes, links).opened({"fast1": False, "slow1": False})
    assert ranked(shut, "n0", "n2", 3) == ()
    assert ranked(build(nodes, links), "n0", "n2", 3, Constraints(demand=2)) == ()
