"""Restoration in bulk against a slow one: relaxing until nothing changes, and a ledger that recounts every claim."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from restoration_ledger import cases, claims, replay

from controller.core.errors import Invalid
from controller.core.graph import Graph, Objective, build
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.core.paths import Constraints, Path, bulk, follow
from controller.core.paths.bulk import Book, Outcome, Release, Rerouted, Restored, Standing, restore

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
