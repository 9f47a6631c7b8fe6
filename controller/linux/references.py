"""Entries that need others: routes, groups, policies and SIDs need their next hops, and hold them while they stand.

The kernel would refuse the first, and on the removal of a next hop silently drop all that uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import grpc

from controller.core.entries import Exact, TableEntry
from controller.linux import members
from controller.linux.rejected import Rejected, unimplemented, unmet

ROUTES = frozenset({"route_v6", "route_v4"})
REFERRING = ROUTES | {"local_sid", "policy", "path_probe", members.TABLE}
_GROUPED = "set_next_hop_group"


@dataclass(frozen=True, slots=True)
class Dangling:
    """The change of `key` must be undone."""

    key: Hashable
    why: Rejected


@dataclass(frozen=True, slots=True)
class Use:
    """What an entry needs of another."""

    target: Hashable
    name: str
    fault: Callable[[TableEntry], str | None]
    """What the target, as it stands, cannot be used for; None where all is well."""


def referring_tables(changed: Iterable[TableEntry]) -> frozenset[str]:
    """The tables whose entries must be known to judge a write of these entries."""
    changed = list(changed)
    tables = frozenset(entry.table for entry in changed)
    if "next_hop" in tables:
        tables |= REFERRING
    if members.TABLE in tables:
        tables |= ROUTES
    # Groups cost a process to read: a write of routes that use none leaves them alone.
    if any(entry.action == _GROUPED for entry in changed):
        tables |= {members.TABLE}
    if tables & {"policy", "policy_backup"}:
        tables |= {"policy", "policy_backup"}
    if tables & REFERRING:
        tables |= {"next_hop"}
    return tables


def uses_of(entry: TableEntry) -> Iterator[Use]:
    if entry.table == members.TABLE:
        yield from (_next_hop(member.next_hop, _watched(member)) for member in members.members(entry))
    elif entry.action == _GROUPED:
        group = dict(entry.params)["group"]
        yield Use((members.TABLE, (("group", Exact(group)),), 0), f"next-hop group {group}", lambda found: None)
    elif entry.table == "policy_backup" and entry.params:
        backup = dict(entry.params)["backup"]
        yield Use(("policy", (("policy", Exact(backup)),), 0), f"policy {backup}", _sound)
    elif entry.table in REFERRING and "next_hop" in dict(entry.params):
        yield _next_hop(dict(entry.params)["next_hop"], _sound if entry.table in ROUTES else _adjacent(entry.action))


def _next_hop(number: int, fault: Callable[[TableEntry], str | None]) -> Use:
    return Use(("next_hop", (("next_hop", Exact(number)),), 0), f"next hop {number}", fault)


def _sound(found: TableEntry) -> str | None:
    return None


def _adjacent(action: str) -> Callable[[TableEntry], str | None]:
    """The kernel sends to an address here, and a customer's port names none."""
    return lambda found: None if found.action == "to_adjacency" else f"is no adjacency, and {action} takes no other"


def _watched(member: members.Member) -> Callable[[TableEntry], str | None]:
    """The kernel takes a member out when the port of its next hop goes down, and for no other port."""

    def fault(found: TableEntry) -> str | None:
        port = dict(found.params)["port"]
        return None if member.watch_port == port else f"leaves by port {port}: its watch_port can be no other"

    return fault


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
    for use in uses_of(entry):
        found = after.get(use.target)
        fault = None if found is None else use.fault(found)
        if found is not None and fault is None:
            continue
        if before.get(key) != entry and key in touched:
            yield Dangling(key, _refusal(use, fault))
        elif use.target in touched and before.get(use.target) != found:
            yield Dangling(use.target, unmet(f"{use.name} is in use by {entry.table}"))


def _refusal(use: Use, fault: str | None) -> Rejected:
    """What is not there may come: the kernel drops next hops with their port, and they come back."""
    if fault is None:
        return Rejected(grpc.StatusCode.ABORTED, f"{use.name} is none")
    return unimplemented(f"{use.name} {fault}")
