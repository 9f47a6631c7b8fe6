"""What is taken is kept up to date through every change, and a change costs the same whatever the table holds."""

from __future__ import annotations

import sys
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.otn.rates import FGTS_ETHERNET_BPS
from controller.linecard.slot_table import Holding, HoldingKey, SlotChange, SlotTable

BELOW = {"odu0:1": {1}, "odu0:2": {2}, "odu1:1-2": {1, 2}, "odu1:2,4": {2, 4}, "odu2-1": set[int]()}
"""Tributary slots of the line under each server; of one of the file's nothing is known."""

Held = tuple[str, frozenset[int]]

sets = st.builds(
    Holding,
    st.integers(1, 5),
    st.integers(1, 2),
    st.sampled_from(["line", *BELOW]),
    st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True).map(tuple),
    st.just(0),
    st.sampled_from([0, 1_250_000_000]),
)
changes = sets | st.builds(HoldingKey, st.integers(1, 5), st.integers(1, 2))


def collide(one: Held, other: Held) -> bool:
    if one[0] == other[0]:
        return bool(one[1] & other[1])
    first, second = (slots if server == "line" else BELOW[server] for server, slots in (one, other))
    return bool(first & second)


@settings(max_examples=300, deadline=None)
@given(st.lists(changes, max_size=40))
def test_a_change_is_refused_just_where_two_slices_would_collide(batch: list[Holding | HoldingKey]) -> None:
    table = SlotTable()
    held: dict[tuple[int, int], Held] = {}
    for change in batch:
        errors = table.apply([change])
        key = change.slice_id, change.line_port
        if isinstance(change, HoldingKey):
            held.pop(key, None)
            assert errors == ()
            continue
        wanted = change.server, frozenset(change.slots)
        others = {s for (s, port), h in held.items() if port == key[1] and s != key[0] and collide(wanted, h)}
        assert bool(errors) == bool(others)
        if errors:
            assert errors[0].code == "FAILED_PRECONDITION"
            assert int(errors[0].message.split()[-1]) in others
        else:
            held[key] = wanted
    assert {(h.slice_id, h.line_port): (h.server, frozenset(h.slots)) for h in table.holdings} == held


def filled(count: int) -> list[SlotChange]:
    """`count` slices of nine slots each in ten servers, all at one line port."""
    slots = [tuple(range(first, first + 9)) for first in range(1, 10 * count, 10)]
    return [Holding(n, 2, f"odu2-{n % 10}", each, 9, FGTS_ETHERNET_BPS) for n, each in enumerate(slots, 1)]


def lines_run(table: SlotTable, batch: list[SlotChange]) -> int:
    """By `apply`, in Python."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        table.apply(batch)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "change",
    [
        Holding(7, 2, "odu2-7", tuple(range(61, 70)), 9, FGTS_ETHERNET_BPS),
        Holding(5001, 2, "odu2-6", (60001, 60002), 2, FGTS_ETHERNET_BPS),
        Holding(5001, 2, "odu0:7", (1, 2), 2, FGTS_ETHERNET_BPS),
        Holding(5001, 2, "odu2-7", (61,), 1, FGTS_ETHERNET_BPS),  # slice 7 has it
        HoldingKey(7, 2),
    ],
)
def test_a_change_costs_as_much_among_a_thousand_as_among_a_hundred(change: SlotChange) -> None:
    costs = []
    for count in (100, 1000):
        table = SlotTable()
        assert table.apply(filled(count)) == ()
        costs.append(lines_run(table, [change]))
    few, many = costs
    assert 0 < many <= few * 1.5


def test_to_fill_a_table_costs_each_holding_the_same() -> None:
    few, many = (lines_run(SlotTable(), filled(count)) for count in (100, 1000))
    assert many <= 12 * few
