"""Restoration in bulk against a slow one: relaxing until nothing changes, and a ledger that recounts every claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import COLOURS, Layer

from controller.core.errors import Invalid
from controller.core.graph import Graph, Objective, build
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.core.paths import Constraints, Path, bulk, follow
from controller.core.paths.bulk import Book, Outcome, Release, Rerouted, Restored, Standing, restore

Claims = Counter[tuple[str, int]]
Hops = tuple[tuple[Link, int], ...]
"""A path: (link, direction) in order."""


def claims(path: Path, limits: Constraints) -> Claims:
    held: Claims = Counter()
    for link, way in zip(path.links, path.directions, strict=True):
        held[link, way] += limits.demand
        held[link, 1 - way] += limits.reverse_demand
    return held


@dataclass(frozen=True)
class Case:
    """A layer whose corridors are all booked in `free`; what is left beside them is small, so that room lacks."""

    layer: Layer
    standing: list[Standing]
    links: set[str]
    nodes: set[str]

    @property
    def cut(self) -> set[str]:
        return self.links | {link.name for link in self.layer.links if {link.a_node, link.z_node} & self.nodes}

    def book(self, graph: Graph) -> Book:
        book = Book(graph.shape)
        for each in self.standing:
            book.place(each, graph)
        return book


@st.composite
def cases(draw: st.DrawFn, max_nodes: int = 7) -> Case:
    """Sizes are drawn, so that they shrink; all else follows from one number, which is quick."""
    count, corridors = draw(st.sampled_from(range(2, max_nodes + 1))), draw(st.sampled_from(range(13)))
    chance = Random(draw(st.integers(0, 1 << 32)))
    layer = random_layer(chance, count, draw(st.sampled_from(range(count, 4 * count))))
    graph = layer.graph()
    standing = [each for i in range(corridors) if (each := random_standing(chance, layer, graph, f"c{i}"))]
    links = {link.name for link in layer.links if chance.random() < 0.08}
    links |= {chance.choice(each.path.links) for each in standing[:1]}
    nodes = {node.name for node in layer.nodes if chance.random() < 0.03}
    return Case(layer, standing, links, nodes)


def random_layer(chance: Random, count: int, links: int) -> Layer:
    nodes = tuple(Node(f"n{i}", NodeKind.ROUTER, processing_us=chance.randrange(3)) for i in range(count))
    drawn = [random_link(chance, f"l{i}", *chance.sample(nodes, 2)) for i in range(links)]
    free = {(link.name, way): chance.randrange(9) for link in drawn for way in (0, 1)}
    return Layer(nodes, tuple(drawn), free, frozenset(link.name for link in drawn if chance.random() < 0.05))


def random_link(chance: Random, name: str, a: Node, z: Node) -> Link:
    return Link(
        name,
        LinkKind.ADJACENCY,
        a.name,
        z.name,
        delay_us=chance.randrange(6),
        igp_metric=chance.randint(1, 3),
        jitter_us=chance.randrange(4),
        affinities=tuple(chance.sample(COLOURS, chance.choice((0, 0, 1, 2)))),
        mtu_bytes=chance.choice((1500, 9000, 9000, 9000)),
        srlgs=(chance.randrange(5),),
    )


def random_standing(chance: Random, layer: Layer, graph: Graph, name: str) -> Standing | None:
    """A corridor on a walk that turns back nowhere; its constraints need not allow where it stands."""
    start = at = chance.choice(layer.nodes).name
    seen, walked = {at}, []
    for _ in range(chance.randint(1, 4)):
        ways = [(link, other) for link in layer.links if (other := beyond(link, at)) and other not in seen]
        if ways:
            link, at = chance.choice(ways)
            seen.add(at)
            walked.append(link.name)
    limits = Constraints(
        demand=chance.randrange(6),
        reverse_demand=chance.choice((0, 0, 2, 5)),
        max_delay_us=chance.choice((0, 0, 0, 5, 12)),
        max_hops=chance.choice((0, 0, 0, 1, 2)),
        max_jitter_us=chance.choice((0, 0, 0, 3)),
        mtu_bytes=chance.choice((0, 0, 0, 9000)),
        exclude_any=frozenset(chance.choice(((), (), (), ("gold",)))),
        exclude_srlgs=frozenset(chance.choice(((), (), (), (1,)))),
    )
    return Standing(name, follow(graph, start, walked), limits, chance.randrange(3)) if walked else None


def beyond(link: Link, node: str) -> str | None:
    return {link.a_node: link.z_node, link.z_node: link.a_node}.get(node)


def replay(case: Case, answer: Restored, shared: bool, release: Release, objective: Objective) -> None:
    """Every answer is right at its turn, by a ledger that counts what each corridor holds from scratch."""
    layer, cut = case.layer, case.cut
    initial = Counter(layer.free)
    for each in case.standing:
        initial.update(claims(each.path, each.constraints))  # what there is for all
    holding = {each.name: claims(each.path, each.constraints) for each in case.standing}
    final = dict(holding)
    hit = sorted((s for s in case.standing if cut & {*s.path.links}), key=lambda s: (-s.priority, s.name))
    assert [each.name for each in answer.answers] == [each.name for each in hit]
    for each, got in zip(hit, answer.answers, strict=True):
        left = less(initial, {name: held for name, held in holding.items() if not (shared and name == each.name)})
        check(layer, each, got, cut, left, objective)
        if got.path is not None:
            old, new = holding[each.name], claims(got.path, each.constraints)
            both = old | new if shared else old + new
            final[each.name], holding[each.name] = new, new if release is Release.AT_ONCE else both
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


def check(layer: Layer, each: Standing, got: Rerouted, cut: set[str], left: Claims, objective: Objective) -> None:
    """One answer, against all the shortest paths that there are at its turn."""
    limits, ends = each.constraints, (each.path.nodes[0], each.path.nodes[-1])
    arcs = [(link, way) for link in layer.links if admits(layer, link, limits, cut) for way in (0, 1)]
    roomy = [(link, way) for link, way in arcs if has_room(link, way, limits, left)]
    best = [*shortest_paths(layer, roomy, *ends, objective)]
    kept = [keeps(layer, hops, limits) for hops in best]
    if got.outcome is Outcome.REROUTED:
        assert got.path is not None
        right = [as_path(layer, ends[0], hops) for hops, keep in zip(best, kept, strict=True) if keep]
        assert got.path in right
        return
    assert got.path is None
    if got.outcome is Outcome.BOUND:
        assert best
        assert not all(kept)
        return
    open_ = [*shortest_paths(layer, arcs, *ends, objective)]
    assert not best
    assert bool(open_) == (got.outcome is Outcome.NO_ROOM)
    lacking = [tuple(link.name for link, way in hops if not has_room(link, way, limits, left)) for hops in open_]
    assert got.bottlenecks in lacking if open_ else not got.bottlenecks


def admits(layer: Layer, link: Link, limits: Constraints, cut: set[str]) -> bool:
    return (
        link.name not in cut
        and link.name not in layer.closed
        and link.mtu_bytes >= limits.mtu_bytes
        and not {*link.affinities} & limits.exclude_any
        and not {*link.srlgs} & limits.exclude_srlgs
    )


def has_room(link: Link, way: int, limits: Constraints, left: Claims) -> bool:
    back = limits.reverse_demand
    return left[link.name, way] >= limits.demand and (not back or left[link.name, 1 - way] >= back)


def shortest_paths(
    layer: Layer, arcs: list[tuple[Link, int]], source: str, target: str, objective: Objective
) -> Iterator[Hops]:
    """All of least (metric, hops): relaxing until nothing changes, then back over every arc that is tight."""
    processing = {node.name: node.processing_us for node in layer.nodes}
    ends = [(link.a_node, link.z_node)[:: 1 - 2 * way] for link, way in arcs]
    figures = [
        link.delay_us + processing[v] if objective is Objective.DELAY else link.igp_metric
        for (link, _), (_, v) in zip(arcs, ends, strict=True)
    ]
    far, changed = {source: (0, 0)}, True
    while changed:
        changed = False
        for (u, v), figure in zip(ends, figures, strict=True):
            if u in far and (reached := (far[u][0] + figure, far[u][1] + 1)) < far.get(v, (1 << 60, 0)):
                far[v], changed = reached, True

    def back(node: str) -> Iterator[Hops]:
        if node == source:
            yield ()
        for arc, (u, v), figure in zip(arcs, ends, figures, strict=True):
            if v == node and u in far and (far[u][0] + figure, far[u][1] + 1) == far[v]:
                yield from ((*hops, arc) for hops in back(u))

    return back(target) if target in far else iter(())


def as_path(layer: Layer, source: str, hops: Hops) -> Path:
    heads = [(link.a_node, link.z_node)[1 - way] for link, way in hops]
    processing = {node.name: node.processing_us for node in layer.nodes}
    delay = sum(link.delay_us for link, _ in hops) + sum(processing[node] for node in heads[:-1])
    return Path((source, *heads), tuple(link.name for link, _ in hops), tuple(way for _, way in hops), delay)


def keeps(layer: Layer, hops: Hops, limits: Constraints) -> bool:
    return (
        (not limits.max_delay_us or as_path(layer, "", hops).delay_us <= limits.max_delay_us)
        and (not limits.max_hops or len(hops) <= limits.max_hops)
        and (not limits.max_jitter_us or sum(link.jitter_us for link, _ in hops) <= limits.max_jitter_us)
    )


ways = (
    st.booleans(),
    st.sampled_from(Release),
    st.sampled_from((Objective.DELAY, Objective.IGP)),
    st.sampled_from((0, 2, 16)),
    st.sampled_from((1, 20, 1 << 20)),
)
"""Shared or not, release, objective; searches that a tree is worth (0: none grows), arcs to one call of the kernel."""


@settings(max_examples=2500, deadline=None)
@given(cases(), *ways)
def test_each_turn_is_right_and_nothing_leaks(case, shared, release, objective, worth, batch):
    graph = case.layer.graph()
    before = graph.free.copy()
    with patch.object(bulk, "WORTH", worth), patch.object(bulk, "BATCH", batch):
        answer = restore(graph, case.book(graph), case.links, case.nodes, objective, shared=shared, release=release)
    assert (graph.free == before).all()
    replay(case, answer, shared, release, objective)


@settings(max_examples=700, deadline=None)
@given(cases(max_nodes=20), *ways[:3])
def test_each_turn_is_right_where_some_targets_have_trees_and_some_have_none(case, shared, release, objective):
    graph = case.layer.graph()
    answer = restore(graph, case.book(graph), case.links, case.nodes, objective, shared=shared, release=release)
    replay(case, answer, shared, release, objective)


@settings(max_examples=800, deadline=None)
@given(cases(), st.integers(0, 1 << 32), st.booleans())
def test_a_book_kept_in_step_is_a_book_built_anew(case, seed, trees):
    """Cuts, moves, corridors that leave and come back, and new delays, one after the other."""
    graph, chance = case.layer.graph(), Random(seed)
    book, now = case.book(graph), {each.name: each for each in case.standing}
    names = [link.name for link in case.layer.links]
    with patch.object(bulk, "WORTH", 16 * trees), patch.object(bulk, "_FIRST", 4):
        for _ in range(4):
            for name in [name for name in now if chance.random() < 0.5]:
                assert book.remove(name) == now[name]
                now[name] = replace(now[name], priority=chance.randrange(3))
                book.place(now[name], graph)
            fresh = Book(graph.shape)
            for each in now.values():
                fresh.place(each, graph)
            assert len(book) == len(now)
            cut = chance.sample(names, 1)
            answer = restore(graph, book, cut)
            assert answer.answers == restore(graph, fresh, cut).answers
            book.move(answer)
            now |= {got.name: replace(now[got.name], path=got.path) for got in answer.answers if got.path}
            graph = answer.graph.with_metrics(Objective.DELAY, {chance.choice(names): chance.randrange(6)})


def ring(capacity: int = 10) -> Graph:
    """a - b twice (fast, slow), b - c, a - c."""
    nodes = [Node(name, NodeKind.ROUTER) for name in "abcd"]
    ends = {"fast": "ab", "slow": "ab", "bc": "bc", "ac": "ac"}
    delay = {"fast": 1, "slow": 5, "bc": 1, "ac": 9}
    mtu = {"fast": 9000, "slow": 1500, "bc": 9000, "ac": 9000}
    return build(
        nodes,
        [
            Link(
                name,
                LinkKind.ADJACENCY,
                *pair,
                delay_us=delay[name],
                jitter_us=2,
                mtu_bytes=mtu[name],
                capacity_kbps=capacity,
            )
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


def outcome(limits: Constraints, links: tuple[str, ...] = ("fast",), nodes: tuple[str, ...] = ()) -> Rerouted:
    """Of one corridor from a over b to c."""
    graph = ring()
    graph = graph.with_free({("slow", 1): 3})
    book = Book(graph.shape)
    book.place(Standing("x", follow(graph, "a", ["fast", "bc"]), limits), graph)
    return restore(graph, book, links, nodes).answers[0]


@pytest.mark.parametrize(
    ("limits", "over"),
    [
        (Constraints(), ("slow", "bc")),
        (Constraints(demand=10, reverse_demand=3), ("slow", "bc")),
        (Constraints(demand=10, reverse_demand=4), ("ac",)),
        (Constraints(max_delay_us=6, max_hops=2, max_jitter_us=4), ("slow", "bc")),
        (Constraints(mtu_bytes=9000), ("ac",)),
        (Constraints(exclude_nodes=frozenset("b"), max_hops=1, max_jitter_us=2), ("ac",)),
        (Constraints(exclude_links=frozenset(["bc"])), ("ac",)),
    ],
)
def test_parallel_links_and_constraints_that_leave_a_path(limits, over):
    assert outcome(limits) == Rerouted("x", Outcome.REROUTED, follow(ring(), "a", over))


@pytest.mark.parametrize(
    ("limits", "links", "nodes", "expected"),
    [
        (Constraints(max_delay_us=5), ["fast"], [], Rerouted("x", Outcome.BOUND)),
        (Constraints(max_hops=1), ["fast"], [], Rerouted("x", Outcome.BOUND)),
        (Constraints(max_jitter_us=3), ["fast"], [], Rerouted("x", Outcome.BOUND)),
        (Constraints(), ["fast"], ["c"], Rerouted("x", Outcome.NO_PATH)),
        (Constraints(), [], ["a"], Rerouted("x", Outcome.NO_PATH)),
        (Constraints(mtu_bytes=9000), ["fast", "ac"], [], Rerouted("x", Outcome.NO_PATH)),
        (Constraints(demand=11), ["fast", "ac"], [], Rerouted("x", Outcome.NO_ROOM, None, ("slow",))),
        (Constraints(demand=11), ["fast", "slow"], [], Rerouted("x", Outcome.NO_ROOM, None, ("ac",))),
    ],
)
@pytest.mark.parametrize("worth", [0, 16])
def test_refusals(limits, links, nodes, expected, worth):
    with patch.object(bulk, "WORTH", worth):
        assert outcome(limits, links, nodes) == expected


def test_a_failed_node_is_passed_by():
    assert outcome(Constraints(demand=1), (), ("b",)).path == follow(ring(), "a", ["ac"])


def test_of_equal_priority_the_first_by_name_and_a_higher_one_before_it():
    graph = ring().with_free({("slow", 0): 4})
    over = follow(graph, "a", ["fast"])
    few, more = Constraints(demand=4), Constraints(demand=3)
    names = [Standing("b", over, few), Standing("a", over, few), Standing("z", over, more, 1)]
    answers = restore(graph, Book(graph.shape, names[:2]), ["fast"]).answers
    assert [(got.name, got.path and got.path.links) for got in answers] == [("a", ("slow",)), ("b", ("ac", "bc"))]
    answers = restore(graph, Book(graph.shape, names), ["fast"]).answers
    assert [(got.name, got.path and got.path.links) for got in answers] == [
        ("z", ("slow",)),
        ("a", ("ac", "bc")),
        ("b", ("ac", "bc")),
    ]


@pytest.mark.parametrize("batch", [1, 8, 1 << 20])
def test_room_runs_out_across_calls_of_the_kernel(batch):
    graph = ring().with_free({("slow", 0): 3, ("ac", 0): 2})
    standing = [Standing(f"c{i}", follow(graph, "a", ["fast"]), Constraints(demand=1)) for i in range(7)]
    standing.append(Standing("zero", follow(graph, "a", ["fast"])))
    with patch.object(bulk, "BATCH", batch):
        answers = restore(graph, Book(graph.shape, standing), ["fast"]).answers
    over = [got.path.links if got.path else got.bottlenecks for got in answers]
    assert over == 3 * [("slow",)] + 2 * [("ac", "bc")] + 2 * [("slow",)] + [("slow",)]
    assert [got.outcome for got in answers] == 5 * [Outcome.REROUTED] + 2 * [Outcome.NO_ROOM] + [Outcome.REROUTED]


@pytest.mark.parametrize("worth", [0, 16])
def test_what_was_learnt_of_old_delays_misleads_no_search_on_new_ones(worth):
    graph = ring()
    book = Book(graph.shape, [Standing("x", follow(graph, "a", ["fast", "bc"]))])
    with patch.object(bulk, "WORTH", worth):
        for delay, over in ((50, ["ac"]), (1, ["slow", "bc"]), (50, ["ac"])):
            graph = graph.with_metrics(Objective.DELAY, {"bc": delay})
            assert restore(graph, book, ["fast"]).answers[0].path == follow(graph, "a", over)


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
    with pytest.raises(Invalid):
        book.move(Restored((Rerouted("nobody", Outcome.REROUTED, path),), graph))
    for arguments in ({"links": ["none"]}, {"nodes": ["none"]}, {"objective": Objective.LOAD}):
        with pytest.raises(Invalid):
            restore(graph, book, **arguments)
    with pytest.raises(Invalid):
        restore(ring(), book, ["fast"])
    assert restore(graph, book).answers == ()
    nothing = build([], [])
    assert restore(nothing, Book(nothing.shape)).answers == ()
