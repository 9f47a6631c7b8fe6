"""What BMv2 does in its own way, and what the driver makes of it; against a real one: tests/conformance."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from device_contract import Recorder, deletes, inserts
from finsy.proto import p4r, rpc_code
from p4runtime_harness import NAME, PIPELINE, FakeHarness, epoch_of
from packet_entries import ENTRIES, GROUPS
from waiting import until

from controller.core.diff import changes
from controller.core.entries import Change, Exact, MeterEntry, Operation, Rejection, TableEntry
from controller.core.errors import DeviceRejected, DeviceUnreachable

SetPipeline = p4r.SetForwardingPipelineConfigRequest


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[FakeHarness]:
    harness = FakeHarness(tmp_path)
    await harness.begin()
    yield harness
    await harness.end()


# ---- arbitration


async def test_is_fenced_off_for_good_when_a_newer_controller_has_been_there(
    harness: FakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    await harness.succeeded(epoch=7)
    await harness.succeeded(epoch=7)
    assert harness.listener.events == [("connected", NAME), ("disconnected", NAME)]
    with pytest.raises(DeviceUnreachable, match="epoch 7 has been primary here, this controller has 1"):
        await harness.device.apply(inserts(ENTRIES))
    with pytest.raises(DeviceUnreachable):
        await harness.device.send_frame(1, bytes(60))
    assert harness.server.batches == []
    assert [record.levelno for record in caplog.records if "fenced off" in record.message] == [logging.WARNING]


async def test_stays_fenced_off_over_a_new_connection(harness: FakeHarness) -> None:
    await harness.succeeded(epoch=7)
    await harness.server.stop()
    await harness.server.start()
    await until(lambda: epoch_of(harness.server.primary) == 1, "the second connection")
    await harness.succeeded(epoch=7)
    assert harness.listener.events == [("connected", NAME), ("disconnected", NAME)]


async def test_a_higher_epoch_takes_over_from_one_that_is_fenced_off(harness: FakeHarness) -> None:
    await harness.succeeded(epoch=7)
    third = harness.driver(epoch=8, listener=Recorder())
    third.start()
    await until(lambda: third.connected, "the third")
    assert not await third.apply(inserts(ENTRIES))
    await third.close()


async def test_never_quotes_the_election_id_of_another(harness: FakeHarness) -> None:
    """BMv2 takes a write from anyone who names the primary's."""
    older = harness.driver(epoch=0, listener=Recorder())
    older.start()
    await until(lambda: older.fenced_off, "the older one's arbitration")
    assert not await harness.device.apply(inserts(ENTRIES))
    with pytest.raises(DeviceUnreachable):
        await older.apply(inserts(ENTRIES))
    await older.close()
    assert harness.server.election_ids == {1 << 64}


async def test_comes_back_over_its_own_stream_that_the_device_still_holds(harness: FakeHarness) -> None:
    """A device learns late, or never, that the path to a controller died: the old stream keeps its id."""
    harness.server.half_open = True
    for sessions in (2, 3, 4):
        harness.server.end_streams()
        await until(lambda n=sessions: harness.listener.events.count(("connected", NAME)) == n, "the next session")
        assert not await harness.device.apply(inserts(ENTRIES))
    assert harness.server.election_ids == {1 << 64 | session for session in range(4)}
    assert not harness.device.fenced_off


@pytest.mark.parametrize("their_id", [1, 10, (1 << 64) - 1])
async def test_a_tool_with_an_id_of_its_own_is_a_backup(harness: FakeHarness, their_id: int) -> None:
    assert await harness.tool(their_id) == rpc_code.ALREADY_EXISTS
    assert not await harness.device.apply(inserts(ENTRIES))
    assert harness.device.connected


async def test_says_which_epoch_fences_it_off(harness: FakeHarness) -> None:
    assert harness.device.trouble == ""
    await harness.tool(7 << 64)
    await until(lambda: not harness.device.connected, "the loss")
    assert harness.device.trouble == "fenced off: epoch 7 has been primary here, this controller has 1"


async def test_says_why_it_is_not_connected(harness: FakeHarness) -> None:
    await harness.server.stop()
    await until(lambda: harness.device.trouble.startswith("no control stream: UNAVAILABLE"), "a word about it")
    with pytest.raises(DeviceUnreachable, match="no control stream: UNAVAILABLE"):
        await harness.device.read()


async def test_another_one_of_the_same_epoch_takes_over_and_gives_back(
    harness: FakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """Two controllers that share no store; neither is newer, so nobody is fenced off."""
    twin = harness.driver(epoch=1, listener=Recorder())
    twin.start()
    await until(lambda: "somebody else has epoch 1 there" in caplog.text, "a word about it")
    await until(lambda: twin.connected and not harness.device.connected, "its next bid")
    assert harness.device.trouble == "somebody else has epoch 1 there"
    await twin.close()
    await until(lambda: harness.device.connected, "the promotion of the first")


async def test_bids_again_where_nobody_is_promoted(harness: FakeHarness) -> None:
    """A target that fences keeps the place of a primary that left for an id above its own."""
    harness.server.fences = True
    await harness.tool(1 << 64 | 40)
    await until(lambda: harness.server.primary == 1 << 64 | 41 and harness.device.connected, "a bid above the tool's")


async def test_stops_in_the_middle_of_a_write_when_a_newer_controller_comes(harness: FakeHarness) -> None:
    hops = [TableEntry("next_hop", (("next_hop", Exact(n)),), "to_customer", (("port", 2),)) for n in range(150)]
    # Between the first and the second batch; then the device would take the old one as primary again.
    harness.server.before_answer = lambda: harness.succeeded(epoch=7)
    rejections = await harness.device.apply(inserts(hops))
    assert [r.change.entry for r in rejections] == hops[100:]
    assert {(r.code, r.transient) for r in rejections} == {("PERMISSION_DENIED", True)}
    assert len(harness.server.batches) == 1


# ---- the pipeline


@pytest.mark.parametrize("cookie", [0, 4711])
async def test_commits_what_blocks_a_push(harness: FakeHarness, cookie: int) -> None:
    harness.server.blocked = True
    harness.server.config.cookie.cookie = cookie
    await until(lambda: harness.server.pushes == 2 and harness.device.connected, "our pipeline")
    tried = [SetPipeline.VERIFY_AND_COMMIT, SetPipeline.COMMIT, SetPipeline.VERIFY_AND_COMMIT]
    assert harness.server.push_actions == [SetPipeline.VERIFY_AND_COMMIT, *tried]


async def test_does_not_believe_the_cookie_of_a_program_that_is_gone(harness: FakeHarness) -> None:
    harness.server.hollow = harness.server.blocked = True
    await until(lambda: harness.server.pushes == 2 and harness.device.connected, "our pipeline")
    assert [event for event, _ in harness.listener.events] == ["connected", "disconnected", "connected"]


# ---- writes


ADDING_FAILED = "Error when adding match entry to target"


def _refused_insertions(update: p4r.Update) -> tuple[int, str] | None:
    return (rpc_code.UNKNOWN, ADDING_FAILED) if update.type == p4r.Update.INSERT else None


def addresses(count: int) -> list[TableEntry]:
    return [TableEntry("node_address", (("dst", Exact(n)),), "to_node") for n in range(count)]


def told(rejections: Sequence[Rejection]) -> set[tuple[str, bool, str]]:
    return {(rejection.code, rejection.transient, rejection.message) for rejection in rejections}


async def test_a_full_table_is_final(harness: FakeHarness) -> None:
    too_many = addresses(19)
    rejections = await harness.device.apply(inserts(too_many))
    assert [rejection.change.entry for rejection in rejections] == too_many[16:]
    assert told(rejections) == {("RESOURCE_EXHAUSTED", False, f"table node_address is full: {ADDING_FAILED}")}


async def test_a_full_table_is_tried_again_when_the_same_call_made_room(harness: FakeHarness) -> None:
    old, new = addresses(16), addresses(18)[16:]
    assert not await harness.device.apply(inserts(old))
    rejections = await harness.device.apply([*inserts(new), *deletes(old[:5])])
    assert told(rejections) == {("RESOURCE_EXHAUSTED", True, f"table node_address was full: {ADDING_FAILED}")}
    assert not await harness.device.apply(inserts(new))


async def test_an_unknown_error_of_a_table_with_room_stays_what_it_is(harness: FakeHarness) -> None:
    harness.server.refuse = lambda update: (rpc_code.UNKNOWN, ADDING_FAILED)
    rejections = await harness.device.apply(inserts(addresses(1)))
    assert told(rejections) == {("UNKNOWN", False, ADDING_FAILED)}


async def test_an_unknown_error_is_no_full_table_because_something_left_it(harness: FakeHarness) -> None:
    assert not await harness.device.apply(inserts(addresses(3)))
    harness.server.refuse = _refused_insertions
    rejections = await harness.device.apply([*inserts(addresses(4)[3:]), *deletes(addresses(1))])
    assert told(rejections) == {("UNKNOWN", False, ADDING_FAILED)}


async def test_a_removal_that_is_refused_makes_no_room(harness: FakeHarness) -> None:
    """One entry short of full, and stays so: what was refused was so for a reason of its own."""
    assert not await harness.device.apply(inserts(addresses(15)))
    harness.server.refuse = lambda update: (rpc_code.UNKNOWN, ADDING_FAILED)
    rejections = await harness.device.apply([*inserts(addresses(16)[15:]), *deletes(addresses(1))])
    assert told(rejections) == {("UNKNOWN", False, ADDING_FAILED)}


async def test_what_stands_in_a_full_table_is_modified(harness: FakeHarness) -> None:
    assert not await harness.device.apply(inserts(addresses(16)))
    assert not await harness.device.apply(inserts(addresses(16)))


# ---- meters and counters

SHAPER = MeterEntry("slice_meter", 5, 517_222, 60_000, 570_140, 90_000)


async def test_a_rate_that_is_rounded_reads_back_as_it_was_written(harness: FakeHarness) -> None:
    harness.server.rounding = 1
    await harness.device.apply(inserts([SHAPER]))
    assert dict(await harness.device.read()) == {SHAPER.key: SHAPER}


@pytest.mark.parametrize("rounding", [2, -1])
async def test_a_rate_that_was_changed_reads_back_as_it_is(harness: FakeHarness, rounding: int) -> None:
    await harness.device.apply(inserts([SHAPER]))
    harness.server.rounding = rounding
    found = (await harness.device.read())[SHAPER.key]
    assert isinstance(found, MeterEntry)
    assert (found.rate, found.peak_rate) == (SHAPER.rate - rounding, SHAPER.peak_rate - rounding)


@pytest.mark.parametrize("rounding", [0, 1, 2])
async def test_a_predecessors_rate_is_left_alone_where_it_was_only_rounded(harness: FakeHarness, rounding: int) -> None:
    """A write would fill the bucket, and every cell would have one after each start of a controller."""
    await harness.device.apply(inserts([SHAPER]))
    harness.server.rounding = rounding
    heir = harness.driver(epoch=2, listener=Recorder())
    heir.start()
    await until(lambda: heir.connected, "the next controller")
    harness.server.batches.clear()
    for _ in range(2):
        writes = changes(await heir.read(), {SHAPER.key: SHAPER})
        assert not await heir.apply(writes)
        harness.server.rounding = min(rounding, 1)  # two less is another rate, and is written once
    assert len(harness.server.batches) == (rounding > 1)
    assert dict(await heir.read()) == {SHAPER.key: SHAPER}, "and is known from now on"
    await heir.close()


async def test_a_rate_of_ones_own_is_changed_by_one(harness: FakeHarness) -> None:
    await harness.device.apply(inserts([SHAPER]))
    more = replace(SHAPER, rate=SHAPER.rate + 1)
    assert not await harness.device.apply(changes(await harness.device.read(), {SHAPER.key: more}))
    assert dict(await harness.device.read()) == {SHAPER.key: more}
    assert len(harness.server.batches) == 2


def cells_read(harness: FakeHarness) -> list[int | None]:
    """By the last read of everything; None: all."""
    *_, last = (request for request in harness.server.reads if request.entities[0].HasField("table_entry"))
    wanted = (entity.meter_entry for entity in last.entities if entity.HasField("meter_entry"))
    return [cell.index.index if cell.HasField("index") else None for cell in wanted]


async def test_reads_meters_as_a_whole_once_and_then_the_cells_in_use(harness: FakeHarness) -> None:
    found = MeterEntry("slice_meter", 2, 1000, 1000)
    config = p4r.MeterConfig(cir=1000, cburst=1000, pir=1000, pburst=1000)
    harness.server.meters[PIPELINE.meters["slice_meter"].id, 2] = config  # by a predecessor
    assert dict(await harness.device.read()) == {found.key: found}
    assert cells_read(harness) == [None] * len(PIPELINE.meters)
    await harness.device.apply(inserts([SHAPER]))
    assert dict(await harness.device.read()) == {found.key: found, SHAPER.key: SHAPER}
    assert cells_read(harness) == [2, 5]
    await harness.device.apply(deletes([found]))
    assert dict(await harness.device.read()) == {SHAPER.key: SHAPER}
    assert cells_read(harness) == [5]


@pytest.mark.parametrize("trouble", ["reconnected", "rejected"])
async def test_reads_meters_as_a_whole_again_when_it_cannot_know(harness: FakeHarness, trouble: str) -> None:
    await harness.device.apply(inserts([SHAPER]))
    await harness.device.read()
    if trouble == "reconnected":
        await harness.interrupt()
        await until(lambda: harness.device.connected, "the second connection")
    else:
        assert await harness.device.apply([Change(Operation.INSERT, harness.refused())])
    assert dict(await harness.device.read()) == {SHAPER.key: SHAPER}
    assert cells_read(harness) == [None] * len(PIPELINE.meters)


@pytest.mark.parametrize("how", ["alone", "as a whole"])
async def test_a_refusal_that_is_about_no_meter_costs_no_reading_of_all(harness: FakeHarness, how: str) -> None:
    await harness.device.apply(inserts([SHAPER]))
    await harness.device.read()
    if how == "alone":
        harness.server.refuse = _refused_insertions
    else:
        harness.server.refuse_write = (grpc.StatusCode.UNAVAILABLE, "busy")
    assert await harness.device.apply(inserts(addresses(1)))
    assert dict(await harness.device.read()) == {SHAPER.key: SHAPER}
    assert cells_read(harness) == [SHAPER.index]


async def test_a_write_that_fails_as_a_whole_leaves_its_meters_in_doubt(harness: FakeHarness) -> None:
    await harness.device.read()
    harness.server.refuse_write = (grpc.StatusCode.UNAVAILABLE, "busy")
    assert await harness.device.apply([*inserts(addresses(1)), *inserts([SHAPER])])
    await harness.device.read()
    assert cells_read(harness) == [None] * len(PIPELINE.meters)


async def test_counters_that_have_counted(harness: FakeHarness) -> None:
    corridor = PIPELINE.counters["corridor_counter"].id
    harness.server.counters = {(corridor, 3): (7, 900), (corridor, 65_535): (1, 60), (corridor, 9): (0, 0)}
    assert await harness.device.counters("corridor_counter") == {3: (7, 900), 65_535: (1, 60)}
    assert await harness.device.counters("corridor_counter", [3, 4]) == {3: (7, 900)}
    asked = [entity.counter_entry for request in harness.server.reads for entity in request.entities]
    assert [cell.index.index for cell in asked if cell.HasField("index")] == [3, 4]
    assert await harness.device.counters("corridor_counter", []) == {}
    assert await harness.device.counters("drop_counter") == {}


async def test_asks_for_one_table_or_array_at_a_time(harness: FakeHarness) -> None:
    """BMv2 serves no wildcard over all of them."""
    await harness.device.read()
    await harness.device.counters("corridor_counter")
    for request in harness.server.reads:
        for entity in request.entities:
            asked = getattr(entity, str(entity.WhichOneof("entity")))
            assert asked.ListFields()[0][0].name in ("table_id", "meter_id", "counter_id")


async def test_refuses_counters_that_are_not_there(harness: FakeHarness) -> None:
    harness.server.unreadable.add(PIPELINE.counters["drop_counter"].id)
    for name, cells in (("drop_counter", None), ("no_such_counter", None), ("corridor_counter", [65_536])):
        with pytest.raises(DeviceRejected):
            await harness.device.counters(name, cells)
    assert harness.device.connected
    await harness.device.close()
    with pytest.raises(DeviceUnreachable):
        await harness.device.counters("corridor_counter")


async def test_reads_groups_of_a_target_that_watches_by_number(harness: FakeHarness) -> None:
    harness.server.watch_numbers = True
    await harness.device.apply(inserts(GROUPS))
    assert dict(await harness.device.read()) == {entry.key: entry for entry in GROUPS}
