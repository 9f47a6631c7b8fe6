"""One serial worker per device, all in parallel: what is wanted last is what stands in the end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from reconciled import Start, meter, starting, table
from waiting import until

from controller import reconcile
from controller.core.errors import DeviceRejected, DeviceUnreachable


@pytest.fixture
async def start(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.setattr(reconcile, "FIRST_RETRY_S", 0.01)
    async with starting() as begin:
        yield begin


async def test_a_device_ends_up_with_what_is_desired(start: Start) -> None:
    bench = start("d")
    bench.fakes["d"].entries = table(meter(1, 9), meter(2))
    bench.wants("d", meter(1), meter(3))
    await bench.converge("d")
    assert bench.fakes["d"].entries == bench.desired["d"]


async def test_many_marks_are_one_pass(start: Start) -> None:
    bench = start("d")
    await bench.converge("d")
    fake = bench.fakes["d"]
    for number in range(50):
        bench.wants("d", meter(number))
        bench.mark("d")
    await bench.converge("d")
    assert len(fake.batches) == 1
    assert fake.reads == 1, "on the fast path what was confirmed is good enough"


async def test_what_is_desired_while_a_pass_is_under_way_is_done_next(start: Start) -> None:
    bench = start("d")
    await bench.converge("d")
    fake = bench.fakes["d"]
    fake.gate.clear()
    bench.wants("d", meter(1))
    first = asyncio.create_task(bench.converge("d"))
    await until(lambda: fake.busy, "the pass is under way")
    bench.wants("d", meter(2))
    second = asyncio.create_task(bench.converge("d"))
    await asyncio.sleep(0)
    assert not second.done()
    fake.gate.set()
    await asyncio.gather(first, second)
    assert fake.entries == table(meter(2))
    assert len(fake.batches) == 2


async def test_one_slow_device_holds_nobody_else_up(start: Start) -> None:
    bench = start("slow", "quick")
    bench.fakes["slow"].gate.clear()
    bench.wants("slow", meter(1))
    bench.wants("quick", meter(1))
    bench.mark("slow")
    await bench.converge("quick")
    assert bench.fakes["quick"].entries
    with pytest.raises(DeviceUnreachable, match="slow"):
        await bench.converge("slow", "quick", timeout_s=0.05)


async def test_a_device_that_is_away_is_waited_for_and_read_when_it_is_back(start: Start) -> None:
    bench = start("d")
    fake = bench.fakes["d"]
    await bench.converge("d")
    fake.connected, fake.trouble = False, "fenced off"
    bench.wants("d", meter(1))
    with pytest.raises(DeviceUnreachable, match=r"d: not in line within 0\.05 s: fenced off"):
        await bench.converge("d", timeout_s=0.05)
    assert not fake.batches
    waiting = asyncio.create_task(bench.converge("d"))
    reads = fake.reads
    fake.connected, fake.trouble, fake.entries = True, "", table(meter(7))
    bench.reconciler.connected("d")
    await waiting
    assert fake.entries == table(meter(1))
    assert fake.reads == reads + 1


async def test_after_an_error_it_is_read_back_and_tried_again_ever_more_slowly(start: Start) -> None:
    bench = start("d")
    fake = bench.fakes["d"]
    await bench.converge("d")
    fake.faults = 5
    bench.wants("d", meter(1))
    started = asyncio.get_running_loop().time()
    await bench.converge("d")
    assert fake.entries == table(meter(1))
    assert fake.reads >= 5
    assert asyncio.get_running_loop().time() - started >= 0.8 * 0.01 * (1 + 2 + 4 + 8), "backoff doubles"


async def test_the_periodic_read_back_repairs_what_a_hand_changed(start: Start) -> None:
    bench = start("d", resync_s=0.02)
    bench.wants("d", meter(1), meter(2))
    await bench.converge("d")
    bench.fakes["d"].entries = table(meter(1, 99))
    await until(lambda: bench.fakes["d"].entries == bench.desired["d"], "the drift is repaired")


async def test_a_device_that_is_always_busy_is_read_back_all_the_same(start: Start) -> None:
    bench = start("d", resync_s=0.05)
    fake = bench.fakes["d"]
    bench.wants("d", meter(1), meter(2))
    await bench.converge("d")
    fake.entries = table(meter(1, 99), meter(2))
    for rate in range(2, 100):
        bench.wants("d", meter(1), meter(2, rate))
        await bench.converge("d")
        await asyncio.sleep(0.005)  # far more often than it is read back
        if fake.entries == bench.desired["d"]:
            return
    pytest.fail("the drift stood for ten periods")


def cancelled_futures() -> int:
    """How many the whole process still holds; earlier tests may have left some."""
    gc.collect()
    return sum(type(each) is asyncio.Future and each.cancelled() for each in gc.get_objects())


async def test_who_gives_up_waiting_leaves_nothing_behind(start: Start) -> None:
    """A device may be away for weeks, and a stage asks for it again every few seconds."""
    bench = start("d")
    bench.fakes["d"].connected = False
    before = cancelled_futures()
    for _ in range(20):
        with pytest.raises(DeviceUnreachable):
            await bench.converge("d", timeout_s=0.001)
    assert cancelled_futures() < before + 5


async def test_a_refused_key_concerns_only_those_who_asked_for_it(start: Start) -> None:
    bench = start("d")
    fake = bench.fakes["d"]
    fake.refused = frozenset({meter(1).key})
    bench.wants("d", meter(1), meter(2))
    await bench.reconciler.converge({"d": frozenset({meter(2).key})}, 5)
    assert fake.entries == table(meter(2))
    with pytest.raises(DeviceRejected, match="NO: no"):
        await bench.reconciler.converge({"d": frozenset({meter(1).key})}, 5)
    fake.refused = frozenset()
    await until(lambda: fake.entries == bench.desired["d"], "it is tried again by itself")


async def test_a_refusal_is_seen_however_long_another_device_takes(start: Start) -> None:
    """Meanwhile the refusing one is tried again, and that pass must not make it look fine."""
    bench = start("refusing", "slow")
    await bench.converge("refusing", "slow")
    refusing, slow = bench.fakes["refusing"], bench.fakes["slow"]
    refusing.refused = frozenset({meter(1).key})
    slow.gate.clear()
    bench.wants("refusing", meter(1))
    bench.wants("slow", meter(1))
    waiting = asyncio.create_task(bench.converge("refusing", "slow"))
    await until(lambda: len(refusing.batches) == 2 and not refusing.busy, "it was tried again")
    refusing.gate.clear()
    await until(lambda: refusing.busy, "and once more")
    slow.gate.set()
    with pytest.raises(DeviceRejected, match="refusing"):
        await waiting


async def test_a_passing_refusal_is_waited_out_within_the_time(start: Start) -> None:
    bench = start("d")
    fake = bench.fakes["d"]
    fake.refused, fake.transient = frozenset({meter(1).key}), True
    bench.wants("d", meter(1))
    with pytest.raises(DeviceUnreachable):
        await bench.converge("d", timeout_s=0.05)
    waiting = asyncio.create_task(bench.converge("d"))
    await until(lambda: len(fake.batches) > 3, "it is tried again")
    assert not waiting.done()
    fake.refused = frozenset()
    await waiting


async def test_a_device_that_returns_while_it_is_read_is_read_again(start: Start) -> None:
    bench = start("d")
    fake = bench.fakes["d"]
    bench.wants("d", meter(1))
    fake.entries = table(meter(1))
    fake.gate.clear()
    bench.mark("d")
    await until(lambda: fake.reads == 1, "it is being read")
    fake.entries = {}
    bench.reconciler.connected("d")
    fake.gate.set()
    await bench.converge("d")
    assert fake.entries == table(meter(1))


async def test_convergence_on_nothing_or_on_strangers_is_immediate(start: Start) -> None:
    bench = start("d")
    await bench.reconciler.converge({}, 1)
    await bench.reconciler.converge({"nobody": frozenset()}, 1)


async def test_closing_ends_at_once_even_when_there_is_something_to_do(start: Start) -> None:
    for _ in range(20):
        bench = start("d", "e")
        await asyncio.sleep(0)
        bench.mark("d", "e")
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await bench.reconciler.close()
                continue
        pytest.fail("a worker goes on after it was cancelled")
