"""The wiring: store, drivers, reconciler, discovery, service and both faces in one process, one event loop.

os-ken's threads carry the OpenFlow streams (drivers/openflow.py); everything else runs in this loop.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn

from controller.api.grpc_face import grpc_server
from controller.api.rest_face import rest_app
from controller.config import Inventory, Settings, load_inventory
from controller.core import names
from controller.core.errors import Invalid
from controller.core.topology import Topology
from controller.core.warm import warm
from controller.discovery import Discovery
from controller.drivers import pipeline
from controller.drivers.openflow import OpenFlowController
from controller.drivers.p4runtime import P4RuntimeDevice
from controller.progress import Progress
from controller.restoration import Restoration
from controller.service import Service
from controller.size_audit import SizeAudit
from controller.state import NetworkState
from controller.store import Store
from controller.topology_file import TopologyFile, load

log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Run a controller until SIGINT or SIGTERM. Devices keep what they hold: a controller that goes takes nothing."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    warm()  # before the first request, not during it
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    plan, inventory = load(settings.topology), load_inventory(settings.inventory)
    _require_complete(plan, inventory, settings)
    async with AsyncExitStack() as stack:
        store = await Store.open(settings.database)
        stack.push_async_callback(store.close)
        epoch = await store.raise_epoch()
        planned = Topology.planned(plan.domain, plan.srv6_block, plan.nodes, plan.links)
        state = await NetworkState.restore(store, planned, lambda: datetime.now(UTC))
        stack.push_async_callback(state.reconciler.close)
        progress = Progress(state)
        stack.push_async_callback(progress.close)
        audit = SizeAudit(state, progress)
        stack.push_async_callback(audit.close)
        restoration = Restoration(state, progress)
        stack.push_async_callback(restoration.close)
        discovery = Discovery(state, restoration)
        await _connect(stack, state, discovery, inventory, settings.openflow or inventory.openflow, epoch)
        discovery.start()
        stack.push_async_callback(discovery.close)
        progress.resume()
        log.info("controller of %s, epoch %d", plan.domain, epoch)
        await _answer(stack, Service(state, progress), settings)


async def _connect(
    stack: AsyncExitStack, state: NetworkState, discovery: Discovery, inventory: Inventory, openflow: str, epoch: int
) -> None:
    """Bring the drivers up; each device joins the reconciler."""
    domain = state.topology.domain
    lines = {a.datapath_id: (names.node(domain, n), a.line_card) for n, a in inventory.otn_nodes.items()}
    optical = OpenFlowController(openflow, discovery, lines, epoch)
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


async def _answer(stack: AsyncExitStack, service: Service, settings: Settings) -> None:
    """Serve both faces until told to stop."""
    rpc = grpc_server(service, settings.grpc)
    await rpc.start()
    stack.push_async_callback(rpc.stop, 1.0)
    host, _, port = settings.rest.rpartition(":")
    config = uvicorn.Config(rest_app(service), host=host, port=int(port), log_config=None, timeout_graceful_shutdown=2)
    rest = _Server(config)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(rest.give_up)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: setattr(rest, "should_exit", True))
    await rest.serve()
    if rest.defect is not None:
        raise rest.defect


class _Server(uvicorn.Server):
    """Signals are this file's business: uvicorn would raise them again before the rest is closed."""

    defect: BaseException | None = None

    def give_up(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A defect ends the process: what is stored is whole, and a restart resumes every change."""
        loop.default_exception_handler(context)
        self.defect = context.get("exception") or RuntimeError(context["message"])
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _require_complete(plan: TopologyFile, inventory: Inventory, settings: Settings) -> None:
    known = {names.short(node.name) for node in plan.nodes}
    strange = (inventory.routers.keys() | inventory.otn_nodes.keys()) - known
    if strange:
        raise Invalid(f"{settings.inventory}: {', '.join(sorted(strange))} not in {settings.topology}")
