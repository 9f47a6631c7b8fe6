"""The P4Runtime driver against an in-process server that follows the specification."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from device_contract import DeviceContract, Recorder, inserts
from fake_p4runtime import FakeP4Runtime
from finsy.proto import rpc_code
from p4runtime_harness import NAME, PIPELINE, FakeHarness
from packet_entries import ENTRIES
from waiting import until

from controller.core.entries import (
    Change,
    CrossConnect,
    Entry,
    Exact,
    GroupEntry,
    GroupMember,
    MeterEntry,
    Operation,
    TableEntry,
)
from controller.core.errors import DeviceUnreachable
from controller.core.model import Capabilities, Liveness
from controller.drivers.p4runtime import P4RuntimeDevice
from controller.drivers.p4runtime_write import BATCH


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[FakeHarness]:
    harness = FakeHarness(tmp_path)
    await harness.begin()
    yield harness
    await harness.end()


class TestContract(DeviceContract):
    """The suite that every device passes."""


HOP = GroupMember("set_next_hop", (("next_hop", 10),))


def codes(rejections: Sequence[object]) -> list[tuple[str, bool]]:
    return [(r.code, r.transient) for r in rejections]  # type: ignore[attr-defined]


async def test_pushes_the_pipeline_only_where_it_differs(harness: FakeHarness) -> None:
    assert harness.server.pushes == 1
    assert harness.server.config.p4_device_config == PIPELINE.device_config
    await harness.interrupt()
    await until(lambda: harness.device.connected, "the second connection")
    assert harness.server.pushes == 1


async def test_puts_its_pipeline_back_when_another_one_is_pushed(harness: FakeHarness) -> None:
    harness.server.config.cookie.cookie = 4711
    await until(lambda: harness.server.pushes == 2 and harness.device.connected, "our pipeline")
    assert [event for event, _ in harness.listener.events] == ["connected", "disconnected", "connected"]


async def test_yields_to_a_higher_epoch(harness: FakeHarness) -> None:
    newer = Recorder()
    successor = harness.driver(epoch=2, listener=newer)
    successor.start()
    await until(lambda: successor.connected and not harness.device.connected, "the new primary")
    assert harness.listener.events == [("connected", NAME), ("disconnected", NAME)]
    with pytest.raises(DeviceUnreachable):
        await harness.device.apply(inserts(ENTRIES))
    assert harness.server.pushes == 1
    await successor.close()


async def test_connects_when_the_device_comes_up_later(tmp_path: Path) -> None:
    harness = FakeHarness(tmp_path)
    harness.device.start()
    try:
        with pytest.raises(DeviceUnreachable):
            await harness.device.read()
        await harness.server.start()
        await until(lambda: harness.device.connected, "the connection")
    finally:
        await harness.device.close()
        await harness.server.stop()


@pytest.mark.parametrize(
    ("code", "transient"),
    [
        ("UNAVAILABLE", True),
        ("RESOURCE_EXHAUSTED", True),
        ("ABORTED", True),
        ("INVALID_ARGUMENT", False),
        ("UNKNOWN", False),
    ],
)
async def test_reports_refusals_in_the_devices_own_words(harness: FakeHarness, code: str, transient: bool) -> None:
    victim = PIPELINE.tables["policy"].id
    number = rpc_code.Code.Value(code)
    harness.server.refuse = lambda update: (
        (number, "no room at all") if update.entity.table_entry.table_id == victim else None
    )
    rejections = await harness.device.apply(inserts(ENTRIES))
    assert codes(rejections) == [(code, transient)] * 2
    assert {rejection.message for rejection in rejections} == {"no room at all"}
    assert len(await harness.device.read()) == len(ENTRIES) - 2


async def test_reports_all_changes_of_a_write_that_failed_as_a_whole(harness: FakeHarness) -> None:
    harness.server.refuse_write = (grpc.StatusCode.UNAVAILABLE, "busy")
    changes = inserts(ENTRIES)
    rejections = await harness.device.apply(changes)
    assert [rejection.change for rejection in rejections] == changes
    assert all(rejection.code == "UNAVAILABLE" and rejection.transient for rejection in rejections)


@pytest.mark.parametrize(
    "entry",
    [
        CrossConnect(1, 0, 1, 2, 3),
        TableEntry("no_such_table", (("port", Exact(1)),), "network", (("mac", 1),)),
        TableEntry("port_role", (("port", Exact(1)),), "u_n"),
        TableEntry("port_role", (("port", Exact(512)),), "network", (("mac", 1),)),
        TableEntry("port_role", (("port", Exact(1)),), "network", (("mac", 1 << 48),)),
        TableEntry("port_role", (("port", Exact(1)),), "network"),
        TableEntry("port_role", (("port", Exact(1)),), "network", (("mac", 1),), priority=5),
        TableEntry("port_role", (), "network", (("mac", 1),)),
        replace(ENTRIES[12], priority=0),
        TableEntry("port_role", (("port", Exact(1)), ("vrf", Exact(1))), "network", (("mac", 1),)),
        replace(ENTRIES[12], priority=1 << 31),
        TableEntry("next_hop_group", (("group", Exact(1)),), "set_next_hop", (("next_hop", 1),)),
        GroupEntry("next_hop", (("next_hop", Exact(1)),), (HOP,)),
        GroupEntry("next_hop_group", (), (HOP,)),
        GroupEntry("next_hop_group", (("group", Exact(1)),), ()),
        GroupEntry("next_hop_group", (("group", Exact(1)),), (replace(HOP, weight=0),)),
        GroupEntry("next_hop_group", (("group", Exact(1)),), (replace(HOP, watch_port=512),)),
        GroupEntry("next_hop_group", (("group", Exact(1)),), (replace(HOP, weight=60), replace(HOP, weight=5))),
        GroupEntry("next_hop_group", (("group", Exact(1)),), (GroupMember("to_customer", (("port", 1),)),)),
        MeterEntry("no_such_meter", 1, 1, 1),
        MeterEntry("slice_meter", 65_536, 1, 1),
        MeterEntry("icmp_limit", 512, 1, 1),
        MeterEntry("slice_meter", 1, 1 << 63, 1),
        MeterEntry("slice_meter", 1, 10, 1, peak_rate=9),
    ],
    ids=repr,
)
async def test_refuses_what_does_not_fit_the_pipeline_without_asking(harness: FakeHarness, entry: Entry) -> None:
    rejections = await harness.device.apply([Change(Operation.INSERT, entry)])
    assert codes(rejections) == [("INVALID_ARGUMENT", False)]
    assert harness.server.batches == []


async def test_writes_in_batches_that_a_device_may_reorder(harness: FakeHarness) -> None:
    hops = [TableEntry("next_hop", (("next_hop", Exact(n)),), "to_customer", (("port", 2),)) for n in range(1, 251)]
    meter = MeterEntry("slice_meter", 1, 1000, 1000)
    await harness.device.apply([*inserts([*hops, meter]), Change(Operation.DELETE, hops[0])])
    assert [len(batch) for batch in harness.server.batches] == [BATCH, BATCH, 50, 1, 1]
    for batch in harness.server.batches:
        assert len({(update.type, update.entity.table_entry.table_id) for update in batch}) == 1


async def test_a_meter_is_configured_and_reset_by_modification(harness: FakeHarness) -> None:
    meter = MeterEntry("slice_meter", 4, 1_250_000, 30_000)
    await harness.device.apply([Change(Operation.INSERT, meter)])
    (config,) = harness.server.meters.values()
    assert (config.cir, config.cburst, config.pir, config.pburst) == (1_250_000, 30_000, 1_250_000, 30_000)
    await harness.device.apply([Change(Operation.DELETE, meter)])
    assert harness.server.meters == {}


async def test_a_device_that_hangs_becomes_unreachable(harness: FakeHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.drivers.p4runtime_session.CALL_DEADLINE_S", 0.2)
    harness.server.mute = True
    with pytest.raises(DeviceUnreachable):
        await harness.device.read()
    await until(lambda: not harness.device.connected, "the loss")


async def test_many_writers_at_once_lose_nothing(harness: FakeHarness) -> None:
    frames = [bytes([n]) * 60 for n in range(50)]
    await asyncio.gather(*(harness.device.send_frame(1, frame) for frame in frames))
    await until(lambda: len(harness.server.packets_out) == 50, "50 packet-outs")
    assert {frame for _, frame in harness.server.packets_out} == set(frames)


async def test_takes_capabilities_from_the_announcement(tmp_path: Path) -> None:
    harness = FakeHarness(tmp_path)
    harness.server.capabilities = {
        "shaping": True,
        "liveness": "REMOTE",
        "maxCarriers": 2,
        "mtuBytes": 1700,
        "resolvesNeighbors": True,
        "fenced": True,
    }
    await harness.server.start()
    harness.device.start()
    try:
        await until(lambda: harness.device.connected, "the connection")
        assert harness.device.capabilities == Capabilities(True, Liveness.REMOTE, 2, 1700, True, True)
    finally:
        await harness.device.close()
        await harness.server.stop()


async def test_assumes_bmv2_where_nothing_is_announced(harness: FakeHarness) -> None:
    assert harness.device.capabilities == Capabilities(False, Liveness.LOCAL_PORT, 3, 9000, False, False)


@pytest.fixture
def identity(tmp_path: Path) -> tuple[bytes, bytes]:
    """Key and self-signed certificate of `localhost`."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on the path")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "1"]
    subprocess.run([*request, "-keyout", key, "-out", certificate, *subject], check=True, capture_output=True)
    return key.read_bytes(), certificate.read_bytes()


async def test_speaks_tls_where_credentials_are_given(identity: tuple[bytes, bytes]) -> None:
    server = FakeP4Runtime(1, "localhost:0")
    port = await server.start(grpc.ssl_server_credentials([identity]))
    trust = grpc.ssl_channel_credentials(identity[1])
    device = P4RuntimeDevice(NAME, f"localhost:{port}", 1, 1, Recorder(), pipeline=PIPELINE, credentials=trust)
    device.start()
    try:
        await until(lambda: device.connected, "the connection")
        assert not await device.apply(inserts(ENTRIES))
    finally:
        await device.close()
        await server.stop()
