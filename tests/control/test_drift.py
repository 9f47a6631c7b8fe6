"""Desired against actual as operators see it, of a running controller: what hands do, and what it does itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from running_controller import DOMAIN, Controller, corridor
from simulated_network import SimulatedNetwork, edited, policies, shapers
from waiting import until

from controller import reconcile
from controller.core.drift import MAX_LISTED, DeviceDrift, DriftKind
from controller.core.entries import CrossConnect, Exact, TableEntry
from controller.core.errors import NotFound
from controller.core.model import Corridor, CorridorEvent

TOPOLOGY = f"{DOMAIN}/topology"
NAME = "tenants/default/corridors/c1"


async def stands(controller: Controller) -> Corridor:
    await controller.service.create_corridor("tenants/default", "c1", corridor())
    await controller.settled(NAME)
    await controller.in_line()
    return controller.state.records[NAME].corridor


async def drift(controller: Controller, device: str, *, read_now: bool = True) -> DeviceDrift:
    found = await controller.service.get_drift(TOPOLOGY, read_now=read_now)
    (one,) = [each for each in found.devices if each.node == f"{DOMAIN}/nodes/{device}"]
    return one


def numbered(policy: TableEntry, number: int) -> TableEntry:
    """The same of another policy."""
    return replace(policy, match=(("policy", Exact(number)),))


async def test_a_network_in_line_has_no_drift(controller: Controller) -> None:
    await stands(controller)
    for read_now in (False, True):
        found = await controller.service.get_drift(TOPOLOGY, read_now=read_now)
        assert [each.node for each in found.devices] == sorted(controller.network.devices)
        for each in found.devices:
            assert (each.connected, each.trouble, each.entries, each.repaired) == (True, "", (), 0)
            assert each.desired == len(controller.network.devices[each.node].own())
            assert each.read_time is not None
    with pytest.raises(NotFound):
        await controller.service.get_drift("domains/moon/topology")


async def test_what_hands_did_is_shown_as_it_was_found_repaired_and_told_to_owners(controller: Controller) -> None:
    before = await stands(controller)
    router = controller.network["zgc-r"]
    (meter,), (policy, *_) = shapers(router), policies(router)
    classifier = next(each for each in router.own().values() if str(each.key).startswith("('classifier_v4'"))
    del router.entries[classifier.key]
    router.entries[meter.key] = edited(meter, 1)
    stray = numbered(policy, 999)
    router.entries[stray.key] = stray
    found = await drift(controller, "zgc-r")
    told = {each.kind: (each.entry, each.actual) for each in found.entries}
    assert len(found.entries) == len(told) == 3
    assert told[DriftKind.MISSING][0].startswith("classifier_v4 ")
    assert "src=10." in told[DriftKind.MISSING][0]
    assert told[DriftKind.DIFFERENT][0].startswith(f"slice_meter {meter.index} → {meter.rate}/s")
    assert told[DriftKind.DIFFERENT][1].startswith(f"slice_meter {meter.index} → 1/s")
    assert told[DriftKind.UNEXPECTED][0].startswith("policy 999 → encap_red_1(")
    assert found.repaired == len(found.entries)
    assert found.repair_time is not None
    await controller.in_line()
    assert (await drift(controller, "zgc-r")).entries == ()
    await until(lambda: bool(controller.state.records[NAME].corridor.conditions), "its owner is told")
    (condition,) = controller.state.records[NAME].corridor.conditions
    assert (condition.type, condition.status, condition.reason) == ("Repaired", True, "DRIFT")
    assert "zgc-r" in condition.message
    now = controller.state.records[NAME].corridor
    assert (now.state, now.generation, now.etag) == (before.state, before.generation, before.etag)
    await controller.service.switch_profile(NAME, "training")
    await controller.settled(NAME)
    assert not controller.state.records[NAME].corridor.conditions, "until its next change"


async def test_a_corridor_hears_of_its_own_entries_only_and_once(controller: Controller) -> None:
    await stands(controller)
    queue = controller.state.watch()
    idle = controller.network["tz-r"]
    infrastructure = next(iter(idle.own().values()))
    del idle.entries[infrastructure.key]
    assert (await drift(controller, "tz-r")).repaired == 1
    node = controller.network["zgc-o"]
    for count in (1, 2):
        mine = {part.id for leg in controller.state.records[NAME].corridor.legs for part in leg.slices}
        cross = next(each for each in node.own().values() if isinstance(each, CrossConnect) and each.slice_id in mine)
        del node.entries[cross.key]
        assert (await drift(controller, "zgc-o")).repaired == count
        await until(lambda: bool(controller.state.records[NAME].corridor.conditions), "its owner is told")
    await controller.in_line()
    other = corridor(a="tz-r:cell", z="yz-r:dc")
    await controller.service.create_corridor("tenants/default", "c2", other)  # whoever had something to say was first
    events: list[CorridorEvent] = []
    while not queue.empty():
        events.append(queue.get_nowait())
    assert [each.corridor.name for each in events][:2] == [NAME, "tenants/default/corridors/c2"]


async def test_a_restarted_device_is_filled_again_and_nobody_is_accused(controller: Controller) -> None:
    await stands(controller)
    for name in ("zgc-r", "zgc-o"):
        controller.network[name].restart_empty()
    await controller.in_line()
    for name in ("zgc-r", "zgc-o"):
        assert (await drift(controller, name, read_now=False)).repaired == 0
    assert not controller.state.records[NAME].corridor.conditions


async def test_a_device_that_is_away_says_why_and_what_waits_for_it(controller: Controller) -> None:
    await stands(controller)
    controller.network["yz-o"].disconnect()
    await until(lambda: controller.state.topology.nodes[f"{DOMAIN}/nodes/yz-o"].status != "UP", "it is missed")
    await controller.service.delete_corridor(NAME)
    found = await drift(controller, "yz-o")
    assert (found.connected, found.trouble) == (False, "switched off")
    view = await controller.service.get_topology(TOPOLOGY)
    troubles = {node.name: node.trouble for node in view.nodes if node.trouble}
    assert troubles == {f"{DOMAIN}/nodes/yz-o": "switched off"}
    controller.network["yz-o"].connect()
    await controller.settled(NAME)
    await controller.in_line()


async def test_a_list_of_differences_is_cut(controller: Controller) -> None:
    await stands(controller)
    router = controller.network["zgc-r"]
    (policy, *_) = policies(router)
    for number in range(1000, 1000 + MAX_LISTED + 20):
        router.entries[numbered(policy, number).key] = numbered(policy, number)
    found = await drift(controller, "zgc-r")
    assert len(found.entries) == MAX_LISTED
    assert found.truncated
    assert found.repaired == MAX_LISTED + 20


async def test_a_device_that_hangs_is_named_and_holds_no_answer_up(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stands(controller)
    monkeypatch.setattr(reconcile, "CALL_S", 0.1)
    monkeypatch.setattr(reconcile, "ENTRY_S", 0.0)
    controller.network["tz-r"].delay_s = 3600.0
    async with asyncio.timeout(10):  # a hundred times what it may take
        found = await drift(controller, "tz-r")
    assert "no answer within 0.1 s" in found.trouble
    assert found.connected


async def test_a_controller_that_is_gone_takes_nothing_and_the_next_writes_nothing(
    network: SimulatedNetwork, database: str
) -> None:
    first = await Controller(network, database).start()
    await first.bootstrapped()
    await stands(first)
    held = {name: device.own() for name, device in network.devices.items()}
    writes = len(network.writes)
    await first.stop()
    assert {name: device.own() for name, device in network.devices.items()} == held
    second = await Controller(network, database).start()
    await second.bootstrapped()
    for name in network.devices:
        assert await second.state.reconciler.read_back(name)
    assert network.writes[writes:] == []
    assert {name: device.own() for name, device in network.devices.items()} == held
    found = await second.service.get_drift(TOPOLOGY)
    assert all(each.entries == () and each.repaired == 0 for each in found.devices)
    await second.stop()
