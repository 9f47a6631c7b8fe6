"""One table of states and one of stages: complete where anything may happen, closed where it may not."""

from __future__ import annotations

import pytest

from controller.core.errors import FailedPrecondition
from controller.core.lifecycle import NEXT_STAGE, Happening, after
from controller.core.model import Stage, State

NETWORK = (Happening.PATH_LOST, Happening.PATH_BACK, Happening.ROUTE_LOST, Happening.SETTLED)
"""Happenings that nobody asked for: they come in any state."""
ALIVE = [state for state in State if state is not State.DELETING]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("happening", NETWORK)
def test_the_network_surprises_no_state(state: State, happening: Happening) -> None:
    assert after(state, happening) in State


@pytest.mark.parametrize("state", State)
def test_deletion_is_possible_from_everywhere_and_final(state: State) -> None:
    assert after(state, Happening.DELETE) is State.DELETING
    for happening in (*NETWORK, Happening.DELETE):
        assert after(State.DELETING, happening) is State.DELETING


def test_what_is_being_deleted_cannot_be_changed() -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        after(State.DELETING, Happening.CHANGE)
    assert refusal.value.reason == "WRONG_STATE"
    assert "CHANGE" in str(refusal.value)
    assert "DELETING" in str(refusal.value)


@pytest.mark.parametrize("state", ALIVE)
def test_a_corridor_alive_may_be_changed_and_stays_what_it_is(state: State) -> None:
    assert after(state, Happening.CHANGE) is state


@pytest.mark.parametrize("state", ALIVE)
def test_a_lost_path_is_down_and_a_settled_change_up(state: State) -> None:
    assert after(state, Happening.PATH_LOST) is State.DOWN
    settled = State.DEGRADED if state is State.DEGRADED else State.UP
    assert after(state, Happening.SETTLED) is settled, "a change does not mend a fibre"


def test_a_path_that_comes_back_brings_up_what_stood_but_not_what_was_never_built() -> None:
    assert after(State.DOWN, Happening.PATH_BACK) is State.UP
    assert after(State.PROVISIONING, Happening.PATH_BACK) is State.PROVISIONING


def test_one_of_two_routes_left_is_less_than_promised_and_more_than_nothing() -> None:
    assert after(State.UP, Happening.ROUTE_LOST) is State.DEGRADED
    assert after(State.DOWN, Happening.ROUTE_LOST) is State.DEGRADED
    assert after(State.DEGRADED, Happening.PATH_BACK) is State.UP
    assert after(State.PROVISIONING, Happening.ROUTE_LOST) is State.PROVISIONING


def test_stages_run_once_through_and_end() -> None:
    walked, stage = [Stage.BUILD], Stage.BUILD
    while stage in NEXT_STAGE:
        stage = NEXT_STAGE[stage]
        walked.append(stage)
    assert walked == [Stage.BUILD, Stage.STEER, Stage.CLEAN, Stage.SETTLED]
