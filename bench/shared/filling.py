"""How much of a list of slices is carried: as they come, and planned as a whole."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import process_time

from shared.rows import Differ, Row, row
from shared.slices import (
    Network,
    Online,
    Placements,
    allocated,
    arrivals,
    conus,
    emptiest,
    metro,
    nearest,
    recount,
    require_optimum,
    whole,
)

from controller.core.otn import MAX_FGTS_PER_SLICE, Ledger
from controller.core.otn.filling import Demand, fill
from controller.core.otn.rooms import rooms_of

GOAL = 0.995
LIMIT = "whole slices in whole servers: the bound may split both"
ONLINE = {"first fit, as they come": nearest, "load-aware, as they come": emptiest}


@dataclass(frozen=True)
class Outcome:
    """What one way of planning carries of a list."""

    way: str
    placements: Placements
    after: Ledger
    carried: int
    took_s: float


def of_the_metro(options: Namespace) -> Iterator[Row]:
    yield from filled(metro(options.paths), options)


def of_the_backbone(options: Namespace) -> Iterator[Row]:
    network = conus(options.instances, options.paths)
    if network is None:
        print("skipped: CORONET is not in --instances DIR/coronet")
        return
    yield from filled(network, options)


def filled(network: Network, options: Namespace) -> Iterator[Row]:
    """The whole list, and, without a goal, the first part of it, which fits but for rounding."""
    demands, _ = arrivals(network, options.seed)
    outcomes, bound = ways(network, demands)
    yield from against_the_bound(f"{network.name}, filled", demands, outcomes, bound, goal=GOAL)
    for each in outcomes:
        yield from condition(network, demands, each, f"{network.name}, filled, {each.way}")
    fits = demands[: whole(network, demands)]
    yield from against_the_bound(f"{network.name}, what fits", fits, *ways(network, fits))


def against_the_bound(
    name: str, demands: Sequence[Demand], outcomes: Sequence[Outcome], bound: float, goal: float | None = None
) -> Iterator[Row]:
    """The goal is for the last of the ways, which plans the list as a whole."""
    asked = sum(demand.slots for demand in demands)
    print(f"{name}: {len(demands)} slices ask for {asked} slots; no plan carries more than {bound:.1f}")
    for each in outcomes:
        mine = goal if each is outcomes[-1] else None
        beside = "optimum of the linear program", bound
        yield row(f"{name}, {each.way}", each.carried, "", beside, goal=mine, limit=LIMIT, at_least=True)


def ways(network: Network, demands: Sequence[Demand]) -> tuple[list[Outcome], float]:
    """Each way of placing the list, recounted, the whole plan last; and the bound, which is checked to be reached."""
    outcomes = []
    for way, choose in ONLINE.items():
        began, online = process_time(), Online(network, choose)
        for demand in demands:
            online.offer(demand)
        took = process_time() - began
        outcomes.append(Outcome(way, online.placed, online.ledger, online.carried, took))
    began = process_time()
    plan = fill(demands, rooms_of(network.topology, network.ledger))
    took = process_time() - began
    after = allocated(network.ledger, plan.placements)
    outcomes.append(Outcome("planned as a whole", plan.placements, after, plan.carried, took))
    for each in outcomes:
        if recount(network, demands, each.placements, each.after) != each.carried:
            raise Differ(f"{each.way} carries another amount than it says")
    require_optimum(network, demands, plan.bound)
    return outcomes, plan.bound


def condition(network: Network, demands: Sequence[Demand], outcome: Outcome, name: str) -> Iterator[Row]:
    """How full the fibres are, in how many servers, and what is left in pieces too small for the largest slice."""
    slots = sum(network.room().values())
    left = [free for servers in network.free(outcome.after).values() for free in servers.values()]
    stranded = sum(free for free in left if free < MAX_FGTS_PER_SLICE)
    servers = {(hop.link, hop.server) for hops in outcome.placements.values() for hop in hops}
    pairs = {demand.routes for demand in demands}
    pairs -= {demand.routes for demand in demands if demand.name in outcome.placements}
    print(
        f"{name}: {len(outcome.placements)} slices in {outcome.took_s:.2f} s; {len(pairs)} of {len(network.routes)}"
        " pairs of sites get none"
    )
    yield row(f"{name}: taken of the fibres", slots - sum(left), "", ("slots", slots))
    yield row(f"{name}: free, of no use to 119", stranded, "", ("slots", slots))
    yield row(f"{name}: servers in use", len(servers), "", ("servers", len(left)))
