"""A network of devices in memory, wired after a topology file: it keeps entries, carries frames and can be broken.

It knows nothing of the controller but the contracts of `drivers.device` and `core.entries`. Like real switches it
refuses an entry that refers to something that is not there, and the removal of something that is referred to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.core.entries import (
    Change,
    CrossConnect,
    Entry,
    Exact,
    MeterEntry,
    Operation,
    Rejection,
    SliceMeter,
    TableEntry,
)
from controller.core.errors import DeviceUnreachable
from controller.core.model import Capabilities, LinkKind, NodeKind
from controller.core.names import short
from controller.drivers.device import DeviceListener
from controller.topology_file import TopologyFile

NEAREST_BRIDGE = bytes.fromhex("0180c200000e")
LLDP = bytes.fromhex("88cc")
Port = tuple[str, int]


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


@dataclass
class Fibre:
    """One cable: both its ends, and whether light passes."""

    a: Port
    z: Port
    cut: bool = False

    def far(self, end: Port) -> Port:
        return self.z if end == self.a else self.a


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
                rejections.append(Rejection(change, fault, "as told", self.transient))
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


@dataclass
class SimulatedNetwork:
    """Devices by full name, cables by link name, and everything that was ever written, in order."""

    devices: dict[str, SimulatedDevice] = field(default_factory=dict)
    cables: dict[str, Fibre] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    watchers: list[Callable[[Write], None]] = field(default_factory=list)
    stall_after: int | None = None
    """Once so many writes have taken effect, no device answers any more: the instant at which a controller dies."""
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    frames: int = 0
    """Sent by packet-out so far: something to wait by."""
    _ticks: int = 0

    @classmethod
    def wired(cls, plan: TopologyFile) -> SimulatedNetwork:
        """As the plan says: port 1 joins router and OTN node, fibres follow from 2 in the file's order."""
        network = cls()
        for node in plan.nodes:
            network.devices[node.name] = SimulatedDevice(network, node.name, node.kind)
        next_port = dict.fromkeys(network.devices, 2)
        for link in plan.links:
            if link.kind is LinkKind.CLIENT:
                network.cables[short(link.name)] = Fibre((link.a_node, 1), (link.z_node, 1))
            elif link.kind is LinkKind.FIBRE:
                ends = [(node, next_port[node]) for node in (link.a_node, link.z_node)]
                network.cables[short(link.name)] = Fibre(*ends)
                next_port[link.a_node] += 1
                next_port[link.z_node] += 1
        return network

    def __getitem__(self, short_name: str) -> SimulatedDevice:
        return next(device for name, device in self.devices.items() if short(name) == short_name)

    # -- time and writes ----------------------------------------------------------------------------------------------

    def tick(self) -> int:
        self._ticks += 1
        return self._ticks

    def took_effect(self, device: str, change: Change, sent: int) -> Write:
        write = Write(device, change, sent, self.tick(), asyncio.get_running_loop().time())
        self.writes.append(write)
        for watcher in self.watchers:
            watcher(write)
        return write

    async def stall(self) -> None:
        if self.stall_after is not None and len(self.writes) >= self.stall_after:
            self.stalled.set()
            await asyncio.Event().wait()

    # -- light --------------------------------------------------------------------------------------------------------

    def ports_of(self, device: str) -> list[tuple[int, bool]]:
        ends = [(end, cable) for cable in self.cables.values() for end in (cable.a, cable.z)]
        return sorted((port, not cable.cut) for (node, port), cable in ends if node == device)

    def cut(self, name: str, *, silently: bool = False) -> None:
        self._light(name, False, silently)

    def mend(self, name: str, *, silently: bool = False) -> None:
        self._light(name, True, silently)

    def unplug(self, name: str) -> Fibre:
        """Before anything runs: the cable was never there."""
        return self.cables.pop(name)

    def plug(self, name: str, a: Port, z: Port) -> None:
        self.cables[name] = Fibre(a, z)
        self._light(name, True, silently=False)

    def _light(self, name: str, up: bool, silently: bool) -> None:
        cable = self.cables[name]
        cable.cut = not up
        for node, port in (cable.a, cable.z):
            device = self.devices[node]
            seen = device.kind is NodeKind.OTN and device.connected and device.listener is not None
            if seen and not silently:
                assert device.listener is not None
                device.listener.port_changed(node, port, up)

    # -- frames -------------------------------------------------------------------------------------------------------

    def carry(self, port: Port, frame: bytes) -> None:
        """A frame leaves a port and goes where the cables and cross-connects take it; it may be punted or lost."""
        self.frames += 1
        arrival = self._travel(port, frame)
        if arrival is not None and arrival[1][12:14] == LLDP:
            (node, number), frame = arrival
            self.devices[node].punt(number, frame)

    def reaches(self, router: str, channel: int) -> str | None:
        """The router at which a frame to a channel address comes out; None where it is lost."""
        arrival = self._travel((router, 1), channel.to_bytes(6, "big") + bytes(6) + b"\x86\xdd")
        return arrival[0][0] if arrival else None

    def _travel(self, port: Port, frame: bytes) -> tuple[Port, bytes] | None:
        for _ in range(2 * len(self.devices)):
            cable = next((c for c in self.cables.values() if port in (c.a, c.z)), None)
            if cable is None or cable.cut:
                return None
            here = cable.far(port)
            device = self.devices[here[0]]
            if frame[:6] == NEAREST_BRIDGE or device.kind is NodeKind.ROUTER:
                return here, frame
            onward = _cross_connect(device, here[1], int.from_bytes(frame[:6], "big"))
            if onward is None:
                return None
            if onward.rewrite is not None:
                frame = onward.rewrite.to_bytes(6, "big") + frame[6:]
            port = (here[0], onward.out_port)
        raise AssertionError(f"a loop: {frame[:6].hex(':')} comes by {port} again and again")


def _cross_connect(device: SimulatedDevice, in_port: int, channel: int) -> CrossConnect | None:
    found = [
        entry
        for entry in device.entries.values()
        if isinstance(entry, CrossConnect) and (entry.in_port, entry.channel) == (in_port, channel)
    ]
    assert len(found) <= 1, f"{device.name} has two cross-connects for one channel: {found}"
    return found[0] if found else None


def slice_meters(network: SimulatedNetwork, slice_id: int) -> list[SliceMeter]:
    """The meters of a slice as they stand in all OTN nodes now, both directions."""
    entries = (entry for device in network.devices.values() for entry in device.entries.values())
    return [entry for entry in entries if isinstance(entry, SliceMeter) and entry.slice_id == slice_id]


def shapers(device: SimulatedDevice) -> list[MeterEntry]:
    return [entry for entry in device.own().values() if isinstance(entry, MeterEntry)]


def policies(device: SimulatedDevice) -> list[TableEntry]:
    return [entry for entry in device.own().values() if isinstance(entry, TableEntry) and entry.table == "policy"]


def channel_of_policy(device: SimulatedDevice, policy: TableEntry) -> int:
    """Destination MAC of the next hop that a policy sends to."""
    key = ("next_hop", (("next_hop", Exact(dict(policy.params)["next_hop"])),), 0)
    hop = device.entries[key]
    assert isinstance(hop, TableEntry)
    return dict(hop.params)["dst_mac"]


def edited(entry: MeterEntry, rate: int) -> MeterEntry:
    """A meter as a hand on the device would leave it."""
    return replace(entry, rate_bytes_per_s=rate)
