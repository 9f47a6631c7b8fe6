"""The line card over gRPC, and as the program that it is."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from controller.linecard.__main__ import start_program
from controller.linecard.card import Settings
from controller.linecard.gen import line_card_pb2 as pb
from controller.linecard.gen import line_card_pb2_grpc

DEADLINE_S = 10.0


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[line_card_pb2_grpc.LineCardStub]:
    address = f"unix:{tmp_path}/linecard.sock"
    program = await start_program(Settings("zgc-o", {(2, "odu1-1"): 238}), address)
    async with grpc.aio.insecure_channel(address) as channel:
        yield line_card_pb2_grpc.LineCardStub(channel)
    await program.stop(0)


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
