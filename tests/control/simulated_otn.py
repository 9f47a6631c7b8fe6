"""An OTN node in memory: its switch, and a line card that holds slots, sizes and selectors, and resizes in band.

The handshake is that of the requirements, with a node's own arithmetic: forward first, the far end triggers the
reverse; a hop without the slots rejects and all is as before; growing commits at the sink first, shrinking at the
source. It goes on when the controller that began it is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from simulated_device import SimulatedDevice

from controller.core.entries import Change, Operation, ProtectionGroup, Rejection, SliceMeter, SlotAssignment
from controller.core.errors import DeviceUnreachable
from controller.core.model import NodeKind
from controller.drivers.device import Committed, ResizeRefused, Selector

if TYPE_CHECKING:
    from simulated_network import SimulatedNetwork

CONTINUITY_KBPS = 512
"""A meter behind the first lets that much more through."""
KEPT_BY_LINE_CARD = (SlotAssignment, ProtectionGroup)


class SimulatedOtnNode(SimulatedDevice):
    """`rejects` judges requests in band: (slice, direction, slots)."""

    def __init__(self, network: SimulatedNetwork, name: str, kind: NodeKind) -> None:
        super().__init__(network, name, kind)
        self.line_card = True
        """Whether its program runs."""
        self.sizes: dict[int, list[int]] = {}
        """Per slice, slots that carry it: A to Z, Z to A."""
        self.rejects: Callable[[int, int, int], bool] = lambda _slice, _direction, _count: False
        self.commands: list[tuple[int, int]] = []
        self.forced: list[tuple[int, int]] = []
        self.on_protection: set[int] = set()
        self.loses_replies = False
        """The outcome of a resize never arrives."""

    # -- the contract -------------------------------------------------------------------------------------------------

    async def resize(self, slice_id: int, count: int) -> None:
        await self._call()
        self.commands.append((slice_id, count))
        try:
            await self.network.handshakes.command(self, slice_id, count)
        finally:
            await self.network.answer()
        if self.loses_replies:
            await asyncio.Event().wait()

    async def committed(self, slice_id: int) -> Committed | None:
        await self._call()
        await self.network.answer()
        if slice_id not in self.sizes:
            return None
        return Committed(*self.sizes[slice_id], self.network.handshakes.modifies(slice_id))

    async def force(self, slice_id: int, count: int) -> None:
        await self._call()
        if any(len(held.slots) < count for held in self.slots_of(slice_id)) or slice_id not in self.sizes:
            raise ResizeRefused(self.name, "FAILED_PRECONDITION", "it has not the slots")
        self.forced.append((slice_id, count))
        for direction in (0, 1):
            self.commit(slice_id, direction, count)
        await self.network.answer()

    # -- the world ----------------------------------------------------------------------------------------------------

    def slots_of(self, slice_id: int) -> list[SlotAssignment]:
        found = (entry for entry in self.entries.values() if isinstance(entry, SlotAssignment))
        return [entry for entry in found if entry.slice_id == slice_id]

    def commit(self, slice_id: int, direction: int, count: int) -> None:
        """From now on so many slots carry the slice, and its meter lets through what they carry."""
        self.sizes[slice_id][direction] = count
        for key, entry in self.entries.items():
            if isinstance(entry, SlotAssignment) and entry.slice_id == slice_id:
                self.entries[key] = replace(entry, active=told(self.sizes[slice_id]))
            elif isinstance(entry, SliceMeter) and (entry.slice_id, entry.direction) == (slice_id, direction):
                rate = count * self.slots_of(slice_id)[0].slot_bps // 1000
                self.entries[key] = replace(entry, rate_kbps=rate + CONTINUITY_KBPS * entry.transit)
        self.network.happened(f"{self.name}: slice {slice_id}/{direction} has {count} slots")

    def restart_line_card(self) -> None:
        """Empty, with the switch untouched; its driver announces the node once more."""
        self.line_card = True
        self._forget_line_card()
        if self.connected and self.listener is not None:
            self.listener.device_connected(self.name)

    def restart_empty(self) -> None:
        self._forget_line_card()
        super().restart_empty()

    def move_selector(self, working: int, on_protection: bool, reason: str = "SIGNAL_FAIL") -> None:
        (self.on_protection.add if on_protection else self.on_protection.discard)(working)
        if self.connected and self.listener is not None:
            self.listener.selector_moved(
                self.name, Selector(working, on_protection, not on_protection, on_protection, reason)
            )

    def selected(self, working: int) -> tuple[int, int]:
        """(slice, line port) that the selector sends frames of a working slice to."""
        group = self.entries[("protection", working)]
        assert isinstance(group, ProtectionGroup)
        if working in self.on_protection:
            return group.protection, group.protection_port
        return group.working, group.working_port

    def _forget_line_card(self) -> None:
        self.entries = {k: e for k, e in self.entries.items() if not isinstance(e, KEPT_BY_LINE_CARD)}
        self.sizes.clear()
        self.on_protection.clear()

    async def _call(self) -> None:
        await asyncio.sleep(0)
        self.network.happened(f"{self.name} is called")
        await self.network.stall()
        if not self.line_card:
            raise DeviceUnreachable(self.name, "line card: gone")

    async def _apply(self, changes: Sequence[Change], sent: int) -> list[Rejection]:
        if self.line_card:
            return await super()._apply(changes, sent)
        dead = [change for change in changes if isinstance(change.entry, KEPT_BY_LINE_CARD)]
        rest = await super()._apply([change for change in changes if change not in dead], sent)
        return [*(Rejection(change, "UNAVAILABLE", "line card: gone", True) for change in dead), *rest]

    def _take(self, change: Change) -> None:
        super()._take(change)
        entry = change.entry
        if not isinstance(entry, SlotAssignment):
            return
        if change.operation is not Operation.DELETE:
            size = self.sizes.setdefault(entry.slice_id, [entry.active, entry.active])
            self.entries[entry.key] = replace(entry, active=told(size))
        elif not self.slots_of(entry.slice_id):
            self.sizes.pop(entry.slice_id, None)

    def _fault(self, change: Change) -> str:
        entry = change.entry
        holds = isinstance(entry, SlotAssignment) and change.operation is not Operation.DELETE
        if holds and (self._taken(entry) or self._carrying(entry)):
            return "FAILED_PRECONDITION"
        return super()._fault(change)

    def _taken(self, wanted: SlotAssignment) -> bool:
        others = (e for e in self.entries.values() if isinstance(e, SlotAssignment) and e.slice_id != wanted.slice_id)
        place = wanted.line_port, wanted.server
        return any((e.line_port, e.server) == place and set(e.slots) & set(wanted.slots) for e in others)

    def _carrying(self, wanted: SlotAssignment) -> bool:
        """Slots that carry traffic would go, or the program is told of a size that it cannot have."""
        held = self.entries.get(wanted.key)
        size = max(self.sizes.get(wanted.slice_id, [wanted.active]))
        if not isinstance(held, SlotAssignment):
            return size > len(wanted.slots)
        return wanted.slots[:size] != held.slots[:size] or size > len(wanted.slots)


def told(sizes: list[int]) -> int:
    """As a table is read: 0 where the directions differ."""
    return sizes[0] if sizes[0] == sizes[1] else 0


@dataclass
class Handshakes:
    """Those under way, and what is wrong with the fibres between the line cards."""

    network: SimulatedNetwork
    step_s: float = 0.0
    one_sided: bool = False
    """The reverse direction fails, and the forward one cannot be taken back."""
    under_way: dict[int, tuple[int, asyncio.Task[None]]] = field(default_factory=dict)

    def modifies(self, slice_id: int) -> bool:
        return slice_id in self.under_way

    async def command(self, source: SimulatedOtnNode, slice_id: int, count: int) -> None:
        """Returns or raises with the outcome; whoever asks for the same meanwhile waits for it too."""
        if slice_id not in source.sizes:
            raise ResizeRefused(source.name, "NOT_FOUND", "no such slice here")
        if len(source.slots_of(slice_id)) != 1:
            raise ResizeRefused(source.name, "FAILED_PRECONDITION", "not an end of the slice")
        for node in self.network.otn_nodes:
            if len(node.slots_of(slice_id)) > 2:  # whichever of its lines a frame came by, where would it go on?
                raise ResizeRefused(node.name, "REJECTED", "a settled slice has one line port or two")
        if slice_id not in self.under_way:
            if source.sizes[slice_id] == [count, count]:
                return
            self._begin(source, slice_id, count)
        target, task = self.under_way[slice_id]
        if target != count:
            raise ResizeRefused(source.name, "FAILED_PRECONDITION", "another target is under way")
        await asyncio.shield(task)

    def _begin(self, source: SimulatedOtnNode, slice_id: int, count: int) -> None:
        task = asyncio.create_task(self._run(source, slice_id, count), name=f"handshake of slice {slice_id}")
        self.under_way[slice_id] = count, task
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to hear it

    async def _run(self, source: SimulatedOtnNode, slice_id: int, count: int) -> None:
        try:
            way = list(self._way(source, slice_id))
            before = {node.name: tuple(node.sizes[slice_id]) for node in way}
            if self.one_sided and len(set(before[source.name])) > 1:
                raise ResizeRefused(source.name, "ONE_SIDED", "still only one direction")
            await self._direction(way, slice_id, 0, count)
            try:
                if self.one_sided:
                    raise ResizeRefused(source.name, "ONE_SIDED", "only one direction")
                await self._direction(way[::-1], slice_id, 1, count)
            except ResizeRefused as refusal:
                if refusal.reason != "ONE_SIDED":
                    await self._direction(way, slice_id, 0, before[source.name][0])
                raise
        finally:
            del self.under_way[slice_id]

    async def _direction(self, way: list[SimulatedOtnNode], slice_id: int, direction: int, count: int) -> None:
        before: list[int] = []
        for node in way:
            await asyncio.sleep(self.step_s)
            if slice_id not in node.sizes:  # its program has been restarted since
                raise ResizeRefused(node.name, "TIMEOUT", "a hop does not answer")
            before.append(node.sizes[slice_id][direction])
            short = any(len(held.slots) < count for held in node.slots_of(slice_id))
            if short or node.rejects(slice_id, direction, count):
                raise ResizeRefused(node.name, "REJECTED", "a hop has not the slots")
        growing = count > before[0]
        for node in way[::-1] if growing else way:
            await asyncio.sleep(self.step_s)
            if slice_id in node.sizes:  # its program may have been restarted meanwhile
                node.commit(slice_id, direction, count)

    def _way(self, node: SimulatedOtnNode, slice_id: int) -> Iterator[SimulatedOtnNode]:
        """From an end along the slice's lines to the other."""
        came_by = 0
        while True:
            if not node.line_card or slice_id not in node.sizes:
                raise ResizeRefused(node.name, "TIMEOUT", "a hop does not answer")
            yield node
            onward = [held.line_port for held in node.slots_of(slice_id) if held.line_port != came_by]
            if not onward:
                return
            far = self.network.lit((node.name, onward[0]))
            if far is None:
                raise ResizeRefused(node.name, "TIMEOUT", "nothing is heard from the next hop")
            next_node = self.network.devices[far[0]]
            assert isinstance(next_node, SimulatedOtnNode)
            node, came_by = next_node, far[1]
