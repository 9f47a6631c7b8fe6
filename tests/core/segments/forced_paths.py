"""Random layers with a path to force along them: what is asked of the code under test, and of simulated routers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

from hypothesis import strategies as st
from router_simulation import BINDING, BLOCK, TAIL, UNDERLAY, Network, Outcome

from controller.core.graph import Graph, Objective, build
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.core.paths.path import Path
from controller.core.segments.encoding import Encoding, encode
from controller.core.segments.igp import Underlay
from controller.core.segments.sids import Sids, Tail

BOTH = (Objective.IGP, Objective.DELAY)


@dataclass(frozen=True)
class Case:
    """A path along n0, n1, … over links p0, p1, … among other links."""

    count: int
    links: tuple[Link, ...]
    closed: frozenset[str] = frozenset()
    algorithms: tuple[Objective, ...] = BOTH
    carriers: int = 99
    """What every router imposes at most."""
    binders: frozenset[str] = frozenset()
    """Routers that offer a binding SID."""
    unnamed: frozenset[tuple[Objective, str]] = frozenset()
    """(algorithm, router) without a locator."""
    unbound: frozenset[tuple[str, str]] = frozenset()
    """(router, link) without a uA."""

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(f"n{i}" for i in range(self.count))

    @cached_property
    def graph(self) -> Graph:
        nodes = [Node(name, NodeKind.ROUTER, processing_us=7 * i % 5) for i, name in enumerate(self.nodes)]
        return build(nodes, self.links).opened(dict.fromkeys(self.closed, False))

    @property
    def underlay(self) -> Underlay:
        return Underlay.of(self.graph, self.algorithms)

    @property
    def path(self) -> Path:
        by_name = {link.name: link for link in self.links}
        hops = [by_name[f"p{i}"] for i in range(len(self.nodes) - 1)]
        ways = tuple(int(link.a_node != node) for link, node in zip(hops, self.nodes, strict=False))
        return Path(self.nodes, tuple(link.name for link in hops), ways, 0)

    @property
    def tail(self) -> Tail:
        return Tail(self.nodes[-1], TAIL, f"uDT6({self.nodes[-1]}, vrf 7)")

    @cached_property
    def network(self) -> Network:
        metrics = {
            Objective.IGP: {link.name: max(1, link.igp_metric) for link in self.links},
            Objective.DELAY: {link.name: max(1, link.delay_us) for link in self.links},
        }
        return Network(self.nodes, self.links, metrics, {by: self.ids(by) for by in self.algorithms}, self.closed)

    def ids(self, by: Objective) -> dict[str, int]:
        base = 1 if by is Objective.IGP else 0x101
        return {name: base + i for i, name in enumerate(self.nodes) if (by, name) not in self.unnamed}

    @property
    def sids(self) -> Sids:
        def adjacency(node: str, link: str) -> int | None:
            return None if (node, link) in self.unbound else self.network.adjacency(node, link)

        return Sids(
            BLOCK,
            {by: self.ids(by) for by in self.algorithms},
            adjacency,
            lambda _node: self.carriers,
            lambda node: BINDING if node in self.binders else None,
            lambda _node: UNDERLAY,
        )

    def encoded(self, *others: Case) -> Encoding:
        """For this layer, and for others with the same path."""
        return encode(self.path, self.tail, self.sids, [self.underlay, *(other.underlay for other in others)])

    def sent(self, encoding: Encoding) -> set[Outcome]:
        """What simulated routers make of it."""
        self.network.policies = {each.node: (each.link, each.segments.carriers) for each in encoding.bindings}
        return self.network.send(self.nodes[0], self.path.links[0], encoding.segments.carriers)

    @property
    def delivered(self) -> set[Outcome]:
        return {Outcome(self.path.links, self.nodes[-1], TAIL)}


def case(seed: int, most_nodes: int = 8, least_nodes: int = 2) -> Case:
    """A row of routers with other links beside: parallel ones, short cuts, ties, some of them closed."""
    random = Random(seed)
    count, high = random.randint(least_nodes, most_nodes), random.choice((1, 2, 3, 6))
    ends = [(f"p{i}", i, i + 1) for i in range(count - 1)]
    for i in range(random.randint(0, 2 * count)):
        a, z = random.sample(range(count), 2)
        if random.random() < 0.5:
            z = max(0, min(count - 1, a + random.choice((-2, -1, 1, 2))))
        if a != z:
            ends.append((f"x{i}", a, z))
    links = []
    for name, one, other in ends:
        a, z = (one, other) if random.random() < 0.5 else (other, one)
        igp, delay = random.randint(0, high), random.randint(0, high)
        links.append(Link(name, LinkKind.ADJACENCY, f"n{a}", f"n{z}", igp_metric=igp, delay_us=delay, capacity_kbps=1))
    closed = frozenset(link.name for link in links if link.name[0] == "x" and random.random() < 0.1)
    algorithms = random.choice((BOTH, BOTH, BOTH[:1], BOTH[1:]))
    return Case(count, tuple(links), closed, algorithms)


def poorer(its: Case, seed: int) -> Case:
    """The same with some ids missing."""
    random = Random(seed)
    unnamed = {(by, node) for by in its.algorithms for node in its.nodes if random.random() < 0.2}
    unbound = {(node, link.name) for link in its.links for node in its.nodes if random.random() < 0.1}
    return replace(its, unnamed=frozenset(unnamed), unbound=frozenset(unbound))


def changed(its: Case, seed: int) -> Case:
    """The same after other links went down or up, and metrics changed."""
    random = Random(seed)
    links = tuple(
        replace(link, igp_metric=random.randint(0, 4), delay_us=random.randint(0, 4)) if random.random() < 0.2 else link
        for link in its.links
    )
    toggled = {link.name for link in links if link.name[0] == "x" and random.random() < 0.1}
    return replace(its, links=links, closed=its.closed ^ toggled)


SEEDS = st.integers(0, 2**40)


def row(length: int, parallel: bool = False) -> Case:
    """n0 to n`length`, each joined to the next by one link, or two."""
    links = [
        Link(name, LinkKind.ADJACENCY, f"n{i}", f"n{i + 1}", igp_metric=1, capacity_kbps=1)
        for i in range(length)
        for name in (f"p{i}", f"x{i}")[: 1 + parallel]
    ]
    return Case(length + 1, tuple(links), algorithms=(Objective.IGP,))
