"""Identifiers that devices see: stored, never renumbered; a freed one rests before it is used again.

Scopes in the network: `slice`, `vrf`, `locator` (node ids of further algorithms); per router: `function` (uA and uDT
ids), `next-hop`, `policy`, `session` (a watched way around a path), `corridor` (index of shaper and counter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from immutables import Map

from controller.core.errors import Infeasible

REST = timedelta(seconds=60)
"""Packets and caches that still carry a freed id must be gone before it means something else."""

FORGOTTEN_AT_ONCE = 256
"""So many more rest than the last time that it was looked which ones have rested."""


@dataclass(frozen=True, slots=True)
class Range:
    low: int
    high: int


RANGES: Mapping[str, Range] = {
    "slice": Range(1, 0x7FFF),
    "vrf": Range(1, 0xFFFE),
    "locator": Range(0xC000, 0xDFFF),
    "function": Range(0xE000, 0xFDFF),
    "next-hop": Range(1, 0xFFFE),
    "policy": Range(1, 0x7FFE),
    "corridor": Range(0x10, 0xFFFD),
    "session": Range(1, 0xFFFE),
}
"""Inclusive. `function`: the LIB of the NEXT-C-SID block. `policy`: 15 bits, the upper half marks oversize packets."""


class IdKey(NamedTuple):
    """What an id stands for: scope kind, where (router or empty), and whose."""

    kind: str
    where: str
    owner: str


_Scope: TypeAlias = tuple[str, str]
"""Kind, where."""


class Ids:
    """Assigned ids, and freed ones with the time of their release. Immutable; a change costs what it touches."""

    __slots__ = ("_taken", "assigned", "resting")

    def __init__(
        self,
        assigned: Mapping[IdKey, int] = MappingProxyType({}),
        resting: Mapping[tuple[str, str, int], datetime] = MappingProxyType({}),
    ) -> None:
        taken: dict[_Scope, int] = {}
        for key, value in assigned.items():
            taken[key[:2]] = taken.get(key[:2], 0) | 1 << value
        self.assigned: Map[IdKey, int] = Map(assigned)
        self.resting: Map[tuple[str, str, int], datetime] = Map(resting)
        self._taken: Map[_Scope, int] = Map(taken)
        """Per scope, a bit for each value that is assigned."""

    @classmethod
    def _of(
        cls, assigned: Map[IdKey, int], resting: Map[tuple[str, str, int], datetime], taken: Map[_Scope, int]
    ) -> Ids:
        ids = cls()
        ids.assigned, ids.resting, ids._taken = assigned, resting, taken
        return ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ids) and (self.assigned, self.resting) == (other.assigned, other.resting)

    def __getitem__(self, key: IdKey) -> int:
        return self.assigned[key]

    def assign(self, key: IdKey, now: datetime) -> Ids:
        """With `key` assigned: unchanged where it is already, else the lowest free id; `Infeasible` where none is."""
        return self if key in self.assigned else self.bind(key, self.lowest(key.kind, key.where, now))

    def bind(self, key: IdKey, value: int) -> Ids:
        """With `key` standing for `value`, which must be free."""
        scope, rested = (key.kind, key.where), (key.kind, key.where, value)
        resting = self.resting.delete(rested) if rested in self.resting else self.resting
        taken = self._taken.set(scope, self._taken.get(scope, 0) | 1 << value)
        return self._of(self.assigned.set(key, value), resting, taken)

    def lowest(self, kind: str, where: str, now: datetime) -> int:
        """The lowest id of a scope that is neither assigned nor resting."""
        bounds = RANGES[kind]
        taken = self._taken.get((kind, where), 0) >> bounds.low
        while (value := bounds.low + (~taken & taken + 1).bit_length() - 1) <= bounds.high:
            freed = self.resting.get((kind, where, value))
            if freed is None or now - freed >= REST:
                return value
            taken |= 1 << value - bounds.low
        raise Infeasible(f"all {kind} ids of {where or 'the network'} are in use", reason="IDS_EXHAUSTED")

    def free(self, keys: frozenset[IdKey], now: datetime) -> Ids:
        """Without `keys`, their values resting from `now`; now and then those that have rested are forgotten."""
        gone = {key: self.assigned[key] for key in keys if key in self.assigned}
        if not gone:
            return self
        assigned, resting, taken = self.assigned.mutate(), self.resting.mutate(), self._taken.mutate()
        for key, value in gone.items():
            del assigned[key]
            resting[key.kind, key.where, value] = now
            taken[key.kind, key.where] &= ~(1 << value)
        if len(resting) // FORGOTTEN_AT_ONCE != len(self.resting) // FORGOTTEN_AT_ONCE:
            for rested in [each for each, freed in self.resting.items() if now - freed >= REST]:
                if resting[rested] != now:
                    del resting[rested]
        return self._of(assigned.finish(), resting.finish(), taken.finish())
