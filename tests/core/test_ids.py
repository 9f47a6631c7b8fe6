"""Ids that devices see: never renumbered, rested before they mean something else, refused when used up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.errors import Infeasible
from controller.core.ids import RANGES, IdKey, Ids

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIB = range(0xE000, 0xFE00)


def key(owner: object, kind: str = "function", where: str = "r1") -> IdKey:
    return IdKey(kind, where, str(owner))


def test_the_ranges_that_are_fixed_by_wire_formats() -> None:
    assert (RANGES["function"].low, RANGES["function"].high) == (LIB.start, LIB.stop - 1)
    assert RANGES["vrf"].low > 0, "VRF 0 is the underlay"
    assert RANGES["vrf"].high < 1 << 16
    assert RANGES["next-hop"].high < 1 << 16
    assert 0 < RANGES["policy"].low <= RANGES["policy"].high < 0x8000, "the upper half marks oversize packets"


def test_an_assigned_id_stays_whatever_comes_and_goes() -> None:
    ids = Ids().assign(key("a"), NOW).assign(key("b"), NOW)
    kept = ids[key("b")]
    ids = ids.free(frozenset({key("a")}), NOW).assign(key("c"), NOW).assign(key("b"), NOW)
    assert ids[key("b")] == kept


def test_scopes_do_not_share_numbers_with_each_other_only_within() -> None:
    ids = Ids().assign(key("a"), NOW).assign(key("a", where="r2"), NOW).assign(key("b"), NOW)
    assert ids[key("a")] == ids[key("a", where="r2")]
    assert ids[key("a")] != ids[key("b")]


def test_a_freed_id_rests_sixty_seconds() -> None:
    ids = Ids().assign(key("a"), NOW)
    freed = ids[key("a")]
    ids = ids.free(frozenset({key("a")}), NOW)
    early = ids.assign(key("b"), NOW + timedelta(seconds=59, milliseconds=999))
    assert early[key("b")] != freed
    assert ids.assign(key("b"), NOW + timedelta(seconds=60))[key("b")] == freed


def test_taken_away_at_once_it_does_not_rest_elsewhere() -> None:
    ids = Ids().assign(key("a"), NOW).assign(key("a", where="r2"), NOW)
    ids = ids.free(frozenset({key("a")}), NOW)
    assert ids.assign(key("b", where="r2"), NOW)[key("b", where="r2")] == LIB.start + 1
    assert ids.assign(key("c", where="r3"), NOW)[key("c", where="r3")] == LIB.start


def test_exhaustion_is_a_refusal_that_names_the_scope() -> None:
    ids = Ids({key(n): n for n in LIB})
    with pytest.raises(Infeasible, match="function ids of r1") as refusal:
        ids.assign(key("one more"), NOW)
    assert refusal.value.reason == "IDS_EXHAUSTED"
    assert ids.assign(key("one more", where="r2"), NOW)[key("one more", where="r2")] == LIB.start


def test_resting_ids_count_as_used_up() -> None:
    ids = Ids({key(n): n for n in LIB}).free(frozenset({key(LIB.start + 7)}), NOW)
    with pytest.raises(Infeasible):
        ids.assign(key("new"), NOW + timedelta(seconds=59))
    assert ids.assign(key("new"), NOW + timedelta(seconds=61))[key("new")] == LIB.start + 7


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 40)), max_size=40))
def test_any_history(steps: list[tuple[bool, int, int]]) -> None:
    """No two owners share a number; none changes; none is reused within 60 s; others' values are untouched."""
    ids, now = Ids(), NOW
    held: dict[int, int] = {}
    freed: dict[int, datetime] = {}
    for take, owner, seconds in steps:
        now += timedelta(seconds=seconds)
        before = ids
        if take:
            ids = ids.assign(key(owner), now)
            value = ids[key(owner)]
            assert held.get(owner, value) == value
            if owner not in held:
                assert value not in held.values()
                assert value not in freed or now - freed[value] >= timedelta(seconds=60)
            held[owner] = value
        else:
            ids = ids.free(frozenset({key(owner)}), now)
            if owner in held:
                freed[held.pop(owner)] = now
        assert dict(ids.assigned) == {key(o): v for o, v in held.items()}
        assert before is ids or before.assigned is not ids.assigned
