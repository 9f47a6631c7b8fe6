"""Emptying servers on counts alone: against every sequence of moves there is, on cases small enough to try them all."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from controller.core.otn.regrooming import Load, Regrooming, Seat, regroom

CAPACITY = 4
Case = tuple[dict[Seat, int], tuple[Load, ...], frozenset[Seat]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Up to four corridors over up to three fibres of two or three servers; others hold some slots that stay."""
    servers = {f"f{n}": draw(st.integers(2, 3)) for n in range(draw(st.integers(1, 3)))}
    left = {(fibre, f"s{n}"): CAPACITY for fibre, count in servers.items() for n in range(count)}
    loads = []
    for number in range(draw(st.integers(1, 4))):
        size, route = draw(st.integers(1, 2)), draw(st.sets(st.sampled_from(sorted(servers)), min_size=1))
        seats = [draw(st.sampled_from([s for s in left if s[0] == fibre])) for fibre in sorted(route)]
        if all(left[seat] >= size for seat in seats):
            loads.append(Load(f"c{number}", tuple((seat, size) for seat in seats)))
            left |= {seat: left[seat] - size for seat in seats}
    fixed = frozenset(seat for seat in draw(st.sets(st.sampled_from(sorted(left)), max_size=2)) if left[seat])
    left |= {seat: left[seat] - 1 for seat in fixed}
    return {seat: slots for seat, slots in left.items() if slots < CAPACITY}, tuple(loads), fixed


def most_emptied(case: Case, max_moves: int) -> int:
    """By trying every order and every place; of each end, whether all that moved had to."""
    free, loads, _ = case
    best = 0
    seen: set[tuple[object, ...]] = set()

    def go(left: dict[Seat, int], seats: tuple[tuple[Seat, ...] | None, ...]) -> None:
        nonlocal best
        state = (tuple(sorted(left.items())), seats)
        if state in seen:
            return
        seen.add(state)
        emptied = {seat for seat, slots in left.items() if slots == CAPACITY}
        needed = all(
            places is None or emptied & {seat for seat, _ in load.parts}
            for load, places in zip(loads, seats, strict=True)
        )
        best = max(best, len(emptied)) if needed else best
        if sum(places is not None for places in seats) == max_moves:
            return
        for number, load in enumerate(loads):
            if seats[number] is None:
                for places in product(*([s for s in free if s[0] == old[0]] for old, _ in load.parts)):
                    after = dict(left)
                    for seat, (_, count) in zip(places, load.parts, strict=True):
                        after[seat] -= count
                    if min(after.values()) >= 0:
                        for old, count in load.parts:
                            after[old] += count
                        go(after, (*seats[:number], places, *seats[number + 1 :]))

    go(dict(free), (None,) * len(loads))
    return best


def carried_out(case: Case, found: Regrooming) -> dict[Seat, int]:
    """The slots left after all moves, made one by one, each beside what it leaves."""
    left = dict(case[0])
    for move in found.moves:
        for seat, (old, count) in zip(move.seats, move.load.parts, strict=True):
            assert seat[0] == old[0]
            left[seat] -= count
            assert left[seat] >= 0
        for old, count in move.load.parts:
            left[old] += count
    return left


@settings(max_examples=300, deadline=None)
@given(cases(), st.integers(1, 4))
def test_as_many_servers_as_any_sequence_of_moves_empties(case: Case, max_moves: int) -> None:
    found = regroom(*case, max_moves)
    event(f"{len(found.emptied)} emptied by {len(found.moves)}")
    assert found.exhaustive
    assert len(found.emptied) == most_emptied(case, max_moves)


@settings(max_examples=300, deadline=None)
@given(cases(), st.integers(1, 4))
def test_moves_can_be_made_and_empty_what_they_promise(case: Case, max_moves: int) -> None:
    found = regroom(*case, max_moves)
    left = carried_out(case, found)
    assert len(found.moves) <= max_moves
    assert len({move.load.corridor for move in found.moves}) == len(found.moves)
    assert all(left[seat] == CAPACITY for seat in found.emptied)
    assert not found.emptied & case[2]
    for move in found.moves:
        assert found.emptied & {seat for seat, _ in move.load.parts}
        assert not found.emptied & set(move.seats)


@settings(max_examples=150, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_told_changes_nothing(case: Case, chance: object) -> None:
    free, loads, fixed = case
    mixed = list(loads), list(free.items())
    for each in mixed:
        chance.shuffle(each)  # type: ignore[attr-defined]
    assert regroom(dict(mixed[1]), mixed[0], fixed, 3) == regroom(free, loads, fixed, 3)


def test_the_best_value_comes_first() -> None:
    """One move empties s0, two empty s1: that is the order, whoever stops early."""
    free = {("f", "s0"): 3, ("f", "s1"): 2, ("f", "s2"): 3}
    loads = [Load("a", ((("f", "s1"), 1),)), Load("b", ((("f", "s1"), 1),)), Load("c", ((("f", "s0"), 1),))]
    found = regroom(free, loads, [("f", "s2")], 3)
    assert [move.load.corridor for move in found.moves] == ["c", "a", "b"]
    assert found.emptied == {("f", "s0"), ("f", "s1")}


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(1, 4))
def test_a_second_run_finds_nothing_cheaper(case: Case, max_moves: int) -> None:
    """The same bound once more: no more servers, and none for fewer moves each; with moves enough, none at all."""
    _, loads, fixed = case
    first = regroom(*case, max_moves)
    left, now = carried_out(case, first), {move.load: move.seats for move in first.moves}
    moved = []
    for load in loads:
        seats, sizes = zip(*load.parts, strict=True)
        moved.append(Load(load.corridor, tuple(zip(now.get(load, seats), sizes, strict=True))))
    second = regroom({seat: slots for seat, slots in left.items() if slots < CAPACITY}, moved, fixed, max_moves)
    event(f"then {len(second.emptied)}")
    assert len(second.emptied) <= len(first.emptied)
    assert len(second.moves) * len(first.emptied) >= len(first.moves) * len(second.emptied)
    assert max_moves < len(loads) or not second.emptied


def test_of_two_that_cost_the_same_the_one_of_more_worth_is_emptied() -> None:
    free = {("f", "s0"): 3, ("f", "s1"): 2}
    loads = [Load("a", ((("f", "s0"), 1),)), Load("b", ((("f", "s1"), 2),))]
    assert regroom(free, loads, [], 1).emptied == {("f", "s0")}
    assert regroom(free, loads, [], 1, {("f", "s1"): 2}).emptied == {("f", "s1")}


def test_two_moves_that_empty_two_servers_beat_one_that_empties_one() -> None:
    """The cheapest server first would leave one move, of which nothing comes."""
    free = {("f", "s0"): 3, ("f", "s1"): 3, ("g", "t0"): 2, ("g", "t1"): 3, ("h", "u0"): 2, ("h", "u1"): 3}
    both = ((("g", "t0"), 1), (("h", "u0"), 1))
    loads = [Load("a", ((("f", "s0"), 1),)), Load("b", both), Load("c", both)]
    found = regroom(free, loads, [("f", "s1"), ("g", "t1"), ("h", "u1")], 2)
    assert found.emptied == {("g", "t0"), ("h", "u0")}


def test_what_one_move_gives_back_the_next_one_takes() -> None:
    """Both leave s0; on g all is full but t1: the first goes there, the second into what the first has left."""
    free = {("f", "s0"): 0, ("f", "s1"): 4, ("g", "t0"): 0, ("g", "t1"): 2, ("g", "t2"): 0}
    loads = [Load(name, ((("f", "s0"), 2), (("g", seat), 2))) for name, seat in (("a", "t0"), ("b", "t2"))]
    found = regroom(free, loads, [("f", "s1"), ("g", "t0"), ("g", "t1"), ("g", "t2")], 2)
    assert found.emptied == {("f", "s0")}
    assert [move.seats[1][1] for move in found.moves] == ["t1", "t0"]


@pytest.mark.parametrize("bound", [1, 5, 40])
def test_a_large_network_is_given_up_in_time_with_what_was_found(bound: int) -> None:
    """Sixty fibres of eight servers, each half full of corridors over three fibres."""
    free = {(f"f{n:02}", f"s{k}"): 60 for n in range(60) for k in range(8)}
    loads = [
        Load(f"c{n:02}-{k}-{m}", tuple(((f"f{(n + d) % 60:02}", f"s{k}"), 10) for d in range(3)))
        for n in range(60)
        for k in range(8)
        for m in range(2)
    ]
    found = regroom(free, loads, [], bound)
    assert len(found.moves) <= bound
    assert len(found.emptied) >= bound // 6
