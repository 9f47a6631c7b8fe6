"""When light goes out: corridors move before anything is taken away, or say why they cannot."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from running_controller import DOMAIN, Controller, corridor
from simulated_network import SimulatedNetwork, Write, channel_of_policy, policies
from waiting import until

from controller import progress
from controller.core.entries import CrossConnect, Operation, TableEntry
from controller.core.errors import Conflict
from controller.core.model import Corridor, CorridorEvent, Isolation, Profile, Protection, State, Status

NAME = "tenants/default/corridors/c1"
DIRECT = f"{DOMAIN}/links/F-zgc-yz"


async def stands(controller: Controller, name: str = "c1", **fields: Any) -> Corridor:
    answer = await controller.service.create_corridor("tenants/default", name, corridor(**fields))
    await controller.settled(answer.name)
    return await controller.service.get_corridor(answer.name)


def now(controller: Controller) -> Corridor:
    return controller.state.records[NAME].corridor


async def moved(controller: Controller, away_from: str) -> None:
    await until(
        lambda: away_from not in now(controller).legs[0].links and not now(controller).reconciling,
        f"the corridor leaves {away_from}",
    )


def carried(network: SimulatedNetwork, headend: str) -> list[str | None]:
    device = network[headend]
    return [network.reaches(device.name, channel_of_policy(device, policy)) for policy in policies(device)]


@pytest.mark.parametrize("silently", [False, True])
async def test_a_cut_fibre_moves_a_hard_corridor_make_before_break(
    controller: Controller, silently: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "DRAIN_MARGIN_S", 0.1)  # longer than anything else here
    network = controller.network
    before = await stands(controller)
    assert before.legs[0].links == (DIRECT,)
    start = len(network.writes)
    network.cut("F-zgc-yz", silently=silently)
    await moved(controller, DIRECT)
    assert now(controller).state is State.UP
    assert not now(controller).conditions
    for headend, far in (("zgc-r", "yz-r"), ("yz-r", "zgc-r")):
        assert carried(network, headend) == [network[far].name] * 2
    old, new = before.legs[0], now(controller).legs[0]
    _make_before_break(network.writes[start:], old.slices[0].id, new.slices[0].id, 0.1 + 2 * old.latency_us / 1e6)
    await controller.in_line()


def _make_before_break(writes: list[Write], old: int, new: int, drain_s: float) -> None:
    """`drain_s`: what is still on the old path when the traffic leaves it takes so long to arrive, and more."""
    crosses = [w for w in writes if isinstance(w.entry, CrossConnect)]
    built = [w for w in crosses if w.entry.slice_id == new]
    taken = [w for w in crosses if w.entry.slice_id == old]
    steered = [w for w in writes if isinstance(w.entry, TableEntry) and w.entry.table == "policy"]
    assert {w.change.operation for w in built} == {Operation.INSERT}
    assert {w.change.operation for w in steered} == {Operation.MODIFY}
    assert {w.change.operation for w in taken} == {Operation.DELETE}
    assert max(w.confirmed for w in built) < min(w.sent for w in steered)
    assert max(w.confirmed for w in steered) < min(w.sent for w in taken)
    assert min(w.at_s for w in taken) - max(w.at_s for w in steered) > drain_s


async def test_a_silent_cut_takes_three_missed_probes(controller: Controller) -> None:
    network = controller.network
    network.cut("F-zgc-yz", silently=True)
    await controller.rounds(1)
    assert controller.link("F-zgc-yz") is Status.UP
    await until(lambda: controller.link("F-zgc-yz") is Status.DOWN, "three probes are missed")
    assert controller.link("A-zgc-yz") is Status.DOWN
    assert controller.link("F-zgc-ft") is Status.UP


async def test_a_soft_corridor_moves_to_other_adjacencies(controller: Controller) -> None:
    before = await stands(controller, isolation=Isolation.SOFT)
    controller.network.cut("F-zgc-yz")
    await moved(controller, before.legs[0].links[0])
    assert now(controller).state is State.UP
    await controller.in_line()
    assert controller.link("A-zgc-yz") is Status.DOWN


async def test_no_path_is_down_with_a_reason_and_up_after_the_mend(controller: Controller) -> None:
    await stands(controller, z="sg-r:dc")
    for fibre in ("F-ft-sg", "F-sg-zgc"):
        controller.network.cut(fibre)
    await until(lambda: now(controller).state is State.DOWN and not now(controller).reconciling, "it is down")
    await until(lambda: _reason(controller) == "NO_PATH", "it says why")
    standing = {name: device.own() for name, device in controller.network.devices.items()}
    controller.network.mend("F-ft-sg")
    await until(lambda: now(controller).state is State.UP and not now(controller).reconciling, "it is up again")
    assert not now(controller).conditions
    assert carried(controller.network, "zgc-r") == [controller.network["sg-r"].name] * 2
    assert standing  # what it had was left alone while there was nothing better
    await controller.in_line()


async def test_an_unprotected_corridor_stays_on_its_path_and_returns(controller: Controller) -> None:
    before = await stands(controller, protection=Protection.UNPROTECTED)
    controller.network.cut("F-zgc-yz")
    await until(lambda: now(controller).state is State.DOWN, "it is down")
    assert _reason(controller) == "UNPROTECTED"
    await controller.rounds(3)
    assert now(controller).legs == before.legs
    controller.network.mend("F-zgc-yz")
    await until(lambda: now(controller).state is State.UP, "it is back")
    assert now(controller).legs == before.legs
    assert not now(controller).conditions


async def test_a_lost_client_link_takes_its_corridors_down_and_back(controller: Controller) -> None:
    await stands(controller)
    controller.network.cut("C-yz-r")
    await until(lambda: now(controller).state is State.DOWN, "nothing reaches the router")
    assert controller.link("A-zgc-yz") is Status.DOWN
    controller.network.mend("C-yz-r")
    await until(lambda: now(controller).state is State.UP, "it is back")
    await controller.bootstrapped()


async def test_a_link_is_not_down_because_its_nodes_do_not_answer(controller: Controller) -> None:
    await stands(controller)
    standing = {name: device.own() for name, device in controller.network.devices.items()}
    writes = len(controller.network.writes)
    for name in ("yz-o", "yz-r", "ft-o"):
        controller.network[name].disconnect()
    await asyncio.sleep(0.5)  # three times what it takes to find a silent cut
    assert not controller.links_not(Status.UP)
    assert now(controller).state is State.UP
    assert {name: device.own() for name, device in controller.network.devices.items()} == standing
    for name in ("yz-o", "yz-r", "ft-o"):
        controller.network[name].connect()
    await controller.rounds(6)
    assert not controller.links_not(Status.UP)
    assert len(controller.network.writes) == writes


async def test_nothing_new_is_placed_on_a_node_that_does_not_answer(controller: Controller) -> None:
    controller.network["yz-o"].disconnect()  # which is on the fastest way
    topology = controller.state.topology
    gone = f"{DOMAIN}/nodes/yz-o"
    await until(lambda: controller.state.topology.nodes[gone].status is Status.UNREACHABLE, "it is known to be away")
    made = await stands(controller, z="tz-r:cell")
    assert made.state is State.UP
    by = {node for name in made.legs[0].links for node in (topology.links[name].a_node, topology.links[name].z_node)}
    assert gone not in by
    await controller.settled(made.name)


async def test_a_node_that_answers_again_is_a_way_out(controller: Controller) -> None:
    """No path while the only other way is unreachable; its return changes no link, and is used all the same."""
    await stands(controller, z="sg-r:dc")
    controller.network["ft-o"].disconnect()
    gone = f"{DOMAIN}/nodes/ft-o"
    await until(lambda: controller.state.topology.nodes[gone].status is Status.UNREACHABLE, "it is known to be away")
    controller.network.cut("F-sg-zgc")
    await until(lambda: now(controller).state is State.DOWN, "there is no path")
    controller.network["ft-o"].connect()
    await until(lambda: now(controller).state is State.UP and not now(controller).reconciling, "it is moved")


async def test_news_during_a_change_are_not_lost(controller: Controller) -> None:
    """The fibre goes out while the corridor is being built on it."""
    for device in controller.network.devices.values():
        device.delay_s = 0.02
    await controller.service.create_corridor("tenants/default", "c1", corridor())
    controller.network.cut("F-zgc-yz")
    await moved(controller, DIRECT)
    await until(lambda: now(controller).state is State.UP, "it is up elsewhere")
    await controller.in_line()


async def test_news_while_a_change_is_stored_are_not_lost(controller: Controller) -> None:
    """Planned on a path that goes dark before the plan is in the database."""
    commit = controller.store.commit

    async def slow(*args: Any) -> CorridorEvent:
        controller.store.commit = commit  # type: ignore[method-assign]
        controller.network.cut("F-zgc-yz")
        await until(lambda: controller.link("F-zgc-yz") is Status.DOWN, "the news is in")
        await controller.rounds(1)
        return await commit(*args)

    controller.store.commit = slow  # type: ignore[method-assign]
    made = await controller.service.create_corridor("tenants/default", "c1", corridor())
    assert made.legs[0].links == (DIRECT,)
    await moved(controller, DIRECT)
    await until(lambda: now(controller).state is State.UP, "it is up elsewhere")


async def test_the_highest_priority_is_restored_first(controller: Controller) -> None:
    """Room for one beside the other: the one with the higher priority gets it."""
    await _room_for_one(controller)
    controller.network.cut("F-sg-zgc")
    records = controller.state.records
    await until(lambda: records["tenants/default/corridors/c2"].corridor.state is State.UP, "the second is up")
    await until(lambda: records[NAME].corridor.state is State.DOWN and _reason(controller) == "NO_CAPACITY", "no room")
    await until(lambda: not records["tenants/default/corridors/c2"].corridor.reconciling, "it has moved")
    assert f"{DOMAIN}/links/F-ft-sg" in records["tenants/default/corridors/c2"].corridor.legs[0].links


@pytest.mark.parametrize("how", ["deleted", "shrunk"])
async def test_room_that_another_leaves_is_found(controller: Controller, how: str) -> None:
    """No fibre comes back and no node: only slots do."""
    await _room_for_one(controller)
    other, filler = "tenants/default/corridors/c2", "tenants/default/corridors/filler"
    controller.network.cut("F-sg-zgc")
    await until(lambda: _reason(controller) == "NO_CAPACITY", "no room")
    await controller.settled(other)
    if how == "deleted":
        await controller.service.delete_corridor(filler)
    else:
        record = controller.state.records[filler]
        small = replace(record.corridor, profiles=(Profile("all", 10_000),), etag="")
        await controller.service.update_corridor(small, ("profiles",))
    await until(lambda: now(controller).state is State.UP and not now(controller).reconciling, "it has moved")
    assert f"{DOMAIN}/links/F-ft-sg" in now(controller).legs[0].links
    assert not now(controller).conditions
    await controller.in_line()


async def _room_for_one(controller: Controller) -> None:
    """c1 and, with a higher priority, c2 on one fibre; others leave room for one of them on the way round.

    One has all tributary slots of the line that are free, the other half of its server.
    """
    wide = (Profile("all", 1_100_000),)
    for number, priority in ((1, 0), (2, 7)):
        a = corridor("sg-r:dc", "zgc-r:campus").a_end
        a = type(a)(a.node, a.port, (f"10.7.0.{16 * number}/28",), ())
        z = corridor("sg-r:dc", "zgc-r:campus").z_end
        z = type(z)(z.node, z.port, z.ipv4_prefixes, ())
        fields = {"a_end": a, "z_end": z, "profiles": wide, "active_profile": "all", "priority": priority}
        await stands(controller, f"c{number}", **fields)
    for name, prefix, kbps in (("wall", "10.7.0.64/28", 3_400_000), ("filler", "10.7.0.48/28", 1_100_000)):
        a = type(a)(f"{DOMAIN}/nodes/sg-r", "dc", (prefix,), ())
        z = corridor("sg-r:dc", "ft-r:office").z_end
        z = type(z)(z.node, z.port, z.ipv4_prefixes, ())
        profiles = (Profile("all", kbps),)
        filler = await stands(controller, name, a_end=a, z_end=z, profiles=profiles, active_profile="all")
        assert filler.legs[0].links == (f"{DOMAIN}/links/F-ft-sg",)


async def test_another_writer_is_not_raced(controller: Controller) -> None:
    """A second controller on the same database changed the ledger: asking again at once asks for the same answer."""
    await stands(controller)
    tries = 0

    async def refuse(*_: Any) -> CorridorEvent:
        nonlocal tries
        tries += 1
        raise Conflict("claimed by another writer", reason="CONCURRENT_CHANGE")

    commit, controller.store.commit = controller.store.commit, refuse  # type: ignore[method-assign]
    controller.network.cut("F-zgc-yz")
    await until(lambda: tries, "a move is tried")
    await asyncio.sleep(0.3)
    assert tries < 5
    controller.store.commit = commit  # type: ignore[method-assign]
    await moved(controller, DIRECT)


def _reason(controller: Controller) -> str:
    return next((c.reason for c in now(controller).conditions if c.type == "PathLost"), "")
