"""What somebody else does to a device is put right and told; a device that hangs is given up, and read again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable

import pytest
from reconciled import Bench, Fake, Start, meter, starting, table
from waiting import until

from controller import reconcile
from controller.core.entries import CrossConnect, Entry, SlotAssignment
from controller.core.errors import DeviceUnreachable

LIMIT_S = 0.1
"""Stands for what a device may take; whatever must not run into it takes less than a hundredth here."""


@pytest.fixture
async def start(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.setattr(reconcile, "FIRST_RETRY_S", 0.01)
    async with starting() as begin:
        yield begin


def heard(bench: Bench) -> list[tuple[str, frozenset[Hashable]]]:
    """Every repair that is told."""
    told: list[tuple[str, frozenset[Hashable]]] = []
    bench.reconciler.when_repaired = lambda device, keys: told.append((device, keys))
    return told


def repaired(bench: Bench, name: str = "d") -> int:
    (worker,) = [each for each in bench.reconciler.workers if each.device.name == name]
    return worker.repaired


async def standing(start: Start, *entries: Entry) -> tuple[Bench, Fake]:
    """One device that holds these, and was seen to."""
    bench = start("d")
    bench.wants("d", *entries)
    await bench.converge("d")
    assert await bench.reconciler.read_back("d")
    return bench, bench.fakes["d"]


@pytest.mark.parametrize(
    ("left", "touched"),
    [
        pytest.param(table(meter(2)), {meter(1).key}, id="removed"),
        pytest.param(table(meter(1, 99), meter(2)), {meter(1).key}, id="changed"),
        pytest.param(table(meter(1), meter(2), meter(3)), {meter(3).key}, id="added"),
        pytest.param(table(meter(1, 7), meter(9)), {meter(n).key for n in (1, 2, 9)}, id="all-of-it"),
        pytest.param({}, {meter(1).key, meter(2).key}, id="emptied"),
    ],
)
async def test_what_a_hand_did_is_repaired_and_told_once(
    start: Start, left: dict[Hashable, Entry], touched: set[Hashable]
) -> None:
    bench, fake = await standing(start, meter(1), meter(2))
    told = heard(bench)
    fake.entries = dict(left)
    assert await bench.reconciler.read_back("d")
    assert fake.entries == bench.desired["d"]
    assert told == [("d", frozenset(touched))]
    assert repaired(bench) == len(touched)
    assert await bench.reconciler.read_back("d")
    assert len(told) == 1


async def test_what_was_done_to_it_by_the_controller_is_no_drift(start: Start) -> None:
    """Changes, failures half way, refusals, and a first reading of a device that somebody filled before."""
    bench = start("d")
    fake, told = bench.fakes["d"], heard(bench)
    fake.entries = table(meter(1, 9), meter(8))
    bench.wants("d", meter(1), meter(2))
    await bench.converge("d")
    fake.faults = 2  # a write whose outcome nobody knows, and a reading
    bench.wants("d", meter(1, 3), meter(4))
    await bench.converge("d")
    fake.refused = frozenset({meter(5).key})
    bench.wants("d", meter(1, 4), meter(5))
    bench.mark("d")
    await until(lambda: fake.entries == table(meter(1, 4)), "all but what it refuses")
    fake.refused = frozenset()
    await bench.converge("d")
    assert await bench.reconciler.read_back("d")
    assert not told
    assert not repaired(bench)


async def test_a_write_that_took_effect_though_its_answer_was_lost_is_no_drift(start: Start) -> None:
    bench, fake = await standing(start, meter(1))
    told = heard(bench)
    bench.wants("d", meter(1, 2))
    fake.faults = 1
    fake.entries = table(meter(1, 2))
    await bench.converge("d")
    assert fake.entries == table(meter(1, 2))
    assert not told


async def test_somebody_who_does_what_is_wanted_next_is_not_accused(start: Start) -> None:
    bench, fake = await standing(start, meter(1))
    told = heard(bench)
    fake.entries = table(meter(1, 2))
    bench.wants("d", meter(1, 2))
    assert await bench.reconciler.read_back("d")
    assert not told


async def test_a_device_that_restarts_empty_is_no_drift(start: Start) -> None:
    bench, fake = await standing(start, meter(1), meter(2))
    told = heard(bench)
    fake.entries = {}
    bench.reconciler.connected("d")
    await bench.converge("d")
    assert fake.entries == bench.desired["d"]
    assert not told


async def test_a_line_card_that_restarts_by_itself_is_no_drift_but_a_hand_beside_it_is(start: Start) -> None:
    slots = [SlotAssignment(n, 2, "odu0-1", (n,), 1) for n in (1, 2)]
    crosses = [CrossConnect(n, 0, 1, 0xA, 2) for n in (1, 2)]
    bench, fake = await standing(start, *slots, *crosses)
    told = heard(bench)
    fake.entries = table(*crosses)
    bench.reconciler.connected("d")
    await bench.converge("d")
    assert not told
    fake.entries = table(*slots, crosses[0])
    bench.reconciler.connected("d")
    await bench.converge("d")
    assert told == [("d", frozenset({crosses[1].key}))]


async def test_what_differs_after_a_lost_stream_without_a_restart_is_drift(start: Start) -> None:
    bench, fake = await standing(start, meter(1), meter(2))
    told = heard(bench)
    fake.entries = table(meter(2))
    bench.reconciler.connected("d")
    await bench.converge("d")
    assert told == [("d", frozenset({meter(1).key}))]


async def test_a_restart_is_known_for_one_though_the_first_reading_failed(start: Start) -> None:
    bench, fake = await standing(start, meter(1), meter(2))
    told = heard(bench)
    fake.entries, fake.faults = {}, 2
    bench.reconciler.connected("d")
    await bench.converge("d")
    assert not told


# -- deadlines ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "CALL_S", LIMIT_S)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("call", ["reading", "write"])
async def test_a_call_that_hangs_is_given_up_and_the_device_read_before_the_next_write(start: Start, call: str) -> None:
    bench, fake = await standing(start, meter(1))
    fake.gate.clear()
    if call == "reading":
        bench.reconciler.connected("d")
    bench.wants("d", meter(1, 2))
    with pytest.raises(DeviceUnreachable, match=rf"no answer within .* s to .*{call}"):
        await bench.converge("d", timeout_s=1.5 * LIMIT_S)
    fake.entries = table(meter(1, 2), meter(7))  # what hung may have taken effect, and more
    reads, batches = fake.reads, len(fake.batches)
    await until(lambda: fake.reads > reads, "it is read once more")
    fake.gate.set()
    await bench.converge("d")
    assert fake.entries == bench.desired["d"]
    assert [change.entry for batch in fake.batches[batches:] for change in batch] == [meter(7)]


@pytest.mark.usefixtures("short")
async def test_one_that_hangs_holds_nobody_else_up(start: Start) -> None:
    bench = start("hangs", "works")
    bench.fakes["hangs"].gate.clear()
    for name in ("hangs", "works"):
        bench.wants(name, meter(1))
    bench.mark("hangs", "works")
    await bench.converge("works")
    assert bench.fakes["works"].entries == bench.desired["works"]


@pytest.mark.usefixtures("short")
async def test_a_large_device_is_given_the_time_that_it_needs(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand entries at 0.2 ms each: twice the limit of a call, well within what its entries are given."""
    monkeypatch.setattr(reconcile, "ENTRY_S", 0.005)
    bench = start("d")
    fake = bench.fakes["d"]
    bench.wants("d", *(meter(number) for number in range(1000)))
    fake.gate.clear()
    bench.mark("d")
    await until(lambda: fake.busy, "it is being read")
    await asyncio.sleep(2 * LIMIT_S)
    fake.gate.set()
    await bench.converge("d")
    assert fake.reads == 1
    assert fake.entries == bench.desired["d"]


@pytest.mark.usefixtures("short")
async def test_it_is_asked_ever_more_slowly_and_never_twice_at_once(start: Start) -> None:
    bench = start("d")
    fake = bench.fakes["d"]
    fake.gate.clear()
    bench.wants("d", meter(1))
    started = asyncio.get_running_loop().time()
    bench.mark("d")
    await until(lambda: fake.reads == 4, "it is asked again")
    assert asyncio.get_running_loop().time() - started >= 3 * LIMIT_S + 0.8 * 0.01 * (1 + 2 + 4)


async def test_refused_entries_do_not_keep_a_device_busy(start: Start) -> None:
    bench = start("d")
    fake = bench.fakes["d"]
    fake.refused = frozenset({meter(1).key})
    bench.wants("d", meter(1))
    started = asyncio.get_running_loop().time()
    bench.mark("d")
    await until(lambda: len(fake.batches) == 5, "it is tried again")
    assert asyncio.get_running_loop().time() - started >= 0.8 * 0.01 * (1 + 2 + 4 + 8)


async def test_reading_now_waits_its_turn(start: Start) -> None:
    """`Fake` holds every exchange to be the only one."""
    bench, fake = await standing(start, meter(1))
    fake.gate.clear()
    bench.wants("d", meter(2))
    bench.mark("d")
    await until(lambda: fake.busy, "a write is under way")
    reading = asyncio.create_task(bench.reconciler.read_back("d"))
    await asyncio.sleep(0.02)
    assert not reading.done()
    fake.gate.set()
    assert await reading
    assert fake.entries == table(meter(2))


@pytest.mark.usefixtures("short")
async def test_reading_now_says_that_nobody_answered(start: Start) -> None:
    bench, fake = await standing(start, meter(1))
    fake.gate.clear()
    assert not await bench.reconciler.read_back("d")
    fake.gate.set()
    fake.connected = False
    assert not await bench.reconciler.read_back("d")
