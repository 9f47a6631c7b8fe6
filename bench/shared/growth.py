"""How the time of one search grows with the network."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from math import log

import numpy as np
from shared.graphs import DEMAND_KBPS, country
from shared.peers import Pruned, ours
from shared.rows import Row, race, row

SIZES = (300, 1_000, 3_000, 10_000, 30_000, 100_000)
SMALL = (300, 600, 1_200)


def with_size(options: Namespace) -> Iterator[Row]:
    """The slope of log(median) over log(nodes), at four links a node."""
    sizes = SMALL if options.small else SIZES
    times: dict[str, list[float]] = {}
    for nodes in sizes:
        layer = country(nodes, options.seed)
        own, pruned = ours(layer, DEMAND_KBPS), Pruned(layer, DEMAND_KBPS)
        questions = layer.pairs(min(options.rounds, 60), options.seed)
        race([own], questions[:3])
        for name, median in race([own, pruned.rustworkx[0], *pruned.scipy], questions).items():
            times.setdefault(name, []).append(median)
    for name, medians in times.items():
        exponent = float(np.polyfit([log(n) for n in sizes], [log(us) for us in medians], 1)[0])
        figures = ", ".join(f"{n}: {us:.0f} µs" for n, us in zip(sizes, medians, strict=True))
        print(f"{name}: {figures}")
        goal = 1.10 if name == "ours" else None
        yield row(
            f"growth, {sizes[0]} to {sizes[-1]} nodes, exponent, {name}",
            exponent,
            "",
            goal=goal,
            limit="memory: large graphs leave the cache",
        )
