"""A controller without its faces, run against a simulated network; it can be crashed and started again."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from databases import dump as dump
from simulated_network import SimulatedNetwork
from waiting import until

from controller.core.entries import Entry
from controller.core.model import Corridor, EndPoint, Isolation, LinkKind, Profile, Status
from controller.core.render import merged, render_infrastructure, render_record
from controller.core.topology import Topology
from controller.discovery import Discovery
from controller.progress import Progress
from controller.repairs import Repairs
from controller.restoration import Restoration
from controller.service import Service
from controller.size_audit import SizeAudit
from controller.state import NetworkState
from controller.store import Store
from controller.topology_file import TopologyFile
from controller.topology_file import load as load_topology

METRO = Path(__file__).parents[2] / "topologies" / "metro-beijing.yaml"
DOMAIN = "domains/metro-beijing"
HELLO_S = 0.025
load = cache(load_topology)
EAGER_HELLO_S = 0.01
STAGE_TIMEOUT_S = 0.25


@dataclass
class Clock:
    """The calendar, which a test may push on."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Controller:
    """What `controller.app` wires, without gRPC, REST and real devices."""

    network: SimulatedNetwork
    database: str
    clock: Clock = field(default_factory=Clock)
    store_type: type[Store] = Store
    stage_timeout_s: float = STAGE_TIMEOUT_S
    faults: list[str] = field(default_factory=list)
    """What the event loop was told of by callbacks and tasks that failed."""

    async def start(self, plan: TopologyFile | None = None) -> Controller:
        plan = plan or load(METRO)
        asyncio.get_running_loop().set_exception_handler(self._fault)
        self.store = await self.store_type.open(self.database)
        self.epoch = await self.store.raise_epoch()
        planned = Topology.planned(plan.domain, plan.srv6_block, plan.nodes, plan.links)
        self.state = await NetworkState.restore(self.store, planned, self.clock)
        self.progress = Progress(self.state, stage_timeout_s=self.stage_timeout_s)
        self.audit = SizeAudit(self.state, self.progress)
        self.repairs = Repairs(self.state)
        self.restoration = Restoration(self.state, self.progress)
        self.discovery = Discovery(self.state, self.restoration, hello_s=HELLO_S, eager_hello_s=EAGER_HELLO_S)
        self.service = Service(self.state, self.progress)
        for device in self.network.devices.values():
            device.listener = self.discovery
            self.state.reconciler.add(device)
        self.discovery.start()
        for device in self.network.devices.values():
            device.connect()
        self.progress.resume()
        return self

    async def stop(self) -> None:
        """Gone without a word to any device, as after `kill -9`; the devices keep what they hold."""
        alive = {task.get_name() for task in asyncio.all_tasks() if not task.done()}
        dead = {f"reconcile {name}" for name in self.network.devices} - alive
        dead |= {"discovery: conclude", "discovery: hello"} - alive
        for device in self.network.devices.values():
            device.listener = None
            device.connected = False
        parts = (
            self.discovery,
            self.restoration,
            self.audit,
            self.repairs,
            self.progress,
            self.state.reconciler,
            self.store,
        )
        for part in parts:
            await part.close()
        assert not dead, f"tasks died: {dead}; {self.faults}"
        assert not self.faults

    async def settled(self, *names: str) -> None:
        def quiet() -> bool:
            return all(
                name not in self.state.records or not self.state.records[name].corridor.reconciling for name in names
            )

        await until(quiet, f"{names} settle")

    async def bootstrapped(self) -> None:
        """Every link that the file plans is up, and every device holds what it shall."""
        await until(lambda: not self.links_not(Status.UP), "all links are up")
        await self.in_line()

    async def rounds(self, count: int) -> None:
        """So many rounds of probes, sent and heard."""
        per_round = sum(2 for _ in self.network.cables) + 2 * len(self.state.topology.of_kind(LinkKind.ADJACENCY))
        enough = self.network.frames + (count + 1) * per_round
        await until(lambda: self.network.frames >= enough, f"{count} rounds of probes")

    async def in_line(self) -> None:
        await until(lambda: not self.differences(), "devices hold what is rendered")

    def links_not(self, status: Status) -> list[str]:
        links = self.state.topology.links.values()
        return [link.name for link in links if link.status is not status and link.status is not Status.UNPLANNED]

    def link(self, name: str) -> Status:
        return self.state.topology.links[f"{DOMAIN}/links/{name}"].status

    def expected(self) -> dict[str, dict[Hashable, Entry]]:
        """What every device shall hold, rendered from scratch out of the snapshot."""
        snapshot = self.state.snapshot()
        parts = [render_infrastructure(snapshot.topology, snapshot.ids, snapshot.underlays[0])]
        parts += [
            render_record(snapshot.topology, snapshot.ids, record) for _, record in sorted(snapshot.records.items())
        ]
        return {device: merged([part.get(device, {}) for part in parts]) for device in self.network.devices}

    def differences(self) -> dict[str, set[Any]]:
        wanted = self.expected()
        found = {
            name: {
                key
                for key in device.own().keys() | wanted[name].keys()
                if device.own().get(key) != wanted[name].get(key)
            }
            for name, device in self.network.devices.items()
        }
        return {name: keys for name, keys in found.items() if keys}

    def _fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")


def end(where: str, **fields: Any) -> EndPoint:
    """`zgc-r:campus` with the prefixes that the file gives to the port."""
    node, port = where.split(":")
    plan = load(METRO)
    access = next(p for n in plan.nodes if n.name == f"{DOMAIN}/nodes/{node}" for p in n.access_ports if p.name == port)
    four, six = access.ipv4_gateway.replace(".1/24", ".0/24"), access.ipv6_gateway.replace("::1/64", "::/64")
    return EndPoint(f"{DOMAIN}/nodes/{node}", port, **{"ipv4_prefixes": (four,), "ipv6_prefixes": (six,), **fields})


def corridor(a: str = "zgc-r:campus", z: str = "yz-r:dc", **fields: Any) -> Corridor:
    """Inference at 20, training at 100 Mbit/s; hard unless said otherwise."""
    profiles = Profile("inference", 20_000), Profile("training", 100_000)
    values: dict[str, Any] = {"isolation": Isolation.HARD, "profiles": profiles, "active_profile": "inference"}
    return Corridor(**{**values, "a_end": end(a), "z_end": end(z), **fields})
