"""The life of a corridor: one table of states, one of stages, and what a record is one stage on."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from controller.core.errors import FailedPrecondition
from controller.core.model import Stage, State


class Happening(StrEnum):
    """What can happen to a corridor."""

    SETTLED = "SETTLED"
    """Its traffic is steered: it is carried. What was degraded is so until somebody has looked (PATH_BACK)."""
    PATH_LOST = "PATH_LOST"
    """A link of its path went down and nothing carries it now."""
    PATH_BACK = "PATH_BACK"
    """The path it stands on is up again."""
    ROUTE_LOST = "ROUTE_LOST"
    """Of two routes one is lost, the other carries it."""
    CHANGE = "CHANGE"
    """Its owner changes it, or the controller moves it."""
    DELETE = "DELETE"


_TRANSITIONS: Mapping[tuple[State, Happening], State] = {
    (State.PROVISIONING, Happening.SETTLED): State.UP,
    (State.PROVISIONING, Happening.PATH_LOST): State.DOWN,
    (State.PROVISIONING, Happening.PATH_BACK): State.PROVISIONING,
    (State.PROVISIONING, Happening.ROUTE_LOST): State.PROVISIONING,
    (State.PROVISIONING, Happening.CHANGE): State.PROVISIONING,
    (State.PROVISIONING, Happening.DELETE): State.DELETING,
    (State.UP, Happening.SETTLED): State.UP,
    (State.UP, Happening.PATH_LOST): State.DOWN,
    (State.UP, Happening.PATH_BACK): State.UP,
    (State.UP, Happening.ROUTE_LOST): State.DEGRADED,
    (State.UP, Happening.CHANGE): State.UP,
    (State.UP, Happening.DELETE): State.DELETING,
    (State.DEGRADED, Happening.SETTLED): State.DEGRADED,
    (State.DEGRADED, Happening.PATH_LOST): State.DOWN,
    (State.DEGRADED, Happening.PATH_BACK): State.UP,
    (State.DEGRADED, Happening.ROUTE_LOST): State.DEGRADED,
    (State.DEGRADED, Happening.CHANGE): State.DEGRADED,
    (State.DEGRADED, Happening.DELETE): State.DELETING,
    (State.DOWN, Happening.SETTLED): State.UP,
    (State.DOWN, Happening.PATH_LOST): State.DOWN,
    (State.DOWN, Happening.PATH_BACK): State.UP,
    (State.DOWN, Happening.ROUTE_LOST): State.DEGRADED,
    (State.DOWN, Happening.CHANGE): State.DOWN,
    (State.DOWN, Happening.DELETE): State.DELETING,
    (State.DELETING, Happening.SETTLED): State.DELETING,
    (State.DELETING, Happening.PATH_LOST): State.DELETING,
    (State.DELETING, Happening.PATH_BACK): State.DELETING,
    (State.DELETING, Happening.ROUTE_LOST): State.DELETING,
    (State.DELETING, Happening.DELETE): State.DELETING,
}

NEXT_STAGE: Mapping[Stage, Stage] = {
    Stage.BUILD: Stage.STEER,
    Stage.STEER: Stage.CLEAN,
    Stage.CLEAN: Stage.SETTLED,
}
"""BUILD raises what the new state needs beside the old, STEER moves the traffic, CLEAN takes the old away."""


def after(state: State, happening: Happening) -> State:
    """The state after a happening; `FailedPrecondition` where the table has none."""
    try:
        return _TRANSITIONS[state, happening]
    except KeyError:
        raise FailedPrecondition(
            f"{happening.value} is not possible while {state.value}", reason="WRONG_STATE"
        ) from None
