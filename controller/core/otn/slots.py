"""Slot numbers: 1-based, local to a server segment, in the order in which a slice got them."""

from __future__ import annotations

from collections.abc import Iterable


def format_slots(slots: Iterable[int]) -> str:
    """Ranges in the order given: `2-4,20`, or `5-7,1` where 1 was got later (a standard ts-list ascends)."""
    ranges: list[list[int]] = []
    for slot in slots:
        if ranges and slot == ranges[-1][1] + 1:
            ranges[-1][1] = slot
        else:
            ranges.append([slot, slot])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def parse_slots(text: str) -> tuple[int, ...]:
    """The numbers that `format_slots` wrote, in their order; the empty string has none."""
    slots: list[int] = []
    for part in filter(None, text.split(",")):
        low, _, high = part.partition("-")
        slots.extend(range(int(low), int(high or low) + 1))
    return tuple(slots)


def bitmap_of(slots: Iterable[int]) -> int:
    bitmap = 0
    for slot in slots:
        bitmap |= 1 << (slot - 1)
    return bitmap
