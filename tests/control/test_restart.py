"""The controller dies, at any instant, and another starts on its database: nothing is written that stands already."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from running_controller import DOMAIN, METRO, Controller, corridor, dump
from simulated_network import SimulatedNetwork
from sqlalchemy.ext.asyncio import AsyncEngine
from waiting import until

from controller.core.errors import Conflict, Invalid
from controller.core.model import Container, CorridorEvent, Isolation, Profile, Stage, State, Status
from controller.core.names import short
from controller.core.topology import Topology
from controller.state import NetworkState
from controller.store import Store
from controller.topology_file import TopologyFile, load

NAME = "tenants/default/corridors/c1"


class Dying(Store):
    """A store whose process dies when so many commits are in."""

    commits = 0
    last = 10**9
    died: asyncio.Event

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self.grave = asyncio.Event()

    async def commit(self, *args: Any, **kwargs: Any) -> CorridorEvent:
        event = await super().commit(*args, **kwargs)
        self.commits += 1
        if self.commits == self.last:
            self.died.set()
            await self.grave.wait()
            raise asyncio.CancelledError
        return event


async def test_a_restart_writes_nothing_to_any_device(network: SimulatedNetwork, database: str) -> None:
    first = await Controller(network, database).start()
    await first.bootstrapped()
    await first.service.create_corridor("tenants/default", "c1", corridor())
    soft = corridor("ft-r:office", "cp-r:dc", isolation=Isolation.SOFT)
    await first.service.create_corridor("tenants/default", "c2", soft)
    await first.settled(NAME, "tenants/default/corridors/c2")
    records = dict(first.state.records)
    await first.stop()
    writes = len(network.writes)
    second = await Controller(network, database).start()
    await second.bootstrapped()
    await second.rounds(5)
    assert network.writes[writes:] == []
    assert dict(second.state.records) == records
    assert second.epoch == first.epoch + 1
    await second.stop()


async def test_a_restart_with_a_fibre_cut_writes_nothing_either(network: SimulatedNetwork, database: str) -> None:
    """Routes must not go back to a trail that is dead only because its death is not known yet."""
    first = await Controller(network, database).start()
    await first.bootstrapped()
    network.cut("F-zgc-yz")
    await until(lambda: set(first.links_not(Status.UP)) == {_link("F-zgc-yz"), _link("A-zgc-yz")}, "it is down")
    await until(lambda: sum(down for *_, down in dump(database)["wiring"]) == 2, "that is stored")
    await first.in_line()
    await first.stop()
    writes = len(network.writes)
    second = await Controller(network, database).start()
    await until(lambda: second.link("F-zgc-yz") is Status.DOWN, "the cut is found again")
    await until(lambda: set(second.links_not(Status.UP)) == {_link("F-zgc-yz"), _link("A-zgc-yz")}, "the rest is up")
    await second.rounds(3)
    assert network.writes[writes:] == []
    await second.stop()


async def test_a_fibre_cut_while_nobody_looked_is_found_and_restored(network: SimulatedNetwork, database: str) -> None:
    first = await Controller(network, database).start()
    await first.bootstrapped()
    await first.service.create_corridor("tenants/default", "c1", corridor())
    await first.settled(NAME)
    await first.stop()
    network.cut("F-zgc-yz")
    second = await Controller(network, database).start()
    await until(lambda: second.link("F-zgc-yz") is second.link("A-zgc-yz") is Status.DOWN, "the cut is found")
    moved = second.state.records
    await until(lambda: _link("F-zgc-yz") not in moved[NAME].corridor.legs[0].links, "the corridor moves")
    await second.settled(NAME)
    assert moved[NAME].corridor.state is State.UP
    await second.in_line()
    await second.stop()


@pytest.mark.parametrize(("commits", "stage"), [(1, Stage.BUILD), (2, Stage.STEER)])
async def test_a_crash_while_a_slice_has_two_branches_is_resumed(
    network: SimulatedNetwork, database: str, commits: int, stage: Stage
) -> None:
    """Nobody knows the size then, and no line card can be asked to change it: the move goes on, and nothing is forced.

    Nodes have the new branch already when the controller dies in STEER.
    """
    first = await Controller(network, database, store_type=Dying).start()
    await first.bootstrapped()
    await first.service.create_corridor("tenants/default", "c1", corridor("sg-r:dc", "tz-r:cell"))
    await first.settled(NAME)
    (old,) = first.state.records[NAME].corridor.legs[0].slices
    store = first.store
    assert isinstance(store, Dying)
    store.died, store.last = asyncio.Event(), store.commits + commits

    async def cut(controller: Controller) -> None:
        controller.network.cut(short(old.hops[1].link))

    await _dies(first, cut, store.died)
    commands = [list(node.commands) for node in network.otn_nodes]
    second = await Controller(network, database).start()
    record = second.state.records[NAME]
    assert record.stage is stage
    assert [part.id for part in record.corridor.legs[0].slices] == [old.id], "it branches off"
    assert record.corridor.legs[0].slices[0].hops[-1] == old.hops[-1] != old.hops[1]
    await second.settled(NAME)
    after = second.state.records[NAME].corridor
    assert (after.state, after.legs, after.conditions) == (State.UP, record.corridor.legs, ())
    await second.in_line()
    assert [node.commands for node in network.otn_nodes] == commands
    assert not any(node.forced for node in network.otn_nodes)
    await second.stop()


async def _dies(controller: Controller, change: Callable[[Controller], Awaitable[object]], died: asyncio.Event) -> None:
    victim = asyncio.ensure_future(change(controller))
    async with asyncio.timeout(10):
        await died.wait()
    victim.cancel()
    assert isinstance(controller.store, Dying)
    controller.store.grave.set()
    await controller.stop()
    await asyncio.wait({victim})


async def test_a_stale_controller_can_claim_nothing(network: SimulatedNetwork, database: str) -> None:
    """A second one started on the same database; the first does not know yet that it is no longer the one."""
    first = await Controller(network, database).start()
    await first.bootstrapped()
    second = await Store.open(database)
    await second.raise_epoch()
    state = await NetworkState.restore(second, first.state.topology, first.clock)
    with pytest.raises(Conflict):
        await first.service.create_corridor("tenants/default", "c1", corridor(profiles=(Profile("inference", 1),)))
    assert NAME not in first.state.records
    assert not (await second.load()).records
    await state.reconciler.close()
    await second.close()
    await first.stop()


def _link(name: str) -> str:
    return f"{DOMAIN}/links/{name}"


@pytest.mark.parametrize("lost", ["fibre", "server"])
async def test_a_file_that_lost_what_a_corridor_stands_on_is_refused(
    network: SimulatedNetwork, database: str, lost: str
) -> None:
    first = await Controller(network, database).start()
    await first.bootstrapped()
    made = await first.service.create_corridor("tenants/default", "c1", corridor())
    await first.settled(NAME)
    await first.stop()
    fibre, plan = made.legs[0].links[0], load(METRO)
    links = [replace(each, servers=()) if each.name == fibre else each for each in plan.links]
    if lost == "fibre":
        links = [each for each in links if each.name != fibre and fibre not in each.trail]
    store = await Store.open(database)
    planned = Topology.planned(DOMAIN, plan.srv6_block, plan.nodes, links)
    with pytest.raises(Invalid, match=f"{NAME} stands on .*{fibre}"):
        await NetworkState.restore(store, planned, lambda: datetime.now(UTC))
    await store.close()


@pytest.mark.parametrize(
    ("kbps", "old", "slots", "now", "more", "fits"),
    [
        (900_000, Container.ODUC, 20, Container.ODU4, 80, False),  # an ODU2 in two slots of 5G, or eight of 1.25G
        (900_000, Container.ODU2, 8, Container.ODU4, 80, True),  # an ODU1 takes two in either
        (4_000_000, Container.ODUC, 20, Container.ODU4, 80, False),  # one slot of 5G does it, and one of 1.25G not
        (2_400_000, Container.ODU4, 80, Container.ODU2, 8, False),  # two slots of 1.296, of 1.244 Gbit/s not
        (2_400_000, Container.ODU2, 8, Container.ODU4, 80, True),
    ],
)
async def test_a_file_with_another_line_where_as_many_slots_carry_less_is_refused(
    network: SimulatedNetwork,
    database: str,
    kbps: int,
    old: Container,
    slots: int,
    now: Container,
    more: int,
    fits: bool,
) -> None:
    def lines(kind: Container, count: int) -> TopologyFile:
        plan = load(METRO)
        links = [
            replace(each, line=kind, line_slots=count, servers=()) if each.name == _link("F-zgc-yz") else each
            for each in plan.links
        ]
        return replace(plan, links=tuple(links))

    first = await Controller(network, database).start(lines(old, slots))
    await first.bootstrapped()
    wanted = corridor(profiles=(Profile("all", kbps),), active_profile="all")
    made = await first.service.create_corridor("tenants/default", "c1", wanted)
    assert made.legs[0].links == (_link("F-zgc-yz"),)
    await first.settled(NAME)
    await first.stop()
    store, plan = await Store.open(database), lines(now, more)
    planned = Topology.planned(DOMAIN, plan.srv6_block, plan.nodes, plan.links)
    if fits:
        await (await NetworkState.restore(store, planned, lambda: datetime.now(UTC))).reconciler.close()
    else:
        with pytest.raises(Invalid, match=f"{NAME} stands on .*F-zgc-yz.* of another line than {now}"):
            await NetworkState.restore(store, planned, lambda: datetime.now(UTC))
    await store.close()
