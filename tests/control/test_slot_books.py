"""Any sequence of what can happen to slices, under a running controller: its books and the nodes' never differ."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from resized import books_agree
from running_controller import Controller, corridor, end
from simulated_network import SimulatedNetwork
from small_domain import ring
from waiting import until

from controller import list_renewal, progress, restoration
from controller.core.entries import SlotAssignment
from controller.core.errors import Refused
from controller.core.model import Corridor, Leg, Profile, Protection, Reservation, Stage, State, Status
from controller.core.names import short
from controller.core.otn import LINE

PARENT = "tenants/default"
ENDS = ("zgc-r:campus", "cp-r:dc", "tz-r:cell", "yz-r:dc")
FIBRES = ("F-zgc-cp", "F-cp-tz", "F-tz-yz", "F-zgc-yz")
KINDS = (*4 * ("resize",), *3 * ("cut",), *2 * ("switch", "mend"), "create", "reject", "delete", "crash")
PROTECTIONS = (Protection.PROTECT, Protection.RESTORE)
STAGE_TIMEOUT_S = 10.0
"""No device is slow here, but the machine may be: what is refused is refused at once."""
SOON_S = 0.05
PATIENCE_S = 60.0
UNDER_WAY = ("progress ", "restoration", "sizes of ")
"""Names of tasks that may change something."""

rates = st.lists(st.sampled_from([5_000, 60_000, 300_000, 1_000_000, 1_900_000]), min_size=2, max_size=2)
steps = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, 7),
        rates,
        st.sampled_from(Reservation),
        st.sampled_from(PROTECTIONS),
    ),
    min_size=3,
    max_size=12,
)
Step = tuple[str, int, list[int], Reservation, Protection]


@settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(steps)
def test_the_ledger_is_what_the_nodes_hold_after_everything_that_happens(history: list[Step]) -> None:
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "RETRY_S", SOON_S)
        patch.setattr(restoration, "RETRY_S", SOON_S)
        patch.setattr(list_renewal, "RETRY_S", SOON_S)
        asyncio.run(_live(history, f"sqlite:///{Path(directory) / 'corridor.db'}"))


async def _live(history: list[Step], database: str) -> None:
    network = SimulatedNetwork.wired(ring())
    controller = await _started(network, database)
    await controller.bootstrapped()
    fresh = itertools.count()
    first: list[Step] = [("create", n, [60_000, 300_000], Reservation.ACTIVE, p) for n, p in enumerate(PROTECTIONS)]
    try:
        for step in first + history:
            before = _legs(controller)
            if step[0] == "crash":
                await controller.stop()
                controller = await _started(network, database)
            else:
                with suppress(Refused):
                    await _take(controller, step, next(fresh))
            await _quiet(controller)
            _agree(controller)
            _tell(step[0], before, _legs(controller))
    finally:
        await controller.stop()


def _legs(controller: Controller) -> dict[str, Leg]:
    return {name: record.corridor.legs[0] for name, record in controller.state.records.items()}


def _tell(kind: str, before: dict[str, Leg], after: dict[str, Leg]) -> None:
    """What a step really did, for hypothesis' statistics."""
    event(kind)
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        sizes = {part.id: part.active_slots for part in old.slices}
        if any(sizes.get(part.id, part.active_slots) != part.active_slots for part in new.slices):
            event("a slice is resized")
        if old.links != new.links:
            event("a corridor is restored" if kind in ("cut", "mend", "crash") else "a corridor is moved")


async def _take(controller: Controller, step: Step, number: int) -> None:
    kind, which, kbps, reservation, protection = step
    names = sorted(controller.state.records)
    name = names[which % len(names)] if names else ""
    profiles = tuple(Profile(f"p{i}", rate) for i, rate in enumerate(kbps))
    if kind in ("cut", "mend"):
        getattr(controller.network, kind)(FIBRES[which % 4])
        status = Status.DOWN if kind == "cut" else Status.UP
        await until(lambda: controller.link(FIBRES[which % 4]) is status, f"{kind} is seen")
    elif kind == "create":
        wanted = _between(number, which, reservation, protection, profiles)
        await controller.service.create_corridor(PARENT, f"c{number}", wanted)
    elif not name:
        return
    elif kind == "delete":
        await controller.service.delete_corridor(name)
    elif kind == "switch":
        await controller.service.switch_profile(name, f"p{which % 2}")
    else:
        node = controller.network.otn_nodes[which % 4]
        if kind == "reject":
            node.rejects = lambda _slice, direction, count: direction == which % 2 and count > 20
        changed = replace(controller.state.records[name].corridor, profiles=profiles)
        await controller.service.update_corridor(changed, ("profiles",))
        await controller.settled(name)
        node.rejects = lambda _slice, _direction, _count: False


def _between(
    number: int, which: int, reservation: Reservation, protection: Protection, profiles: tuple[Profile, ...]
) -> Corridor:
    a, z = (end(ENDS[(which + far) % 4]) for far in (0, 1 + number % 2))
    a, z = (replace(e, ipv4_prefixes=(f"10.{net}.{number}.0/24",), ipv6_prefixes=()) for e, net in ((a, 8), (z, 9)))
    fields = {"reservation": reservation, "protection": protection, "profiles": profiles, "active_profile": "p0"}
    return replace(corridor(), a_end=a, z_end=z, **fields)  # type: ignore[arg-type]


async def _started(network: SimulatedNetwork, database: str) -> Controller:
    return await Controller(network, database, stage_timeout_s=STAGE_TIMEOUT_S).start(ring())


async def _quiet(controller: Controller) -> None:
    """Nothing is under way, all at one instant; corridors whose path is cut wait for another."""

    def still() -> bool:
        records = controller.state.records.values()
        busy = [task for task in asyncio.all_tasks() if task.get_name().startswith(UNDER_WAY)]
        settled = all(r.stage is Stage.SETTLED and not r.corridor.reconciling for r in records)
        moves = [r for r in records if _path_is_cut(controller, r.corridor) and r.corridor.state is not State.DOWN]
        left = [r for r in moves if r.corridor.protection is not Protection.PROTECT]
        # A change that is being stored is in the database already, and not yet in memory.
        return settled and not (busy or left or controller.state.writer.locked() or controller.differences())

    await until(still, "all is quiet", PATIENCE_S)


def _path_is_cut(controller: Controller, each: Corridor) -> bool:
    return any(controller.network.cables[short(name)].cut for leg in each.legs for name in leg.links)


def _agree(controller: Controller) -> None:
    """Books and nodes agree to the slot, and each slice has one size at all of its nodes: what the record says."""
    books_agree(controller)
    for record in controller.state.records.values():
        for part in record.corridor.legs[0].slices:
            found = [
                (len(entry.slots), *node.sizes[part.id])
                for node in controller.network.otn_nodes
                for entry in node.slots_of(part.id)
            ]
            assert found == 2 * len(part.hops) * [(part.claimed_slots, part.active_slots, part.active_slots)]
    owned = {p.id for r in controller.state.records.values() for p in r.corridor.legs[0].slices}
    held = [e for node in controller.network.otn_nodes for e in node.entries.values() if isinstance(e, SlotAssignment)]
    assert {entry.slice_id for entry in held if entry.server != LINE} <= owned, "nothing is left behind"
