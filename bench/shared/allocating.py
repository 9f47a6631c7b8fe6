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
from time import perf_counter

from plan import live, requests
from shared.rows import Differ, Row, row
from shared.slices import DIRECTIONS, Network, Placements, allocated, arrivals, conus, metro

from controller.core.errors import Infeasible
from controller.core.ids import Ids
from controller.core.model import Container, EventType, Isolation, Profile, SliceHop
from controller.core.otn import Ledger, bitmap_of, parse_slots
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
    each, slots = (sum(f(n, route) for _, route, n in asked) for f in (lambda n, r: len(r), lambda n, r: n * len(r)))
    name = f"allocations, {network.name}"
    repeat = 1 if options.small else 1 + AT_LEAST // each
    groomed = best(lambda: again(network, asked), repeat)
    booked = best(lambda: allocated(network.ledger, placements), repeat)
    seconds, count = churned(network, placements, options)
    floor = best(lambda: bare(placements), repeat)
    yield row(f"{name}, chosen and booked", each / groomed, "/s", goal=GOAL, limit=LIMIT, at_least=True)
    yield row(f"{name}, chosen and booked", each / groomed, "/s", ("bare bitmaps, nothing chosen", each / floor))
    yield row(f"{name}, booked as planned before", each / booked, "/s", ("bare bitmaps, nothing chosen", each / floor))
    yield row(f"{name}, full, some go and come", count / seconds, "/s", ("bare bitmaps, nothing chosen", each / floor))
    yield row(f"{name}, slots", slots / groomed, "/s")
    yield row(f"{name}, slices", len(asked) / groomed, "/s")


def _asked(hops: Sequence[SliceHop]) -> tuple[tuple[str, ...], int]:
    return tuple(hop.link for hop in hops), len(parse_slots(hops[0].slots))


def best(work: Callable[[], object], repeat: int) -> float:
    """Seconds of one piece of work: of several rounds the fastest, without the garbage collector."""
    took = []
    for _ in range(ROUNDS):
        gc.collect()
        gc.disable()
        began = perf_counter()
        for _ in range(repeat):
            work()
        took.append((perf_counter() - began) / repeat)
        gc.enable()
    return min(took)


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
    count, began = 0, perf_counter()
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
    return perf_counter() - began, count


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
    rows = [len(each.rows) for each in plans]
    with TemporaryDirectory() as folder:
        took = asyncio.run(committed(Path(folder), plans))
        floor = synced(Path(folder), rows)
    each = sum(rows) / len(DIRECTIONS)
    name = "durable, metro-beijing"
    beside = ("the same rows by bare sqlite3", len(plans) / floor)
    yield row(f"{name}, slices, one to a transaction", len(plans) / took, "/s", beside)
    yield row(f"{name}, allocations", each / took, "/s")


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


async def committed(folder: Path, plans: Sequence[Plan]) -> float:
    """Seconds. `Differ` where a new start does not find them all."""
    first = live("metro-beijing")
    ledger, ids = first.ledger, Ids()
    url = f"sqlite:///{folder / 'store.db'}"
    store = await Store.open(url)
    await store.open_ledger(ledger)
    began = perf_counter()
    for each in plans:
        await store.commit(each, ledger, ids, EventType.CREATED, first.now)
        ledger, ids = each.ledger, each.ids
    took = perf_counter() - began
    await store.close()
    again = await Store.open(url)
    stored = await again.load()
    await again.close()
    if stored.records.keys() != {each.record.name for each in plans}:
        raise Differ("not every committed corridor was stored")
    return took


def synced(folder: Path, rows: Sequence[int]) -> float:
    """Seconds for as many updates and syncs without anything around them."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE ledger (id INTEGER PRIMARY KEY, bitmap TEXT, version INTEGER)")
    connection.executemany("INSERT INTO ledger VALUES (?, ?, 0)", [(i, "0" * 60) for i in range(100)])
    began = perf_counter()
    for count in rows:
        connection.execute("BEGIN IMMEDIATE")
        for i in range(count):
            bitmap = f"{bitmap_of([i + 1]):060x}"
            connection.execute("UPDATE ledger SET bitmap = ?, version = version + 1 WHERE id = ?", (bitmap, i))
        connection.execute("COMMIT")
    took = perf_counter() - began
    connection.close()
    return took
