"""Packing whole sizes into whole rooms: subset sums, by a bitmap of the sums that can be reached."""

from __future__ import annotations

from collections.abc import Sequence


def fullest(sizes: Sequence[int], room: int) -> list[int]:
    """Positions of the sizes whose sum is the largest not above `room`; of such subsets one that takes the first ones.

    Bit s of a bitmap says that sum s can be reached by what follows: O(sizes x room / 64) steps. Sizes are at least 1.
    """
    within = (1 << room + 1) - 1
    reach = [1]
    for size in reversed(sizes):
        reach.append(reach[-1] | reach[-1] << size & within)
    left = reach.pop().bit_length() - 1
    taken = []
    for position, size in enumerate(sizes):
        after = reach.pop()
        if size <= left and after >> left - size & 1:
            taken.append(position)
            left -= size
    return taken


def parted(sizes: Sequence[int], rooms: Sequence[int]) -> list[int | None]:
    """For each size the position of the room that it goes into, None where none is left for it.

    Room by room, each as full as can be, those that come first in `sizes` before later ones: with the largest first,
    small ones are left for the rooms that are hard to fill to the brim.
    """
    place: list[int | None] = [None] * len(sizes)
    waiting = list(range(len(sizes)))
    for room, free in enumerate(rooms):
        for position in fullest([sizes[each] for each in waiting], free):
            place[waiting[position]] = room
        waiting = [each for each in waiting if place[each] is None]
    return place
