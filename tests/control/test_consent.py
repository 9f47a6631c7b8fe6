"""What would be lost needs the owner's consent; what was moved is reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from running_controller import DOMAIN, Controller, corridor
from simulated_network import SimulatedNetwork
from small_domain import ring
from waiting import until

from controller import move_reports
from controller.core.errors import FailedPrecondition
from controller.core.model import Corridor, Isolation, PathConstraints, State
from controller.core.names import short
from controller.core.promises import Move, Reordering, Verdict

NAME = "tenants/default/corridors/c1"


@pytest.fixture
async def controller(database: str) -> AsyncIterator[Controller]:
    running = await Controller(SimulatedNetwork.wired(ring()), database, stage_timeout_s=0.5).start(ring())
    await running.bootstrapped()
    yield running
    await running.stop()


async def stands(controller: Controller, **fields: Any) -> Corridor:
    port = next(node for node in ring().nodes if short(node.name) == "tz-r").access_ports[0].name
    await controller.service.create_corridor("tenants/default", "c1", corridor(z=f"tz-r:{port}", **fields))
    await controller.settled(NAME)
    return await controller.service.get_corridor(NAME)


async def change(controller: Controller, **fields: Any) -> Corridor:
    wanted = replace(controller.state.records[NAME].corridor, etag="", **fields)
    await controller.service.update_corridor(wanted, tuple(fields))
    await controller.settled(NAME)
    return await controller.service.get_corridor(NAME)


def away_from(path: Corridor) -> PathConstraints:
    return PathConstraints(exclude_links=path.legs[0].links[:1])


def last_move(told: Corridor) -> Move:
    assert told.last_move is not None
    return told.last_move


async def test_what_loses_packets_is_refused_and_touches_nothing(controller: Controller) -> None:
    before = await stands(controller)
    writes = len(controller.network.writes)
    with pytest.raises(FailedPrecondition) as refusal:
        await change(controller, mtu_bytes=1400)
    assert refusal.value.reason == "NEEDS_INTERRUPTION"
    assert refusal.value.metadata == {"loss": "MTU"}
    assert "1400" in refusal.value.message
    assert await controller.service.get_corridor(NAME) == before
    assert len(controller.network.writes) == writes
    after = await change(controller, mtu_bytes=1400, allow_interruption=True)
    assert (after.mtu_bytes, after.state, after.last_move) == (1400, State.UP, None)


@pytest.mark.parametrize("isolation", Isolation)
async def test_a_guarded_order_keeps_a_corridor_from_the_faster_path(
    controller: Controller, isolation: Isolation
) -> None:
    quick = await stands(controller, reordering=Reordering.FORBID, isolation=isolation)
    slow = await change(controller, path_constraints=away_from(quick))
    assert slow.legs[0].latency_us > quick.legs[0].latency_us
    move = last_move(slow)
    assert (move.hitless, move.reason, move.faster_us, move.overtaken_packets) == (True, "OWNER", 0, 0)
    back = away_from(slow)
    with pytest.raises(FailedPrecondition) as refusal:
        await change(controller, path_constraints=back)
    assert refusal.value.metadata == {"loss": "REORDERING"}
    assert (await controller.service.get_corridor(NAME)).legs == slow.legs
    moved = last_move(await change(controller, path_constraints=back, allow_interruption=True))
    gained = slow.legs[0].latency_us - quick.legs[0].latency_us
    assert (moved.hitless, moved.faster_us) == (False, gained)
    assert moved.overtaken_packets == -(-gained * 20_000 // (8 * 1400 * 1000))


async def test_restoration_asks_nobody_and_says_that_it_was_no_hitless_move(controller: Controller) -> None:
    before = await stands(controller, reordering=Reordering.FORBID)
    slow = await change(controller, path_constraints=away_from(before))
    await change(controller, path_constraints=PathConstraints())
    controller.network.cut(short(slow.legs[0].links[0]))
    records = controller.state.records
    await until(lambda: records[NAME].corridor.legs[0].links == before.legs[0].links, "it is restored")
    await controller.settled(NAME)
    move = last_move(await controller.service.get_corridor(NAME))
    assert (move.hitless, move.reason, move.overtaken_packets) == (False, "RESTORED", 0)


async def test_a_resize_is_no_move(controller: Controller) -> None:
    await stands(controller)
    await controller.service.switch_profile(NAME, "training")
    await controller.settled(NAME)
    assert (await controller.service.get_corridor(NAME)).last_move is None


async def test_a_move_that_was_given_up_is_not_reported(controller: Controller) -> None:
    before = await stands(controller)
    other = "cp-o" if f"{DOMAIN}/links/F-zgc-yz" in before.legs[0].links else "yz-o"
    controller.network[other].refuses = lambda _change: True
    after = await change(controller, path_constraints=away_from(before))
    assert [each.type for each in after.conditions] == ["RolledBack"]
    assert after.last_move is None


async def test_the_verdict_follows_what_is_measured(controller: Controller) -> None:
    told = await stands(controller, max_latency_us=5_000)
    assert told.slo is not None
    assert (told.slo.verdict, told.slo.reason) == (Verdict.UNKNOWN, "NOT_MEASURED")
    for round_trip_us, verdict in ((8_000, Verdict.MET), (12_000, Verdict.MISSED)):
        controller.state.measured.note(NAME, round_trip_us)
        told = await controller.service.get_corridor(NAME)
        assert told.slo is not None
        assert (told.slo.verdict, told.slo.measured_latency_us) == (verdict, round_trip_us // 2)
    for fibre in ring().links:
        if short(fibre.name).startswith("F-"):
            controller.network.cut(short(fibre.name))
    await until(lambda: controller.state.records[NAME].corridor.state is State.DOWN, "it is down")
    told = await controller.service.get_corridor(NAME)
    assert told.slo is not None
    assert (told.slo.verdict, told.slo.reason) == (Verdict.MISSED, "DOWN")


async def test_a_move_is_reported_by_what_was_measured_before_and_after(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 µs of 20 Mbit/s are 10 000 bits: 0.9 packets of 1400 bytes."""
    monkeypatch.setattr(move_reports, "QUIET_S", 0.1)
    before = await stands(controller)
    controller.state.measured.note(NAME, 3_000)
    told = await change(controller, path_constraints=away_from(before))
    assert not last_move(told).measured
    await asyncio.sleep(0.2)  # the reading of the old path is not taken for one of the new
    assert not last_move(controller.state.records[NAME].corridor).measured
    controller.state.measured.note(NAME, 2_000)
    await until(lambda: last_move(controller.state.records[NAME].corridor).measured, "it is measured")
    move = last_move(controller.state.records[NAME].corridor)
    assert (move.hitless, move.faster_us, move.overtaken_packets) == (True, 500, 1)
