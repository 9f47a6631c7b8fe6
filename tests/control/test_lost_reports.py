"""Who says how a protected corridor is carried falls silent and comes back, or knows of what no link shows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from headends import (
    NAME,
    A,
    Headend,
    Z,
    conditions,
    cut_path,
    degraded,
    fibres,
    now,
    paths,
    protected,
    watching,
    whole,
)
from running_controller import METRO, Controller, corridor, load
from simulated_network import SimulatedNetwork
from small_domain import ring
from waiting import until

from controller import restoration
from controller.core.errors import Conflict
from controller.core.model import Isolation, Protection, State, Status
from controller.core.names import short
from controller.drivers.device import Selector

LOOKED_S = 0.5
"""Far more than a look at one corridor takes, and than the hold-off before it."""


@pytest.fixture
def network() -> SimulatedNetwork:
    return watching(load(METRO))


@pytest.fixture
def ends(network: SimulatedNetwork) -> tuple[Headend, Headend]:
    return Headend(network, A), Headend(network, Z)


async def lost(controller: Controller, *nodes: str) -> None:
    """Their control streams, for long enough to be looked at."""
    for node in nodes:
        controller.network[node].disconnect()
    await known(controller, Status.UNREACHABLE, *nodes)
    await asyncio.sleep(LOOKED_S)


async def known(controller: Controller, status: Status, *nodes: str) -> None:
    names = [controller.network[node].name for node in nodes]
    await until(lambda: {controller.state.topology.nodes[name].status for name in names} == {status}, status.value)


async def back(controller: Controller, *nodes: str) -> None:
    for node in nodes:
        controller.network[node].connect()
    await known(controller, Status.UP, *nodes)
    await asyncio.sleep(LOOKED_S)


def stands(controller: Controller) -> tuple[State, dict[str, str]]:
    return now(controller).state, conditions(controller)


async def test_a_switched_corridor_is_not_whole_because_its_headends_are_silent(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    """Nor when they are back and say the same as before."""
    await protected(controller)
    for end in ends:
        end.says(path=False, on_backup=True)
    await degraded(controller, "ProtectionSwitched", "SIGNAL_FAIL")
    said = stands(controller)
    await lost(controller, A, Z, "tz-r")
    await back(controller, "tz-r")  # each node that comes back has the failed looked at
    assert stands(controller) == said
    await back(controller, A, Z)
    for end in ends:
        end.says(path=False, on_backup=True)
    await asyncio.sleep(LOOKED_S)
    assert stands(controller) == said
    for end in ends:
        end.says()
    await whole(controller)


async def test_a_whole_corridor_stays_up_while_its_headends_are_silent(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    await protected(controller)
    await lost(controller, A, Z)
    assert stands(controller) == (State.UP, {})
    cut_path(controller, 1)
    await degraded(controller, "ProtectionLost", "ROUTE_DOWN")
    await back(controller, A, Z)
    await degraded(controller, "ProtectionLost", "ROUTE_DOWN")


async def test_reports_that_come_before_the_node_counts_as_up_are_heard(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    await protected(controller)
    await lost(controller, A, Z)
    for end in ends:
        end.says(path=False, on_backup=True)
    await asyncio.sleep(LOOKED_S)
    assert stands(controller) == (State.UP, {})
    await back(controller, A, Z)
    await degraded(controller, "ProtectionSwitched", "SIGNAL_FAIL")


async def test_a_switched_slice_is_not_whole_because_its_line_cards_are_silent(controller: Controller) -> None:
    """What they say is lost with their nodes; the routers answer all the while."""
    made = await controller.service.create_corridor(
        "tenants/default", "c1", corridor(protection=Protection.PROTECT, isolation=Isolation.HARD)
    )
    await controller.settled(made.name)
    await whole(controller)
    number = now(controller).legs[0].slices[0].id

    def say() -> None:
        for node in ("zgc-o", "yz-o"):
            controller.restoration.selector_moved(
                controller.network[node].name, Selector(number, True, False, True, "SIGNAL_FAIL")
            )

    say()
    await degraded(controller, "ProtectionSwitched", "SIGNAL_FAIL")
    said = stands(controller)
    await lost(controller, "zgc-o", "yz-o", "tz-r")
    await back(controller, "tz-r")
    assert stands(controller) == said
    say()
    await back(controller, "zgc-o", "yz-o")
    assert stands(controller) == said


async def test_a_path_that_headends_find_dead_is_not_what_is_left(database: str) -> None:
    """In a ring there are two: one is cut, the other one brings nothing although its links are up."""
    network = watching(ring())
    controller = await Controller(network, database).start(ring())
    try:
        await controller.bootstrapped()
        await protected(controller)
        standing = now(controller).legs
        ends = Headend(network, A), Headend(network, Z)
        for end in ends:
            end.says(path=False, on_backup=True)
        await degraded(controller, "ProtectionSwitched", "SIGNAL_FAIL")
        cut_path(controller, 1)
        await until(lambda: now(controller).state is State.DOWN, "nothing carries it")
        await asyncio.sleep(LOOKED_S)
        assert (stands(controller), now(controller).legs) == ((State.DOWN, {"PathLost": "SIGNAL_FAIL"}), standing)
        for end in ends:
            end.says(backup=False)
        await until(lambda: now(controller).state is not State.DOWN, "the path brings something again")
        assert paths(controller)[0] == standing[0].links
    finally:
        await controller.stop()


@pytest.mark.parametrize("isolation", [Isolation.SOFT, Isolation.HARD])
async def test_priority_counts_for_a_protected_corridor_that_lost_both_ways(
    controller: Controller, isolation: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not held off: line cards and headends have nothing to switch to."""
    monkeypatch.setattr(restoration, "HOLD_OFF_S", 2.0)
    for name, protection in (("high", Protection.PROTECT), ("low", Protection.RESTORE)):
        shape = corridor(isolation=isolation, protection=protection, priority=7 * (name == "high"))
        prefix = {"high": "10.81.0.0/24", "low": "10.82.0.0/24"}[name]
        a = replace(shape.a_end, ipv4_prefixes=(prefix,), ipv6_prefixes=())
        wanted = replace(shape, a_end=a, z_end=replace(shape.z_end, ipv6_prefixes=()))
        await controller.service.create_corridor("tenants/default", name, wanted)
        await controller.settled(f"tenants/default/corridors/{name}")
    await asyncio.sleep(restoration.HOLD_OFF_S)  # what stands now has been looked at
    leaving = _ways(controller, "high") + _ways(controller, "low")
    heard = controller.state.watch()
    for fibre in sorted({sorted(way)[0] for way in leaving}):
        controller.network.cut(short(fibre))
    moved: dict[str, float] = {}
    clock = asyncio.get_running_loop().time
    start = clock()
    async with asyncio.timeout(20):
        while len(moved) < 2:
            event = await heard.get()
            if event.corridor.reconciling or event.corridor.state is State.DOWN:
                moved.setdefault(short(event.corridor.name), clock() - start)
    assert list(moved) == ["high", "low"], moved
    assert moved["high"] < restoration.HOLD_OFF_S, moved


def _ways(controller: Controller, name: str) -> list[set[str]]:
    """Fibres of each slice, or of each path."""
    (leg,) = controller.state.records[f"tenants/default/corridors/{name}"].corridor.legs
    if leg.slices:
        return [{hop.link for hop in part.hops} for part in leg.slices]
    return [fibres(controller, links) for links in (leg.links, *([leg.backup.links] if leg.backup else []))]


async def test_a_controller_that_leads_no_longer_asks_the_store_with_a_pause(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    await protected(controller)
    commit_all, tries = controller.store.commit_all, 0

    async def fenced(*_: Any) -> Any:
        nonlocal tries
        tries += 1
        raise Conflict("another controller has taken over", reason="FENCED")

    commit = controller.store.commit
    controller.store.commit = fenced  # type: ignore[method-assign]
    controller.store.commit_all = fenced  # type: ignore[method-assign]
    ends[0].says(path=False, on_backup=True)
    await until(lambda: tries > 0, "it asks")
    await asyncio.sleep(LOOKED_S)
    asked = tries
    controller.store.commit, controller.store.commit_all = commit, commit_all  # type: ignore[method-assign]
    assert asked <= 2, "at most one for each of its ends within a pause"
    assert NAME in controller.state.records
