"""Have the kernels of path searches and segment lists compiled, or fetched from their cache, before anybody waits.

`python -m controller.core.warm` fills the cache once, after an installation: a minute on a slow machine.
"""

from __future__ import annotations

from controller.core.graph import Graph, Objective, build
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.core.paths import Constraints, disjoint_pair, find, nearest, ranked
from controller.core.paths.pair import Diversity
from controller.core.segments.encoding import encode
from controller.core.segments.igp import Underlay
from controller.core.segments.locators import ALGORITHMS
from controller.core.segments.sids import Sids, Tail


def warm() -> None:
    """One question of each kind, on three nodes."""
    graph = _triangle()
    find(graph, "a", "c")
    for constraints in (
        Constraints(max_delay_us=15, exclude_links=frozenset({"ab"})),
        Constraints(max_delay_us=25, max_hops=2),
        Constraints(include_nodes=frozenset({"b"})),
    ):
        find(graph, "a", "c", constraints, Objective.TE)
    ranked(graph, "a", "c", 2)
    nearest(graph, "a", ("b", "c"))
    disjoint_pair(graph, "a", "c", Diversity.NODE)
    _encode(graph)


def _triangle() -> Graph:
    nodes = [Node(name, NodeKind.ROUTER) for name in "abc"]
    links = [
        Link(a + z, LinkKind.ADJACENCY, a, z, delay_us=us, igp_metric=us, te_metric=30 - us, capacity_kbps=1)
        for a, z, us in (("a", "b", 10), ("b", "c", 10), ("a", "c", 15))
    ]
    return build(nodes, links)


def _encode(graph: Graph) -> None:
    """By way of b, where routes from there lead straight on; and a route's next hop."""
    locators = {
        by: {name: offset + i for i, name in enumerate("abc")} for by, offset in zip(ALGORITHMS, (1, 9), strict=True)
    }
    sids = Sids("fcbb:bb00::/32", locators, lambda _node, _link: 0xE000, lambda _node: 3)
    underlay = Underlay.of(graph, ALGORITHMS)
    route = find(graph, "a", "c", Constraints(include_nodes=frozenset({"b"})))
    assert route is not None
    encode(route.path, Tail("c", 0xE100, "uDT6(c)"), sids, (underlay,))
    for igp in underlay.igps.values():
        igp.next_arcs(0, 2)


if __name__ == "__main__":
    warm()
