"""The judge of histories: it believes what can be true, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations, permutations

import pytest
from history import ABSENT, Kind, Operation, Register, violations
from hypothesis import given
from hypothesis import strategies as st

KEY = "c1"


def write(value: object, invoked: float, answered: float = math.inf, generation: int = 0) -> Operation:
    return Operation(KEY, Kind.WRITE, value, invoked, answered, generation)


def read(value: object, invoked: float, answered: float, generation: int = 0, **told: bool) -> Operation:
    return Operation(KEY, Kind.READ, value, invoked, answered, generation, **told)


def delete(invoked: float, answered: float = math.inf) -> Operation:
    return Operation(KEY, Kind.DELETE, ABSENT, invoked, answered)


FIRST = write(20, 0, 1, 1)
EXPLAINED = {
    "nothing": [],
    "one after the other": [FIRST, read(20, 2, 3, 1), write(50, 4, 5, 2), read(50, 6, 7, 2)],
    "read while it is written, before": [FIRST, write(50, 2, 5, 2), read(20, 3, 4, 1)],
    "read while it is written, after": [FIRST, write(50, 2, 5, 2), read(50, 3, 4, 2)],
    "unanswered and done": [FIRST, write(50, 2), read(20, 3, 4, 1), read(50, 5, 6, 2)],
    "unanswered and not done": [FIRST, write(50, 2), read(20, 3, 4, 1), read(20, 5, 6, 1)],
    "moved by the controller meanwhile": [FIRST, read(20, 2, 3, 4), write(50, 4, 5, 5)],
    "deleted": [FIRST, delete(2, 3), read(20, 4, 5, 1, going=True), read(ABSENT, 6, 7)],
    "deleted and made again": [FIRST, delete(2, 3), read(ABSENT, 4, 5), write(30, 6, 7, 1), read(30, 8, 9, 1)],
    "deleted, unanswered": [FIRST, delete(2), read(20, 3, 4, 1), read(ABSENT, 5, 6)],
    "rolled back, and it says so": [FIRST, write(50, 2, 3, 2), read(20, 4, 5, 3, undone=True)],
}
UNEXPLAINED = {
    "an answered change is lost": [FIRST, write(50, 2, 3, 2), read(20, 4, 5, 1)],
    "rolled back without a word": [FIRST, write(50, 2, 3, 2), read(20, 4, 5, 3)],
    "an answered creation is lost": [FIRST, read(ABSENT, 2, 3)],
    "an unanswered change comes and goes": [FIRST, write(50, 2), read(50, 3, 4, 2), read(20, 5, 6, 2)],
    "what nobody wrote": [FIRST, read(99, 2, 3, 1)],
    "read before it was asked for": [FIRST, read(50, 2, 3, 2), write(50, 4, 5, 2)],
    "deleted and back again": [FIRST, delete(2, 3), read(ABSENT, 4, 5), read(20, 6, 7, 1)],
    "deleted and still there as if nothing was": [FIRST, delete(2, 3), read(20, 4, 5, 1)],
    "two changes under one generation": [FIRST, write(50, 2, 3, 2), write(60, 4, 5, 2)],
    "a generation that goes back": [FIRST, read(20, 2, 3, 5), read(20, 4, 5, 4)],
    "two readers who saw it in two orders": [
        FIRST,
        write(50, 2, 9, 2),
        read(50, 3, 4, 2),
        read(20, 5, 6, 1),
    ],
}


@pytest.mark.parametrize("history", EXPLAINED.values(), ids=EXPLAINED)
def test_what_can_be_true_is_believed(history: list[Operation]) -> None:
    assert violations(history) == {}


@pytest.mark.parametrize("history", UNEXPLAINED.values(), ids=UNEXPLAINED)
def test_what_cannot_be_true_is_not(history: list[Operation]) -> None:
    assert set(violations(history)) == {KEY}


def test_corridors_are_judged_one_by_one() -> None:
    good, bad = EXPLAINED["one after the other"], UNEXPLAINED["an answered change is lost"]
    assert set(violations([*(replace(each, key="good") for each in good), *bad])) == {KEY}


spans = st.tuples(st.integers(0, 9), st.integers(0, 4)).map(lambda span: (span[0], sum(span) + 0.5))
values = st.sampled_from([20, 50])
generations = st.integers(1, 3)
operations = st.one_of(
    st.builds(lambda v, s, g: write(v, *s, g), values, spans, generations),
    st.builds(lambda v, s: write(v, s[0]), values, spans),
    st.builds(lambda v, s, g, u: read(v, *s, g, undone=u), values, spans, generations, st.booleans()),
    st.builds(lambda s: read(ABSENT, *s), spans),
    st.builds(lambda s: delete(*s), spans),
    st.builds(lambda s: delete(s[0]), spans),
)


@given(st.lists(operations, max_size=5))
def test_the_search_finds_an_order_wherever_there_is_one(history: list[Operation]) -> None:
    """Against every order of every choice of what was not answered."""
    assert (not violations(history)) == any(map(_makes_sense, _orders(history)))


def _orders(history: list[Operation]) -> list[tuple[Operation, ...]]:
    known, open_ended = ([each for each in history if each.known is wanted] for wanted in (True, False))
    chosen = [also for count in range(len(open_ended) + 1) for also in combinations(open_ended, count)]
    return [order for also in chosen for order in permutations([*known, *also])]


def _makes_sense(order: tuple[Operation, ...]) -> bool:
    if any(later.answered < earlier.invoked for earlier, later in combinations(order, 2)):
        return False
    standing = {Register()}
    for operation in order:
        standing = {after for register in standing for after in register.after(operation)}
    return bool(standing)
