"""A corridor from its first entry to its last: order of writes, what stands, what is released."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest
from running_controller import Clock, Controller, corridor, dump
from simulated_network import SimulatedNetwork, Write, channel_of_policy, policies, shapers, slice_meters

from controller.core.entries import CrossConnect, MeterEntry, Operation, SliceMeter, SlotAssignment, TableEntry
from controller.core.errors import Infeasible
from controller.core.model import Corridor, EventType, Isolation, Profile, Reservation, Stage, State

NAME = "tenants/default/corridors/c1"
TRIES = 32
"""Of corridors of an ODU0 each, out of one node: more than its fibres carry beside their trails."""


async def made(controller: Controller, corridor_id: str = "c1", **fields: Any) -> Corridor:
    answer = await controller.service.create_corridor("tenants/default", corridor_id, corridor(**fields))
    assert answer.reconciling
    assert answer.state is State.PROVISIONING
    await controller.settled(answer.name)
    return await controller.service.get_corridor(answer.name)


@pytest.mark.parametrize("isolation", Isolation)
async def test_create_ends_up_with_exactly_what_is_rendered(controller: Controller, isolation: Isolation) -> None:
    built = await made(controller, isolation=isolation)
    assert (built.state, built.stage, built.reconciling) == (State.UP, Stage.SETTLED, False)
    assert built.observed_generation == built.generation == 1
    assert not built.conditions
    assert not controller.differences()


async def test_a_hard_corridor_carries_frames_both_ways(controller: Controller) -> None:
    await made(controller)
    for here, there in (("zgc-r", "yz-r"), ("yz-r", "zgc-r")):
        device = controller.network[here]
        assert len(policies(device)) == 2  # one per address family
        for policy in policies(device):
            sink = controller.network.reaches(device.name, channel_of_policy(device, policy))
            assert sink == controller.network[there].name


async def test_no_traffic_is_steered_before_all_of_its_path_stands(controller: Controller) -> None:
    start = len(controller.network.writes)
    await made(controller)
    writes = controller.network.writes[start:]
    steering = [w.sent for w in writes if isinstance(w.entry, TableEntry) and w.entry.table.startswith("classifier")]
    assert steering
    assert max(w.confirmed for w in writes if _optical(w)) < min(steering)


class NeverBelow:
    """Watches that no OTN meter of a slice is ever below a shaper that feeds it."""

    def __init__(self, network: SimulatedNetwork, headends: tuple[str, ...]) -> None:
        self.network, self.headends = network, headends
        self.broken: list[str] = []
        network.witnesses.append(self)

    def __call__(self, what: str) -> None:
        (slice_id,) = {e.slice_id for e in self._own_meters()} or {0}
        rates = [meter.rate_kbps for meter in slice_meters(self.network, slice_id)]
        for headend in self.headends:
            for shaper in shapers(self.network[headend]):
                if rates and shaper.rate * 8 > min(rates) * 1000:
                    self.broken.append(f"{what}: shaper {shaper.rate * 8}, meters {rates}")

    def _own_meters(self) -> list[SliceMeter]:
        found = [e for d in self.network.devices.values() for e in d.entries.values() if isinstance(e, SliceMeter)]
        return [e for e in found if e.rate_kbps < 1_000_000]  # a trail's is an ODU0 at least


def _optical(write: Write) -> bool:
    return isinstance(write.entry, SliceMeter | CrossConnect | SlotAssignment)


@pytest.mark.parametrize("reservation", Reservation)
async def test_grow_is_optical_first_and_shrink_is_shaper_first(
    controller: Controller, reservation: Reservation
) -> None:
    """Reserved on every hop, commanded at the source alone, committed everywhere, then sent; and back again."""
    network = controller.network
    await made(controller, reservation=reservation)
    watch = NeverBelow(network, ("zgc-r", "yz-r"))
    for number, device in enumerate(network.devices.values()):
        device.delay_s = 0.002 * (number % 5)
    for round_number in range(4):
        grow = round_number % 2 == 0
        start, first_write = len(network.history), len(network.writes)
        await controller.service.switch_profile(NAME, "training" if grow else "inference")
        await controller.settled(NAME)
        history, writes = network.history[start:], network.writes[first_write:]
        reserving, shaping = _when(history, "('slots', "), _when(history, "('slice_meter', ")
        commanded, committed = _when(history, "is called")[:1], _when(history, " slots")
        order = [reserving, commanded, committed, shaping] if grow else [shaping, commanded, committed, reserving]
        assert len(shaping) == 2
        assert len(reserving) == (2 if reservation is Reservation.ACTIVE else 0)
        assert len(committed) == 2 * 2, "both ways at each of two nodes"
        moments = list(chain(*order))
        assert moments == sorted(moments)
        assert {type(w.entry) for w in writes} <= {MeterEntry, SlotAssignment}
        assert {w.change.operation for w in writes} == {Operation.MODIFY}, "a switch touches nothing but rates"
    assert {node.name.rsplit("/")[-1] for node in network.otn_nodes if node.commands} == {"zgc-o"}
    assert not watch.broken


def _when(history: list[str], what: str) -> list[int]:
    return [number for number, happening in enumerate(history) if what in happening]


async def test_a_soft_corridor_switches_its_shaper_only(controller: Controller) -> None:
    await made(controller, isolation=Isolation.SOFT)
    start = len(controller.network.writes)
    await controller.service.switch_profile(NAME, "training")
    await controller.settled(NAME)
    writes = controller.network.writes[start:]
    assert {type(w.entry) for w in writes} == {MeterEntry}
    assert not controller.differences()


async def test_peak_books_the_largest_profile_and_active_only_what_is_on(controller: Controller) -> None:
    peak = (await made(controller)).legs[0].slices[0]
    assert (peak.claimed_slots, peak.active_slots) == (11, 3)  # 100 and 20 Mbit/s at 1400 of 1478 bytes
    on = await made(controller, "c2", a="ft-r:office", z="sg-r:dc", reservation=Reservation.ACTIVE)
    assert (on.legs[0].slices[0].claimed_slots, on.legs[0].slices[0].active_slots) == (3, 3)


async def test_delete_takes_everything_away_and_releases_it(controller: Controller, database: str) -> None:
    before = dump(database)
    entries = {name: device.own() for name, device in controller.network.devices.items()}
    await made(controller)
    start = len(controller.network.writes)
    going = await controller.service.delete_corridor(NAME)
    assert going.state is State.DELETING
    await controller.settled(NAME)
    assert NAME not in controller.state.records
    assert {name: device.own() for name, device in controller.network.devices.items()} == entries
    after = dump(database)
    assert [row[:-1] for row in after["ledger"]] == [row[:-1] for row in before["ledger"]]  # but its version
    assert after["records"] == []
    writes = [w for w in controller.network.writes[start:] if w.change.operation is Operation.DELETE]
    steering = [w.confirmed for w in writes if isinstance(w.entry, TableEntry) and "classifier" in w.entry.table]
    assert max(steering) < min(w.sent for w in writes if _optical(w)), "nothing is taken from under packets on the way"


async def test_claims_are_held_until_every_device_has_let_go(controller: Controller, database: str) -> None:
    await made(controller)
    held = [row for row in dump(database)["ledger"] if "zgc-yz" in row[0] and row[1] == "odu1-1"]
    controller.network["yz-o"].disconnect()
    await controller.service.delete_corridor(NAME)
    await asyncio.sleep(0.5)  # several stage timeouts: it must not give up and release
    now = [row for row in dump(database)["ledger"] if "zgc-yz" in row[0] and row[1] == "odu1-1"]
    assert [row[3] for row in now] == [row[3] for row in held]
    assert controller.state.records[NAME].corridor.state is State.DELETING
    controller.network["yz-o"].connect()
    await controller.settled(NAME)
    assert NAME not in controller.state.records
    await controller.in_line()


async def test_freed_ids_rest(network: SimulatedNetwork, database: str) -> None:
    clock = Clock()
    controller = await Controller(network, database, clock).start()
    await controller.bootstrapped()

    async def once() -> int:
        built = await made(controller)
        await controller.service.delete_corridor(NAME)
        await controller.settled(NAME)
        return built.legs[0].slices[0].id

    first = await once()
    assert await once() != first
    clock.ahead = timedelta(seconds=61)
    assert await once() == first
    await controller.stop()


async def test_two_that_want_the_last_slots(controller: Controller) -> None:
    """An ODU0 each, on every way out of zgc: the last of those asked for compete for what is left."""
    half = (Profile("all", 1_100_000),)
    tries = [controller.service.create_corridor("tenants/default", f"c{n}", _half(n, half)) for n in range(TRIES)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    won = [r for r in results if isinstance(r, Corridor)]
    lost = [r for r in results if isinstance(r, Infeasible)]
    assert len(won) + len(lost) == TRIES
    assert won
    assert lost
    assert {r.reason for r in lost} == {"NO_CAPACITY"}
    taken: set[tuple[str, str, int]] = set()
    await controller.settled(*(each.name for each in won))
    for each in won:
        for hop in (await controller.service.get_corridor(each.name)).legs[0].slices[0].hops:
            slots = {(hop.link, hop.server, slot) for slot in _numbers(hop.slots)}
            assert not slots & taken
            taken |= slots


async def test_two_writers_in_a_row_of_one_corridor_each_get_their_turn(controller: Controller) -> None:
    """Both wait for the same change; the second must plan on what the first has settled, not on its middle."""
    await made(controller)
    for device in controller.network.devices.values():
        device.delay_s = 0.01
    service = controller.service
    await asyncio.gather(
        service.switch_profile(NAME, "training"),
        service.update_corridor(corridor(name=NAME, priority=3), ("priority",)),
        service.switch_profile(NAME, "inference"),
    )
    await controller.settled(NAME)
    last = await service.get_corridor(NAME)
    assert (last.generation, last.observed_generation, last.priority) == (4, 4, 3)
    assert last.active_profile == "inference"
    await controller.in_line()
    kinds = [event.type for event in await controller.state.events(0)]
    assert kinds.count(EventType.UPDATED) == len(kinds) - 1


def _half(number: int, profiles: tuple[Profile, ...]) -> Corridor:
    a = corridor("zgc-r:campus", "yz-r:dc", profiles=profiles, active_profile="all")
    return Corridor(
        **{
            **{f: getattr(a, f) for f in ("a_end", "z_end", "profiles", "active_profile", "isolation")},
            "a_end": _with_prefix(a.a_end, number),
        }
    )


def _with_prefix(end: Any, number: int) -> Any:
    return type(end)(end.node, end.port, (f"10.1.{number}.0/28",), (f"2001:db8:1:0:{number + 1}::/80",))


def _numbers(text: str) -> list[int]:
    parts = [part.split("-") for part in text.split(",")]
    return [n for part in parts for n in range(int(part[0]), int(part[-1]) + 1)]
