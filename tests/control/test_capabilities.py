"""Routers that police and resolve nothing among others that shape: learnt at connection, before a word is written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
from running_controller import DOMAIN, Controller, corridor
from simulated_network import SimulatedNetwork, shapers
from sqlalchemy import create_engine, text

from controller.core.entries import MeterEntry, Operation, TableEntry
from controller.core.errors import FailedPrecondition, Infeasible
from controller.core.model import Capabilities, Corridor, Enforcement, Isolation, Protection, State

PLAIN = Capabilities(shaping=False, resolves_neighbors=False, fenced=False)
"""Such as a switch that runs the program itself."""
NAME = "tenants/default/corridors/c1"
ENDS = ("zgc-r", "yz-r")
OWN_ONLY = {"gateway", "host_v4", "host_v6", "icmp_limit"}
"""Tables and meters that nobody needs who resolves neighbours."""


@pytest.fixture
def network(network: SimulatedNetwork) -> SimulatedNetwork:
    network["yz-r"].capabilities = PLAIN
    return network


async def made(controller: Controller, **fields: object) -> Corridor:
    await controller.service.create_corridor("tenants/default", "c1", corridor(**fields))
    await controller.settled(NAME)
    return await controller.service.get_corridor(NAME)


def tables(network: SimulatedNetwork, router: str) -> set[str]:
    entries = network[router].own().values()
    return {
        e.table if isinstance(e, TableEntry) else e.meter for e in entries if isinstance(e, TableEntry | MeterEntry)
    }


def slice_rate(network: SimulatedNetwork, router: str) -> int:
    (meter,) = [each for each in shapers(network[router]) if each.meter == "slice_meter"]
    return meter.rate * 8


def enforced(shown: Corridor) -> tuple[Enforcement, Enforcement]:
    (leg,) = shown.legs
    return leg.forward_enforcement, leg.reverse_enforcement


@pytest.mark.parametrize("isolation", Isolation)
async def test_each_router_gets_what_it_is_able_to_do(controller: Controller, isolation: Isolation) -> None:
    shown = await made(controller, isolation=isolation)
    assert shown.state is State.UP
    network = controller.network
    assert tables(network, "yz-r") >= OWN_ONLY
    assert not tables(network, "zgc-r") & OWN_ONLY
    overhead = shown.legs[0].forward.overhead_bytes
    assert slice_rate(network, "zgc-r") == pytest.approx(20e6 * (1400 + overhead + 38) / 1400, abs=1000)
    assert slice_rate(network, "yz-r") == pytest.approx(20e6 * 1414 / 1400, abs=1000)
    assert not controller.differences()


async def test_owners_are_told_how_each_direction_is_held_to_its_profile(controller: Controller) -> None:
    watched = controller.service.watch_corridors("tenants/default", 0)
    asked = await controller.service.create_corridor("tenants/default", "c1", corridor(), validate_only=True)
    shown = await made(controller)
    (listed,), _ = await controller.service.list_corridors("tenants/-")
    event = await anext(watched)
    await watched.aclose()  # type: ignore[attr-defined]
    for each in (asked, shown, listed, event.corridor):
        assert enforced(each) == (Enforcement.SHAPED, Enforcement.POLICED)


async def test_the_topology_tells_what_routers_are_able_to_do(controller: Controller) -> None:
    view = await controller.service.get_topology("domains/-/topology")
    able = {node.name: node.capabilities for node in view.nodes}
    assert able[f"{DOMAIN}/nodes/yz-r"] == PLAIN
    assert able[f"{DOMAIN}/nodes/zgc-r"] == Capabilities()


async def test_a_restart_writes_nothing_to_a_router_of_any_kind(network: SimulatedNetwork, database: str) -> None:
    """What the routers can do is not stored: nothing may be judged by what they might be instead."""
    first = await Controller(network, database).start()
    await first.bootstrapped()
    await made(first)
    await first.stop()
    writes = len(network.writes)
    second = await Controller(network, database).start()
    await second.bootstrapped()
    await second.rounds(3)
    assert [write.change for write in network.writes[writes:]] == []
    await second.stop()


async def test_what_was_stored_without_a_reference_packet_is_policed_as_before(
    network: SimulatedNetwork, database: str
) -> None:
    """Placements have it only since there are policers; what the corridor was asked for says it as well."""
    first = await Controller(network, database).start()
    await first.bootstrapped()
    await made(first, reference_packet_bytes=512)
    await first.stop()
    assert forget_reference_packets(database) == 2
    writes = len(network.writes)
    second = await Controller(network, database).start()
    await second.bootstrapped()
    await second.rounds(3)
    assert [write.change for write in network.writes[writes:]] == []
    assert slice_rate(network, "yz-r") == pytest.approx(20e6 * 526 / 512, abs=1000)
    await second.stop()


def forget_reference_packets(database: str) -> int:
    """As a database of before looks; of how many placements."""
    engine, forgotten = create_engine(database), 0
    with engine.begin() as connection:
        for name, body in connection.execute(text("SELECT name, body FROM records")).all():
            record = json.loads(body)
            for placement in filter(None, (record["current"], record["target"])):
                del placement["reference_packet_bytes"]
                forgotten += 1
            update = text("UPDATE records SET body = :body WHERE name = :name")
            connection.execute(update, {"name": name, "body": json.dumps(record)})
    engine.dispose()
    return forgotten


async def test_another_kind_of_router_in_the_same_place_gets_its_own_entries(controller: Controller) -> None:
    await made(controller)
    network = controller.network
    for router, able in (("yz-r", Capabilities()), ("zgc-r", PLAIN)):
        network[router].disconnect()
        network[router].capabilities = able
        network[router].restart_empty()
    await controller.bootstrapped()
    assert tables(network, "zgc-r") >= OWN_ONLY
    assert not tables(network, "yz-r") & OWN_ONLY
    assert enforced(await controller.service.get_corridor(NAME)) == (Enforcement.POLICED, Enforcement.SHAPED)


async def test_a_router_that_learns_to_shape_keeps_all_else(controller: Controller) -> None:
    await made(controller)
    router, start = controller.network["yz-r"], len(controller.network.writes)
    router.disconnect()
    router.capabilities = replace(PLAIN, shaping=True)
    router.connect()
    await controller.bootstrapped()
    await controller.rounds(2)
    written = [write.change for write in controller.network.writes[start:]]
    assert [(change.operation, change.entry.key[0]) for change in written] == [(Operation.MODIFY, "slice_meter")]


async def test_what_is_left_of_a_port_when_its_last_corridor_goes(controller: Controller) -> None:
    await made(controller)
    await controller.service.delete_corridor(NAME)
    await controller.settled(NAME)
    await controller.in_line()
    assert not tables(controller.network, "yz-r") & OWN_ONLY


async def test_hard_protection_is_the_optical_layer_s_whatever_the_routers_see(controller: Controller) -> None:
    shown = await made(controller, protection=Protection.PROTECT)
    assert shown.state is State.UP
    assert len(shown.legs[0].slices) == 2


async def test_soft_protection_is_refused_by_what_the_routers_see(controller: Controller) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await made(controller, isolation=Isolation.SOFT, protection=Protection.PROTECT)
    assert refusal.value.reason == "PROTECT_NOT_OFFERED"
    assert refusal.value.metadata == {"nodes": _names(ENDS), "liveness": "LOCAL_PORT,LOCAL_PORT"}


@pytest.mark.parametrize("isolation", Isolation)
async def test_a_router_too_small_for_the_packets_is_named_with_its_figure(
    network: SimulatedNetwork, database: str, isolation: Isolation
) -> None:
    network["yz-r"].capabilities = replace(PLAIN, mtu_bytes=1539)
    controller = await Controller(network, database).start()
    await controller.bootstrapped()
    with pytest.raises(Infeasible) as refusal:
        await made(controller, isolation=isolation)
    assert refusal.value.reason == "MTU"
    told = refusal.value.metadata
    assert (told["nodes"], told["mtuBytes"], told["neededBytes"]) == (_names(["yz-r"]), "1539", "1540")
    assert (await made(controller, isolation=isolation, mtu_bytes=1499)).state is State.UP
    await controller.stop()


def _names(routers: Iterable[str]) -> str:
    return ",".join(f"{DOMAIN}/nodes/{each}" for each in routers)


async def test_a_restart_knows_what_a_silent_router_can_do(network: SimulatedNetwork, database: str) -> None:
    """Rendered as it stands in the router, also while the router is away."""
    first = await Controller(network, database).start()
    await first.bootstrapped()
    await made(first, isolation=Isolation.SOFT)
    router = f"{DOMAIN}/nodes/yz-r"
    held = first.expected()[router]
    await first.stop()
    network["yz-r"].connect = lambda: None  # type: ignore[method-assign]
    second = await Controller(network, database).start()
    assert second.state.topology.nodes[router].capabilities == PLAIN
    assert second.expected()[router] == held
    await second.stop()
