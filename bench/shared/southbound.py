"""What the driver adds to a write: one at a time, and thousands in one go."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from statistics import median, quantiles
from typing import TypeAlias

from finsy.proto import p4r
from shared import bmv2
from shared.rows import ROUND, Differ, Row, row

from controller.core import diff
from controller.core.entries import Change, Entry, Exact, MatchValue, MeterEntry, Operation, TableEntry, Ternary
from controller.core.render_packet import entry, policer, route
from controller.drivers import pipeline
from controller.drivers.p4runtime import P4RuntimeDevice
from controller.drivers.p4runtime_codec import encode
from controller.drivers.p4runtime_write import BATCH

IPNetwork: TypeAlias = IPv4Network | IPv6Network
PIPELINE = pipeline.load()
CUSTOMERS = 1
"""A VRF."""
BARE = "a bare stub, request made beforehand"
ATTEMPTS = 5
"""Of which the median counts, where thousands are written."""


def policy(number: int, next_hop: int = 10) -> TableEntry:
    """Where a corridor goes, with two carriers: the largest entry that is written when one is steered."""
    carriers = tuple((f"carrier{place}", 0xFCBBBB00 << 96 | number << 8 | place) for place in (1, 2))
    return TableEntry("policy", (("policy", Exact(number)),), "encap_red_2", (("next_hop", next_hop), *carriers))


def corridors(entries: int) -> list[Entry]:
    """So many entries, corridor by corridor, each as a renderer gives it: its lists and classifiers of both families,
    its meter and the prefixes behind its end. It is for `diff.changes` to put them into an order for a device."""
    found = (entry for number in itertools.count(1) for entry in corridor(number))
    return list(itertools.islice(found, entries))


def corridor(number: int) -> Iterator[Entry]:
    """What the router at one end of a corridor holds."""
    families = ((f"2001:db8:{number:x}::/48", f"2001:db9:{number:x}::/48"), (_four(10, number), _four(11, number)))
    for here, _ in families:
        yield route(CUSTOMERS, here, 10)
    yield policer(number, 125_000 + 1_000 * number, 1_500)
    for place, (here, there) in enumerate(families):
        yield policy(2 * number + place)
        yield classifier(number, 2 * number + place, ip_network(here), ip_network(there))


def _four(first: int, number: int) -> str:
    return str(ip_network(((first << 24) + (number << 8), 24)))


def classifier(number: int, policy_id: int, here: IPNetwork, there: IPNetwork) -> TableEntry:
    match: dict[str, MatchValue] = {
        "vrf": Exact(CUSTOMERS),
        "src": Ternary(int(here.network_address), int(here.netmask)),
        "dst": Ternary(int(there.network_address), int(there.netmask)),
    }
    table, priority = f"classifier_v{here.version}", 1 + there.prefixlen + (here.prefixlen << 8)
    return entry(table, match, "set_policy", priority, policy=policy_id, corridor=number, mtu=1500)


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
    wanted = {entry.key: entry for entry in entries}
    insert, delete = diff.changes({}, wanted), diff.changes(wanted, {})
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
    for _, run in itertools.groupby(updates, key=lambda update: update.entity.table_entry.table_id):
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
