"""What is stored is in memory, too, and the other way round: also where the store or the caller goes in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from running_controller import DOMAIN, Controller, corridor
from simulated_network import SimulatedNetwork
from waiting import until

from controller.core.errors import DatabaseUnavailable
from controller.core.model import Isolation, State
from controller.core.segments.igp import LinkMetrics
from controller.routing import Routing
from controller.store import Store

FIBRE = f"{DOMAIN}/links/F-zgc-yz"
NAME = "tenants/default/corridors/c1"


class Interrupted(Store):
    """One that can go away, or be slow."""

    no_routes = False
    stored: asyncio.Event | None = None
    go_on: asyncio.Event

    async def put_routed(self, links: Mapping[str, LinkMetrics]) -> None:
        if self.no_routes:
            raise DatabaseUnavailable("the database does not answer")
        await super().put_routed(links)

    async def put_drained(self, name: str, drained: bool) -> None:
        await super().put_drained(name, drained)
        if self.stored is not None:
            self.stored.set()
            await self.go_on.wait()


@pytest.fixture
async def controller(network: SimulatedNetwork, either_database: str) -> AsyncIterator[Controller]:
    running = await Controller(network, either_database, store_type=Interrupted).start()
    await running.bootstrapped()
    yield running
    await running.stop()


def store_of(controller: Controller) -> Interrupted:
    assert isinstance(controller.store, Interrupted)
    return controller.store


async def test_a_change_that_is_stored_is_driven_though_the_routes_that_follow_it_are_not(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller hears that it was made; the process hears that it must end, and a new start finds both."""
    with monkeypatch.context() as patched:
        patched.setattr(Routing, "changed", lambda *_: True)
        patched.setattr(Routing, "follow", lambda *_: True)
        store_of(controller).no_routes = True
        created = await controller.service.create_corridor("tenants/default", "c1", corridor(isolation=Isolation.SOFT))
        assert created.name == NAME
        assert NAME in (await controller.store.load()).records
        await until(lambda: bool(controller.faults), "the process is told")
        assert "DatabaseUnavailable" in controller.faults[0]
        await controller.settled(NAME)
    assert controller.state.records[NAME].corridor.state is State.UP
    store_of(controller).no_routes = False
    controller.faults.clear()


@pytest.mark.parametrize("drained", [True, False])
async def test_who_goes_while_a_drain_is_stored_leaves_no_memory_of_another(
    controller: Controller, drained: bool
) -> None:
    if not drained:
        await controller.service.drain(FIBRE)
    store = store_of(controller)
    store.stored, store.go_on = asyncio.Event(), asyncio.Event()
    call = controller.service.drain(FIBRE) if drained else controller.service.undrain(FIBRE)
    caller = asyncio.ensure_future(call)
    await store.stored.wait()
    caller.cancel()
    asyncio.get_running_loop().call_soon(store.go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert (FIBRE in (await store.load()).drained) == drained
    assert (FIBRE in controller.state.topology.drained) == drained
