"""The pipeline configuration of a device: pushed where another stands, left alone where it is ours."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from crossing import crosses
from device_contract import Recorder
from exceptions import bearable, differs
from finsy.proto import U128, p4r, p4r_grpc
from frames import from_core, inner6, on_channel, outer
from packet_world import ENTRIES
from targets import DEVICE_ID, PIPELINE, Target
from waiting import until

FOREIGN_COOKIE = 4711
Actions = p4r.SetForwardingPipelineConfigRequest


@pytest.fixture
async def stub(target: Target) -> AsyncIterator[p4r_grpc.P4RuntimeStub]:
    async with grpc.aio.insecure_channel(target.address) as channel:
        yield p4r_grpc.P4RuntimeStub(channel)


async def push(stub: p4r_grpc.P4RuntimeStub, cookie: int, election_id: int) -> None:
    """The same program under a cookie that is not ours, in the name of the primary."""
    request = Actions(
        device_id=DEVICE_ID,
        election_id=U128.encode(election_id),
        action=p4r.SetForwardingPipelineConfigRequest.VERIFY_AND_COMMIT,
    )
    request.config.p4info.CopyFrom(PIPELINE.p4info)
    request.config.p4_device_config = PIPELINE.device_config
    request.config.cookie.cookie = cookie
    await stub.SetForwardingPipelineConfig(request, timeout=10)


async def cookie(stub: p4r_grpc.P4RuntimeStub) -> int:
    kind = p4r.GetForwardingPipelineConfigRequest.COOKIE_ONLY
    request = p4r.GetForwardingPipelineConfigRequest(device_id=DEVICE_ID, response_type=kind)
    answer = await stub.GetForwardingPipelineConfig(request, timeout=5)
    return int(answer.config.cookie.cookie)


async def test_our_pipeline_is_in_place(target: Target, stub: p4r_grpc.P4RuntimeStub) -> None:
    assert await cookie(stub) == PIPELINE.cookie


async def test_the_same_cookie_is_left_alone(target: Target) -> None:
    """A controller comes back to tables that still stand and carry."""
    async with target.controlled() as device:
        standing = dict(await device.read())
    assert standing == {entry.key: entry for entry in bearable(target.name, ENTRIES)}
    packet = from_core(outer("fcbb:bb00:1:2::") / inner6())
    assert crosses(target, 1, packet) == (1, on_channel(1, outer("fcbb:bb00:2::", hlim=63) / inner6()))


async def test_another_cookie_is_replaced(target: Target, stub: p4r_grpc.P4RuntimeStub) -> None:
    async with target.controlled():
        await push(stub, FOREIGN_COOKIE, target.election_id)
    assert await cookie(stub) == FOREIGN_COOKIE
    async with target.controlled() as device:
        assert await cookie(stub) == PIPELINE.cookie
        kept = bearable(target.name, ENTRIES) if differs(target.name, "push") else []
        assert dict(await device.read()) == {entry.key: entry for entry in kept}


async def test_a_pipeline_replaced_under_us_is_noticed(target: Target, stub: p4r_grpc.P4RuntimeStub) -> None:
    heard = Recorder()
    device = target.device(heard, target.next_epoch(), heartbeat_s=0.1)
    device.start()
    try:
        await until(lambda: device.connected, "the connection")
        await push(stub, FOREIGN_COOKIE, target.election_id)
        await until(
            lambda: [event for event, _ in heard.events] == ["connected", "disconnected", "connected"], "all of it"
        )
        assert await cookie(stub) == PIPELINE.cookie
    finally:
        await device.close()


async def test_a_pipeline_of_another_contract_is_refused(target: Target, stub: p4r_grpc.P4RuntimeStub) -> None:
    """What cannot be what the device runs is not taken, and what stands goes on standing."""
    async with target.controlled():
        request = Actions(
            device_id=DEVICE_ID,
            election_id=U128.encode(target.election_id),
            action=p4r.SetForwardingPipelineConfigRequest.VERIFY_AND_COMMIT,
        )
        request.config.p4info.CopyFrom(PIPELINE.p4info)
        del request.config.p4info.tables[3:]
        request.config.p4_device_config = b"junk"
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.SetForwardingPipelineConfig(request, timeout=10)
    async with target.controlled():
        assert await cookie(stub) == PIPELINE.cookie
