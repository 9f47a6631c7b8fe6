"""A long batch leaves the event loop to others, and yet nobody sees half of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import grpc
import pytest

from controller.core.entries import ProtectionGroup
from controller.linecard.__main__ import start_program
from controller.linecard.card import LineCard, Settings
from controller.linecard.gen import line_card_pb2 as pb
from controller.linecard.gen import line_card_pb2_grpc
from controller.linecard.slot_table import Holding, SlotChange

MANY = 1000
DEADLINE_S = 30.0


def many() -> list[SlotChange]:
    return [Holding(n, 2, "odu2-1", (n,), 1) for n in range(1, MANY + 1)]


def message(slice_id: int, slot: int) -> pb.SlotChange:
    return pb.SlotChange(set=pb.Holding(slice_id=slice_id, line_port=2, server="odu2-1", slots=[slot], active_count=1))


def batch(first: int = 1, epoch: int = 1) -> pb.ApplyRequest:
    changes = [message(slice_id, slot) for slot, slice_id in enumerate(range(first, first + MANY), 1)]
    return pb.ApplyRequest(epoch=epoch, expected_version=0, changes=changes)


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[line_card_pb2_grpc.LineCardStub]:
    address = f"unix:{tmp_path}/linecard.sock"
    program = await start_program(Settings("zgc-o"), address)
    async with grpc.aio.insecure_channel(address) as channel:
        yield line_card_pb2_grpc.LineCardStub(channel)
    await program.stop(0)


async def test_others_have_their_turn_at_least_at_every_hundredth_change() -> None:
    card = LineCard(Settings("zgc-o"))
    applying = asyncio.create_task(card.apply(many()))
    known = [0]
    while not applying.done():
        await asyncio.sleep(0)
        known.append(len(card.table.holdings))
    assert known[-1] == MANY
    assert max(after - before for before, after in pairwise(known)) <= 100


async def test_refused_changes_are_counted_through_the_whole_batch() -> None:
    card = LineCard(Settings("zgc-o"))
    changes = many()
    for index in (3, 120, MANY - 1):
        changes[index] = Holding(index + 1, 2, "odu2-1", (1,), 1)
    assert [error.index for error in await card.apply(changes)] == [3, 120, MANY - 1]


async def test_what_a_batch_that_is_cancelled_has_changed_is_followed() -> None:
    card = LineCard(Settings("zgc-o"))
    applying = asyncio.create_task(card.apply([ProtectionGroup(7, 8, 0, 2, 3), *many()]))
    await asyncio.sleep(0)  # to its first part
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying
    assert 0 < len(card.table.holdings) < MANY
    assert card.protection.knew(7)
    await card.stop()


async def forced(stub: line_card_pb2_grpc.LineCardStub, slice_id: int) -> bool:
    """Whether the slice is known."""
    call = stub.ForceSize(pb.ForceSizeRequest(epoch=1, slice_id=slice_id, count=1), timeout=DEADLINE_S)
    return await call.code() is grpc.StatusCode.OK


async def test_readers_and_commands_find_all_of_a_batch_or_nothing(stub: line_card_pb2_grpc.LineCardStub) -> None:
    applying = asyncio.ensure_future(stub.Apply(batch(), timeout=DEADLINE_S))
    seen = set()
    while not applying.done():
        table = await stub.GetSlotTable(pb.GetSlotTableRequest(), timeout=DEADLINE_S)
        seen.add((table.version > 0, len(table.holdings)))
        first = await forced(stub, 1)
        assert await forced(stub, MANY) or not first
    assert seen <= {(False, 0), (True, MANY)}
    assert list((await applying).errors) == []


async def test_of_two_batches_planned_on_the_same_table_one_is_applied(stub: line_card_pb2_grpc.LineCardStub) -> None:
    calls = [stub.Apply(batch(first), timeout=DEADLINE_S) for first in (1, MANY + 1)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    (refused,) = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert refused.code() is grpc.StatusCode.ABORTED
    table = await stub.GetSlotTable(pb.GetSlotTableRequest(), timeout=DEADLINE_S)
    assert len({holding.slice_id // (MANY + 1) for holding in table.holdings}) == 1
    assert len(table.holdings) == MANY
