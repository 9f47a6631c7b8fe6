"""Devices that do not play along: away, empty, tampered with, or refusing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from running_controller import DOMAIN, Controller, corridor, dump
from simulated_network import edited, shapers
from waiting import until

from controller.core.entries import Change, CrossConnect, Exact, Operation, SliceMeter, SlotAssignment, TableEntry
from controller.core.errors import Conflict
from controller.core.model import Corridor, Leg, Reservation, ResizeState, Stage, State

NAME = "tenants/default/corridors/c1"


async def stands(controller: Controller, **fields: Any) -> Corridor:
    await controller.service.create_corridor("tenants/default", "c1", corridor(**fields))
    await controller.settled(NAME)
    return now(controller)


def now(controller: Controller) -> Corridor:
    return controller.state.records[NAME].corridor


def conditions(controller: Controller) -> dict[str, str]:
    return {c.type: c.reason for c in now(controller).conditions if c.status}


def ledger(database: str) -> list[tuple[Any, ...]]:
    """Without the versions."""
    return [row[:-1] for row in dump(database)["ledger"]]


@pytest.mark.parametrize("name", ["yz-o", "zgc-r"])
async def test_a_device_that_comes_back_empty_is_filled_again(controller: Controller, name: str) -> None:
    await stands(controller)
    held = controller.network[name].own()
    controller.network[name].restart_empty()
    await controller.bootstrapped()
    assert controller.network[name].own() == held
    assert now(controller).state is State.UP


async def test_foreign_entries_are_left_alone(controller: Controller) -> None:
    router, switch = controller.network["zgc-r"], controller.network["zgc-o"]
    theirs = TableEntry("route_v6", (("dst", Exact(1)), ("vrf", Exact(9))), "drop_route")
    router.plant_foreign(theirs)
    switch.plant_foreign(SliceMeter(0x7FFF_0000, 0, 1, 1))
    await stands(controller)
    await controller.service.delete_corridor(NAME)
    await controller.settled(NAME)
    assert router.foreign <= router.entries.keys()
    assert switch.foreign <= switch.entries.keys()


async def test_drift_is_repaired_after_the_next_read_back(controller: Controller) -> None:
    await stands(controller)
    router, switch = controller.network["zgc-r"], controller.network["zgc-o"]
    crossed = next(key for key, entry in switch.entries.items() if isinstance(entry, CrossConnect))
    del switch.entries[crossed]
    shaper = shapers(router)[0]
    router.entries[shaper.key] = edited(shaper, 1)
    stray = TableEntry("policy", (("policy", Exact(999)),), "encap_red_1")
    router.entries[stray.key] = stray
    for device in (router, switch):
        controller.state.reconciler.connected(device.name)  # what the periodic read-back does, sooner
    await controller.in_line()


def too_large(change: Change) -> bool:
    return isinstance(change.entry, SlotAssignment) and change.entry.server != "line" and len(change.entry.slots) > 3


@pytest.mark.parametrize("how", ["away", "reservation", "in band", "line card"])
async def test_a_change_that_a_device_blocks_is_rolled_back(controller: Controller, database: str, how: str) -> None:
    before = await stands(controller, reservation=Reservation.ACTIVE)
    booked, entries = ledger(database), controller.expected()
    slice_id = before.legs[0].slices[0].id
    switch = controller.network.otn("yz-o")
    cause = "DeviceUnreachable" if how in ("away", "line card") else "DeviceRejected"
    match how:
        case "away":
            switch.disconnect()
        case "reservation":
            switch.refuses = too_large
        case "in band":
            switch.rejects = lambda _slice, direction, count: (direction, count) == (1, 11)
        case _:
            switch.line_card = False
    try:
        await controller.service.switch_profile(NAME, "training")
    except Exception as refusal:  # noqa: BLE001 - the planner may refuse at once, which would test nothing
        pytest.fail(f"refused before it was tried: {refusal}")
    await until(lambda: conditions(controller).get("RolledBack") == cause, "the change is rolled back")
    if how == "away":
        switch.connect()
    if how == "line card":
        switch.line_card = True
    await controller.settled(NAME)
    await until(lambda: "Draining" not in conditions(controller), "who was silent has let go")
    after = now(controller)
    assert (after.state, after.stage, after.active_profile) == (State.UP, Stage.SETTLED, "inference")
    assert after.legs[0].slices[0].resize_state is ResizeState.MODIFY_FAILED
    assert without_resize_state(after) == without_resize_state(before)
    assert after.generation > before.generation
    assert after.etag != before.etag
    assert conditions(controller) == {"RolledBack": cause}, "the owner is told until the next change"
    assert ledger(database) == booked
    assert controller.expected() == entries
    await controller.in_line()
    assert all(node.sizes.get(slice_id, [3, 3]) == [3, 3] for node in controller.network.otn_nodes)
    switch.refuses, switch.rejects = lambda _change: False, lambda _slice, _direction, _count: False
    await controller.service.switch_profile(NAME, "training")
    await controller.settled(NAME)
    assert (now(controller).active_profile, conditions(controller)) == ("training", {})
    assert now(controller).legs[0].slices[0].resize_state is ResizeState.MODIFIED_OK
    assert [node.sizes[slice_id] for node in controller.network.otn_nodes if slice_id in node.sizes] == 2 * [[11, 11]]


def without_resize_state(corridor: Corridor) -> tuple[Leg, ...]:
    (leg,) = corridor.legs
    return (replace(leg, slices=tuple(replace(s, resize_state=ResizeState.NEVER) for s in leg.slices)),)


async def test_a_roll_back_holds_the_claims_until_the_blocking_device_has_let_go(
    controller: Controller, database: str
) -> None:
    """It may have got the new entries and lost only the answer."""
    await stands(controller, reservation=Reservation.ACTIVE)
    small = ledger(database)
    switch = controller.network["yz-o"]
    switch.disconnect()
    await controller.service.switch_profile(NAME, "training")
    large = ledger(database)
    assert large != small
    await until(lambda: "RolledBack" in conditions(controller), "the change is rolled back")
    await until(lambda: conditions(controller).get("Draining") == "NODE_SILENT", "one node is waited for")
    assert (now(controller).state, now(controller).reconciling) == (State.UP, False)
    assert ledger(database) == large
    switch.connect()
    await until(lambda: "Draining" not in conditions(controller), "it has let go")
    assert ledger(database) == small


async def test_a_refused_first_build_goes_on_until_it_holds(controller: Controller) -> None:
    def refuses(change: Change) -> bool:
        return isinstance(change.entry, CrossConnect) and change.operation is Operation.INSERT

    controller.network["yz-o"].refuses = refuses
    await controller.service.create_corridor("tenants/default", "c1", corridor())
    await until(lambda: conditions(controller) == {"Blocked": "DeviceRejected"}, "it says that it is blocked")
    assert now(controller).state is State.PROVISIONING
    other = await controller.service.create_corridor("tenants/default", "c2", corridor("ft-r:office", "sg-r:dc"))
    await controller.settled(other.name)  # what does not need the refused entries is not held up by them
    assert controller.state.records[other.name].corridor.state is State.UP
    controller.network["yz-o"].refuses = lambda _change: False
    await controller.settled(NAME)
    assert (now(controller).state, conditions(controller)) == (State.UP, {})


@pytest.mark.parametrize("cause", ["DeviceUnreachable", "DeviceRejected"])
async def test_a_corridor_that_cannot_be_built_can_be_deleted(
    controller: Controller, database: str, cause: str
) -> None:
    booked, entries = ledger(database), controller.expected()
    switch = controller.network["yz-o"]
    if cause == "DeviceRejected":
        switch.refuses = lambda change: change.operation is Operation.INSERT
    await controller.service.create_corridor("tenants/default", "c1", corridor())
    if cause == "DeviceUnreachable":
        switch.disconnect()
    await until(lambda: conditions(controller).get("Blocked") == cause, "the build is blocked")
    with pytest.raises(Conflict, match="etag"):
        await controller.service.delete_corridor(NAME, etag="old")
    controller.network.watchers.append(lambda write: steered.append(write.entry) if _steers(write.entry) else None)
    steered: list[object] = []
    going = await controller.service.delete_corridor(NAME)
    assert going.state is State.DELETING
    switch.connect()
    await controller.settled(NAME)
    assert NAME not in controller.state.records
    assert ledger(database) == booked
    assert controller.expected() == entries
    assert not steered, "what never stood never got traffic"
    await controller.in_line()


def _steers(entry: object) -> bool:
    return isinstance(entry, TableEntry) and entry.table.startswith("classifier")


async def test_a_refusing_device_is_not_hammered(controller: Controller) -> None:
    switch = controller.network["yz-o"]
    switch.refuses = lambda change: isinstance(change.entry, CrossConnect)
    await controller.service.create_corridor("tenants/default", "c1", corridor())
    await until(lambda: "Blocked" in conditions(controller), "the build is blocked")
    reads = switch.reads
    await asyncio.sleep(0.5)
    assert switch.reads - reads <= 5


async def test_a_change_while_another_is_stuck_is_told_so(controller: Controller) -> None:
    controller.network["yz-o"].refuses = lambda change: isinstance(change.entry, CrossConnect)
    await controller.service.create_corridor("tenants/default", "c1", corridor())
    with pytest.raises(Conflict) as refusal:
        await controller.service.switch_profile(NAME, "training")
    assert refusal.value.reason == "CHANGE_UNDER_WAY"


async def test_a_transient_refusal_is_waited_out(controller: Controller) -> None:
    """An OTN node whose line card restarts: not a reason to roll back."""
    await stands(controller)
    switch = controller.network["yz-o"]
    switch.transient = True
    tries = 0

    def refuses(change: Change) -> bool:
        nonlocal tries
        tries += 1
        return tries < 4

    switch.refuses = refuses
    controller.progress._stage_timeout_s = 5.0
    await controller.service.switch_profile(NAME, "training")
    await controller.settled(NAME)
    assert (now(controller).active_profile, conditions(controller)) == ("training", {})


async def test_a_move_that_is_refused_is_tried_again(controller: Controller) -> None:
    await stands(controller)
    ft = controller.network["ft-o"]
    trouble = True
    ft.refuses = lambda change: trouble and isinstance(change.entry, SliceMeter)
    controller.network.cut("F-zgc-yz")
    await until(lambda: "RolledBack" in conditions(controller), "the move is rolled back")
    await controller.settled(NAME)
    assert now(controller).state is State.DOWN, "its path is still cut"
    trouble = False
    await until(lambda: now(controller).state is State.UP and not now(controller).reconciling, "it is moved after all")
    assert f"{DOMAIN}/links/F-zgc-yz" not in now(controller).legs[0].links
    assert not conditions(controller)
    await controller.in_line()
