"""The ledger: which slots of each server ODU, and how much of each adjacency, are held by whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.core.errors import Infeasible

LINE = "line"
"""Server of the rows that hold the tributary slots of a fibre's line."""


@dataclass(frozen=True, slots=True, order=True)
class RowKey:
    """One server ODU of a fibre in one direction (0: A to Z), or an adjacency (server empty)."""

    link: str
    server: str
    direction: int


@dataclass(frozen=True, slots=True)
class Row:
    """What is taken of a row: a slot bitmap (bit 0 = slot 1) or kbit/s; raised `version` at each change."""

    capacity: int
    """Slots of a server, kbit/s of an adjacency."""
    bitmap: int = 0
    kbps: int = 0
    version: int = 0

    def free_slots(self) -> int:
        return self.capacity - self.bitmap.bit_count()

    def free_kbps(self) -> int:
        return self.capacity - self.kbps


@dataclass(frozen=True, slots=True)
class Claim:
    """What one owner holds of one row: slots, or kbit/s."""

    owner: str
    row: RowKey
    bitmap: int = 0
    kbps: int = 0


@dataclass(frozen=True)
class Ledger:
    """All rows. `change` replaces one owner's claims and refuses what is held by another."""

    rows: Mapping[RowKey, Row] = field(default_factory=dict)

    def row(self, key: RowKey) -> Row:
        return self.rows[key]

    def change(self, released: frozenset[Claim], taken: frozenset[Claim]) -> Ledger:
        """The ledger after one transaction; raises `Infeasible` where a slot or the capacity is not free."""
        touched: dict[RowKey, Row] = {}
        for claim in released - taken:
            row = touched.get(claim.row, self.rows[claim.row])
            touched[claim.row] = replace(row, bitmap=row.bitmap & ~claim.bitmap, kbps=row.kbps - claim.kbps)
        for claim in taken - released:
            row = touched.get(claim.row, self.rows[claim.row])
            touched[claim.row] = _take(row, claim)
        bumped = {key: replace(row, version=self.rows[key].version + 1) for key, row in touched.items()}
        return Ledger({**self.rows, **bumped})

    def gives_back(self, after: Ledger) -> bool:
        """True where `after` has room that was taken here."""
        changed = ((row, after.rows[key]) for key, row in self.rows.items() if after.rows[key] is not row)
        return any(old.bitmap & ~new.bitmap or new.kbps < old.kbps for old, new in changed)


def resumed(ledger: Ledger, versions: Mapping[RowKey, int]) -> Ledger:
    """The ledger of a new start: each row's version past all that were stored, so that no older writer fits any."""
    rows = {key: replace(row, version=versions.get(key, 0) + 1) for key, row in ledger.rows.items()}
    return Ledger(rows)


def _take(row: Row, claim: Claim) -> Row:
    if row.bitmap & claim.bitmap or (not claim.kbps and claim.bitmap >> row.capacity):
        raise Infeasible(f"{claim.row.link}: slots are held by another slice", reason="SLOTS_TAKEN")
    if row.kbps + claim.kbps > row.capacity:
        raise Infeasible(
            f"{claim.row.link}: {row.free_kbps()} kbit/s free, {claim.kbps} asked", reason="BANDWIDTH_EXHAUSTED"
        )
    return replace(row, bitmap=row.bitmap | claim.bitmap, kbps=row.kbps + claim.kbps)


def pick_slots(rows: Iterable[Row], count: int, keep: tuple[int, ...] = ()) -> tuple[int, ...] | None:
    """`count` slot numbers free in every row: those of `keep` that are already held, in their order, then the lowest.

    Numbers are local to a server segment and need not be contiguous. The order is that in which they were got: the
    first N carry traffic, so growing appends, shrinking cuts off the end, and both ends of a segment agree on which
    are active by their count alone. None where too few are free.
    """
    rows = tuple(rows)
    kept = keep[:count]
    taken = 0
    for row in rows:
        taken |= row.bitmap
    for slot in keep:
        taken |= 1 << (slot - 1)
    capacity = min(row.capacity for row in rows)
    free = (slot for slot in range(1, capacity + 1) if not taken >> (slot - 1) & 1)
    picked = [*kept, *(slot for slot, _ in zip(free, range(count - len(kept)), strict=False))]
    return tuple(picked) if len(picked) == count else None
