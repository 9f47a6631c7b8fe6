"""The verdict on a promise: by what is measured, how old that is, and whether anything is carried."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controller.core.conditions import ConditionType, with_condition
from controller.core.model import Corridor, Enforcement, Leg, State
from controller.core.promises import Verdict
from controller.core.slo import Measurement, verdict

LOST_AT = datetime(2026, 5, 1, tzinfo=UTC)
FRESH = Measurement(900, 0.5)
OLD = Measurement(900, 60.0)


@pytest.mark.parametrize(
    ("state", "bound_us", "measured", "expected"),
    [
        (State.UP, 1000, FRESH, (Verdict.MET, "", 900)),
        (State.UP, 900, FRESH, (Verdict.MET, "", 900)),
        (State.UP, 899, FRESH, (Verdict.MISSED, "LATENCY", 900)),
        (State.UP, 0, FRESH, (Verdict.MET, "", 900)),
        (State.UP, 899, OLD, (Verdict.UNKNOWN, "STALE", 900)),
        (State.UP, 0, None, (Verdict.UNKNOWN, "NOT_MEASURED", 0)),
        (State.DEGRADED, 1000, FRESH, (Verdict.MET, "", 900)),
        (State.DEGRADED, 800, FRESH, (Verdict.MISSED, "LATENCY", 900)),
        (State.DOWN, 1000, FRESH, (Verdict.MISSED, "DOWN", 0)),
        (State.DOWN, 0, None, (Verdict.MISSED, "DOWN", 0)),
        (State.PROVISIONING, 1000, None, (Verdict.UNKNOWN, "PROVISIONING", 0)),
        (State.DELETING, 1000, FRESH, (Verdict.UNKNOWN, "DELETING", 0)),
    ],
)
def test_verdicts(
    state: State, bound_us: int, measured: Measurement | None, expected: tuple[Verdict, str, int]
) -> None:
    told = verdict(Corridor(state=state, max_latency_us=bound_us), measured)
    assert (told.verdict, told.reason, told.measured_latency_us) == expected
    assert told.message


def test_a_promise_is_missed_since_its_path_was_lost() -> None:
    corridor = with_condition(
        Corridor(state=State.DOWN), ConditionType.PATH_LOST, True, "NO_PATH", "a fibre is down", LOST_AT
    )
    assert verdict(corridor, None).since == LOST_AT


def test_whoever_drops_excess_is_named() -> None:
    leg = Leg("d", 0, ("domains/d/nodes/r1", "domains/d/nodes/r2"), reverse_enforcement=Enforcement.POLICED)
    assert "r2" in verdict(Corridor(state=State.UP, legs=(leg,)), FRESH).message
    assert "half" in verdict(Corridor(state=State.UP), FRESH).message, "how it was measured is told"
