"""Fine-grain OTN: how many slots a bandwidth needs, and the ledger that hands them out.

Rates in bit/s are exact integers. Sources: G.709 Annex M/N as summarised in the project's facts (one fgTS
carries p x 10 009 306 bit/s of Ethernet; 119, 238, 952 fgTS in an ODU0, ODU1, ODU2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from controller.core.errors import Infeasible
from controller.core.model import Container

FGTS_ETHERNET_BPS = 10_009_306
"""Ethernet payload of one fine-grain tributary slot, bit/s."""
MAX_FGTS_PER_SLICE = 119
"""fgODUflex(p), p = 1..119."""
FGTS_PER_SERVER: Mapping[Container, int] = MappingProxyType(
    {Container.ODU0: 119, Container.ODU1: 238, Container.ODU2: 952}
)
ETHERNET_OVERHEAD_BYTES = 38
"""Header 14, FCS 4, preamble 8, inter-packet gap 12."""


def wire_kbps(bandwidth_kbps: int, packet_bytes: int, encapsulation_bytes: int) -> int:
    """Ethernet rate that carries `bandwidth_kbps` of customer IP bits in packets of `packet_bytes`, rounded up."""
    return -(-bandwidth_kbps * (packet_bytes + encapsulation_bytes + ETHERNET_OVERHEAD_BYTES) // packet_bytes)


def fgts_for(rate_kbps: int) -> int:
    """Fine-grain slots for a wire rate; at least one."""
    return max(1, -(-rate_kbps * 1000 // FGTS_ETHERNET_BPS))


def slots_bandwidth_kbps(slots: int, packet_bytes: int, encapsulation_bytes: int) -> int:
    """The most customer bandwidth that needs no more than `slots`: the inverse of `fgts_for(wire_kbps(…))`."""
    wire = slots * FGTS_ETHERNET_BPS // 1000
    return wire * packet_bytes // (packet_bytes + encapsulation_bytes + ETHERNET_OVERHEAD_BYTES)


def slots_rate_kbps(slots: int) -> int:
    """Ethernet rate of `slots` fine-grain slots, rounded down."""
    return slots * FGTS_ETHERNET_BPS // 1000


def serialisation_us(packet_bytes: int, slots: int) -> int:
    """Time to clock a packet into a slice of `slots`, rounded up: the real latency cost of a thin slice."""
    return -(-packet_bytes * 8 * 1_000_000 // (slots * FGTS_ETHERNET_BPS))


def container_for(slots: int) -> Container:
    """Smallest container for `slots`; beyond fgODUflex(119) nothing is offered yet."""
    if slots > MAX_FGTS_PER_SLICE:
        raise Infeasible(
            f"{slots} fine-grain slots are more than one fgODUflex holds ({MAX_FGTS_PER_SLICE})",
            reason="CONTAINER_TOO_SMALL",
            metadata={"slots": str(slots), "maxSlots": str(MAX_FGTS_PER_SLICE)},
        )
    return Container.FGODUFLEX


def format_slots(slots: Iterable[int]) -> str:
    """Ascending ranges as ietf-fgotn-topology writes them: `2-4,20`."""
    ranges: list[list[int]] = []
    for slot in sorted(slots):
        if ranges and slot == ranges[-1][1] + 1:
            ranges[-1][1] = slot
        else:
            ranges.append([slot, slot])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def parse_slots(text: str) -> tuple[int, ...]:
    """The numbers of a ts-list, ascending; the empty string has none."""
    slots: list[int] = []
    for part in filter(None, text.split(",")):
        low, _, high = part.partition("-")
        slots.extend(range(int(low), int(high or low) + 1))
    return tuple(slots)


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
    """`count` slot numbers free in every row, lowest first, keeping those of `keep` that are already held.

    Numbers are local to a server segment and need not be contiguous. None where too few are free.
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
    return tuple(sorted(picked)) if len(picked) == count else None


def bitmap_of(slots: Iterable[int]) -> int:
    bitmap = 0
    for slot in slots:
        bitmap |= 1 << (slot - 1)
    return bitmap
