"""A protected corridor whose fibres fail: line cards switch, the controller tells, and plans only what they cannot."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from running_controller import DOMAIN, Controller, corridor
from waiting import until

from controller import restoration
from controller.core.entries import CrossConnect, TableEntry
from controller.core.model import Corridor, CorridorEvent, Protection, Slice, State, Status
from controller.core.names import short
from controller.drivers.device import Selector

NAME = "tenants/default/corridors/c1"


async def protected(controller: Controller, **fields: Any) -> Corridor:
    wanted = corridor(**{"protection": Protection.PROTECT, **fields})
    made = await controller.service.create_corridor("tenants/default", "c1", wanted)
    await controller.settled(made.name)
    return now(controller)


def now(controller: Controller) -> Corridor:
    return controller.state.records[NAME].corridor


def slices(controller: Controller) -> tuple[Slice, ...]:
    return now(controller).legs[0].slices


def fibre(part: Slice) -> str:
    """One that the slice runs over."""
    return short(part.hops[0].link)


def conditions(controller: Controller) -> dict[str, str]:
    return {each.type: each.reason for each in now(controller).conditions if each.status}


async def degraded(controller: Controller, kind: str) -> None:
    await until(lambda: now(controller).state is State.DEGRADED and kind in conditions(controller), f"it says {kind}")
    assert set(conditions(controller)) == {kind}


async def whole(controller: Controller) -> None:
    await until(
        lambda: (
            now(controller).state is State.UP and not now(controller).reconciling and not now(controller).conditions
        ),
        "it is up without any reserve",
    )


async def test_a_working_route_that_fails_is_told_and_left_to_the_line_cards(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoration, "HOLD_OFF_S", 0.5)
    made = await protected(controller)
    standing = made.legs
    working, protection = slices(controller)
    assert {hop.link for hop in working.hops}.isdisjoint(hop.link for hop in protection.hops)
    writes = len(controller.network.writes)
    controller.network.cut(fibre(working))
    await until(lambda: controller.link(fibre(working)) is Status.DOWN, "the cut is known")
    await asyncio.sleep(0.2)
    assert now(controller).state is State.UP, "the IP layer holds off"
    await degraded(controller, "ProtectionSwitched")
    await asyncio.sleep(0.3)
    assert now(controller).legs == standing
    slice_ids = {part.id for part in slices(controller)}
    touched = [w for w in controller.network.writes[writes:] if getattr(w.entry, "slice_id", 0) in slice_ids]
    assert not touched
    controller.network.mend(fibre(working))
    await whole(controller)
    assert now(controller).legs == standing


async def test_a_protection_route_that_fails_shortly_is_only_told(controller: Controller) -> None:
    await protected(controller)
    standing = slices(controller)
    controller.network.cut(fibre(standing[1]))
    await degraded(controller, "ProtectionLost")
    controller.network.mend(fibre(standing[1]))
    await whole(controller)
    assert slices(controller) == standing


async def test_a_protection_route_that_stays_away_is_replaced(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoration, "PROTECTION_WAIT_S", 0.3)
    await protected(controller, z="sg-r:dc")
    working, protection = slices(controller)
    _third_way(controller, working, protection)
    controller.network.cut(fibre(protection))
    await degraded(controller, "ProtectionLost")
    await until(lambda: slices(controller)[1].id != protection.id, "another one protects it")
    await whole(controller)
    assert slices(controller)[0] == working
    assert fibre(protection) not in {short(hop.link) for hop in slices(controller)[1].hops}


async def test_a_working_route_that_stays_away_is_replaced_by_a_pair(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both new slices stand, and routers send to the working one, before the slice that carried it meanwhile goes."""
    monkeypatch.setattr(restoration, "PROTECTION_WAIT_S", 0.3)
    await protected(controller)
    standing = slices(controller)
    start = len(controller.network.writes)
    controller.network.cut(fibre(standing[0]))
    await degraded(controller, "ProtectionSwitched")
    assert slices(controller) == standing, "line cards first"
    await until(lambda: slices(controller)[0].id != standing[0].id, "another pair is built")
    await whole(controller)
    old, new = ({part.id for part in parts} for parts in (standing, slices(controller)))
    assert len(new) == 2
    assert old.isdisjoint(new)
    assert fibre(standing[0]) not in {short(hop.link) for part in slices(controller) for hop in part.hops}
    writes = [(w.entry, w.change.operation) for w in controller.network.writes[start:]]
    crosses = [(at, entry.slice_id) for at, (entry, _) in enumerate(writes) if isinstance(entry, CrossConnect)]
    steered = [at for at, (entry, _) in enumerate(writes) if isinstance(entry, TableEntry) and entry.table == "policy"]
    assert max(at for at, number in crosses if number in new) < min(steered)
    assert max(steered) < min(at for at, number in crosses if number in old)
    await controller.in_line()


async def test_a_corridor_on_its_protection_stays_there_where_no_pair_is_left(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoration, "PROTECTION_WAIT_S", 0.2)
    await protected(controller)
    standing = slices(controller)
    dark = _cut_all_but(controller, standing[1])
    await until(lambda: "no other route" in _message(controller, "ProtectionSwitched"), "it has looked")
    assert slices(controller) == standing
    for name in dark:
        controller.network.mend(name)
    await whole(controller)
    assert slices(controller) == standing


def _third_way(controller: Controller, *parts: Slice) -> None:
    used = {hop.link for part in parts for hop in part.hops}
    assert used, "they run over something"


async def test_where_no_other_way_is_left_it_stays_exposed_and_says_so(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoration, "PROTECTION_WAIT_S", 0.2)
    await protected(controller)
    standing = slices(controller)
    spare = _cut_all_but(controller, standing[0])
    await degraded(controller, "ProtectionLost")
    await until(lambda: "no" in _message(controller, "ProtectionLost").split("; ")[-1], "it has looked")
    assert slices(controller) == standing
    for name in spare:
        controller.network.mend(name)
    await whole(controller)
    assert slices(controller)[0] == standing[0]


def _message(controller: Controller, kind: str) -> str:
    return next((each.message for each in now(controller).conditions if each.type == kind), "")


def _cut_all_but(controller: Controller, part: Slice) -> list[str]:
    """All fibres go dark but those of one slice."""
    mine = {short(hop.link) for hop in part.hops}
    others = [name for name in controller.network.cables if name.startswith("F-") and name not in mine]
    for name in others:
        controller.network.cut(name)
    return others


async def test_when_both_are_lost_it_is_restored_with_what_is_left(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoration, "PROTECTION_WAIT_S", 0.2)
    await protected(controller, z="sg-r:dc")
    standing = slices(controller)
    for part in standing:
        controller.network.cut(fibre(part))
    await until(lambda: slices(controller)[0].id != standing[0].id and not now(controller).reconciling, "it moves")
    dark = {fibre(part) for part in standing}
    used = {short(hop.link) for part in slices(controller) for hop in part.hops}
    assert used.isdisjoint(dark)
    for name in dark:
        controller.network.mend(name)
    await until(lambda: len(slices(controller)) == 2, "it is protected again")
    await whole(controller)


async def test_when_nothing_is_left_it_is_down_and_degraded_with_the_first_route_back(controller: Controller) -> None:
    await protected(controller)
    standing = slices(controller)
    others = _cut_all_but(controller, standing[0])
    for name in {short(hop.link) for hop in standing[0].hops}:
        controller.network.cut(name)
    await until(lambda: now(controller).state is State.DOWN, "it is down")
    for name in others:
        if name in {short(hop.link) for hop in standing[1].hops}:
            controller.network.mend(name)
    await degraded(controller, "ProtectionSwitched")
    for name in {short(hop.link) for hop in standing[0].hops}:
        controller.network.mend(name)
    await whole(controller)


async def test_what_only_a_line_card_sees_is_told_too(controller: Controller) -> None:
    """One fibre passes light, but not in one direction."""
    await protected(controller)
    working, _ = slices(controller)
    end = f"{DOMAIN}/nodes/zgc-o"
    controller.restoration.selector_moved(end, Selector(working.id, True, False, True, "SIGNAL_FAIL"))
    await degraded(controller, "ProtectionSwitched")
    assert conditions(controller)["ProtectionSwitched"] == "SIGNAL_FAIL"
    controller.restoration.selector_moved(end, Selector(working.id, True, True, False, "SIGNAL_FAIL"))
    await degraded(controller, "ProtectionLost")
    controller.restoration.selector_moved(end, Selector(working.id, False, True, True, "REVERTED"))
    await whole(controller)
    controller.restoration.selector_moved(end, Selector(77, True, False, True, "SIGNAL_FAIL"))
    await asyncio.sleep(0.3)
    assert now(controller).state is State.UP, "that is another's slice"


async def test_news_while_what_was_seen_is_stored_are_not_lost(controller: Controller) -> None:
    """A fault that is over before the database has it."""
    await protected(controller)
    tell, end, number = controller.restoration.selector_moved, f"{DOMAIN}/nodes/zgc-o", slices(controller)[0].id
    commit, told = controller.store.commit, asyncio.Event()

    async def slow(*args: Any) -> CorridorEvent:
        controller.store.commit = commit  # type: ignore[method-assign]
        tell(end, Selector(number, False, True, True, "REVERTED"))
        told.set()
        return await commit(*args)

    controller.store.commit = slow  # type: ignore[method-assign]
    tell(end, Selector(number, True, False, True, "SIGNAL_FAIL"))
    async with asyncio.timeout(5):
        await told.wait()
    await degraded(controller, "ProtectionSwitched")
    await whole(controller)


async def test_a_route_that_only_line_cards_find_wanting_is_not_planned_again_and_again(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fibres are up: a plan would find the same once more."""
    monkeypatch.setattr(restoration, "PROTECTION_WAIT_S", 0.1)
    await protected(controller)
    standing = slices(controller)
    end = f"{DOMAIN}/nodes/zgc-o"
    controller.restoration.selector_moved(end, Selector(standing[0].id, False, True, False))
    await degraded(controller, "ProtectionLost")
    await until(lambda: "no other route" in _message(controller, "ProtectionLost"), "it has looked")
    writes = len(controller.network.writes), controller.state.sequence
    await asyncio.sleep(0.5)
    assert (len(controller.network.writes), controller.state.sequence) == writes
    assert slices(controller) == standing


async def test_two_slices_that_line_cards_hear_nothing_from_carry_nothing(controller: Controller) -> None:
    """Their fibres are up: nothing is planned, let alone again and again, and the first one that is back carries it."""
    await protected(controller)
    standing = slices(controller)
    tell, end, number = controller.restoration.selector_moved, f"{DOMAIN}/nodes/zgc-o", standing[0].id
    tell(end, Selector(number, True, False, True))
    await degraded(controller, "ProtectionSwitched")
    tell(end, Selector(number, True, False, False))
    await until(lambda: now(controller).state is State.DOWN, "it is down")
    assert conditions(controller) == {"PathLost": "SIGNAL_FAIL"}
    assert f"no continuity on slices {number}, {standing[1].id}" in _message(controller, "PathLost")
    sequence = controller.state.sequence
    await asyncio.sleep(0.3)
    assert controller.state.sequence == sequence
    tell(end, Selector(number, True, False, True))
    await degraded(controller, "ProtectionSwitched")
    tell(end, Selector(number, False, True, True))
    await whole(controller)
    assert slices(controller) == standing


async def test_a_far_end_that_starts_anew_says_nothing_of_the_routes(controller: Controller) -> None:
    await protected(controller)
    standing, sequence = slices(controller), controller.state.sequence
    tell, end, number = controller.restoration.selector_moved, f"{DOMAIN}/nodes/zgc-o", standing[0].id
    tell(end, Selector(number, False, False, False, far_end_silent=True))
    await asyncio.sleep(0.3)
    assert controller.state.sequence == sequence
    assert now(controller).state is State.UP


async def test_a_dark_route_beside_a_mute_one_carries_nothing(controller: Controller) -> None:
    await protected(controller)
    working, protection = slices(controller)
    others = _cut_all_but(controller, protection)
    controller.restoration.selector_moved(f"{DOMAIN}/nodes/zgc-o", Selector(working.id, True, False, False))
    await until(lambda: now(controller).state is State.DOWN, "it is down")
    await until(lambda: f"no continuity on slice {protection.id}" in _message(controller, "PathLost"), "it says why")
    assert "down" in _message(controller, "PathLost")
    assert set(conditions(controller)) == {"PathLost"}
    controller.restoration.selector_moved(f"{DOMAIN}/nodes/zgc-o", Selector(working.id, False, True, True))
    for name in others:
        controller.network.mend(name)
    await whole(controller)


async def test_a_client_link_takes_both_slices(controller: Controller) -> None:
    await protected(controller)
    standing = slices(controller)
    controller.network.cut("C-yz-r")
    await until(lambda: now(controller).state is State.DOWN, "nothing reaches the router")
    controller.network.mend("C-yz-r")
    await whole(controller)
    assert slices(controller) == standing


async def test_protection_that_an_owner_adds_during_a_failure_is_judged_when_it_stands(controller: Controller) -> None:
    """A change of a corridor with one route down goes on with whole routes, or with one until there are two."""
    await protected(controller)
    working, protection = slices(controller)
    _cut_all_but(controller, working)
    await degraded(controller, "ProtectionLost")
    await controller.service.switch_profile(NAME, "training")
    await controller.settled(NAME)
    (alone,) = slices(controller)
    assert alone.id == working.id
    assert alone.active_slots > working.active_slots
    await until(
        lambda: conditions(controller).get("ProtectionLost") == "NO_SECOND_ROUTE", "it says what is missing now"
    )
    changed = replace(now(controller), protection=Protection.RESTORE, etag="")
    await controller.service.update_corridor(changed, ("protection",))
    await whole(controller)
    assert protection.id not in {part.id for part in slices(controller)}
