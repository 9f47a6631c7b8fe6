"""The slot table keeps its promises, whatever is asked of it: no slot twice, and what carries traffic stays."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.core.entries import ProtectionGroup
from controller.linecard.slot_table import (
    ChangeError,
    Holding,
    HoldingKey,
    SlotError,
    SlotTable,
    Unprotect,
)

SIZE = 6
PORTS = (2, 3)
SERVERS = ("odu0-1", "odu0-2")


def held(table: SlotTable) -> dict[int, tuple[int, ...]]:
    return {holding.slice_id: holding.slots for holding in table.holdings}


def codes(errors: tuple[ChangeError, ...]) -> list[tuple[int, str]]:
    return [(error.index, error.code) for error in errors]


def test_set_replaces_the_slices_own_holding() -> None:
    table = SlotTable()
    assert table.apply([Holding(7, 2, "odu1-1", (3, 1, 2), 1)]) == ()
    assert table.apply([Holding(7, 2, "odu1-1", (3, 9), 1)]) == ()
    assert held(table) == {7: (3, 9)}
    assert table.version == 2


def test_slots_keep_the_order_in_which_they_came() -> None:
    table = SlotTable()
    table.apply([Holding(7, 2, "odu1-1", (5, 6, 7, 1), 3, 10_009_306)])
    assert table.holdings == (Holding(7, 2, "odu1-1", (5, 6, 7, 1), 3, 10_009_306),)


def test_a_slot_held_by_another_slice_is_refused_and_the_rest_of_the_batch_stands() -> None:
    table = SlotTable()
    table.apply([Holding(7, 2, "odu1-1", (1, 2), 2)])
    errors = table.apply([Holding(8, 2, "odu1-1", (2, 3), 2), Holding(9, 2, "odu1-1", (4,), 1)])
    assert codes(errors) == [(0, "FAILED_PRECONDITION")]
    assert "slice 7" in errors[0].message
    assert held(table) == {7: (1, 2), 9: (4,)}


def test_the_same_number_in_another_server_or_at_another_port_is_another_slot() -> None:
    table = SlotTable()
    assert table.apply([Holding(7, 2, "a", (1,), 1), Holding(8, 2, "b", (1,), 1), Holding(9, 3, "a", (1,), 1)]) == ()


def test_a_declared_size_bounds_the_numbers() -> None:
    table = SlotTable({(2, "odu0-1"): 119})
    errors = table.apply([Holding(7, 2, "odu0-1", (120, 1), 1), Holding(7, 2, "odu0-1", (119,), 1)])
    assert codes(errors) == [(0, "OUT_OF_RANGE")]
    assert held(table) == {7: (119,)}


@pytest.mark.parametrize(("name", "slots"), [("odu0:80", 119), ("odu1:3-4", 238), ("odu1:3,7", 238), ("odu2:1-8", 952)])
def test_the_name_of_a_server_opened_on_demand_bounds_them_too(name: str, slots: int) -> None:
    table = SlotTable()
    errors = table.apply([Holding(7, 2, name, (slots + 1,), 1), Holding(7, 2, name, (slots,), 1)])
    assert codes(errors) == [(0, "OUT_OF_RANGE")]


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (("odu1:3-4", (1,)), ("odu0:4", (1,)), False),
        (("odu1:3-4", (1,)), ("odu0:5", (1,)), True),
        (("odu2:1-8", (9,)), ("odu1:7-8", (9,)), False),
        (("odu1:3-4", (1,)), ("line", (4, 9)), False),
        (("line", (4, 9)), ("odu1:9-10", (1,)), False),
        (("odu1:3-4", (1,)), ("line", (1, 2, 5)), True),
        (("odu1:3-4", (1,)), ("odu1:3-4", (2,)), True),
        (("odu1:3-4", (1,)), ("odu1:3-4", (1,)), False),
        (("odu1-1", (1,)), ("odu0:1", (1,)), True),  # from the file: where it is in the line is not said
    ],
)
def test_servers_and_trails_do_not_overlap_in_the_line(
    first: tuple[str, tuple[int, ...]], second: tuple[str, tuple[int, ...]], together: bool
) -> None:
    table = SlotTable()
    assert table.apply([Holding(7, 2, *first, 1), Holding(9, 3, *second, 1)]) == ()
    errors = table.apply([Holding(8, 2, *second, 1)])
    assert codes(errors) == ([] if together else [(0, "FAILED_PRECONDITION")])


@pytest.mark.parametrize(
    "holding",
    [
        Holding(7, 2, "a", (), 0),
        Holding(7, 2, "a", (0, 1), 1),
        Holding(7, 2, "a", (1, 1), 1),
        Holding(7, 2, "a", (1,), 2),
        Holding(7, 2, "", (1,), 1),
        Holding(7, 0, "a", (1,), 1),
        Holding(0, 2, "a", (1,), 1),
        Holding(7, 2, "a", (1, 65536), 1),
        Holding(7, 2, "a" * 161, (1,), 1),
        Holding(7, 2, "odu4:1-80", (1,), 1),
        Holding(7, 2, "odu1:", (1,), 1),
        Holding(7, 2, "odu1:x", (1,), 1),
        Holding(7, 2, "trunk:1", (1,), 1),
        Holding(7, 2, "odu1:0-1", (1,), 1),
    ],
)
def test_nonsense_is_refused(holding: Holding) -> None:
    table = SlotTable()
    assert codes(table.apply([holding])) == [(0, "INVALID_ARGUMENT")]
    assert table.version == 0
    assert table.holdings == ()


def test_what_changes_nothing_keeps_the_version() -> None:
    table = SlotTable()
    group = ProtectionGroup(7, 8, 0, 2, 3)
    table.apply([Holding(7, 2, "a", (1, 2), 1), group])
    table.apply([Holding(7, 2, "a", (1, 2), 2), HoldingKey(9, 9), group, Unprotect(9)])
    assert table.version == 1


def test_the_size_is_told_once_and_then_committed() -> None:
    table = SlotTable()
    table.apply([Holding(7, 2, "a", (1, 2, 3), 2), Holding(7, 3, "a", (4, 5, 6), 2)])
    assert table.committed(7) == (2, 2)
    table.commit(7, 1, 3)
    table.apply([Holding(7, 2, "a", (1, 2, 3, 4), 1)])
    assert table.committed(7) == (2, 3)
    assert [holding.active for holding in table.holdings] == [2, 2]


def test_no_more_is_committed_than_the_shortest_list_of_the_node_has() -> None:
    table = SlotTable()
    table.apply([Holding(7, 2, "a", (1, 2, 3), 1), Holding(7, 3, "a", (4, 5), 1)])
    with pytest.raises(SlotError) as refused:
        table.commit(7, 0, 3)
    assert refused.value.code == "FAILED_PRECONDITION"
    with pytest.raises(SlotError) as unknown:
        table.commit(8, 0, 1)
    assert unknown.value.code == "NOT_FOUND"
    assert table.committed(7) == (1, 1)
    assert table.committed(8) is None


@pytest.mark.parametrize(
    ("holding", "refused"),
    [
        (Holding(7, 2, "a", (3, 1), 2), False),
        (Holding(7, 2, "a", (3, 1, 8, 9), 2), False),
        (Holding(7, 2, "a", (3,), 1), True),  # fewer than carry traffic
        (Holding(7, 2, "a", (1, 3, 2), 2), True),  # others carry traffic
        (Holding(7, 2, "b", (3, 1, 2), 2), True),  # the same numbers, elsewhere
        (Holding(7, 3, "b", (9,), 1), True),  # a branch too thin
        (Holding(7, 3, "b", (9, 8), 1), False),
    ],
)
def test_slots_that_carry_traffic_stay(holding: Holding, refused: bool) -> None:
    table = SlotTable()
    table.apply([Holding(7, 2, "a", (3, 1, 2), 1)])
    table.commit(7, 1, 2)
    assert codes(table.apply([holding])) == ([(0, "FAILED_PRECONDITION")] if refused else [])


def test_a_trail_takes_other_slots_while_it_carries_traffic() -> None:
    """It fills all of them, and the file of the network says which: after an edit others, or more, or fewer."""
    table = SlotTable()
    table.apply([Holding(7, 2, "line", (1, 2), 2), Holding(7, 3, "line", (5, 6), 2), Holding(8, 2, "line", (3,), 1)])
    assert codes(table.apply([Holding(7, 2, "line", (3, 4), 2)])) == [(0, "FAILED_PRECONDITION")]
    assert held(table)[8] == (3,)
    assert table.apply([Holding(8, 2, "line", (5,), 1), Holding(7, 2, "line", (3, 4), 2)]) == ()
    assert table.apply([Holding(9, 2, "odu1:1-2", (1,), 1, 10_009_306)]) == ()
    assert table.apply([Holding(7, port, "line", (4,), 1) for port in PORTS]) == ()
    assert [holding.active for holding in table.held(7)] == [1, 1]


@pytest.mark.parametrize(("before", "after"), [(1_249_409_000, 1_249_409_000), (1_249_409_000, 0), (0, 1_249_409_000)])
def test_a_slice_in_tributary_slots_of_the_line_keeps_those_that_carry_it(before: int, after: int) -> None:
    table = SlotTable()
    table.apply([Holding(7, 2, "line", (1, 2, 3), 2, before)])
    assert codes(table.apply([Holding(7, 2, "line", (4, 5, 6), 1, after)])) == [(0, "FAILED_PRECONDITION")]
    assert table.apply([Holding(7, 2, "line", (1, 2, 4), 1, after)]) == ()
    assert table.committed(7) == (2, 2)


def test_the_size_is_forgotten_with_the_last_holding() -> None:
    table = SlotTable()
    table.apply([Holding(7, 2, "a", (1, 2), 2), Holding(7, 3, "a", (1, 2), 2)])
    first = table.since(7)
    table.apply([HoldingKey(7, 3)])
    assert table.committed(7) == (2, 2)
    table.apply([HoldingKey(7, 2)])
    assert table.committed(7) is None
    assert table.since(7) == 0
    assert table.apply([Holding(7, 2, "b", (9,), 1)]) == ()
    assert table.committed(7) == (1, 1)
    assert table.since(7) not in (0, first)


def test_protection_groups_are_kept_by_their_working_slice() -> None:
    table = SlotTable()
    assert table.apply([ProtectionGroup(9, 8, 1, 3, 2), ProtectionGroup(7, 8, 0, 2, 3)]) == ()
    assert table.apply([ProtectionGroup(7, 6, 0, 2, 4)]) == ()
    assert table.protections == (ProtectionGroup(7, 6, 0, 2, 4), ProtectionGroup(9, 8, 1, 3, 2))
    assert table.apply([Unprotect(7), Unprotect(7)]) == ()
    assert table.protections == (ProtectionGroup(9, 8, 1, 3, 2),)
    assert table.version == 3


@pytest.mark.parametrize(
    "group",
    [
        ProtectionGroup(7, 7, 0, 2, 3),
        ProtectionGroup(7, 8, 0, 2, 2),
        ProtectionGroup(7, 8, 2, 2, 3),
        ProtectionGroup(0, 8, 0, 2, 3),
        ProtectionGroup(7, 8, 0, 2, 0),
    ],
)
def test_a_protection_group_is_of_two_slices_at_two_ports(group: ProtectionGroup) -> None:
    table = SlotTable()
    assert codes(table.apply([group])) == [(0, "INVALID_ARGUMENT")]
    assert table.protections == ()


slots = st.lists(st.integers(1, SIZE + 1), min_size=1, max_size=4, unique=True).map(tuple)
holdings = st.builds(
    Holding, st.integers(1, 5), st.sampled_from(PORTS), st.sampled_from(SERVERS), slots, st.integers(0, 1)
)
keys = st.builds(HoldingKey, st.integers(1, 5), st.sampled_from(PORTS))


class AgainstOwners(RuleBasedStateMachine):
    """The oracle keeps an owner for each single slot, and which of them carry traffic, and decides by that alone."""

    def __init__(self) -> None:
        super().__init__()
        self.table = SlotTable({(port, server): SIZE for port in PORTS for server in SERVERS})
        self.owner: dict[tuple[int, str, int], int] = {}
        self.rank: dict[tuple[int, str, int], int] = {}
        self.sizes: dict[int, list[int]] = {}

    def expect(self, change: Holding | HoldingKey) -> bool:
        mine = {slot for slot, s in self.owner.items() if s == change.slice_id and slot[0] == change.line_port}
        wanted: list[tuple[int, str, int]] = []
        if isinstance(change, Holding):
            wanted = [(change.line_port, change.server, slot) for slot in change.slots]
            if max(change.slots) > SIZE or any(self.owner.get(w, change.slice_id) != change.slice_id for w in wanted):
                return False
            most = max(self.sizes.get(change.slice_id, [0]))
            carrying = sorted((slot for slot in mine if self.rank[slot] < most), key=self.rank.__getitem__)
            if len(wanted) < most or (carrying and wanted[:most] != carrying):
                return False
            self.sizes.setdefault(change.slice_id, [change.active, change.active])
        for slot in mine:
            del self.owner[slot], self.rank[slot]
        self.owner.update(dict.fromkeys(wanted, change.slice_id))
        self.rank.update({slot: rank for rank, slot in enumerate(wanted)})
        if change.slice_id not in self.owner.values():
            self.sizes.pop(change.slice_id, None)
        return True

    @rule(changes=st.lists(holdings | keys, min_size=1, max_size=5))
    def apply(self, changes: list[Holding | HoldingKey]) -> None:
        version = self.table.version
        before = self.table.holdings
        refused = {index for index, change in enumerate(changes) if not self.expect(change)}
        assert {error.index for error in self.table.apply(changes)} == refused
        assert (self.table.version != version) == (self.table.holdings != before)

    @precondition(lambda self: self.owner)
    @rule(data=st.data(), direction=st.integers(0, 1), count=st.integers(0, 4))
    def commit(self, data: st.DataObject, direction: int, count: int) -> None:
        slice_id = data.draw(st.sampled_from(sorted(set(self.owner.values()))))
        lists = Counter(slot[:2] for slot, owner in self.owner.items() if owner == slice_id)
        if count > min(lists.values()):
            with pytest.raises(SlotError):
                self.table.commit(slice_id, direction, count)
            return
        self.table.commit(slice_id, direction, count)
        self.sizes[slice_id][direction] = count

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
        sizes = {slice_id: tuple(counts) for slice_id, counts in self.sizes.items()}
        assert {slice_id: self.table.committed(slice_id) for slice_id in range(1, 6)} == {
            slice_id: sizes.get(slice_id) for slice_id in range(1, 6)
        }


TestAgainstOwners = AgainstOwners.TestCase
TestAgainstOwners.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
