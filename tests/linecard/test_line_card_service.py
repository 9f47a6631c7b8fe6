"""The line card over gRPC, and as the program that it is."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import grpc
import pytest

from controller.linecard import card
from controller.linecard.__main__ import Program, start_program
from controller.linecard.card import Settings
from controller.linecard.gen import line_card_pb2 as pb
from controller.linecard.gen import line_card_pb2_grpc

DEADLINE_S = 10.0
FAILED_PRECONDITION, NOT_FOUND = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    started = await start_program(Settings("zgc-o", {(2, "odu1-1"): 238}), f"unix:{tmp_path}/linecard.sock")
    yield started
    await started.stop(0)


@pytest.fixture
async def stub(tmp_path: Path, program: Program) -> AsyncIterator[line_card_pb2_grpc.LineCardStub]:
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/linecard.sock") as channel:
        yield line_card_pb2_grpc.LineCardStub(channel)


def set_slots(slice_id: int, *slots: int, active: int = 1) -> pb.SlotChange:
    held = pb.Holding(slice_id=slice_id, line_port=2, server="odu1-1", slots=slots, active_count=active)
    return pb.SlotChange(set=held)


def delete(slice_id: int) -> pb.SlotChange:
    return pb.SlotChange(delete=pb.HoldingKey(slice_id=slice_id, line_port=2))


async def table(stub: line_card_pb2_grpc.LineCardStub) -> dict[int, list[int]]:
    answer = await stub.GetSlotTable(pb.GetSlotTableRequest(), timeout=DEADLINE_S)
    return {holding.slice_id: list(holding.slots) for holding in answer.holdings}


async def test_set_read_delete(stub: line_card_pb2_grpc.LineCardStub) -> None:
    answer = await stub.Apply(pb.ApplyRequest(epoch=1, changes=[set_slots(7, 1, 2), set_slots(8, 3)]))
    assert (answer.version, list(answer.errors)) == (1, [])
    read = await stub.GetSlotTable(pb.GetSlotTableRequest())
    assert (read.node, read.version) == ("zgc-o", 1)
    assert [(s.line_port, s.server, s.slots) for s in read.servers] == [(2, "odu1-1", 238)]
    assert await table(stub) == {7: [1, 2], 8: [3]}
    await stub.Apply(pb.ApplyRequest(epoch=1, changes=[delete(7)]))
    assert await table(stub) == {8: [3]}


async def test_refused_items_are_named_and_the_rest_stands(stub: line_card_pb2_grpc.LineCardStub) -> None:
    changes = [set_slots(7, 1), set_slots(8, 1), set_slots(9, 239), pb.SlotChange(), set_slots(10, 2)]
    answer = await stub.Apply(pb.ApplyRequest(epoch=1, changes=changes))
    codes = [(error.index, error.code) for error in answer.errors]
    assert codes == [(1, "FAILED_PRECONDITION"), (2, "OUT_OF_RANGE"), (3, "INVALID_ARGUMENT")]
    assert await table(stub) == {7: [1], 10: [2]}


async def test_a_stale_epoch_is_fenced_off(stub: line_card_pb2_grpc.LineCardStub) -> None:
    await stub.Apply(pb.ApplyRequest(epoch=5, changes=[set_slots(7, 1)]))
    with pytest.raises(grpc.aio.AioRpcError) as stale:
        await stub.Apply(pb.ApplyRequest(epoch=4, changes=[delete(7)]))
    assert stale.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert await table(stub) == {7: [1]}


async def test_a_batch_without_changes_fences_and_is_no_first_change(
    program: Program, stub: line_card_pb2_grpc.LineCardStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a program finds in its switch is orphaned a while after the controller has begun to fill the table."""
    monkeypatch.setattr(card, "ORPHANS_S", -1.0)
    await stub.Apply(pb.ApplyRequest(epoch=5))
    assert not program.card.may_remove(7)
    assert await refusal(stub.Apply(pb.ApplyRequest(epoch=4, changes=[set_slots(7, 1)]))) is PERMISSION_DENIED
    await stub.Apply(pb.ApplyRequest(epoch=5, changes=[set_slots(7, 1)]))
    assert program.card.may_remove(7)


async def test_a_stale_version_is_aborted(stub: line_card_pb2_grpc.LineCardStub) -> None:
    await stub.Apply(pb.ApplyRequest(epoch=1, expected_version=0, changes=[set_slots(7, 1)]))
    with pytest.raises(grpc.aio.AioRpcError) as stale:
        await stub.Apply(pb.ApplyRequest(epoch=1, expected_version=0, changes=[delete(7)]))
    assert stale.value.code() == grpc.StatusCode.ABORTED
    assert await table(stub) == {7: [1]}


async def spawn(address: str, *more: str) -> asyncio.subprocess.Process:
    arguments = ["-m", "controller.linecard", "--node", "zgc-o", "--listen", address, *more]
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stderr=asyncio.subprocess.PIPE)


async def test_the_program_serves_and_a_killed_one_comes_back_empty_on_the_same_socket(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/linecard.sock"
    program = await spawn(address)
    async with grpc.aio.insecure_channel(address, options=[("grpc.max_reconnect_backoff_ms", 200)]) as channel:
        stub = line_card_pb2_grpc.LineCardStub(channel)
        request = pb.ApplyRequest(epoch=1, changes=[set_slots(7, 1)])
        await stub.Apply(request, timeout=DEADLINE_S, wait_for_ready=True)
        program.kill()
        await program.wait()
        program = await spawn(address, "--server", "2:odu1-1=238")
        read = await stub.GetSlotTable(pb.GetSlotTableRequest(), timeout=DEADLINE_S, wait_for_ready=True)
        assert (read.version, list(read.holdings)) == (0, [])
        os.kill(program.pid, signal.SIGTERM)
        assert await asyncio.wait_for(program.wait(), DEADLINE_S) == 0


async def test_bad_arguments_are_refused_by_name(tmp_path: Path) -> None:
    program = await spawn(f"unix:{tmp_path}/linecard.sock", "--server", "odu1-1")
    _, said = await program.communicate()
    assert program.returncode == 2
    assert b"'odu1-1' is not PORT:NAME=SLOTS" in said


async def test_an_address_that_cannot_be_bound_ends_the_program() -> None:
    program = await spawn("unix:/nonexistent/linecard.sock")
    await program.communicate()
    assert program.returncode == 1


def protect(working: int, protection: int, *, ports: tuple[int, int] = (2, 3)) -> pb.SlotChange:
    group = pb.ProtectionGroup(
        working=working, protection=protection, direction=1, working_port=ports[0], protection_port=ports[1]
    )
    return pb.SlotChange(protect=group)


async def refusal(call: Awaitable[object]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code()


async def last_notice(stub: line_card_pb2_grpc.LineCardStub, slice_id: int, count: int, epoch: int = 1) -> object:
    request = pb.ResizeRequest(epoch=epoch, slice_id=slice_id, target_count=count)
    return [notice async for notice in stub.Resize(request, timeout=DEADLINE_S)][-1]


async def test_the_size_of_a_slice_is_told_and_forced(stub: line_card_pb2_grpc.LineCardStub) -> None:
    await stub.Apply(pb.ApplyRequest(epoch=3, changes=[set_slots(7, 1, 2, 3, active=2)]))
    told = await stub.GetSlice(pb.GetSliceRequest(slice_id=7))
    assert told == pb.SliceSize(slice_id=7, forward_count=2, reverse_count=2)
    forced = await stub.ForceSize(pb.ForceSizeRequest(epoch=3, slice_id=7, count=3))
    assert forced == pb.SliceSize(slice_id=7, forward_count=3, reverse_count=3)
    assert await refusal(stub.ForceSize(pb.ForceSizeRequest(epoch=3, slice_id=7, count=4))) is FAILED_PRECONDITION
    assert await refusal(stub.ForceSize(pb.ForceSizeRequest(epoch=3, slice_id=9, count=1))) is NOT_FOUND
    assert await refusal(stub.GetSlice(pb.GetSliceRequest(slice_id=9))) is NOT_FOUND
    assert (await stub.GetSlice(pb.GetSliceRequest(slice_id=7))).forward_count == 3


async def test_commands_of_a_stale_epoch_are_fenced_off(stub: line_card_pb2_grpc.LineCardStub) -> None:
    await stub.Apply(pb.ApplyRequest(epoch=5, changes=[set_slots(7, 1, 2)]))
    assert await refusal(last_notice(stub, 7, 2, epoch=4)) is PERMISSION_DENIED
    assert await refusal(stub.ForceSize(pb.ForceSizeRequest(epoch=4, slice_id=7, count=2))) is PERMISSION_DENIED
    assert (await stub.GetSlice(pb.GetSliceRequest(slice_id=7))).forward_count == 1


async def test_a_resize_that_makes_no_sense_here_is_refused(stub: line_card_pb2_grpc.LineCardStub) -> None:
    await stub.Apply(pb.ApplyRequest(epoch=1, changes=[set_slots(7, 1, 2)]))
    assert await refusal(last_notice(stub, 9, 1)) is NOT_FOUND
    assert await refusal(last_notice(stub, 7, 3)) is FAILED_PRECONDITION


@pytest.mark.parametrize(("sizes", "told"), [((2, 2), 2), ((2, 3), 0), ((3, 2), 0)])
async def test_a_table_tells_a_size_only_where_it_is_that_of_both_directions(
    program: Program, stub: line_card_pb2_grpc.LineCardStub, sizes: tuple[int, int], told: int
) -> None:
    """Neither a surplus nor a shortage of one direction may look like the size that is right."""
    await stub.Apply(pb.ApplyRequest(epoch=1, changes=[set_slots(7, 1, 2, 3, active=2)]))
    for direction, count in enumerate(sizes):
        program.card.table.commit(7, direction, count)
    (holding,) = (await stub.GetSlotTable(pb.GetSlotTableRequest())).holdings
    assert holding.active_count == told


async def test_a_group_without_its_selector_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its switch is away: nothing may be sent to the selector yet."""
    monkeypatch.setattr(card, "FIRST_READ_S", 0.01)
    monkeypatch.setattr(card, "CONFIRM_S", 0.01)
    address = f"unix:{tmp_path}/alone.sock"
    alone = await start_program(Settings("zgc-o", switch=f"{tmp_path}/none.mgmt"), address)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = line_card_pb2_grpc.LineCardStub(channel)
        changes = [protect(7, 8), protect(9, 9), set_slots(7, 1)]
        answer = await stub.Apply(pb.ApplyRequest(epoch=1, changes=changes))
        assert [(e.index, e.code) for e in answer.errors] == [(0, "UNAVAILABLE"), (1, "INVALID_ARGUMENT")]
        read = await stub.GetSlotTable(pb.GetSlotTableRequest())
        assert (len(read.protections), len(read.holdings), read.version) == (0, 1, answer.version)
    await alone.stop(0)


async def test_protection_groups_are_kept_told_and_watched(stub: line_card_pb2_grpc.LineCardStub) -> None:
    changes = [protect(7, 8), protect(9, 9), protect(10, 11, ports=(3, 3)), protect(12, 13)]
    answer = await stub.Apply(pb.ApplyRequest(epoch=1, changes=changes))
    assert [(error.index, error.code) for error in answer.errors] == [
        (1, "INVALID_ARGUMENT"),
        (2, "INVALID_ARGUMENT"),
    ]
    watch = stub.WatchProtection(pb.WatchProtectionRequest(), timeout=DEADLINE_S)
    assert [await watch.read() for _ in range(2)] == [
        pb.ProtectionStatus(working=number, far_end_silent=True) for number in (7, 12)
    ]
    await stub.Apply(pb.ApplyRequest(epoch=1, changes=[pb.SlotChange(unprotect=12)]))
    table = await stub.GetSlotTable(pb.GetSlotTableRequest())
    assert list(table.protections) == [protect(7, 8).protect]
