"""The driver's contract (tests/drivers) on every real target."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from device_contract import DeviceContract, Recorder
from packet_entries import ENTRIES, HOSTS, ROUTER_MAC, modified
from targets import TARGETS, Target, require
from waiting import until

from controller.core.entries import Entry, Exact, MeterEntry, TableEntry
from controller.core.model import Capabilities, Liveness

MACS = {port: (ROUTER_MAC + port - 1).to_bytes(6, "big").hex(":") for port in (1, 2, 3)}
FOREIGN = "2001:db8:f0::/48"


class TargetHarness:
    def __init__(self, target: Target) -> None:
        self.target = target
        self.listener = Recorder()
        self.device = target.device(self.listener, 3, heartbeat_s=0.2)

    def entries(self) -> Sequence[Entry]:
        return ENTRIES if self.target.name == "linux" else ENTRIES + HOSTS

    def modified(self, entry: Entry) -> Entry:
        """On Linux a port's MAC is the interface's own, there is no other value."""
        changed = modified(entry)
        if self.target.name == "linux" and isinstance(entry, TableEntry) and entry.table == "port_role":
            assert isinstance(changed, TableEntry)
            own = ("mac", dict(entry.params)["mac"])
            return replace(changed, params=(own, *changed.params[1:]))
        return changed

    def refused(self) -> Entry:
        """Linux: a port that the router does not have. BMv2: a meter cell beyond the last."""
        if self.target.name == "linux":
            return TableEntry("next_hop", (("next_hop", Exact(99)),), "to_customer", (("port", 77),))
        return MeterEntry("slice_meter", 70_000, 1, 1)

    async def plant_foreign(self) -> bool:
        if self.target.name == "bmv2":
            return False
        self.target.ip("-6", "route", "add", FOREIGN, "dev", "eth1")
        return True

    async def foreign_stands(self) -> bool:
        return FOREIGN in self.target.ip("-6", "route", "show")

    async def interrupt(self) -> None:
        if self.target.name == "bmv2":
            pytest.skip("BMv2's control stream cannot be cut without the switch")
        await self._stopped()
        self.target.start()

    async def restart_empty(self) -> None:
        await self._stopped()
        self.target.come_back_empty()

    async def _stopped(self) -> None:
        self.target.stop()
        await until(lambda: not self.device.connected, "the loss")

    async def provoke_frame(self, port: int, frame: bytes) -> bool:
        self.target.send(port, frame)
        return True

    async def frame_left(self, port: int, frame: bytes) -> bool:
        return self.target.receive(1) == [(port, frame)]


@pytest.fixture(params=TARGETS, ids=lambda kind: kind.name)
def standing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    require(request.param)
    target = request.param(tmp_path, MACS)
    try:
        target.lay_cables()
        target.start()
        yield target
    finally:
        target.stop()
        target.cut_cables()


@pytest.fixture
async def harness(standing: Target) -> AsyncIterator[TargetHarness]:
    harness = TargetHarness(standing)
    harness.device.start()
    try:
        await until(lambda: harness.device.connected, "the first connection")
        yield harness
    finally:
        await harness.device.close()


class TestContract(DeviceContract):
    """The suite that every device passes."""


async def test_announces_what_it_can_do(harness: TargetHarness) -> None:
    can = harness.device.capabilities
    assert isinstance(can, Capabilities)
    linux = harness.target.name == "linux"
    assert (can.shaping, can.resolves_neighbors, can.fenced) == (linux, linux, linux)
    assert can.liveness in Liveness
    assert can.max_carriers == 3
