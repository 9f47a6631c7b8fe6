"""The oracle of restoration in bulk: drawn cuts, all shortest paths at each turn, and a ledger of every claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from hypothesis import strategies as st
from random_graphs import COLOURS, Layer

from controller.core.graph import Graph, Objective
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.core.paths import Constraints, Path, follow
from controller.core.paths.bulk import Book, Outcome, Release, Rerouted, Restored, Standing

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
