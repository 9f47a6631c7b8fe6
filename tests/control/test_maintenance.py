"""Drained nodes and links: what can moves off, nothing new comes, and what stays says why."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterator
from typing import Any

import networkx as nx
import pytest
from running_controller import DOMAIN, Controller, corridor, end
from simulated_network import SimulatedNetwork, channel_of_policy, policies
from waiting import until

from controller.core.entries import Operation
from controller.core.errors import Infeasible, NotFound
from controller.core.model import (
    Corridor,
    Isolation,
    Link,
    LinkKind,
    PathConstraints,
    Profile,
    Protection,
    State,
    Status,
)
from controller.core.names import short

FIBRE = f"{DOMAIN}/links/F-zgc-yz"
ADJACENCY = f"{DOMAIN}/links/A-zgc-yz"


def node(name: str) -> str:
    return f"{DOMAIN}/nodes/{name}"


def link(name: str) -> str:
    return f"{DOMAIN}/links/{name}"


def full(name: str) -> str:
    return f"tenants/default/corridors/{name}"


async def stands(controller: Controller, name: str = "c1", **fields: Any) -> Corridor:
    answer = await controller.service.create_corridor("tenants/default", name, corridor(**fields))
    await controller.settled(answer.name)
    return await controller.service.get_corridor(answer.name)


def marked(number: int, a: str = "zgc-r:campus", z: str = "yz-r:dc") -> dict[str, Any]:
    """Ends that are told apart from the same ends of others by a code point."""
    return {"a_end": end(a, dscp=number), "z_end": end(z, dscp=number)}


def path(controller: Controller, name: str = "c1") -> tuple[str, ...]:
    return controller.state.records[full(name)].corridor.legs[0].links


def reached(network: SimulatedNetwork, headend: str) -> list[str | None]:
    device = network[headend]
    return [network.reaches(device.name, channel_of_policy(device, policy)) for policy in policies(device)]


# -- an account of its own of what a corridor stands on ---------------------------------------------------------------


def below(controller: Controller, adjacency: Link) -> set[str]:
    links = controller.state.topology.links
    used = {adjacency.name, adjacency.a_node, adjacency.z_node}
    for name in adjacency.trail:
        used |= {name, links[name].a_node, links[name].z_node}
    for router in (adjacency.a_node, adjacency.z_node):
        used |= hanging(controller, router)
    return used


def hanging(controller: Controller, router: str) -> set[str]:
    """A router, its client link and its OTN node."""
    for each in controller.state.topology.links.values():
        if each.kind is LinkKind.CLIENT and router in (each.a_node, each.z_node):
            return {router, each.name, each.a_node, each.z_node}
    raise AssertionError(router)


def footprint(controller: Controller, name: str) -> set[str]:
    """Everything that it runs over, by its public face."""
    told = controller.state.records[name].corridor
    links = controller.state.topology.links
    used = hanging(controller, told.a_end.node) | hanging(controller, told.z_end.node)
    for leg in told.legs:
        for each in (*leg.links, *(hop.link for part in leg.slices for hop in part.hops)):
            found = links[each]
            used |= below(controller, found) if found.kind is LinkKind.ADJACENCY else {each, found.a_node, found.z_node}
    return used


def roads(controller: Controller, isolation: Isolation, without: Collection[str], ends: set[str]) -> nx.MultiGraph:
    """What is left of a layer: links without anything in or under them that is kept free, but for what ends need."""
    kind = LinkKind.FIBRE if isolation is Isolation.HARD else LinkKind.ADJACENCY
    graph = nx.MultiGraph()
    for each in controller.state.topology.of_kind(kind):
        used = below(controller, each) if kind is LinkKind.ADJACENCY else {each.name, each.a_node, each.z_node}
        if each.status is Status.UP and not (used & set(without)) - ends:
            graph.add_edge(each.a_node, each.z_node, key=each.name)
    return graph


def can_avoid(controller: Controller, name: str, without: Collection[str]) -> bool:
    """Whether any path at all joins its ends without these; capacity is plenty here."""
    told = controller.state.records[name].corridor
    ends = hanging(controller, told.a_end.node) | hanging(controller, told.z_end.node)
    if ends & set(without):
        return False
    graph = roads(controller, told.isolation, without, ends)
    a, z = told.a_end.node, told.z_end.node
    if told.isolation is Isolation.HARD:
        a, z = controller.state.topology.otn_of(a), controller.state.topology.otn_of(z)
    if a not in graph or z not in graph:
        return False
    if told.protection is Protection.PROTECT:
        return _disjoint(controller, graph, a, z)
    return bool(nx.has_path(graph, a, z))


def _disjoint(controller: Controller, graph: nx.MultiGraph, a: str, z: str) -> bool:
    """By brute force over simple paths: two without a common fibre or risk group."""
    links = controller.state.topology.links
    ways = [frozenset(key for *_, key in edges) for edges in nx.all_simple_edge_paths(graph, a, z, cutoff=7)]
    risks = [way | {("srlg", g) for name in way for g in links[name].srlgs} for way in ways]
    return any(one.isdisjoint(other) for index, one in enumerate(risks) for other in risks[:index])


# -- one thing at a time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", Isolation)
async def test_what_is_on_a_drained_fibre_moves_make_before_break(controller: Controller, isolation: Isolation) -> None:
    before = await stands(controller, isolation=isolation)
    assert FIBRE in footprint(controller, before.name)
    network, start = controller.network, len(controller.network.writes)
    answer = await controller.service.drain(FIBRE)
    assert (answer.name, answer.drained, answer.moved, answer.staying) == (FIBRE, True, (before.name,), ())
    assert FIBRE not in footprint(controller, before.name)
    await controller.settled(before.name)
    now = controller.state.records[before.name].corridor
    assert now.state is State.UP
    assert now.last_move is not None
    assert now.last_move.reason == "DRAINED"
    steered = [w for w in network.writes[start:] if getattr(w.entry, "table", "") == "policy"]
    assert steered
    assert {w.change.operation for w in steered} == {Operation.MODIFY}, "no packet finds its policy missing"
    if isolation is Isolation.HARD:
        assert reached(network, "zgc-r") == [network["yz-r"].name] * 2
    await controller.in_line()


async def test_nothing_new_is_placed_on_it_until_it_is_undrained(controller: Controller) -> None:
    assert (await controller.service.drain(FIBRE)).moved == ()
    for number, isolation in enumerate(Isolation, 1):
        await stands(controller, f"c{number}", isolation=isolation, **marked(number))
        assert FIBRE not in footprint(controller, full(f"c{number}"))
    answer = await controller.service.undrain(FIBRE)
    assert not answer.drained
    await stands(controller, "c3")
    assert path(controller, "c3") == (FIBRE,)
    assert path(controller, "c1") != (FIBRE,), "nothing moves back by itself"


async def test_a_drain_that_is_only_asked_about_changes_nothing_and_foretells(controller: Controller) -> None:
    await stands(controller, "c1")
    await stands(controller, "c2", **marked(9), isolation=Isolation.SOFT)
    writes, version = len(controller.network.writes), controller.state.topology.version
    told = await controller.service.drain(FIBRE, validate_only=True)
    assert (told.drained, told.moved, told.staying) == (False, (full("c1"), full("c2")), ())
    assert (len(controller.network.writes), controller.state.topology.version) == (writes, version)
    answer = await controller.service.drain(FIBRE)
    assert set(answer.moved) == set(told.moved)
    again = await controller.service.drain(FIBRE)
    assert (again.drained, again.moved, again.staying) == (True, (), ())


@pytest.mark.parametrize("thing", ["nodes/zgc-r", "nodes/zgc-o", "links/C-zgc"])
async def test_who_ends_there_stays_and_nobody_else_comes(controller: Controller, thing: str) -> None:
    standing = await stands(controller)
    name = f"{DOMAIN}/{thing}"
    if name not in footprint(controller, standing.name):  # however the file calls its client links
        (name,) = [each for each in hanging(controller, node("zgc-r")) if "/links/" in each]
    answer = await controller.service.drain(name)
    assert answer.moved == ()
    assert [(each.corridor, each.reason) for each in answer.staying] == [(standing.name, "ENDS_HERE")]
    with pytest.raises(Infeasible) as refused:
        await stands(controller, "c2", **marked(9))
    assert refused.value.reason == "DRAINED"
    assert refused.value.metadata["drained"] == name
    switched = await controller.service.switch_profile(standing.name, "training")
    await controller.settled(standing.name)
    assert switched.active_profile == "training", "who stays there keeps being served"


async def test_a_router_is_not_passed_while_it_is_drained(controller: Controller) -> None:
    """A soft corridor that passes a router leaves it, though the router's own fibres are in use."""
    standing = await stands(controller, isolation=Isolation.SOFT, z_end=end("tz-r:cell"))
    between = [each for each in standing.legs[0].nodes[1:-1] if controller.state.topology.nodes[each].kind]
    assert between, "it passes a router"
    answer = await controller.service.drain(between[0])
    if can_avoid(controller, standing.name, between[:1]):
        assert answer.moved == (standing.name,)
        assert between[0] not in controller.state.records[standing.name].corridor.legs[0].nodes
    else:
        assert [each.reason for each in answer.staying] == ["DRAINED"]


async def test_who_has_no_other_way_stays_with_the_reason_and_goes_on_working(controller: Controller) -> None:
    only = PathConstraints(include_links=(FIBRE,))
    standing = await stands(controller, path_constraints=only)
    answer = await controller.service.drain(FIBRE)
    assert [(each.corridor, each.reason) for each in answer.staying] == [(standing.name, "DRAINED")]
    assert FIBRE in answer.staying[0].message
    switched = await controller.service.switch_profile(standing.name, "training")
    await controller.settled(switched.name)
    now = controller.state.records[standing.name].corridor
    assert (now.state, now.active_profile, path(controller)) == (State.UP, "training", (FIBRE,))
    await controller.in_line()


async def test_refusals_blame_what_is_drained_where_that_alone_is_in_the_way(controller: Controller) -> None:
    """Every fibre of zgc but one is drained, and that one is excluded."""
    at = [
        each.name
        for each in controller.state.topology.of_kind(LinkKind.FIBRE)
        if node("zgc-o") in (each.a_node, each.z_node)
    ]
    for each in at:
        await controller.service.drain(each)
    with pytest.raises(Infeasible) as refused:
        await stands(controller)
    assert refused.value.reason == "DRAINED"
    assert refused.value.metadata["drained"] in at
    await controller.service.undrain(refused.value.metadata["drained"])
    await stands(controller)


async def test_a_protected_corridor_keeps_two_routes_off_it(controller: Controller) -> None:
    standing = await stands(controller, protection=Protection.PROTECT)
    hops = [{hop.link for hop in part.hops} for part in standing.legs[0].slices]
    for number in (0, 1):  # the working slice, and the one that protects it
        fibre = sorted(hops[number])[0]
        if not can_avoid(controller, standing.name, [fibre]):
            continue
        answer = await controller.service.drain(fibre)
        assert (answer.moved, answer.staying) == ((standing.name,), ())
        await controller.settled(standing.name)
        slices = controller.state.records[standing.name].corridor.legs[0].slices
        assert len(slices) == 2
        assert fibre not in {hop.link for part in slices for hop in part.hops}
        await controller.service.undrain(fibre)
        hops = [{hop.link for hop in part.hops} for part in slices]


async def test_strangers_are_not_drained(controller: Controller) -> None:
    for name in (node("moon"), link("moon"), "domains/moon/nodes/zgc-o", "nonsense"):
        for call in (controller.service.drain, controller.service.undrain):
            with pytest.raises(NotFound):
                await call(name)
    assert (await controller.service.drain("domains/-/links/F-zgc-yz")).name == FIBRE


async def test_the_view_says_what_is_drained_and_what_rides_on_it(controller: Controller) -> None:
    await controller.service.drain(FIBRE)
    view = await controller.service.get_topology(f"{DOMAIN}/topology")
    riders = {each.name for each in view.links if FIBRE in each.trail}
    assert riders
    assert {each.name for each in view.links if each.drained} == {FIBRE} | riders
    await controller.service.undrain(FIBRE)
    view = await controller.service.get_topology(f"{DOMAIN}/topology")
    assert not [each.name for each in view.links if each.drained]


# -- restarts, restoration, many at once ------------------------------------------------------------------------------


async def test_a_restart_remembers_and_writes_nothing(network: SimulatedNetwork, database: str) -> None:
    first = await Controller(network, database).start()
    await first.bootstrapped()
    standing = await stands(first)
    await first.service.drain(FIBRE)
    await first.settled(standing.name)
    await first.in_line()
    await first.stop()
    writes = len(network.writes)
    second = await Controller(network, database).start()
    await second.bootstrapped()
    assert FIBRE in second.state.topology.drained
    await stands(second, "c2", **marked(9))
    assert FIBRE not in footprint(second, full("c2"))
    about_c1 = [w for w in network.writes[writes:] if w.device == node("zgc-r") and "c1" in str(w.entry)]
    assert not about_c1
    await second.stop()


async def test_what_goes_down_is_not_restored_over_what_is_drained(controller: Controller) -> None:
    standing = await stands(controller)
    await controller.service.drain(FIBRE)
    await controller.settled(standing.name)
    taken = [short(each) for each in path(controller)]
    controller.network.cut(taken[0])
    await until(
        lambda: (
            link(taken[0]) not in path(controller)
            or controller.state.records[standing.name].corridor.state is State.DOWN
        ),
        "it is looked after",
    )
    assert FIBRE not in footprint(controller, standing.name)


async def test_an_end_of_maintenance_helps_who_was_down(controller: Controller) -> None:
    at = [
        each
        for each in controller.state.topology.of_kind(LinkKind.FIBRE)
        if node("zgc-o") in (each.a_node, each.z_node)
    ]
    standing = await stands(controller)
    (taken,) = path(controller)
    others = [each.name for each in at if each.name != taken]
    for name in others:
        await controller.service.drain(name)
    controller.network.cut(short(taken))

    def state() -> State:
        return controller.state.records[standing.name].corridor.state

    await until(lambda: state() is State.DOWN, "there is no other way")
    await controller.rounds(10)  # all that the cut brings with it is heard, and looked after
    for name in others:
        await controller.service.undrain(name)
    await until(lambda: state() is State.UP, "there is again")
    assert taken not in path(controller)


async def test_drains_of_two_things_at_once_and_changes_by_owners_come_to_one_end(controller: Controller) -> None:
    names = [f"c{number}" for number in range(1, 7)]
    for number, name in enumerate(names, 1):
        await stands(controller, name, **marked(number), priority=number)
    second = f"{DOMAIN}/links/F-zgc-ft"
    answers = await asyncio.gather(
        controller.service.drain(FIBRE),
        controller.service.drain(second),
        *(controller.service.switch_profile(full(name), "training") for name in names[:3]),
        return_exceptions=True,
    )
    faults = [each for each in answers if isinstance(each, BaseException)]
    assert not faults
    await controller.settled(*map(full, names))
    for name in names:
        assert not footprint(controller, full(name)) & {FIBRE, second}
        assert controller.state.records[full(name)].corridor.state is State.UP
    assert all(controller.state.records[full(n)].corridor.active_profile == "training" for n in names[:3])
    await controller.in_line()


async def test_undraining_ends_a_drain_under_way(controller: Controller) -> None:
    names = [f"c{number}" for number in range(1, 13)]
    for number, name in enumerate(names, 1):
        await stands(controller, name, **marked(number))
    draining = asyncio.create_task(controller.service.drain(FIBRE))
    await until(lambda: any(path(controller, name) != (FIBRE,) for name in names), "the first ones go")
    await controller.service.undrain(FIBRE)
    answer = await draining
    assert not answer.drained
    await controller.settled(*map(full, names))
    assert 0 < len(answer.moved) < len(names)
    await controller.in_line()


def drawn(seed: int) -> Iterator[dict[str, Any]]:
    """Corridors between pairs of ends of the metro, all small beside what there is."""
    dice = random.Random(seed)
    ends = ["zgc-r:campus", "yz-r:dc", "tz-r:cell"]
    for number in range(8):
        a, z = dice.sample(ends, 2)
        isolation = dice.choice(list(Isolation))
        kinds = [Protection.RESTORE, Protection.UNPROTECTED]
        protection = dice.choice([*kinds, Protection.PROTECT] if isolation is Isolation.HARD else kinds)
        profiles = {"profiles": (Profile("only", 10_000),), "active_profile": "only"}
        yield {
            **marked(number, a, z),
            **profiles,
            "isolation": isolation,
            "protection": protection,
            "priority": dice.randrange(8),
        }


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_has_another_way_leaves_and_nobody_else(controller: Controller, seed: int) -> None:
    """Against a search by brute force, whatever is drained and whatever was drained before."""
    dice = random.Random(seed)
    names = []
    for number, fields in enumerate(drawn(seed)):
        names.append((await stands(controller, f"c{number}", **fields)).name)
    things = [*controller.state.topology.nodes, *controller.state.topology.links]
    drained: list[str] = []
    for name in dice.sample(things, 4):
        on_it = {each for each in names if name in footprint(controller, each)}
        drained.append(name)
        free = {each for each in on_it if can_avoid(controller, each, drained)}
        answer = await controller.service.drain(name)
        assert {each.corridor for each in answer.staying} == on_it - free, (name, answer)
        assert set(answer.moved) == free
        await controller.settled(*names)
        for each in answer.moved:
            assert not footprint(controller, each) & {name}
            assert controller.state.records[each].corridor.state is State.UP
    await controller.in_line()


async def test_a_defragmentation_moves_nobody_who_stands_on_it(controller: Controller) -> None:
    """One of three that filled two servers leaves: what stays together would fit one, were it not drained."""
    large = {"profiles": (Profile("only", 900_000),), "active_profile": "only"}
    pinned = PathConstraints(include_links=(FIBRE,))
    for number in (1, 2, 3):
        await stands(controller, f"c{number}", **marked(number), **large, path_constraints=pinned)
    await controller.service.delete_corridor(full("c2"))
    await controller.settled(full("c2"))
    topology = f"{DOMAIN}/topology"
    assert (await controller.service.defragment(topology, 5, validate_only=True)).moves
    assert len((await controller.service.drain(FIBRE)).staying) == 2
    assert not (await controller.service.defragment(topology, 5)).moves
