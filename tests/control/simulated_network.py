"""A network of devices in memory, wired after a topology file: it keeps entries, carries frames and can be broken.

It knows nothing of the controller but the contracts of `drivers.device` and `core.entries`. Like real switches it
refuses an entry that refers to something that is not there, and the removal of something that is referred to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from simulated_device import SimulatedDevice, Write
from simulated_otn import Handshakes, SimulatedOtnNode

from controller.core.entries import SELECTOR, Change, CrossConnect, Exact, MeterEntry, SliceMeter, TableEntry
from controller.core.model import LinkKind, NodeKind
from controller.core.names import short
from controller.topology_file import TopologyFile

NEAREST_BRIDGE = bytes.fromhex("0180c200000e")
LLDP = bytes.fromhex("88cc")
Port = tuple[str, int]


@dataclass
class Fibre:
    """One cable: both its ends, and whether light passes."""

    a: Port
    z: Port
    cut: bool = False

    def far(self, end: Port) -> Port:
        return self.z if end == self.a else self.a


@dataclass
class SimulatedNetwork:
    """Devices by full name, cables by link name, and everything that was ever written, in order."""

    devices: dict[str, SimulatedDevice] = field(default_factory=dict)
    cables: dict[str, Fibre] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    watchers: list[Callable[[Write], None]] = field(default_factory=list)
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    frames: int = 0
    """Sent by packet-out so far: something to wait by."""
    handshakes: Handshakes = field(init=False)
    history: list[str] = field(default_factory=list)
    """Everything that a controller may die in the middle of: writes, calls of line cards, answers, commits in band."""
    witnesses: list[Callable[[str], None]] = field(default_factory=list)
    """Called after each of these."""
    die_after: int | None = None
    """Once so much has happened, no device answers any more: the instant at which a controller dies."""
    _ticks: int = 0

    def __post_init__(self) -> None:
        self.handshakes = Handshakes(self)

    @classmethod
    def wired(cls, plan: TopologyFile) -> SimulatedNetwork:
        """As the plan says: port 1 joins router and OTN node, fibres follow from 2 in the file's order."""
        network = cls()
        for node in plan.nodes:
            kind = SimulatedOtnNode if node.kind is NodeKind.OTN else SimulatedDevice
            network.devices[node.name] = kind(network, node.name, node.kind)
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

    def otn(self, short_name: str) -> SimulatedOtnNode:
        node = self[short_name]
        assert isinstance(node, SimulatedOtnNode)
        return node

    @property
    def otn_nodes(self) -> list[SimulatedOtnNode]:
        return [node for node in self.devices.values() if isinstance(node, SimulatedOtnNode)]

    # -- time and writes ----------------------------------------------------------------------------------------------

    def tick(self) -> int:
        self._ticks += 1
        return self._ticks

    def took_effect(self, device: str, change: Change, sent: int) -> Write:
        write = Write(device, change, sent, self.tick(), asyncio.get_running_loop().time())
        self.writes.append(write)
        self.happened(f"{device}: {change.operation} {change.entry.key}")
        for watcher in self.watchers:
            watcher(write)
        return write

    def happened(self, what: str) -> None:
        self.history.append(what)
        for witness in self.witnesses:
            witness(what)
        if self.die_after is not None and len(self.history) >= self.die_after:
            self.stalled.set()

    async def answer(self) -> None:
        """A line card's answer leaves: it may not arrive."""
        self.happened("an answer")
        await self.stall()

    async def stall(self) -> None:
        if self.die_after is not None and len(self.history) >= self.die_after:
            self.stalled.set()
            await asyncio.Event().wait()

    # -- light --------------------------------------------------------------------------------------------------------

    def ports_of(self, device: str) -> list[tuple[int, bool]]:
        ends = [(end, cable) for cable in self.cables.values() for end in (cable.a, cable.z)]
        return sorted((port, not cable.cut) for (node, port), cable in ends if node == device)

    def lit(self, end: Port) -> Port | None:
        """The other end of the fibre at a port, if light passes."""
        cable = next((c for c in self.cables.values() if end in (c.a, c.z)), None)
        return cable.far(end) if cable and not cable.cut else None

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
            here = self.lit(port)
            if here is None:
                return None
            device = self.devices[here[0]]
            if frame[:6] == NEAREST_BRIDGE or device.kind is NodeKind.ROUTER:
                return here, frame
            onward = _cross_connect(device, here[1], int.from_bytes(frame[:6], "big"))
            if onward is None:
                return None
            if onward.rewrite is not None:
                frame = onward.rewrite.to_bytes(6, "big") + frame[6:]
            port = (here[0], onward.out_port)
            if onward.out_port == SELECTOR:
                assert isinstance(device, SimulatedOtnNode)
                taken, line_port = device.selected(onward.slice_id)
                port = (here[0], line_port)
                frame = (0x02 << 40 | taken << 8 | onward.direction).to_bytes(6, "big") + frame[6:]
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
    return replace(entry, rate=rate)
