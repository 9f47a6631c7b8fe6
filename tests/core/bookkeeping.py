"""Reading what is booked: sizes by exact arithmetic, slot numbers, and the ledger without its versions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from networks import (
    Network,
    link_name,
)

from controller.core.model import (
    Slice,
)
from controller.core.otn import Ledger, RowKey
from controller.core.records import Record

SLOT_KBPS = Fraction("10009.306")


def wire(kbps: int, overhead: int = 40, packet: int = 1400) -> int:
    """Wire rate of customer bits, by hand: encapsulation, Ethernet header and FCS, preamble and gap."""
    return ceil(Fraction(kbps) * (packet + overhead + 38) / packet)


def slots(kbps: int) -> int:
    return ceil(wire(kbps) / SLOT_KBPS)


def numbers(text: str) -> set[int]:
    """The slot numbers of a ts-list."""
    found: set[int] = set()
    for part in text.split(","):
        low, *high = map(int, part.split("-"))
        found |= set(range(low, (high or [low])[0] + 1))
    return found


def slice_of(record: Record) -> Slice:
    assert record.target is not None
    assert record.target.slice is not None
    return record.target.slice


def taken(ledger: Ledger) -> dict[RowKey, tuple[int, int]]:
    """Slots and rates without versions."""
    return {key: (row.bitmap, row.kbps) for key, row in ledger.rows.items()}


def free_at(net: Network, link: str, server: str) -> int:
    row = net.ledger.row(RowKey(link_name(link), server, 0))
    return row.capacity - row.bitmap.bit_count()
