"""One device of a network in memory: it keeps entries as a real one does, refuses what dangles, and can be broken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.core.entries import Change, CrossConnect, Entry, Exact, Operation, Rejection, TableEntry
from controller.core.errors import DeviceUnreachable
from controller.core.model import Capabilities, NodeKind
from controller.drivers.device import DeviceListener

if TYPE_CHECKING:
    from simulated_network import SimulatedNetwork

TRANSIENT = frozenset({"FAILED_PRECONDITION", "UNAVAILABLE"})
"""What a driver says may be otherwise soon."""


@dataclass
class Write:
    """One change that took effect; ticks count over the whole network."""

    device: str
    change: Change
    sent: int
    took_effect: int
    at_s: float
    """By the event loop's clock."""
    confirmed: int = 0

    @property
    def entry(self) -> Entry:
        return self.change.entry


class SimulatedDevice:
    """One device. `refuses` judges each change; `delay_s` is what an exchange takes."""

    def __init__(self, network: SimulatedNetwork, name: str, kind: NodeKind) -> None:
        self.network = network
        self.name = name
        self.kind = kind
        self.capabilities = Capabilities()
        self.connected = False
        self.entries: dict[Hashable, Entry] = {}
        self.foreign: set[Hashable] = set()
        self.delay_s = 0.0
        self.refuses: Callable[[Change], bool] = lambda _change: False
        self.transient = False
        self.reads = 0
        self.applies_under_way = 0
        self.listener: DeviceListener | None = None

    @property
    def trouble(self) -> str:
        return "" if self.connected else "switched off"

    # -- the contract -------------------------------------------------------------------------------------------------

    async def read(self) -> Mapping[Hashable, Entry]:
        self._require_stream()
        await asyncio.sleep(self.delay_s)
        self._require_stream()
        self.reads += 1
        return self.own()

    async def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        self._require_stream()
        assert not self.applies_under_way, "a device has one writer"
        self.applies_under_way += 1
        try:
            return await self._apply(changes, self.network.tick())
        finally:
            self.applies_under_way -= 1

    async def send_frame(self, port: int, frame: bytes) -> None:
        self._require_stream()
        self.network.carry((self.name, port), frame)

    async def close(self) -> None:
        self.connected = False

    # -- the world ----------------------------------------------------------------------------------------------------

    def own(self) -> dict[Hashable, Entry]:
        return {key: entry for key, entry in self.entries.items() if key not in self.foreign}

    def plant_foreign(self, entry: Entry) -> None:
        self.entries[entry.key] = entry
        self.foreign.add(entry.key)

    def connect(self) -> None:
        self.connected = True
        if self.listener is None:
            return
        self.listener.device_connected(self.name)
        if self.kind is NodeKind.OTN:
            for port, up in self.network.ports_of(self.name):
                self.listener.port_changed(self.name, port, up)

    def disconnect(self) -> None:
        self.connected = False
        if self.listener is not None:
            self.listener.device_disconnected(self.name)

    def restart_empty(self) -> None:
        """Power cycle: everything is forgotten, foreign entries too."""
        self.disconnect()
        self.entries.clear()
        self.foreign.clear()
        self.connect()

    def punt(self, port: int, frame: bytes) -> None:
        if self.connected and self.listener is not None:
            asyncio.get_running_loop().call_soon(self.listener.frame_received, self.name, port, frame)

    async def _apply(self, changes: Sequence[Change], sent: int) -> list[Rejection]:
        rejections: list[Rejection] = []
        stood: list[Write] = []
        for change in changes:
            await asyncio.sleep(0)
            await self.network.stall()
            self._require_stream()
            fault = "REFUSED" if self.refuses(change) else self._fault(change)
            if fault:
                transient = self.transient or fault in TRANSIENT
                rejections.append(Rejection(change, fault, "as told", transient))
                continue
            self._take(change)
            stood.append(self.network.took_effect(self.name, change, sent))
        await asyncio.sleep(self.delay_s)
        self._require_stream()
        confirmed = self.network.tick()
        for write in stood:
            write.confirmed = confirmed
        return rejections

    def _take(self, change: Change) -> None:
        assert change.entry.key not in self.foreign, f"{change} is not the controller's to touch"
        if change.operation is Operation.DELETE:
            self.entries.pop(change.entry.key, None)
        else:
            self.entries[change.entry.key] = change.entry

    def _fault(self, change: Change) -> str:
        """What a switch with references says of a change that leaves one dangling."""
        after = dict(self.entries)
        if change.operation is Operation.DELETE:
            after.pop(change.entry.key, None)
            concerned: Iterator[Entry] = iter(after.values())
        else:
            after[change.entry.key] = change.entry
            concerned = iter((change.entry,))
        return next((f"DANGLING {key}" for entry in concerned for key in _refers(entry) if key not in after), "")

    def _require_stream(self) -> None:
        if not self.connected:
            raise DeviceUnreachable(self.name, "no control stream")


def _refers(entry: Entry) -> Iterator[Hashable]:
    if isinstance(entry, CrossConnect):
        yield ("slice-meter", entry.slice_id, entry.direction)
    if isinstance(entry, TableEntry):
        params = dict(entry.params)
        if "next_hop" in params:
            yield ("next_hop", (("next_hop", Exact(params["next_hop"])),), 0)
        if "policy" in params:
            yield ("policy", (("policy", Exact(params["policy"])),), 0)
        if entry.table == "policy_backup":
            yield ("policy", entry.match, 0)
            yield ("policy", (("policy", Exact(params["backup"])),), 0)
            for session in ("session", "backup_session"):
                yield ("path_probe", (("session", Exact(params[session])),), 0)
