"""The slot table keeps its one promise, whatever is asked of it."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.linecard.slot_table import Holding, HoldingKey, SlotTable

SIZE = 6
PORTS = (2, 3)
SERVERS = ("odu0-1", "odu0-2")


def held(table: SlotTable) -> dict[int, tuple[int, ...]]:
    return {holding.slice_id: holding.slots for holding in table.holdings}


def test_set_replaces_the_slices_own_holding() -> None:
    table = SlotTable()
    assert table.apply([Holding(7, 2, "odu1-1", (1, 2, 3), 3)]) == ()
    assert table.apply([Holding(7, 2, "odu1-1", (2, 9), 1)]) == ()
    assert held(table) == {7: (2, 9)}
    assert table.version == 2


def test_a_slot_held_by_another_slice_is_refused_and_the_rest_of_the_batch_stands() -> None:
    table = SlotTable()
    table.apply([Holding(7, 2, "odu1-1", (1, 2), 2)])
    errors = table.apply([Holding(8, 2, "odu1-1", (2, 3), 2), Holding(9, 2, "odu1-1", (4,), 1)])
    assert [(error.index, error.code) for error in errors] == [(0, "FAILED_PRECONDITION")]
    assert "slice 7" in errors[0].message
    assert held(table) == {7: (1, 2), 9: (4,)}


def test_the_same_number_in_another_server_or_at_another_port_is_another_slot() -> None:
    table = SlotTable()
    assert table.apply([Holding(7, 2, "a", (1,), 1), Holding(8, 2, "b", (1,), 1), Holding(9, 3, "a", (1,), 1)]) == ()


def test_a_declared_size_bounds_the_numbers() -> None:
    table = SlotTable({(2, "odu0-1"): 119})
    errors = table.apply([Holding(7, 2, "odu0-1", (119, 120), 1), Holding(7, 2, "odu0-1", (119,), 1)])
    assert [(error.index, error.code) for error in errors] == [(0, "OUT_OF_RANGE")]
    assert held(table) == {7: (119,)}


@pytest.mark.parametrize(
    "holding",
    [
        Holding(7, 2, "a", (), 0),
        Holding(7, 2, "a", (0, 1), 1),
        Holding(7, 2, "a", (2, 1), 1),
        Holding(7, 2, "a", (1, 1), 1),
        Holding(7, 2, "a", (1,), 2),
        Holding(7, 2, "", (1,), 1),
        Holding(7, 0, "a", (1,), 1),
        Holding(0, 2, "a", (1,), 1),
    ],
)
def test_nonsense_is_refused(holding: Holding) -> None:
    table = SlotTable()
    assert [error.code for error in table.apply([holding])] == ["INVALID_ARGUMENT"]
    assert table.version == 0
    assert table.holdings == ()


def test_what_changes_nothing_keeps_the_version() -> None:
    table = SlotTable()
    table.apply([Holding(7, 2, "a", (1,), 1)])
    table.apply([Holding(7, 2, "a", (1,), 1), HoldingKey(9, 9)])
    assert table.version == 1


slots = st.sets(st.integers(1, SIZE + 1), min_size=1, max_size=4).map(lambda numbers: tuple(sorted(numbers)))
holdings = st.builds(
    Holding, st.integers(1, 5), st.sampled_from(PORTS), st.sampled_from(SERVERS), slots, st.integers(0, 1)
)
keys = st.builds(HoldingKey, st.integers(1, 5), st.sampled_from(PORTS))


class AgainstOwners(RuleBasedStateMachine):
    """The oracle keeps an owner for each single slot and decides by that alone."""

    def __init__(self) -> None:
        super().__init__()
        self.table = SlotTable({(port, server): SIZE for port in PORTS for server in SERVERS})
        self.owner: dict[tuple[int, str, int], int] = {}

    def expect(self, change: Holding | HoldingKey) -> bool:
        if isinstance(change, Holding):
            wanted = [(change.line_port, change.server, slot) for slot in change.slots]
            if max(change.slots) > SIZE or any(self.owner.get(w, change.slice_id) != change.slice_id for w in wanted):
                return False
        mine = (change.slice_id, change.line_port)
        self.owner = {slot: s for slot, s in self.owner.items() if (s, slot[0]) != mine}
        if isinstance(change, Holding):
            self.owner.update(dict.fromkeys(wanted, change.slice_id))
        return True

    @rule(changes=st.lists(holdings | keys, min_size=1, max_size=5))
    def apply(self, changes: list[Holding | HoldingKey]) -> None:
        version = self.table.version
        before = self.table.holdings
        refused = {index for index, change in enumerate(changes) if not self.expect(change)}
        assert {error.index for error in self.table.apply(changes)} == refused
        assert (self.table.version != version) == (self.table.holdings != before)

    @precondition(lambda self: self.owner)
    @rule(data=st.data())
    def steal(self, data: st.DataObject) -> None:
        port, server, slot = data.draw(st.sampled_from(sorted(self.owner)))
        errors = self.table.apply([Holding(99, port, server, (slot,), 1)])
        assert [error.code for error in errors] == ["FAILED_PRECONDITION"]

    @invariant()
    def no_slot_is_held_twice(self) -> None:
        taken = Counter((h.line_port, h.server, slot) for h in self.table.holdings for slot in h.slots)
        assert all(count == 1 for count in taken.values())

    @invariant()
    def the_table_is_what_the_owners_say(self) -> None:
        assert {(h.line_port, h.server, s): h.slice_id for h in self.table.holdings for s in h.slots} == self.owner


TestAgainstOwners = AgainstOwners.TestCase
TestAgainstOwners.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
