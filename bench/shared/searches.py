"""Single shortest paths under a demand (CSPF), on a country and on graphs of the Topology Zoo."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from functools import cache

from shared.graphs import CAPACITY_KBPS, DEMAND_KBPS, Layer, country, zoo
from shared.peers import Pruned, ours, pruning
from shared.rows import Row, fastest, race, row

FULL, SMALL = 10_000, 300
ZOO = (
    ("Cogentco", 0.6, (5, 20)),
    ("Kdl", 0.6, (5, 20)),
    ("TataNld", None, (5,)),
    ("backbone/europe", None, (5,)),
)
"""Name, goal against rustworkx, and percent of the arcs that lack room. So sparse are they that 20 leave pieces."""
MEMORY = "memory: every node is a cache miss"
PEERS = ("rustworkx", "scipy", "igraph", "networkx")


@cache
def nation(nodes: int, seed: int) -> Layer:
    return country(nodes, seed)


def stage(options: Namespace) -> Layer:
    """The 10 000 nodes with 40 000 links."""
    return nation(SMALL if options.small else FULL, options.seed)


def constrained(options: Namespace) -> Iterator[Row]:
    """CSPF by delay: pruning timed for none, then for all, then for us alone."""
    layer = stage(options)
    share = (layer.room < DEMAND_KBPS).mean()
    bare = layer.pruned(DEMAND_KBPS)
    print(
        f"{layer.name}: {len(layer.links)} links to near nodes, over the latitudes and longitudes of China;\n"
        f"demand {DEMAND_KBPS // 1_000_000} Gbit/s, residuals uniform in 0..100: {share:.1%} of the arcs lack room,\n"
        f"{len(bare.links)} links have it both ways. 'Pruned before': all search these. 'Pruned in the call': all get\n"
        "every link and the demand. 'We prune': peers have the arcs that lack room deleted, find() prunes as it goes.\n"
    )
    goals = {"scipy": 0.25, "rustworkx": 0.05}
    yield from against(f"CSPF, {layer.name}, pruned before", bare, 0, options, goals)
    own = ours(layer, DEMAND_KBPS)
    peers = {name: make() for name, make in pruning(layer, DEMAND_KBPS).items()}
    medians = race([own, *peers.values()], layer.pairs(options.rounds // 4, options.seed))
    for name, peer in peers.items():
        beside = peer.name, medians[peer.name]
        yield row(
            f"CSPF, {layer.name}, pruned in the call", medians["ours"], "µs", beside, goal=goals.get(name), limit=MEMORY
        )
    yield from against(f"CSPF, {layer.name}, we prune", layer, DEMAND_KBPS, options, {})


def of_the_zoo(options: Namespace) -> Iterator[Row]:
    """CSPF on real graphs: so small that what surrounds a search counts as much as the search."""
    for name, goal, shares in ZOO:
        layer = zoo(name, options.instances, options.seed)
        if layer is None:
            print(f"skipped: {name} is neither in topohub nor in --instances DIR/topozoo or DIR/repetita")
            continue
        for share in shares:
            title = f"CSPF, {layer.name} ({len(layer.names)} nodes), {share} % lack room"
            yield from against(title, layer, share * CAPACITY_KBPS // 100, options, {"rustworkx": goal})


def against(name: str, layer: Layer, demand: int, options: Namespace, goals: dict[str, float | None]) -> Iterator[Row]:
    """One row per library, each by the fastest of its calls that return a path."""
    own, pruned, questions = (
        ours(layer, demand),
        Pruned(layer, demand),
        layer.pairs(options.rounds, options.seed, demand),
    )
    race([own], questions[:5])  # compiles, and measures the landmarks
    chosen = {peer: fastest(getattr(pruned, peer), questions[:5]) for peer in PEERS}
    slow = chosen.pop("networkx")
    medians = race([own, *chosen.values(), pruned.rustworkx_length], questions)
    limit = "the Python around the kernel" if len(layer.names) < 1000 else MEMORY
    for peer, contender in (*chosen.items(), ("", pruned.rustworkx_length)):
        beside, goal = (contender.name, medians[contender.name]), goals.get(peer)
        yield row(name if peer else f"{name}, length only", medians["ours"], "µs", beside, goal=goal, limit=limit)
    medians = race([own, slow], questions[:20])
    yield row(name, medians["ours"], "µs", (slow.name, medians[slow.name]))
