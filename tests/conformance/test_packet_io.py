"""Frames of the controller: punted from any port, and sent by port."""

from __future__ import annotations

import asyncio

import pytest
from device_contract import Recorder
from packet_world import CHANNEL, NEIGHBOUR
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from targets import DEVICE, Target
from waiting import until

LLDP = 0x88CC
EVERY_PORT = (1, 2, 3, 4, 5)
"""Also that without a role."""


def lldp(size: int) -> bytes:
    return bytes(Ether(src=NEIGHBOUR, dst=CHANNEL[1], type=LLDP) / Raw(bytes(n % 251 for n in range(size - 14))))


@pytest.mark.parametrize("size", [60, 64, 1514, 8900])
async def test_lldp_is_punted_from_any_port(target: Target, size: int) -> None:
    """Also sent to a channel address, which proves an adjacency."""
    listener = Recorder()
    async with target.controlled(listener):
        for port in EVERY_PORT:
            target.send(port, lldp(size))
        await until(lambda: len(listener.frames) == len(EVERY_PORT), "a frame from every port")
    assert sorted(listener.frames) == [(DEVICE, port, lldp(size)) for port in EVERY_PORT]


@pytest.mark.parametrize("size", [60, 1514, 8900])
async def test_a_frame_leaves_by_its_port_untouched(target: Target, size: int) -> None:
    async with target.controlled() as device:
        for port in EVERY_PORT:
            await device.send_frame(port, lldp(size))
        found = await asyncio.to_thread(target.receive, len(EVERY_PORT))
    assert sorted(found) == [(port, lldp(size)) for port in EVERY_PORT]
