"""What the driver adds to a write: one at a time, and thousands in one go."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import groupby
from statistics import median, quantiles

from finsy.proto import p4r
from shared import bmv2
from shared.rows import ROUND, Differ, Row, row

from controller.core.entries import Change, Entry, Exact, Lpm, MeterEntry, Operation, TableEntry, Ternary
from controller.drivers import pipeline
from controller.drivers.p4runtime import P4RuntimeDevice
from controller.drivers.p4runtime_codec import encode
from controller.drivers.p4runtime_write import BATCH

PIPELINE = pipeline.load()
BARE = "a bare stub, request made beforehand"
ATTEMPTS = 5
"""Of which the median counts, where thousands are written."""


def policy(number: int, next_hop: int = 10) -> TableEntry:
    """Where a corridor goes, with two carriers: the largest entry that is written when one is steered."""
    carriers = tuple((f"carrier{place}", 0xFCBBBB00 << 96 | number << 8 | place) for place in (1, 2))
    return TableEntry("policy", (("policy", Exact(number)),), "encap_red_2", (("next_hop", next_hop), *carriers))


def classifier(number: int) -> TableEntry:
    prefix = (1 << 128) - (1 << 64)
    match = (
        ("dst", Ternary(0x20010DB8 << 96 | number << 64, prefix)),
        ("src", Ternary(0x20010DB9 << 96 | number << 64, prefix)),
        ("vrf", Exact(1)),
    )
    params = (("policy", number), ("corridor", number), ("mtu", 1500))
    return TableEntry("classifier_v6", match, "set_policy", params, priority=100)


def route(number: int) -> TableEntry:
    match = (("dst", Lpm(0x20010DB9 << 96 | number << 64, 64)), ("vrf", Exact(1)))
    return TableEntry("route_v6", match, "set_next_hop", (("next_hop", 10),))


def corridors(entries: int) -> list[Entry]:
    """So many entries, in the order in which they can be written: a quarter of each kind."""
    numbers = range(1, entries // 4 + 1)
    meters = [MeterEntry("slice_meter", number, 125_000 + number, 4_000) for number in numbers]
    routes, policies, classifiers = ([make(number) for number in numbers] for make in (route, policy, classifier))
    return [*routes, *meters, *policies, *classifiers]


def steps(numbers: Sequence[int]) -> list[Change]:
    """Insert, steer elsewhere, change the rate, remove: what becomes of a corridor, one write after the other."""
    found = []
    for number in numbers:
        found += [
            Change(Operation.INSERT, policy(number)),
            Change(Operation.MODIFY, policy(number, 11)),
            Change(
                Operation.MODIFY, MeterEntry("slice_meter", number, 125_000 + number, 4_000, 250_000 + number, 8_000)
            ),
            Change(Operation.DELETE, policy(number, 11)),
        ]
    return found


def one_write(options: argparse.Namespace) -> Iterator[Row]:
    yield from asyncio.run(_one_write(40 if options.small else 2_000))


async def _one_write(count: int) -> list[Row]:
    async with bmv2.connected(PIPELINE) as (device, bare):
        changes = steps(range(1, count + 1))
        updates = [encode(PIPELINE, change) for change in steps(range(count + 1, 2 * count + 1))]

        async def ours(place: int) -> None:
            if await device.apply([changes[place]]):
                raise Differ(f"{changes[place]} was refused")

        async def bares(place: int) -> None:
            await bare.write([updates[place]])

        took = await _in_turns((ours, bares), len(changes))
        await _check(device, [change.entry for change in changes if isinstance(change.entry, MeterEntry)], 2 * count)
    rows = []
    for name, cut, goal in (("p50", median, None), ("p99", _p99, 3.0)):
        mine, theirs = cut(took[0]), cut(took[1])
        limit = "tails of both are the machine's: what else runs on its two cores" if goal else ""
        rows.append(row(f"one write, {name} of {len(changes):,}", mine, "µs", (BARE, theirs), goal=goal, limit=limit))
    return rows


async def _in_turns(contenders: Sequence[Callable[[int], Awaitable[None]]], count: int) -> list[list[float]]:
    """µs of each write of each. A round each, and nobody is always the first."""
    took: list[list[float]] = [[] for _ in contenders]
    for turn, start in enumerate(range(0, count, ROUND)):
        for place in range(len(contenders)):
            who = (turn + place) % len(contenders)
            for number in range(start, min(start + ROUND, count)):
                began = time.perf_counter_ns()
                await contenders[who](number)
                took[who].append((time.perf_counter_ns() - began) / 1000)
    return took


def _p99(took: Sequence[float]) -> float:
    return quantiles(took, n=100)[-1]


async def _check(device: P4RuntimeDevice, wanted: Sequence[Entry], count: int) -> None:
    """`Differ` where the device does not hold these entries, and as many in all."""
    held = await device.read()
    wrong = [entry for entry in wanted if held.get(entry.key) != entry]
    if wrong or len(held) != count:
        raise Differ(f"{len(held)} entries instead of {count}, {len(wrong)} of them wrong: {wrong[:1]}")


def in_one_go(options: argparse.Namespace) -> Iterator[Row]:
    counts = ((100, None),) if options.small else ((1_000, 300.0), (10_000, None))
    for count, goal in counts:
        yield from asyncio.run(_in_one_go(count, goal))


async def _in_one_go(count: int, goal: float | None) -> list[Row]:
    """So many entries of corridors by one `apply`, and by the bare stub in the same batches."""
    entries = corridors(count)
    insert, delete = ([Change(what, entry) for entry in entries] for what in (Operation.INSERT, Operation.DELETE))
    updates = [encode(PIPELINE, change) for change in insert]
    ours, theirs = [], []
    async with bmv2.connected(PIPELINE) as (device, bare):
        # Within a session the driver looks at the cells that it uses: it does not see the stub's.
        in_tables = [entry for entry in entries if isinstance(entry, TableEntry)]
        for _ in range(ATTEMPTS):
            ours.append(await _timed(_by_driver(device, insert)))
            await _check(device, entries, count)
            await device.apply(delete)
            theirs.append(await _timed(_by_stub(bare, updates)))
            await _check(device, in_tables, len(in_tables))
            await device.apply(delete)
    name = f"{count:,} entries by one apply"
    return [
        row(name, median(ours), "ms", goal=goal, limit="BMv2's own time for them, and encoding"),
        row(f"{name}, beside the same batches", median(ours), "ms", (BARE, median(theirs))),
    ]


async def _timed(work: Awaitable[object]) -> float:
    """ms"""
    began = time.perf_counter_ns()
    await work
    return (time.perf_counter_ns() - began) / 1e6


async def _by_driver(device: P4RuntimeDevice, changes: Sequence[Change]) -> None:
    refused = await device.apply(changes)
    if refused:
        raise Differ(f"{len(refused)} of {len(changes)} were refused: {refused[0]}")


async def _by_stub(bare: bmv2.BareStub, updates: Sequence[p4r.Update]) -> None:
    """In batches as the driver's: of one table, at most `BATCH`."""
    for _, run in groupby(updates, key=lambda update: update.entity.table_entry.table_id):
        members = list(run)
        for start in range(0, len(members), BATCH):
            await bare.write(members[start : start + BATCH])


def read_back(options: argparse.Namespace) -> Iterator[Row]:
    yield from asyncio.run(_read_back(100 if options.small else 1_000))


async def _read_back(count: int) -> list[Row]:
    """Policies and as many meter cells, the first time in a session and later; counters as a whole and by cells."""
    policies = [policy(number) for number in range(1, count + 1)]
    meters = [MeterEntry("slice_meter", number, 125_000, 4_000) for number in range(1, count + 1)]
    took: dict[str, list[float]] = {"first": [], "later": [], "counter": [], "cells": []}
    for _ in range(ATTEMPTS):
        async with bmv2.connected(PIPELINE) as (device, _bare):
            await _by_driver(device, [Change(Operation.INSERT, entry) for entry in (*policies, *meters)])
            for what, go in (
                ("first", _check(device, meters, 2 * count)),
                ("later", _check(device, meters, 2 * count)),
                ("counter", device.counters("corridor_counter")),
                ("cells", device.counters("corridor_counter", range(1, count + 1))),
            ):
                took[what].append(await _timed(go))
    first, later, counter, cells = (median(each) for each in took.values())
    return [
        row(f"reading back {count:,} policies and meters", later, "ms", ("the first time: all cells", first)),
        row(f"reading {count:,} counter cells", cells, "ms", ("the whole array", counter)),
    ]
