"""A controller that dies in the middle of a resize, at any moment of it, and the next one on its database."""

from __future__ import annotations

import asyncio

import pytest
from resized import LARGE, NAME, SMALL, all_have, nodes, now, stands, switch
from running_controller import Controller
from simulated_network import SimulatedNetwork
from small_domain import chain

from controller.core.model import Corridor, Stage, State


@pytest.mark.parametrize("profile", ["training", "inference"])
async def test_a_crash_at_any_moment_of_a_resize_ends_in_one_size(database: str, profile: str) -> None:
    """The controller dies after each write, call, commit and answer in turn; the next one goes on."""
    network, other = SimulatedNetwork.wired(chain()), "inference" if profile == "training" else "training"
    network.handshakes.step_s = 0.0005
    controller = await Controller(network, database).start(chain())
    await controller.bootstrapped()
    await stands(controller, active_profile=other)
    died, moment = True, 0
    while died:
        moment += 1
        network.stalled.clear()
        network.die_after = len(network.history) + moment
        died = await _dies(controller, profile)
        network.die_after = None
        controller = await _next(controller)
        await _ends_in_one_size(controller, profile)
        await _back(controller, other)
    assert moment > 20
    await controller.stop()


async def _back(controller: Controller, profile: str) -> None:
    """On a busy machine the time of a stage may run out: such a change is rolled back, and asked for again."""
    while now(controller).active_profile != profile:
        await switch(controller, profile)


async def _dies(controller: Controller, profile: str) -> bool:
    """False where the change was through before."""
    call = asyncio.ensure_future(controller.service.switch_profile(NAME, profile))
    done = asyncio.ensure_future(_settles(controller, call))
    dead = asyncio.ensure_future(controller.network.stalled.wait())
    await asyncio.wait({done, dead}, return_when=asyncio.FIRST_COMPLETED)
    died = dead.done()
    for task in (call, done, dead):
        task.cancel()
    await asyncio.gather(call, done, dead, return_exceptions=True)
    await controller.stop()
    return died


async def _settles(controller: Controller, call: asyncio.Future[Corridor]) -> None:
    await asyncio.shield(call)
    await controller.settled(NAME)


async def _next(controller: Controller) -> Controller:
    return await Controller(controller.network, controller.database).start(chain())


async def _ends_in_one_size(controller: Controller, profile: str) -> None:
    await controller.bootstrapped()
    await controller.settled(NAME)
    assert (now(controller).state, now(controller).stage) == (State.UP, Stage.SETTLED)
    all_have(controller, LARGE if now(controller).active_profile == "training" else SMALL)
    assert now(controller).active_profile == profile, "what was stored is carried to its end"
    assert not any(node.forced for node in nodes(controller))
