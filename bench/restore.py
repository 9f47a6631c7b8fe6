"""Bulk restoration: one cut of the busiest fibre of a model network, all corridors over it on new paths.

bench/restore.py [--json FILE] [--seed N] [--small]

The model is two metropolitan rings, joined by three long routes (bench/shared/model_network.py); seven corridors in
eight run from one to the other, one in four has slices of its own. Devices are peers in a process of their own, over
real sockets: P4Runtime servers, OpenFlow switches, line cards; the store is SQLite on disk with a sync per
transaction. Measured from the link's being observed down: until the last new path is stored (planned), until the first
and the last corridor are on their new paths, and until nothing of the old ones is left. The median of several cuts; in
between the fibre is mended, and the corridors stay. The floor is what packet nodes were written, by bare stubs with
requests made beforehand, and a sync for each transaction.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Iterator
from statistics import median

from shared.bare_writes import floor_s
from shared.model_network import model
from shared.restored_network import Took, running
from shared.rows import Row, row
from shared.run import Case, options_of, run

from controller.app import THRESHOLDS
from controller.core.warm import warm

FLOOR = "bare stubs and syncs"
GOAL_S = 2.0
LIMIT = "Python: planning, rendering, encoding and JSON share a processor with the threads of OpenFlow"


def one_cut(options: argparse.Namespace) -> Iterator[Row]:
    corridors, sites, cuts = (40, 4, 2) if options.small else (1_900, 8, 5)
    gc.set_threshold(*THRESHOLDS)
    warm()
    took, floors = asyncio.run(_cuts(corridors, sites, cuts, options.seed))
    hit = min(each.corridors for each in took)
    goal = None if options.small else GOAL_S
    name = f"{hit:,} corridors and more after one cut"
    restored = median(each.restored for each in took)
    yield row(f"{name}: planned and stored", median(each.planned for each in took), "s")
    yield row(f"{name}: the first on its new path", median(each.first for each in took), "s")
    yield row(f"{name}: the last on its new path", restored, "s", goal=goal, limit=LIMIT)
    yield row(f"{name}: the old paths gone", median(each.cleaned for each in took), "s", (FLOOR, median(floors)))


async def _cuts(corridors: int, sites: int, cuts: int, seed: int) -> tuple[list[Took], list[float]]:
    took, floors = [], []
    async with running(model(sites, corridors, seed)) as network:
        await network.make()
        for _ in range(cuts):
            fibre = network.model.busiest(network.state.records)
            took.append(await network.cut(fibre))
            floors.append(await floor_s(network))
            await network.mend(fibre)
    return took, floors


CASES: tuple[Case, ...] = (one_cut,)


def main() -> int:
    options = options_of(__doc__ or "").parse_args()
    return run(CASES, options, "differs", "every corridor that was hit is up, and off the fibre")


if __name__ == "__main__":
    sys.exit(main())
