"""A slice over three fibres, seen at every node that holds it, and in the ledger."""

from __future__ import annotations

from typing import Any

from running_controller import Controller, corridor, dump
from simulated_otn import SimulatedOtnNode

from controller.core.entries import SlotAssignment
from controller.core.model import Corridor, Reservation, ResizeState
from controller.core.names import short
from controller.core.otn import LINE

NAME = "tenants/default/corridors/c1"
SMALL, LARGE = 3, 11
"""Slots of 20 and 100 Mbit/s in packets of 1400 bytes."""
Held = dict[str, tuple[tuple[int, ...], list[int]]]


async def stands(controller: Controller, **fields: Any) -> Corridor:
    """Over three fibres and four OTN nodes."""
    wanted = corridor(**{"reservation": Reservation.ACTIVE, **fields})
    await controller.service.create_corridor("tenants/default", "c1", wanted)
    await controller.settled(NAME)
    assert len(now(controller).legs[0].slices[0].hops) == 3
    return now(controller)


async def switch(controller: Controller, profile: str) -> None:
    await controller.service.switch_profile(NAME, profile)
    await controller.settled(NAME)


def now(controller: Controller) -> Corridor:
    return controller.state.records[NAME].corridor


def conditions(controller: Controller) -> dict[str, str]:
    return {c.type: c.message for c in now(controller).conditions if c.status}


def resize_state(controller: Controller) -> ResizeState:
    return now(controller).legs[0].slices[0].resize_state


def slice_id(controller: Controller) -> int:
    return now(controller).legs[0].slices[0].id


def nodes(controller: Controller) -> list[SimulatedOtnNode]:
    """Of the slice, A to Z."""
    return [controller.network.otn(f"{site}-o") for site in ("zgc", "cp", "tz", "yz")]


def held(controller: Controller) -> Held:
    """Per node and port of the slice: slots reserved, and how many of them carry it each way."""
    number = slice_id(controller)
    return {
        f"{node.name}:{slots.line_port}": (slots.slots, list(node.sizes[number]))
        for node in nodes(controller)
        for slots in node.slots_of(number)
    }


def all_have(controller: Controller, count: int) -> None:
    """Reserved and carrying, at each end of each fibre; the ledger says the same."""
    here = held(controller)
    assert len(here) == 6
    assert {(len(slots), *sizes) for slots, sizes in here.values()} == {(count, count, count)}
    assert not controller.differences()
    books_agree(controller)


def books_agree(controller: Controller) -> None:
    """What the nodes hold of every server is what the ledger in the database says, to the slot."""
    for link, server, _, bitmap, _, _ in dump(controller.database)["ledger"]:
        if server in (LINE, ""):
            continue
        cable = controller.network.cables[short(link)]
        for node, port in (cable.a, cable.z):
            entries = (e for e in controller.network.devices[node].entries.values() if isinstance(e, SlotAssignment))
            slots = [slot for e in entries if (e.line_port, e.server) == (port, server) for slot in e.slots]
            assert len(slots) == len(set(slots)), "no slot is held twice"
            assert sum(1 << slot - 1 for slot in slots) == int(bitmap, 16), f"{node} port {port} {server}"
