"""Whatever happens to the network: no corridor is told to be up on a dead path, and none down on a whole one.

Judged by the simulated network itself, by the entries that devices hold and the fibres that are lit.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from running_controller import Controller, corridor
from simulated_network import SimulatedNetwork, channel_of_policy, policies
from small_domain import ring
from waiting import until

from controller.core.errors import Refused
from controller.core.model import Corridor, Isolation, Protection, State, Status
from controller.core.names import short

FIBRES = tuple(short(link.name) for link in ring().links if short(link.name).startswith("F-"))
NODES = tuple(short(node.name) for node in ring().nodes)
CORRIDORS: dict[str, dict[str, Any]] = {
    "hard": {"isolation": Isolation.HARD},
    "soft": {"isolation": Isolation.SOFT},
    "fixed": {"isolation": Isolation.HARD, "protection": Protection.UNPROTECTED},
}
PREFIXES = {"hard": ("10.81.0.0/24",), "soft": ("10.82.0.0/24",), "fixed": ("10.83.0.0/24",)}
STEPS = ("cut", "cut", "mend", "vanish", "return", "empty", "switch", "wait")


async def stands(controller: Controller) -> None:
    port = next(node for node in ring().nodes if short(node.name) == "tz-r").access_ports[0].name
    for name, fields in CORRIDORS.items():
        wanted = corridor(z=f"tz-r:{port}", **fields)
        a = replace(wanted.a_end, ipv4_prefixes=PREFIXES[name], ipv6_prefixes=())
        z = replace(wanted.z_end, ipv6_prefixes=())
        await controller.service.create_corridor("tenants/default", name, replace(wanted, a_end=a, z_end=z))
    await controller.settled(*controller.state.records)


def told(controller: Controller, name: str) -> Corridor:
    return controller.state.records[f"tenants/default/corridors/{name}"].corridor


async def happens(controller: Controller, step: str, number: int) -> None:
    network, fibre, node = controller.network, FIBRES[number % len(FIBRES)], NODES[number % len(NODES)]
    match step:
        case "cut":
            network.cut(fibre)
        case "mend":
            network.mend(fibre)
        case "vanish":
            network[node].disconnect()
        case "return":
            network[node].connect()
        case "empty":
            network[node].restart_empty()
        case "switch":
            name = tuple(CORRIDORS)[number % len(CORRIDORS)]
            profile = ("training", "inference")[told(controller, name).active_profile == "training"]
            try:
                await controller.service.switch_profile(f"tenants/default/corridors/{name}", profile)
            except Refused as refusal:
                event(f"switch refused: {refusal.reason}")
        case _:
            await controller.rounds(2)


def whole(controller: Controller, name: str) -> bool:
    """Every fibre under the path that it is said to have is lit, in the network itself."""
    links = controller.state.topology.links
    fibres = {fibre for link in told(controller, name).legs[0].links for fibre in links[link].trail or (link,)}
    return not any(controller.network.cables[short(fibre)].cut for fibre in fibres)


def carries(controller: Controller, name: str) -> bool:
    """Both headends' policies lead to the far router, over what is lit, by what devices hold."""
    record = controller.state.records[f"tenants/default/corridors/{name}"]
    if record.target is None or record.target.slice is None:
        return whole(controller, name)
    found = []
    for here, there in ((record.target.a_end, record.target.z_end), (record.target.z_end, record.target.a_end)):
        device = controller.network.devices[here.node]
        channels = {channel_of_policy(device, policy) for policy in policies(device)}
        mine = [each for each in channels if each >> 8 & 0xFFFFFFFF == record.target.slice.id]
        found.append([controller.network.reaches(device.name, each) for each in mine] == [there.node])
    return all(found)


def truthful(controller: Controller) -> bool:
    states = {name: told(controller, name).state for name in CORRIDORS}
    quiet = not any(told(controller, name).reconciling for name in CORRIDORS)
    return quiet and all((states[name] is State.UP) is carries(controller, name) for name in CORRIDORS)


def judged(controller: Controller) -> bool:
    cables = controller.network.cables
    return all((controller.link(fibre) is Status.DOWN) is cables[fibre].cut for fibre in FIBRES)


async def run(database: str, history: list[tuple[str, int]]) -> None:
    controller = await Controller(SimulatedNetwork.wired(ring()), database, stage_timeout_s=0.3).start(ring())
    try:
        await controller.bootstrapped()
        await stands(controller)
        assert truthful(controller)
        for step, number in history:
            await happens(controller, step, number)
        for device in controller.network.devices.values():
            if not device.connected:
                device.connect()
        await until(lambda: judged(controller), "every fibre is judged")
        await until(lambda: truthful(controller), "what is told is so")
        assert all(
            bool({c.type for c in told(controller, name).conditions} & {"PathLost"})
            is (told(controller, name).state is State.DOWN)
            for name in CORRIDORS
        ), "who is down says why, and nobody else does"
        event(f"states: {sorted(str(told(controller, name).state) for name in CORRIDORS)}")
    finally:
        await controller.stop()


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 23)), min_size=1, max_size=7))
def test_no_corridor_is_up_on_a_dead_path_nor_down_on_a_whole_one(history: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(f"sqlite:///{Path(directory) / 'corridor.db'}", history))
