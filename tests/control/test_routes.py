"""Routes of the running controller: lists are encoded anew before them, and a restart knows what they stood for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import IPv6Address
from typing import Any

import pytest
from running_controller import DOMAIN, METRO, Controller, corridor, end, load
from simulated_network import SimulatedNetwork, Write
from waiting import until

from controller.core.entries import Lpm, TableEntry
from controller.core.model import Corridor, Isolation, PathConstraints, Protection, State, Status

NAME = "tenants/default/corridors/c1"
TO_TZ = int(IPv6Address("fcbb:bb00:4::"))
"""Locator of tz-r in algorithm 0."""


async def without_cp_to_tz(controller: Controller) -> None:
    direct = route(controller.network, "cp-r")
    controller.network.cut("F-cp-tz")
    await until(lambda: controller.link("A-cp-tz") is Status.DOWN, "the cut is seen")
    await until(lambda: route(controller.network, "cp-r") != direct, "cp has its routes round about")


async def by_way_of_sy(controller: Controller) -> Corridor:
    """zgc to tz over cp and sy, made while the routes of cp lead by way of sy as well."""
    others = ("A-cp-tz", "X-cp-yz", "A-zgc-yz", "A-zgc-ft", "A-sg-zgc")
    constraints = PathConstraints(exclude_links=tuple(f"{DOMAIN}/links/{name}" for name in others))
    wanted = corridor(
        isolation=Isolation.SOFT,
        z_end=end("tz-r:cell"),
        path_constraints=constraints,
        protection=Protection.UNPROTECTED,
    )
    await controller.service.create_corridor("tenants/default", "c1", wanted)
    await controller.settled(NAME)
    return controller.state.records[NAME].corridor


def route(network: SimulatedNetwork, router: str) -> int:
    """Next hop of a router's route to tz-r."""
    rows = [e for e in network[router].own().values() if isinstance(e, TableEntry) and e.table == "route_v6"]
    (hop,) = [dict(e.params)["next_hop"] for e in rows if _target(e) == TO_TZ]
    return hop


def _target(entry: TableEntry) -> int:
    target = dict(entry.match)["dst"]
    assert isinstance(target, Lpm)
    return target.value


def _writes(network: SimulatedNetwork, router: str, table: str) -> list[Write]:
    device = network[router].name
    return [w for w in network.writes if w.device == device and getattr(w.entry, "table", "") == table]


async def test_a_list_is_encoded_anew_before_the_routes_that_would_lead_it_astray(controller: Controller) -> None:
    await without_cp_to_tz(controller)
    before = await by_way_of_sy(controller)
    round_about = route(controller.network, "cp-r")
    controller.network.writes.clear()
    controller.network.mend("F-cp-tz")
    await until(lambda: controller.link("A-cp-tz") is Status.UP, "it is back")
    await renewed(controller, before, round_about)


async def renewed(controller: Controller, before: Corridor, round_about: int) -> None:
    """The same path by another list, which stood before the routes of cp changed."""
    (leg,) = before.legs
    assert leg.forward.description.startswith("uDT6(tz-r")
    await until(lambda: route(controller.network, "cp-r") != round_about, "routes follow")
    await controller.settled(NAME)
    await controller.in_line()
    after = controller.state.records[NAME].corridor
    assert (after.legs[0].links, after.state) == (leg.links, State.UP)
    assert "sy-r" in after.legs[0].forward.description
    steered = [w.confirmed for w in _writes(controller.network, "zgc-r", "policy")]
    turned = [w.sent for w in _writes(controller.network, "cp-r", "route_v6") if _target(w.entry) == TO_TZ]  # type: ignore[arg-type]
    assert max(steered) < min(turned)


async def test_a_restart_keeps_the_routes_that_standing_lists_were_made_for(controller: Controller) -> None:
    await without_cp_to_tz(controller)
    await by_way_of_sy(controller)
    before = route(controller.network, "cp-r")
    controller.network.cut("F-sy-tz")
    await until(lambda: controller.state.records[NAME].corridor.state is State.DOWN, "the corridor is down")
    assert controller.state.leaving == {NAME}
    await controller.stop()
    await controller.start()
    await until(lambda: controller.link("A-cp-sy") is Status.UP, "links are found again")
    await controller.in_line()
    assert route(controller.network, "cp-r") == before, "what is cut stays cut: it does not stray"
    await controller.service.delete_corridor(NAME)
    await until(lambda: NAME not in controller.state.records, "it is gone")
    await until(lambda: route(controller.network, "cp-r") != before, "and routes are free")


async def test_a_metric_that_the_file_changes_waits_for_lists_as_well(controller: Controller) -> None:
    plan = load(METRO)
    dear = tuple(
        replace(link, igp_metric=60_000, delay_us=60_000) if link.name.endswith(("/A-cp-tz", "/X-cp-yz")) else link
        for link in plan.links
    )
    await controller.stop()
    await controller.start(replace(plan, links=dear))
    await controller.bootstrapped()
    before = await by_way_of_sy(controller)
    round_about = route(controller.network, "cp-r")
    await controller.stop()
    controller.network.writes.clear()
    await controller.start(plan)
    await renewed(controller, before, round_about)


async def test_a_link_that_comes_back_while_a_list_is_being_stored(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await without_cp_to_tz(controller)
    round_about, commit = route(controller.network, "cp-r"), controller.store.commit
    storing, stored = asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        storing.set()
        await stored.wait()
        return await commit(*arguments)

    monkeypatch.setattr(controller.store, "commit", slow)
    making = asyncio.create_task(by_way_of_sy(controller))
    await storing.wait()
    controller.network.mend("F-cp-tz")
    await until(lambda: controller.link("A-cp-tz") is Status.UP, "it is back")
    stored.set()
    await making
    await until(lambda: route(controller.network, "cp-r") != round_about, "routes follow")
    await controller.settled(NAME)
    assert "sy-r" in controller.state.records[NAME].corridor.legs[0].forward.description
    await controller.in_line()
