"""Servers that are opened on demand, in the database: they come, survive a start and go; no two in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from running_controller import METRO, Controller, corridor, dump, end, load
from simulated_network import SimulatedNetwork

from controller.core.errors import Conflict, Invalid
from controller.core.ids import Ids
from controller.core.model import Corridor, EventType, Profile, SliceHop, Stage
from controller.core.otn import Claim, Ledger, Row, RowKey
from controller.core.otn.ledger import slice_claims
from controller.core.plan import Plan
from controller.core.records import Record
from controller.store import Store

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EMPTY = Ledger({RowKey("f", "line", 0): Row(8)})


@pytest.fixture
async def stores(database: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes on one database."""
    both = await Store.open(database), await Store.open(database)
    await both[0].open_ledger(EMPTY)
    yield both
    for each in both:
        await each.close()


def holds(owner: str, server: str, slots: str = "1-9") -> frozenset[Claim]:
    return frozenset(slice_claims(owner, [SliceHop("f", server, slots)]))


async def commit(store: Store, before: Ledger, after: Ledger, owner: str = "a") -> Ledger:
    record = Record(Corridor(name=f"tenants/t/corridors/{owner}"), None, None, Stage.SETTLED)
    await store.commit(Plan(None, record, after, Ids()), before, Ids(), EventType.CREATED, NOW)
    return after


def stored(database: str) -> dict[RowKey, tuple[int, int]]:
    """(bitmap, version) of every row."""
    return {RowKey(*row[:3]): (int(row[3], 16), row[5]) for row in dump(database)["ledger"]}


async def test_rows_come_with_the_first_slice_and_go_with_the_last(stores: tuple[Store, Store], database: str) -> None:
    first = await commit(stores[0], EMPTY, EMPTY.change(frozenset(), holds("a", "odu1:3-4")))
    both = await commit(stores[0], first, first.change(frozenset(), holds("b", "odu1:3-4", "10")))
    assert {key: bits for key, (bits, _) in stored(database).items()} == {
        RowKey("f", server, way): bits
        for server, bits in (("line", 0b1100), ("odu1:3-4", 0b1111111111))
        for way in (0, 1)
    }
    one = await commit(stores[0], both, both.change(holds("a", "odu1:3-4"), frozenset()))
    assert stored(database)[RowKey("f", "odu1:3-4", 1)][0] == 0b1000000000
    none = await commit(stores[0], one, one.change(holds("b", "odu1:3-4", "10"), frozenset()))
    assert {key: bits for key, (bits, _) in stored(database).items()} == {RowKey("f", "line", way): 0 for way in (0, 1)}
    assert stored(database) == {key: (row.bitmap, row.version) for key, row in none.rows.items()}


@pytest.mark.parametrize("other", ["odu1:3-4", "odu0:4", "odu1:1,3", "line"])
async def test_two_processes_never_open_the_same_tributary_slots(
    stores: tuple[Store, Store], database: str, other: str
) -> None:
    mine = EMPTY.change(frozenset(), holds("a", "odu1:3-4"))
    yours = EMPTY.change(frozenset(), holds("b", other, "4" if other == "line" else "100"))
    results = await asyncio.gather(
        commit(stores[0], EMPTY, mine), commit(stores[1], EMPTY, yours, "b"), return_exceptions=True
    )
    assert sum(isinstance(each, Conflict) for each in results) == 1
    assert len(dump(database)["records"]) == 1
    won = next(each for each in results if isinstance(each, Ledger))
    assert stored(database) == {key: (row.bitmap, row.version) for key, row in won.rows.items()}


async def test_a_server_that_came_again_is_not_the_one_that_was_read(stores: tuple[Store, Store]) -> None:
    """The slow one planned on a server that has been emptied, closed, opened again and filled otherwise."""
    first = await commit(stores[0], EMPTY, EMPTY.change(frozenset(), holds("a", "odu0:1")))
    slow = first.change(frozenset(), holds("slow", "odu0:1", "10-12"))
    gone = await commit(stores[0], first, first.change(holds("a", "odu0:1"), frozenset()))
    await commit(stores[0], gone, gone.change(frozenset(), holds("b", "odu0:1", "10-119")))
    with pytest.raises(Conflict):
        await commit(stores[1], first, slow, "slow")


async def test_a_server_is_not_closed_under_another_process(stores: tuple[Store, Store]) -> None:
    first = await commit(stores[0], EMPTY, EMPTY.change(frozenset(), holds("a", "odu0:1")))
    closing = first.change(holds("a", "odu0:1"), frozenset())
    await commit(stores[0], first, first.change(frozenset(), holds("b", "odu0:1", "10")))
    with pytest.raises(Conflict):
        await commit(stores[1], first, closing, "c")


async def test_a_start_finds_the_servers_that_slices_opened(network: SimulatedNetwork, database: str) -> None:
    controller = await Controller(network, database).start()
    await controller.bootstrapped()
    names = []
    for number in range(3):
        ends = {"a_end": end("zgc-r:campus", dscp=number), "z_end": end("yz-r:dc", dscp=number)}
        wide = corridor(profiles=(Profile("p", 1_000_000),), active_profile="p", **ends)
        made = await controller.service.create_corridor("tenants/default", f"wide{number}", wide)
        await controller.settled(made.name)
        names.append(made.name)
    hops = [hop for name in names for hop in controller.state.records[name].corridor.legs[0].slices[0].hops]
    opened = {(hop.link, hop.server) for hop in hops if ":" in hop.server}
    assert opened, "106 slots each: the third finds no room in an ODU1 with two"
    before = stored(database)
    view = await controller.service.get_topology("domains/metro-beijing/topology")
    shown = {(link.name, each.name): each for link in view.links for each in link.servers}
    assert {(shown[each].fgts, shown[each].free_forward) for each in opened} == {(238, 238 - 106)}
    await controller.stop()
    plan = load(METRO)
    full = [replace(link, line_slots=3) if link.name.endswith("F-zgc-yz") else link for link in plan.links]
    with pytest.raises(Invalid, match=r"stands on .*odu1:\S+, which the topology file no longer has"):
        await Controller(network, database).start(replace(plan, links=tuple(full)))
    again = await Controller(network, database).start()
    after = stored(database)
    assert {key: bits for key, (bits, _) in after.items()} == {key: bits for key, (bits, _) in before.items()}
    newest = max(version for _, version in before.values())
    assert all(version > newest for _, version in after.values())
    await again.stop()
