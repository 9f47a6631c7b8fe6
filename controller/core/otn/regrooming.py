"""Which server ODUs can be emptied, by moving the fewest corridors: a search on counts of slots alone.

A corridor moves as a whole and at most once: everything it holds is taken a second time, beside what it has, and then
given back. Slot numbers need not be contiguous nor alike along a route, so that room is a count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType

Seat = tuple[str, str]
"""(fibre, server ODU)."""

TRIES = 100_000
"""What may be tried before the best so far has to do: some tenths of a second."""
TRIES_EACH = 2_000
"""Of these for one set of servers: places are found at once, or hard to find."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one corridor holds."""

    corridor: str
    parts: tuple[tuple[Seat, int], ...]
    """(server, slots) of each hop of each of its slices."""


@dataclass(frozen=True, slots=True)
class Relocation:
    """A corridor with the servers that it is moved to, one per part of its load."""

    load: Load
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class Regrooming:
    """Moves in the order in which they can be made, and the servers that they leave empty."""

    moves: tuple[Relocation, ...] = ()
    emptied: frozenset[Seat] = frozenset()
    exhaustive: bool = True
    """Everything was tried: no moves of the same kind empty more."""


def regroom(
    free: Mapping[Seat, int],
    loads: Collection[Load],
    fixed: Collection[Seat],
    max_moves: int,
    worth: Mapping[Seat, int] = MappingProxyType({}),
    tries: int = TRIES,
) -> Regrooming:
    """Empty as many servers as `max_moves` corridors allow; of all ways to, with the fewest moves.

    Where that leaves a choice, servers of most `worth` together, then those whose emptying moves the fewest slots.

    `free`: slots left in every server that holds something; an empty one is no place to move to. `fixed`: servers that
    hold what cannot move. Every corridor moved leaves one of the servers emptied, and goes into none of them.
    """
    return _Search(free, loads, frozenset(fixed), max_moves, worth, tries).best()


class _Search:
    def __init__(
        self,
        free: Mapping[Seat, int],
        loads: Collection[Load],
        fixed: frozenset[Seat],
        max_moves: int,
        worth: Mapping[Seat, int],
        tries: int,
    ) -> None:
        self._free, self._fixed, self._max_moves, self._worth = free, fixed, max_moves, worth
        self._tries = tries
        self._gave_up = False
        held: dict[Seat, set[Load]] = {}
        self._filled: dict[Seat, int] = {}
        for load in loads:
            for seat, count in load.parts:
                held.setdefault(seat, set()).add(load)
                self._filled[seat] = self._filled.get(seat, 0) + count
        self._holders = {seat: frozenset(found) for seat, found in held.items()}
        by_fibre = groupby(sorted(free), key=lambda seat: seat[0])
        self._on_fibre = {fibre: tuple(seats) for fibre, seats in by_fibre}

    def best(self) -> Regrooming:
        candidates = sorted(seat for seat in self._holders.keys() - self._fixed if self._holds(frozenset({seat})))
        candidates.sort(key=self._price(()))
        found = self._improved(self._greedy(candidates), frozenset(), candidates)
        return Regrooming(found.moves, found.emptied, not self._gave_up)

    def _greedy(self, candidates: Collection[Seat]) -> Regrooming:
        """One server after the other, each the one that asks for the fewest further moves."""
        found, left = Regrooming(), list(candidates)
        while left:
            left.sort(key=self._price(self._moving(found.emptied)))
            larger = next(filter(None, (self._realised(found.emptied | {seat}) for seat in left)), None)
            if larger is None:
                break
            found = larger
            left = [seat for seat in left if seat not in found.emptied]
        return found

    def _improved(self, found: Regrooming, chosen: frozenset[Seat], left: Sequence[Seat]) -> Regrooming:
        """Branch on each server in turn, emptied or not, while that can still beat what was found."""
        left = [seat for seat in left if self._holds(chosen | {seat})]
        if self._rank(chosen, left) >= self._rank(found.emptied):
            return found
        self._spend(1 + len(left))
        if self._tries <= 0:
            return found
        if not left:
            larger = self._realised(chosen)
            return larger or found
        found = self._improved(found, chosen | {left[0]}, left[1:])
        return self._improved(found, chosen, left[1:])

    def _spend(self, tries: int) -> None:
        self._tries -= tries
        self._gave_up = self._gave_up or self._tries <= 0

    def _holds(self, leaving: frozenset[Seat]) -> bool:
        """Few enough moves; and what leaves has room on each fibre once all is done, whatever the way there."""
        if len(self._moving(leaving)) > self._max_moves:
            return False
        for fibre in {fibre for fibre, _ in leaving}:
            seats = self._on_fibre[fibre]
            room = sum(self._free[seat] for seat in seats if seat not in leaving)
            if sum(self._filled[seat] for seat in seats if seat in leaving) > room:
                return False
        return True

    def _moving(self, leaving: Collection[Seat]) -> frozenset[Load]:
        return frozenset[Load]().union(*(self._holders[seat] for seat in leaving))

    def _rank(self, leaving: Collection[Seat], more: Sequence[Seat] = ()) -> tuple[int, int, int, int]:
        """Of emptying these, less is better; with `more` a bound on what emptying any of those too can come to."""
        moving = self._moving(leaving)
        worth = sum(self._worth.get(seat, 0) for seat in (*leaving, *more))
        slots = sum(count for load in moving for _, count in load.parts)
        return -len(leaving) - len(more), len(moving), -worth, slots

    def _price(self, moving: Collection[Load]) -> Callable[[Seat], tuple[int, int, int, Seat]]:
        """Of emptying one more server while these move: moves, worth, slots, and its name where all is alike."""

        def price(seat: Seat) -> tuple[int, int, int, Seat]:
            further = sum(load not in moving for load in self._holders[seat])
            return further, -self._worth.get(seat, 0), self._filled[seat], seat

        return price

    def _realised(self, leaving: frozenset[Seat]) -> Regrooming | None:
        """An order and places in which all that holds these servers leaves them, if one is found."""
        if not self._holds(leaving):
            return None
        before = self._tries
        self._tries = min(before, TRIES_EACH)
        moves = self._moves(self._by_value(leaving), {}, leaving)
        self._gave_up = self._gave_up or self._tries <= 0
        self._tries += before - min(before, TRIES_EACH)
        return Regrooming(moves, leaving) if moves is not None else None

    def _by_value(self, leaving: frozenset[Seat]) -> tuple[Load, ...]:
        """Those first whose leaving empties a server soonest: who stops early has the best of it."""
        order: dict[Load, None] = {}
        left = set(leaving)
        while left:
            seat = min(left, key=self._price(order))
            order |= dict.fromkeys(sorted(self._holders[seat], key=_largest_first))
            left = {each for each in left if not self._holders[each] <= order.keys()}
        return tuple(order)

    def _moves(
        self, order: tuple[Load, ...], change: Mapping[Seat, int], leaving: frozenset[Seat]
    ) -> tuple[Relocation, ...] | None:
        """One after the other, in this order where it can be; None where no order and no places will do.

        `change`: of the slots left, by the moves before.
        """
        if not order:
            return ()
        for number, load in enumerate(order):
            others = order[:number] + order[number + 1 :]
            for seats in self._places(load.parts, change, leaving):
                rest = self._moves(others, _after(change, load, seats), leaving)
                if rest is not None:
                    return (Relocation(load, seats), *rest)
                if self._tries <= 0:
                    return None
        return None

    def _places(
        self, parts: tuple[tuple[Seat, int], ...], change: Mapping[Seat, int], leaving: frozenset[Seat]
    ) -> Iterator[tuple[Seat, ...]]:
        """All that fits beside what stands: in the same server where that stays, else in the fullest."""
        self._tries -= 1
        if self._tries <= 0:
            return
        if not parts:
            yield ()
            return
        (own, count), rest = parts[0], parts[1:]
        left = {seat: self._free[seat] + change.get(seat, 0) for seat in self._on_fibre[own[0]] if seat not in leaving}
        fitting = (seat for seat, slots in left.items() if slots >= count)
        for seat in sorted(fitting, key=lambda each: (each != own, left[each], each)):
            for seats in self._places(rest, {**change, seat: change.get(seat, 0) - count}, leaving):
                yield (seat, *seats)


def _largest_first(load: Load) -> tuple[int, str]:
    return -sum(count for _, count in load.parts), load.corridor


def _after(change: Mapping[Seat, int], load: Load, seats: tuple[Seat, ...]) -> dict[Seat, int]:
    """Of the slots left, once a corridor has moved and given back what it had."""
    left = dict(change)
    for (old, count), new in zip(load.parts, seats, strict=True):
        left[new] = left.get(new, 0) - count
        left[old] = left.get(old, 0) + count
    return left
