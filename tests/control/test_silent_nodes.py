"""Nodes that fall silent while a corridor changes: it stands on its new path, and is changed and restored again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from running_controller import DOMAIN, METRO, Controller, corridor, dump, load
from simulated_device import Write
from simulated_network import SimulatedNetwork
from small_domain import SITES, part_of, ring
from waiting import until

from controller.core.entries import CrossConnect, Operation, TableEntry
from controller.core.hitless import Occasion
from controller.core.model import Corridor, EventType, Isolation, PathConstraints, State
from controller.core.names import short
from controller.core.plan import interrupting
from controller.core.records import claims_of

NAME = "tenants/default/corridors/c1"
FROM_YZ = "F-tz-yz"


@pytest.fixture
async def controller(database: str) -> AsyncIterator[Controller]:
    running = await Controller(SimulatedNetwork.wired(ring()), database, stage_timeout_s=0.5).start(ring())
    await running.bootstrapped()
    yield running
    await running.stop()


def now(controller: Controller) -> Corridor:
    return controller.state.records[NAME].corridor


def conditions(controller: Controller) -> dict[str, str]:
    return {each.type: each.reason for each in now(controller).conditions if each.status}


def route(controller: Controller) -> list[str]:
    return [short(link) for link in now(controller).legs[0].links]


async def stands(controller: Controller, **fields: Any) -> list[str]:
    """From zgc to tz, by yz or by cp; the route that it got."""
    port = next(node for node in ring().nodes if short(node.name) == "tz-r").access_ports[0].name
    await controller.service.create_corridor("tenants/default", "c1", corridor(z=f"tz-r:{port}", **fields))
    await controller.settled(NAME)
    return route(controller)


def between(path: list[str]) -> tuple[str, str]:
    """The OTN node in the middle of a route from zgc to tz, and that of the other."""
    return ("yz-o", "cp-o") if any("yz" in fibre for fibre in path) else ("cp-o", "yz-o")


def falls_silent_when_steered(controller: Controller, node: str) -> None:
    """Once a headend has turned to the new path."""

    def look(write: Write) -> None:
        entry = write.entry
        if isinstance(entry, TableEntry) and entry.table == "policy" and write.change.operation is Operation.MODIFY:
            controller.network[node].disconnect()

    controller.network.watchers.append(look)


async def moved_away(controller: Controller, path: list[str]) -> None:
    away = PathConstraints(exclude_links=(f"{DOMAIN}/links/{path[0]}",))
    await controller.service.update_corridor(corridor(name=NAME, path_constraints=away), ("path_constraints",))


def held(controller: Controller) -> set[str]:
    """Fibres on which the ledger has slots of the corridor."""
    return {short(claim.row.link) for claim in claims_of(controller.state.records[NAME])}


async def test_a_node_that_is_silent_in_clean_is_named_and_waited_for_by_nobody(controller: Controller) -> None:
    old = await stands(controller)
    middle, _ = between(old)
    falls_silent_when_steered(controller, middle)
    await moved_away(controller, old)
    await until(lambda: conditions(controller).get("Draining") == "NODE_SILENT", "one node is waited for")
    (told,) = [each for each in now(controller).conditions if each.type == "Draining"]
    assert f"{DOMAIN}/nodes/{middle}" in told.message
    assert (now(controller).state, now(controller).reconciling) == (State.UP, False)
    assert set(route(controller)).isdisjoint(old)
    assert held(controller) == {*route(controller), *old}, "both fibres end at the silent node"
    await controller.service.switch_profile(NAME, "training")
    await controller.settled(NAME)
    assert (now(controller).state, now(controller).active_profile) == (State.UP, "training")
    assert "Draining" in conditions(controller), "another change is no answer of the silent node"
    assert held(controller) == {*route(controller), *old}
    controller.network.watchers.clear()
    controller.network[middle].connect()
    await until(lambda: not conditions(controller), "it has let go")
    assert held(controller) == set(route(controller))
    await controller.in_line()


async def test_a_corridor_that_goes_is_gone_when_the_silent_node_has_let_go(
    controller: Controller, database: str
) -> None:
    books = [row[:-1] for row in dump(database)["ledger"]]
    middle, _ = between(await stands(controller))
    controller.network[middle].disconnect()
    await controller.service.delete_corridor(NAME)
    await until(lambda: conditions(controller).get("Draining") == "NODE_SILENT", "one node is waited for")
    assert now(controller).state is State.DELETING
    assert [row[:-1] for row in dump(database)["ledger"]] != books
    assert (await controller.service.delete_corridor(NAME)).state is State.DELETING
    controller.network[middle].connect()
    await until(lambda: NAME not in controller.state.records, "it is gone")
    assert [row[:-1] for row in dump(database)["ledger"]] == books
    await controller.in_line()


async def test_what_a_silent_node_holds_is_remembered_by_the_next_controller(
    controller: Controller, database: str
) -> None:
    old = await stands(controller)
    middle, _ = between(old)
    falls_silent_when_steered(controller, middle)
    await moved_away(controller, old)
    await until(lambda: "Draining" in conditions(controller), "one node is waited for")
    await controller.stop()
    controller.network.watchers.clear()
    await controller.start(ring())
    assert held(controller) >= set(old)
    await until(lambda: not conditions(controller), "it has let go")
    assert held(controller) == set(route(controller))
    await controller.in_line()


async def test_a_node_that_dies_with_its_fibres_during_a_switch_does_not_keep_it_down(controller: Controller) -> None:
    old = await stands(controller)
    middle, _ = between(old)
    controller.network[middle].disconnect()
    await controller.service.switch_profile(NAME, "training")
    for fibre in old:
        controller.network.cut(fibre)
    await until(lambda: set(route(controller)).isdisjoint(old) and now(controller).state is State.UP, "it is restored")
    await until(lambda: "Draining" in conditions(controller), "the dead node is waited for")
    assert held(controller) >= set(old)
    controller.network[middle].connect()
    await until(lambda: "Draining" not in conditions(controller), "it has let go")
    assert held(controller) == set(route(controller))


async def test_a_corridor_is_up_when_its_traffic_is_steered_not_when_the_rest_is_gone(controller: Controller) -> None:
    old = await stands(controller)
    middle, _ = between(old)
    switch = controller.network[middle]
    switch.refuses = lambda change: change.operation is Operation.DELETE and isinstance(change.entry, CrossConnect)
    for fibre in old:
        controller.network.cut(fibre)
    await until(lambda: now(controller).state is State.UP and set(route(controller)).isdisjoint(old), "it is up")
    assert now(controller).reconciling
    assert "PathLost" not in conditions(controller)
    await until(lambda: conditions(controller).get("Blocked") == "DeviceRejected", "what is refused is told")
    tries = switch.reads
    await controller.rounds(8)
    assert switch.reads - tries < 8, "and not asked without a pause"
    switch.refuses = lambda _change: False
    await controller.settled(NAME)
    assert (now(controller).state, conditions(controller)) == (State.UP, {})


async def test_a_silent_headend_keeps_nobody_on_two_dead_paths(controller: Controller) -> None:
    """Which of them it sends over cannot be known, and need not be."""
    old = await stands(controller)
    falls_silent_when_steered(controller, "tz-r")
    controller.network.cut(old[0])
    await until(lambda: "Blocked" in conditions(controller), "the headend is waited for")
    new = route(controller)
    assert set(new).isdisjoint(old)
    assert now(controller).state is State.DOWN, "one way is not known to be carried"
    controller.network.cut(new[0])
    await until(lambda: not now(controller).reconciling, "nothing is waited for any more")
    assert (now(controller).state, "PathLost" in conditions(controller)) == (State.DOWN, True)
    controller.network.watchers.clear()
    controller.network.mend(old[0])
    controller.network["tz-r"].connect()
    await until(lambda: route(controller) == old and now(controller).state is State.UP, "it is back on the first")
    await controller.settled(NAME)
    await until(lambda: set(conditions(controller)) <= {"RolledBack"}, "nothing is left of the other")
    assert held(controller) == set(old)
    await controller.in_line()


async def test_a_dead_site_that_only_leftovers_name_can_leave_the_topology_file(
    controller: Controller, database: str
) -> None:
    old = await stands(controller)
    middle, _ = between(old)
    falls_silent_when_steered(controller, middle)
    await moved_away(controller, old)
    await until(lambda: "Draining" in conditions(controller), "one node is waited for")
    await controller.stop()
    site = middle.removesuffix("-o")
    less = part_of(load(METRO), [each for each in SITES if each != site])
    after = Controller(SimulatedNetwork.wired(less), database, stage_timeout_s=0.5)
    await after.start(less)
    await after.bootstrapped()
    assert conditions(after) == {}
    assert not after.state.records[NAME].leftovers
    assert held(after) == set(route(after))
    stored = (await after.store.load()).records[NAME]
    assert stored.leftovers == (), "nor does another start find them"
    await after.stop()
    await controller.start(ring())


@pytest.mark.parametrize("lost", ["end", "middle"])
@pytest.mark.parametrize("isolation", [Isolation.HARD, Isolation.SOFT])
async def test_a_deletion_from_a_dead_path_ends_and_dead_sites_can_leave_the_file(
    controller: Controller, database: str, isolation: Isolation, lost: str
) -> None:
    old = await stands(controller, isolation=isolation)
    for node in ("zgc-r", "zgc-o"):
        controller.network[node].disconnect()
    for fibre in ("F-zgc-yz", "F-zgc-cp"):
        controller.network.cut(fibre)
    await until(lambda: now(controller).state is State.DOWN, "its path is lost")
    await controller.service.delete_corridor(NAME)
    await until(lambda: "Draining" in conditions(controller), "only silent nodes are waited for")
    assert "Blocked" not in conditions(controller)
    if isolation is Isolation.HARD:
        await until(lambda: held(controller) == {"F-zgc-yz", "F-zgc-cp"} & set(old), "what is alive is free")
    await until(lambda: "tz-r" not in now(controller).conditions[-1].message, "the end that answers has let go")
    await controller.stop()
    gone = "zgc" if lost == "end" else between(old)[0].removesuffix("-o")
    less = part_of(load(METRO), [each for each in SITES if each != gone])
    network = SimulatedNetwork.wired(less)
    for node in {"zgc-r", "zgc-o"} & {short(each.name) for each in less.nodes}:
        network[node].connect = lambda: None  # type: ignore[method-assign]
    after = Controller(network, database, stage_timeout_s=0.5)
    await after.start(less)
    assert NAME not in after.state.records
    assert not [key for key in after.state.snapshot().ids.assigned if NAME in key.owner]
    assert NAME not in (await after.store.load()).records
    await after.stop()
    await controller.start(ring())


async def test_a_silent_headend_may_still_send_at_its_rate_over_the_path_that_was_given_up(
    controller: Controller,
) -> None:
    old = await stands(controller, isolation=Isolation.SOFT)
    first = soft_rates(controller)
    falls_silent_when_steered(controller, "tz-r")
    controller.network.cut("F-zgc-yz" if any("yz" in each for each in old) else "F-zgc-cp")
    await until(lambda: "Blocked" in conditions(controller), "the headend is waited for")
    controller.network.cut("F-zgc-cp" if any("yz" in each for each in old) else "F-zgc-yz")
    await until(lambda: not now(controller).reconciling, "nothing is waited for any more")
    assert first
    assert first.items() <= soft_rates(controller).items(), "nobody else is promised what it may send"
    controller.network.watchers.clear()
    controller.network["tz-r"].connect()
    await until(lambda: "Draining" not in conditions(controller), "it has let go")
    assert set(soft_rates(controller)) == {(each, way) for each in route(controller) for way in (0, 1)}


def soft_rates(controller: Controller) -> dict[tuple[str, int], int]:
    """By adjacency and direction, in kbit/s."""
    claims = claims_of(controller.state.records[NAME])
    return {(short(claim.row.link), claim.row.direction): claim.kbps for claim in claims}


@pytest.mark.parametrize("died", ["later", "while the old path goes"])
async def test_a_path_that_dies_before_it_is_built_in_the_place_of_the_old_keeps_nobody_down(
    controller: Controller, died: str
) -> None:
    old = await stands(controller)
    _, other = between(old)
    record = controller.state.records[NAME]
    away = PathConstraints(exclude_links=(f"{DOMAIN}/links/{old[0]}",))
    wanted = replace(record.corridor, path_constraints=away, allow_interruption=True)
    async with controller.progress.undisturbed(NAME):
        change = interrupting(controller.state.snapshot(), wanted)
        assert change.record.then is not None
        new = [short(link) for link in change.record.then.leg.links]
        controller.network[other].disconnect()
        if died == "while the old path goes":
            controller.network.cut(new[0])
        await controller.progress.begin(change, EventType.UPDATED, Occasion.OWNER)
    if died == "later":
        both = {"Blocked", "Interrupted"}
        await until(lambda: both <= conditions(controller).keys(), "the silent node is waited for")
        controller.network.cut(new[0])
    await until(lambda: not now(controller).reconciling, "it is waited for no more")
    assert now(controller).state is State.DOWN
    assert "PathLost" in conditions(controller)
    assert conditions(controller).keys().isdisjoint({"Blocked", "Interrupted"})
    await controller.service.update_corridor(
        corridor(name=NAME, path_constraints=PathConstraints()), ("path_constraints",)
    )
    await until(lambda: route(controller) == old and now(controller).state is State.UP, "another path is found")
    controller.network[other].connect()
    await until(lambda: not now(controller).reconciling and not conditions(controller), "the silent node has let go")
    assert held(controller) == set(old)
    await controller.in_line()
