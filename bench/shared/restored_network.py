"""A controller of a model network whose devices are peers over sockets: corridors are made, a fibre is cut."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.device_peers import OPENFLOW
from shared.model_network import Model
from shared.rows import Differ

from controller.core import names
from controller.core.batch import Batch
from controller.core.entries import Change, Rejection
from controller.core.generation import next_generation
from controller.core.model import EventType, LinkKind, NodeKind, Stage, State, Status
from controller.core.plan import plan
from controller.core.topology import Event, LinkChanged, NodeChanged, Topology
from controller.drivers import pipeline
from controller.drivers.openflow import OpenFlowController
from controller.drivers.p4runtime import P4RuntimeDevice
from controller.progress import Progress
from controller.reconcile import Reconciler
from controller.restoration import Restoration
from controller.state import NetworkState
from controller.store import Store

PEERS = Path(__file__).with_name("device_peers.py")
PORTION = 100
"""Corridors that are made at a time."""
NEVER_S = 3600.0
PATIENCE_S = 120.0
LOOK_S = 0.005


class _Listener:
    """What discovery does when a device comes; links are not probed here."""

    def __init__(self, state: NetworkState) -> None:
        self._state = state

    def device_connected(self, device: str) -> None:
        if self._state.topology.nodes[device].kind is NodeKind.ROUTER:
            self._state.learn(device, self._state.reconciler.device(device).capabilities)
        self._state.reconciler.connected(device)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@dataclass
class Written:
    """What went to packet nodes and into the store since the cut."""

    batches: list[tuple[str, tuple[Change, ...]]] = field(default_factory=list)
    commits: int = 0

    def of(self, device: P4RuntimeDevice) -> None:
        apply = device.apply

        async def recorded(changes: Sequence[Change]) -> Sequence[Rejection]:
            self.batches.append((device.name, tuple(changes)))
            return await apply(changes)

        device.apply = recorded  # type: ignore[method-assign]

    def into(self, store: Store) -> None:
        commit_all = store.commit_all

        async def counted(*arguments: Any) -> Any:
            self.commits += 1
            return await commit_all(*arguments)

        store.commit_all = counted  # type: ignore[method-assign]

    def clear(self) -> None:
        self.batches.clear()
        self.commits = 0


@dataclass(frozen=True)
class Took:
    """Seconds from the cut, of all corridors that it hit."""

    corridors: int
    planned: float
    """Until the last new path was stored."""
    first: float
    """Until the first corridor was on its new path."""
    restored: float
    """Until the last was."""
    cleaned: float
    """Until nothing of the old paths was left."""


@dataclass
class Running:
    model: Model
    state: NetworkState
    progress: Progress
    restoration: Restoration
    written: Written
    directory: Path

    async def make(self) -> None:
        """All corridors of the model, each steered."""
        left = list(self.model.corridors)
        while left:
            portion, left = left[:PORTION], left[PORTION:]
            async with self.state.writer:
                batch = Batch(self.state.snapshot())
                for name, corridor in portion:
                    asked = replace(corridor, name=names.corridor("default", name))
                    batch.add(plan(batch.snapshot, next_generation(asked, self.state.now()), explains=False))
                touched = await self.state.commit_all([(each, EventType.CREATED) for each in batch.plans])
                for change, each in zip(batch.plans, touched, strict=True):
                    self.progress.drive(change.record.name, each)
            await self._until(lambda names=[p.record.name for p in batch.plans]: self._settled(names), "they stand")  # type: ignore[misc]

    async def cut(self, fibre: str) -> Took:
        """As port status would tell of it."""
        hit = [name for name, record in self.state.records.items() if fibre in self.model.fibres(record)]
        old = {name: self.state.records[name].target for name in hit}
        marks: dict[str, float] = {}
        self.written.clear()
        began = time.perf_counter()
        watch = asyncio.create_task(self._watch(hit, old, marks, began))
        await self.restoration.observe(LinkChanged(fibre, Status.DOWN))
        async with asyncio.timeout(PATIENCE_S):
            await watch
        self._require_moved(hit, fibre)
        return Took(len(hit), marks["planned"], marks["first"], marks["restored"], marks["cleaned"])

    async def mend(self, fibre: str) -> None:
        carried = [k.name for k in self.model.plan.links if fibre in k.trail]
        await self.restoration.observe(*(LinkChanged(name, Status.UP) for name in (fibre, *carried)))
        await self._until(lambda: not self.state.leaving, "routes follow")
        await self._until(lambda: self._settled(list(self.state.records)), "they stand")

    async def _watch(self, hit: list[str], old: dict[str, Any], marks: dict[str, float], began: float) -> None:
        """Notes when the last of them has come how far."""
        records, steered = self.state.records, (Stage.CLEAN, Stage.SETTLED)
        waiting = {
            "planned": lambda name: records[name].target is not old[name],
            "restored": lambda name: records[name].target is not old[name] and records[name].stage in steered,
            "cleaned": lambda name: records[name].target is not old[name] and records[name].stage is Stage.SETTLED,
        }
        left, seen = dict.fromkeys(waiting, hit), self.state.sequence
        while any(left.values()):
            await asyncio.sleep(LOOK_S)
            if seen == self.state.sequence:
                continue
            seen, now = self.state.sequence, time.perf_counter() - began
            for what, reached in waiting.items():
                if left[what]:
                    still = [name for name in left[what] if not reached(name)]
                    if what == "restored" and len(still) < len(hit):
                        marks.setdefault("first", now)
                    left[what] = still
                    if not still:
                        marks[what] = now

    def _require_moved(self, hit: list[str], fibre: str) -> None:
        for name in hit:
            record = self.state.records[name]
            if fibre in self.model.fibres(record) or record.corridor.state is not State.UP:
                raise Differ(f"{name} is {record.corridor.state} and over {sorted(self.model.fibres(record))}")

    def _settled(self, wanted: list[str]) -> bool:
        return all(self.state.records[name].stage is Stage.SETTLED for name in wanted)

    async def _until(self, condition: Any, what: str) -> None:
        end = time.perf_counter() + PATIENCE_S
        while not condition():
            if time.perf_counter() > end:
                raise Differ(f"waited {PATIENCE_S} s until {what}")
            await asyncio.sleep(LOOK_S)


@contextlib.asynccontextmanager
async def running(model: Model) -> AsyncIterator[Running]:
    """Connected to every device, with every link up."""
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="restore-", dir="/tmp")))
        store = await Store.open(f"sqlite:///{directory / 'corridor.db'}")
        stack.push_async_callback(store.close)
        written = Written()
        written.into(store)
        epoch = await store.raise_epoch()
        planned = Topology.planned(model.plan.domain, model.plan.srv6_block, model.plan.nodes, model.plan.links)
        state = await NetworkState.restore(store, planned, lambda: datetime.now(UTC))
        state.reconciler = Reconciler(state.desired, resync_s=NEVER_S)
        stack.push_async_callback(lambda: state.reconciler.close())
        progress = Progress(state, stage_timeout_s=PATIENCE_S)
        stack.push_async_callback(progress.close)
        restoration = Restoration(state, progress)
        stack.push_async_callback(restoration.close)
        await state.observe(*_all_up(model))
        await _connect(stack, state, directory, epoch, written)
        yield Running(model, state, progress, restoration, written, directory)


async def _connect(
    stack: contextlib.AsyncExitStack, state: NetworkState, directory: Path, epoch: int, written: Written
) -> None:
    nodes = state.topology.nodes.values()
    routers = [node.name for node in nodes if node.kind is NodeKind.ROUTER]
    switches = [node.name for node in nodes if node.kind is NodeKind.OTN]
    peers = await asyncio.create_subprocess_exec(
        *(sys.executable, PEERS, directory, str(len(routers)), str(len(switches))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert peers.stdin is not None
    assert peers.stdout is not None
    await peers.stdout.readline()
    listener: Any = _Listener(state)
    lines = {number: (name, f"unix:{directory / f'l{number}'}") for number, name in enumerate(switches, 1)}
    optical = OpenFlowController(f"unix:{directory / OPENFLOW}", listener, lines, epoch)
    await optical.start()
    stack.push_async_callback(peers.wait)
    stack.callback(peers.stdin.close)
    stack.push_async_callback(optical.close)
    for node in optical.nodes.values():
        state.reconciler.add(node)
    program = pipeline.load()
    for number, name in enumerate(routers, 1):
        router = P4RuntimeDevice(name, f"unix:{directory / f'r{number}'}", 1, epoch, listener, pipeline=program)
        written.of(router)
        state.reconciler.add(router)
        stack.push_async_callback(router.close)
        router.start()
    peers.stdin.write(b"\n")
    async with asyncio.timeout(PATIENCE_S):
        while not all(device.connected for device in state.reconciler.devices):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)


def _all_up(model: Model) -> list[Event]:
    """Client links at port 1, fibres from 2 on, in the file's order."""
    events: list[Event] = [NodeChanged(node.name, Status.UP) for node in model.plan.nodes]
    ports: dict[str, int] = {}
    for link in model.plan.links:
        if link.kind is LinkKind.ADJACENCY:
            events.append(LinkChanged(link.name, Status.UP))
            continue
        for node in (link.a_node, link.z_node):
            ports[node] = ports.get(node, 1) + 1 if link.kind is LinkKind.FIBRE else 1
        events.append(LinkChanged(link.name, Status.UP, ports[link.a_node], ports[link.z_node]))
    return events
