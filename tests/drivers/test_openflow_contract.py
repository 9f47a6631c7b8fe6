"""An OTN node (Open vSwitch and a line card) fulfils the device contract."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from device_contract import DeviceContract
from optical_lab import A, Optical, Z, crossing, meter
from private_switch import real_switch

from controller.core.entries import SELECTOR, CrossConnect, Entry, ProtectionGroup, SliceMeter, SlotAssignment
from controller.drivers.otn_node import OtnNode

pytestmark = real_switch

FOREIGN_FLOW = "cookie=0x1234,priority=100,in_port=1,dl_dst=02:00:00:00:09:00,actions=meter:1,output:2"
RESERVED_PORT = 0xFFFFFF05
"""Neither a port nor one of the reserved ones that have a meaning (OpenFlow 1.3.5, A.2.1)."""


class OtnHarness:
    """Node A; port 2 is a fibre whose far end can inject, port 3 a client port that can be listened to."""

    def __init__(self, optical: Optical, device: OtnNode) -> None:
        self.optical = optical
        self.switch = optical.switches[A]
        self.device = device
        self.listener = optical.heard
        self.listener.events[:] = [event for event in self.listener.events if event[1] == A]
        self._port3 = self.switch.socket("h3")
        self._port3.settimeout(5.0)

    def entries(self) -> Sequence[Entry]:
        return (
            meter(2),
            crossing(1, 2),
            crossing(2, 1, 0x060000010001, direction=1),
            crossing(1, 3, slice_id=0xFFFFFFFF),
            SlotAssignment(7, 2, "odu1-1", (1, 2, 9), 2),
            ProtectionGroup(12, 13, 0, 2, 3),
            replace(meter(2, slice_id=12), follows=True),
            replace(meter(2, slice_id=12, direction=1), follows=True, transit=True),
            crossing(1, SELECTOR, slice_id=12),
        )

    def modified(self, entry: Entry) -> Entry:
        match entry:
            case SliceMeter() if entry.follows:
                return replace(entry, transit=not entry.transit)
            case SliceMeter():
                return replace(entry, rate_kbps=entry.rate_kbps * 2)
            case CrossConnect():
                return replace(entry, out_port=entry.out_port % 3 + 1)
            case SlotAssignment():
                return replace(entry, slots=(1, 2, 11))
            case ProtectionGroup():
                return replace(entry, protection=14)
        raise AssertionError(entry)

    def refused(self) -> Entry | None:
        return crossing(1, RESERVED_PORT, slice_id=99)

    async def plant_foreign(self) -> bool:
        self.switch.ofctl("add-meter", "meter=1,kbps,band=type=drop,rate=1000")
        self.switch.ofctl("add-flow", FOREIGN_FLOW)
        return True

    async def foreign_stands(self) -> bool:
        flow = any("cookie=0x1234" in line for line in self.switch.flows())
        return flow and "rate=1000" in self.switch.ofctl("dump-meters")

    async def interrupt(self) -> None:
        self.switch.controlled_by(self.optical.directory / "nobody.sock")
        await self.optical.hears("disconnected", A)
        self.optical.call_controller()

    async def restart_empty(self) -> None:
        self.switch.kill("ovs-vswitchd")
        await self.optical.line_cards[A].stop(0)
        await self.optical.hears("disconnected", A)
        await self.optical.line_card_returns(A)
        self.switch.start_vswitchd()

    async def provoke_frame(self, port: int, frame: bytes) -> bool:
        self.switch.ofctl("add-flow", f"priority=2000,in_port={port},actions=controller:65535")
        with self.optical.switches[Z].socket("eth2") as far_end:
            far_end.send(frame)
        return True

    async def frame_left(self, port: int, frame: bytes) -> bool | None:
        return self._port3.recv(65536) == frame

    def close(self) -> None:
        self._port3.close()


@pytest.fixture
async def harness(optical: Optical) -> AsyncIterator[OtnHarness]:
    node, _ = await optical.nodes()
    built = OtnHarness(optical, node)
    yield built
    built.close()


class TestOtnNode(DeviceContract):
    pass
