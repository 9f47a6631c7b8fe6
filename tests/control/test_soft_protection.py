"""A protected soft corridor: headends switch and say so; the controller tells, and plans only what they cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest
from headends import (
    NAME,
    SOFT,
    A,
    Headend,
    Z,
    conditions,
    cut_path,
    degraded,
    fibres,
    leg,
    message,
    now,
    paths,
    protected,
    watching,
    whole,
)
from running_controller import METRO, Controller, corridor, load
from simulated_network import SimulatedNetwork
from waiting import until

from controller import restoration
from controller.core.entries import Operation, TableEntry
from controller.core.errors import FailedPrecondition, Infeasible, Invalid
from controller.core.model import Capabilities, Isolation, Protection, State, Status
from controller.core.names import short
from controller.core.promises import Recovery
from controller.drivers.device import PathWatch, PolicyState, SessionState


@pytest.fixture
def network() -> SimulatedNetwork:
    return watching(load(METRO))


@pytest.fixture
def ends(network: SimulatedNetwork) -> tuple[Headend, Headend]:
    return Headend(network, A), Headend(network, Z)


async def test_both_ends_hold_two_lists_two_sessions_and_what_joins_them(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    await protected(controller, recovery=Recovery(revertive=False, hold_off_ms=40, wait_to_restore_s=7))
    first, second = paths(controller)
    assert fibres(controller, first).isdisjoint(fibres(controller, second))
    for end in ends:
        assert len(end.entries("policy")) == 4  # of both families
        assert {dict(each.params)["interval_us"] for each in end.entries("path_probe")} == {10_000}
        assert len(end.entries("path_probe")) == 2
        for number, joined in end.backups:
            assert joined["backup"] != number
            assert (joined["hold_off_ms"], joined["wait_to_restore_ms"], joined["revertive"]) == (40, 7000, 0)
    rows = controller.state.snapshot().ledger.rows
    held = {key.link for key, row in rows.items() if not key.server and row.kbps}
    assert held == {*first, *second}


async def test_an_unprotected_corridor_is_measured_from_its_a_end(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    for name, isolation in (("c1", Isolation.SOFT), ("c2", Isolation.HARD)):
        fields = {} if name == "c1" else {"a": "zgc-r:campus", "z": "sy-r:cell"}
        made = corridor(isolation=isolation, **fields)
        await controller.service.create_corridor("tenants/default", name, made)
        await controller.settled(f"tenants/default/corridors/{name}")
    probes = [dict(each.params) for each in ends[0].entries("path_probe")]
    assert [(each["interval_us"], each["detect_us"]) for each in probes] == [(1_000_000, 3_500_000)] * 2
    assert not ends[1].entries("path_probe")
    assert not ends[0].entries("policy_backup")


async def test_a_path_that_fails_is_told_and_left_to_the_headends(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    await protected(controller)
    standing, writes = now(controller).legs, len(controller.network.writes)
    ends[0].says(path=False, on_backup=True)
    await degraded(controller, "ProtectionSwitched", "SIGNAL_FAIL")
    await until(lambda: "yz-r does not" in message(controller, "ProtectionSwitched"), "one end alone has switched")
    assert "zgc-r sends over the backup" in message(controller, "ProtectionSwitched")
    ends[1].says(path=False, on_backup=True)
    await until(
        lambda: "zgc-r and yz-r send over the backup" in message(controller, "ProtectionSwitched"), "both ends did"
    )
    for end in ends:
        end.says(on_backup=True)
    await degraded(controller, "ProtectionSwitched", "WAIT_TO_RESTORE")
    for end in ends:
        end.says()
    await whole(controller)
    assert now(controller).legs == standing
    assert len(controller.network.writes) == writes


async def test_a_corridor_that_never_reverts_by_itself_lacks_nothing_on_its_backup(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    await protected(controller, recovery=Recovery(revertive=False))
    for end in ends:
        end.says(path=False, on_backup=True)
    await degraded(controller, "ProtectionSwitched", "SIGNAL_FAIL")
    for end in ends:
        end.says(on_backup=True)
    await whole(controller)


async def test_a_backup_that_fails_is_replaced_and_the_path_left_alone(
    controller: Controller, ends: tuple[Headend, Headend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoration, "PROTECTION_WAIT_S", 0.3)
    await protected(controller)
    first, second = paths(controller)
    before, start = ends[0].backups, len(controller.network.writes)
    cut_path(controller, 1)
    await degraded(controller, "ProtectionLost", "ROUTE_DOWN")
    await until(lambda: paths(controller)[0:] not in ([first, second],), "another backup")
    await whole(controller)
    assert paths(controller)[0] == first
    assert len(paths(controller)) == 2
    touched = [w.entry for w in controller.network.writes[start:] if isinstance(w.entry, TableEntry)]
    own = {number for number, _ in before}
    assert not [e for e in touched if e.table == "policy" and dict(e.match)["policy"].value in own]
    after = ends[0].backups
    assert [number for number, _ in after] == [number for number, _ in before]
    assert [joined["session"] for _, joined in after] == [joined["session"] for _, joined in before]
    assert {joined["backup"] for _, joined in after}.isdisjoint(joined["backup"] for _, joined in before)
    await controller.in_line()


async def test_a_path_that_stays_away_gives_its_place_to_the_backup_with_a_new_one_beside_it(
    controller: Controller, ends: tuple[Headend, Headend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new lists and sessions stand before anything is steered, and nothing old goes before."""
    monkeypatch.setattr(restoration, "PROTECTION_WAIT_S", 0.3)
    await protected(controller)
    first, second = paths(controller)
    start = len(controller.network.writes)
    cut_path(controller, 0)
    for end in ends:
        end.says(path=False, on_backup=True)
    await degraded(controller, "ProtectionSwitched", "ROUTE_DOWN")
    await until(lambda: paths(controller)[0] == second, "the backup is the path")
    for end in ends:
        end.says()
    await whole(controller)
    assert len(paths(controller)) == 2
    assert fibres(controller, paths(controller)[1]).isdisjoint(fibres(controller, second))
    assert first != paths(controller)[1]
    router = [
        (w.entry.table, w.change.operation)
        for w in controller.network.writes[start:]
        if isinstance(w.entry, TableEntry) and short(w.device) == A and w.entry.table != "route_v6"
    ]
    order = [each for each in router if each[0] in ("path_probe", "policy", "policy_backup")]
    stages = [
        {("path_probe", Operation.INSERT), ("policy", Operation.INSERT)},
        {("policy", Operation.MODIFY)},
        {("policy_backup", Operation.MODIFY)},
        {("path_probe", Operation.DELETE), ("policy", Operation.DELETE)},
    ]
    seen: list[set[tuple[str, Operation]]] = []
    for each in order:
        if not seen or not any(each in stage and seen[-1] <= stage for stage in stages):
            seen.append(set())
        seen[-1].add(each)
    assert seen == stages
    await controller.in_line()


async def test_a_path_that_its_headends_alone_find_dead_is_left_too(
    controller: Controller, ends: tuple[Headend, Headend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No link is down: each of the path may be why, and the new pair avoids them all."""
    monkeypatch.setattr(restoration, "PROTECTION_WAIT_S", 0.3)
    await protected(controller)
    first, second = paths(controller)
    ends[0].says(path=False, on_backup=True)
    await degraded(controller, "ProtectionSwitched", "SIGNAL_FAIL")
    await until(lambda: paths(controller)[0] == second, "the backup is the path")
    await controller.settled(NAME)
    assert len(paths(controller)) == 2
    assert set(first).isdisjoint(paths(controller)[1])
    assert all(controller.state.topology.links[name].status is Status.UP for name in first)


async def test_both_paths_lost_is_lost_and_restored_by_what_there_is(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    await protected(controller)
    first, second = paths(controller)
    cut_path(controller, 0)
    cut_path(controller, 1)
    await until(lambda: paths(controller)[0] not in (first, second), "another path carries it")
    await until(lambda: not now(controller).reconciling and now(controller).state is not State.DOWN, "it is carried")
    alive = {name for links in paths(controller) for name in links}
    assert all(controller.state.topology.links[name].status is Status.UP for name in alive)


async def test_both_paths_silent_without_a_link_down_is_lost_and_moved_nowhere(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    await protected(controller)
    standing = now(controller).legs
    ends[0].says(path=False, backup=False)
    await until(lambda: now(controller).state is State.DOWN, "nothing carries it")
    assert conditions(controller) == {"PathLost": "SIGNAL_FAIL"}
    assert now(controller).legs == standing
    ends[0].says()
    await whole(controller)


async def test_what_an_unreachable_headend_said_counts_no_more(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    await protected(controller)
    ends[0].says(path=False, on_backup=True)
    await degraded(controller, "ProtectionSwitched", "SIGNAL_FAIL")
    ends[0].device.disconnect()
    ends[1].says(path=True, on_backup=True)
    await until(lambda: "yz-r sends over the backup" in message(controller, "ProtectionSwitched"), "only yz-r counts")


async def test_protection_is_switched_on_and_off_in_place(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    made = await controller.service.create_corridor(
        "tenants/default", "c1", corridor(isolation=Isolation.SOFT, protection=Protection.RESTORE)
    )
    await controller.settled(made.name)
    path = leg(controller).links
    await controller.service.update_corridor(replace(now(controller), protection=Protection.PROTECT), ("protection",))
    await controller.settled(NAME)
    assert leg(controller).links == path
    assert all(len(end.backups) == 2 for end in ends)
    await controller.service.update_corridor(replace(now(controller), protection=Protection.RESTORE), ("protection",))
    await controller.settled(NAME)
    assert leg(controller).links == path
    assert not [each for end in ends for each in end.entries("policy_backup")]
    assert [len(end.entries("path_probe")) for end in ends] == [1, 0]
    await controller.in_line()
    await controller.service.delete_corridor(NAME)
    await until(lambda: NAME not in controller.state.records, "gone")
    await controller.in_line()
    assert not [each for end in ends for table in ("path_probe", "policy") for each in end.entries(table)]
    assert not [key for key in controller.state.snapshot().ids.assigned if key.kind == "session"]


async def test_delays_are_those_of_the_path_that_carries(controller: Controller, ends: tuple[Headend, Headend]) -> None:
    await protected(controller)
    measured = controller.state.measured
    assert measured.measured_us(NAME) is None
    ends[1].says(round_trip_us=7000)
    assert measured.measured_us(NAME) is None  # the A end is believed
    ends[0].says(round_trip_us=301)
    assert measured.measured_us(NAME) == 151
    ends[0].says(path=False, on_backup=True, round_trip_us=301)
    assert measured.measured_us(NAME) == 301


async def test_reports_of_what_is_nobodys_are_of_no_account(
    controller: Controller, ends: tuple[Headend, Headend]
) -> None:
    await protected(controller)
    device = ends[0].device
    assert device.listener is not None
    device.listener.path_watched(
        device.name, PathWatch((SessionState(999, False),), (PolicyState(998, True, "SIGNAL_FAIL"),))
    )
    await controller.rounds(2)
    await whole(controller)


async def test_a_restart_keeps_paths_sessions_and_what_joins_them(
    controller: Controller, ends: tuple[Headend, Headend], network: SimulatedNetwork, database: str
) -> None:
    await protected(controller)
    held = [end.device.own() for end in ends]
    await controller.stop()
    again = await Controller(network, database).start()
    try:
        await again.bootstrapped()
        assert [end.device.own() for end in ends] == held
        assert paths(again) == paths(controller)
    finally:
        await again.stop()
        await controller.start()


async def test_refusals_name_the_field_or_the_reason(controller: Controller, network: SimulatedNetwork) -> None:
    create = controller.service.create_corridor
    for recovery, field in (
        (Recovery(hold_off_ms=10_001), "recovery.hold_off_ms"),
        (Recovery(wait_to_restore_s=721), "recovery.wait_to_restore_s"),
    ):
        with pytest.raises(Invalid) as wrong:
            await create("tenants/default", "c1", corridor(**SOFT, recovery=recovery))
        assert [each.field for each in wrong.value.violations] == [field]
    with pytest.raises(Invalid) as hard:
        await create("tenants/default", "c1", corridor(recovery=Recovery(revertive=False)))
    assert [each.field for each in hard.value.violations] == ["recovery"]
    network[Z].capabilities = Capabilities()
    network[Z].disconnect()
    network[Z].connect()
    with pytest.raises(FailedPrecondition) as blind:
        await create("tenants/default", "c1", corridor(**SOFT))
    assert blind.value.reason == "PROTECT_NOT_OFFERED"
    assert blind.value.metadata["liveness"] == "REMOTE,LOCAL_PORT"


async def test_without_a_second_path_it_is_refused_with_what_is_shared(controller: Controller) -> None:
    controller.network.cut("F-sy-tz")
    await until(lambda: controller.link("A-sy-tz") is Status.DOWN, "the cut is known")
    with pytest.raises(Infeasible) as none:
        await controller.service.create_corridor("tenants/default", "c1", corridor(z="sy-r:cell", **SOFT))
    assert none.value.reason == "NO_DISJOINT_PAIR"
    shared = set(map(short, none.value.metadata["shared"].split(",")))
    assert shared == {"A-cp-sy", "cp-r", "cp-o"}
    assert none.value.metadata["protection"] == "RESTORE", "what would be accepted"
