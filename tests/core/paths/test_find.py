"""The best path by one metric, against networkx; and a graph that followed changes against one built anew."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import networkx as nx
import pytest
from every_path import admits
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import COLOURS, Layer, layers

from controller.core.errors import Invalid
from controller.core.graph import MAX_METRIC, Graph, Objective, build
from controller.core.model import Link, LinkKind, Method, Node, NodeKind
from controller.core.paths.find import find
from controller.core.paths.path import NONE, Constraints

many = settings(max_examples=200, deadline=None)
ADDITIVE = (Objective.DELAY, Objective.IGP, Objective.TE)
colour_sets = st.frozensets(st.sampled_from((*COLOURS, "unheard-of")), max_size=2)


@st.composite
def exclusions(draw: st.DrawFn, layer: Layer) -> Constraints:
    """Any mix of what rules links out; the ends are n0 and the last node."""
    between, links = [node.name for node in layer.nodes[1:-1]], [link.name for link in layer.links]
    return Constraints(
        demand=draw(st.integers(0, 6)),
        reverse_demand=draw(st.integers(0, 4)),
        mtu_bytes=draw(st.sampled_from((0, 1500, 9000))),
        exclude_nodes=draw(st.frozensets(st.sampled_from(between), max_size=2)) if between else frozenset(),
        exclude_links=draw(st.frozensets(st.sampled_from(links), max_size=3)) if links else frozenset(),
        exclude_srlgs=draw(st.frozensets(st.integers(1, 5), max_size=1)),
        include_any=draw(st.one_of(st.just(frozenset()), colour_sets)),
        include_all=draw(st.one_of(st.just(frozenset()), colour_sets)),
        exclude_any=draw(st.one_of(st.just(frozenset()), colour_sets)),
    )


def check(layer: Layer, graph: Graph, asked: Constraints, source: str, target: str) -> None:
    """By each objective, the cost that networkx finds over the links that may be used; and a path that costs that."""
    allowed = nx.MultiDiGraph(layer.networkx(asked.demand, asked.reverse_demand))
    wrong = [
        (u, v, key)
        for u, v, key, arc in allowed.edges(keys=True, data=True)
        if not admits(layer, arc["link"], arc["direction"], asked)
    ]
    allowed.remove_edges_from(wrong)
    allowed.remove_nodes_from(asked.exclude_nodes)
    processing = {node.name: node.processing_us for node in layer.nodes}
    for objective in Objective:
        for _, _, arc in allowed.edges(data=True):
            arc["cost"] = figure(layer, objective, arc, asked.demand)
        route = find(graph, source, target, asked, objective)
        if not nx.has_path(allowed, source, target):
            assert route is None
            continue
        assert route is not None
        least = nx.dijkstra_path_length(allowed, source, target, weight="cost")
        own = processing[target] if objective is Objective.DELAY and source != target else 0
        assert (route.cost, route.method, route.gap) == (least - own, Method.SHORTEST, 0)
        hops = list(zip(route.path.nodes, route.path.nodes[1:], route.path.links, strict=False))
        assert len(hops) == len(route.path.links) == len(set(route.path.nodes)) - 1
        assert sum(allowed.edges[hop]["cost"] for hop in hops) == least
        assert tuple(allowed.edges[hop]["direction"] for hop in hops) == route.path.directions
        delay = sum(allowed.edges[hop]["delay"] for hop in hops)
        assert route.path.delay_us == (delay - processing[target] if hops else 0)
        assert (route.path.nodes[0], route.path.nodes[-1]) == (source, target)


def figure(layer: Layer, objective: Objective, arc: dict[str, Link], demand: int) -> int:
    link, way = arc["link"], arc["direction"]
    if objective is Objective.LOAD:
        return 1000 * link.capacity_kbps // max(1, layer.free[link.name, way] - demand)
    figures = {Objective.DELAY: arc["delay"], Objective.IGP: link.igp_metric, Objective.TE: link.te_metric}
    return figures[objective]


@many
@given(st.data(), layers())
def test_every_objective_and_exclusion_is_answered_as_by_networkx(data: st.DataObject, layer: Layer) -> None:
    check(layer, layer.graph(), data.draw(exclusions(layer)), "n0", layer.nodes[-1].name)


@st.composite
def changes(draw: st.DrawFn, layer: Layer, graph: Graph) -> tuple[Layer, Graph]:
    """A layer after some changes, and a graph that followed them one by one."""
    for _ in range(draw(st.integers(1, 5))):
        link = draw(st.sampled_from(layer.links))
        match draw(st.sampled_from(("open", "free", *ADDITIVE))):
            case "open":
                may = draw(st.booleans())
                layer = replace(layer, closed=layer.closed - {link.name} if may else layer.closed | {link.name})
                graph = graph.opened({link.name: may})
            case "free":
                left = {(link.name, draw(st.integers(0, 1))): draw(st.integers(0, 10))}
                layer, graph = replace(layer, free={**layer.free, **left}), graph.with_free(left)
            case objective:
                value = draw(st.integers(0, 12))
                layer, graph = (
                    with_figure(layer, link, objective, value),
                    graph.with_metrics(objective, {link.name: value}),
                )
    return layer, graph


def with_figure(layer: Layer, link: Link, objective: str, value: int) -> Layer:
    match objective:
        case Objective.DELAY:
            new = replace(link, delay_us=value)
        case Objective.IGP:
            new = replace(link, igp_metric=value)
        case _:
            new = replace(link, te_metric=value)
    return replace(layer, links=tuple(new if each.name == link.name else each for each in layer.links))


@many
@given(st.data(), layers(min_nodes=2).filter(lambda layer: layer.links))
def test_a_graph_that_followed_changes_answers_as_one_built_anew(data: st.DataObject, layer: Layer) -> None:
    before = layer.graph()
    answers = [find(before, "n0", layer.nodes[-1].name, NONE, objective) for objective in Objective]
    changed, graph = data.draw(changes(layer, before))
    target, anew = layer.nodes[-1].name, changed.graph()
    check(changed, graph, NONE, "n0", target)
    for objective in Objective:
        for asked in (NONE, Constraints(max_delay_us=20, max_hops=4), Constraints(demand=3, max_delay_us=12)):
            assert find(graph, "n0", target, asked, objective) == find(anew, "n0", target, asked, objective)
    assert answers == [find(before, "n0", target, NONE, objective) for objective in Objective], "nothing has moved"


def national(seed: int, count: int = 300) -> Layer:
    """Large enough for landmarks: nodes on a map, each linked to some near ones; delays follow the map loosely."""
    random = Random(seed)
    spots = [(random.uniform(30, 50), random.uniform(80, 120)) for _ in range(count)]
    nodes = tuple(
        Node(f"n{i}", NodeKind.ROUTER, latitude=lat, longitude=lon, processing_us=random.randint(0, 30))
        for i, (lat, lon) in enumerate(spots)
    )
    links = []
    for i, (lat, lon) in enumerate(spots):
        near = sorted(range(count), key=lambda j: (spots[j][0] - lat) ** 2 + (spots[j][1] - lon) ** 2)
        for j in near[1:4]:
            delay = round(500 * ((spots[j][0] - lat) ** 2 + (spots[j][1] - lon) ** 2) ** 0.5 * random.uniform(1, 1.5))
            links.append(
                Link(
                    f"l{len(links)}",
                    LinkKind.ADJACENCY,
                    f"n{i}",
                    f"n{j}",
                    delay_us=delay,
                    capacity_kbps=10,
                    igp_metric=random.randint(1, 100),
                    te_metric=random.randint(0, 9),
                )
            )
    free = {(link.name, way): random.randint(0, 10) for link in links for way in (0, 1)}
    return Layer(nodes, tuple(links), free)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 1 << 30))
def test_landmarks_and_the_map_mislead_nobody_after_changes(seed: int) -> None:
    random, layer = Random(seed), national(seed)
    graph = layer.graph()
    for objective in (None, *ADDITIVE, *ADDITIVE):
        for _ in range(6 if objective else 0):
            link = random.choice(layer.links)
            value = random.choice((0, 1, link.igp_metric + 50, link.delay_us + 500))
            layer, graph = with_figure(layer, link, objective, value), graph.with_metrics(objective, {link.name: value})
        for _ in range(2):
            source, target = random.sample(layer.nodes, 2)
            check(layer, graph, Constraints(demand=random.randint(0, 3)), source.name, target.name)


def link(name: str, a: str, z: str, **figures: int) -> Link:
    return Link(name, LinkKind.ADJACENCY, a, z, **{"capacity_kbps": 10, **figures})


def square() -> Graph:
    """a - b - z and a - c - z."""
    nodes = [Node(name, NodeKind.ROUTER) for name in "abcz"]
    links = (link("ab", "a", "b"), link("bz", "b", "z"), link("ac", "a", "c", delay_us=5), link("cz", "c", "z"))
    return build(nodes, links)


@pytest.mark.parametrize(
    ("ends", "constraints", "reason"),
    [
        ("a?", NONE, "UNKNOWN_NODE"),
        ("?z", NONE, "UNKNOWN_NODE"),
        ("az", Constraints(exclude_nodes=frozenset({"?"})), "UNKNOWN_NODE"),
        ("az", Constraints(include_nodes=frozenset({"?"})), "UNKNOWN_NODE"),
        ("az", Constraints(exclude_links=frozenset({"?"})), "UNKNOWN_LINK"),
        ("az", Constraints(include_links=frozenset({"?"})), "UNKNOWN_LINK"),
        ("az", Constraints(exclude_nodes=frozenset({"a"})), "CONTRADICTION"),
        ("az", Constraints(exclude_nodes=frozenset({"z"})), "CONTRADICTION"),
        ("az", Constraints(exclude_nodes=frozenset({"b"}), include_nodes=frozenset({"b"})), "CONTRADICTION"),
        ("az", Constraints(exclude_links=frozenset({"ab"}), include_links=frozenset({"ab"})), "CONTRADICTION"),
    ],
)
def test_bad_questions_are_refused(ends: str, constraints: Constraints, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        find(square(), ends[0], ends[1], constraints)
    assert refused.value.reason == reason
    with pytest.raises(Invalid):
        find(square().opened(dict.fromkeys(("ab", "ac"), False)), ends[0], ends[1], constraints)


@pytest.mark.parametrize(
    "field", ["demand", "reverse_demand", "max_delay_us", "max_hops", "max_jitter_us", "mtu_bytes"]
)
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 1 << 42])
def test_bounds_that_are_no_numbers_are_refused(field: str, value: float) -> None:
    with pytest.raises(Invalid):
        Constraints(**{field: value})


def test_places_on_the_way_turn_the_path_and_are_passed_with_a_bound() -> None:
    graph = square()
    direct, turned = find(graph, "a", "z"), find(graph, "a", "z", Constraints(include_nodes=frozenset({"c"})))
    assert direct is not None
    assert turned is not None
    assert (direct.path.nodes, direct.method) == (("a", "b", "z"), Method.SHORTEST)
    assert (turned.path.nodes, turned.method, turned.cost) == (("a", "c", "z"), Method.LABELS, 5)
    assert find(graph, "a", "z", Constraints(include_nodes=frozenset({"c"}), max_delay_us=4)) is None
    assert find(graph, "a", "z", Constraints(include_nodes=frozenset({"b", "c"}))) is None


def test_a_node_alone_reaches_itself_and_nothing_else() -> None:
    graph = build([Node("a", NodeKind.ROUTER)], ())
    for objective in Objective:
        route = find(graph, "a", "a", Constraints(max_delay_us=1, demand=5), objective)
        assert route is not None
        assert (route.path.nodes, route.path.links, route.cost, route.path.delay_us) == (("a",), (), 0, 0)
    with pytest.raises(Invalid):
        find(build((), ()), "a", "a")


def test_a_link_without_capacity_carries_nothing_but_may_be_used_for_nothing() -> None:
    graph = build([Node("a", NodeKind.ROUTER), Node("z", NodeKind.ROUTER)], [link("az", "a", "z", capacity_kbps=0)])
    for objective in Objective:
        assert find(graph, "a", "z", Constraints(demand=1), objective) is None
        assert find(graph, "a", "z", Constraints(reverse_demand=1), objective) is None
        assert find(graph, "a", "z", NONE, objective) is not None


def test_a_long_way_over_full_links_is_still_a_sum() -> None:
    """Every link is exactly filled: dear, but not so dear that a sum of many is no number any more."""
    count, capacity = 3000, 400_000_000
    nodes = [Node(f"n{i}", NodeKind.ROUTER) for i in range(count)]
    links = [
        Link(f"l{i}", LinkKind.ADJACENCY, f"n{i}", f"n{i + 1}", capacity_kbps=capacity, igp_metric=MAX_METRIC)
        for i in range(count - 1)
    ]
    graph = build(nodes, links)
    for objective, each in ((Objective.LOAD, 10**6), (Objective.IGP, MAX_METRIC)):
        route = find(graph, "n0", f"n{count - 1}", Constraints(demand=capacity), objective)
        assert route is not None
        assert route.cost == each * (count - 1)


@pytest.mark.parametrize("figure", [-1, MAX_METRIC + 1])
def test_figures_out_of_range_are_refused(figure: int) -> None:
    nodes = [Node("a", NodeKind.ROUTER), Node("b", NodeKind.ROUTER)]
    for field in ("delay_us", "igp_metric", "te_metric", "jitter_us"):
        with pytest.raises(Invalid):
            build(nodes, [replace(Link("l", LinkKind.ADJACENCY, "a", "b"), **{field: figure})])
    with pytest.raises(Invalid):
        build(nodes, [Link("l", LinkKind.ADJACENCY, "a", "b")]).with_free({("l", 0): -1})
