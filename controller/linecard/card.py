"""One node's line card, put together: slot table, line ports, switch, resizing and protection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.background import background, stopped
from controller.core.addresses import channel_address
from controller.core.entries import ProtectionGroup
from controller.linecard.continuity import Timing
from controller.linecard.frames import NEIGHBOUR, destination, payload
from controller.linecard.line_ports import LinePorts
from controller.linecard.parts import parts
from controller.linecard.protection import Protection
from controller.linecard.resize import ResizeNode
from controller.linecard.resizing import Resizing
from controller.linecard.selector_flows import ClientFlow, FlowKey, OwnFlow, selector
from controller.linecard.slot_table import ChangeError, LineServer, SlotChange, SlotTable
from controller.linecard.switch import Switch

STEP_S = 0.025
"""A handshake step: the multiplex overhead's period is about 25 ms in ODU0, 1 and 2 alike."""
FIRST_READ_S = 1.0
"""A program that starts looks so long for its switch, to find its selectors where it left them."""
CONFIRM_S = 1.0
"""A batch waits so long for its switch: less than a controller waits for the batch."""
ORPHANS_S = 10.0
"""After the first change of the table: by then the controller has filled it again."""


@dataclass(frozen=True, slots=True)
class Settings:
    node: str
    sizes: Mapping[LineServer, int] = field(default_factory=dict)
    ports: Mapping[int, str] = field(default_factory=dict)
    """Interfaces of the line ports."""
    switch: str | None = None
    """Path of the switch's management socket."""
    step_s: float = STEP_S
    continuity: Timing = field(default_factory=Timing)


class LineCard:
    """State is in memory: a restart is empty and is filled again by the controller, while traffic goes on."""

    def __init__(self, settings: Settings) -> None:
        self.node = settings.node
        self.table = SlotTable(settings.sizes)
        self._ports = LinePorts(settings.ports, self._received)
        self._switch = Switch(settings.switch, self)
        machine = ResizeNode(settings.node, self.table, int(time.time()))
        self.resizing = Resizing(machine, self._ports.send, self._switch.confirm, settings.step_s)
        self.protection = Protection(self._ports, self._switch.write, self._switch.standing, settings.continuity)
        self._has_switch = settings.switch is not None
        self._line_ports = frozenset(settings.ports)
        self._tasks: list[asyncio.Task[None]] = []
        self._first_change: float | None = None

    async def start(self) -> None:
        self._ports.start()
        self._tasks = [background(self._switch.run(), "switch"), background(self.resizing.run(), "resizing")]
        if self._has_switch:
            await self._switch.seen(FIRST_READ_S)

    async def stop(self) -> None:
        """Nothing in the switch is touched."""
        self.resizing.close()
        self.protection.close()
        await stopped(self._tasks)
        self._ports.close()

    async def apply(self, changes: Sequence[SlotChange]) -> tuple[ChangeError, ...]:
        """In parts, one such call at a time; what stands of one that is cancelled is followed as well."""
        if changes and self._first_change is None:
            self._first_change = asyncio.get_running_loop().time()
        errors: list[ChangeError] = []
        passed = 0
        try:
            async for part in parts(changes):
                errors += [replace(error, index=passed + error.index) for error in self.table.apply(part)]
                passed += len(part)
        finally:
            self.protection.follow(self.table.protections)
            self._switch.changed()
        return tuple(errors)

    async def unconfirmed(self, changes: Sequence[SlotChange]) -> tuple[ChangeError, ...]:
        """Protection groups that were taken, but whose selectors the switch is not known to have within a second."""
        groups = [(index, change) for index, change in enumerate(changes) if isinstance(change, ProtectionGroup)]
        if groups:
            await self._switch.confirm_flows(CONFIRM_S)
        missing = set(self.table.protections) - set(self.protections)
        message = "the switch has not got the selector yet"
        return tuple(ChangeError(index, "UNAVAILABLE", message) for index, group in groups if group in missing)

    @property
    def protections(self) -> tuple[ProtectionGroup, ...]:
        """Those whose selectors stand: traffic may be sent to them."""
        return tuple(group for group in self.table.protections if self._selects(group))

    def _selects(self, group: ProtectionGroup) -> bool:
        standing = self._switch.standing(channel_address(group.working, group.direction))
        return not self._has_switch or standing in (selector(group, False), selector(group, True))

    def carried(self, slice_id: int, direction: int) -> tuple[int, int] | None:
        held, committed = self.table.held(slice_id), self.table.committed(slice_id)
        if committed is None or not held or not held[0].slot_bps:
            return None
        return committed[direction], held[0].slot_bps

    def flows(self, ports: Collection[int]) -> Mapping[FlowKey, OwnFlow]:
        """Nothing that calls itself in-band may come from a client; which ports are lines it was told, or has none."""
        clients = [ClientFlow(port) for port in ports if port not in self._line_ports] if self._line_ports else []
        return {**self.protection.flows(), **{flow.key: flow for flow in clients}}

    def may_remove(self, working: int) -> bool:
        """A program that has just started does not know yet what is left of its own."""
        if self.protection.knew(working):
            return True
        since = self._first_change
        return since is not None and asyncio.get_running_loop().time() - since > ORPHANS_S

    def _received(self, line_port: int, frame: bytes) -> None:
        address = destination(frame)
        if address == NEIGHBOUR:
            self.resizing.received(line_port, payload(frame))
        else:
            self.protection.received(line_port, address, payload(frame))
