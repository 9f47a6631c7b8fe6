"""How fast slots are handed out: in memory through the core, and durably through the store.

One allocation is the slots of one slice on one server ODU, in both directions.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from plan import live, requests
from shared.rows import Differ, Row, row
from shared.slices import DIRECTIONS, Network, Placements, allocated, arrivals, conus, metro

from controller.core.errors import Infeasible
from controller.core.ids import Ids
from controller.core.model import Container, EventType, Isolation, Profile, SliceHop
from controller.core.otn import Ledger, parse_slots
from controller.core.otn.grooming import groom
from controller.core.otn.ledger import slice_claims
from controller.core.plan import Plan, plan
from controller.store import Store

GOAL = 50_000
LIMIT = "objects of the ledger: claims, keys and rows"
ROUNDS, AT_LEAST = 5, 20_000
"""The best of so many rounds, each of at least so many allocations."""
COMMITS, FEW, TURNS = 300, 20, 20

Asked = list[tuple[str, tuple[str, ...], int]]
"""(slice, route, slots) in the order in which they are allocated."""


def in_memory(options: Namespace) -> Iterator[Row]:
    """The slices that first fit carries, once more: grooming and ledger, then the ledger alone, beside bare bitmaps."""
    network = conus(options.instances, options.paths) or metro(options.paths)
    placements = arrivals(network, options.seed)[1].placed
    asked = [(name, *_asked(hops)) for name, hops in placements.items()]
    hops = sum(len(route) for _, route, _ in asked)
    repeat = 1 if options.small else 1 + AT_LEAST // hops
    (chosen, booked, floor), (by_the_clock, *_) = best(
        [lambda: again(network, asked), lambda: allocated(network.ledger, placements), lambda: bare(placements)], repeat
    )
    name, beside = f"allocations, {network.name}", ("bare bitmaps, nothing chosen", hops / floor)
    yield row(f"{name}, chosen and booked", hops / chosen, "/s", goal=GOAL, limit=LIMIT, at_least=True)
    yield row(f"{name}, chosen and booked", hops / chosen, "/s", beside)
    yield row(f"{name}, the same by the clock", hops / by_the_clock, "/s")
    yield row(f"{name}, booked as planned before", hops / booked, "/s", beside)
    seconds, count = churned(network, placements, options)
    yield row(f"{name}, full, some go and come", count / seconds, "/s", beside)
    yield row(f"{name}, slots", sum(len(route) * slots for _, route, slots in asked) / chosen, "/s")
    yield row(f"{name}, slices", len(asked) / chosen, "/s")


def _asked(hops: Sequence[SliceHop]) -> tuple[tuple[str, ...], int]:
    return tuple(hop.link for hop in hops), len(parse_slots(hops[0].slots))


def best(works: Sequence[Callable[[], object]], repeat: int) -> tuple[list[float], list[float]]:
    """Seconds of one run of each work, of its core and by the clock: the fastest of several rounds, taken in turns.

    Without the garbage collector.
    """
    cores: list[list[float]] = [[] for _ in works]
    clocks: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for core, clock, work in zip(cores, clocks, works, strict=True):
            gc.collect()
            gc.disable()
            began = process_time(), perf_counter()
            for _ in range(repeat):
                work()
            core.append((process_time() - began[0]) / repeat)
            clock.append((perf_counter() - began[1]) / repeat)
            gc.enable()
    return [min(times) for times in cores], [min(times) for times in clocks]


def again(network: Network, asked: Asked) -> Ledger:
    """Server and slots chosen by grooming and taken in the ledger, slice by slice."""
    topology, ledger = network.topology, network.ledger
    for name, route, slots in asked:
        hops = groom(topology, ledger, route, Container.FGODUFLEX, slots).hops
        ledger = ledger.change(frozenset(), frozenset(slice_claims(name, hops)))
    return ledger


def churned(network: Network, placements: Placements, options: Namespace) -> tuple[float, int]:
    """(seconds, allocations) on full fibres: a tenth of the slices goes and comes back in another order, where it fits.

    Slots are scattered by that; what the release takes is in the time, what is refused counts for nothing.
    """
    chance, ledger, standing = random.Random(options.seed), allocated(network.ledger, placements), dict(placements)
    turns = [chance.sample(sorted(placements), len(placements) // 10) for _ in range(1 if options.small else TURNS)]
    count, began = 0, process_time()
    for names in turns:
        gone = [(name, standing.pop(name)) for name in names if name in standing]
        for name, hops in gone:
            ledger = ledger.change(frozenset(slice_claims(name, hops)), frozenset())
        for name, hops in reversed(gone):
            route, slots = _asked(hops)
            try:
                standing[name] = groom(network.topology, ledger, route, Container.FGODUFLEX, slots).hops
            except Infeasible:
                continue
            ledger = ledger.change(frozenset(), frozenset(slice_claims(name, standing[name])))
            count += len(route)
    return process_time() - began, count


def bare(placements: Placements) -> dict[tuple[str, str], list[int]]:
    """The floor: as many slots, the next ones of the same servers, set in bare bitmaps both ways; nothing is chosen."""
    taken: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for hops in placements.values():
        slots = len(parse_slots(hops[0].slots))
        for hop in hops:
            there_and_back = taken[hop.link, hop.server]
            bits = (1 << slots) - 1 << there_and_back[0].bit_length()
            there_and_back[0] |= bits
            there_and_back[1] |= bits
    return taken


def durable(options: Namespace) -> Iterator[Row]:
    """Corridors of one slice each, planned before, committed one by one: SQLite with a sync at each transaction."""
    plans = list(planned(FEW if options.small else COMMITS, options.seed))
    with TemporaryDirectory() as folder:
        ours, floor = asyncio.run(committed(Path(folder), plans))
    each = sum(len(plan.rows) for plan in plans) / len(DIRECTIONS)
    beside = "as many rows by bare sqlite3", len(plans) / floor
    yield row("durable, metro-beijing, slices, one to a transaction", len(plans) / ours, "/s", beside)
    yield row("durable, metro-beijing, allocations", each / ours, "/s")


def planned(count: int, seed: int) -> Iterator[Plan]:
    """Hard corridors of one slot between random sites, each planned on what the ones before left."""
    snapshot = live("metro-beijing")
    for corridor in requests(snapshot, Isolation.HARD, count, seed):
        small = replace(corridor, profiles=(Profile("training", 5_000),))
        try:
            made = plan(snapshot, small, explains=False)
        except Infeasible:
            continue
        yield made
        snapshot = replace(snapshot, ledger=made.ledger, ids=made.ids)


async def committed(folder: Path, plans: Sequence[Plan]) -> tuple[float, float]:
    """Seconds by the clock, of the store and of bare sqlite3, which take turns. `Differ` where a new start does not
    find them all."""
    first, url = live("metro-beijing"), f"sqlite:///{folder / 'store.db'}"
    ledger, ids, ours, floor = first.ledger, Ids(), 0.0, 0.0
    store, connection = await Store.open(url), bare_rows(folder / "floor.db")
    await store.open_ledger(ledger)
    for each in plans:
        began = perf_counter()
        await store.commit(each, ledger, ids, EventType.CREATED, first.now)
        ours += perf_counter() - began
        ledger, ids = each.ledger, each.ids
        began = perf_counter()
        update(connection, len(each.rows))
        floor += perf_counter() - began
    connection.close()
    await store.close()
    again = await Store.open(url)
    stored = await again.load()
    await again.close()
    if stored.records.keys() != {each.record.name for each in plans}:
        raise Differ("not every committed corridor was stored")
    return ours, floor


def bare_rows(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE ledger (id INTEGER PRIMARY KEY, bitmap TEXT, version INTEGER)")
    connection.executemany("INSERT INTO ledger VALUES (?, ?, 0)", [(i, "0" * 60) for i in range(100)])
    return connection


def update(connection: sqlite3.Connection, count: int) -> None:
    """One transaction with a sync, and nothing around it."""
    connection.execute("BEGIN IMMEDIATE")
    for i in range(count):
        connection.execute("UPDATE ledger SET bitmap = ?, version = version + 1 WHERE id = ?", (f"{1 << i:060x}", i))
    connection.execute("COMMIT")
