"""The controller dies, at any instant, and another starts on its database: nothing is written that stands already."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from running_controller import DOMAIN, Controller, corridor, until
from simulated_network import SimulatedNetwork, channel_of_policy, policies

from controller.core.errors import Conflict
from controller.core.model import CorridorEvent, Isolation, Profile, Stage, State, Status
from controller.state import NetworkState
from controller.store import Store

NAME = "tenants/default/corridors/c1"


class Dying(Store):
    """A store whose process dies when so many commits are in."""

    commits = 0
    last = 10**9
    died: asyncio.Event

    async def commit(self, *args: Any, **kwargs: Any) -> CorridorEvent:
        event = await super().commit(*args, **kwargs)
        self.commits += 1
        if self.commits == self.last:
            self.died.set()
            await asyncio.Event().wait()
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


Change = Callable[[Controller], Awaitable[object]]


async def _create(controller: Controller) -> None:
    await controller.service.create_corridor("tenants/default", "c1", corridor())


async def _grow(controller: Controller) -> None:
    await controller.service.switch_profile(NAME, "training")


async def _delete(controller: Controller) -> None:
    await controller.service.delete_corridor(NAME)


async def _move(controller: Controller) -> None:
    controller.network.cut("F-zgc-yz")


CHANGES: dict[str, Change] = {"create": _create, "grow": _grow, "delete": _delete, "move": _move}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("commits", [1, 2, 3, 4])
async def test_a_crash_after_any_commit_is_resumed(
    network: SimulatedNetwork, database: str, kind: str, commits: int
) -> None:
    first = await _stands(network, database, kind)
    assert isinstance(first.store, Dying)
    first.store.last = first.store.commits + commits
    victim = asyncio.create_task(CHANGES[kind](first))  # type: ignore[arg-type]
    await asyncio.wait_for(first.store.died.wait(), 10)
    victim.cancel()
    await first.stop()
    await _ends_well(network, database, kind)


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("written", [1, 3, 7])
async def test_a_crash_after_any_write_is_resumed(
    network: SimulatedNetwork, database: str, kind: str, written: int
) -> None:
    first = await _stands(network, database, kind)
    network.stall_after = len(network.writes) + written
    victim = asyncio.create_task(CHANGES[kind](first))  # type: ignore[arg-type]
    await asyncio.wait_for(network.stalled.wait(), 10)
    victim.cancel()
    await first.stop()
    network.stall_after = None
    await _ends_well(network, database, kind)


async def _stands(network: SimulatedNetwork, database: str, kind: str) -> Controller:
    controller = await Controller(network, database, store_type=Dying).start()
    assert isinstance(controller.store, Dying)
    controller.store.died = asyncio.Event()
    await controller.bootstrapped()
    if kind != "create":
        await _create(controller)
        await controller.settled(NAME)
    return controller


async def _ends_well(network: SimulatedNetwork, database: str, kind: str) -> None:
    """In the new state: the change was stored before any device heard of it."""
    second = await Controller(network, database).start()
    gone = kind == "delete"
    await until(lambda: not second.links_not(Status.UP) or kind == "move", "links are up")
    if kind == "move":
        away = lambda: _link("F-zgc-yz") not in second.state.records[NAME].corridor.legs[0].links  # noqa: E731
        await until(away, "the corridor has moved")
    await until(lambda: (NAME not in second.state.records) is gone, "it is there, or gone")
    await second.settled(NAME)
    await second.in_line()
    if not gone:
        record = second.state.records[NAME]
        assert (record.stage, record.corridor.state) == (Stage.SETTLED, State.UP)
        assert record.corridor.active_profile == ("training" if kind == "grow" else "inference")
        router = network["zgc-r"]
        sinks = {network.reaches(router.name, channel_of_policy(router, policy)) for policy in policies(router)}
        assert sinks == {network["yz-r"].name}
    await second.stop()
    writes = len(network.writes)
    third = await Controller(network, database).start()
    await third.in_line()
    await third.rounds(3)
    assert network.writes[writes:] == []
    await third.stop()


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
