"""Events: in the order of their commits, kept for a while, and whoever asks for what is not kept is told so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import grpc
import pytest
from databases import dump
from running_controller import Controller, corridor
from simulated_network import SimulatedNetwork

from controller.api.refusals import answer
from controller.core.errors import OutOfRange
from controller.core.ids import REST, IdKey, Ids
from controller.core.model import Corridor, CorridorEvent, EventType, Stage
from controller.core.otn import Ledger
from controller.core.plan import Plan
from controller.core.records import Record
from controller.store import Store

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
async def stores(either_database: str) -> AsyncIterator[list[Store]]:
    opened = [await Store.open(either_database, keep_events=10) for _ in range(3)]
    yield opened
    for each in opened:
        await each.close()


async def change(store: Store, name: str = "c", kind: EventType = EventType.UPDATED) -> CorridorEvent:
    record = Record(Corridor(name=name), None, None, Stage.SETTLED)
    return await store.commit(Plan(None, record, Ledger(), Ids()), Ledger(), Ids(), kind, NOW)


def numbers(events: tuple[CorridorEvent, ...]) -> list[int]:
    return [event.sequence for event in events]


async def test_a_reader_never_sees_an_event_before_an_earlier_one(stores: list[Store]) -> None:
    """Of writers that commit at once: what was read once goes on without a gap."""
    store, *writers = stores
    for each in stores:
        each.keep_events = 10**6
    writing = asyncio.gather(*(_changes(writer, 40) for writer in writers))
    seen: list[int] = []
    while not writing.done() or not seen or seen[-1] < 80:
        seen += numbers(await store.events(seen[-1] if seen else 0))
    await writing
    assert seen == list(range(1, 81))


async def _changes(store: Store, count: int) -> None:
    for _ in range(count):
        await change(store)


async def test_the_newest_are_kept_and_who_asks_for_older_ones_is_told_which_there_are(
    stores: list[Store], either_database: str
) -> None:
    store, other, _ = stores
    for _ in range(25):
        await change(store)
    assert [row[0] for row in sorted(dump(either_database)["events"])] == list(range(16, 26))
    assert numbers(await other.events(15)) == list(range(16, 26))
    for after in (0, 1, 14):
        with pytest.raises(OutOfRange) as refusal:
            await other.events(after)
        assert refusal.value.reason == "EVENTS_GONE"
        assert refusal.value.metadata == {"oldest": "16", "newest": "25"}
    assert await other.events(25) == ()
    with pytest.raises(OutOfRange) as refusal:
        await other.events(26)
    assert refusal.value.reason == "EVENTS_AHEAD"
    assert answer(refusal.value).code is grpc.StatusCode.OUT_OF_RANGE
    assert answer(refusal.value).http == 410


async def test_a_lower_limit_is_come_to_in_small_steps(stores: list[Store], either_database: str) -> None:
    store = stores[0]
    store.keep_events = 10**6
    for _ in range(60):
        await change(store)
    store.keep_events, left = 5, [60]
    while left[-1] > 5:
        await change(store)
        left.append(len(dump(either_database)["events"]))
        assert len(left) < 10
    assert all(before - after < 20 for before, after in pairwise(left))
    assert numbers(await store.events(await store.newest_sequence() - 5))


async def test_a_watcher_of_what_is_gone_is_refused_rather_than_left_waiting(
    network: SimulatedNetwork, database: str
) -> None:
    controller = await Controller(network, database).start()
    await controller.bootstrapped()
    controller.store.keep_events = 2
    await controller.service.create_corridor("tenants/default", "c1", corridor())
    await controller.settled("tenants/default/corridors/c1")
    newest = controller.state.sequence
    assert newest >= 4
    for after, reason in (1, "EVENTS_GONE"), (newest + 7, "EVENTS_AHEAD"):
        with pytest.raises(OutOfRange) as refusal:
            await asyncio.wait_for(anext(controller.service.watch_corridors("tenants/-", after)), 5)
        assert refusal.value.reason == reason
    watch = controller.service.watch_corridors("tenants/-", newest - 2)
    assert [(await anext(watch)).sequence for _ in range(2)] == [newest - 1, newest]
    await controller.stop()


async def test_ids_that_have_rested_are_forgotten(stores: list[Store], either_database: str) -> None:
    store, ids, now, most = stores[0], Ids(), NOW, 0
    for n in range(700):
        key, now = IdKey("slice", "", f"c{n}"), now + REST
        ids = ids.bind(key, n + 1).free(frozenset({key}), now)
        most = max(most, len(ids.resting))
        if n in (200, 600):
            await store.put_ids((await store.load()).ids, ids)
            assert len(dump(either_database)["resting_ids"]) == len(ids.resting)
    assert 0 < most <= 257
    assert ("slice", "", 700) in ids.resting


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


async def test_ten_thousand_changes_leave_a_file_of_the_size_of_one_thousand(tmp_path: Path) -> None:
    """The pages of what is forgotten are used again; so is the log."""
    store = await Store.open(f"sqlite:///{tmp_path / 'x.db'}", keep_events=1000)
    records = [Record(Corridor(name=f"c{n}"), None, None, Stage.SETTLED) for n in range(20)]
    changes = [(Plan(None, record, Ledger(), Ids()), EventType.UPDATED) for record in records]
    sizes = []
    for _ in range(10):
        for _ in range(1000 // len(changes)):
            await store.commit_all(changes, Ledger(), Ids(), NOW)
        sizes.append(size(tmp_path))
    assert max(sizes[3:]) <= 1.05 * sizes[2], sizes
    assert len(await store.events(9000)) == 1000
    await store.close()
