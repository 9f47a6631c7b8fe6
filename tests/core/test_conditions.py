"""All that can be said of a corridor stands in one list, and in the documents."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.core.conditions import ConditionType, with_condition, without_condition
from controller.core.hitless import Loss
from controller.core.model import Corridor

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DOCUMENT = Path(__file__).parents[2] / "docs" / "conditions.md"


def test_each_type_has_a_line_in_the_documents() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| [a-z]", DOCUMENT.read_text(), re.M)) >= {str(each) for each in ConditionType}


def test_each_loss_has_a_line_in_the_documents() -> None:
    text = DOCUMENT.read_text()
    assert all(f"`{loss}`" in text for loss in Loss if loss is not Loss.PATH_DEAD)


def test_nothing_else_is_said() -> None:
    with pytest.raises(ValueError, match="Puzzled"):
        with_condition(Corridor(), "Puzzled", True, "", "", NOW)


def test_a_condition_holds_since_its_reason_does() -> None:
    first = with_condition(Corridor(generation=1), ConditionType.PATH_LOST, True, "NO_PATH", "one", NOW)
    later = NOW + timedelta(seconds=5)
    again = with_condition(replace(first, generation=2), ConditionType.PATH_LOST, True, "NO_PATH", "two", later)
    (told,) = again.conditions
    assert (told.since, told.message, told.observed_generation) == (NOW, "two", 2)
    other = with_condition(again, ConditionType.PATH_LOST, True, "NO_CAPACITY", "three", later)
    assert other.conditions[0].since == later
    assert without_condition(other, "PathLost").conditions == ()
