"""The members of a next-hop group: the action set that was written for it in one shot.

Inside the target a group is an entry like any other, whose parameters are its members' one after the other, each as
`next_hop`, `weight`, `watch_port`, in ascending order: two entries with the same members are equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from controller.core.entries import TableEntry

TABLE = "next_hop_group"
ACTION = "set_next_hop"
Params: TypeAlias = tuple[tuple[str, int], ...]


class Member(NamedTuple):
    next_hop: int
    weight: int
    watch_port: int
    """0: none was given."""


def params(members: Iterable[Member]) -> Params:
    return tuple(pair for member in sorted(members) for pair in member._asdict().items())


def members(entry: TableEntry) -> tuple[Member, ...]:
    """Of an entry of table `next_hop_group`; none of one that is only a key."""
    numbers = iter([number for _, number in entry.params])
    return tuple(map(Member, numbers, numbers, numbers))
