"""Servers that are opened on demand: their names, and how their rows come and go with what is in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import Infeasible
from controller.core.model import Container, SliceHop
from controller.core.otn import Claim, Ledger, Row, RowKey, resumed
from controller.core.otn.ledger import ClaimRole, slice_claims
from controller.core.otn.servers import OpenedServer, openable, opened_server

LINES = (RowKey("f", "line", 0), RowKey("f", "line", 1))
EMPTY = Ledger({LINES[0]: Row(8), RowKey("f", "odu1-1", 0): Row(238), RowKey("a", "", 0): Row(100)})
NOTHING: frozenset[Claim] = frozenset()


def in_server(server: str, slots: str = "1-3", owner: str = "a") -> frozenset[Claim]:
    return frozenset(slice_claims(owner, [SliceHop("f", server, slots)]))


def taken(ledger: Ledger) -> dict[RowKey, int]:
    return {key: row.bitmap for key, row in ledger.rows.items() if row.bitmap}


@given(st.sampled_from([Container.ODU0, Container.ODU1, Container.ODU2]), st.sets(st.integers(1, 80), min_size=1))
def test_a_name_tells_what_it_is_and_where(odu: Container, slots: set[int]) -> None:
    server = OpenedServer(odu, sum(1 << (slot - 1) for slot in slots))
    assert opened_server(server.name) == server
    assert server.name.startswith(f"odu{odu[-1]}:{min(slots)}")


@pytest.mark.parametrize("name", ["odu1-1", "line", "", "odu2-12"])
def test_other_names_are_not_of_those(name: str) -> None:
    assert opened_server(name) is None


def test_it_is_opened_in_the_lowest_free_slots_wherever_they_are() -> None:
    opened = openable(Container.ODU2, 0b10100000)
    assert opened is not None
    assert (opened.name, opened.fgts) == ("odu1:6,8", 238)
    assert openable(Container.ODU2, 0) is openable(Container.ODU0, 1) is None
    below = openable(Container.ODU1, 0b11)
    assert below is not None
    assert below.name == "odu0:1"


def test_it_stands_while_either_direction_holds_something() -> None:
    there, back = sorted(in_server("odu0:8"))
    both = EMPTY.change(NOTHING, frozenset({there, back}))
    assert taken(both) == {there.row: 0b111, back.row: 0b111, LINES[0]: 0x80, LINES[1]: 0x80}
    for first, second in ((there, back), (back, there)):
        one = both.change(frozenset({first}), NOTHING)
        assert taken(one) == {second.row: 0b111, LINES[0]: 0x80, LINES[1]: 0x80}
        assert first.row in one.rows, "both directions stand or none"
        none = one.change(frozenset({second}), NOTHING)
        assert taken(none) == {}
        assert none.rows.keys() == EMPTY.rows.keys()


def test_within_one_change_its_slots_of_the_line_go_to_another() -> None:
    small = EMPTY.change(NOTHING, in_server("odu0:1"))
    large = small.change(in_server("odu0:1"), in_server("odu1:1-2"))
    assert taken(large)[LINES[0]] == 0b11
    assert RowKey("f", "odu0:1", 0) not in large.rows
    with pytest.raises(Infeasible):
        small.change(NOTHING, in_server("odu1:1-2", owner="b"))


def test_one_that_is_emptied_and_filled_at_once_stands_on() -> None:
    before = EMPTY.change(NOTHING, in_server("odu0:1"))
    after = before.change(in_server("odu0:1"), in_server("odu0:1", "4", "b"))
    assert {key.server for key, _, _ in before.changed(after)} == {"odu0:1"}, "its line has seen nothing"


def test_what_lies_beyond_the_line_is_refused() -> None:
    with pytest.raises(Infeasible):
        EMPTY.change(NOTHING, in_server("odu1:8-9"))
    with pytest.raises(KeyError):
        EMPTY.change(NOTHING, in_server("odu1-7"))


def test_what_a_plan_offers_is_what_its_rows_and_its_lines_have_room_for() -> None:
    planned = EMPTY.change(NOTHING, in_server("line", "1-2", "trail"))
    offered = {"odu1-1": True, "line": False, "odu1:7-8": True, "odu1:8-9": False, "odu1:2-3": False, "odu1-7": False}
    assert {server: all(map(planned.offers, in_server(server))) for server in offered} == offered
    assert not planned.offers(Claim("a", RowKey("g", "line", 0), 1))
    assert not planned.offers(Claim("a", RowKey("a", "odu0:1", 0), 1))
    assert not planned.offers(Claim("a", RowKey("f", "odu1-1", 0), 1 << 238))
    assert planned.offers(Claim("a", RowKey("a", "", 0), kbps=100))
    assert not planned.offers(Claim("a", RowKey("a", "", 0), kbps=101))


def test_a_difference_has_every_row_that_came_changed_or_went() -> None:
    before = EMPTY.change(NOTHING, in_server("odu0:1") | in_server("odu1-1"))
    after = before.change(in_server("odu0:1"), in_server("odu0:2", owner="b"))
    differing = {key: (old is not None, new is not None) for key, old, new in before.changed(after)}
    assert differing == {
        RowKey("f", server, way): there
        for way in (0, 1)
        for server, there in {"line": (True, True), "odu0:1": (True, False), "odu0:2": (False, True)}.items()
    }
    assert before.gives_back(after)
    assert not EMPTY.gives_back(before)
    assert not before.gives_back(before.change(NOTHING, in_server("odu0:1", "7", "b")))


def test_a_start_is_past_every_version_that_was_stored() -> None:
    """Also of rows that are no more: what an older writer saw fits nothing."""
    stored = {RowKey("f", "odu0:1", 0): 41, LINES[0]: 7}
    started = resumed(EMPTY, stored)
    assert {row.version for row in started.rows.values()} == {42}
    opened = started.change(NOTHING, in_server("odu0:1"))
    assert opened.row(RowKey("f", "odu0:1", 0)).version > 42
    assert taken(resumed(opened, {})) == taken(opened)


def test_a_claim_says_what_it_is_for() -> None:
    claims = slice_claims("a", [SliceHop("f", "odu0:1", "2")], ClaimRole.PROTECTION)
    assert [(claim.row.direction, claim.bitmap, claim.role) for claim in claims] == [
        (0, 0b10, ClaimRole.PROTECTION),
        (1, 0b10, ClaimRole.PROTECTION),
    ]
