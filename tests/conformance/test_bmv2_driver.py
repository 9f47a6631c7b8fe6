"""What BMv2 does in its own way, and the driver in spite of it. As the specification has it: tests/drivers."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from device_contract import Recorder, deletes, inserts
from finsy.proto import U128, p4r, p4r_grpc
from packet_entries import ENTRIES, GROUPS, HOSTS, PROGRAM_ONLY, modified
from targets import DEVICE_ID, PIPELINE, Bmv2, running
from waiting import until

from controller.core.entries import Change, Entry, Exact, MeterEntry, Operation, TableEntry
from controller.core.errors import DeviceUnreachable
from controller.drivers.p4runtime import P4RuntimeDevice

pytestmark = pytest.mark.root

SetPipeline = p4r.SetForwardingPipelineConfigRequest
EVERYTHING = ENTRIES + HOSTS + GROUPS + PROGRAM_ONLY
HEARTBEAT_S = 0.1


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bmv2]:
    """Without ports."""
    with running(Bmv2, tmp_path_factory.mktemp("bmv2"), {}) as switch:
        yield switch


def held(*entries: Entry) -> dict[object, Entry]:
    return {entry.key: entry for entry in entries}


@pytest.fixture
async def device(switch: Bmv2) -> AsyncIterator[P4RuntimeDevice]:
    """Primary, on an empty switch."""
    async with switch.controlled() as before:
        await switch.clear(before)
    device = switch.device(Recorder(), switch.next_epoch(), HEARTBEAT_S)
    device.start()
    await until(lambda: device.connected, "the connection")
    yield device
    await device.close()


@contextlib.asynccontextmanager
async def stranger(switch: Bmv2) -> AsyncIterator[tuple[p4r_grpc.P4RuntimeStub, p4r.Uint128]]:
    """Another primary that knows nothing of our manners."""
    election_id = U128.encode(switch.next_election_id())
    bid = p4r.MasterArbitrationUpdate(device_id=DEVICE_ID, election_id=election_id)
    async with grpc.aio.insecure_channel(switch.address) as channel:
        stub = p4r_grpc.P4RuntimeStub(channel)
        stream = stub.StreamChannel()
        await stream.write(p4r.StreamMessageRequest(arbitration=bid))
        answer = await stream.read()
        assert answer.arbitration.status.code == 0
        yield stub, election_id
        stream.cancel()


async def test_every_kind_of_entry_reads_back_as_written(device: P4RuntimeDevice) -> None:
    assert not await device.apply(inserts(EVERYTHING))
    assert await device.read() == held(*EVERYTHING)
    changed = [modified(entry) for entry in EVERYTHING]
    assert not await device.apply([Change(Operation.MODIFY, entry) for entry in changed])
    assert await device.read() == held(*changed)
    assert not await device.apply(inserts(EVERYTHING))  # over what is there
    assert await device.read() == held(*EVERYTHING)
    assert not await device.apply(deletes(EVERYTHING))
    assert await device.read() == {}


async def test_rates_read_back_as_written_though_bmv2_rounds_them(device: P4RuntimeDevice) -> None:
    drawn = random.Random(2698)
    rates = [(drawn.randrange(1, 1 << 33), drawn.randrange(1, 1 << 33)) for _ in range(1000)]
    bursts = [(drawn.randrange(1, 1 << 32), drawn.randrange(1, 1 << 32)) for _ in rates]
    cells = [
        MeterEntry("slice_meter", index, rate, burst, rate + more, peak_burst)
        for index, ((rate, more), (burst, peak_burst)) in enumerate(zip(rates, bursts, strict=True))
    ]
    assert not await device.apply(inserts(cells))
    for _ in ("as a whole", "by cells"):
        assert await device.read() == held(*cells)


async def test_a_full_table_is_final_until_there_is_room(device: P4RuntimeDevice) -> None:
    size = PIPELINE.tables["node_address"].size
    nodes = [TableEntry("node_address", (("dst", Exact(n)),), "to_node") for n in range(size + 2)]
    refused = await device.apply(inserts(nodes))
    assert [each.change.entry for each in refused] == nodes[size:]
    assert {(each.code, each.transient) for each in refused} == {("RESOURCE_EXHAUSTED", False)}
    refused = await device.apply([*inserts(nodes[size:]), *deletes(nodes[:size])])
    assert {(each.code, each.transient) for each in refused} == {("RESOURCE_EXHAUSTED", True)}
    assert not await device.apply(inserts(nodes[size:]))
    assert await device.read() == held(*nodes[size:])


async def test_a_promotion_after_a_newer_controller_is_not_taken(switch: Bmv2, device: P4RuntimeDevice) -> None:
    async with switch.controlled() as newer:
        await until(lambda: not device.connected, "the loss")
        assert not await newer.apply(inserts(ENTRIES))
    bystander = switch.device(Recorder(), 0)  # below all others: the old one is the primary now
    bystander.start()
    await until(lambda: bystander.fenced_off, "a word of who is primary")
    with pytest.raises(DeviceUnreachable, match="fenced off"):
        await device.apply(deletes(ENTRIES))
    await bystander.close()
    async with switch.controlled() as third:
        assert await third.read() == held(*ENTRIES)


async def test_another_one_of_the_same_epoch_takes_over_and_gives_back(
    switch: Bmv2, device: P4RuntimeDevice, caplog: pytest.LogCaptureFixture
) -> None:
    assert not await device.apply(inserts(ENTRIES))
    twin = switch.device(Recorder(), switch.epoch)
    twin.start()
    await until(lambda: "somebody else has epoch" in caplog.text, "a word about it")
    await until(lambda: twin.connected and not device.connected, "its next bid")
    assert await twin.read() == held(*ENTRIES)
    await twin.close()
    await until(lambda: device.connected, "the promotion of the first")


@pytest.mark.parametrize("cookie", [4711, PIPELINE.cookie])
@pytest.mark.parametrize(
    ("action", "config"),
    [
        (SetPipeline.VERIFY_AND_SAVE, PIPELINE.device_config),
        (SetPipeline.RECONCILE_AND_COMMIT, PIPELINE.device_config),
        (SetPipeline.VERIFY_AND_COMMIT, b"{}"),
        (SetPipeline.VERIFY_AND_COMMIT, b"junk"),
    ],
    ids=["saved", "reconciled", "empty", "junk"],
)
async def test_comes_to_its_pipeline_whatever_was_pushed_before(
    switch: Bmv2, device: P4RuntimeDevice, action: SetPipeline.Action.ValueType, config: bytes, cookie: int
) -> None:
    """A push that was saved, or failed half-way, keeps BMv2 from taking the next one."""
    await device.close()
    pushed = p4r.ForwardingPipelineConfig(p4info=PIPELINE.p4info, p4_device_config=config)
    pushed.cookie.cookie = cookie
    async with stranger(switch) as (stub, election_id):
        request = SetPipeline(device_id=DEVICE_ID, election_id=election_id, action=action, config=pushed)
        with contextlib.suppress(grpc.RpcError):
            await stub.SetForwardingPipelineConfig(request)
    async with switch.controlled() as ours:
        assert not await ours.apply(inserts(EVERYTHING))
        assert await ours.read() == held(*EVERYTHING)
    async with switch.controlled() as again:
        assert await again.read() == held(*EVERYTHING), "the same pipeline was pushed again"


async def test_counters_that_have_not_counted(device: P4RuntimeDevice) -> None:
    for name in ("corridor_counter", "oversize_counter", "drop_counter"):
        assert await device.counters(name) == {}
    assert await device.counters("corridor_counter", [1, 65_535]) == {}
