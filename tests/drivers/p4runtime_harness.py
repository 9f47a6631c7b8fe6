"""The P4Runtime driver and the in-process server behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import grpc
from device_contract import Recorder
from fake_p4runtime import FakeP4Runtime
from finsy.proto import U128, p4r, p4r_grpc
from packet_entries import ENTRIES, GROUPS, HOSTS, PROGRAM_ONLY, modified
from waiting import until

from controller.core.entries import Entry, MeterEntry
from controller.drivers import pipeline
from controller.drivers.p4runtime import P4RuntimeDevice

NAME = "domains/metro/nodes/r1"
PIPELINE = pipeline.load()


def epoch_of(election_id: int) -> int:
    return election_id >> 64


class FakeHarness:
    def __init__(self, directory: Path) -> None:
        self.address = f"unix:{directory}/p4rt.sock"
        self.server = FakeP4Runtime(1, self.address)
        self.listener = Recorder()
        self.device = self.driver(epoch=1, listener=self.listener)

    def driver(self, epoch: int, listener: Recorder, heartbeat_s: float = 0.05) -> P4RuntimeDevice:
        return P4RuntimeDevice(NAME, self.address, 1, epoch, listener, pipeline=PIPELINE, heartbeat_s=heartbeat_s)

    def entries(self) -> Sequence[Entry]:
        return ENTRIES + HOSTS + GROUPS + PROGRAM_ONLY

    def modified(self, entry: Entry) -> Entry:
        return modified(entry)

    def refused(self) -> Entry:
        return MeterEntry("slice_meter", 9, 1, 1 << 33)

    async def plant_foreign(self) -> bool:
        table_id = PIPELINE.tables["next_hop"].id
        foreign = p4r.TableEntry(table_id=table_id)
        foreign.match.add(field_id=1).exact.value = b"\xff"
        foreign.action.action.action_id = 0x01FFFFFF  # of another program
        self.server.tables[table_id, b"foreign", 0] = foreign
        return True

    async def foreign_stands(self) -> bool:
        return list(self.server.tables) == [(PIPELINE.tables["next_hop"].id, b"foreign", 0)]

    async def interrupt(self) -> None:
        await self.server.stop()
        await until(lambda: not self.device.connected, "the loss")
        await self.server.start()

    async def restart_empty(self) -> None:
        await self.server.stop()
        self.server.wipe()
        await until(lambda: not self.device.connected, "the loss")
        await self.server.start()

    async def provoke_frame(self, port: int, frame: bytes) -> bool:
        self.server.punt(port, frame)
        return True

    async def frame_left(self, port: int, frame: bytes) -> bool:
        await until(lambda: bool(self.server.packets_out), "a packet-out")
        return self.server.packets_out == [(port, frame)]

    async def succeeded(self, epoch: int) -> None:
        """A newer controller becomes primary, and leaves again: then the device promotes the old one."""
        successor = self.driver(epoch, Recorder())
        successor.start()
        await until(lambda: successor.connected and not self.device.connected, "the new primary")
        await successor.close()
        await until(lambda: epoch_of(self.server.primary) == 1, "the promotion of the old one, as BMv2 does it")
        await self.round_trips()

    async def tool(self, election_id: int) -> int:
        """Somebody else bids this id and goes again; returns the status code that he is told."""
        bid = p4r.MasterArbitrationUpdate(device_id=1, election_id=U128.encode(election_id))
        async with grpc.aio.insecure_channel(self.address) as channel:
            stream = p4r_grpc.P4RuntimeStub(channel).StreamChannel()
            await stream.write(p4r.StreamMessageRequest(arbitration=bid))
            answer = await stream.read()
            await self.round_trips()
            stream.cancel()
        return int(answer.arbitration.status.code)

    async def round_trips(self) -> None:
        """Many more than a controller needs that takes itself for the primary, after it has been told so."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            for _ in range(20):
                await p4r_grpc.P4RuntimeStub(channel).Capabilities(p4r.CapabilitiesRequest())

    async def begin(self) -> None:
        await self.server.start()
        self.device.start()
        await until(lambda: self.device.connected, "the first connection")

    async def end(self) -> None:
        await self.device.close()
        await self.server.stop()
