"""A move that is refused and given up: what it never touched is not waited for, and another try comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from running_controller import Controller, corridor
from simulated_network import SimulatedNetwork
from simulated_otn import SimulatedOtnNode
from small_domain import ring
from waiting import until

from controller.core.entries import SlotAssignment
from controller.core.model import Protection, Reservation
from controller.core.names import short
from controller.core.otn import LINE

NAME = "tenants/default/corridors/c1"


@pytest.fixture
async def controller(database: str) -> AsyncIterator[Controller]:
    running = await Controller(SimulatedNetwork.wired(ring()), database, stage_timeout_s=0.5).start(ring())
    await running.bootstrapped()
    yield running
    await running.stop()


def route(controller: Controller) -> list[str]:
    return [short(link) for link in controller.state.records[NAME].corridor.legs[0].links]


def conditions(controller: Controller) -> set[str]:
    return {each.type for each in controller.state.records[NAME].corridor.conditions if each.status}


async def stands(controller: Controller) -> None:
    port = next(node for node in ring().nodes if short(node.name) == "tz-r").access_ports[0].name
    wanted = corridor(z=f"tz-r:{port}", reservation=Reservation.ACTIVE, protection=Protection.RESTORE)
    await controller.service.create_corridor("tenants/default", "c1", wanted)
    await controller.settled(NAME)


def refuses_slices(node: SimulatedOtnNode) -> None:
    node.refuses = lambda change: isinstance(change.entry, SlotAssignment) and change.entry.server != LINE


async def test_a_restoration_refused_once_is_tried_again_though_the_old_route_is_dead(controller: Controller) -> None:
    """The whole node between died. Neither its size nor its entries are anything that the given-up move changed."""
    await stands(controller)
    old = route(controller)
    dead, other = ("yz-o", "cp-o") if "F-zgc-yz" in old else ("cp-o", "yz-o")
    refuses_slices(controller.network.otn(other))
    controller.network.otn(dead).disconnect()
    for fibre in old:
        controller.network.cut(fibre)
    await until(lambda: "RolledBack" in conditions(controller), "the move is given up")
    controller.network.otn(other).refuses = lambda _change: False
    await until(lambda: route(controller) != old, "another is begun")


async def test_a_move_that_is_given_up_asks_no_handshake_of_the_cut_route(controller: Controller) -> None:
    await stands(controller)
    old = route(controller)
    refuses_slices(controller.network.otn("cp-o" if "F-zgc-yz" in old else "yz-o"))
    for fibre in old:
        controller.network.cut(fibre)
    await until(lambda: "RolledBack" in conditions(controller), "the move is given up")
    await controller.settled(NAME)
    assert all(not controller.network.otn(name).commands for name in ("zgc-o", "yz-o", "tz-o", "cp-o"))
