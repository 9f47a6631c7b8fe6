"""Two OTN nodes with real switches and line cards, and a controller for them."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from device_contract import Recorder
from private_switch import PrivateSwitch, join
from waiting import until

from controller.core.addresses import channel_address
from controller.core.entries import CrossConnect, Entry, SliceMeter
from controller.core.errors import DeviceUnreachable
from controller.drivers.openflow import OpenFlowController
from controller.drivers.openflow_stream import Timing
from controller.drivers.otn_node import OtnNode
from controller.linecard.__main__ import Program, start_program
from controller.linecard.card import Settings

A, Z = "zgc-o", "yz-o"
DATAPATHS = {A: 0x101, Z: 0x102}
SLOT_KBPS = 10_009.306
epochs = itertools.count(10)


@contextmanager
def two_switches(directory: Path) -> Iterator[dict[str, PrivateSwitch]]:
    """Client port 1 on both, fibre port 2 between them, client port 3 on A."""
    started: dict[str, PrivateSwitch] = {}
    try:
        for name, datapath_id in DATAPATHS.items():
            (directory / name).mkdir()
            namespace = f"oc-{os.getpid()}-{name}"  # test runs may stand side by side
            started[name] = PrivateSwitch(namespace, directory / name, datapath_id)
            started[name].start()
            started[name].client_port(1)
        join(started[A], started[Z], 2)
        started[A].client_port(3)
        yield started
    finally:
        for switch in started.values():
            switch.stop()


class Optical:
    """The line cards and controllers of one test."""

    def __init__(self, directory: Path, switches: Mapping[str, PrivateSwitch]) -> None:
        self.directory = directory
        self.switches = switches
        self.heard = Recorder()
        self.controllers: list[OpenFlowController] = []
        self.line_cards: dict[str, Program] = {}

    def line_card_address(self, name: str) -> str:
        return f"unix:{self.directory}/{name}.sock"

    async def start_line_card(self, name: str) -> None:
        self.line_cards[name] = await start_program(Settings(name), self.line_card_address(name))

    async def line_card_returns(self, name: str) -> None:
        """Started, and found by the driver, which looks for it once a second."""
        await self.start_line_card(name)
        node = self.controllers[-1].nodes[name]
        async with asyncio.timeout(10.0):
            while not await line_card_answers(node):  # noqa: ASYNC110  polled over gRPC
                await asyncio.sleep(0.02)

    async def controller(self, epoch: int | None = None) -> OpenFlowController:
        """A started controller that the switches call; one after the other."""
        plan = {DATAPATHS[name]: (name, self.line_card_address(name)) for name in self.switches}
        timing = Timing(deadline_s=3.0, echo_interval_s=0.3)
        listen = f"unix:{self.directory}/openflow.sock"
        controller = OpenFlowController(listen, self.heard, plan, epoch or next(epochs), timing)
        await controller.start()
        self.controllers.append(controller)
        self.call_controller()
        return controller

    def call_controller(self) -> None:
        for switch in self.switches.values():
            switch.controlled_by(self.directory / "openflow.sock")

    async def nodes(self) -> tuple[OtnNode, OtnNode]:
        controller = await self.controller()
        for name in self.switches:
            await self.hears("connected", name)
        return controller.nodes[A], controller.nodes[Z]

    async def hears(self, event: str, name: str) -> None:
        await until(lambda: (event, name) in self.heard.events, f"{name} {event}")

    async def hears_port(self, name: str, port: int, up: bool) -> None:
        await until(lambda: (name, port, up) in self.heard.ports, f"port {port} of {name} {'up' if up else 'down'}")

    def forget(self) -> None:
        for heard in (self.heard.events, self.heard.ports, self.heard.frames):
            heard.clear()

    async def close(self) -> None:
        for controller in self.controllers:
            await controller.close()
        for server in self.line_cards.values():
            await server.stop(0)


async def line_card_answers(node: OtnNode) -> bool:
    try:
        await node._line_card.read()
    except DeviceUnreachable:
        return False
    return True


@asynccontextmanager
async def optical_network(directory: Path, switches: Mapping[str, PrivateSwitch]) -> AsyncIterator[Optical]:
    for switch in switches.values():
        switch.clear()
    optical = Optical(directory, switches)
    for name in switches:
        await optical.start_line_card(name)
    try:
        yield optical
    finally:
        await optical.close()


def meter(slots: int, slice_id: int = 7, direction: int = 0) -> SliceMeter:
    """N fine-grain slots, 10 ms of burst."""
    rate = round(slots * SLOT_KBPS)
    return SliceMeter(slice_id, direction, rate, rate // 100)


def crossing(
    in_port: int, out_port: int, rewrite: int | None = None, slice_id: int = 7, direction: int = 0
) -> CrossConnect:
    return CrossConnect(slice_id, direction, in_port, channel_address(slice_id, direction), out_port, rewrite)


async def holds(node: OtnNode, *entries: Entry) -> None:
    """The node's read, against what it should be."""
    assert await node.read() == {entry.key: entry for entry in entries}
