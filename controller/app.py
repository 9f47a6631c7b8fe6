"""The wiring: store, election, drivers, reconciler, discovery, service and both faces in one process.

os-ken's threads carry the OpenFlow streams (drivers/openflow_door.py), one keeps the lease (lease_keeper.py), all else
runs in one event loop. The faces stand from the start; what stands behind them changes with the role.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import uvicorn

from controller.api.grpc_face import grpc_server
from controller.api.rest_face import rest_app
from controller.api.switchboard import Switchboard
from controller.background import stopped
from controller.config import Inventory, Settings, load_inventory
from controller.core import names
from controller.core.errors import Invalid, Unavailable
from controller.core.leadership import Controller
from controller.core.topology import Topology
from controller.core.warm import warm
from controller.discovery import Discovery
from controller.drivers import pipeline
from controller.drivers.openflow import OpenFlowController
from controller.drivers.openflow_door import SwitchDoor
from controller.drivers.p4runtime import P4RuntimeDevice
from controller.follower import Replica
from controller.leadership import Candidate
from controller.lease_keeper import LeaseKeeper, lead_lost
from controller.progress import Progress
from controller.reading import Reading
from controller.repairs import Repairs
from controller.restoration import Restoration
from controller.service import Service
from controller.size_audit import SizeAudit
from controller.state import NetworkState
from controller.store import KEEP_EVENTS, Store
from controller.topology_file import TopologyFile, load

T = TypeVar("T")
READY_S = 2.0
"""For the database to answer a probe."""

log = logging.getLogger(__name__)

THRESHOLDS = (50_000, 10, 20)
"""Of the garbage collector: a network is many objects that live long, and looking at all of them stops everything."""


def serve(settings: Settings) -> None:
    """Run a controller until SIGINT or SIGTERM. Devices keep what they hold: a controller that goes takes nothing."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    gc.set_threshold(*THRESHOLDS)
    warm()  # before the first request, not during it
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    end = End()
    plan, inventory = load(settings.topology), load_inventory(settings.inventory)
    _require_complete(plan, inventory, settings)
    async with AsyncExitStack() as stack:
        keep = settings.keep_events or KEEP_EVENTS
        store = await end.unless(Store.open(settings.database, keep, endless=True))
        if store is None:
            return
        stack.push_async_callback(store.close)
        node = await Node.opened(stack, settings, store, plan, inventory, end)
        async with AsyncExitStack() as leading:
            alone = await node.lead_at_once(leading)
            await node.answer(stack)
            if not alone:
                await node.lead(leading)
            await end.asked.wait()
    if end.defect is not None:
        raise end.defect


class End:
    """When, and why, this process ends."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.defect: BaseException | None = None
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self.give_up)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.asked.set)

    async def unless(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What comes of it; None where the process is to end before."""
        working, ending = asyncio.ensure_future(work), asyncio.ensure_future(self.asked.wait())
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if working.done():
            return working.result()
        await stopped([working])
        return None

    def give_up(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A defect ends the process: what is stored is whole, and a restart resumes every change."""
        loop.default_exception_handler(context)
        self.defect = context.get("exception") or RuntimeError(context["message"])
        self.asked.set()


class Node:
    """One controller of those that share a database."""

    def __init__(self, settings: Settings, store: Store, planned: Topology, inventory: Inventory, end: End) -> None:
        self._settings = settings
        self._store = store
        self._planned = planned
        self._inventory = inventory
        self._end = end
        self._replica = Replica(store, planned)
        self._door = SwitchDoor(settings.openflow or inventory.openflow)
        self._keeper = LeaseKeeper(settings.database, candidate(settings), settings.lease_s)
        self._board: Switchboard

    @classmethod
    async def opened(
        cls,
        stack: AsyncExitStack,
        settings: Settings,
        store: Store,
        plan: TopologyFile,
        inventory: Inventory,
        end: End,
    ) -> Node:
        """It reads, and hears switches; it leads nothing."""
        planned = Topology.planned(plan.domain, plan.srv6_block, plan.nodes, plan.links)
        node = cls(settings, store, planned, inventory, end)
        await node._door.open()
        stack.push_async_callback(node._door.close)
        await node._keeper.start()
        stack.push_async_callback(node._keeper.close)
        node._board = Switchboard(Reading(node._replica), node._keeper.election.refusal)
        node._replica.start()
        stack.push_async_callback(node._replica.close)
        return node

    async def answer(self, stack: AsyncExitStack) -> None:
        """Start both faces."""
        rpc = grpc_server(self._board.service, self._settings.grpc, self)
        await rpc.start()
        stack.push_async_callback(rpc.stop, 1.0)
        host, _, port = self._settings.rest.rpartition(":")
        app = rest_app(self._board.service, self)
        config = uvicorn.Config(app, host=host, port=int(port), log_config=None, timeout_graceful_shutdown=2)
        rest = _Server(config)
        serving = asyncio.create_task(rest.serve(), name="REST")

        async def stop() -> None:
            rest.should_exit = True
            await serving

        stack.push_async_callback(stop)

    async def lead_at_once(self, stack: AsyncExitStack) -> bool:
        """Take over where nobody leads now: the faces of a controller that is alone say nothing before."""
        epoch = await self._keeper.try_to_win()
        if epoch:
            await self._take_over(stack, epoch)
        return bool(epoch)

    async def lead(self, stack: AsyncExitStack) -> None:
        """Wait for the lead, then take over; returns early when the process is to end."""
        winning, ending = asyncio.ensure_future(self._keeper.win()), asyncio.ensure_future(self._end.asked.wait())
        await asyncio.wait({winning, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if winning.done():
            await self._take_over(stack, winning.result())
        winning.cancel()

    async def _take_over(self, stack: AsyncExitStack, epoch: int) -> None:
        """All that a leader has; when it goes, its writing ends first, and then others may lead."""
        log.info("this controller leads, epoch %d", epoch)
        stack.push_async_callback(self._keeper.resign)
        self._store.fence(epoch, lead_lost)
        state = await NetworkState.restore(self._store, self._planned, lambda: datetime.now(UTC))
        stack.push_async_callback(state.reconciler.close)
        repairs = Repairs(state)
        stack.push_async_callback(repairs.close)
        progress = Progress(state)
        stack.push_async_callback(progress.close)
        audit = SizeAudit(state, progress)
        stack.push_async_callback(audit.close)
        restoration = Restoration(state, progress)
        stack.push_async_callback(restoration.close)
        discovery = Discovery(state, restoration)
        await self._connect(stack, state, discovery, epoch)
        discovery.start()
        stack.push_async_callback(discovery.close)
        progress.resume()
        self._board.present = Service(state, progress)
        stack.callback(self._refuse_writes, state)
        if not self._replica.watched:
            await self._replica.close()
        log.info("controller of %s, epoch %d", self._planned.domain, epoch)

    def _refuse_writes(self, state: NetworkState) -> None:
        self._board.present = Reading(state)

    async def _connect(self, stack: AsyncExitStack, state: NetworkState, discovery: Discovery, epoch: int) -> None:
        """Bring the drivers up; each device joins the reconciler."""
        domain, inventory = state.topology.domain, self._inventory
        lines = {a.datapath_id: (names.node(domain, n), a.line_card) for n, a in inventory.otn_nodes.items()}
        optical = OpenFlowController(self._door, discovery, lines, epoch)
        await optical.start()
        stack.push_async_callback(optical.close)
        for node in optical.nodes.values():
            state.reconciler.add(node)
        program = pipeline.load()
        for name, address in inventory.routers.items():
            device = names.node(domain, name)
            router = P4RuntimeDevice(device, address.p4runtime, address.device_id, epoch, discovery, pipeline=program)
            state.reconciler.add(router)
            stack.push_async_callback(router.close)
            router.start()

    # What the faces tell of it (api.controllers.Standing).

    def controller(self) -> Controller:
        return self._keeper.election.standing()

    async def unready(self) -> str:
        leads = self._keeper.election.leads
        if leads and not isinstance(self._board.present, Service):
            return "this controller is taking over"
        if not leads and not self._replica.loaded:
            return "nothing is read from the database yet"
        try:
            async with asyncio.timeout(READY_S):
                await self._store.newest_sequence()
        except (Unavailable, OSError, TimeoutError):
            return "the database does not answer"
        return ""


class _Server(uvicorn.Server):
    """Signals are this file's business: uvicorn would raise them again before the rest is closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def candidate(settings: Settings) -> Candidate:
    """Where callers reach this controller. Where no id is stated, one is drawn: who comes after it is another one."""
    host = socket.gethostname()
    name = settings.id or f"{host}-{os.getpid()}-{os.urandom(2).hex()}"
    grpc = settings.advertise_grpc or _reachable(settings.grpc, host)
    return Candidate(name, grpc, settings.advertise_rest or f"http://{_reachable(settings.rest, host)}")


def _reachable(address: str, host: str) -> str:
    """Listening everywhere is no address to be called at."""
    bound, _, port = address.rpartition(":")
    return f"{host}:{port}" if bound in ("", "0.0.0.0", "[::]", "*") else address


def _require_complete(plan: TopologyFile, inventory: Inventory, settings: Settings) -> None:
    known = {names.short(node.name) for node in plan.nodes}
    strange = (inventory.routers.keys() | inventory.otn_nodes.keys()) - known
    if strange:
        raise Invalid(f"{settings.inventory}: {', '.join(sorted(strange))} not in {settings.topology}")
