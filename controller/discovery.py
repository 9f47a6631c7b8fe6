"""Discovery and liveness over both southbounds: LLDP out of every port, and to every trail's channel address.

A link is UP when it was heard in both directions, DOWN by port status or when three probes in a row were missed.
A cable that the file does not plan is UNPLANNED while it is heard either way, and then forgotten.
A node whose control stream is gone can neither send nor hear: nothing is concluded about its links.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress

from controller.background import background, stopped
from controller.core import names
from controller.core.addresses import A_TO_Z, Z_TO_A, channel_address, router_mac
from controller.core.errors import DeviceUnreachable
from controller.core.model import Link, LinkKind, NodeKind, Status
from controller.core.topology import Event, LinkChanged, LinkGone, LinkUnplanned, NodeChanged, Topology, port_at
from controller.deadline import within
from controller.drivers.device import PathWatch, Selector
from controller.probes import NEAREST_BRIDGE, Probe, build, parse
from controller.restoration import Restoration
from controller.state import NetworkState

log = logging.getLogger(__name__)

HELLO_S = 1.0
EAGER_HELLO_S = 0.2
"""While something that the file plans is still missing."""
SEND_S = 1.0
"""What a device may take to send a probe: the next round waits for it."""
MISSED_PROBES = 3
EAGER_ROUNDS = 100
PATIENCE = 5
"""Times as many while probes are sent eagerly, or after a restart for what was wired before it."""


class Discovery:
    """Hears of devices (`drivers.device.DeviceListener`), sends the probes, and tells what it concludes."""

    def __init__(
        self,
        state: NetworkState,
        restoration: Restoration,
        *,
        hello_s: float = HELLO_S,
        eager_hello_s: float = EAGER_HELLO_S,
    ) -> None:
        self._state = state
        self._restoration = restoration
        self._hello_s = hello_s
        self._eager_hello_s = eager_hello_s
        self._ports: dict[str, dict[int, bool]] = {}
        self._heard: dict[str, dict[int, int]] = {}
        """Per link and direction, the round in which a probe came last."""
        self._silent_since: dict[str, int] = {}
        """Per link, the round from which silence counts: before it, there was nobody to send or to hear."""
        self._round = 0
        self._connected: set[str] = set()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            background(self._conclude(), "discovery: conclude"),
            background(self._hello(), "discovery: hello"),
        ]

    async def close(self) -> None:
        await stopped(self._tasks)

    # -- what devices tell ----------------------------------------------------------------------------------------

    def device_connected(self, device: str) -> None:
        log.info("%s connected", device)
        if self._state.topology.nodes[device].kind is NodeKind.ROUTER:
            self._state.learn(device, self._state.reconciler.device(device).capabilities)
        self._state.reconciler.connected(device)
        if device not in self._connected:  # else its line card alone is back: its links were heard all the while
            self._connected.add(device)
            for link in self._links_of(device):
                self._silent_since[link.name] = self._round
        self._events.put_nowait(NodeChanged(device, Status.UP))

    def device_disconnected(self, device: str) -> None:
        log.warning("%s lost: its entries stay, nothing new is placed on it", device)
        self._connected.discard(device)
        self._events.put_nowait(NodeChanged(device, Status.UNREACHABLE))

    def port_changed(self, device: str, port: int, up: bool) -> None:
        self._ports.setdefault(device, {})[port] = up
        if up:
            return
        for link in self._links_of(device):
            seen = link.status in (Status.UP, Status.UNPLANNED) and link.kind is not LinkKind.ADJACENCY
            if seen and port in _ports_at(link, device):
                self._lost(link, f"{device} port {port} lost its carrier")

    def frame_received(self, device: str, port: int, frame: bytes) -> None:
        probe = parse(frame)
        nodes = self._state.topology.nodes
        if probe is None or probe.node not in nodes:
            return
        if any(access.port == port for access in nodes[device].access_ports):
            return  # a customer can send what he likes: none of it says how the network is wired
        if probe.channel is not None:
            self._heard_on_channel(device, *probe.channel)
        else:
            self._heard_on_wire(probe, device, port)

    def selector_moved(self, device: str, selector: Selector) -> None:
        self._restoration.selector_moved(device, selector)

    def path_watched(self, device: str, watch: PathWatch) -> None:
        self._restoration.path_watched(device, watch)

    # -- what follows -----------------------------------------------------------------------------------------------

    async def _conclude(self) -> None:
        """One observation after the other; those that came together are taken together."""
        while True:
            events = [await self._events.get()]
            while not self._events.empty():
                events.append(self._events.get_nowait())
            await self._restoration.observe(*events)

    def _heard_on_wire(self, probe: Probe, device: str, port: int) -> None:
        link = _planned(self._state.topology, probe.node, probe.port, device, port)
        if link is None:
            stray = self._unplanned((probe.node, probe.port), (device, port))
            self._heard.setdefault(stray.name, {})[A_TO_Z] = self._round  # either way is enough
            self._events.put_nowait(LinkUnplanned(stray))
            return
        direction = A_TO_Z if link.a_node == probe.node else Z_TO_A
        ports = (probe.port, port) if direction == A_TO_Z else (port, probe.port)
        if (link.a_port, link.z_port) != ports:
            self._events.put_nowait(LinkChanged(link.name, link.status, *ports))
        self._hear(link, direction)

    def _unplanned(self, *ends: tuple[str, int]) -> Link:
        """One link per cable, whichever end was heard first."""
        (a, a_port), (z, z_port) = sorted(ends)
        domain = self._state.topology.domain
        name = names.link(domain, f"unplanned-{names.short(a)}-{a_port}-{names.short(z)}-{z_port}")
        return Link(name, LinkKind.FIBRE, a, z, a_port=a_port, z_port=z_port)

    def _heard_on_channel(self, device: str, slice_id: int, direction: int) -> None:
        for link in self._state.topology.of_kind(LinkKind.ADJACENCY):
            sink = link.z_node if direction == A_TO_Z else link.a_node
            if link.slice_id == slice_id and sink == device:
                self._hear(link, direction)

    def _hear(self, link: Link, direction: int) -> None:
        heard = self._heard.setdefault(link.name, {})
        heard[direction] = self._round
        fresh = all(self._round - heard.get(way, -MISSED_PROBES) < MISSED_PROBES for way in (A_TO_Z, Z_TO_A))
        if fresh and link.status is not Status.UP and self._carriers_up(link):
            log.info("%s is up", link.name)
            self._events.put_nowait(LinkChanged(link.name, Status.UP))

    def _carriers_up(self, link: Link) -> bool:
        ends = ((link.a_node, link.a_port), (link.z_node, link.z_port))
        return all(self._ports.get(node, {}).get(port, True) for node, port in ends)

    def _lost(self, link: Link, why: str) -> None:
        self._heard.pop(link.name, None)
        if link.status is Status.UNPLANNED:
            log.info("%s is gone: %s", link.name, why)
            self._silent_since.pop(link.name, None)
            self._events.put_nowait(LinkGone(link.name))
        else:
            log.warning("%s is down: %s", link.name, why)
            self._events.put_nowait(LinkChanged(link.name, Status.DOWN))

    # -- probes -------------------------------------------------------------------------------------------------------

    async def _hello(self) -> None:
        while True:
            self._round += 1
            self._expire()
            await self._send()
            await asyncio.sleep(self._eager_hello_s if self._eager() else self._hello_s)

    def _eager(self) -> bool:
        missing = any(link.status is Status.MISSING for link in self._state.topology.links.values())
        return missing and self._round < EAGER_ROUNDS

    def _expire(self) -> None:
        topology = self._state.topology
        for link in topology.links.values():
            wired = link.status is Status.MISSING and link.a_port and link.z_port
            expected = link.status in (Status.UP, Status.UNPLANNED) or wired
            answering = all(topology.nodes[n].status is Status.UP for n in (link.a_node, link.z_node))
            if expected and answering:
                self._judge(link)

    def _judge(self, link: Link) -> None:
        """Lost, when too many probes in a row were missed in a direction."""
        since = self._silent_since.setdefault(link.name, self._round)
        heard = self._heard.get(link.name, {})
        patience = PATIENCE if self._eager() or link.status is Status.MISSING else 1
        limit = MISSED_PROBES * patience
        ways = (A_TO_Z,) if link.status is Status.UNPLANNED else (A_TO_Z, Z_TO_A)
        if any(self._round - max(since, heard.get(way, since)) > limit for way in ways):
            self._lost(link, f"{limit} probes missed")

    async def _send(self) -> None:
        sends = [self._send_one(device, port, frame) for device, port, frame in self._probes()]
        await asyncio.gather(*sends)

    async def _send_one(self, device: str, port: int, frame: bytes) -> None:
        with suppress(DeviceUnreachable):
            async with within(device, SEND_S, "a frame to send"):
                await self._state.reconciler.device(device).send_frame(port, frame)

    def _probes(self) -> Iterator[tuple[str, int, bytes]]:
        topology = self._state.topology
        for device in self._state.reconciler.devices:
            if not device.connected:
                continue
            node = topology.nodes[device.name]
            for port in self._probed_ports(device.name):
                source = router_mac(node.node_id, port)
                yield device.name, port, build(Probe(device.name, port), source, NEAREST_BRIDGE)
            if node.kind is NodeKind.ROUTER:
                yield from self._channel_probes(device.name, node.node_id)

    def _probed_ports(self, device: str) -> list[int]:
        if self._state.topology.nodes[device].kind is NodeKind.OTN:
            return [port for port, up in self._ports.get(device, {}).items() if up]
        port = port_at(self._state.topology.client_links[device], device)
        return [port] if port else []

    def _channel_probes(self, router: str, node_id: int) -> Iterator[tuple[str, int, bytes]]:
        port = port_at(self._state.topology.client_links[router], router)
        for link in self._state.topology.of_kind(LinkKind.ADJACENCY):
            if not port or router not in (link.a_node, link.z_node):
                continue
            channel = link.slice_id, A_TO_Z if link.a_node == router else Z_TO_A
            frame = build(Probe(router, port, channel), router_mac(node_id, port), channel_address(*channel))
            yield router, port, frame

    def _links_of(self, device: str) -> list[Link]:
        return [link for link in self._state.topology.links.values() if device in (link.a_node, link.z_node)]


def _ports_at(link: Link, device: str) -> tuple[int, ...]:
    """Both ports of a cable that a device is wired to itself with, else one."""
    ends = ((link.a_node, link.a_port), (link.z_node, link.z_port))
    return tuple(port for node, port in ends if node == device)


def _planned(topology: Topology, source: str, source_port: int, sink: str, sink_port: int) -> Link | None:
    """The planned link between two ports: the one known to be wired so, else the first that is not wired yet."""
    between = [
        link
        for link in topology.links.values()
        if {link.a_node, link.z_node} == {source, sink}
        and link.kind is not LinkKind.ADJACENCY
        and link.status is not Status.UNPLANNED
    ]
    for link in between:
        if (port_at(link, source), port_at(link, sink)) == (source_port, sink_port):
            return link
    free = [link for link in between if link.status in (Status.MISSING, Status.DOWN) or not link.a_port]
    return min(free, key=lambda link: (bool(link.a_port), link.name), default=None)
