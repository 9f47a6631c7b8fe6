"""Everything at once, by chance: when the storm is over, all stands as it was asked for, and the books are right."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from running_controller import Controller, corridor, dump, end
from simulated_network import SimulatedDevice, SimulatedNetwork, channel_of_policy, policies
from waiting import until

from controller.core.errors import Refused
from controller.core.model import Isolation, NodeKind, Stage, State, Status
from controller.core.otn import RowKey
from controller.core.records import claims_of

PARENT = "tenants/default"
PAIRS = (
    ("zgc-r:campus", "yz-r:dc"),
    ("sy-r:cell", "ft-r:office"),
    ("cp-r:dc", "tz-r:cell"),
    ("sg-r:dc", "zgc-r:campus"),
)
Action = Callable[[Controller, random.Random], Awaitable[None]]


async def cut(controller: Controller, chance: random.Random) -> None:
    controller.network.cut(chance.choice(sorted(controller.network.cables)), silently=chance.random() < 0.3)


async def mend(controller: Controller, _chance: random.Random) -> None:
    for name, cable in controller.network.cables.items():
        if cable.cut:
            controller.network.mend(name)


async def away(controller: Controller, chance: random.Random) -> None:
    _any(controller, chance).disconnect()


async def back(controller: Controller, _chance: random.Random) -> None:
    for device in controller.network.devices.values():
        if not device.connected:
            device.connect()


async def power_cycle(controller: Controller, chance: random.Random) -> None:
    device = _any(controller, chance)
    if device.connected:
        device.restart_empty()


async def switch(controller: Controller, chance: random.Random) -> None:
    name = chance.choice(sorted(controller.state.records))
    await controller.service.switch_profile(name, chance.choice(("training", "inference")))


async def replace_one(controller: Controller, chance: random.Random) -> None:
    name = chance.choice(sorted(controller.state.records))
    await controller.service.delete_corridor(name)


ACTIONS: tuple[tuple[Action, int], ...] = (
    (cut, 5),
    (mend, 3),
    (away, 3),
    (back, 3),
    (power_cycle, 2),
    (switch, 5),
    (replace_one, 1),
)


@pytest.mark.parametrize("seed", range(2))
async def test_after_a_storm_everything_stands(controller: Controller, database: str, seed: int) -> None:
    chance = random.Random(seed)
    await _build(controller)
    await asyncio.gather(*await _storm(controller, chance, 40))
    await _stands(controller, database, chance)


@pytest.mark.parametrize("seed", range(2))
async def test_a_storm_may_take_controllers_with_it(network: SimulatedNetwork, database: str, seed: int) -> None:
    chance = random.Random(seed)
    controller = await Controller(network, database).start()
    await controller.bootstrapped()
    await _build(controller)
    for _ in range(3):
        for call in await _storm(controller, chance, 12):
            call.cancel()
        await controller.stop()
        controller = await Controller(network, database).start()
    await _stands(controller, database, chance)
    await controller.stop()


async def _storm(controller: Controller, chance: random.Random, length: int) -> list[asyncio.Task[None]]:
    """So many blows; what is returned are the calls that are not answered yet."""
    for device in controller.network.devices.values():
        device.delay_s = chance.choice((0, 0.002, 0.01))
    under_way: list[asyncio.Task[None]] = []
    for _ in range(length):
        (act,) = chance.choices([a for a, _ in ACTIONS], [weight for _, weight in ACTIONS])
        if act in (switch, replace_one):
            if controller.state.records:
                under_way.append(asyncio.create_task(_tolerant(act, controller, chance)))
        else:
            await act(controller, chance)
        await asyncio.sleep(chance.choice((0, 0.01, 0.05)))
    return under_way


async def _stands(controller: Controller, database: str, chance: random.Random) -> None:
    await mend(controller, chance)
    await back(controller, chance)
    await controller.bootstrapped()
    records = controller.state.records
    await until(lambda: all(_well(r.corridor.state, r.stage) for r in records.values()), f"all stand: {records}", 20)
    await controller.in_line()
    _carries(controller)
    _books(controller, database)
    assert not controller.links_not(Status.UP)


async def _build(controller: Controller) -> None:
    for number, (a, z) in enumerate(PAIRS):
        for isolation in Isolation:
            fields = {"isolation": isolation, "priority": number}
            asked = corridor(a, z, **fields)
            # Hard takes IPv4, soft IPv6: both between the same two ports.
            family = "ipv6_prefixes" if isolation is Isolation.HARD else "ipv4_prefixes"
            asked = replace(asked, a_end=replace(end(a), **{family: ()}), z_end=replace(end(z), **{family: ()}))
            made = await controller.service.create_corridor(PARENT, f"{isolation.lower()}-{number}", asked)
            await controller.settled(made.name)


async def _tolerant(act: Action, controller: Controller, chance: random.Random) -> None:
    with suppress(Refused):
        await act(controller, chance)


def _any(controller: Controller, chance: random.Random) -> SimulatedDevice:
    return controller.network.devices[chance.choice(sorted(controller.network.devices))]


def _well(state: State, stage: Stage) -> bool:
    return stage is Stage.SETTLED and state is State.UP


def _carries(controller: Controller) -> None:
    """Every policy's channel comes out at a router: nothing is steered into the dark."""
    for device in controller.network.devices.values():
        if device.kind is NodeKind.ROUTER:
            for policy in policies(device):
                assert controller.network.reaches(device.name, channel_of_policy(device, policy))


def _books(controller: Controller, database: str) -> None:
    """The ledger in the database is the sum of what the corridors hold, beside what trails and servers take."""
    held: dict[RowKey, tuple[int, int]] = {}
    for record in controller.state.records.values():
        for claim in claims_of(record):
            bitmap, kbps = held.get(claim.row, (0, 0))
            assert not bitmap & claim.bitmap, f"two hold slots of {claim.row}"
            held[claim.row] = bitmap | claim.bitmap, kbps + claim.kbps
    for link, server, direction, bitmap, kbps, _version in dump(database)["ledger"]:
        if server != "line":
            assert (int(bitmap, 16), kbps) == held.get(RowKey(link, server, direction), (0, 0))
