"""Slots run by run against sets of numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.core.otn.slots import bitmap_of_runs, first_of, format_runs, parse_runs, runs_of

numbers = st.sets(st.integers(1, 952))


def listed(runs: list[tuple[int, int]]) -> list[int]:
    return [slot for first, last in runs for slot in range(first, last + 1)]


@settings(max_examples=200, deadline=None)
@given(numbers)
@example(set())
@example({1})
@example({952})
@example(set(range(1, 953)))
def test_runs_of_a_bitmap_are_its_numbers_in_as_few_runs_as_can_be(held: set[int]) -> None:
    runs = list(runs_of(sum(1 << (slot - 1) for slot in held)))
    assert listed(runs) == sorted(held)
    assert all(after[0] > before[1] + 1 for before, after in pairwise(runs))
    assert bitmap_of_runs(runs) == sum(1 << (slot - 1) for slot in held)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 60), unique=True), st.integers(0, 70))
def test_the_first_of_runs_are_the_first_of_the_numbers(order: list[int], count: int) -> None:
    runs = parse_runs(format_runs((slot, slot) for slot in order))
    assert listed(runs) == order
    assert listed(first_of(runs, count)) == order[:count]
