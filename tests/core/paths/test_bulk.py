"""Restoration in bulk against a slow one: networkx, and a ledger that keeps every claim of every corridor."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import Layer, layers

from controller.core.errors import Invalid
from controller.core.graph import Graph, Objective, build
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.core.paths import Constraints, Path, follow
from controller.core.paths.bulk import Book, Outcome, Release, Rerouted, Restored, Standing, restore

Claims = Counter[tuple[str, int]]


def claims(path: Path, limits: Constraints) -> Claims:
    held: Claims = Counter()
    for link, way in zip(path.links, path.directions, strict=True):
        held[link, way] += limits.demand
        held[link, 1 - way] += limits.reverse_demand
    return held


@st.composite
def cases(draw: st.DrawFn) -> tuple[Layer, list[Standing], set[str], set[str]]:
    """A layer whose corridors are all booked in `free`; what is left beside them is small, so that room lacks."""
    layer = draw(layers(min_nodes=2, max_nodes=7, max_links=14))
    view = layer.networkx()
    graph = layer.graph()
    standing: list[Standing] = []
    for i in range(draw(st.integers(0, 9))):
        source = draw(st.sampled_from(sorted(view)))
        paths = [
            path
            for target in sorted(view)
            if target != source
            for path in list(nx.all_simple_edge_paths(view, source, target, cutoff=4))[:4]
        ]
        if not paths:
            continue
        path = follow(graph, source, [link for _, _, link in draw(st.sampled_from(paths))])
        limits = Constraints(
            demand=draw(st.integers(0, 5)),
            reverse_demand=draw(st.integers(0, 5)),
            max_delay_us=draw(st.sampled_from((0, 0, 0, 12, 30))),
            exclude_any=frozenset(draw(st.sampled_from(((), (), ("gold",))))),
        )
        standing.append(Standing(f"c{i}", path, limits, draw(st.integers(0, 2))))
    links = {link.name for link in layer.links if draw(st.integers(0, 4)) == 0}
    nodes = {node.name for node in layer.nodes if draw(st.integers(0, 9)) == 0}
    return layer, draw(st.permutations(standing)), links, nodes


def replay(
    layer: Layer,
    standing: list[Standing],
    cut: set[str],
    answer: Restored,
    shared: bool,
    release: Release,
    objective: Objective,
) -> None:
    """Every answer is right at its turn, by a ledger that counts what each corridor holds from scratch."""
    initial = Counter(layer.free)
    for each in standing:
        initial.update(claims(each.path, each.constraints))  # what there is for all
    holding = {each.name: claims(each.path, each.constraints) for each in standing}
    final = dict(holding)
    hit = sorted((s for s in standing if cut & {*s.path.links}), key=lambda s: (-s.priority, s.name))
    assert [each.name for each in answer.answers] == [each.name for each in hit]
    for each, got in zip(hit, answer.answers, strict=True):
        others = {name: held for name, held in holding.items() if not (shared and name == each.name)}
        left = less(initial, others)
        open_ = open_to(layer, each, cut, objective)
        roomy = with_room(open_, each.constraints, left)
        if got.path is None:
            check_refusal(layer, open_, roomy, each, got, left, objective)
            continue
        check_path(layer, roomy, each, got.path)
        assert got.outcome is Outcome.REROUTED
        old, new = holding[each.name], claims(got.path, each.constraints)
        both = old | new if shared else old + new
        final[each.name], holding[each.name] = new, new if release is Release.AT_ONCE else both
        while_moving = less(initial, others if shared else others | {each.name: old + new})
        assert all(while_moving[row] >= (both[row] if shared else 0) for row in new if new[row])
    recount = less(initial, final)
    for (link, way), amount in recount.items():
        arc = answer.graph.arc(link, way)
        assert answer.graph.free[arc] == amount
        assert answer.graph.room[arc] == (-1 if link in cut or link in layer.closed else amount)


def less(initial: Claims, holding: dict[str, Claims]) -> Claims:
    left = Counter(initial)
    for held in holding.values():
        left.subtract(held)
    return left


def open_to(layer: Layer, each: Standing, cut: set[str], objective: Objective) -> nx.MultiDiGraph:
    """What a corridor may use, whatever the room; `metric` prefers fewer hops."""
    graph = nx.MultiDiGraph(layer.networkx(-(1 << 30), -(1 << 30)))
    for u, v, key, data in list(graph.edges(keys=True, data=True)):
        metric = data["delay"] if objective is Objective.DELAY else data["link"].igp_metric
        data["metric"] = metric * 1000 + 1
        if key in cut or {*data["link"].affinities} & each.constraints.exclude_any:
            graph.remove_edge(u, v, key)
    return graph


def with_room(graph: nx.MultiDiGraph, limits: Constraints, left: Claims) -> nx.MultiDiGraph:
    roomy = nx.MultiDiGraph(graph)
    for u, v, key, data in graph.edges(keys=True, data=True):
        back = left[key, 1 - data["direction"]]
        if left[key, data["direction"]] < limits.demand or back < limits.reverse_demand:
            roomy.remove_edge(u, v, key)
    return roomy


def last_node(layer: Layer, each: Standing) -> int:
    return next(node.processing_us for node in layer.nodes if node.name == each.path.nodes[-1])


def check_path(layer: Layer, roomy: nx.MultiDiGraph, each: Standing, path: Path) -> None:
    ends = each.path.nodes[0], each.path.nodes[-1]
    assert (path.nodes[0], path.nodes[-1]) == ends
    arcs = [roomy.edges[u, v, k] for (u, v), k in zip(pairwise(path.nodes), path.links, strict=True)]
    assert [arc["direction"] for arc in arcs] == [*path.directions]
    assert sum(arc["metric"] for arc in arcs) == nx.shortest_path_length(roomy, *ends, "metric")
    assert path.delay_us == sum(arc["delay"] for arc in arcs) - last_node(layer, each)
    assert path.delay_us <= (each.constraints.max_delay_us or path.delay_us)


def check_refusal(
    layer: Layer,
    open_: nx.MultiDiGraph,
    roomy: nx.MultiDiGraph,
    each: Standing,
    got: Rerouted,
    left: Claims,
    objective: Objective,
) -> None:
    ends, limits = (each.path.nodes[0], each.path.nodes[-1]), each.constraints
    assert nx.has_path(roomy, *ends) == (got.outcome is Outcome.BOUND)
    assert nx.has_path(open_, *ends) == (got.outcome is not Outcome.NO_PATH)
    if got.outcome is Outcome.BOUND and objective is Objective.DELAY:
        best = nx.shortest_path_length(roomy, *ends, "delay") - last_node(layer, each)
        assert best > limits.max_delay_us > 0
    assert bool(got.bottlenecks) == (got.outcome is Outcome.NO_ROOM)
    on_shortest = {
        key
        for path in (nx.all_shortest_paths(open_, *ends, "metric") if got.bottlenecks else ())
        for u, v in pairwise(path)
        for key in open_[u][v]
    }
    for link in got.bottlenecks:
        assert link in on_shortest
        assert min(left[link, 0], left[link, 1]) < max(limits.demand, limits.reverse_demand)


def cut_links(layer: Layer, links: set[str], nodes: set[str]) -> set[str]:
    return links | {link.name for link in layer.links if {link.a_node, link.z_node} & nodes}


@settings(max_examples=150, deadline=None)
@given(cases(), st.booleans(), st.sampled_from(Release), st.sampled_from((Objective.DELAY, Objective.IGP)))
def test_each_turn_is_right_and_nothing_leaks(case, shared, release, objective):
    layer, standing, links, nodes = case
    graph = layer.graph()
    book = Book(graph.shape)
    for each in standing:
        book.place(each, graph)
    before = graph.free.copy()
    answer = restore(graph, book, links, nodes, objective, shared=shared, release=release)
    assert (graph.free == before).all()
    replay(layer, standing, cut_links(layer, links, nodes), answer, shared, release, objective)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_a_book_kept_in_step_is_a_book_built_anew(case):
    layer, standing, links, nodes = case
    graph = layer.graph()
    book = Book(graph.shape)
    for each in standing:
        book.place(each, graph)
    for each in standing[::2]:
        assert book.remove(each.name) == each
        book.place(replace(each, priority=each.priority + 1), graph)
    now = {each.name: replace(each, priority=each.priority + (not i % 2)) for i, each in enumerate(standing)}
    for _ in range(2):
        fresh = Book(graph.shape)
        for each in now.values():
            fresh.place(each, graph)
        answer = restore(graph, book, links, nodes)
        assert answer.answers == restore(graph, fresh, links, nodes).answers
        book.move(answer)
        now |= {got.name: replace(now[got.name], path=got.path) for got in answer.answers if got.path}
        graph = answer.graph
        links = {link.name for link in layer.links} - links


def ring(capacity: int = 10) -> Graph:
    """a - b twice (fast, slow), b - c, a - c."""
    nodes = [Node(name, NodeKind.ROUTER) for name in "abcd"]
    ends = {"fast": "ab", "slow": "ab", "bc": "bc", "ac": "ac"}
    delay = {"fast": 1, "slow": 5, "bc": 1, "ac": 9}
    return build(
        nodes,
        [
            Link(name, LinkKind.ADJACENCY, *pair, delay_us=delay[name], capacity_kbps=capacity)
            for name, pair in ends.items()
        ],
    )


def booked(graph: Graph, *standing: Standing) -> tuple[Graph, Book]:
    free = Counter({(link, way): graph.free[graph.arc(link, way)] for link in graph.shape.links for way in (0, 1)})
    for each in standing:
        free.subtract(claims(each.path, each.constraints))
    return graph.with_free(free), Book(graph.shape, standing)


def test_a_soft_corridor_counts_once_where_old_and_new_path_meet_and_a_slice_twice():
    graph = ring()
    graph, book = booked(graph, Standing("x", follow(graph, "a", ["fast", "bc"]), Constraints(demand=10)))
    soft = restore(graph, book, ["fast"])
    assert soft.answers[0].path == follow(graph, "a", ["slow", "bc"])
    hard = restore(graph, book, ["fast"], shared=False)
    assert hard.answers[0].path == follow(graph, "a", ["ac"])


@pytest.mark.parametrize(("release", "links"), [(Release.AT_ONCE, ["bc"]), (Release.AFTER_ALL, ["slow", "ac"])])
def test_what_the_first_leaves_is_room_for_the_second_only_when_released(release, links):
    graph = ring()
    first = Standing("x", follow(graph, "a", ["fast", "bc"]), Constraints(demand=10), 1)
    second = Standing("y", follow(graph, "b", ["fast", "ac"]), Constraints(demand=3))
    graph = graph.with_free({("bc", 0): 0, ("fast", 0): 0, ("slow", 0): 3})
    answers = restore(graph, Book(graph.shape, [first, second]), ["fast"], release=release).answers
    assert answers[0].path == follow(graph, "a", ["ac"])
    assert answers[1].path == follow(graph, "b", links)


def test_bad_input_is_refused():
    graph = ring()
    path = follow(graph, "a", ["fast"])
    book = Book(graph.shape, [Standing("x", path)])
    bad = (
        Standing("x", path),
        Standing("e", Path(("a",), (), (), 0)),
        Standing("u", replace(path, links=("none",))),
        Standing("n", replace(path, nodes=("a", "c"))),
        Standing("d", replace(path, directions=(2,))),
        Standing("i", path, Constraints(include_nodes=frozenset("c"))),
        Standing("g", path, Constraints(exclude_links=frozenset(["bc"]))),
    )
    for each in bad:
        with pytest.raises(Invalid):
            book.place(each)
    assert len(book) == 1
    with pytest.raises(Invalid):
        book.remove("nobody")
    for arguments in ({"links": ["none"]}, {"nodes": ["none"]}, {"objective": Objective.LOAD}):
        with pytest.raises(Invalid):
            restore(graph, book, **arguments)
    with pytest.raises(Invalid):
        restore(ring(), book, ["fast"])
    assert restore(graph, book).answers == ()
    nothing = build([], [])
    assert restore(nothing, Book(nothing.shape)).answers == ()
