"""Claims with a beginning and an end, beside a simulation in time steps that knows nothing of profiles."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from controller.core.errors import Infeasible
from controller.core.otn import Claim, Ledger, Row, RowKey

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SERVER, TRUNK = RowKey("f", "odu0-1", 0), RowKey("a", "", 0)
SIZE = 6
HOURS = 8
"""Of the simulation; what has no end goes on past them."""


def at(hour: int | None) -> datetime | None:
    return None if hour is None else NOON + timedelta(hours=hour)


def ledger() -> Ledger:
    return Ledger({SERVER: Row(SIZE), TRUNK: Row(SIZE)})


def holding(row: RowKey, first: int, count: int, end: int | None, owner: str = "a") -> Claim:
    """A claim of now: the slots from `first`, or `count` kbit/s."""
    if row == TRUNK:
        return Claim(owner, row, kbps=count, end=at(end))
    return Claim(owner, row, bitmap=((1 << count) - 1) << (first - 1), end=at(end))


def booking(row: RowKey, count: int, start: int, end: int | None, owner: str = "a") -> Claim:
    amount = {"kbps": count} if row == TRUNK else {"slots": count}
    return Claim(owner, row, start=at(start), end=at(end), **amount)  # type: ignore[arg-type]


def take(before: Ledger, *claims: Claim) -> Ledger:
    return before.change(frozenset(), frozenset(claims))


class Simulated:
    """Per hour, how much is in use: claims of now from hour 0 on, bookings from their start."""

    def __init__(self) -> None:
        self.held: dict[str, Claim] = {}

    def hours(self, claim: Claim) -> range:
        start = 0 if claim.start is None else round((claim.start - NOON) / timedelta(hours=1))
        end = HOURS if claim.end is None else round((claim.end - NOON) / timedelta(hours=1))
        return range(start, end)

    @staticmethod
    def amount(claim: Claim) -> int:
        return claim.slots or claim.kbps or bin(claim.bitmap).count("1")

    def fits(self, new: Claim) -> bool:
        if any(new.bitmap & old.bitmap for old in self.held.values()):
            return False
        every = [*self.held.values(), new]
        now = sum(self.amount(each) for each in every if each.start is None)
        return now <= SIZE and all(self.in_use(hour, every) <= SIZE for hour in range(HOURS))

    def in_use(self, hour: int, claims: Iterable[Claim]) -> int:
        return sum(self.amount(claim) for claim in claims if hour in self.hours(claim))

    def free(self) -> int:
        """From now on without end: what is held now counts for now, whenever it ends."""
        held = self.held.values()
        now = sum(self.amount(claim) for claim in held if claim.start is None)
        return SIZE - max(now, *(self.in_use(hour, held) for hour in range(HOURS)))


claims_of_now = st.tuples(st.just(None), st.integers(1, SIZE), st.integers(1, 3), st.none() | st.integers(1, HOURS - 1))
bookings = st.tuples(st.integers(1, HOURS - 2), st.just(0), st.integers(1, 4), st.none() | st.integers(1, HOURS))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([SERVER, TRUNK]), st.lists(st.one_of(claims_of_now, bookings, st.integers(0, 9)), max_size=14))
def test_what_is_taken_is_what_fits_in_every_hour(row: RowKey, wishes: list[object]) -> None:
    simulated, books = Simulated(), ledger()
    for number, wish in enumerate(wishes):
        if isinstance(wish, int):
            owner = sorted(simulated.held)[wish % len(simulated.held)] if simulated.held else None
            if owner is not None:
                books = books.change(frozenset({simulated.held.pop(owner)}), frozenset())
            continue
        start, first, count, end = wish  # type: ignore[misc]
        if start is None:
            claim = holding(row, min(first, SIZE + 1 - count), count, end, f"c{number}")
        else:
            claim = booking(row, count, start, None if end is None else max(end, start + 1), f"c{number}")
        fits = simulated.fits(claim)
        event(f"booking {start is not None}, fits {fits}")
        try:
            books = take(books, claim)
        except Infeasible:
            assert not fits
        else:
            assert fits
            simulated.held[claim.owner] = claim
        left = books.row(row).free_kbps() if row == TRUNK else books.row(row).free_slots()
        assert left == simulated.free()
    books = books.change(frozenset(simulated.held.values()), frozenset())
    assert books.row(row)._replace(version=0) == Row(SIZE), "nothing is left of anything"


@pytest.mark.parametrize("row", [SERVER, TRUNK])
def test_what_was_promised_is_not_given_away_and_the_refusal_says_until_when_it_could_be_had(row: RowKey) -> None:
    booked = take(ledger(), booking(row, 4, 3, 5))
    with pytest.raises(Infeasible, match="2026-01-01T15:00:00") as refusal:
        take(booked, holding(row, 1, 3, None, "b"))
    assert refusal.value.reason == "BOOKED"
    assert refusal.value.metadata["until"] == "2026-01-01T15:00:00+00:00"
    take(booked, holding(row, 1, 3, 3, "b"))
    take(booked, holding(row, 1, 2, None, "b"))
    with pytest.raises(Infeasible):
        take(booked, holding(row, 1, 3, 4, "b"))


def test_bookings_that_follow_each_other_never_meet() -> None:
    books = take(ledger(), booking(SERVER, SIZE, 1, 2), booking(SERVER, SIZE, 2, 3, "b"))
    with pytest.raises(Infeasible):
        take(books, booking(SERVER, 1, 1, 2, "c"))
    take(books, booking(SERVER, SIZE, 3, None, "c"))


def test_a_booking_that_begins_takes_its_numbers() -> None:
    promised, held = booking(SERVER, 4, 1, 3), holding(SERVER, 2, 4, 3)
    books = take(ledger(), promised)
    begun = books.change(frozenset({promised}), frozenset({held}))
    assert begun.row(SERVER).bitmap == 0b11110
    assert books.row(SERVER).bitmap == 0
    ended = begun.change(frozenset({held}), frozenset())
    assert ended.row(SERVER)._replace(version=0) == Row(SIZE)


def test_a_booking_holds_its_server_open_and_its_slots_of_the_line_with_it() -> None:
    books = Ledger({RowKey("f", "line", 0): Row(8)})
    promised = Claim("a", RowKey("f", "odu1:3-4", 0), slots=238, start=at(1), end=at(2))
    booked = take(books, promised)
    assert booked.row(RowKey("f", "line", 1)).bitmap == 0b1100
    with pytest.raises(Infeasible):
        take(booked, Claim("b", RowKey("f", "odu0:4", 0), bitmap=1))
    slots = Claim("b", promised.row, bitmap=1, end=at(1))
    emptied = take(booked, slots).change(frozenset({slots}), frozenset())
    assert emptied.row(promised.row)._replace(version=0) == booked.row(promised.row)._replace(version=0)
    gone = emptied.change(frozenset({promised}), frozenset())
    assert RowKey("f", "odu1:3-4", 0) not in gone.rows
    assert gone.row(RowKey("f", "line", 1)).bitmap == 0
