"""Slices are resized in band, hop by hop: refused, half done, unheard or cut short, they end at one size everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from resized import (
    LARGE,
    NAME,
    SMALL,
    all_have,
    books_agree,
    conditions,
    held,
    nodes,
    now,
    resize_state,
    slice_id,
    stands,
    switch,
)
from running_controller import Controller, corridor, dump
from simulated_network import SimulatedNetwork
from small_domain import chain, ring
from waiting import until

from controller.core.entries import Change, SlotAssignment
from controller.core.model import Protection, Reservation, ResizeState, Stage, State
from controller.core.otn import LINE


@pytest.fixture
def network() -> SimulatedNetwork:
    return SimulatedNetwork.wired(chain())


@pytest.fixture
async def controller(network: SimulatedNetwork, database: str) -> AsyncIterator[Controller]:
    running = await Controller(network, database).start(chain())
    await running.bootstrapped()
    yield running
    await running.stop()


def large(change: Change) -> bool:
    return isinstance(change.entry, SlotAssignment) and change.entry.server != LINE and len(change.entry.slots) > SMALL


async def test_a_refused_reservation_at_the_third_hop_leaves_all_hops_as_they_were(controller: Controller) -> None:
    await stands(controller)
    before, books, events = held(controller), dump(controller.database)["ledger"], []
    controller.network.witnesses.append(events.append)
    nodes(controller)[2].refuses = large
    await switch(controller, "training")
    assert "RolledBack" in conditions(controller)
    assert held(controller) == before
    assert [row[:-1] for row in dump(controller.database)["ledger"]] == [row[:-1] for row in books]
    assert not [happening for happening in events if f" has {LARGE} slots" in happening], "nothing was resized"
    assert resize_state(controller) is ResizeState.MODIFY_FAILED
    all_have(controller, SMALL)


async def test_the_source_is_not_commanded_before_the_last_hop_has_reserved(controller: Controller) -> None:
    await stands(controller)
    source, _, third, _ = nodes(controller)
    third.refuses, third.transient = large, True
    controller.progress._stage_timeout_s = 5.0
    await controller.service.switch_profile(NAME, "training")
    await controller.rounds(5)
    assert not source.commands
    third.refuses = lambda _change: False
    await controller.settled(NAME)
    assert source.commands == [(slice_id(controller), LARGE)]
    all_have(controller, LARGE)


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("hop", range(4))
async def test_a_hop_that_rejects_in_band_leaves_the_old_size_everywhere(
    controller: Controller, hop: int, direction: int
) -> None:
    await stands(controller)
    nodes(controller)[hop].rejects = lambda _slice, way, count: (way, count) == (direction, LARGE)
    await switch(controller, "training")
    assert "REJECTED" in conditions(controller)["RolledBack"]
    assert now(controller).active_profile == "inference"
    assert resize_state(controller) is ResizeState.MODIFY_FAILED
    all_have(controller, SMALL)
    assert not any(node.forced for node in nodes(controller))


@pytest.mark.parametrize(("profile", "count"), [("training", SMALL), ("inference", SMALL)])
async def test_one_direction_alone_is_set_right_by_force_and_told(
    controller: Controller, profile: str, count: int
) -> None:
    """Growing goes back, shrinking goes on: either way to the smaller size."""
    await stands(controller, active_profile="inference" if profile == "training" else "training")
    controller.network.handshakes.one_sided = True
    await switch(controller, profile)
    assert "possibly traffic-affecting" in conditions(controller)["ForcedConsistency"]
    assert ("RolledBack" in conditions(controller)) is (profile == "training")
    assert now(controller).active_profile == "inference"
    assert [node.forced for node in nodes(controller)] == 4 * [[(slice_id(controller), count)]]
    all_have(controller, count)
    controller.network.handshakes.one_sided = False
    await switch(controller, "training")
    assert conditions(controller) == {}, "a resize in band ends what was said of the last"
    assert resize_state(controller) is ResizeState.MODIFIED_OK
    all_have(controller, LARGE)


async def test_a_node_that_did_not_follow_is_found_and_forced(controller: Controller) -> None:
    await stands(controller)
    third = nodes(controller)[2]
    third.commit = lambda _slice, _direction, _count: None  # type: ignore[method-assign]
    forced: list[tuple[int, int]] = []

    async def force(number: int, count: int) -> None:
        forced.append((number, count))
        third.sizes[number] = [count, count]

    third.force = force  # type: ignore[method-assign]
    await switch(controller, "training")
    assert forced == [(slice_id(controller), LARGE)]
    assert f"at {third.name}:" in conditions(controller)["ForcedConsistency"]
    assert now(controller).active_profile == "training"


async def test_a_lost_outcome_of_growing_leads_back_in_band(controller: Controller) -> None:
    """All hops have the new size, but nobody told: the slice must not stay larger than its corridor."""
    await stands(controller)
    source = nodes(controller)[0]
    source.loses_replies = True
    await controller.service.switch_profile(NAME, "training")
    await until(lambda: "RolledBack" in conditions(controller), "it is given up")
    source.loses_replies = False
    await controller.settled(NAME)
    assert source.commands[0] == (slice_id(controller), LARGE)
    assert set(source.commands[1:]) == {(slice_id(controller), SMALL)}  # again where that reply was lost as well
    assert not any(node.forced for node in nodes(controller))
    all_have(controller, SMALL)


async def test_a_handshake_that_outlasts_patience_is_waited_for_before_the_next(controller: Controller) -> None:
    await stands(controller)
    controller.network.handshakes.step_s = 0.03  # 8 requests and 8 commits: beyond a stage's 0.25 s
    await switch(controller, "training")
    assert "RolledBack" in conditions(controller)
    all_have(controller, SMALL)
    assert not any(node.forced for node in nodes(controller))


async def test_shrinking_over_a_cut_fibre_is_forced_in_the_end(controller: Controller) -> None:
    await stands(controller, active_profile="training")
    controller.network.cut("F-cp-tz", silently=True)
    await switch(controller, "inference")
    assert "ForcedConsistency" in conditions(controller)
    controller.network.mend("F-cp-tz", silently=True)
    all_have(controller, SMALL)
    assert nodes(controller)[0].commands == 4 * [(slice_id(controller), SMALL)], "first it was tried in band"


async def test_a_source_that_restarts_while_the_far_end_judges_ends_in_one_size(controller: Controller) -> None:
    """Every hop has been asked, none has committed: the source knows nothing any more of what it asked for."""
    await stands(controller)
    source, far = nodes(controller)[0], nodes(controller)[-1]

    def restarts(_slice: int, _direction: int, _count: int) -> bool:
        far.rejects = lambda _slice, _direction, _count: False
        source.restart_line_card()
        return False

    far.rejects = restarts
    await switch(controller, "training")
    await controller.in_line()
    all_have(controller, LARGE if now(controller).active_profile == "training" else SMALL)


async def test_a_line_card_that_restarts_is_told_the_size_that_stands(controller: Controller) -> None:
    await stands(controller, reservation=Reservation.PEAK, active_profile="inference")
    await switch(controller, "training")
    await switch(controller, "inference")
    for node in nodes(controller):
        node.restart_line_card()
    await controller.in_line()
    assert {(len(slots), *sizes) for slots, sizes in held(controller).values()} == {(LARGE, SMALL, SMALL)}
    assert not conditions(controller)


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_audit_finds_a_node_with_another_size(
    network: SimulatedNetwork, database: str, restarted: bool
) -> None:
    """By the next read-back, or when a controller starts; it is forced and told."""
    controller = await Controller(network, database).start(chain())
    await controller.bootstrapped()
    await stands(controller, active_profile="training")
    second = nodes(controller)[1]
    for direction in (0, 1):
        second.commit(slice_id(controller), direction, SMALL)
    if restarted:
        await controller.stop()
        controller = await Controller(network, database).start(chain())
        await controller.bootstrapped()
    else:
        controller.state.reconciler.connected(second.name)  # what the periodic read-back does, sooner
    await until(lambda: "ForcedConsistency" in conditions(controller), "it is told")
    assert [node.forced for node in nodes(controller)] == [[], [(slice_id(controller), LARGE)], [], []]
    assert (now(controller).state, now(controller).stage) == (State.UP, Stage.SETTLED)
    all_have(controller, LARGE)
    await controller.stop()


@pytest.mark.parametrize("direction", [0, 1])
async def test_the_audit_finds_a_surplus_in_one_direction(controller: Controller, direction: int) -> None:
    await stands(controller, reservation=Reservation.PEAK)
    second = nodes(controller)[1]
    second.commit(slice_id(controller), direction, SMALL + 1)
    controller.state.reconciler.connected(second.name)
    await until(lambda: "ForcedConsistency" in conditions(controller), "it is told")
    assert [node.forced for node in nodes(controller)] == [[], [(slice_id(controller), SMALL)], [], []]
    assert {tuple(sizes) for _, sizes in held(controller).values()} == {(SMALL, SMALL)}


async def test_what_stands_costs_no_call_of_a_line_card(controller: Controller) -> None:
    await stands(controller)
    start = len(controller.network.history)
    await controller.service.update_corridor(corridor(name=NAME, priority=3), ("priority",))
    await controller.settled(NAME)
    await controller.rounds(3)
    for node in controller.network.otn_nodes:
        controller.state.reconciler.connected(node.name)
    await controller.rounds(3)
    assert controller.network.history[start:] == []


@pytest.fixture
async def protected(database: str) -> AsyncIterator[Controller]:
    """A corridor over one fibre, protected over the three others of the ring."""
    network = SimulatedNetwork.wired(ring())
    controller = await Controller(network, database).start(ring())
    await controller.bootstrapped()
    wanted = corridor(reservation=Reservation.ACTIVE, protection=Protection.PROTECT)
    await controller.service.create_corridor("tenants/default", "c1", wanted)
    await controller.settled(NAME)
    assert len(now(controller).legs[0].slices) == 2
    yield controller
    await controller.stop()


def sizes_of(controller: Controller) -> set[tuple[int, int, int]]:
    """(reserved, A to Z, Z to A) of both slices at all of their nodes."""
    numbers = {part.id for part in now(controller).legs[0].slices}
    return {
        (len(held.slots), *node.sizes[number])
        for node in nodes(controller)
        for number in numbers
        for held in node.slots_of(number)
    }


async def test_working_and_protection_slice_are_resized_at_the_same_time(protected: Controller) -> None:
    protected.network.handshakes.step_s = 0.002
    most = 0

    def count(_happening: str) -> None:
        nonlocal most
        most = max(most, len(protected.network.handshakes.under_way))

    protected.network.witnesses.append(count)
    for profile, size in (("training", LARGE), ("inference", SMALL)):
        most = 0
        await switch(protected, profile)
        assert most == 2
        assert sizes_of(protected) == {(size, size, size)}
        assert {part.resize_state for part in now(protected).legs[0].slices} == {ResizeState.MODIFIED_OK}
        books_agree(protected)


async def test_a_protection_slice_that_is_refused_takes_the_working_one_back(protected: Controller) -> None:
    """Refused on the way round, which the working slice does not take; that one had its new size already."""
    protected.network.otn("cp-o").rejects = lambda _slice, _direction, count: count == LARGE
    await switch(protected, "training")
    assert "RolledBack" in conditions(protected)
    assert sizes_of(protected) == {(SMALL, SMALL, SMALL)}
    assert {part.resize_state for part in now(protected).legs[0].slices} == {ResizeState.MODIFY_FAILED}
    assert not any(node.forced for node in nodes(protected))
    (working, _) = now(protected).legs[0].slices
    source = nodes(protected)[0]
    assert [count for number, count in source.commands if number == working.id] == [LARGE, SMALL]
    books_agree(protected)
