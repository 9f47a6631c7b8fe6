"""Identifiers that devices see: stored, never renumbered; a freed one rests before it is used again.

Scopes in the network: `slice`, `vrf`, `locator` (node ids of further algorithms); per router: `function` (uA and uDT
ids), `next-hop`, `policy`, `corridor` (index of shaper and counter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from controller.core.errors import Infeasible

REST = timedelta(seconds=60)
"""Packets and caches that still carry a freed id must be gone before it means something else."""


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
}
"""Inclusive. `function`: the LIB of the NEXT-C-SID block. `policy`: 15 bits, the upper half marks oversize packets."""


@dataclass(frozen=True, slots=True, order=True)
class IdKey:
    """What an id stands for: scope kind, where (router or empty), and whose."""

    kind: str
    where: str
    owner: str


@dataclass(frozen=True)
class Ids:
    """Assigned ids, and freed ones with the time of their release."""

    assigned: Mapping[IdKey, int] = field(default_factory=dict)
    resting: Mapping[tuple[str, str, int], datetime] = field(default_factory=dict)

    def __getitem__(self, key: IdKey) -> int:
        return self.assigned[key]

    def assign(self, key: IdKey, now: datetime) -> Ids:
        """With `key` assigned: unchanged where it is already, else the lowest free id; `Infeasible` where none is."""
        return self if key in self.assigned else self.bind(key, self.lowest(key.kind, key.where, now))

    def bind(self, key: IdKey, value: int) -> Ids:
        """With `key` standing for `value`, which must be free."""
        resting = {k: v for k, v in self.resting.items() if k != (key.kind, key.where, value)}
        return Ids({**self.assigned, key: value}, resting)

    def lowest(self, kind: str, where: str, now: datetime) -> int:
        """The lowest id of a scope that is neither assigned nor resting."""
        used = {value for key, value in self.assigned.items() if (key.kind, key.where) == (kind, where)}
        bounds = RANGES[kind]
        for value in range(bounds.low, bounds.high + 1):
            freed = self.resting.get((kind, where, value))
            if value not in used and (freed is None or now - freed >= REST):
                return value
        raise Infeasible(f"all {kind} ids of {where or 'the network'} are in use", reason="IDS_EXHAUSTED")

    def free(self, keys: frozenset[IdKey], now: datetime) -> Ids:
        """Without `keys`, their values resting from `now`."""
        gone = {k: v for k, v in self.assigned.items() if k in keys}
        if not gone:
            return self
        kept = {k: v for k, v in self.assigned.items() if k not in keys}
        resting = {**self.resting, **{(k.kind, k.where, v): now for k, v in gone.items()}}
        return replace(self, assigned=kept, resting=resting)
