"""The driver's contract (tests/drivers) on every real target."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from device_contract import DeviceContract, Recorder
from finsy.proto import U128, p4r, p4r_grpc
from packet_entries import ENTRIES, HOSTS, modified
from relay import Relay
from targets import DEVICE_ID, Target
from waiting import until

from controller.core.entries import Entry, Exact, MeterEntry, TableEntry
from controller.core.model import Capabilities, Liveness

MULTICAST_GROUP = p4r.Entity(
    packet_replication_engine_entry=p4r.PacketReplicationEngineEntry(
        multicast_group_entry=p4r.MulticastGroupEntry(multicast_group_id=5, replicas=[p4r.Replica(port=b"\1")])
    )
)
FOREIGN = "2001:db8:f0::/48"


class TargetHarness:
    def __init__(self, target: Target, relay: Relay) -> None:
        self.target = target
        self.relay = relay
        self.listener = Recorder()
        self.device = target.device(self.listener, target.next_epoch(), 0.2, relay.address)

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
        """Linux: a route of somebody else. BMv2: a multicast group, which the contract does not have."""
        if self.target.name == "linux":
            self.target.ip("-6", "route", "add", FOREIGN, "dev", "eth1")
        else:
            self._stub().Write(_insertion(MULTICAST_GROUP, self.target.election_id), timeout=5)
        return True

    async def foreign_stands(self) -> bool:
        if self.target.name == "linux":
            return FOREIGN in self.target.ip("-6", "route", "show")
        return (
            list(self._stub().Read(p4r.ReadRequest(device_id=DEVICE_ID, entities=[MULTICAST_GROUP]), timeout=5)) != []
        )

    def _stub(self) -> p4r_grpc.P4RuntimeStub:
        return p4r_grpc.P4RuntimeStub(grpc.insecure_channel(self.target.address))

    async def interrupt(self) -> None:
        self.relay.cut()

    async def restart_empty(self) -> None:
        self.target.stop()
        await until(lambda: not self.device.connected, "the loss")
        self.target.come_back_empty()

    async def provoke_frame(self, port: int, frame: bytes) -> bool:
        self.target.send(port, frame)
        return True

    async def frame_left(self, port: int, frame: bytes) -> bool:
        return self.target.receive(1) == [(port, frame)]


def _insertion(entity: p4r.Entity, election_id: int) -> p4r.WriteRequest:
    """In the name of the primary."""
    update = p4r.Update(type=p4r.Update.INSERT, entity=entity)
    return p4r.WriteRequest(device_id=DEVICE_ID, election_id=U128.encode(election_id), updates=[update])


@pytest.fixture
async def harness(bare_target: Target, tmp_path: Path) -> AsyncIterator[TargetHarness]:
    """The same target for all tests; each leaves it empty."""
    bare_target.drain()
    async with Relay(tmp_path / "relay.sock", bare_target.socket_path) as relay:
        harness = TargetHarness(bare_target, relay)
        harness.device.start()
        await until(lambda: harness.device.connected, "the first connection")
        yield harness
        await harness.device.close()
        async with bare_target.controlled() as device:
            await bare_target.clear(device)


class TestContract(DeviceContract):
    """The suite that every device passes."""


async def test_announces_what_it_can_do(harness: TargetHarness) -> None:
    can = harness.device.capabilities
    assert isinstance(can, Capabilities)
    linux = harness.target.name == "linux"
    assert (can.shaping, can.resolves_neighbors, can.fenced) == (linux, linux, linux)
    assert can.liveness in Liveness
    assert can.max_carriers == 3
