"""Slots and the ledger: sizes against exact arithmetic, and no slot is ever handed out twice."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from controller.core.errors import Infeasible
from controller.core.otn import (
    Claim,
    Ledger,
    Row,
    RowKey,
    bitmap_of,
    format_slots,
    parse_slots,
    pick_slots,
    serialisation_us,
    slots_for,
    slots_rate_kbps,
    wire_kbps,
)

# fgODUflex(1) 10 409.203 kbit/s, of which the payload is 237/239, of which 64/66 is Ethernet (64B/66B).
FGTS_MBPS = Fraction("10.009306")
SLOT_BPS = 10_009_306
WIRE_EXTRA = 14 + 4 + 8 + 12


def slots_by_hand(bandwidth_kbps: int, packet: int, overhead: int) -> int:
    """Slots for customer IP bits, without any rounding on the way."""
    wire = Fraction(bandwidth_kbps) * (packet + overhead) / packet
    return ceil(wire / 1000 / FGTS_MBPS)


def test_one_slot_is_what_is_left_of_an_fgoduflex() -> None:
    derived = Fraction("10409.203") * Fraction(237, 239) * Fraction(64, 66)
    assert abs(derived - FGTS_MBPS * 1000) < Fraction(1, 1000)
    assert slots_rate_kbps(1) == 10_009
    assert slots_rate_kbps(119) == 1_191_107


@pytest.mark.parametrize(
    ("kbps", "slots"), [(20_000, 3), (100_000, 11), (9_480, 1), (9_482, 2), (1, 1), (1_128_000, 119)]
)
def test_known_sizes_at_1400_bytes_with_one_carrier(kbps: int, slots: int) -> None:
    assert slots_for(wire_kbps(kbps, 1400, 40), SLOT_BPS) == slots


@given(st.integers(1, 400_000_000), st.integers(64, 9000), st.sampled_from([0, 40, 64, 80]))
def test_sizes_against_exact_arithmetic(kbps: int, packet: int, encapsulation: int) -> None:
    wire = wire_kbps(kbps, packet, encapsulation)
    exact = Fraction(kbps) * (packet + encapsulation + WIRE_EXTRA) / packet
    assert wire == ceil(exact)
    slots = slots_for(wire, SLOT_BPS)
    assert 0 <= slots - slots_by_hand(kbps, packet, encapsulation + WIRE_EXTRA) <= 1
    assert slots == ceil(Fraction(wire) / 1000 / FGTS_MBPS)
    assert slots_rate_kbps(slots) >= wire


@given(st.integers(64, 9100), st.integers(1, 119))
def test_serialisation_is_the_time_of_the_bits(packet: int, slots: int) -> None:
    assert serialisation_us(packet, slots) == ceil(Fraction(packet * 8) / (slots * FGTS_MBPS))


def test_serialisation_of_the_thinnest_slice() -> None:
    assert serialisation_us(1500, 1) == 1199
    assert serialisation_us(1500, 10) == 120
    assert serialisation_us(1500, 100) == 12


def test_slot_lists_keep_their_order_and_the_standard_view_ascends() -> None:
    assert format_slots([5, 6, 7, 1]) == "5-7,1"
    assert parse_slots("5-7,1") == (5, 6, 7, 1)
    assert format_slots([20, 2, 4, 3]) == "20,2,4,3"
    assert format_slots(sorted([20, 2, 4, 3])) == "2-4,20"
    assert format_slots([]) == ""
    assert parse_slots("2-4,20") == (2, 3, 4, 20)
    assert parse_slots("") == ()


@given(st.lists(st.integers(1, 952), unique=True))
def test_slot_lists_round_trip(slots: list[int]) -> None:
    text = format_slots(slots)
    assert parse_slots(text) == tuple(slots)
    parts = [tuple(map(int, part.split("-"))) for part in text.split(",") if part]
    assert all(part[0] < part[-1] for part in parts if len(part) > 1)
    assert all(later[0] != earlier[-1] + 1 for earlier, later in pairwise(parts)), "as few ranges as can be"
    assert bitmap_of(slots) == sum(1 << (slot - 1) for slot in slots)


@given(
    st.integers(1, 40),
    st.sets(st.integers(1, 40)),
    st.sets(st.integers(1, 40)),
    st.lists(st.integers(1, 40), unique=True),
    st.integers(1, 40),
)
def test_picked_slots_are_free_in_every_row(
    capacity: int, there: set[int], back: set[int], mine: list[int], count: int
) -> None:
    mine = [slot for slot in mine if slot <= capacity]
    there, back = ({s for s in each if s <= capacity} - set(mine) for each in (there, back))
    rows = [Row(capacity, bitmap_of(there | {*mine})), Row(capacity, bitmap_of(back | {*mine}))]
    picked = pick_slots(rows, count, tuple(mine))
    room = capacity - len(there | back)
    if picked is None:
        assert room < count
        return
    assert room >= count
    assert len(picked) == len(set(picked)) == count
    assert not set(picked) & (there | back)
    assert set(picked) <= set(range(1, capacity + 1))
    assert list(picked[: len(mine)]) == mine[:count], "what it has stays in its order, and is cut at the end"
    lowest = [slot for slot in range(1, capacity + 1) if slot not in there | back | {*mine}]
    assert list(picked[len(mine) :]) == lowest[: max(0, count - len(mine))], "growing appends the lowest"


def test_without_history_the_lowest_free_slots_are_taken() -> None:
    assert pick_slots([Row(10, 0b1011), Row(10, 0b10011)], 3) == (3, 6, 7)


def test_what_it_has_counts_once_also_where_the_rows_do_not_know_of_it() -> None:
    assert pick_slots([Row(10)], 4, (1, 2)) == (1, 2, 3, 4)


def test_an_adjacency_refuses_what_is_beyond_its_capacity_and_says_what_is_free() -> None:
    key = RowKey("l", "", 0)
    full = Ledger({key: Row(100)}).change(frozenset(), frozenset({Claim("a", key, kbps=60)}))
    with pytest.raises(Infeasible, match="40 kbit/s free, 41 asked") as refusal:
        full.change(frozenset(), frozenset({Claim("b", key, kbps=41)}))
    assert refusal.value.reason == "BANDWIDTH_EXHAUSTED"
    assert full.row(key).kbps == 60


def test_a_slot_beyond_the_server_does_not_exist() -> None:
    key = RowKey("l", "odu0-1", 0)
    ledger = Ledger({key: Row(119)})
    ledger.change(frozenset(), frozenset({Claim("a", key, bitmap=1 << 118)}))
    with pytest.raises(Infeasible):
        ledger.change(frozenset(), frozenset({Claim("a", key, bitmap=1 << 119)}))


SIZE = 8
KBPS = 100
SERVERS = [RowKey("f1", "odu0-1", way) for way in (0, 1)] + [RowKey("f2", "odu0-1", 0)]
ADJACENCIES = [RowKey("a1", "", way) for way in (0, 1)]


class LedgerMachine(RuleBasedStateMachine):
    """The ledger beside dictionaries of owned slots and rates."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        rows = {key: Row(SIZE) for key in SERVERS} | {key: Row(KBPS) for key in ADJACENCIES}
        self.ledger = Ledger(rows)
        self.slots: dict[tuple[RowKey, int], str] = {}
        self.rates: dict[tuple[RowKey, str], int] = {}
        self.owners = 0

    def _free(self, claim: Claim, minus: frozenset[Claim]) -> bool:
        given_back = {c.row: c for c in minus}
        old = given_back.get(claim.row)
        if claim.kbps:
            others = sum(v for (row, _), v in self.rates.items() if row == claim.row)
            return others - (old.kbps if old else 0) + claim.kbps <= KBPS
        wanted = [i for i in range(1, 2 * SIZE) if claim.bitmap >> (i - 1) & 1]
        mine = {i for i in range(1, SIZE + 1) if old and old.bitmap >> (i - 1) & 1}
        return all(i <= SIZE and (i in mine or (claim.row, i) not in self.slots) for i in wanted)

    def _drop(self, claims: frozenset[Claim]) -> None:
        for claim in claims:
            self.slots = {k: o for k, o in self.slots.items() if not (k[0] == claim.row and o == claim.owner)}
            self.rates.pop((claim.row, claim.owner), None)

    def _hold(self, claims: frozenset[Claim]) -> None:
        for claim in claims:
            if claim.kbps:
                self.rates[claim.row, claim.owner] = claim.kbps
            for i in range(1, SIZE + 1):
                if claim.bitmap >> (i - 1) & 1:
                    assert (claim.row, i) not in self.slots, "double-booked"
                    self.slots[claim.row, i] = claim.owner

    def _change(self, released: frozenset[Claim], taken: frozenset[Claim]) -> bool:
        before = {key: (row.bitmap, row.kbps, row.version) for key, row in self.ledger.rows.items()}
        possible = all(self._free(claim, released) for claim in taken)
        try:
            after = self.ledger.change(released, taken)
        except Infeasible:
            assert not possible
            return False
        assert possible
        moved = {c.row for c in released ^ taken}
        for key, (bitmap, kbps, version) in before.items():
            assert self.ledger.rows[key] == Row(self.ledger.rows[key].capacity, bitmap, kbps, version)
            assert after.rows[key].version == version + (key in moved)
        self.ledger = after
        self._drop(released)
        self._hold(taken)
        return True

    @staticmethod
    def _claims(owner: str, wanted: dict[RowKey, int]) -> frozenset[Claim]:
        slots = {Claim(owner, row, bitmap=value) for row, value in wanted.items() if row in SERVERS}
        return frozenset(slots | {Claim(owner, row, kbps=v) for row, v in wanted.items() if row in ADJACENCIES})

    wishes = st.dictionaries(st.sampled_from(SERVERS), st.integers(1, (1 << SIZE + 1) - 1), max_size=3)
    rates_wished = st.dictionaries(st.sampled_from(ADJACENCIES), st.integers(1, KBPS + 1), max_size=2)

    @rule(target=claims, slots=wishes, rates=rates_wished)
    def take(self, slots: dict[RowKey, int], rates: dict[RowKey, int]) -> frozenset[Claim]:
        self.owners += 1
        wanted = self._claims(f"c{self.owners}", slots | rates)
        return wanted if self._change(frozenset(), wanted) else frozenset()

    @rule(target=claims, held=consumes(claims), slots=wishes, rates=rates_wished)
    def resize(self, held: frozenset[Claim], slots: dict[RowKey, int], rates: dict[RowKey, int]) -> frozenset[Claim]:
        if not held:
            return held
        wanted = self._claims(next(iter(held)).owner, slots | rates)
        return wanted if self._change(held, wanted) else held

    @rule(held=consumes(claims))
    def release(self, held: frozenset[Claim]) -> None:
        assert self._change(held, frozenset())

    @invariant()
    def rows_hold_what_is_owned(self) -> None:
        for key, row in self.ledger.rows.items():
            assert row.bitmap == sum(1 << (i - 1) for (where, i) in self.slots if where == key)
            assert row.kbps == sum(v for (where, _), v in self.rates.items() if where == key)
            assert row.bitmap >> row.capacity == 0 or key in ADJACENCIES


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLedger = LedgerMachine.TestCase
