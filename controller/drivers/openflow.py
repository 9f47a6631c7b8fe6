"""OpenFlow 1.3 towards the OTN nodes: one device per switch, of the controller that leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from controller.drivers.device import DeviceListener
from controller.drivers.line_card import LineCard
from controller.drivers.openflow_door import SwitchDoor
from controller.drivers.openflow_stream import Message, Timing
from controller.drivers.osken_native import NativeDatapath
from controller.drivers.otn_node import OtnNode

LINE_CARD_DEADLINE_S = 2.0

log = logging.getLogger(__name__)


class OpenFlowController:
    """All OTN nodes.

    `listen` is `unix:/path`, `tcp:host:port`, or a door that is open already. `nodes` maps a datapath id to (device
    name, line card's address). `epoch` is the OpenFlow generation id: a switch that has seen a higher one refuses us.
    """

    def __init__(
        self,
        listen: str | SwitchDoor,
        listener: DeviceListener,
        nodes: Mapping[int, tuple[str, str]],
        epoch: int,
        timing: Timing = Timing(),  # noqa: B008  frozen
    ) -> None:
        self._opens = not isinstance(listen, SwitchDoor)
        self._door = listen if isinstance(listen, SwitchDoor) else SwitchDoor(listen, timing)
        self._listener = listener
        self._plan = dict(nodes)
        self._epoch = epoch
        self._timing = timing
        self._nodes: dict[int, OtnNode] = {}

    @property
    def nodes(self) -> Mapping[str, OtnNode]:
        """By device name; empty before `start()`."""
        return {node.name: node for node in self._nodes.values()}

    async def start(self) -> None:
        """Raises `Invalid` for a malformed `listen`, OSError where it cannot be bound."""
        if self._opens:
            await self._door.open()
        for datapath_id, (name, address) in self._plan.items():
            line_card = LineCard(name, address, self._epoch, LINE_CARD_DEADLINE_S)
            self._nodes[datapath_id] = OtnNode(name, line_card, self._listener, self._epoch, self._timing)
        self._door.hand_over(self)

    async def close(self) -> None:
        """Hang up on all switches; what they hold stays. A second call does nothing."""
        await self._door.shut()
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        await self._door.close()

    def switch_came(self, datapath: NativeDatapath) -> None:
        node = self._nodes.get(datapath.id)
        if node is None:
            log.error("datapath id %s is not in the inventory: hanging up", datapath.id)
            datapath.hang_up()
        else:
            node.attach(datapath)

    def switch_left(self, datapath: NativeDatapath) -> None:
        node = self._nodes.get(datapath.id)
        if node is not None:
            node.detach(datapath)

    def received(self, datapath: NativeDatapath, message: Message) -> None:
        node = self._nodes.get(datapath.id)
        if node is not None:
            node.received(datapath, message)
