"""Slot numbers: 1-based, local to a server segment, in the order in which a slice got them.

A bitmap has bit 0 for slot 1. A run is (first, last) of slots that follow each other; long lists are few runs, so
that what is done run by run costs no more for a slice of a hundred slots than for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Run = tuple[int, int]


def format_slots(slots: Iterable[int]) -> str:
    """Ranges in the order given: `2-4,20`, or `5-7,1` where 1 was got later (a standard ts-list ascends)."""
    return format_runs((slot, slot) for slot in slots)


def parse_slots(text: str) -> tuple[int, ...]:
    """The numbers that `format_slots` wrote, in their order; the empty string has none."""
    return tuple(slot for first, last in parse_runs(text) for slot in range(first, last + 1))


def format_runs(runs: Iterable[Run]) -> str:
    """As `format_slots`; runs that continue each other become one."""
    joined: list[Run] = []
    for first, last in runs:
        if joined and first == joined[-1][1] + 1:
            joined[-1] = joined[-1][0], last
        else:
            joined.append((first, last))
    return ",".join([str(first) if first == last else f"{first}-{last}" for first, last in joined])


def parse_runs(text: str) -> list[Run]:
    runs = []
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        runs.append((int(first), int(last or first)))
    return runs


def bitmap_of(slots: Iterable[int]) -> int:
    bitmap = 0
    for slot in slots:
        bitmap |= 1 << (slot - 1)
    return bitmap


def bitmap_of_runs(runs: Iterable[Run]) -> int:
    bitmap = 0
    for first, last in runs:
        bitmap |= ((1 << (last - first + 1)) - 1) << (first - 1)
    return bitmap


def runs_of(bitmap: int) -> Iterator[Run]:
    """The slots of a bitmap, ascending."""
    passed = 0
    while bitmap:
        gap = (bitmap & -bitmap).bit_length() - 1
        bitmap >>= gap
        length = (~bitmap & (bitmap + 1)).bit_length() - 1
        passed += gap
        yield passed + 1, passed + length
        bitmap >>= length
        passed += length


def first_of(runs: Iterable[Run], count: int) -> list[Run]:
    """The first `count` slots of runs, or all of them where they are fewer."""
    cut: list[Run] = []
    for first, last in runs:
        if count <= 0:
            break
        cut.append((first, min(last, first + count - 1)))
        count -= last - first + 1
    return cut
