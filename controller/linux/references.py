"""Entries that need others: routes, policies and SIDs need their next hop, and hold it while they stand.

The kernel would refuse the first, and on the removal of a next hop silently drop all that uses it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import grpc

from controller.core.entries import Exact, TableEntry
from controller.linux.rejected import Rejected, unmet

REFERRING = frozenset({"route_v6", "route_v4", "local_sid", "policy"})


@dataclass(frozen=True, slots=True)
class Dangling:
    """The change of `key` must be undone."""

    key: Hashable
    why: Rejected


def referring_tables(touched: Iterable[str]) -> frozenset[str]:
    """The tables whose entries must be known to judge a write to the touched ones."""
    tables = frozenset(touched)
    if "next_hop" in tables:
        tables |= REFERRING
    if tables & REFERRING:
        tables |= {"next_hop"}
    return tables


def next_hop_of(entry: TableEntry) -> tuple[int, bool] | None:
    """The next hop that an entry uses, and whether it must be an adjacency; None where it uses none."""
    if entry.table not in REFERRING:
        return None
    next_hop = dict(entry.params).get("next_hop")
    return None if next_hop is None else (next_hop, not entry.table.startswith("route"))


def dangling(
    before: Mapping[Hashable, TableEntry], after: Mapping[Hashable, TableEntry], touched: Mapping[Hashable, int]
) -> list[Dangling]:
    """What to undo so that every reference is met. An entry that this write changes yields to one that stood."""
    return [item for key, entry in after.items() for item in _judge(key, entry, before, after, touched)]


def _judge(
    key: Hashable,
    entry: TableEntry,
    before: Mapping[Hashable, TableEntry],
    after: Mapping[Hashable, TableEntry],
    touched: Mapping[Hashable, int],
) -> Iterator[Dangling]:
    use = next_hop_of(entry)
    if use is None:
        return
    number, adjacency = use
    target: Hashable = ("next_hop", (("next_hop", Exact(number)),), 0)
    found = after.get(target)
    if found is not None and (not adjacency or found.action == "to_adjacency"):
        return
    what = "is none" if found is None else "is no adjacency"
    if before.get(key) != entry and key in touched:
        # To be tried again as a whole: the kernel drops next hops with their port, and they come back.
        yield Dangling(key, Rejected(grpc.StatusCode.ABORTED, f"next hop {number} {what}"))
    elif target in touched and before.get(target) != found:
        yield Dangling(target, unmet(f"next hop {number} is in use by {entry.table}"))
