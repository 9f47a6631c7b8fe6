"""The P4Runtime driver against BMv2 itself, where it is installed: the same contract, another target."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from device_contract import DeviceContract, Recorder
from packet_entries import ENTRIES, HOSTS, modified
from waiting import until

from controller.core.entries import Entry, MeterEntry
from controller.drivers import pipeline
from controller.drivers.p4runtime import P4RuntimeDevice

SWITCH = shutil.which("simple_switch_grpc")
pytestmark = pytest.mark.skipif(SWITCH is None, reason="simple_switch_grpc is not on the path")
PIPELINE = pipeline.load()
CPU_PORT = 510


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Bmv2Harness:
    def __init__(self, directory: Path) -> None:
        self.address = f"unix:{directory}/p4rt.sock"
        self.listener = Recorder()
        self.device = P4RuntimeDevice(
            "domains/metro/nodes/b1", self.address, 3, 9, self.listener, pipeline=PIPELINE, heartbeat_s=0.2
        )
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        assert SWITCH is not None
        arguments = ["--no-p4", "--device-id", "3", "--thrift-port", str(free_port()), "--log-level", "off"]
        target = ["--grpc-server-addr", self.address, "--cpu-port", str(CPU_PORT)]
        self.process = await asyncio.create_subprocess_exec(
            SWITCH, *arguments, "--", *target, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def entries(self) -> Sequence[Entry]:
        return ENTRIES + HOSTS

    def modified(self, entry: Entry) -> Entry:
        return modified(entry)

    def refused(self) -> Entry:
        return MeterEntry("slice_meter", 70_000, 1, 1)

    async def plant_foreign(self) -> bool:
        return False

    async def foreign_stands(self) -> bool:
        return False

    async def interrupt(self) -> None:
        pytest.skip("BMv2's control stream cannot be cut without the switch")

    async def restart_empty(self) -> None:
        await self.stop()
        await until(lambda: not self.device.connected, "the loss")
        await self.start()

    async def provoke_frame(self, port: int, frame: bytes) -> bool:
        return False  # needs interfaces: see tests/p4

    async def frame_left(self, port: int, frame: bytes) -> None:
        return None


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Bmv2Harness]:
    harness = Bmv2Harness(tmp_path)
    await harness.start()
    harness.device.start()
    try:
        await until(lambda: harness.device.connected, "the first connection")
        yield harness
    finally:
        await harness.device.close()
        await harness.stop()


class TestContract(DeviceContract):
    """The suite that every device passes."""
