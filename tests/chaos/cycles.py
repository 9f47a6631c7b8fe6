"""Changes of each kind that lead back to where they began, to kill controllers in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crash_points import Change
from lives import Act
from running_controller import DOMAIN, Controller, corridor, end

from controller.core.model import Corridor, Isolation, PathConstraints, Profile, Protection, Reservation

PARENT = "tenants/default"
NAME = f"{PARENT}/corridors/c1"
AVOID = tuple(f"{DOMAIN}/links/{name}" for name in ("F-zgc-yz", "F-cp-tz"))
LARGE = 900_000
"""kbit/s that take 95 slots: two fit an ODU1 of 238, a third does not."""


def created(number: int = 1, **fields: Any) -> Act:
    async def act(controller: Controller) -> Corridor:
        return await controller.service.create_corridor(PARENT, f"c{number}", corridor(**fields))

    return act


def changed(**fields: Any) -> Act:
    async def act(controller: Controller) -> Corridor:
        wanted = replace(controller.state.records[NAME].corridor, etag="", **fields)
        return await controller.service.update_corridor(wanted, tuple(fields))

    return act


def switched(profile: str) -> Act:
    async def act(controller: Controller) -> Corridor:
        return await controller.service.switch_profile(NAME, profile)

    return act


def deleted(number: int = 1) -> Act:
    async def act(controller: Controller) -> Corridor:
        return await controller.service.delete_corridor(f"{PARENT}/corridors/c{number}")

    return act


def cut(fibre: str) -> Act:
    async def act(controller: Controller) -> None:
        controller.network.cut(fibre)

    return act


def mended(fibre: str) -> Act:
    async def act(controller: Controller) -> None:
        controller.network.mend(fibre)

    return act


async def defragmented(controller: Controller) -> None:
    await controller.service.defragment("domains/-/topology", 5)


def profiles(inference: int, training: int) -> tuple[Profile, ...]:
    return Profile("inference", inference), Profile("training", training)


def large(number: int) -> Act:
    async def act(controller: Controller) -> Corridor:
        ends = {each: end(where, dscp=number) for each, where in (("a_end", "zgc-r:campus"), ("z_end", "yz-r:dc"))}
        wanted = replace(corridor(), profiles=(Profile("only", LARGE),), active_profile="only", **ends)
        return await controller.service.create_corridor(PARENT, f"c{number}", wanted)

    return act


Cycle = tuple[list[Change], list[Change]]
"""What stands before, and the changes."""


def life(isolation: Isolation) -> Cycle:
    fields = {"isolation": isolation, "reservation": Reservation.ACTIVE}
    base = [Change("create", created(**fields)), Change("delete", deleted())]  # the tenant keeps its ids
    return base, [
        Change("create", created(**fields)),
        Change("switch up", switched("training")),
        Change("switch down", switched("inference")),
        Change("delete", deleted()),
    ]


def resizes(isolation: Isolation) -> Cycle:
    base = [Change("create", created(isolation=isolation, reservation=Reservation.ACTIVE))]
    return base, [
        Change("grow", changed(profiles=profiles(60_000, 100_000))),
        Change("shrink", changed(profiles=profiles(20_000, 100_000))),
    ]


def protection(isolation: Isolation) -> Cycle:
    base = [Change("create", created(isolation=isolation, reservation=Reservation.ACTIVE))]
    return base, [
        Change("protect on", changed(protection=Protection.PROTECT)),
        Change("grow both", switched("training")),
        Change("shrink both", switched("inference")),
        Change("protect off", changed(protection=Protection.RESTORE)),
    ]


def moves(isolation: Isolation) -> Cycle:
    base = [Change("create", created(isolation=isolation))]
    return base, [
        Change("move", changed(path_constraints=PathConstraints(exclude_links=AVOID[:1]))),
        Change("move back", changed(path_constraints=PathConstraints(exclude_links=AVOID[1:]))),
        Change("forget", changed(path_constraints=PathConstraints())),
    ]


def restorations(isolation: Isolation) -> Cycle:
    base = [Change("create", created(isolation=isolation))]
    return base, [
        Change("restore", cut("F-zgc-yz")),
        Change("mend", mended("F-zgc-yz")),
        Change("restore back", cut("F-cp-tz")),
        Change("mend back", mended("F-cp-tz")),
    ]


def defragmentations() -> Cycle:
    base = [Change("first", large(1))]
    return base, [
        Change("second", large(2), dies=False),
        Change("third", large(3), dies=False),
        Change("second leaves", deleted(2), dies=False),
        Change("defragment", defragmented),
        Change("third leaves", deleted(3), dies=False),
    ]
