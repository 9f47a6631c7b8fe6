"""Searches that are more than one shortest path: ranked, bounded, disjoint; and the lists that force a path."""

from __future__ import annotations

import statistics
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from shared.graphs import DEMAND_KBPS, Layer
from shared.peers import Pruned
from shared.rows import Contender, Differ, Row, race, row, timed
from shared.searches import stage

from controller.core.errors import Infeasible
from controller.core.graph import Objective
from controller.core.paths import Constraints, Path, find
from controller.core.paths.disjoint import Diversity, disjoint_pair
from controller.core.paths.ranking import ranked
from controller.core.segments.encoding import encode
from controller.core.segments.igp import Underlay
from controller.core.segments.sids import Sids, Tail

K = 8
DEMAND = Constraints(demand=DEMAND_KBPS)
BLOCK, DECAPSULATION, ADJACENCY = "fcbb:bb00::/32", 0xE000, 0xE100
HOPS = 30


def ranked_paths(options: Namespace) -> Iterator[Row]:
    """The 8 shortest by delay."""
    layer = stage(options)
    graph, names, pruned = layer.graph, layer.names, Pruned(layer, DEMAND_KBPS)
    peer = pruned.graph_of_igraph
    contenders = [
        Contender(
            "ours",
            lambda a, z: ranked(graph, names[a], names[z], K, DEMAND),
            lambda routes, *_: tuple(route.path.delay_us for route in routes),
        ),
        Contender(
            "igraph get_k_shortest_paths",
            lambda a, z: peer.get_k_shortest_paths(a, to=z, k=K, weights="delay"),
            lambda paths, *_: tuple(pruned.length(path) for path in paths),
        ),
    ]
    questions = layer.pairs(9 if options.rounds > 50 else 3, options.seed)
    race(contenders[:1], questions[:1])
    medians = race(contenders, questions)
    beside = (contenders[1].name, medians[contenders[1].name])
    limit = "one search per space of paths"
    yield row(f"{K} shortest, {layer.name}", medians["ours"], "µs", beside, goal=0.06, limit=limit)


def bounded_cost(options: Namespace) -> Iterator[Row]:
    """Least IGP cost within 1.1 times the least delay: no peer has it. Every answer is checked against its bound."""
    layer = stage(options)
    graph, names = layer.graph, layer.names
    took, methods = [], Counter[str]()
    for turn, (a, z) in enumerate(layer.pairs(min(options.rounds, 20) + 1, options.seed)):
        quickest = find(graph, names[a], names[z], DEMAND)
        bound = quickest.path.delay_us * 11 // 10 if quickest else 0
        asked = Constraints(demand=DEMAND_KBPS, max_delay_us=bound)
        us, route = timed(_answer, (find, graph, names[a], names[z], asked, Objective.IGP))
        if route and route.path.delay_us > bound:
            raise Differ(f"{names[a]} to {names[z]}: {route.path.delay_us} µs, at most {bound} were asked for")
        if turn:  # the first one compiles
            took.append(us)
            methods[f"{route.method}, gap {route.gap:.0%}" if route else "given up"] += 1
    print("answered by " + ", ".join(f"{name}: {count}" for name, count in methods.items()))
    yield row(f"least IGP cost within 1.1 x the least delay, {layer.name}", statistics.median(took), "µs")


def _answer(search, *question):  # type: ignore[no-untyped-def]
    try:
        return search(*question)
    except Infeasible:
        return None


def disjoint_pairs(options: Namespace) -> Iterator[Row]:
    """Two paths without a common node, least sum of delays."""
    layer = stage(options)
    graph, names = layer.graph, layer.names
    own = Contender(
        "ours",
        lambda a, z: disjoint_pair(graph, names[a], names[z], Diversity.NODE, DEMAND),
        lambda pair, *_: pair and pair.cost,
    )
    questions = layer.pairs(min(options.rounds, 40), options.seed)
    race([own], questions[:1])
    yield row(f"node-disjoint pair of least delay, {layer.name}", race([own], questions)["ours"], "µs")


def segment_lists(options: Namespace) -> Iterator[Row]:
    """The list that forces a path of 30 hops, verified by walking it; cold: nothing is known of the IGP's routes, warm:
    asked twice before (what is asked for once is not kept)."""
    layer = stage(options)
    sids, hops = _sids(layer), HOPS if not options.small else 5
    cold, again, warm, lengths = [], [], [], []
    for turn, path in enumerate(islice(_paths(layer, hops, options.seed), 16)):
        tail = Tail(path.nodes[-1], DECAPSULATION, f"uDT6({path.nodes[-1]}, vrf 7)")
        underlay = Underlay.of(layer.graph)
        for times in (cold, again, warm):
            us, encoding = timed(encode, (path, tail, sids, [underlay]))
            if turn:  # the first one compiles
                times.append(us)
                lengths.append(len(encoding.segments.carriers))
    print(f"carriers of a list: {min(lengths)} to {max(lengths)}; each expanded to exactly its path")
    for name, times in (("cold", cold), ("asked again", again), ("warm", warm)):
        yield row(f"segment list for {hops} hops, {layer.name}, {name}", statistics.median(times), "µs")


def _sids(layer: Layer) -> Sids:
    shape = layer.graph.shape
    first = {node: int(shape.first[i]) for i, node in enumerate(shape.nodes)}

    def adjacency(node: str, link: str) -> int:
        arcs = shape.arc[shape.link_index[link]]
        here = arcs[0] if shape.tail[arcs[0]] == shape.node_index[node] else arcs[1]
        return ADJACENCY + int(here) - first[node]

    ids = {node: i + 1 for i, node in enumerate(shape.nodes)}
    return Sids(BLOCK, {Objective.IGP: ids}, adjacency, lambda _node: 8)


def _paths(layer: Layer, hops: int, seed: int) -> Iterator[Path]:
    """Least-delay paths of so many hops."""
    for a, z in layer.pairs(4000, seed):
        route = find(layer.graph, layer.names[a], layer.names[z], DEMAND)
        if route and len(route.path.links) == hops:
            yield route.path
